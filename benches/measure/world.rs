//! A cluster and its registries, and collectors that are run over them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use provenance_model::report::Report;
use provenance_testbed::Fleet;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Measured, collector, kubeconfig, run};

/// A fleet that serves until it is dropped, and a folder for what is written.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    latency: Duration,
    folder: TempDir,
    kubeconfig: PathBuf,
    _runtime: Runtime,
}

/// What one run asked and took.
pub(crate) struct Took {
    /// Requests to registries.
    pub(crate) requests: usize,
    /// Of these, how many were told to slow down.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) refused: usize,
    /// Requests to the Kubernetes API, one after another.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) api: usize,
    /// Bytes of the registries' answers.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) bytes: u64,
    /// What the process took.
    pub(crate) process: Measured,
}

impl World {
    /// So many pods over so many images of so many registries; every second image is signed, every fifth has provenance,
    /// every seventh an SBOM.
    pub(crate) fn new(images: usize, pods: usize, registries: usize, latency: Duration) -> Self {
        Self::of(Fleet::spread(images, pods, registries, latency), images, latency)
    }

    /// The same without latency, with the pods in Deployments of so many each.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) fn deployed(images: usize, pods: usize, replicas: usize, registries: usize) -> Self {
        let latency = Duration::ZERO;
        Self::of(Fleet::deployed(images, pods, replicas, registries, latency), images, latency)
    }

    fn of(fleet: impl Future<Output = std::io::Result<Fleet>>, images: usize, latency: Duration) -> Self {
        let runtime = Runtime::new().expect("a runtime can be started");
        let fleet = runtime.block_on(fleet).expect("loopback has free ports");
        fleet.attach_some(images);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let kubeconfig = kubeconfig(folder.path(), &fleet.kube.url());
        Self { fleet, latency, folder, kubeconfig, _runtime: runtime }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A collector with everything on, and no rate.
    pub(crate) fn collect(&self) -> Command {
        let mut command = collector();
        command
            .arg("collect")
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PROVENANCE_REPORT_PATH", self.folder().join("reports"))
            .env("PROVENANCE_REGISTRY_RATE", "0")
            .env("PROVENANCE_LOG", "error")
            .env("PROVENANCE_COSIGN_PUBLIC_KEY", Fleet::demo_key())
            .env("MALLOC_ARENA_MAX", "2");
        command
    }

    /// Runs it; no row may fail.
    pub(crate) fn run(&self, command: &mut Command) -> Took {
        self.fleet.clear_logs();
        // A report of a hundred thousand rows has half a gigabyte.
        std::fs::remove_dir_all(self.folder().join("reports")).ok();
        let process = run(command);
        assert!(process.status.success(), "the collector ended with {}", process.status);
        let logs: Vec<_> =
            self.fleet.registries.values().flat_map(provenance_testbed::Registry::log).collect();
        Took {
            requests: logs.len(),
            refused: logs.iter().filter(|logged| logged.status == 429).count(),
            api: self.fleet.kube.log().len(),
            bytes: self.received(),
            process,
        }
    }

    /// What the requests take at the least: those to the API one after another, those to the registries so many at once
    /// for each.
    pub(crate) fn floor(&self, requests: usize, api: usize, at_once: usize) -> Duration {
        let rounds = requests.div_ceil(at_once * self.fleet.registries.len()) + api;
        self.latency * u32::try_from(rounds).unwrap_or(u32::MAX)
    }

    /// What the last report says of bytes; it is read to the end, and every row must have been examined.
    fn received(&self) -> u64 {
        let latest = self.folder().join("reports/provenance-latest.json");
        let file = std::fs::File::open(latest).expect("the collector writes a report");
        let report: Report =
            serde_json::from_reader(std::io::BufReader::new(file)).expect("a report is JSON");
        assert_eq!(report.summary.failed_images, Some(0), "a row failed");
        let run = report.run.expect("a report tells of its run");
        run.registries.iter().map(|registry| registry.bytes).sum()
    }
}
