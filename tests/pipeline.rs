//! The whole pipeline against the testbed: faults on the right rows, the others' rows complete, requests
//! counted, and the same report from the same world.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use provenance_collector::config::Tuning;
use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Means, Source};
use provenance_engine::{FailureKind, Knobs, LaneLimit};
use provenance_model::DriftState::{self, DigestGone, Drifted, NotAsked, Same, TagGone};
use provenance_model::report::{ImageRecord, OutcomeWord, Report};
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::{ClientSettings, Endpoints, HostLimits, RegistryClient, Wanted};
use provenance_testbed::kube::pod;
use provenance_testbed::{BuiltImage, Effect, Fault, Fleet, KubeApi, Registry};
use serde_json::Value;

fn tuning() -> Tuning {
    // What is attached and what is newer have tests of their own.
    support::tuning(support::DIGESTS_ONLY)
}

fn settings(timeout: Duration) -> ClientSettings {
    let limits = HostLimits::new(Wanted {
        rate: Some(0),
        patience: Some(Duration::from_secs(3)),
        timeout: Some(timeout),
        ..Wanted::default()
    });
    ClientSettings { limits, ..ClientSettings::default() }
}

fn source(kube: &KubeApi) -> Source {
    let config = kube::Config::new(kube.url().parse().unwrap());
    let client = kube::Client::try_from(config).unwrap();
    Source::Cluster(ClusterSource::new(client, Namespaces::default()), None)
}

async fn report_of(source: Source, settings: ClientSettings, tuning: &Tuning, order: &Order) -> Report {
    let means = Means::new(RegistryClient::new(settings, "test").unwrap(), Trust::default());
    run(source, &means, tuning, About::default(), order, |_| {}).await.unwrap()
}

async fn examine(kube: &KubeApi, settings: ClientSettings) -> Report {
    report_of(source(kube), settings, &tuning(), &Order::new(&tuning())).await
}

fn outcome(row: &ImageRecord) -> (OutcomeWord, Option<FailureKind>, String) {
    let digest = row.stages.as_ref().unwrap().digest.as_ref().unwrap();
    let reason = digest.reason.clone();
    (
        digest.outcome,
        reason.as_ref().and_then(|reason| reason.kind),
        reason.map(|r| r.message).unwrap_or_default(),
    )
}

/// A report without its times.
fn timeless(report: &Report) -> Report {
    let mut report = report.clone();
    report.metadata.generated_at = jiff::Timestamp::UNIX_EPOCH;
    let run = report.run.as_mut().unwrap();
    run.started_at = jiff::Timestamp::UNIX_EPOCH;
    run.duration_seconds = 0.0;
    run.stages = Vec::new();
    run.peak_memory_bytes = None;
    report
}

#[tokio::test]
async fn five_hundred_pods_on_fifty_images_cost_fifty_requests_and_two_runs_say_the_same() {
    let fleet = Fleet::uniform(50, 500, Duration::from_millis(1)).await.unwrap();
    let first = examine(&fleet.kube, settings(Duration::from_secs(5))).await;
    let registry = fleet.registries.values().next().unwrap();
    assert_eq!(registry.log().len(), 50, "one manifest request an image, no ping");
    assert_eq!(first.run.as_ref().unwrap().registries[0].requests, 50);
    assert_eq!((first.summary.total_images, first.summary.unique_images), (500, 50));
    assert!(first.images.iter().all(|row| row.drift.as_ref().unwrap().state == DriftState::Same));
    let second = examine(&fleet.kube, settings(Duration::from_secs(5))).await;
    assert_eq!(timeless(&first), timeless(&second));
}

struct World {
    kube: KubeApi,
    ill: Registry,
    well: Registry,
}

