//! Where a report goes: to its sinks, to the terminal, and into the exit status.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use clap::ArgMatches;
use provenance_model::report::{Draft, Report, comment, export, sarif};
use provenance_sinks::{ConfigMapSink, FileSink, PolicyReportSink, SinkError, UploadSink};
use tracing::Instrument as _;

use super::{FINDINGS, PARTIAL, Refusal, WHOLE, complain};
use crate::config::{Config, Output};
use crate::given::Written;
use crate::table::{self, Style};
use crate::topology::Sink;
use crate::{VERSION, failing};

/// Rows without a finding that a terminal is shown unasked.
const FINE_ROWS_ON_A_TERMINAL: usize = 40;

/// The sinks that are asked for.
pub(super) fn sinks(config: &Config, client: &kube::Client) -> Result<Vec<Sink>, Refusal> {
    let agent = format!("provenance-collector/{VERSION}");
    let sink = |output: &Output| -> Result<Sink, SinkError> {
        Ok(match output {
            Output::Pvc => Sink::File(FileSink::new(&config.report_path, config.report_retention)),
            Output::ConfigMap { namespace, name } => {
                Sink::ConfigMap(ConfigMapSink::new(client.clone(), namespace, name))
            }
            Output::Http { url, timeout, token } => {
                Sink::Upload(UploadSink::new(url.clone(), *timeout, token.clone(), &agent)?)
            }
            Output::PolicyReport(api) => Sink::PolicyReport(PolicyReportSink::new(client.clone(), *api)),
        })
    };
    let sinks: Result<Vec<_>, _> = config.outputs.iter().map(sink).collect();
    Ok(sinks.map_err(anyhow::Error::from)?)
}

/// Makes sure that the report can be written somewhere, before it is made.
pub(super) fn check(sinks: &[Sink]) -> Result<(), Refusal> {
    let mut refused = Vec::new();
    for sink in sinks {
        if let Err(error) = sink.check() {
            refused.push((sink, error));
        }
    }
    if refused.len() == sinks.len()
        && let Some((_, error)) = refused.pop()
    {
        return Err(anyhow::Error::from(error).into());
    }
    for (sink, error) in refused {
        tracing::error!(sink = sink.name(), "{error}; it is tried again when the report is made");
    }
    Ok(())
}

/// Writes the report to every sink, one not waiting for another. The log says where it is and is not; so does a line for
/// people, if asked. Answers whether it is everywhere.
pub(super) async fn write(
    sinks: &[Sink],
    report: Draft,
    say_where: bool,
) -> Result<(Arc<Draft>, bool), Refusal> {
    let report = Arc::new(report);
    let written = sinks.iter().map(|sink| {
        let span = tracing::info_span!("write", sink = sink.name());
        sink.write(&report).instrument(span)
    });
    let written = futures::future::join_all(written).await;
    let mut failures = Vec::new();
    for (sink, written) in sinks.iter().zip(written) {
        match written {
            Ok(place) => {
                tracing::info!(sink = sink.name(), place, "report written");
                if say_where {
                    writeln!(std::io::stderr(), "report: {place}").ok();
                }
            }
            Err(error) => failures.push((sink, error)),
        }
    }
    let is_everywhere = failures.is_empty();
    if failures.len() == sinks.len()
        && let Some((_, last)) = failures.pop()
    {
        for (_, error) in &failures {
            complain(&error.to_string());
        }
        return Err(anyhow::Error::from(last).into());
    }
    for (sink, error) in failures {
        tracing::error!(sink = sink.name(), "{error}");
    }
    Ok((report, is_everywhere))
}

/// The exit status of a report that is written; what fails is told.
pub(super) fn status_of(report: &Draft) -> u8 {
    let Some(run) = &report.head().run else { return WHOLE };
    if let Some(warning) = failing::unjudged(report.head()) {
        writeln!(std::io::stderr(), "warning: {warning}").ok();
    }
    if run.failing.is_some_and(|failing| failing > 0) {
        for line in failing::lines(report) {
            complain(&line);
        }
        return FINDINGS;
    }
    if run.partial { PARTIAL } else { WHOLE }
}

pub(super) fn print_as_asked(report: &Draft, matches: &ArgMatches, written: &Written) -> Result<(), Refusal> {
    let format = matches.get_one::<String>("format").map_or("table", String::as_str);
    let asked = matches.value_source("format") == Some(clap::parser::ValueSource::CommandLine);
    print(&report.whole(), format, asked, written)
}

/// Prints the report. A reader that has gone away, as `| head` does, is no error.
pub(super) fn print(
    report: &Report,
    format: &str,
    was_asked_for: bool,
    written: &Written,
) -> Result<(), Refusal> {
    let text = match format {
        "json" => {
            let mut text = serde_json::to_string_pretty(report).context("the report is no JSON")?;
            text.push('\n');
            text
        }
        "csv" => export::csv(report),
        "markdown" => export::markdown(report),
        "comment" => comment::markdown(report),
        "sarif" => sarif::log(report, VERSION, &|image| written.of(image)),
        _ => {
            let terminal = std::io::stdout().is_terminal();
            table::render(
                report,
                Style {
                    width: terminal.then(terminal_width).flatten(),
                    colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
                    most_without_finding: if terminal && !was_asked_for {
                        FINE_ROWS_ON_A_TERMINAL
                    } else {
                        usize::MAX
                    },
                },
            )
        }
    };
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error).context("the report could not be printed").into())
        }
        _ => Ok(()),
    }
}

fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
}

pub(super) fn print_text(text: &str) -> Result<u8, Refusal> {
    std::io::stdout().write_all(text.as_bytes()).context("the answer could not be printed")?;
    Ok(WHOLE)
}
