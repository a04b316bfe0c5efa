//! Helm releases, as the report has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::parts::{StageRecord, WorkloadRecord};
use super::rule::Rule;
use crate::release::Manager;
use crate::update::UpdateLevel;

/// A Helm release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HelmRelease {
    /// The release's name.
    pub release_name: String,
    /// The namespace it is installed into.
    pub namespace: String,
    /// The chart's name; empty where the record could not be read.
    pub chart: String,
    /// The chart's version; empty where the record could not be read.
    pub version: String,
    /// The version of what the chart installs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    /// The newest revision's status, in Helm's words: `deployed`, `failed`, `pending-upgrade`, `uninstalled` and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What Helm says of the last action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The newest revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The revision that is deployed, where that is another or none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployed_revision: Option<u64>,
    /// How many revisions are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revisions: Option<usize>,
    /// When the newest revision was made, as Helm writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Whether the chart is deprecated: it says so itself, or its newest version does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<bool>,
    /// The Kubernetes versions the chart is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_version: Option<String>,
    /// Where Helm's record of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// What manages it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manager: Option<ManagerRecord>,
    /// Update facts; absent where they were not asked for, or no repository of the chart is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<ChartUpdate>,
    /// The images it runs, as this report's rows name them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Vec<String>>,
    /// The workloads of this report's rows that it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workloads: Option<Vec<WorkloadRecord>>,
    /// The rules that it breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Rule>>,
    /// How each stage fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<ReleaseStages>,
}

impl HelmRelease {
    /// Whether it is neither deployed nor uninstalled on purpose.
    pub fn is_unhealthy(&self) -> bool {
        self.status.as_deref().is_some_and(|status| {
            status == "failed" || status.starts_with("pending-") || status == "uninstalling"
        })
    }
}

/// Where Helm's record of a release is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// The kind of object.
    pub kind: StoredIn,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// The kinds of objects that Helm stores releases in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum StoredIn {
    /// A Secret.
    Secret,
    /// A `ConfigMap`.
    ConfigMap,
}

/// What manages a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagerRecord {
    /// The kind of manager.
    pub by: Manager,
    /// The namespace of the managing object.
    pub namespace: String,
    /// The name of the managing object.
    pub name: String,
    /// What it says of the release's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Update facts of a chart.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChartUpdate {
    /// The newest version of the installed major, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_in_major: Option<String>,
    /// The newest version of all, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_available: Option<String>,
    /// Whether there is an update at the level asked for.
    pub update_available: bool,
    /// The newest version of the installed major and minor, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_in_minor: Option<String>,
    /// The first part of the version that the newest changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<UpdateLevel>,
    /// How many versions are newer.
    pub versions_behind: usize,
    /// How many more are newer, and are not for this cluster's version of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_kubernetes: Option<usize>,
    /// Why this is the answer, in one sentence.
    pub reason: String,
    /// The repository that was asked.
    pub repository: String,
    /// What named it.
    pub repository_from: RepositoryFrom,
    /// Whether the repository's newest version, or the installed one, is deprecated there.
    pub deprecated: bool,
}

/// What named the repository of a chart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RepositoryFrom {
    /// Flux.
    Flux,
    /// Argo CD.
    ArgoCd,
    /// The configuration file.
    #[default]
    Configuration,
    /// The chart itself.
    Chart,
}

/// How each stage fared on a release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseStages {
    /// The release stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<StageRecord>,
    /// The chart stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<StageRecord>,
}

/// The Helm release that brought an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseLink {
    /// The release's namespace.
    pub namespace: String,
    /// The release's name.
    pub name: String,
    /// What says so.
    pub by: LinkedBy,
}

/// What says that a release brought an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LinkedBy {
    /// The release's manifest has the workload, or one of its owners.
    Manifest,
    /// The pod's labels or annotations name the release.
    Labels,
}