/// Two registries: the images of `ill` are all named `ill…`.
async fn world() -> World {
    let world = World {
        kube: KubeApi::start().await.unwrap(),
        ill: Registry::start().await.unwrap(),
        well: Registry::start().await.unwrap(),
    };
    for n in 0..12 {
        for (registry, kind) in [(&world.ill, "ill"), (&world.well, "well")] {
            let name = format!("{kind}{n:02}");
            let digest = registry.push(&name, "1", &BuiltImage::single(&name));
            let image = format!("{}/{name}:1", registry.host());
            let id = format!("{}/{name}@{digest}", registry.host());
            world.kube.add(pod("a", &name, &Value::Null, &[("app", &image, &id)]));
        }
    }
    world
}

#[tokio::test]
async fn each_fault_fails_the_rows_of_its_registry_with_its_reason_and_no_others() {
    let elsewhere = Registry::start().await.unwrap();
    elsewhere.fault(Fault::on("", Effect::status(401)));
    let redirect = Effect::Redirect(format!("http://{}", elsewhere.host()));
    let faults: Vec<(&str, Option<Effect>, &[FailureKind])> = vec![
        ("down", None, &[FailureKind::Connection, FailureKind::HostDown]),
        ("slow", Some(Effect::Delay(Duration::from_secs(5))), &[FailureKind::Timeout, FailureKind::HostDown]),
        ("hanging", Some(Effect::Hang), &[FailureKind::Timeout, FailureKind::HostDown]),
        ("401", Some(Effect::status(401)), &[FailureKind::Unauthorized]),
        ("403", Some(Effect::status(403)), &[FailureKind::Forbidden]),
        ("404 of no registry", Some(Effect::status(404)), &[FailureKind::UnexpectedStatus]),
        ("429", Some(Effect::retry_after(429, 60)), &[FailureKind::RateLimited]),
        ("429 for ever", Some(Effect::retry_after(429, 1)), &[FailureKind::RateLimited]),
        ("500", Some(Effect::status(500)), &[FailureKind::ServerError, FailureKind::HostDown]),
        ("cut connection", Some(Effect::Cut), &[FailureKind::Connection, FailureKind::HostDown]),
        ("wrong digest", Some(Effect::Corrupt), &[FailureKind::DigestMismatch]),
        ("50 MB manifest", Some(Effect::Flood(50 << 20)), &[FailureKind::TooLarge]),
        (
            "redirect to another host",
            Some(redirect),
            &[FailureKind::Unauthorized, FailureKind::UnexpectedStatus],
        ),
    ];
    for (name, effect, kinds) in faults {
        let world = world().await;
        match effect {
            Some(effect) => world.ill.fault(Fault::on("/manifests/", effect)),
            None => world.ill.stop().await,
        }
        let began = Instant::now();
        let report = examine(&world.kube, settings(Duration::from_millis(500))).await;
        let took = began.elapsed();
        assert_eq!(report.images.len(), 24, "{name}: every row is there");
        for row in &report.images {
            let (outcome, kind, message) = outcome(row);
            if row.image.contains("/well") {
                assert_eq!(outcome, OutcomeWord::Found, "{name}: {}", row.image);
                assert_eq!(row.drift.as_ref().unwrap().state, DriftState::Same, "{name}");
            } else {
                assert_eq!(outcome, OutcomeWord::Failed, "{name}: {}", row.image);
                assert!(kind.is_some_and(|kind| kinds.contains(&kind)), "{name}: {kind:?} {message}");
                assert!(message.contains(&world.ill.host()), "{name}: {message}");
                assert!(
                    row.digest.is_some() && row.drift.is_none(),
                    "{name}: what runs is known from the pod alone"
                );
            }
        }
        let failed: BTreeMap<_, _> =
            report.summary.failures.iter().flatten().map(|count| (count.kind, count.images)).collect();
        assert_eq!(failed.values().sum::<usize>(), 12, "{name}: {failed:?}");
        assert_eq!(report.summary.failed_images, Some(12), "{name}");
        assert!(
            !report.run.as_ref().unwrap().partial,
            "{name}: a failed row is reported, nothing is missing"
        );
        assert!(took < Duration::from_secs(15), "{name}: took {took:?}");
    }
}

