//! The whole collector, as a process of its own, against the testbed: requests an image, wall time, CPU and
//! peak memory. `cargo bench --bench pipeline [-- IMAGES PODS LATENCY_MS]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::process::Command;
use std::time::{Duration, Instant};

use provenance_testbed::Fleet;

/// Requests to one registry at once, as configured by default.
const CONCURRENCY: usize = 8;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let (images, pods, latency_ms) = match numbers[..] {
        [images, pods, latency_ms] => (images, pods, latency_ms),
        _ => (50, 500, 20),
    };
    let latency = Duration::from_millis(latency_ms as u64);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let fleet = runtime.block_on(Fleet::uniform(images, pods, latency)).expect("loopback has free ports");
    fleet.attach_some(images);
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let kubeconfig = measure::kubeconfig(folder.path(), &fleet.kube.url());
    let registry = fleet.registries.values().next().expect("the fleet has a registry");
    println!("{images} images, {pods} pods, {latency_ms} ms, {CONCURRENCY} requests at once");
    for (told, everything, age) in [
        ("digests only", false, false),
        ("everything on", true, false),
        ("everything on, and --image-age", true, true),
    ] {
        println!("\n{told}");
        println!("| run | registry requests | an image | API requests | wall | floor | CPU | peak memory |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
        for run in 1..=3 {
            registry.clear_log();
            let api_before = fleet.kube.log().len();
            let began = Instant::now();
            let (cpu, peak) = collect(&kubeconfig, &folder.path().join("reports"), everything, age);
            let wall = began.elapsed();
            let requests = registry.log().len();
            let api = fleet.kube.log().len() - api_before;
            let rounds = requests.div_ceil(CONCURRENCY) + api;
            let floor = latency * u32::try_from(rounds).unwrap_or(u32::MAX);
            println!(
                "| {run} | {requests} | {:.2} | {api} | {:.2} s | {:.2} s | {:.2} s | {:.1} MiB |",
                requests as f64 / images as f64,
                wall.as_secs_f64(),
                floor.as_secs_f64(),
                cpu.as_secs_f64(),
                peak as f64 / 1024.0,
            );
        }
    }
}

/// Runs the collector; answers its CPU time and its peak resident memory in KiB.
fn collect(
    kubeconfig: &std::path::Path,
    reports: &std::path::Path,
    everything: bool,
    age: bool,
) -> (Duration, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    command
        .arg("collect")
        .env("KUBECONFIG", kubeconfig)
        .env("PROVENANCE_REPORT_PATH", reports)
        .env("PROVENANCE_REGISTRY_CONCURRENCY", CONCURRENCY.to_string())
        .env("PROVENANCE_REGISTRY_RATE", "0")
        .env("PROVENANCE_LOG", "warn")
        .env("PROVENANCE_COSIGN_PUBLIC_KEY", Fleet::demo_key())
        .env("PROVENANCE_VERIFY_SIGNATURES", everything.to_string())
        .env("PROVENANCE_CHECK_PROVENANCE", everything.to_string())
        .env("PROVENANCE_CHECK_SBOM", everything.to_string())
        .env("PROVENANCE_CHECK_UPDATES", everything.to_string())
        .env("PROVENANCE_HELM_ENABLED", everything.to_string())
        .env("PROVENANCE_IMAGE_AGE", age.to_string());
    let measured = measure::run(&mut command);
    assert!(measured.status.success(), "the collector ended with {}", measured.status);
    (measured.cpu, measured.peak_kib)
}
