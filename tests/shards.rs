//! A run that several processes share: what the dashboard makes of the parts is what one process would have said, and a part
//! that is missing is told.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/served.rs"]
mod served;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use provenance_testbed::{Fleet, helm};
use serde_json::{Value, json};
use tempfile::TempDir;

use served::Served;

const IMAGES: usize = 240;
const PODS: usize = 20_000;
const SHARDS: usize = 4;

struct Bench {
    fleet: Fleet,
    folder: TempDir,
}

impl Bench {
    async fn new(images: usize, pods: usize) -> Self {
        let fleet = Fleet::uniform(images, pods, Duration::ZERO).await.unwrap();
        fleet.attach_some(images);
        let registry = fleet.registries.values().next().unwrap();
        let chart = |version: &str| json!({"apiVersion": "v2", "name": "app", "version": version});
        for version in ["1.2.0", "2.0.0"] {
            registry.push("charts/app", version, &helm::chart(&chart(version)));
        }
        // Each release made two pods, whose images fall to different shards as it comes.
        for number in 0..40 {
            let namespace = format!("ns{:02}", number % 20);
            let pods = [number, number + 40].map(|pod| {
                let image = pod % images;
                format!("---\nkind: Pod\nmetadata: {{name: app{image:04}-{pod}, namespace: {namespace}}}\n")
            });
            let release = helm::release(
                &namespace,
                &format!("r{number}"),
                1,
                "deployed",
                &chart("1.2.0"),
                &pods.concat(),
            );
            fleet.kube.add(helm::stored("Secret", &release));
        }
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\ncontexts: [{{name: c, context: {{cluster: c, user: ''}}}}]\n\
             clusters: [{{name: c, cluster: {{server: '{}'}}}}]\n",
            fleet.kube.url()
        );
        std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
        let config = format!("charts:\n  repositories: [{{url: 'oci://{}/charts'}}]\n", registry.host());
        std::fs::write(folder.path().join("config.yaml"), config).unwrap();
        Self { fleet, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn collect(&self, served: &Served) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
        command
            .args(["collect", "--registry-rate", "0", "--cluster-name", "big", "--report-output", "http"])
            .args(["--fail-on", "outdated:major,failed", "--log", "warn", "--report-upload-url"])
            .arg(format!("http://{}/internal/reports", served.internal))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("PROVENANCE_CONFIG", self.path("config.yaml"))
            .env("PROVENANCE_COSIGN_PUBLIC_KEY", Fleet::demo_key());
        command
    }

    /// One shard of a run, as an Indexed Job starts it.
    fn shard(&self, served: &Served, run: &str, index: usize) -> Output {
        let mut command = self.collect(served);
        command.env("JOB_COMPLETION_INDEX", index.to_string());
        command.args(["--shards", &SHARDS.to_string(), "--run-id", run]).output().unwrap()
    }
}

fn serve(folder: &Path, wait: &str) -> Served {
    Served::start(folder, &["--upload-max-bytes", "268435456", "--parts-wait", wait])
}

fn reports(served: &Served) -> Vec<Value> {
    served.get("/api/reports").json().as_array().cloned().unwrap()
}

