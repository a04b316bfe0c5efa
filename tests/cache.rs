//! Runs that keep answers for the next: what is asked again and what is not, and that the reports are the same.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Means, Source};
use provenance_model::DriftState;
use provenance_model::report::stages::stages;
use provenance_model::report::{Finding, ImageRecord, Report, SignatureVerdict};
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::{
    CacheSettings, ClientSettings, DiskCache, HostLimits, RegistryClient, Wanted,
};
use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::{BuiltImage, Fleet, Registry};
use serde_json::Value;

const HOUR: Duration = Duration::from_hours(1);

fn settings(folder: &Path, max_age: Duration) -> ClientSettings {
    let settings = CacheSettings { folder: folder.to_owned(), most: 1 << 30, max_age };
    let limits = HostLimits::new(Wanted { rate: Some(0), ..Wanted::default() });
    ClientSettings { limits, cache: Some(DiskCache::open(settings).unwrap()), ..ClientSettings::default() }
}

/// One run, everything on; it ends as the command does.
async fn examine(fleet: &Fleet, settings: ClientSettings) -> Report {
    let has_budgets = settings.limits.has_budgets();
    let client = RegistryClient::new(settings, "test").unwrap();
    let means = Means::new(client, Trust::default()).updates(support::updates()).budgets(has_budgets);
    let config = kube::Config::new(fleet.kube.url().parse().unwrap());
    let cluster = kube::Client::try_from(config).unwrap();
    let source = Source::Cluster(ClusterSource::new(cluster, Namespaces::default()), None);
    let tuning = support::tuning(support::ATTACHED);
    let order = Order::new(&tuning);
    let report = run(source, &means, &tuning, About::default(), &order, |_| {}).await.unwrap();
    if let Some(cache) = means.client.cache() {
        cache.close().await;
    }
    report
}

fn registry(fleet: &Fleet) -> &Registry {
    fleet.registries.values().next().unwrap()
}

/// Fails with what differs first, by its place.
#[track_caller]
fn assert_same(one: &Report, other: &Report) {
    if let Some(difference) = difference("", &timeless(one), &timeless(other)) {
        panic!("{difference}");
    }
}

fn difference(place: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(of_one), Value::Object(of_other)) => {
            let names: std::collections::BTreeSet<_> = of_one.keys().chain(of_other.keys()).collect();
            names
                .into_iter()
                .find_map(|name| difference(&format!("{place}/{name}"), &one[name], &other[name]))
        }
        (Value::Array(of_one), Value::Array(of_other)) if of_one.len() == of_other.len() => {
            (0..of_one.len()).find_map(|at| difference(&format!("{place}/{at}"), &one[at], &other[at]))
        }
        _ => (one != other).then(|| format!("{place}: {one} against {other}")),
    }
}

/// The report as JSON without its times and without what was asked of whom.
fn timeless(report: &Report) -> Value {
    let mut value = serde_json::to_value(report).unwrap();
    value["metadata"]["generatedAt"] = Value::Null;
    value["run"] = Value::Null;
    forget_since(&mut value);
    value
}

fn forget_since(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("since");
            fields.values_mut().for_each(forget_since);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_since),
        _ => {}
    }
}

async fn fleet(images: usize, pods: usize) -> Fleet {
    let fleet = Fleet::uniform(images, pods, Duration::ZERO).await.unwrap();
    fleet.attach_some(images);
    fleet
}

fn row<'a>(report: &'a Report, image: &str) -> &'a ImageRecord {
    report.images.iter().find(|row| row.image.contains(image)).unwrap()
}

