//! The command line: what can be asked, and what each answer's exit status is.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use provenance_model::report::{Draft, Report, comment, export, sarif};
use provenance_sinks::{ConfigMapSink, FileSink, PolicyReportSink, SinkError, UploadSink};
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, DiscoveryError, connect};
use provenance_stages::registry::{ClientSettings, DiskCache, RegistryClient};
use tracing::Instrument as _;

use crate::config::{Config, Output, Telemetry};
use crate::given::Written;
use crate::options::{self, On};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::refused::ConfigErrors;
use crate::run::{self, About, Order, Watch};
use crate::shutdown::Signals;
use crate::table::{self, Style};
use crate::telemetry::metrics::{self, Measured};
use crate::topology::{self, Helm, Means, Sink, Source};
use crate::trust::{Assembled, TrustError};
use crate::{VERSION, demo, explain, failing, given, telemetry};

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

/// Rows without a finding that a terminal is shown unasked.
const FINE_ROWS_ON_A_TERMINAL: usize = 40;

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
        Some(("collect", matches)) => with_runtime(collect(matches)),
        Some(("scan", matches)) => with_runtime(scan(matches)),
        Some(("explain", matches)) => with_runtime(explain(matches)),
        Some(("demo", matches)) => with_runtime(show_demo(matches)),
        Some(("serve", matches)) => with_runtime(serve_reports(matches)),
        Some(("graph", matches)) => graph(matches),
        Some(("completions", matches)) => completions(matches),
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

/// Does a command's work inside the span that is the root of its trace, and publishes what was measured.
async fn traced(
    name: &'static str,
    settings: Telemetry,
    work: impl Future<Output = Result<u8, Refusal>>,
) -> Result<u8, Refusal> {
    let span = tracing::info_span!(
        "command",
        otel.name = name,
        otel.status_code = tracing::field::Empty,
        process.exit.code = tracing::field::Empty,
    );
    let done = work.instrument(span.clone()).await;
    let status = match &done {
        Ok(status) => *status,
        Err(Refusal::Usage(_)) => WRONG_USAGE,
        Err(Refusal::Failed(_)) => NO_REPORT,
    };
    span.record("process.exit.code", status);
    if done.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(measured) = metrics::now() {
        telemetry::publish(&settings, &Measured { ended: Some(status), ..measured }).instrument(span).await;
    }
    done
}

async fn collect(matches: &ArgMatches) -> Result<u8, Refusal> {
    let config = Config::read(On::Collect, matches)?;
    telemetry::start(&config)?;
    traced("collect", config.telemetry.clone(), Box::pin(collect_as(config, matches))).await
}

async fn collect_as(mut config: Config, matches: &ArgMatches) -> Result<u8, Refusal> {
    let client = connect(&config.kubeconfig).await?;
    if matches.get_flag("plan") {
        // Charts share the lists of a few repositories: they are not planned.
        config.helm = None;
        return plan(cluster(client, &mut config), &config, matches).await;
    }
    let sinks = sinks(&config, &client)?;
    check(&sinks)?;
    let Assembled { trust, problems } = std::mem::take(&mut config.trust).assemble(Some(&client)).await?;
    let turned_off = config.turned_off();
    let source = cluster(client, &mut config);
    let about = About {
        cluster_name: config.cluster_name.clone(),
        problems,
        turned_off,
        fail_on: config.fail_on.clone(),
        shard: config.shard.clone(),
    };
    let order = Order::new(&config.tuning);
    let _signals = listen(&order)?;
    let report = examine(source, &config, trust, about, &order).await?;
    let (report, is_everywhere) = write(&sinks, report, std::io::stderr().is_terminal()).await?;
    let format = matches.get_one::<String>("format").map(String::as_str);
    if let Some(format) = format.or_else(|| std::io::stdout().is_terminal().then_some("table")) {
        print(&report.whole(), format, matches.value_source("format").is_some(), &Written::default())?;
    }
    Ok(if is_everywhere { status_of(&report) } else { NOT_EVERYWHERE })
}

/// The cluster as the source of a run.
fn cluster(client: kube::Client, config: &mut Config) -> Source {
    let shard = config.shard.as_ref().map(|(shard, _)| *shard).unwrap_or_default();
    let helm = config.helm.take().map(|settings| Helm {
        client: client.clone(),
        namespaces: config.namespaces.clone(),
        page_size: config.page_size,
        settings,
        shard,
    });
    let mut source = ClusterSource::new(client, config.namespaces.clone());
    source = source.page_size(config.page_size).shard(shard);
    if config.pull_secrets {
        source = source.pull_secrets(Arc::clone(&config.registries.credentials));
    }
    Source::Cluster(source, helm)
}

