//! Logs: JSON inside a cluster, text for people, always on stderr. A span for the run, each dossier, stage
//! and request goes with every line; exporting spans is not done yet.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{LogFormat, Logs};
use crate::progress;

/// Whether we run in a pod: Kubernetes sets this variable in every container.
pub fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// Starts logging, and turns panics into one log line each.
///
/// # Panics
///
/// Never: the configuration has checked the filter.
pub fn start(logs: &Logs) {
    let mut filter: Targets = logs.filter.parse().expect("the configuration has checked the filter");
    // On a terminal progress tells of the phases; what is left are warnings.
    let default_on_a_terminal = logs.filter == crate::options::LOG.default && io::stderr().is_terminal();
    if default_on_a_terminal && !is_in_cluster() {
        filter = filter.with_default(tracing::Level::WARN);
    }
    for noisy in ["hyper", "hyper_util", "h2", "reqwest", "rustls", "tower", "kube", "axum"] {
        if !logs.filter.contains(noisy) {
            filter = filter.with_target(noisy, tracing::Level::WARN);
        }
    }
    let json = match logs.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => is_in_cluster(),
    };
    let format = tracing_subscriber::fmt::layer().with_writer(Stderr);
    let layer = if json {
        format.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        let format = format.with_ansi(io::stderr().is_terminal()).with_target(false).compact();
        format.with_filter(filter).boxed()
    };
    // A second start, as in tests, keeps the first.
    Registry::default().with(layer).try_init().ok();
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {message}; please report this defect");
    }));
}

/// Stderr, with the progress line out of the way while a log line is written.
#[derive(Debug, Clone, Copy)]
struct Stderr;

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::aside(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
