//! Every request is in the span of its stage, dossier and run. A process of its own: who listens to spans is one for all
//! threads.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Means, Source};
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::{ClientSettings, RegistryClient};
use provenance_testbed::Fleet;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Notes every span as its path from the root.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(
        &self,
        _: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let scope = context.span_scope(id).into_iter().flat_map(Scope::from_root);
        let path: Vec<_> = scope.filter(|span| OURS.contains(&span.name())).map(|span| span.name()).collect();
        self.0.lock().unwrap().insert(path.join(" > "));
    }
}

const OURS: [&str; 4] = ["run", "dossier", "stage", "request"];

#[tokio::test]
async fn every_request_is_in_the_span_of_its_stage_dossier_and_run() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let fleet = Fleet::uniform(3, 6, Duration::ZERO).await.unwrap();
    let cluster = kube::Config::new(fleet.kube.url().parse().unwrap());
    let source = ClusterSource::new(kube::Client::try_from(cluster).unwrap(), Namespaces::default());
    let client = RegistryClient::new(ClientSettings::default(), "test").unwrap();
    let means = Means::new(client, Trust::default());
    let tuning = support::tuning(support::DIGESTS_ONLY);
    let order = Order::new(&tuning);
    run(Source::Cluster(source, None), &means, &tuning, About::default(), &order, |_| {}).await.unwrap();
    let seen = spans.0.lock().unwrap().clone();
    for path in ["run", "run > dossier", "run > dossier > stage", "run > dossier > stage > request"] {
        assert!(seen.contains(path), "{path}: {seen:?}");
    }
}