fn wait_for(served: &Served, count: usize) {
    let began = Instant::now();
    while reports(served).len() < count {
        assert!(began.elapsed() < Duration::from_mins(1), "{:?}", reports(served));
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Without what differs between any two runs: times, and requests that each process makes for itself.
fn timeless(mut report: Value) -> Value {
    report["metadata"].as_object_mut().unwrap().remove("generatedAt");
    let run = report["run"].as_object_mut().unwrap();
    for field in ["startedAt", "durationSeconds", "registries", "stages", "peakMemoryBytes"] {
        run.remove(field).unwrap();
    }
    report
}

fn rows(report: &Value) -> &Vec<Value> {
    report["images"].as_array().unwrap()
}

/// Fields that differ, for a message that can be read.
fn differing(one: &Value, other: &Value) -> Vec<String> {
    let fields = ["metadata", "summary", "run", "helmReleases"].into_iter();
    let mut told: Vec<_> = fields
        .filter(|field| one[field] != other[field])
        .map(|field| {
            format!("{field}: {:.2000} / {:.2000}", one[field].to_string(), other[field].to_string())
        })
        .collect();
    let pair = rows(one).iter().zip(rows(other)).find(|(one, other)| one != other);
    told.extend(pair.map(|(one, other)| format!("row: {one} / {other}")));
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn four_shards_over_twenty_thousand_pods_say_what_one_process_says() {
    let bench = Bench::new(IMAGES, PODS).await;
    let served = serve(&bench.path("reports"), "1h");
    let alone = bench.collect(&served).output().unwrap();
    assert_eq!(alone.status.code(), Some(4), "{}", String::from_utf8_lossy(&alone.stderr));
    let one = served.get("/api/reports/latest").json();
    let registry = bench.fleet.registries.values().next().unwrap();
    let asked_alone = registry.log().len();
    registry.clear_log();
    // In another order than that of their indexes, and the last one twice: an answer can be lost.
    let mut asked = Vec::new();
    for index in [2, 0, 3, 1, 1] {
        let output = bench.shard(&served, "a-run", index);
        assert!(
            [Some(0), Some(4)].contains(&output.status.code()),
            "{index}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        asked.push(registry.log().len());
        registry.clear_log();
    }
    assert_eq!(reports(&served).len(), 2, "a part that comes again begins no other report");
    let joined = served.get("/api/reports/latest").json();
    assert_eq!((rows(&one).len(), one["helmReleases"].as_array().unwrap().len()), (PODS, 40));
    let links = |report: &Value| rows(report).iter().filter(|row| row.get("helmRelease").is_some()).count();
    assert_eq!((links(&one), links(&joined)), (80, 80));
    assert_eq!(one["helmReleases"][0]["update"]["newestAvailable"], "2.0.0", "{}", one["helmReleases"][0]);
    let (one, joined) = (timeless(one), timeless(joined));
    assert!(one == joined, "{:#?}", differing(&one, &joined));
    // Each repository is asked about by one shard; only the lists of charts are asked for by several.
    let of_four: usize = asked[..SHARDS].iter().sum();
    assert!(of_four <= asked_alone + 40, "{asked:?} requests instead of {asked_alone}");
    assert!(asked[4] <= asked[3] + 5, "the same shard again: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_dies_is_named_and_its_rows_come_when_it_comes_late() {
    let bench = Bench::new(40, 200).await;
    let folder = bench.path("reports");
    let served = serve(&folder, "2s");
    for index in [0, 1, 3] {
        bench.shard(&served, "run-1", index);
    }
    wait_for(&served, 1);
    let partial = served.get("/api/reports/latest").json();
    let run = &partial["run"];
    assert_eq!(run["partial"], true);
    let told = run["partialReasons"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].as_str().unwrap().starts_with("part 3 of 4 is missing"), "{told:?}");
    assert!(served.get("/").text().contains("part 3 of 4 is missing"));
    let missing = 200 - rows(&partial).len();
    assert!(missing > 20, "the part has rows: {missing}");
    assert_eq!(partial["summary"]["totalImages"], rows(&partial).len());

    // A restart of the dashboard forgets nothing.
    drop(served);
    let served = serve(&folder, "2s");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(reports(&served).len(), 1, "the same parts are not joined twice");
    bench.shard(&served, "run-1", 2);
    wait_for(&served, 2);
    let whole = served.get("/api/reports/latest").json();
    assert_eq!((rows(&whole).len(), &whole["run"]["partial"]), (200, &json!(false)));
    let left: BTreeSet<_> = std::fs::read_dir(folder.join("parts/run-1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, BTreeSet::from(["joined".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_with_names_that_lead_elsewhere_are_refused() {
    let bench = Bench::new(2, 4).await;
    let served = serve(&bench.path("reports"), "1h");
    let plain = bench.collect(&served).output().unwrap();
    assert!(plain.status.code().is_some_and(|code| code == 0 || code == 4));
    let mut report = served.get("/api/reports/latest").json();
    for part in [
        json!({"run": "../../etc", "index": 0, "count": 2}),
        json!({"run": "", "index": 0, "count": 2}),
        json!({"run": "..", "index": 0, "count": 2}),
        json!({"run": "a", "index": 2, "count": 2}),
        json!({"run": "a", "index": 0, "count": 0}),
        json!({"run": "a", "index": 0, "count": 100_000}),
    ] {
        report["run"]["part"] = part;
        let answer = served.upload(&[], report.to_string().as_bytes());
        assert_eq!(answer.status, 400, "{}: {}", report["run"]["part"], answer.text());
        assert!(answer.text().contains("run.part"), "{}", answer.text());
    }
    assert!(!bench.path("reports").join("parts").exists());
}

#[test]
fn a_shard_that_is_not_told_which_it_is_says_what_to_set() {
    let told = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
        let output =
            command.arg("collect").args(arguments).env_remove("JOB_COMPLETION_INDEX").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let both = told(&["--shards", "4"]);
    assert!(both.contains("set --shard, or run as an Indexed Job") && both.contains("--run-id"), "{both}");
    let past = told(&["--shards", "4", "--shard", "4", "--run-id", "a"]);
    assert!(past.contains("from 0 to 3"), "{past}");
    assert!(told(&["--run-id", "../a"]).contains("is no run's name"));
    assert!(told(&["--fail-on", "unsinged"]).contains("\"unsinged\" is no rule"));
}
