//! Progress for people: one line on stderr, on a terminal only. Phases, counts, and the registries that keep
//! us waiting.

use std::io::IsTerminal as _;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use provenance_stages::registry::{GateView, RegistryClient};

use crate::run::{Seen, Watch};
use crate::terminal;

const EVERY: Duration = Duration::from_millis(200);

/// A line that is kept up to date until it is dropped.
#[derive(Debug)]
pub struct Progress {
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Shows the progress of a run, where stderr is a terminal.
    pub fn show(watch: Watch, client: Arc<RegistryClient>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self { task: None };
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        terminal::show(Some(bar.clone()));
        let task = tokio::spawn(async move {
            loop {
                bar.set_message(message(&watch, &client.gates()));
                bar.tick();
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { task: Some(task) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            if let Some(bar) = terminal::show(None) {
                bar.finish_and_clear();
            }
        }
    }
}

fn message(watch: &Watch, gates: &[GateView]) -> String {
    let Seen { sightings, subjects, is_all } = *watch.seen.lock().unwrap_or_else(PoisonError::into_inner);
    let phase = if is_all { "examining" } else { "discovering" };
    let mut parts = vec![format!("{phase}: {sightings} containers, {subjects} images")];
    for stage in (watch.stages)() {
        let failed = if stage.failed > 0 { format!(" ({} failed)", stage.failed) } else { String::new() };
        parts.push(format!("{} {}/{subjects}{failed}", stage.name, stage.left));
    }
    let waiting: Vec<_> = gates
        .iter()
        .filter_map(|gate| match gate.closed_for {
            Some(time) => Some(format!("{} (pauses {}s)", gate.host, time.as_secs_f64().ceil())),
            None if gate.in_flight > 0 => Some(format!("{} ({})", gate.host, gate.in_flight + gate.waiting)),
            None => None,
        })
        .collect();
    if !waiting.is_empty() {
        parts.push(format!("waiting for {}", waiting.join(", ")));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use provenance_engine::StageCount;

    use super::*;

    #[test]
    fn the_line_tells_counts_and_who_is_waited_for() {
        let seen = Seen { sightings: 40, subjects: 12, is_all: false };
        let stages =
            || vec![StageCount { name: "digest", entered: 9, left: 7, failed: 1, ..StageCount::default() }];
        let watch = Watch { stages: Arc::new(stages), seen: Arc::new(Mutex::new(seen)) };
        let gate = |host: &str, in_flight, closed_for| GateView {
            host: host.into(),
            in_flight,
            waiting: 1,
            concurrency: 8,
            rate: None,
            closed_for,
        };
        let gates = [
            gate("docker.io", 0, Some(Duration::from_millis(6200))),
            gate("ghcr.io", 2, None),
            gate("quay.io", 0, None),
        ];
        assert_eq!(
            message(&watch, &gates),
            "discovering: 40 containers, 12 images · digest 7/12 (1 failed) · waiting for docker.io (pauses 7s), ghcr.io (3)"
        );
    }
}
