//! How requests, time, memory and allocations grow with images and pods; twelve registries, everything on.
//! `cargo bench --bench growth` writes the pictures of docs/benchmarks.md anew; `-- IMAGES PODS [REPLICAS]` measures only these, and
//! draws nothing: pods of their own, or in Deployments of so many each. Allocations are counted by heaptrack.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

#[path = "measure/draw.rs"]
mod draw;
mod measure;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use draw::Chart;
use measure::world::{Took, World};

const REGISTRIES: usize = 12;

/// Images, and pods over them.
const SIZES: [(usize, &[usize]); 3] = [
    (50, &[500, 10_000, 50_000, 100_000]),
    (500, &[500, 5_000, 50_000, 100_000]),
    (5_000, &[5_000, 20_000, 50_000, 100_000]),
];

/// Pods in a Deployment, for the largest size.
const REPLICAS: [usize; 3] = [10, 3, 1];

/// What was measured of one size.
struct Size {
    images: usize,
    pods: usize,
    cold: Took,
    warm: Took,
}

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    println!(
        "| images | pods | cold requests | an image | warm requests | an image | API requests | received | wall | CPU | peak memory | allocations |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    if let [images, pods, replicas @ ..] = &numbers[..] {
        measure(*images, *pods, replicas.first().copied());
        return;
    }
    let of_their_own =
        SIZES.iter().flat_map(|(images, pods)| pods.iter().map(|pods| measure(*images, *pods, None)));
    let sizes: Vec<_> = of_their_own.collect();
    for replicas in REPLICAS {
        measure(5_000, 100_000, Some(replicas));
    }
    draw(&sizes, &Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images"));
}

fn measure(images: usize, pods: usize, replicas: Option<usize>) -> Size {
    let (world, shown) = match replicas {
        None => (World::new(images, pods, REGISTRIES, Duration::ZERO), pods.to_string()),
        Some(replicas) => {
            let world = World::deployed(images, pods, replicas, REGISTRIES);
            (world, format!("{pods}, {replicas} a Deployment"))
        }
    };
    let cold = world.run(&mut world.collect());
    let cache = world.folder().join("cache");
    let cached = || {
        let mut command = world.collect();
        command.arg("--cache").arg(&cache);
        command
    };
    world.run(&mut cached());
    let warm = world.run(&mut cached());
    let per_image = |took: &Took| took.requests as f64 / images as f64;
    println!(
        "| {images} | {shown} | {} | {:.2} | {} | {:.2} | {} | {:.1} MiB | {:.2} s | {:.2} s | {:.0} MiB | {:.2} million |",
        cold.requests,
        per_image(&cold),
        warm.requests,
        per_image(&warm),
        cold.api,
        cold.bytes as f64 / f64::from(1 << 20),
        cold.process.wall.as_secs_f64(),
        cold.process.cpu.as_secs_f64(),
        mebibytes(&cold),
        allocations(&world) / 1e6,
    );
    Size { images, pods, cold, warm }
}

fn mebibytes(took: &Took) -> f64 {
    took.process.peak_kib as f64 / 1024.0
}

/// Calls to allocation functions in one more cold run.
fn allocations(world: &World) -> f64 {
    let record = world.folder().join("heap");
    let plain = world.collect();
    let mut command = Command::new("heaptrack");
    command.arg("-o").arg(&record).arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let missing = "heaptrack is not installed; install it with: apt-get install -y heaptrack";
    let output = command.output().expect(missing);
    assert!(output.status.success(), "heaptrack ended with {}", output.status);
    let mut print = Command::new("heaptrack_print");
    print.arg("-f").arg(record.with_extension("zst")).args(["-p", "0", "-a", "0", "-T", "0"]);
    let output = print.output().expect(missing);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let calls = text.lines().find_map(|line| line.strip_prefix("calls to allocation functions: "));
    let calls = calls.and_then(|rest| rest.split(' ').next()).expect("heaptrack counts calls");
    calls.parse().expect("heaptrack counts in numbers")
}

fn draw(sizes: &[Size], folder: &Path) {
    let by_pods = |of: fn(&Size) -> f64| {
        SIZES.map(|(images, _)| {
            let points = sizes.iter().filter(|size| size.images == images);
            (format!("{images} images"), points.map(|size| (size.pods as f64, of(size))).collect())
        })
    };
    for (name, title, y, lines) in [
        (
            "growth-memory.svg",
            "Peak memory of a cold run, everything on",
            "MiB",
            by_pods(|size| mebibytes(&size.cold)),
        ),
        (
            "growth-cpu.svg",
            "CPU of a cold run, everything on",
            "seconds",
            by_pods(|size| size.cold.process.cpu.as_secs_f64()),
        ),
    ] {
        Chart { title, x: "pods", y, doubles: false, lines: lines.to_vec() }.draw(folder, name);
    }
    let largest = |of: fn(&Size) -> f64| {
        let of_most_pods = sizes.iter().filter(|size| size.pods == 100_000);
        of_most_pods.map(|size| (size.images as f64, of(size))).collect::<Vec<_>>()
    };
    Chart {
        title: "Requests to registries, 100,000 pods",
        x: "images",
        y: "requests",
        doubles: false,
        lines: vec![
            ("cold".to_owned(), largest(|size| size.cold.requests as f64)),
            ("with the cache of the run before".to_owned(), largest(|size| size.warm.requests as f64)),
        ],
    }
    .draw(folder, "growth-requests.svg");
}
