//! The metrics of a run: one list of families, of which the text for Prometheus is made and what goes by OTLP.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use provenance_engine::StageCount;
use provenance_model::report::{CacheUse, RegistryUse};
use provenance_stages::registry::GateView;

/// Names and values.
pub type Labels = Vec<(&'static str, String)>;

/// The metrics of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// The name, as Prometheus has it.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub is_counter: bool,
    /// The values, by their labels.
    pub samples: Vec<(Labels, f64)>,
}

/// What is measured at one moment.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// The stages of images and of releases.
    pub stages: Vec<StageCount>,
    /// The gates.
    pub gates: Vec<GateView>,
    /// What was asked of each host.
    pub registries: Vec<RegistryUse>,
    /// Answers of each host by their status.
    pub statuses: Vec<(String, u16, u64)>,
    /// How much use the cache was.
    pub cache: Option<CacheUse>,
    /// Containers seen.
    pub sightings: usize,
    /// Images among them.
    pub subjects: usize,
    /// Since the start of the run.
    pub took: Duration,
    /// Whether the run has ended, and with which exit status.
    pub ended: Option<u8>,
}

type Measure = Arc<dyn Fn() -> Measured + Send + Sync>;

/// How the run that goes on is measured.
static CURRENT: RwLock<Option<Measure>> = RwLock::new(None);

/// From now on this measures.
pub fn measure_by(measure: impl Fn() -> Measured + Send + Sync + 'static) {
    *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(measure));
}

/// What is measured now.
pub fn now() -> Option<Measured> {
    let current = CURRENT.read().unwrap_or_else(PoisonError::into_inner).clone();
    current.map(|measure| measure())
}

/// The names, what they say, and whether they only grow: known before anything is measured.
pub(super) const NAMES: [(&str, &str, bool); 32] = [
    ("provenance_run_seconds", "How long the run has taken.", false),
    ("provenance_run_exit_status", "The exit status of a run that has ended.", false),
    ("provenance_run_end_time_seconds", "When the run ended, in seconds since 1970.", false),
    ("provenance_sightings", "Containers seen.", false),
    ("provenance_subjects", "Different images among them.", false),
    ("provenance_stage_items_total", "Items that a stage is through with.", true),
    ("provenance_stage_failed_total", "Items that failed in a stage.", true),
    ("provenance_stage_in_flight", "Items that a stage works on.", false),
    ("provenance_stage_queue", "Items that wait for a stage.", false),
    ("provenance_stage_wait_seconds_total", "How long items waited for a stage, added up.", true),
    ("provenance_stage_work_seconds_total", "How long a stage worked on items, added up.", true),
    (
        "provenance_stage_blocked_seconds_total",
        "How long items could not go on to the next stage, added up.",
        true,
    ),
    ("provenance_registry_requests_total", "Requests to a registry host.", true),
    ("provenance_registry_responses_total", "Answers of a registry host, by status.", true),
    ("provenance_registry_retries_total", "Requests that were asked again.", true),
    ("provenance_registry_throttled_total", "Answers that asked us to slow down.", true),
    ("provenance_registry_failed_total", "Requests without an answer, or with a failure of the host.", true),
    ("provenance_registry_deferred_total", "Requests that were left to the next run.", true),
    ("provenance_registry_received_bytes_total", "Bytes of answers.", true),
    ("provenance_registry_in_flight", "Requests in flight to a registry host.", false),
    ("provenance_registry_concurrency", "Requests that may be in flight to a registry host.", false),
    ("provenance_registry_waiting", "Requests that wait for a registry host's gate.", false),
    ("provenance_cache_hits_total", "Answers of earlier runs that were used.", true),
    ("provenance_cache_misses_total", "Answers that the cache did not have.", true),
    ("provenance_cache_bytes_total", "Bytes of content that came from the cache.", true),
    ("process_resident_memory_bytes", "Resident memory.", false),
    ("process_peak_resident_memory_bytes", "The most resident memory so far.", false),
    ("tokio_workers", "Workers of the runtime.", false),
    ("tokio_alive_tasks", "Tasks of the runtime that have not ended.", false),
    ("tokio_global_queue_depth", "Tasks that wait for any worker.", false),
    ("tokio_worker_parks_total", "How often workers had nothing to do, added up.", true),
    ("tokio_worker_busy_seconds_total", "How long the runtime's workers were busy, added up.", true),
];

