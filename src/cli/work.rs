//! A command's work: its trace, its run, what is measured of it, its plan.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use clap::ArgMatches;
use provenance_model::report::Draft;
use provenance_stages::Trust;
use provenance_stages::registry::{ClientSettings, DiskCache, RegistryClient};
use tracing::Instrument as _;

use super::output::print_text;
use super::{NO_REPORT, Refusal, WRONG_USAGE};
use crate::config::{Config, Telemetry};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::refused::ConfigErrors;
use crate::run::{self, About, Order, Watch};
use crate::shutdown::Signals;
use crate::telemetry::metrics::{self, Measured};
use crate::topology::{Means, Source};
use crate::{VERSION, options, telemetry};

/// Does a command's work inside the span that is the root of its trace, and publishes what was measured.
pub(super) async fn traced(
    name: &'static str,
    settings: Telemetry,
    work: impl Future<Output = Result<u8, Refusal>>,
) -> Result<u8, Refusal> {
    let span = tracing::info_span!(
        "command",
        otel.name = name,
        otel.status_code = tracing::field::Empty,
        process.exit.code = tracing::field::Empty,
    );
    let done = work.instrument(span.clone()).await;
    let status = match &done {
        Ok(status) => *status,
        Err(Refusal::Usage(_)) => WRONG_USAGE,
        Err(Refusal::Failed(_)) => NO_REPORT,
    };
    span.record("process.exit.code", status);
    if done.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(measured) = metrics::now() {
        telemetry::publish(&settings, &Measured { ended: Some(status), ..measured }).instrument(span).await;
    }
    done
}

/// Listens for signals until the report is written: one that comes while it is must not be lost.
pub(super) fn listen(order: &Order) -> anyhow::Result<Signals> {
    Signals::listen(order.clone()).context("signals could not be listened for")
}

/// Runs the pipeline, with progress.
pub(super) async fn examine(
    source: Source,
    config: &Config,
    trust: Trust,
    about: About,
    order: &Order,
) -> Result<Draft, Refusal> {
    let client = client(config)?;
    let means = Means::new(client, trust)
        .updates(config.updates.clone())
        .budgets(config.registries.limits.has_budgets());
    let mut progress = None;
    let watch = |watch: Watch| {
        measure(&watch, Arc::clone(&means.client));
        progress = Some(Progress::show(watch, Arc::clone(&means.client)));
    };
    let report = run::examine(source, &means, &config.tuning, about, order, watch).await;
    drop(progress);
    if let Some(cache) = means.client.cache() {
        cache.close().await;
    }
    Ok(report?)
}

/// From now on metrics are those of this run.
pub(super) fn measure(watch: &Watch, client: Arc<RegistryClient>) {
    let (stages, seen, began) = (Arc::clone(&watch.stages), Arc::clone(&watch.seen), Instant::now());
    metrics::measure_by(move || {
        let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        Measured {
            stages: stages(),
            gates: client.gates(),
            registries: client.tallies(),
            statuses: client.statuses(),
            cache: client.cache().map(DiskCache::tally),
            sightings: seen.sightings,
            subjects: seen.subjects,
            took: began.elapsed(),
            ended: None,
        }
    });
}

/// The way to registries, as configured.
pub(super) fn client(config: &Config) -> Result<RegistryClient, Refusal> {
    let cache = config.cache.clone().map(DiskCache::open).transpose();
    let cache = cache.map_err(|why| ConfigErrors(vec![format!("--{}: {why}", options::CACHE.flag)]))?;
    let settings = ClientSettings { cache, ..config.registries.clone() };
    let agent = format!("provenance-collector/{VERSION}");
    Ok(RegistryClient::new(settings, &agent).map_err(anyhow::Error::from)?)
}

/// Says what a run would ask of each registry, and asks none.
pub(super) async fn plan(source: Source, config: &Config, matches: &ArgMatches) -> Result<u8, Refusal> {
    let means = Means::new(client(config)?, Trust::default())
        .updates(config.updates.clone())
        .budgets(config.registries.limits.has_budgets());
    let order = Order::new(&config.tuning);
    let _signals = listen(&order)?;
    let plan = Plan::make(source, &means, &config.tuning, &order).await?;
    match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => print_text(&plan.json()),
        None | Some("table") => print_text(&plan.table()),
        Some(other) => {
            let why = format!("--plan is printed as table or json, not as {other}");
            Err(Refusal::Usage(ConfigErrors(vec![why])))
        }
    }
}
