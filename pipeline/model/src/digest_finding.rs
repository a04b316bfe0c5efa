//! What the digest stage finds: what runs, what the tag names today, and whether the two still agree.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Digest, Platform};

/// How what runs stands to what its tag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DriftState {
    /// What runs is what the tag (or the pinned digest) names.
    Same,
    /// The tag names something else by now. What runs is still in the registry.
    Drifted,
    /// What runs is no longer in the registry: a pod that is started again elsewhere fails or runs something else.
    DigestGone,
    /// The registry has no such tag any more. What runs is still there under its digest.
    TagGone,
    /// Nothing was compared: nothing runs, or the runtime does not say what.
    NotAsked,
}

/// What the digest stage finds for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestFinding {
    /// The comparison.
    pub state: DriftState,
    /// What runs, as the registry's digest of a manifest or an index; where nothing runs, what the tag names.
    pub digest: Option<Digest>,
    /// What the tag names today; none where it is gone or none was written.
    pub tag_digest: Option<Digest>,
    /// The platform of what runs, where the registry's answers tell.
    pub platform: Option<Platform>,
    /// The platforms the image is made for, where an index tells.
    pub platforms: Vec<Platform>,
    /// The media type of the manifest or index that the row's digest names, where it was asked for.
    pub media_type: Option<String>,
    /// When what runs was made, where its manifest or index says so.
    pub created_at: Option<Timestamp>,
}
