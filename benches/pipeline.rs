//! The whole collector, as a process of its own, against the testbed: requests an image, wall time, CPU and
//! peak memory, cold and with the answers of an earlier run. `cargo bench --bench pipeline [-- IMAGES PODS LATENCY_MS REGISTRIES]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::process::Command;
use std::time::Duration;

use measure::world::{Took, World};

/// Requests to one registry at once.
const CONCURRENCY: usize = 16;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let or = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
    let (images, pods, registries) = (or(0, 50), or(1, 500), or(3, 1));
    let latency = Duration::from_millis(or(2, 20) as u64);
    let world = World::new(images, pods, registries, latency);
    println!(
        "{images} images, {pods} pods, {registries} registries, {latency:?}, {CONCURRENCY} requests at once"
    );
    for (told, everything, more) in [
        ("digests only", false, &[][..]),
        ("everything on", true, &[]),
        ("everything on, and --image-age", true, &["--image-age=true"]),
    ] {
        table(told);
        for run in 1..=3 {
            row(run, &world, images, &mut collect(&world, everything, more));
        }
    }
    table("everything on, with the cache of the run before; the first is cold");
    let cache = world.folder().join("cache").display().to_string();
    for run in 1..=3 {
        row(run, &world, images, &mut collect(&world, true, &["--cache", &cache]));
    }
}

fn table(told: &str) {
    println!("\n{told}");
    println!(
        "| run | registry requests | an image | API requests | received | wall | floor | ratio | CPU | peak memory |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

fn row(run: usize, world: &World, images: usize, command: &mut Command) {
    let Took { requests, api, bytes, process, .. } = world.run(command);
    let floor = world.floor(requests, api, CONCURRENCY);
    let ratio =
        if floor.is_zero() { String::new() } else { format!("{:.2}", process.wall.div_duration_f64(floor)) };
    println!(
        "| {run} | {requests} | {:.2} | {api} | {:.2} MiB | {:.2} s | {:.2} s | {ratio} | {:.2} s | {:.1} MiB |",
        requests as f64 / images as f64,
        bytes as f64 / f64::from(1 << 20),
        process.wall.as_secs_f64(),
        floor.as_secs_f64(),
        process.cpu.as_secs_f64(),
        process.peak_kib as f64 / 1024.0,
    );
}

fn collect(world: &World, everything: bool, more: &[&str]) -> Command {
    let mut command = world.collect();
    command.env("PROVENANCE_REGISTRY_CONCURRENCY", CONCURRENCY.to_string());
    if !everything {
        for option in ["VERIFY_SIGNATURES", "CHECK_PROVENANCE", "CHECK_SBOM", "CHECK_UPDATES", "HELM_ENABLED"]
        {
            command.env(format!("PROVENANCE_{option}"), "false");
        }
    }
    command.args(more);
    command
}
