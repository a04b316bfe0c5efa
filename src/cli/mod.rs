//! The command line: what can be asked, and what each answer's exit status is.

mod commands;
mod output;
mod work;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command, ValueHint};
use provenance_stages::discovery::DiscoveryError;

use crate::options::{self, On};
use crate::refused::ConfigErrors;
use crate::trust::TrustError;
use crate::{VERSION, telemetry};

/// The report is written, and whole.
const WHOLE: u8 = 0;
/// There is no report.
const NO_REPORT: u8 = 1;
/// Wrong usage or configuration.
const WRONG_USAGE: u8 = 2;
/// The report is written but partial.
const PARTIAL: u8 = 3;
/// A rule is broken that the run was told to fail on.
const FINDINGS: u8 = 4;
/// The report is written, but not everywhere it should be.
const NOT_EVERYWHERE: u8 = 5;

/// Why a command ended without a report.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Wrong usage or configuration: one line each.
    #[error(transparent)]
    Usage(#[from] ConfigErrors),
    /// Anything else.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<TrustError> for Refusal {
    fn from(error: TrustError) -> Self {
        match error {
            TrustError::Refused(errors) => Self::Usage(errors),
            TrustError::NotFetched(_) => Self::Failed(error.into()),
        }
    }
}

impl From<DiscoveryError> for Refusal {
    fn from(error: DiscoveryError) -> Self {
        match error {
            DiscoveryError::Config(why) => Self::Usage(ConfigErrors(vec![why])),
            DiscoveryError::Api(_) => Self::Failed(error.into()),
        }
    }
}

/// The whole command line.
pub fn command() -> Command {
    Command::new("provenance-collector")
        .version(VERSION)
        .about("Reports what runs on a Kubernetes cluster, and whether it is still what its tag says")
        .after_help(
            "Exit status: 0 report written, 1 no report, 2 wrong usage or configuration, 3 report written but partial,\n\
             4 a rule of --fail-on is broken, 5 report not written to every sink.\n\
             Inside a cluster, started without arguments, it collects.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            with_options(On::Collect, Command::new("collect"))
                .about("Reads the cluster and writes the report")
                .arg(format_argument().help("Also print the report on stdout; on a terminal the table is printed anyway"))
                .arg(plan_argument()),
        )
        .subcommand(
            with_options(On::Scan, Command::new("scan"))
                .about("Examines images, or the images in Kubernetes manifests, without a cluster")
                .after_help(
                    "Examples:\n  provenance-collector scan nginx:1.27-alpine ghcr.io/acme/web:1.2\n  \
                     helm template chart/ | provenance-collector scan -f -\n  \
                     kubectl get pods -A -o yaml | provenance-collector scan -f - --format csv",
                )
                .arg(Arg::new("images").value_name("IMAGE").num_args(0..).help("Image names"))
                .arg(
                    Arg::new("file")
                        .short('f')
                        .long("file")
                        .value_name("FILE|DIR|-")
                        .action(ArgAction::Append)
                        .value_hint(ValueHint::AnyPath)
                        .help("Kubernetes YAML or JSON: a file, a folder (read with its subfolders), or - for stdin"),
                )
                .arg(format_argument().default_value("table").help("How the report is printed on stdout"))
                .arg(plan_argument()),
        )
        .subcommand(
            with_options(On::Demo, Command::new("demo"))
                .about("Shows it all on an in-process cluster and registries: no set-up, no network")
                .arg(
                    Arg::new("folder")
                        .long("report-path")
                        .value_name("FOLDER")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("The folder the report is written to; a temporary one where not given"),
                )
                .arg(format_argument().default_value("table").help("How the report is printed on stdout")),
        )
        .subcommand(
            with_options(On::Scan, Command::new("explain"))
                .about("Tells the story of one image: what was asked, what came back, what follows")
                .arg(Arg::new("images").value_name("IMAGE").num_args(1..).required(true).help("Image names")),
        )
        .subcommand(
            with_options(On::Serve, Command::new("serve"))
                .about("Serves a folder of reports: the dashboard, its API, and the listener that takes reports in"),
        )
        .subcommand(Command::new("graph").about("Prints the pipeline as a Mermaid diagram"))
        .subcommand(
            Command::new("completions").about("Prints shell completions").arg(
                Arg::new("shell")
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(clap::value_parser!(clap_complete::Shell)),
            ),
        )
}

fn plan_argument() -> Arg {
    Arg::new("plan")
        .long("plan")
        .action(ArgAction::SetTrue)
        .help("Only print what a run would ask of each registry, and what would be left to the next one; no registry is asked")
}

fn format_argument() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .value_parser(["table", "json", "csv", "markdown", "comment", "sarif"])
}

fn with_options(on: On, command: Command) -> Command {
    options::of(on).fold(command, |command, option| {
        let default = match option.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        command.arg(
            Arg::new(option.flag)
                .long(option.flag)
                .env(option.env)
                .hide_env_values(true)
                .value_name(option.value)
                .allow_hyphen_values(true)
                .help_heading(option.group)
                .help(format!("{}{default}", option.help)),
        )
    })
}

/// Runs the command line of this process. Answers its exit status.
pub fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.len() <= 1 && telemetry::is_in_cluster() {
        // The older image's entry point was the collector alone.
        arguments.push("collect".into());
    }
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to stdout with status 0, errors to stderr with status 2.
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE));
        }
    };
    let status = match matches.subcommand() {
        Some(("collect", matches)) => with_runtime(commands::collect(matches)),
        Some(("scan", matches)) => with_runtime(commands::scan(matches)),
        Some(("explain", matches)) => with_runtime(commands::explain(matches)),
        Some(("demo", matches)) => with_runtime(commands::show_demo(matches)),
        Some(("serve", matches)) => with_runtime(commands::serve_reports(matches)),
        Some(("graph", matches)) => commands::graph(matches),
        Some(("completions", matches)) => commands::completions(matches),
        _ => unreachable!("clap knows no other command"),
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(refusal) => {
            let status = if matches!(refusal, Refusal::Usage(_)) { WRONG_USAGE } else { NO_REPORT };
            for line in refusal.to_string().lines() {
                complain(line);
            }
            ExitCode::from(status)
        }
    }
}

fn complain(line: &str) {
    // There is nobody left to tell when stderr is closed.
    writeln!(std::io::stderr(), "error: {line}").ok();
}

/// Threads for what blocks: files and verification. Each has memory of its own, and none waits for the network.
const BLOCKING: usize = 8;

fn with_runtime(work: impl Future<Output = Result<u8, Refusal>>) -> Result<u8, Refusal> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING)
        .build()
        .context("the asynchronous runtime could not be started")?;
    let done = runtime.block_on(work);
    // The runtime still runs: it carries what is left to be sent.
    telemetry::finish();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
