//! Hundreds of scenarios of faults, each by its seed. After each the report is held against that of a run in which nothing
//! goes wrong, by the ten invariants of the design: what it says is true, what it could not find out it says, and no row is lost.
//!
//! `PROVENANCE_SOAK=5000 cargo test --release --test soak` runs more of them, `PROVENANCE_SOAK_FIRST=417 PROVENANCE_SOAK=1` one again.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use provenance_collector::config::Tuning;
use provenance_collector::run::{About, Order, examine};
use provenance_collector::topology::{Means, Source};
use provenance_model::report::counting::summarise;
use provenance_model::report::{Draft, ImageRecord, OutcomeWord, Report, StageRecord};
use provenance_sinks::FileSink;
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, DiscoveryError, Namespaces};
use provenance_stages::registry::{ClientSettings, HostLimits, RegistryClient, Wanted};
use provenance_testbed::kube::{controller, pod};
use provenance_testbed::scenario::{Scenario, Wrong};
use provenance_testbed::{BuiltImage, Fleet, Logged};
use serde_json::Value;

const IMAGES: usize = 16;
const PODS: usize = 40;
const REGISTRIES: usize = 2;
/// Deployments beside the pods that have no owner.
const DEPLOYMENTS: usize = 6;
/// Scenarios that run beside one another: most of the time they wait.
const AT_ONCE: usize = 20;

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(usual)
}

/// A fleet with something of every finding.
async fn world() -> Fleet {
    let fleet = Fleet::spread(IMAGES, PODS, REGISTRIES, Duration::ZERO).await.unwrap();
    fleet.attach_some(IMAGES);
    // Even numbers are at home in the first registry.
    let registry = fleet.registries.values().next().unwrap();
    registry.push("team0/app0000", "v1.2.0", &BuiltImage::single("newer"));
    registry.push("team2/app0002", "v1.1.0", &BuiltImage::single("pushed again"));
    registry.delete_tag("team4/app0004", "v1.1.0");
    // The API's watch cache knows half of what runs.
    for number in 0..DEPLOYMENTS {
        if number == DEPLOYMENTS / 2 {
            fleet.kube.fall_behind();
        }
        deploy(&fleet, number);
    }
    fleet
}

/// Two pods of a Deployment, whose ReplicaSet has its name: a row has its place whether or not the owners could be read.
fn deploy(fleet: &Fleet, number: usize) {
    let registry = fleet.registries.values().nth(number % REGISTRIES).unwrap().host();
    let (namespace, name) = (format!("ns{number:02}"), format!("web{number}"));
    let repository = format!("team{}/app{number:04}", number % 7);
    let (image, digest) =
        (format!("{registry}/{repository}:v1.1.0"), BuiltImage::single(&repository).digest());
    let mut owner = Value::Null;
    for kind in ["Deployment", "ReplicaSet"] {
        let uid = fleet.kube.add_owned(("apps/v1", kind), &namespace, &name, &owner);
        owner = controller("apps/v1", kind, &name, &uid);
    }
    for replica in 0..2 {
        let containers = [("app", image.as_str(), &*format!("{registry}/{repository}@{digest}"))];
        fleet.kube.add(pod(&namespace, &format!("{name}-{replica}"), &owner, &containers));
    }
}

fn tuning() -> Tuning {
    support::tuning(support::ATTACHED)
}