#[tokio::test]
async fn every_state_of_drift_is_told() {
    let kube = KubeApi::start().await.unwrap();
    let registry = Registry::start().await.unwrap();
    let host = registry.host();
    let linux = ["linux/amd64", "linux/arm64"];
    let place = |name: &str, image: &str, id: &str| {
        kube.add(pod("a", name, &Value::Null, &[("app", &format!("{host}/{image}"), id)]));
    };
    let running = |repository: &str, digest: &str| format!("{host}/{repository}@{digest}");

    let single = BuiltImage::single("same");
    let digest = registry.push("same", "1", &single);
    place("same", "same:1", &running("same", &digest));
    place("same-by-image-id", "same:1", &single.image_ids()[0]);
    place("pinned", &format!("same@{digest}"), &running("same", &digest));
    place("not-running", "same:1", "");

    let multi = BuiltImage::multi("multi", &linux);
    let index = registry.push("multi", "1", &multi);
    place("same-index", "multi:1", &running("multi", &index));
    place("same-platform", "multi:1", &running("multi", &multi.children()[1]));
    place("multi-by-image-id", "multi:1", &multi.image_ids()[1]);
    place("multi-by-store-id", "multi:1", &index);
    place("drifted-by-image-id", "multi:1", &digest);

    let old = registry.push("moved", "1", &BuiltImage::single("old"));
    registry.push("moved", "1", &BuiltImage::single("new"));
    place("drifted", "moved:1", &running("moved", &old));

    let gone = registry.push("gone", "1", &BuiltImage::single("gone"));
    registry.delete_manifest("gone", &gone);
    registry.push("gone", "1", &BuiltImage::single("new"));
    place("gone", "gone:1", &running("gone", &gone));
    place("pinned-gone", &format!("gone@{gone}"), &running("gone", &gone));

    let untagged = registry.push("untagged", "1", &BuiltImage::single("untagged"));
    registry.delete_tag("untagged", "1");
    place("tag-gone", "untagged:1", &running("untagged", &untagged));
    place("tag-gone-not-running", "untagged:1", "");
    place("both-gone", "nowhere:1", &running("nowhere", &gone));

    let report = examine(&kube, settings(Duration::from_secs(5))).await;
    let told: BTreeMap<_, _> = report
        .images
        .iter()
        .map(|row| {
            let drift =
                row.drift.as_ref().unwrap_or_else(|| panic!("{}: {:?}", row.workload.name, outcome(row)));
            (row.workload.name.as_str(), (drift.state, row.platform.as_deref(), row.digest.as_deref()))
        })
        .collect();
    let arm = Some("linux/arm64");
    let arm_digest = multi.children()[1].clone();
    let expected: BTreeMap<&str, (DriftState, Option<&str>, Option<&str>)> = BTreeMap::from([
        ("same", (Same, None, Some(digest.as_str()))),
        ("same-by-image-id", (Same, None, Some(digest.as_str()))),
        ("pinned", (Same, None, Some(digest.as_str()))),
        ("not-running", (NotAsked, None, Some(digest.as_str()))),
        ("same-index", (Same, None, Some(index.as_str()))),
        ("same-platform", (Same, arm, Some(arm_digest.as_str()))),
        ("multi-by-image-id", (Same, arm, Some(arm_digest.as_str()))),
        ("multi-by-store-id", (Same, None, Some(index.as_str()))),
        ("drifted-by-image-id", (Drifted, None, None)),
        ("drifted", (Drifted, None, Some(old.as_str()))),
        ("gone", (DigestGone, None, Some(gone.as_str()))),
        ("pinned-gone", (DigestGone, None, Some(gone.as_str()))),
        ("tag-gone", (TagGone, None, Some(untagged.as_str()))),
        ("tag-gone-not-running", (TagGone, None, None)),
        ("both-gone", (DigestGone, None, Some(gone.as_str()))),
    ]);
    assert_eq!(told, expected);
}

