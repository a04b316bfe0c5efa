//! `demo`: the same pipeline against an in-process cluster and registries. No cluster, no network, no set-up.

use std::path::PathBuf;

use anyhow::Context as _;
use provenance_model::Shard;
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::Endpoints;
use provenance_testbed::Fleet;
use provenance_trust::Root;
use provenance_trust::policy::{Document, Found, documents};

use crate::config::{Config, HelmSettings};
use crate::topology::Helm;

/// The cluster's name in the demo's report.
pub const CLUSTER: &str = "demo";

/// The demo's policy: what the company builds must be signed with its key.
const POLICY: &str = "
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: acme-signs-what-it-builds}
spec:
  images: [{glob: ghcr.io/acme/**}]
  authorities: [{key: {data: KEY}}]
";

/// What the demo trusts.
///
/// # Errors
///
/// Where its policy cannot be read, which is a defect.
pub fn trust() -> anyhow::Result<Trust> {
    let key = serde_json::to_string(&Fleet::demo_key())?;
    let mut policies = Vec::new();
    for document in documents(&POLICY.replace("KEY", &key)).map_err(anyhow::Error::msg)? {
        if let Document::Policy(policy) = document {
            policies.push(policy.resolve(&Found::default()).map_err(anyhow::Error::msg)?);
        }
    }
    Ok(Trust { roots: Root::embedded(), policies, ..Trust::default() })
}

/// The demo's fleet, started, and the source that reads it.
///
/// # Errors
///
/// Where no port of the loopback interface can be listened on.
pub async fn start(config: &mut Config) -> anyhow::Result<(Fleet, ClusterSource, Helm)> {
    let fleet = Fleet::demo().await.context("the demo's servers could not be started on 127.0.0.1")?;
    let mut endpoints = Endpoints::default();
    for (name, url) in fleet.stand_ins() {
        endpoints = endpoints.stand_in(name, url.parse().context("the demo's own address is no URL")?);
    }
    config.registries.endpoints = endpoints;
    let kube = kube::Config::new(fleet.kube.url().parse().context("the demo's own address is no URL")?);
    let client = kube::Client::try_from(kube).context("the demo's cluster could not be reached")?;
    let helm = Helm {
        client: client.clone(),
        namespaces: Namespaces::default(),
        page_size: ClusterSource::PAGE_SIZE,
        settings: HelmSettings::default(),
        shard: Shard::default(),
    };
    let source = ClusterSource::new(client, Namespaces::default());
    Ok((fleet, source, helm))
}

/// The folder the demo's report is written to.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join("provenance-collector-demo")
}