async fn run(fleet: &Fleet, timeout: Duration) -> Result<Draft, DiscoveryError> {
    let limits = HostLimits::new(Wanted {
        rate: Some(0),
        timeout: Some(timeout),
        patience: Some(Duration::from_millis(1500)),
        ..Wanted::default()
    });
    let client = RegistryClient::new(ClientSettings { limits, ..ClientSettings::default() }, "test").unwrap();
    let means = Means::new(client, Trust::default()).updates(support::updates());
    let config = kube::Config::new(fleet.kube.url().parse().unwrap());
    let cluster = kube::Client::try_from(config).unwrap();
    let source = Source::Cluster(ClusterSource::new(cluster, Namespaces::default()).page_size(15), None);
    let tuning = Tuning { deadline: Some(Duration::from_secs(20)), ..tuning() };
    let order = Order::new(&tuning);
    let report = examine(source, &means, &tuning, About::default(), &order, |_| {}).await?;
    for used in &report.head().run.as_ref().unwrap().registries {
        // I8: nobody was asked but the registries of images.
        let registry = fleet.registries.get(&used.host);
        let log = registry.unwrap_or_else(|| panic!("{} was asked", used.host)).log();
        // I7: nothing reached a registry past its gate.
        assert!(log.len() as u64 <= used.requests, "{}: {} of {}", used.host, log.len(), used.requests);
        // I1: what was answered is not asked again; an answer that did not come in time is counted as a failure.
        let whole: Vec<_> = log.iter().filter(|logged| !logged.is_struck).map(Logged::line).collect();
        let again = whole.len() - whole.iter().collect::<BTreeSet<_>>().len();
        assert!(again as u64 <= used.failed, "{}: {again} asked again, {} failed", used.host, used.failed);
        // I6: of what never ends no more is read than is allowed.
        let taken = fleet.registries[&used.host].floods_taken();
        assert_eq!(taken, 0, "{}: a flood was read to its end", used.host);
    }
    Ok(report)
}

/// What makes a row that row.
fn key(row: &ImageRecord) -> (String, String, String, String) {
    let running = row.drift.as_ref().and_then(|drift| drift.running_digest.clone());
    let running = running.or_else(|| row.digest.clone()).unwrap_or_default();
    (row.namespace.clone(), row.workload.name.clone(), row.image.clone(), running)
}

/// A stage that has an answer has the true one.
fn assert_true(stage: &str, told: Option<&StageRecord>, is_true: bool, row: &ImageRecord) {
    let told = told.unwrap_or_else(|| panic!("{}: no word on {stage}", row.image));
    match told.outcome {
        OutcomeWord::Found | OutcomeWord::Absent => {
            assert!(is_true, "{}: {stage} says {:?}, which is not so: {row:#?}", row.image, told.outcome);
        }
        OutcomeWord::Failed => {
            let reason = told.reason.as_ref().unwrap_or_else(|| panic!("{}: {stage} failed", row.image));
            // I5: an error of this kind, in words; no stage fell.
            let kind = reason.kind.unwrap_or_else(|| panic!("{}: {stage} has no kind", row.image));
            assert!(
                kind.word() != "panicked" && !reason.message.is_empty(),
                "{}: {stage}: {kind:?}",
                row.image
            );
        }
        OutcomeWord::Skipped | OutcomeWord::NotReached => {}
    }
}