#[tokio::test]
async fn replicas_that_run_different_digests_of_one_tag_are_two_rows() {
    let kube = KubeApi::start().await.unwrap();
    let registry = Registry::start().await.unwrap();
    let old = registry.push("app", "1", &BuiltImage::single("old"));
    let new = registry.push("app", "1", &BuiltImage::single("new"));
    let owner = provenance_testbed::kube::controller("apps/v1", "StatefulSet", "app", "uid-1");
    kube.add(serde_json::json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "app", "namespace": "a", "uid": "uid-1"},
    }));
    let image = format!("{}/app:1", registry.host());
    for (n, digest) in [&old, &new, &new].into_iter().enumerate() {
        let id = format!("{}/app@{digest}", registry.host());
        let containers = [("app", image.as_str(), id.as_str()), ("again", image.as_str(), id.as_str())];
        kube.add(pod("a", &format!("app-{n}"), &owner, &containers));
    }
    let report = examine(&kube, settings(Duration::from_secs(5))).await;
    let rows: Vec<_> = report
        .images
        .iter()
        .map(|row| (row.digest.clone().unwrap(), row.pods, row.containers.as_ref().unwrap().len()))
        .collect();
    let mut expected = vec![(old, Some(1), 2), (new, Some(2), 2)];
    expected.sort();
    assert_eq!(rows, expected);
    assert_eq!(report.run.unwrap().sightings, 6);
}

#[tokio::test]
async fn docker_hub_is_asked_by_head_and_only_what_differs_by_get() {
    let kube = KubeApi::start().await.unwrap();
    let registry = Registry::start().await.unwrap();
    let same = registry.push("library/same", "1", &BuiltImage::multi("same", &["linux/amd64"]));
    let platform = BuiltImage::multi("platform", &["linux/amd64", "linux/arm64"]);
    registry.push("library/platform", "1", &platform);
    let old = registry.push("library/moved", "1", &BuiltImage::single("old"));
    let new = registry.push("library/moved", "1", &BuiltImage::single("new"));
    let running = [("same", &same), ("platform", &platform.children()[0]), ("moved", &old), ("moved", &new)];
    for (n, (name, digest)) in running.into_iter().enumerate() {
        let id = format!("docker.io/library/{name}@{digest}");
        kube.add(pod("a", &format!("{name}-{n}"), &Value::Null, &[("app", &format!("{name}:1"), &id)]));
    }
    let endpoints = Endpoints::default().stand_in("docker.io", registry.url().parse().unwrap());
    let report = examine(&kube, ClientSettings { endpoints, ..settings(Duration::from_secs(5)) }).await;
    let states: Vec<_> = report.images.iter().map(|row| row.drift.as_ref().unwrap().state).collect();
    assert_eq!(states, [Drifted, Same, Same, Same]);
    let mut asked: Vec<_> =
        registry.log().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect();
    asked.sort();
    let index = platform.digest();
    assert_eq!(
        asked,
        [
            format!("GET /v2/library/platform/manifests/{index}"),
            "HEAD /v2/library/moved/manifests/1".into(),
            format!("HEAD /v2/library/moved/manifests/{old}"),
            "HEAD /v2/library/platform/manifests/1".into(),
            "HEAD /v2/library/same/manifests/1".into(),
        ]
    );
    assert_eq!(report.run.unwrap().registries[0].host, "docker.io");
}

