//! What each command does.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ArgMatches;
use provenance_model::report::Draft;
use provenance_sinks::FileSink;
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, connect};
use provenance_stages::registry::RegistryClient;

use super::output::{check, print, print_as_asked, print_text, sinks, status_of, write};
use super::work::{examine, listen, plan, traced};
use super::{NOT_EVERYWHERE, Refusal, WHOLE, command};
use crate::config::Config;
use crate::given::Written;
use crate::options::On;
use crate::run::{About, Order};
use crate::topology::{self, Helm, Means, Sink, Source};
use crate::trust::Assembled;
use crate::{VERSION, demo, explain, given, telemetry};

pub(super) async fn collect(matches: &ArgMatches) -> Result<u8, Refusal> {
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

pub(super) async fn scan(matches: &ArgMatches) -> Result<u8, Refusal> {
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

pub(super) async fn explain(matches: &ArgMatches) -> Result<u8, Refusal> {
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

pub(super) async fn show_demo(matches: &ArgMatches) -> Result<u8, Refusal> {
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

pub(super) async fn serve_reports(matches: &ArgMatches) -> Result<u8, Refusal> {
    let config = Config::read(On::Serve, matches)?;
    telemetry::start(&config)?;
    crate::serve::serve(&config).await?;
    Ok(WHOLE)
}

pub(super) fn graph(_: &ArgMatches) -> Result<u8, Refusal> {
    let no_arguments = command().try_get_matches_from(["provenance-collector", "scan", "any"]);
    let matches = no_arguments.context("the command line knows scan")?;
    let scan = matches.subcommand_matches("scan").context("the command line knows scan")?;
    let config = Config::read(On::Scan, scan)?;
    let client = RegistryClient::new(config.registries, VERSION).map_err(anyhow::Error::from)?;
    let means = Means::new(client, Trust::default());
    let stages = topology::line(&means, &config.tuning).stages();
    print_text(&topology::mermaid(&stages))
}

pub(super) fn completions(matches: &ArgMatches) -> Result<u8, Refusal> {
    let shell = *matches.get_one::<clap_complete::Shell>("shell").context("clap requires a shell")?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "provenance-collector", &mut script);
    print_text(&String::from_utf8_lossy(&script))
}