/// Every file of the cache but its locks.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_second_run_over_an_unchanged_cluster_asks_what_tags_name_and_nothing_else() {
    let fleet = fleet(50, 500).await;
    let folder = tempfile::tempdir().unwrap();
    let first = examine(&fleet, settings(folder.path(), HOUR)).await;
    let cold = registry(&fleet).log().len();
    assert!(cold <= 320, "{cold}");
    registry(&fleet).clear_log();

    let second = examine(&fleet, settings(folder.path(), HOUR)).await;
    let warm = registry(&fleet).log();
    assert_same(&first, &second);
    assert_eq!(warm.len(), 50, "one request an image");
    assert!(warm.iter().all(|logged| logged.path.ends_with("/manifests/v1.1.0")), "{warm:?}");
    let used = second.run.unwrap().cache.unwrap();
    assert!(used.hits > 100 && used.bytes > 0 && used.damaged == 0 && used.unwritten == 0, "{used:?}");
    let signed = second.images.iter().filter(|row| row.signature.as_ref().unwrap().signed).count();
    assert_eq!(signed, 250);
    let stages = second.images[0].stages.clone().unwrap();
    let since =
        |stage: &provenance_model::report::StageRecord| stage.asked.iter().any(|asked| asked.since.is_some());
    assert!(!since(&stages.digest.unwrap()), "what a tag names is asked today");
    assert!(since(&stages.signature.unwrap()), "the row says of when an answer is");
}

#[tokio::test]
async fn what_can_change_is_seen_in_the_next_run() {
    let fleet = fleet(8, 8).await;
    let folder = tempfile::tempdir().unwrap();
    examine(&fleet, settings(folder.path(), HOUR)).await;
    let registry = registry(&fleet);
    // A tag moves; what runs is deleted; a tag is deleted.
    registry.push("team1/app0001", "v1.1.0", &BuiltImage::single("pushed again"));
    let gone = BuiltImage::single("team2/app0002").digest();
    registry.push("team2/app0002", "v1.1.0", &BuiltImage::single("pushed again, too"));
    registry.delete_manifest("team2/app0002", &gone);
    registry.delete_tag("team3/app0003", "v1.1.0");
    let report = examine(&fleet, settings(folder.path(), HOUR)).await;
    let state = |image: &str| row(&report, image).drift.as_ref().unwrap().state;
    assert_eq!(state("app0001"), DriftState::Drifted);
    assert_eq!(state("app0002"), DriftState::DigestGone);
    assert_eq!(state("app0003"), DriftState::TagGone);
    assert_eq!(state("app0004"), DriftState::Same);
}

#[tokio::test]
async fn a_list_that_is_too_old_is_asked_for_with_what_is_known_of_it() {
    let fleet = fleet(4, 4).await;
    let folder = tempfile::tempdir().unwrap();
    let before = examine(&fleet, settings(folder.path(), Duration::ZERO)).await;
    let verdict = |report: &Report| row(report, "app0001").signature.as_ref().unwrap().verdict;
    assert_eq!(verdict(&before), Some(SignatureVerdict::Unsigned));
    let digest = BuiltImage::single("team1/app0001").digest();
    let registry = registry(&fleet);
    registry.attach(
        "team1/app0001",
        Some(&attach::tag(&digest, ".sig")),
        &SigningKey::number(1).signature(&digest),
    );
    registry.push("team1/app0001", "v1.1.1", &BuiltImage::single("newer"));
    registry.clear_log();
    let after = examine(&fleet, settings(folder.path(), Duration::ZERO)).await;
    assert_eq!(verdict(&after), Some(SignatureVerdict::NotChecked));
    assert_eq!(row(&after, "app0001").update.as_ref().unwrap().newest_available.as_deref(), Some("v1.1.1"));
    let lists: Vec<_> =
        registry.log().into_iter().filter(|logged| logged.path.contains("/tags/list")).collect();
    let statuses: Vec<_> = lists.iter().map(|logged| logged.status).collect();
    assert_eq!(lists.len(), 4);
    assert_eq!(statuses.iter().filter(|status| **status == 304).count(), 3, "{statuses:?}");
}

