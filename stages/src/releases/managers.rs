//! What Flux's and Argo CD's objects say of the releases they manage
//! ([HelmRelease](https://fluxcd.io/flux/components/helm/helmreleases/),
//! [Application](https://argo-cd.readthedocs.io/en/stable/user-guide/helm/)).

use std::collections::HashMap;

use provenance_model::release::{Managed, Manager, ObjectRef};
use serde::Deserialize;

/// What is read of any object's metadata.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
}

/// A release that is managed, under the namespace and name by which Helm would store it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) managed: Managed,
}

/// A repository of charts that Flux knows.
#[derive(Debug, Deserialize)]
pub(super) struct FluxSource {
    metadata: Named,
    spec: FluxSourceSpec,
}

#[derive(Debug, Deserialize)]
struct FluxSourceSpec {
    #[serde(default)]
    url: String,
}

/// Flux's repositories, by kind, namespace and name.
#[derive(Debug, Default)]
pub(super) struct FluxSources(HashMap<(String, String, String), String>);

impl FluxSources {
    pub(super) fn add(&mut self, kind: &str, source: FluxSource) {
        let FluxSource { metadata: Named { name, namespace }, spec } = source;
        self.0.insert((kind.to_owned(), namespace, name), spec.url);
    }

    fn url(&self, reference: &CrossReference, of: &Named) -> Option<String> {
        let namespace = reference.namespace.clone().unwrap_or_else(|| of.namespace.clone());
        self.0.get(&(reference.kind.clone(), namespace, reference.name.clone())).cloned()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrossReference {
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// A Flux `HelmRelease`, of any version.
#[derive(Debug, Deserialize)]
pub(super) struct HelmRelease {
    metadata: Named,
    spec: HelmReleaseSpec,
    #[serde(default)]
    status: HelmReleaseStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HelmReleaseSpec {
    chart: Option<ChartTemplate>,
    chart_ref: Option<CrossReference>,
    release_name: Option<String>,
    target_namespace: Option<String>,
    storage_namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ChartTemplate {
    spec: ChartTemplateSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChartTemplateSpec {
    #[serde(default)]
    chart: String,
    version: Option<String>,
    #[serde(default)]
    source_ref: CrossReference,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HelmReleaseStatus {
    history: Vec<Snapshot>,
    last_applied_revision: Option<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Snapshot {
    chart_name: String,
    chart_version: String,
    app_version: Option<String>,
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

impl HelmRelease {
    pub(super) fn found(self, sources: &FluxSources) -> Found {
        let Self { metadata, spec, status } = self;
        let target = spec.target_namespace.filter(|target| !target.is_empty());
        let storage = spec.storage_namespace.filter(|storage| !storage.is_empty());
        let default_name = match &target {
            Some(target) => format!("{target}-{}", metadata.name),
            None => metadata.name.clone(),
        };
        let template = spec.chart.map(|template| template.spec);
        let source = template.as_ref().map(|spec| &spec.source_ref).or(spec.chart_ref.as_ref());
        let url = source.and_then(|source| sources.url(source, &metadata));
        // An OCIRepository is one chart; a HelmRepository holds charts.
        let is_one_chart = source.is_some_and(|source| source.kind == "OCIRepository");
        let (repository, own_name) = match url.as_deref().and_then(|url| url.rsplit_once('/')) {
            Some((above, name)) if is_one_chart => (Some(above.to_owned()), name.to_owned()),
            _ => (url, String::new()),
        };
        let last = status.history.into_iter().next().unwrap_or_default();
        let (asked_chart, asked_version) =
            template.map(|spec| (spec.chart, spec.version.unwrap_or_default())).unwrap_or_default();
        let or = |first: String, second: String| if first.is_empty() { second } else { first };
        let is_ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let said =
            is_ready.map(|ready| if ready.status == "True" { "deployed" } else { "failed" }.to_owned());
        Found {
            namespace: storage.unwrap_or_else(|| metadata.namespace.clone()),
            name: spec.release_name.filter(|name| !name.is_empty()).unwrap_or(default_name),
            managed: Managed {
                by: Manager::Flux,
                chart: or(or(last.chart_name, asked_chart), own_name),
                version: or(
                    or(last.chart_version, status.last_applied_revision.unwrap_or_default()),
                    asked_version,
                ),
                app_version: last.app_version,
                repository,
                status: last.status.or(said),
                objects: Vec::new(),
                namespace: metadata.namespace,
                name: metadata.name,
            },
        }
    }
}

/// An Argo CD `Application`.
#[derive(Debug, Deserialize)]
pub(super) struct Application {
    metadata: Named,
    spec: ApplicationSpec,
    #[serde(default)]
    status: ApplicationStatus,
}

#[derive(Debug, Deserialize)]
struct ApplicationSpec {
    source: Option<ApplicationSource>,
    sources: Option<Vec<ApplicationSource>>,
    #[serde(default)]
    destination: Destination,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ApplicationSource {
    #[serde(rename = "repoURL")]
    repo_url: String,
    chart: String,
    target_revision: String,
    helm: Option<HelmOptions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HelmOptions {
    release_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Destination {
    server: String,
    name: String,
    namespace: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApplicationStatus {
    sync: Sync,
    health: Health,
    resources: Vec<Resource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sync {
    status: String,
    revision: String,
    revisions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Health {
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Resource {
    kind: String,
    name: String,
    namespace: String,
}

impl Application {
    /// The charts that the application installs into its own cluster.
    pub(super) fn found(self) -> Vec<Found> {
        let Self { metadata, spec, status } = self;
        let Destination { server, name, namespace } = spec.destination;
        let is_here = server == "https://kubernetes.default.svc" || name == "in-cluster";
        if !is_here {
            return Vec::new();
        }
        let is_one = spec.sources.is_none();
        let sources = spec.sources.unwrap_or_else(|| spec.source.into_iter().collect());
        let objects: Vec<_> = status
            .resources
            .into_iter()
            .map(|Resource { kind, name, namespace }| ObjectRef { namespace, kind, name })
            .collect();
        let said = [status.sync.status.as_str(), status.health.status.as_str()];
        let said = said.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ");
        let with_chart = sources.into_iter().enumerate().filter(|(_, source)| !source.chart.is_empty());
        let found = with_chart.map(|(at, source)| {
            let resolved = if is_one { Some(&status.sync.revision) } else { status.sync.revisions.get(at) };
            let resolved = resolved.filter(|revision| !revision.is_empty()).cloned();
            let release = source.helm.map(|helm| helm.release_name).filter(|name| !name.is_empty());
            // Argo CD writes an OCI repository without its scheme.
            let repository = if source.repo_url.contains("://") {
                source.repo_url
            } else {
                format!("oci://{}", source.repo_url)
            };
            Found {
                namespace: namespace.clone(),
                name: release.unwrap_or_else(|| metadata.name.clone()),
                managed: Managed {
                    by: Manager::ArgoCd,
                    namespace: metadata.namespace.clone(),
                    name: metadata.name.clone(),
                    chart: source.chart,
                    version: resolved.unwrap_or(source.target_revision),
                    app_version: None,
                    repository: Some(repository),
                    status: Some(said.clone()).filter(|said| !said.is_empty()),
                    objects: objects.clone(),
                },
            }
        });
        found.collect()
    }
}
