//! `demo`: the same pipeline against an in-process cluster and registries. No cluster, no network, no set-up.

use std::path::PathBuf;

use anyhow::Context as _;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::Endpoints;
use provenance_testbed::Fleet;

use crate::config::Config;

/// The cluster's name in the demo's report.
pub const CLUSTER: &str = "demo";

/// The demo's fleet, started, and the source that reads it.
///
/// # Errors
///
/// Where no port of the loopback interface can be listened on.
pub async fn start(config: &mut Config) -> anyhow::Result<(Fleet, ClusterSource)> {
    let fleet = Fleet::demo().await.context("the demo's servers could not be started on 127.0.0.1")?;
    let mut endpoints = Endpoints::default();
    for (name, url) in fleet.stand_ins() {
        endpoints = endpoints.stand_in(name, url.parse().context("the demo's own address is no URL")?);
    }
    config.registries.endpoints = endpoints;
    let kube = kube::Config::new(fleet.kube.url().parse().context("the demo's own address is no URL")?);
    let client = kube::Client::try_from(kube).context("the demo's cluster could not be reached")?;
    let source = ClusterSource::new(client, Namespaces::default());
    Ok((fleet, source))
}

/// The folder the demo's report is written to.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join("provenance-collector-demo")
}