#[tokio::test]
async fn runs_that_share_a_folder_at_once_report_the_same() {
    let fleet = fleet(20, 40).await;
    let folder = tempfile::tempdir().unwrap();
    let plain = examine(&fleet, ClientSettings { cache: None, ..settings(folder.path(), HOUR) }).await;
    let (one, two, three) = tokio::join!(
        examine(&fleet, settings(folder.path(), HOUR)),
        examine(&fleet, settings(folder.path(), HOUR)),
        examine(&fleet, settings(folder.path(), HOUR)),
    );
    for report in [one, two, three, examine(&fleet, settings(folder.path(), HOUR)).await] {
        assert_same(&report, &plain);
        assert_eq!(report.run.unwrap().cache.unwrap().damaged, 0);
    }
    assert!(!files(folder.path()).iter().any(|file| file.extension().is_some_and(|end| end == "tmp")));
}

#[tokio::test]
async fn whatever_is_damaged_is_asked_for_again() {
    let fleet = fleet(6, 6).await;
    let folder = tempfile::tempdir().unwrap();
    let first = examine(&fleet, settings(folder.path(), HOUR)).await;
    for round in 0..3 {
        for (number, file) in files(folder.path()).into_iter().enumerate() {
            let mut bytes = fs::read(&file).unwrap();
            match (number + round) % 3 {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1),
                _ => {}
            }
            fs::write(&file, bytes).unwrap();
        }
        let next = examine(&fleet, settings(folder.path(), HOUR)).await;
        assert_same(&next, &first);
        assert!(next.run.unwrap().cache.unwrap().damaged > 0);
    }
}

#[tokio::test]
async fn the_folder_is_an_oci_layout_of_what_tags_name() {
    let fleet = fleet(4, 4).await;
    let folder = tempfile::tempdir().unwrap();
    examine(&fleet, settings(folder.path(), HOUR)).await;
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    let index = read("index.json");
    let manifests = index["manifests"].as_array().unwrap();
    assert!(manifests.len() >= 4, "{index}");
    for descriptor in manifests {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = fs::read(folder.path().join("blobs").join(digest.replace(':', "/"))).unwrap();
        assert_eq!(descriptor["size"], bytes.len());
    }
    let name = format!("{}/team0/app0000:v1.1.0", registry(&fleet).host());
    let named = |name: &str| {
        let is = |d: &&Value| d["annotations"]["org.opencontainers.image.ref.name"] == name;
        manifests.iter().find(is).map(|d| d["digest"].as_str().unwrap().to_owned())
    };
    assert_eq!(named(&name), Some(BuiltImage::single("team0/app0000").digest()));
}

