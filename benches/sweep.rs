//! What each knob does: one is turned at a time, the others stay as they are by default. `cargo bench --bench sweep` writes
//! the pictures of docs/tuning.md anew; with a name (`concurrency`, `lane`, `rate`, `page`, `queue`, `workers`, `timeout`, `age`) it
//! turns only that knob, and draws nothing.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

#[path = "measure/draw.rs"]
mod draw;
mod measure;

use std::path::Path;
use std::time::Duration;

use draw::Chart;
use measure::world::{Took, World};
use provenance_testbed::Scenario;

/// Requests that never end, read by [`Scenario`].
const HANGING: &str = include_str!("scenarios/hanging.yaml");

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let knobs: [(&str, Turn); 8] = [
        ("concurrency", concurrency),
        ("lane", lane),
        ("rate", rate),
        ("page", page),
        ("queue", queue),
        ("workers", workers),
        ("timeout", timeout),
        ("age", age),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
    for (name, turn) in knobs {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!(
            "\n{name}\n| option | value | registry requests | API requests | wall | CPU | peak memory |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for picture in turn() {
            if only.is_empty() {
                picture.draw(&folder);
            }
        }
    }
}

/// Turns a knob.
type Turn = fn() -> Vec<Picture>;

/// A picture of a knob.
struct Picture {
    name: &'static str,
    title: &'static str,
    x: &'static str,
    y: &'static str,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

impl Picture {
    fn draw(self, folder: &Path) {
        let Self { name, title, x, y, lines } = self;
        Chart { title, x, y, doubles: true, lines }.draw(folder, name);
    }
}

fn milliseconds(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Runs with these options set to these values.
fn turned(world: &World, options: &[(&str, String)]) -> Took {
    let mut command = world.collect();
    for (option, value) in options {
        command.arg(format!("--{option}={value}"));
    }
    let took = world.run(&mut command);
    let (option, value) = &options[0];
    println!(
        "| `{option}` | {value} | {} | {} | {:.2} s | {:.2} s | {:.0} MiB |",
        took.requests,
        took.api,
        seconds(&took),
        took.process.cpu.as_secs_f64(),
        mebibytes(&took)
    );
    took
}

fn seconds(took: &Took) -> f64 {
    took.process.wall.as_secs_f64()
}

fn mebibytes(took: &Took) -> f64 {
    took.process.peak_kib as f64 / 1024.0
}

/// Requests at once to one registry, near and far.
fn concurrency() -> Vec<Picture> {
    let lines = [20, 100].map(|latency| {
        println!("| | {latency} ms away | | | | | |");
        let world = World::new(200, 2_000, 1, milliseconds(latency));
        let points = [1_u32, 2, 4, 8, 16, 32, 64].map(|at_once| {
            // The lane lets as many images in.
            let lane = at_once.max(16).to_string();
            let took =
                turned(&world, &[("registry-concurrency", at_once.to_string()), ("registry-lane", lane)]);
            (f64::from(at_once), seconds(&took))
        });
        turned(&world, &[("registry-concurrency", "auto".to_owned())]);
        (format!("registry {latency} ms away"), points.to_vec())
    });
    vec![Picture {
        name: "sweep-concurrency.svg",
        title: "200 images in one registry: wall time by requests at once",
        x: "--registry-concurrency",
        y: "seconds",
        lines: lines.to_vec(),
    }]
}

/// Images of one registry in the pipeline at once.
fn lane() -> Vec<Picture> {
    let world = World::new(200, 2_000, 1, milliseconds(20));
    let points = [1_u32, 2, 4, 8, 16, 32, 64].map(|lane| {
        let took = turned(&world, &[("registry-lane", lane.to_string())]);
        (f64::from(lane), seconds(&took))
    });
    vec![Picture {
        name: "sweep-lane.svg",
        title: "200 images in one registry 20 ms away: wall time by images at once",
        x: "--registry-lane",
        y: "seconds",
        lines: vec![("20 ms away".to_owned(), points.to_vec())],
    }]
}

/// Requests a second.
fn rate() -> Vec<Picture> {
    let world = World::new(100, 1_000, 1, milliseconds(20));
    let points = [25_u32, 50, 100, 200, 400].map(|rate| {
        let took = turned(&world, &[("registry-rate", rate.to_string())]);
        (f64::from(rate), seconds(&took))
    });
    vec![Picture {
        name: "sweep-rate.svg",
        title: "100 images in one registry: wall time by requests a second",
        x: "--registry-rate",
        y: "seconds",
        lines: vec![("20 ms away".to_owned(), points.to_vec())],
    }]
}

/// Pods in one page of a listing.
fn page() -> Vec<Picture> {
    let world = World::new(100, 40_000, 1, milliseconds(20));
    let took: Vec<_> = [125_u32, 250, 500, 1_000, 2_000, 4_000]
        .map(|page| (f64::from(page), turned(&world, &[("page-size", page.to_string())])))
        .into();
    let of = |value: fn(&Took) -> f64| took.iter().map(|(page, took)| (*page, value(took))).collect();
    vec![
        Picture {
            name: "sweep-page-time.svg",
            title: "40,000 pods, an API 20 ms away: wall time by pods in a page",
            x: "--page-size",
            y: "seconds",
            lines: vec![("wall".to_owned(), of(seconds))],
        },
        Picture {
            name: "sweep-page-memory.svg",
            title: "40,000 pods: peak memory by pods in a page",
            x: "--page-size",
            y: "MiB",
            lines: vec![("peak memory".to_owned(), of(mebibytes))],
        },
    ]
}

/// What waits between discovery and the pipeline, and before a stage.
fn queue() -> Vec<Picture> {
    let world = World::new(1_000, 20_000, 4, Duration::ZERO);
    for option in ["discovery-queue", "digest-queue"] {
        for size in [16, 256, 4_096] {
            turned(&world, &[(option, size.to_string())]);
        }
    }
    Vec::new()
}

/// Images that a stage works on at once.
fn workers() -> Vec<Picture> {
    let world = World::new(200, 2_000, 4, milliseconds(20));
    for workers in [4, 16, 64, 256] {
        turned(&world, &[("signature-workers", workers.to_string())]);
    }
    Vec::new()
}

/// How long an answer is waited for, where some never come.
fn timeout() -> Vec<Picture> {
    let world = World::new(200, 2_000, 1, milliseconds(20));
    let scenario = Scenario::read(HANGING).expect("the scenario is one");
    let points = [1_u32, 2, 4, 8].map(|wait| {
        world.fleet.clear();
        scenario.order(&world.fleet);
        let took = turned(&world, &[("registry-timeout", format!("{wait}s"))]);
        (f64::from(wait), seconds(&took))
    });
    vec![Picture {
        name: "sweep-timeout.svg",
        title: "200 images, one manifest in fifty never answered: wall time by time-out",
        x: "--registry-timeout in seconds",
        y: "seconds",
        lines: vec![("20 ms away".to_owned(), points.to_vec())],
    }]
}

/// How old an answer may be that an earlier run got.
fn age() -> Vec<Picture> {
    let world = World::new(200, 2_000, 1, milliseconds(20));
    let cache = world.folder().join("cache").display().to_string();
    for max_age in ["1h", "1h", "0s"] {
        turned(&world, &[("cache-max-age", max_age.to_owned()), ("cache", cache.clone())]);
    }
    Vec::new()
}
