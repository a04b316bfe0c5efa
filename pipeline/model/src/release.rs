//! Helm releases: where one was seen, what its record says, and what is newer than its chart.

use std::fmt;
use std::sync::Arc;

use provenance_engine::{Item, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Trail;
use crate::report::{ChartUpdate, StoredIn};

/// A release, as its places of storage and its managers name it. Examined once, wherever it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReleaseSubject {
    /// The namespace it is stored in; for a release without a record, that it is installed into.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Helm's own record of it.
    pub stored: Option<Stored>,
    /// What manages it.
    pub managed: Option<Managed>,
}

/// Helm's own records of a release, as their metadata tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stored {
    /// The kind of object.
    pub kind: StoredIn,
    /// The name of the object that holds the newest revision.
    pub object: String,
    /// The newest revision.
    pub revision: u64,
    /// How many revisions are kept.
    pub revisions: usize,
    /// The revision that is deployed, where one is.
    pub deployed: Option<u64>,
}

/// What manages a release, and what it says of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Managed {
    /// The kind of manager.
    pub by: Manager,
    /// The managing object's namespace.
    pub namespace: String,
    /// The managing object's name.
    pub name: String,
    /// The chart, by name; with an OCI repository by its whole address.
    pub chart: String,
    /// The chart's version, as it was resolved, or else as it is asked for.
    pub version: String,
    /// The version of what the chart installs.
    pub app_version: Option<String>,
    /// The repository of the chart, by URL.
    pub repository: Option<String>,
    /// What the manager says of its state, in Helm's words where it has them.
    pub status: Option<String>,
    /// The objects it made.
    pub objects: Vec<ObjectRef>,
}

/// The kinds of managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Manager {
    /// An Application of [Argo CD](https://argo-cd.readthedocs.io).
    #[serde(rename = "Argo CD")]
    ArgoCd,
    /// A `HelmRelease` of [Flux](https://fluxcd.io).
    Flux,
}

impl fmt::Display for Manager {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ArgoCd => "Argo CD",
            Self::Flux => "Flux",
        })
    }
}

/// An object by kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectRef {
    /// The namespace; empty for an object without one.
    pub namespace: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// What is known of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReleaseFacts {
    /// The namespace it is installed into.
    pub namespace: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub version: String,
    /// The version of what the chart installs.
    pub app_version: Option<String>,
    /// The status.
    pub status: Option<String>,
    /// What Helm says of the last action.
    pub description: Option<String>,
    /// When that was, as written.
    pub updated_at: Option<String>,
    /// Whether the chart says that it is deprecated.
    pub deprecated: bool,
    /// The Kubernetes versions the chart is for.
    pub kube_version: Option<String>,
    /// Addresses that the chart itself names: its home, its sources, its annotations.
    pub addresses: Vec<String>,
    /// The objects it made.
    pub objects: Vec<ObjectRef>,
}

/// The work item of one release.
#[derive(Debug, Clone)]
pub struct ReleaseDossier {
    /// What is examined.
    pub subject: ReleaseSubject,
    /// What the release stage has to say.
    pub release: Outcome<ReleaseFacts>,
    /// What the chart stage has to say.
    pub chart: Outcome<ChartUpdate>,
    /// The places asked so far.
    pub trail: Trail,
}

impl ReleaseDossier {
    /// A dossier in which nothing was asked yet.
    pub fn new(subject: ReleaseSubject) -> Self {
        Self { subject, release: Outcome::NotReached, chart: Outcome::NotReached, trail: Trail::default() }
    }
}

impl Item for ReleaseDossier {
    type Lane = ();

    /// All are read from one API.
    fn lane(&self) {}

    fn span(&self) -> tracing::Span {
        tracing::info_span!("release", namespace = %self.subject.namespace, name = %self.subject.name)
    }
}

/// What a pod says of the release that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReleaseHint {
    /// The release's name.
    pub name: Arc<str>,
    /// The release's namespace, where that is told; else it is the pod's.
    pub namespace: Option<Arc<str>>,
}
