//! Logs, traces and metrics.
//!
//! | file | what |
//! | --- | --- |
//! | this one | logs: JSON inside a cluster, text for people, always on stderr; who starts and ends it all |
//! | `otlp` | traces and metrics by OTLP |
//! | [`metrics`] | what is measured, and its text for Prometheus |
//! | `publish` | metrics to a file or a Pushgateway, at the end of a run |
//!
//! One trace for a run: the command, its phases, each image or release, its stages, each request.

pub mod metrics;
mod otlp;
mod publish;

pub(crate) use publish::publish;

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;

use opentelemetry::trace::TraceContextExt as _;
use tracing::Level;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::config::{Config, LogFormat};
use crate::refused::ConfigErrors;
use crate::terminal;
use otlp::Sending;

/// Whether we run in a pod: Kubernetes sets this variable in every container.
pub fn is_in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// What sends traces and metrics, until the process ends.
static SENDING: OnceLock<Sending> = OnceLock::new();

/// Starts logging and sending, and turns panics into one log line each.
///
/// # Errors
///
/// Where what is sent cannot be sent to such an address; it is not tried yet.
///
/// # Panics
///
/// Never: the configuration has checked the filter.
pub fn start(config: &Config) -> Result<(), ConfigErrors> {
    let logs = &config.logs;
    let started = Sending::start(&config.telemetry)
        .map_err(|why| ConfigErrors(vec![format!("--{}: {why}", crate::options::OTLP_ENDPOINT.flag)]))?;
    let traces = started.map(|(sending, tracer)| {
        // A second start, as in tests, keeps the first.
        SENDING.set(sending).ok();
        let ours = Targets::new().with_target("provenance", Level::DEBUG);
        // Log lines stay in the log: a span may hold thousands.
        let spans = filter_fn(is_span);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_filter(ours.and(spans))
    });
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
    Registry::default().with(layer).with(traces).try_init().ok();
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {message}; please report this defect");
    }));
    Ok(())
}

fn is_span(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_span()
}

/// Sends what is left, before the process ends.
pub fn finish() {
    if let Some(sending) = SENDING.get() {
        sending.finish();
    }
}

/// The context of the current span, as a request carries it
/// ([W3C](https://www.w3.org/TR/trace-context/#traceparent-header)); none where nothing is traced.
pub(crate) fn traceparent() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
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
        terminal::aside(|| io::stderr().write_all(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
