//! A registry that throttles, beside two that do not: how near to the ideal it is finished, and whether the others notice.
//! `cargo bench --bench pacing [-- IMAGES LATENCY_MS ALLOWED_A_SECOND RETRY_AFTER_S]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::process::Command;
use std::time::{Duration, Instant};

use provenance_testbed::Fleet;

const REGISTRIES: usize = 3;

/// How one registry fared.
struct Fared {
    requests: usize,
    refused: usize,
    /// From the start of the run to the last request.
    finished: Duration,
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [images, latency_ms, allowed, retry_after] = match numbers[..] {
        [images, latency, allowed, retry_after] => [images, latency, allowed, retry_after],
        _ => [150, 20, 20, 1],
    };
    println!(
        "{images} images in {REGISTRIES} registries at {latency_ms} ms; one answers {allowed} requests a second, then 429 with \
         Retry-After: {retry_after}"
    );
    println!("| run | registry | requests | refused | finished | ideal | ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for run in 1..=3 {
        let calm = round(images, latency_ms, None);
        let storm = round(images, latency_ms, Some((allowed, retry_after)));
        let throttled = &storm[0];
        let answered = throttled.requests - throttled.refused;
        let ideal = (answered.saturating_sub(allowed)) as f64 / allowed as f64;
        let finished = throttled.finished.as_secs_f64();
        println!(
            "| {run} | throttled | {} | {} | {finished:.2} s | {ideal:.2} s | {:.2} |",
            throttled.requests,
            throttled.refused,
            finished / ideal
        );
        for (number, (calm, storm)) in calm.iter().zip(&storm).enumerate().skip(1) {
            let (calm, other) = (calm.finished.as_secs_f64(), storm.finished.as_secs_f64());
            println!(
                "| {run} | other {number} | {} | {} | {other:.2} s | {calm:.2} s without the storm | {:.2} |",
                storm.requests,
                storm.refused,
                other / calm
            );
        }
    }
}

fn round(images: usize, latency_ms: usize, throttle: Option<(usize, usize)>) -> Vec<Fared> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let latency = Duration::from_millis(latency_ms as u64);
    let fleet = runtime
        .block_on(Fleet::spread(images, images * 10, REGISTRIES, latency))
        .expect("loopback has free ports");
    fleet.attach_some(images);
    if let (Some((allowed, retry_after)), Some(registry)) = (throttle, fleet.registries.values().next()) {
        registry.throttle(allowed, u32::try_from(retry_after).unwrap_or(u32::MAX));
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let kubeconfig = measure::kubeconfig(folder.path(), &fleet.kube.url());
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    command
        .arg("collect")
        .env("KUBECONFIG", kubeconfig)
        .env("PROVENANCE_REPORT_PATH", folder.path().join("reports"))
        .env("PROVENANCE_LOG", "error");
    let measured = measure::run(&mut command);
    // A row that failed would make it 0 all the same: the report says so.
    assert!(measured.status.success(), "the collector ended with {}", measured.status);
    let latest = folder.path().join("reports").join("provenance-latest.json");
    let report = std::fs::read_to_string(latest).expect("the collector writes a report");
    assert!(report.contains("\"failedImages\":0") || report.contains("\"failedImages\": 0"), "a row failed");
    let fared = fleet.registries.values().map(|registry| {
        let log = registry.log();
        Fared {
            requests: log.len(),
            refused: log.iter().filter(|logged| logged.status == 429).count(),
            finished: log.last().map_or(Duration::ZERO, |last| last.at - began),
        }
    });
    fared.collect()
}
