//! What a discovery has to say besides its sightings: where it looked, and where it could not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a discovery went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discovery {
    /// The namespaces that were looked into, sorted.
    pub namespaces: Vec<String>,
    /// What could not be read.
    pub problems: Vec<DiscoveryProblem>,
}

/// Something that discovery could not read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryProblem {
    /// Whether rows are missing because of it. Where not, rows are there but say less than they could.
    pub rows_missing: bool,
    /// Why.
    pub reason: ProblemReason,
    /// The namespace, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The kind of object that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// One sentence that names the input and the fix.
    pub message: String,
}

impl DiscoveryProblem {
    /// The kind under which problems with releases are told.
    pub const RELEASE: &str = "HelmRelease";

    /// Whether it makes a report partial: rows of images are missing, or a listing was cut short. Releases that the
    /// account may not read are named, and missing; what was asked for of images is all there.
    pub fn is_partial(&self) -> bool {
        let is_unread_release =
            self.kind.as_deref() == Some(Self::RELEASE) && self.reason == ProblemReason::Forbidden;
        self.rows_missing && !is_unread_release
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ProblemReason {
    /// The account lacks the right.
    Forbidden,
    /// The namespace does not exist, or no longer.
    NotFound,
    /// The listing failed before its end.
    CutShort,
    /// The run was stopped first.
    Stopped,
    /// The object is there but says something we cannot read.
    Malformed,
}