async fn scan(matches: &ArgMatches) -> Result<u8, Refusal> {
    let files: Vec<_> = matches.get_many::<String>("file").into_iter().flatten().cloned().collect();
    if matches.get_flag("plan") {
        let config = Config::read(On::Scan, matches)?;
        telemetry::start(&config)?;
        let (sightings, _) = given::sightings(&images(matches), &files)?;
        return plan(Source::Given(sightings), &config, matches).await;
    }
    let config = Config::read(On::Scan, matches)?;
    telemetry::start(&config)?;
    let settings = config.telemetry.clone();
    let scan = async {
        let (report, written) = Box::pin(examine_given(config, matches, &files)).await?;
        print_as_asked(&report, matches, &written)?;
        Ok(status_of(&report))
    };
    traced("scan", settings, Box::pin(scan)).await
}

async fn explain(matches: &ArgMatches) -> Result<u8, Refusal> {
    let config = Config::read(On::Scan, matches)?;
    telemetry::start(&config)?;
    let settings = config.telemetry.clone();
    let explain = async {
        let (report, _) = Box::pin(examine_given(config, matches, &[])).await?;
        print_text(&explain::story(&report.whole()))?;
        Ok(status_of(&report))
    };
    traced("explain", settings, Box::pin(explain)).await
}

/// The images that were named.
fn images(matches: &ArgMatches) -> Vec<String> {
    matches.get_many::<String>("images").into_iter().flatten().cloned().collect()
}

/// Examines the images that were named, and those in these files.
/// Answers where they are written, too.
async fn examine_given(
    mut config: Config,
    matches: &ArgMatches,
    files: &[String],
) -> Result<(Draft, Written), Refusal> {
    let (sightings, written) = given::sightings(&images(matches), files)?;
    let Assembled { trust, .. } = std::mem::take(&mut config.trust).assemble(None).await?;
    let order = Order::new(&config.tuning);
    let _signals = listen(&order)?;
    let about = About { fail_on: config.fail_on.clone(), ..About::default() };
    Ok((examine(Source::Given(sightings), &config, trust, about, &order).await?, written))
}

async fn show_demo(matches: &ArgMatches) -> Result<u8, Refusal> {
    let config = Config::read(On::Demo, matches)?;
    telemetry::start(&config)?;
    traced("demo", config.telemetry.clone(), Box::pin(demo_as(config, matches))).await
}

async fn demo_as(mut config: Config, matches: &ArgMatches) -> Result<u8, Refusal> {
    let (fleet, source, helm) = demo::start(&mut config).await?;
    let folder = matches.get_one::<PathBuf>("folder").cloned().unwrap_or_else(demo::folder);
    let sinks = [Sink::File(FileSink::new(folder, None))];
    check(&sinks)?;
    let cluster_name = Some(demo::CLUSTER.into());
    let about = About { cluster_name, fail_on: config.fail_on.clone(), ..About::default() };
    let order = Order::new(&config.tuning);
    let _signals = listen(&order)?;
    let report = examine(Source::Cluster(source, Some(helm)), &config, demo::trust()?, about, &order).await?;
    drop(fleet);
    let (report, _) = write(&sinks, report, true).await?;
    print_as_asked(&report, matches, &Written::default())?;
    Ok(status_of(&report))
}

async fn serve_reports(matches: &ArgMatches) -> Result<u8, Refusal> {
    let config = Config::read(On::Serve, matches)?;
    telemetry::start(&config)?;
    crate::serve::serve(&config).await?;
    Ok(WHOLE)
}

/// Listens for signals until the report is written: one that comes while it is must not be lost.
fn listen(order: &Order) -> anyhow::Result<Signals> {
    Signals::listen(order.clone()).context("signals could not be listened for")
}

