//! The collector beside what one would write by hand: crane and cosign in a loop over the images. Both find the digest, verify the
//! signature and the provenance, look for an SBOM and list the tags. `cargo bench --bench by_hand [-- IMAGES PODS LATENCY_MS]`;
//! `tests/e2e/install` installs crane and cosign.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use measure::Measured;
use measure::world::World;
use provenance_testbed::Fleet;

/// The loop. Where nothing is signed or attested the tools end with an error, which is the answer.
const LOOP: &str = r#"
while read -r image; do
    crane digest --insecure "$image" >/dev/null
    cosign verify --key "$KEY" --insecure-ignore-tlog=true --allow-http-registry=true "$image" || true
    cosign verify-attestation --type slsaprovenance1 --key "$KEY" --insecure-ignore-tlog=true --allow-http-registry=true "$image" || true
    cosign tree --allow-http-registry=true "$image" || true
    crane ls --insecure "${image%:*}" >/dev/null
done <"$IMAGES" >"$OUT" 2>&1
"#;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let or = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
    let (images, pods) = (or(0, 50), or(1, 500));
    let latency = Duration::from_millis(or(2, 20) as u64);
    let world = World::new(images, pods, 1, latency);
    println!("{images} images, {pods} pods, {latency:?}");
    println!("| | registry requests | an image | wall | CPU | peak memory (of the largest process) |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let cache = world.folder().join("cache");
    for told in [
        "provenance-collector",
        "provenance-collector, filling its cache",
        "provenance-collector, from its cache",
    ] {
        let mut command = world.collect();
        if told != "provenance-collector" {
            command.arg("--cache").arg(&cache);
        }
        let took = world.run(&mut command);
        print(told, images, took.requests, &took.process);
    }
    let mut by_hand = by_hand(&world, images);
    world.fleet.clear_logs();
    let measured = measure::run(&mut by_hand);
    assert!(
        measured.status.success(),
        "the loop ended with {}: see {}",
        measured.status,
        world.folder().display()
    );
    let out = std::fs::read_to_string(world.folder().join("out")).expect("the loop writes what it finds");
    let verified = out.matches("The following checks were performed on each of these signatures").count();
    let signed = images.div_ceil(2);
    assert!(verified >= signed, "cosign verified {verified} of {signed} signatures: {out:.3000}");
    let requests = world.fleet.registries.values().map(|registry| registry.log().len()).sum();
    print("crane and cosign in a loop", images, requests, &measured);
}

fn print(told: &str, images: usize, requests: usize, process: &Measured) {
    println!(
        "| {told} | {requests} | {:.2} | {:.2} s | {:.2} s | {:.0} MiB |",
        requests as f64 / images as f64,
        process.wall.as_secs_f64(),
        process.cpu.as_secs_f64(),
        process.peak_kib as f64 / 1024.0,
    );
}

/// The loop over every image of the world once.
fn by_hand(world: &World, images: usize) -> Command {
    let folder = world.folder();
    let registry = world.fleet.registries.values().next().expect("the world has a registry");
    let names: Vec<_> = (0..images)
        .map(|number| format!("{}/team{}/app{number:04}:v1.1.0\n", registry.host(), number % 7))
        .collect();
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("the temporary folder is writable");
        file
    };
    let tools = tools(folder);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["-euc", LOOP])
        .env("PATH", format!("{}:{path}", tools.display()))
        .env("KEY", write("key.pem", &Fleet::demo_key()))
        .env("IMAGES", write("images", &names.concat()))
        .env("OUT", folder.join("out"))
        .env("HOME", folder);
    command
}

/// A folder with crane and cosign under these names.
fn tools(folder: &std::path::Path) -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let own = std::env::var_os("PROVENANCE_E2E_BIN").map(PathBuf::from);
    let installed = own.unwrap_or_else(|| cache.join("provenance-collector/e2e/bin"));
    let tools = folder.join("tools");
    std::fs::create_dir_all(&tools).expect("the temporary folder is writable");
    for (name, file) in [("crane", "crane"), ("cosign", "cosign-3")] {
        let file = installed.join(file);
        assert!(file.is_file(), "{} is not installed; install it with: tests/e2e/install", file.display());
        std::os::unix::fs::symlink(file, tools.join(name)).expect("the temporary folder is writable");
    }
    tools
}
