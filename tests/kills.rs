//! Collectors and dashboards that are killed at any instant, by seed: what they leave behind is whole, what was accepted is kept,
//! and the next run says what is true. `PROVENANCE_KILLS=500 cargo test --test kills` kills more of them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/served.rs"]
mod served;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use provenance_model::report::Report;
use provenance_testbed::Fleet;
use served::Served;
use tempfile::TempDir;

const IMAGES: usize = 12;
const PODS: usize = 30;

/// A cluster, and a folder for everything that a collector and a dashboard write.
struct Bench {
    /// Held: it serves until it is dropped.
    _fleet: Fleet,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let fleet = Fleet::spread(IMAGES, PODS, 2, Duration::from_millis(5)).await.unwrap();
        fleet.attach_some(IMAGES);
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\n\
             contexts: [{{name: c, context: {{cluster: c, user: ''}}}}]\nclusters: [{{name: c, cluster: {{server: '{}'}}}}]\n",
            fleet.kube.url()
        );
        fs::write(folder.path().join("kubeconfig"), text).unwrap();
        Self { _fleet: fleet, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A collector that writes into the folder `written`, or uploads.
    fn collect(&self, upload: Option<&Served>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
        command
            .args([
                "collect",
                "--log",
                "error",
                "--registry-rate",
                "0",
                "--cache-max-age",
                "0s",
                "--kubeconfig",
            ])
            .arg(self.path("kubeconfig"))
            .arg("--cache")
            .arg(self.path("cache"))
            .env("PROVENANCE_COSIGN_PUBLIC_KEY", Fleet::demo_key())
            .stderr(Stdio::null());
        match upload {
            Some(served) => command
                .args(["--report-output", "http", "--report-upload-url"])
                .arg(format!("http://{}/internal/reports", served.internal)),
            None => command.arg("--report-path").arg(self.path("written")),
        };
        command.spawn().unwrap()
    }
}

/// The reports of a folder; every file that has a report's name is one, in whole.
fn reports(folder: &Path) -> Vec<Report> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_report = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("provenance-") && path.extension().is_some_and(|end| end == "json")
    };
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    entries.filter(is_report).map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_what_is_left_is_whole_and_the_next_run_says_what_is_true() {
    let rounds: u64 = std::env::var("PROVENANCE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(24);
    let bench = Bench::new().await;
    let (written, kept) = (bench.path("written"), bench.path("kept"));
    assert!(bench.collect(None).wait().unwrap().success());
    let truth = reports(&written).remove(0).summary;
    assert_eq!((truth.total_images, truth.failed_images), (PODS, Some(0)));

    let (mut killed, mut accepted) = (0, 0);
    for seed in 0..rounds {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut wait = |most: u64| std::thread::sleep(Duration::from_millis(random.u64(0..most)));
        let served = Served::start(&kept, &[]);
        let before = served.get("/api/reports").json().as_array().unwrap().len();
        assert!(before >= accepted, "seed {seed}: {before} reports of {accepted} that were accepted");
        let mut collector = bench.collect((seed % 3 != 0).then_some(&served));
        wait(220);
        // First the one, then the other; either may have ended before.
        let served = if seed % 2 == 0 {
            drop(served);
            None
        } else {
            Some(served)
        };
        wait(60);
        if seed % 4 == 3 {
            let ended = collector.wait().unwrap();
            accepted = before + usize::from(ended.success() && seed % 3 != 0);
        } else {
            collector.kill().unwrap();
            killed += u64::from(!collector.wait().unwrap().success());
        }
        drop(served);
        for report in reports(&written).iter().chain(&reports(&kept)) {
            assert_eq!(report.summary, truth, "seed {seed}");
            assert_eq!(report.images.len(), PODS, "seed {seed}");
        }
    }
    assert!(killed > rounds / 4, "{killed} of {rounds} were killed at work");

    // Everything that was left behind serves the last run and the last dashboard.
    let served = Served::start(&kept, &[]);
    let before = served.get("/api/reports").json().as_array().unwrap().len();
    assert!(before >= accepted, "{before} reports of {accepted} that were accepted");
    assert!(bench.collect(Some(&served)).wait().unwrap().success());
    assert_eq!(served.get("/api/reports").json().as_array().unwrap().len(), before + 1);
    let latest: Report = serde_json::from_value(served.get("/api/reports/latest").json()).unwrap();
    assert_eq!(latest.summary, truth);
    let cache = latest.run.unwrap().cache.unwrap();
    assert!(cache.hits > 0 && cache.damaged == 0, "{cache:?}");
    println!("{rounds} rounds, {killed} killed at work, {before} reports kept");
}