#[tokio::test]
async fn a_cache_that_is_full_keeps_what_was_used_last() {
    let fleet = fleet(12, 12).await;
    let folder = tempfile::tempdir().unwrap();
    let small = |most: u64| {
        let cache = DiskCache::open(CacheSettings { folder: folder.path().to_owned(), most, max_age: HOUR });
        ClientSettings { cache: Some(cache.unwrap()), ..settings(folder.path(), HOUR) }
    };
    let first = examine(&fleet, small(1 << 30)).await;
    let size = || -> u64 {
        let parts = ["blobs", "answers-1", "subjects-1"].map(|part| files(&folder.path().join(part)));
        parts.iter().flatten().map(|file| fs::metadata(file).unwrap().len()).sum()
    };
    let whole = size();
    let second = examine(&fleet, small(whole / 2)).await;
    assert_same(&first, &second);
    assert!(size() <= whole / 2, "{} of {whole}", size());
    assert_same(&examine(&fleet, small(whole / 2)).await, &first);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_requests_and_nothing_else() {
    let fleet = fleet(4, 4).await;
    let folder = tempfile::tempdir().unwrap();
    let cached = settings(folder.path(), HOUR);
    // Files where folders should be: root may write where permissions say that nobody may.
    for name in ["blobs", "answers-1", "subjects-1"] {
        fs::remove_dir_all(folder.path().join(name)).ok();
        fs::write(folder.path().join(name), "in the way").unwrap();
    }
    let plain = examine(&fleet, ClientSettings { cache: None, ..cached.clone() }).await;
    let report = examine(&fleet, cached).await;
    assert_same(&report, &plain);
    assert!(report.run.unwrap().cache.unwrap().unwritten > 0);
    let error = DiskCache::open(CacheSettings { folder: folder.path().to_owned(), most: 1, max_age: HOUR })
        .unwrap_err();
    assert!(error.contains(&folder.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn with_a_budget_what_was_examined_longest_ago_comes_first_and_the_rest_says_that_it_is_deferred() {
    let fleet = fleet(9, 9).await;
    let folder = tempfile::tempdir().unwrap();
    let budget = |requests| {
        let limits = HostLimits::new(Wanted { rate: Some(0), budget: Some(requests), ..Wanted::default() });
        // Lists are asked in every run, so that every image costs something.
        ClientSettings { limits, ..settings(folder.path(), Duration::ZERO) }
    };
    let mut seen: Vec<Vec<String>> = Vec::new();
    for _ in 0..4 {
        registry(&fleet).clear_log();
        let report = examine(&fleet, budget(15)).await;
        let asked = registry(&fleet).log().len();
        assert!(asked <= 15, "{asked}");
        assert_eq!(report.images.len(), 9, "nothing is lost");
        let of = |deferred: bool| {
            let rows = report.images.iter().filter(|row| (Finding::of(row) == Finding::Deferred) == deferred);
            rows.map(|row| row.image.clone()).collect::<Vec<_>>()
        };
        assert_eq!(report.summary.deferred_images, Some(of(true).len()));
        assert_eq!((report.summary.failed_images, report.run.as_ref().unwrap().partial), (Some(0), false));
        for row in report.images.iter().filter(|row| of(true).contains(&row.image)) {
            let mut deferred = stages(row).filter(|(_, stage)| stage.is_deferred());
            let (_, stage) = deferred.next().unwrap();
            let why = &stage.reason.as_ref().unwrap().message;
            assert!(why.starts_with("deferred to the next run: the budget of 15"), "{why}");
        }
        assert!(!of(false).is_empty() && !of(true).is_empty());
        seen.push(of(false));
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    let all: std::collections::BTreeSet<_> = seen.iter().flatten().collect();
    assert_eq!(all.len(), 9, "every image has its turn: {seen:?}");
    assert!(seen[1].iter().all(|image| !seen[0].contains(image)), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_are_killed_leave_a_cache_that_the_next_run_can_trust() {
    let fleet = fleet(20, 20).await;
    let folder = tempfile::tempdir().unwrap();
    let plain = examine(&fleet, ClientSettings { cache: None, ..settings(folder.path(), HOUR) }).await;
    let kubeconfig = folder.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\n\
         contexts: [{{name: c, context: {{cluster: c, user: ''}}}}]\nclusters: [{{name: c, cluster: {{server: '{}'}}}}]\n",
        fleet.kube.url()
    );
    fs::write(&kubeconfig, text).unwrap();
    let cache = folder.path().join("cache");
    for round in 0..12 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_provenance-collector"))
            .args(["collect", "--log", "error", "--registry-rate", "0", "--kubeconfig"])
            .arg(&kubeconfig)
            .arg("--cache")
            .arg(&cache)
            .arg("--report-path")
            .arg(folder.path().join("reports"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(Duration::from_millis(40 + 25 * round)).await;
        // SIGKILL; it may have ended by itself.
        child.kill().ok();
        child.wait().unwrap();
        assert_same(&examine(&fleet, settings(&cache, HOUR)).await, &plain);
        if round % 4 == 3 {
            // From a cold cache again.
            fs::remove_dir_all(&cache).unwrap();
        }
    }
}