#[tokio::test]
async fn a_registry_that_hangs_holds_up_nobody_else() {
    let world = world().await;
    world.ill.fault(Fault::on("/manifests/", Effect::Hang));
    let order = Order::new(&tuning());
    let client = RegistryClient::new(settings(Duration::from_mins(1)), "test").unwrap();
    let means = Means::new(client, Trust::default());
    let (stop, well) = (order.clone(), async {
        while world.well.log().len() < 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let narrow = Tuning { lane: LaneLimit(2), digest: Knobs { workers: 4, ..tuning().digest }, ..tuning() };
    let running = run(source(&world.kube), &means, &narrow, About::default(), &order, |_| {});
    let (report, ()) = tokio::join!(running, async {
        tokio::time::timeout(Duration::from_secs(10), well)
            .await
            .expect("the well registry's images are not held up");
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.give("the test has seen enough");
    });
    let report = report.unwrap();
    let run = report.run.as_ref().unwrap();
    assert!(run.partial);
    assert_eq!(
        run.partial_reasons,
        ["the test has seen enough", "12 of 24 rows were not examined to the end"]
    );
    for row in &report.images {
        let expected = if row.image.contains("/well") { OutcomeWord::Found } else { OutcomeWord::NotReached };
        assert_eq!(outcome(row).0, expected, "{}", row.image);
    }
}

#[tokio::test]
async fn a_deadline_ends_the_run_with_a_partial_report() {
    let world = world().await;
    world.ill.fault(Fault::on("/manifests/", Effect::Hang));
    let tuning = Tuning { deadline: Some(Duration::from_millis(300)), ..tuning() };
    let order = Order::new(&tuning);
    let began = Instant::now();
    let report = report_of(source(&world.kube), settings(Duration::from_mins(1)), &tuning, &order).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(report.images.len(), 24);
    let run = report.run.unwrap();
    assert!(run.partial && run.partial_reasons[0].contains("deadline of 300ms"), "{:?}", run.partial_reasons);
}

#[tokio::test]
async fn the_demo_shows_every_finding() {
    let fleet = Fleet::demo().await.unwrap();
    let mut endpoints = Endpoints::default();
    for (name, url) in fleet.stand_ins() {
        endpoints = endpoints.stand_in(name, url.parse().unwrap());
    }
    let settings = ClientSettings { endpoints, ..settings(Duration::from_secs(5)) };
    let client = RegistryClient::new(settings, "test").unwrap();
    let means = Means::new(client, Trust::default()).updates(support::updates());
    let order = Order::new(&tuning());
    let report = run(source(&fleet.kube), &means, &tuning(), About::default(), &order, |_| {}).await.unwrap();
    let style =
        provenance_collector::table::Style { width: None, colour: false, most_without_finding: usize::MAX };
    let table = provenance_collector::table::render(&timeless(&report), style);
    let lines: Vec<_> = table.lines().filter(|line| !line.contains("registry requests")).collect();
    insta::assert_snapshot!("demo_table", lines.join("\n"));
    for word in ["FAILED", "GONE", "TAG GONE", "DRIFTED", "OUTDATED", "same", "found"] {
        assert!(table.contains(word), "{word}: {table}");
    }
}

#[tokio::test]
async fn tag_pages_without_end_fail_the_rows_of_their_registry_and_no_others() {
    let world = world().await;
    world.ill.fault(Fault::on("/tags/list", Effect::EndlessPages));
    let began = Instant::now();
    let client = RegistryClient::new(settings(Duration::from_secs(5)), "test").unwrap();
    let means = Means::new(client, Trust::default()).updates(support::updates());
    let order = Order::new(&tuning());
    let report = run(source(&world.kube), &means, &tuning(), About::default(), &order, |_| {}).await.unwrap();
    assert_eq!(report.images.len(), 24);
    for row in &report.images {
        let stage = row.stages.as_ref().unwrap().update.clone().unwrap();
        if row.image.contains("/well") {
            assert_eq!(stage.outcome, OutcomeWord::Found, "{}", row.image);
        } else {
            let reason = stage.reason.unwrap();
            let message = reason.message;
            assert_eq!(
                (stage.outcome, reason.kind),
                (OutcomeWord::Failed, Some(FailureKind::TooLarge)),
                "{message}"
            );
            assert!(
                message.contains(&world.ill.host()) && message.contains("does not end after"),
                "{message}"
            );
        }
    }
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
}