/// The families of a moment.
pub fn families(measured: &Measured) -> Vec<Family> {
    let mut values: Vec<(&str, Labels, f64)> = Vec::new();
    let mut add = |name, labels: &[(&'static str, &str)], value: f64| {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        values.push((name, labels, value));
    };
    add("provenance_run_seconds", &[], measured.took.as_secs_f64());
    if let Some(status) = measured.ended {
        add("provenance_run_exit_status", &[], f64::from(status));
        add("provenance_run_end_time_seconds", &[], jiff::Timestamp::now().as_duration().as_secs_f64());
    }
    add("provenance_sightings", &[], count(measured.sightings));
    add("provenance_subjects", &[], count(measured.subjects));
    for stage in &measured.stages {
        let labels = [("stage", stage.name)];
        add("provenance_stage_items_total", &labels, count(stage.left));
        add("provenance_stage_failed_total", &labels, count(stage.failed));
        add("provenance_stage_in_flight", &labels, count(stage.entered.saturating_sub(stage.left)));
        add("provenance_stage_queue", &labels, count(stage.queued));
        add("provenance_stage_wait_seconds_total", &labels, stage.waited.as_secs_f64());
        add("provenance_stage_work_seconds_total", &labels, stage.worked.as_secs_f64());
        add("provenance_stage_blocked_seconds_total", &labels, stage.blocked.as_secs_f64());
    }
    for used in &measured.registries {
        let labels = [("host", used.host.as_str())];
        for (name, value) in [
            ("provenance_registry_requests_total", used.requests),
            ("provenance_registry_retries_total", used.retries),
            ("provenance_registry_throttled_total", used.throttled),
            ("provenance_registry_failed_total", used.failed),
            ("provenance_registry_deferred_total", used.deferred.unwrap_or_default()),
            ("provenance_registry_received_bytes_total", used.bytes),
        ] {
            add(name, &labels, big(value));
        }
    }
    for (host, status, answers) in &measured.statuses {
        let status = status.to_string();
        add("provenance_registry_responses_total", &[("host", host), ("status", &status)], big(*answers));
    }
    for gate in &measured.gates {
        let labels = [("host", gate.host.as_str())];
        add("provenance_registry_in_flight", &labels, count(gate.in_flight));
        add("provenance_registry_concurrency", &labels, count(gate.concurrency));
        add("provenance_registry_waiting", &labels, count(gate.waiting));
    }
    if let Some(cache) = &measured.cache {
        add("provenance_cache_hits_total", &[], big(cache.hits));
        add("provenance_cache_misses_total", &[], big(cache.misses));
        add("provenance_cache_bytes_total", &[], big(cache.bytes));
    }
    if let Some((now, peak)) = memory() {
        add("process_resident_memory_bytes", &[], big(now));
        add("process_peak_resident_memory_bytes", &[], big(peak));
    }
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let metrics = runtime.metrics();
        let busy: Duration =
            (0..metrics.num_workers()).map(|at| metrics.worker_total_busy_duration(at)).sum();
        let parks: u64 = (0..metrics.num_workers()).map(|at| metrics.worker_park_count(at)).sum();
        add("tokio_workers", &[], count(metrics.num_workers()));
        add("tokio_alive_tasks", &[], count(metrics.num_alive_tasks()));
        add("tokio_global_queue_depth", &[], count(metrics.global_queue_depth()));
        add("tokio_worker_parks_total", &[], big(parks));
        add("tokio_worker_busy_seconds_total", &[], busy.as_secs_f64());
    }
    NAMES
        .iter()
        .map(|(name, help, is_counter)| Family {
            name,
            help,
            is_counter: *is_counter,
            samples: values
                .iter()
                .filter(|(of, _, _)| of == name)
                .map(|(_, labels, value)| (labels.clone(), *value))
                .collect(),
        })
        .filter(|family| !family.samples.is_empty())
        .collect()
}

/// The text form of Prometheus, version 0.0.4
/// ([format](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format)): what a Pushgateway and the
/// node exporter's textfile collector read.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn text(families: &[Family]) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
    for family in families {
        let kind = if family.is_counter { "counter" } else { "gauge" };
        line(format!("# HELP {} {}", family.name, family.help));
        line(format!("# TYPE {} {kind}", family.name));
        for (labels, value) in &family.samples {
            let labels: Vec<_> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            line(format!("{}{labels} {value}", family.name));
        }
    }
    out
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Resident memory now and at its peak, in bytes, where the system says so.
pub fn memory() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    Some((of("VmRSS")?, of("VmHWM")?))
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn count(number: usize) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn big(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_each_family_once_and_escapes_labels() {
        let registries = ["a.example", "b\"\\\n"].map(|host| RegistryUse {
            host: host.into(),
            requests: 3,
            ..RegistryUse::default()
        });
        let measured = Measured { registries: registries.to_vec(), ended: Some(3), ..Measured::default() };
        let text = text(&families(&measured));
        assert_eq!(text.matches("# TYPE provenance_registry_requests_total counter").count(), 1);
        assert!(text.contains("provenance_registry_requests_total{host=\"a.example\"} 3\n"), "{text}");
        assert!(text.contains(r#"{host="b\"\\\n"} 3"#), "{text}");
        assert!(text.contains("provenance_run_exit_status 3\n"), "{text}");
    }

    #[test]
    fn every_value_has_a_family() {
        let names: std::collections::BTreeSet<_> = NAMES.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(names.len(), NAMES.len());
        for (name, help, is_counter) in NAMES {
            assert_eq!(name.ends_with("_total"), is_counter, "{name}");
            assert!(help.ends_with('.'), "{help}");
        }
    }
}
