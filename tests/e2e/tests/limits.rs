//! A run where the machine is not kind: too little memory, a clock that is set while it works.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use provenance_e2e::cgroup::Cgroup;
use provenance_e2e::collector;
use provenance_e2e::process::open_kubeconfig;
use provenance_model::report::Report;
use provenance_testbed::{Fleet, Logged};

fn collect(folder: &Path, fleet: &Fleet) -> Command {
    let mut command = Command::new(collector());
    command
        .args(["collect", "--log", "error", "--registry-rate", "0", "--kubeconfig"])
        .arg(open_kubeconfig(folder, &fleet.kube.url()))
        .arg("--report-path")
        .arg(folder.join("reports"))
        .env("PROVENANCE_COSIGN_PUBLIC_KEY", Fleet::demo_key())
        .env("MALLOC_ARENA_MAX", "2")
        .stdout(Stdio::null());
    command
}

fn latest(folder: &Path) -> Report {
    serde_json::from_slice(&fs::read(folder.join("reports/provenance-latest.json")).unwrap()).unwrap()
}

fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("reports")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_mebibytes_are_enough_for_ten_thousand_pods_and_too_little_memory_leaves_no_half_report() {
    let fleet = Fleet::uniform(500, 10_000, Duration::ZERO).await.unwrap();
    fleet.attach_some(500);
    let folder = tempfile::tempdir().unwrap();
    let command = collect(folder.path(), &fleet);

    let group = Cgroup::with_memory(12 << 20);
    let status = group.run(&command).status().unwrap();
    assert_eq!(
        status.signal().or(status.code().map(|code| code - 128)),
        Some(9),
        "{status}: the kernel kills it"
    );
    assert_eq!(left(folder.path()), Vec::<String>::new());

    fleet.clear_logs();
    let group = Cgroup::with_memory(64 << 20);
    let status = group.run(&command).status().unwrap();
    assert!(status.success(), "{status}");
    let report = latest(folder.path());
    assert_eq!((report.images.len(), report.summary.failed_images), (10_000, Some(0)));
    // One listing of each kind, in pages of 500: nothing is asked twice.
    let asked: Vec<_> = fleet.kube.log().iter().map(Logged::line).collect();
    assert_eq!(asked.iter().filter(|line| line.contains("/pods?")).count(), 20, "{asked:#?}");
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), asked.len(), "{asked:#?}");
}

/// The library that makes a process see another time.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    folders
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("libfaketime is not installed; install it with: tests/e2e/install"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_while_a_run_works_changes_no_row() {
    let fleet = Fleet::uniform(40, 80, Duration::from_millis(60)).await.unwrap();
    fleet.attach_some(40);
    let folder = tempfile::tempdir().unwrap();
    assert!(collect(folder.path(), &fleet).status().unwrap().success());
    let truth = latest(folder.path());

    let clock = folder.path().join("clock");
    // Far ahead, then far back, then both on answers that an earlier run kept at another time.
    for (first, then) in [("+0d", "+3650d"), ("+0d", "-3650d"), ("+3650d", "-400d"), ("-3650d", "+40d")] {
        fs::write(&clock, first).unwrap();
        let mut command = collect(folder.path(), &fleet);
        command
            .arg("--cache")
            .arg(folder.path().join("cache"))
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", &clock)
            .env("FAKETIME_NO_CACHE", "1")
            // What counts seconds goes on: only the clock on the wall is set.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        fs::write(&clock, then).unwrap();
        let status = child.wait().unwrap();
        assert!(status.success(), "{first} {then}: {status}");
        let report = latest(folder.path());
        assert_eq!(report.summary, truth.summary, "{first} {then}");
        let took = report.run.as_ref().unwrap().duration_seconds;
        assert!((0.1..60.0).contains(&took), "{first} {then}: {took} s");
        let moved =
            report.metadata.generated_at.duration_since(truth.metadata.generated_at).as_secs_f64().abs();
        assert!(moved > 30.0 * 86_400.0, "{first} {then}: the clock was set");
    }
}
