//! A registry that throttles, beside two that do not: how near to the ideal it is finished, and whether the others notice.
//! `cargo bench --bench pacing [-- IMAGES LATENCY_MS ALLOWED_A_SECOND RETRY_AFTER_S]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::process::Command;
use std::time::{Duration, Instant};

use provenance_testbed::Fleet;

const REGISTRIES: usize = 3;
const ROUNDS: usize = 7;

/// How one registry fared.
struct Fared {
    answered: usize,
    refused: usize,
    /// From the start of the run to the last request.
    finished: Duration,
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [images, latency_ms, allowed, retry_after] = match numbers[..] {
        [images, latency, allowed, retry_after] => [images, latency, allowed, retry_after],
        _ => [150, 100, 20, 1],
    };
    println!(
        "{images} images in {REGISTRIES} registries at {latency_ms} ms; one answers {allowed} requests a second, then 429 with \
         Retry-After: {retry_after}; {ROUNDS} runs with the storm and as many without, in turn: the median, and from the \
         least to the most"
    );
    let throttle = Some((allowed, retry_after));
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (round(images, latency_ms, None), round(images, latency_ms, throttle))).collect();
    println!("| registry | requests | refused | finished | compared with | ratio |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for number in 0..REGISTRIES {
        let of = |pick: fn(&Fared) -> f64| Spread::of(rounds.iter().map(|(_, storm)| pick(&storm[number])));
        let finished = of(|fared| fared.finished.as_secs_f64());
        let (name, compared, ratios) = if number == 0 {
            let ideal = |fared: &Fared| fared.answered.saturating_sub(allowed) as f64 / allowed as f64;
            let ideals = rounds.iter().map(|(_, storm)| ideal(&storm[0]));
            let ratios = rounds.iter().map(|(_, storm)| storm[0].finished.as_secs_f64() / ideal(&storm[0]));
            let compared = format!("{:.2} s, the ideal", Spread::of(ideals).median);
            ("throttled".to_owned(), compared, Spread::of(ratios))
        } else {
            let calm = Spread::of(rounds.iter().map(|(calm, _)| calm[number].finished.as_secs_f64()));
            // Against the median: whatever else the machine did in one calm run is not the storm's.
            let ratios = rounds.iter().map(|(_, storm)| storm[number].finished.as_secs_f64() / calm.median);
            let compared =
                format!("{:.2} s without the storm ({:.2} to {:.2})", calm.median, calm.least, calm.most);
            (format!("other {number}"), compared, Spread::of(ratios))
        };
        println!(
            "| {name} | {:.0} | {:.0} | {:.2} s ({:.2} to {:.2}) | {compared} | {:.2} ({:.2} to {:.2}) |",
            of(|fared| (fared.answered + fared.refused) as f64).median,
            of(|fared| fared.refused as f64).median,
            finished.median,
            finished.least,
            finished.most,
            ratios.median,
            ratios.least,
            ratios.most,
        );
    }
}

/// What several runs gave.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.collect();
        values.sort_by(f64::total_cmp);
        Self { least: values[0], median: values[values.len() / 2], most: values[values.len() - 1] }
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
        let refused = log.iter().filter(|logged| logged.status == 429).count();
        Fared {
            answered: log.len() - refused,
            refused,
            finished: log.last().map_or(Duration::ZERO, |last| last.at - began),
        }
    });
    fared.collect()
}
