//! Runs the collector as a process of its own, and measures it.

#[allow(dead_code, reason = "each bench uses its own part")]
pub(crate) mod world;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Writes a kubeconfig for an API at this URL.
#[allow(dead_code, reason = "each bench uses its own part")]
pub(crate) fn kubeconfig(folder: &Path, url: &str) -> PathBuf {
    let file = folder.join("kubeconfig");
    let mut text = String::from("apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\n");
    writeln!(
        text,
        "contexts: [{{name: c, context: {{cluster: c, user: ''}}}}]\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]"
    )
    .expect("writing to a string does not fail");
    std::fs::write(&file, text).expect("the temporary folder is writable");
    file
}

/// The collector, under the profiler that `PROVENANCE_BENCH_UNDER` names: `heaptrack`, `perf record -g`, `valgrind --tool=callgrind`.
#[allow(dead_code, reason = "each bench uses its own part")]
pub(crate) fn collector() -> Command {
    let program = env!("CARGO_BIN_EXE_provenance-collector");
    let under = std::env::var("PROVENANCE_BENCH_UNDER").unwrap_or_default();
    let mut words = under.split_whitespace();
    let Some(profiler) = words.next() else { return Command::new(program) };
    let mut command = Command::new(profiler);
    command.args(words).arg(program);
    command
}

/// What a process took.
pub(crate) struct Measured {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its time by the clock.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) wall: Duration,
    /// Its CPU time.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) cpu: Duration,
    /// Its peak resident memory.
    #[allow(dead_code, reason = "each bench shows its own figures")]
    pub(crate) peak_kib: u64,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Measured {
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn().expect("the collector can be started");
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let (mut cpu, mut peak_kib) = (Duration::ZERO, 0);
    // The kernel keeps both only while the process lives, so they are read until it ends.
    loop {
        // What a shell or a profiler starts counts, the largest of them.
        let children = std::fs::read_to_string(process.join(format!("task/{}/children", child.id())));
        let children = children.unwrap_or_default();
        let below = children.split_whitespace().map(|id| PathBuf::from(format!("/proc/{id}")));
        for one in below.chain([process.clone()]) {
            peak_kib = peak_kib.max(peak_of(&one).unwrap_or_default());
        }
        if let Some(now) = cpu_of(&process) {
            cpu = cpu.max(now);
        }
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Measured { status, wall: began.elapsed(), cpu, peak_kib };
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn peak_of(process: &Path) -> Option<u64> {
    let status = std::fs::read_to_string(process.join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn cpu_of(process: &Path) -> Option<Duration> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
    // Its own, and that of the children it has waited for.
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts in hundredths of a second, whatever the machine.
    Some(Duration::from_millis(ticks * 10))
}