fn assert_holds(draft: &Draft, truth: &Report, scenario: &Scenario) {
    let report = draft.whole();
    let run = report.run.as_ref().unwrap();
    let by_key: BTreeMap<_, _> = truth.images.iter().map(|row| (key(row), row)).collect();
    // I4: what is missing is named.
    let keys: Vec<_> = report.images.iter().map(key).collect();
    if run.problems.iter().any(|problem| problem.rows_missing) {
        assert!(run.partial);
    } else {
        // Pods of one Deployment stand apart where owners could be read for some of them only; the report says so, see below.
        let apart: BTreeSet<_> = keys.iter().collect();
        assert_eq!(apart.len(), by_key.len(), "rows are missing, and nobody says so");
    }
    if report.images.iter().all(|row| row.workload == by_key[&key(row)].workload) {
        // I10: the order is that of the truth.
        let order: Vec<_> = truth.images.iter().map(key).filter(|one| keys.contains(one)).collect();
        assert_eq!(keys, order);
    } else {
        // A row under its ReplicaSet says why. Owners are looked for twice: two lists that are behind deceive anybody.
        let is_said = run.problems.iter().any(|problem| problem.message.starts_with("owners of "));
        let behind = scenario.faults.iter().filter(|fault| fault.effect == Wrong::Stale).count();
        assert!(is_said || behind > 1, "a row stands under its ReplicaSet, and nobody says why: {run:#?}");
    }
    for row in &report.images {
        let true_row = by_key[&key(row)];
        let stages = row.stages.as_ref().unwrap();
        let digest = row.drift == true_row.drift && row.digest == true_row.digest;
        // I2, I3: a failure never turns into a finding.
        assert_true("digest", stages.digest.as_ref(), digest, row);
        assert_true("signature", stages.signature.as_ref(), row.signature == true_row.signature, row);
        assert_true("provenance", stages.provenance.as_ref(), row.provenance == true_row.provenance, row);
        assert_true("sbom", stages.sbom.as_ref(), row.sbom == true_row.sbom, row);
        let update = |row: &ImageRecord| {
            row.update.clone().map(|update| (update.newest_available, update.update_available))
        };
        assert_true("update", stages.update.as_ref(), update(row) == update(true_row), row);
    }
    assert_eq!(summarise(&report.images, &report.helm_releases), report.summary);
    // I9: what is written is whole.
    let folder = tempfile::tempdir().unwrap();
    let written = FileSink::new(folder.path(), None).write(draft).unwrap();
    let read: Report = serde_json::from_slice(&std::fs::read(written.path).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&report).unwrap());
}

/// Runs scenarios until there are none left. Answers how many had a report, and how many of their rows failed.
async fn work(next: Arc<AtomicU64>, end: u64) -> (u64, u64) {
    let fleet = world().await;
    let truth = run(&fleet, Duration::from_mins(1)).await.unwrap().whole();
    assert_eq!(truth.summary.failed_images, Some(0));
    // Those too that the watch cache does not know.
    let deployments = truth.images.iter().filter(|row| row.workload.kind == "Deployment");
    assert_eq!(deployments.count(), DEPLOYMENTS);
    let (mut reports, mut failed) = (0, 0);
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return (reports, failed);
        }
        let scenario = Scenario::random(seed, REGISTRIES);
        fleet.clear();
        scenario.order(&fleet);
        let ended =
            tokio::time::timeout(Duration::from_mins(1), run(&fleet, Duration::from_millis(250))).await;
        let told = || serde_json::to_string(&scenario).unwrap();
        match ended.unwrap_or_else(|_| panic!("seed {seed} does not end: {}", told())) {
            Ok(draft) => {
                let held = std::panic::AssertUnwindSafe(|| assert_holds(&draft, &truth, &scenario));
                if let Err(panic) = std::panic::catch_unwind(held) {
                    let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                    panic!("seed {seed} does not hold: {}: {why}", told());
                }
                reports += 1;
                failed += draft.head().summary.failed_images.unwrap_or_default() as u64;
            }
            // Nothing could be read: only a fault of the API explains that.
            Err(error) => {
                let of_api = scenario.faults.iter().any(|fault| fault.host == "api" || fault.host == "*");
                assert!(of_api, "seed {seed}: {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_no_row_is_lost_and_nothing_untrue_is_said() {
    let (first, count) = (number("PROVENANCE_SOAK_FIRST", 0), number("PROVENANCE_SOAK", 500));
    let next = Arc::new(AtomicU64::new(first));
    let began = Instant::now();
    let workers: Vec<_> =
        (0..AT_ONCE).map(|_| tokio::spawn(work(Arc::clone(&next), first + count))).collect();
    let (mut reports, mut failed) = (0, 0);
    for worker in workers {
        let (of_worker, rows) = worker.await.unwrap();
        reports += of_worker;
        failed += rows;
    }
    println!("{count} scenarios in {:?}: {reports} reports, {failed} rows failed", began.elapsed());
    assert!(count < 100 || (reports > count / 2 && failed > 0), "{reports} reports, {failed} rows failed");
}