/// Runs the pipeline, with progress.
async fn examine(
    source: Source,
    config: &Config,
    trust: Trust,
    about: About,
    order: &Order,
) -> Result<Draft, Refusal> {
    let client = client(config)?;
    let means = Means::new(client, trust)
        .updates(config.updates.clone())
        .budgets(config.registries.limits.has_budgets());
    let mut progress = None;
    let watch = |watch: Watch| {
        measure(&watch, Arc::clone(&means.client));
        progress = Some(Progress::show(watch, Arc::clone(&means.client)));
    };
    let report = run::examine(source, &means, &config.tuning, about, order, watch).await;
    drop(progress);
    if let Some(cache) = means.client.cache() {
        cache.close().await;
    }
    Ok(report?)
}

/// From now on metrics are those of this run.
fn measure(watch: &Watch, client: Arc<RegistryClient>) {
    let (stages, seen, began) = (Arc::clone(&watch.stages), Arc::clone(&watch.seen), Instant::now());
    metrics::measure_by(move || {
        let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
        Measured {
            stages: stages(),
            gates: client.gates(),
            registries: client.tallies(),
            statuses: client.statuses(),
            cache: client.cache().map(DiskCache::tally),
            sightings: seen.sightings,
            subjects: seen.subjects,
            took: began.elapsed(),
            ended: None,
        }
    });
}

/// The way to registries, as configured.
fn client(config: &Config) -> Result<RegistryClient, Refusal> {
    let cache = config.cache.clone().map(DiskCache::open).transpose();
    let cache = cache.map_err(|why| ConfigErrors(vec![format!("--{}: {why}", options::CACHE.flag)]))?;
    let settings = ClientSettings { cache, ..config.registries.clone() };
    let agent = format!("provenance-collector/{VERSION}");
    Ok(RegistryClient::new(settings, &agent).map_err(anyhow::Error::from)?)
}

/// Says what a run would ask of each registry, and asks none.
async fn plan(source: Source, config: &Config, matches: &ArgMatches) -> Result<u8, Refusal> {
    let means = Means::new(client(config)?, Trust::default())
        .updates(config.updates.clone())
        .budgets(config.registries.limits.has_budgets());
    let order = Order::new(&config.tuning);
    let _signals = listen(&order)?;
    let plan = Plan::make(source, &means, &config.tuning, &order).await?;
    match matches.get_one::<String>("format").map(String::as_str) {
        Some("json") => print_text(&plan.json()),
        None | Some("table") => print_text(&plan.table()),
        Some(other) => {
            let why = format!("--plan is printed as table or json, not as {other}");
            Err(Refusal::Usage(ConfigErrors(vec![why])))
        }
    }
}

/// The sinks that are asked for.
fn sinks(config: &Config, client: &kube::Client) -> Result<Vec<Sink>, Refusal> {
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
fn check(sinks: &[Sink]) -> Result<(), Refusal> {
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
async fn write(sinks: &[Sink], report: Draft, say_where: bool) -> Result<(Arc<Draft>, bool), Refusal> {
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
fn status_of(report: &Draft) -> u8 {
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

fn print_as_asked(report: &Draft, matches: &ArgMatches, written: &Written) -> Result<(), Refusal> {
    let format = matches.get_one::<String>("format").map_or("table", String::as_str);
    let asked = matches.value_source("format") == Some(clap::parser::ValueSource::CommandLine);
    print(&report.whole(), format, asked, written)
}

/// Prints the report. A reader that has gone away, as `| head` does, is no error.
fn print(report: &Report, format: &str, was_asked_for: bool, written: &Written) -> Result<(), Refusal> {
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

fn graph(_: &ArgMatches) -> Result<u8, Refusal> {
    let no_arguments = command().try_get_matches_from(["provenance-collector", "scan", "any"]);
    let matches = no_arguments.context("the command line knows scan")?;
    let scan = matches.subcommand_matches("scan").context("the command line knows scan")?;
    let config = Config::read(On::Scan, scan)?;
    let client = RegistryClient::new(config.registries, VERSION).map_err(anyhow::Error::from)?;
    let means = Means::new(client, Trust::default());
    let stages = topology::line(&means, &config.tuning).stages();
    print_text(&topology::mermaid(&stages))
}

fn completions(matches: &ArgMatches) -> Result<u8, Refusal> {
    let shell = *matches.get_one::<clap_complete::Shell>("shell").context("clap requires a shell")?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "provenance-collector", &mut script);
    print_text(&String::from_utf8_lossy(&script))
}

fn print_text(text: &str) -> Result<u8, Refusal> {
    std::io::stdout().write_all(text.as_bytes()).context("the answer could not be printed")?;
    Ok(WHOLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
