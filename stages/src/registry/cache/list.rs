//! The lists that are kept: what a registry said is attached to a digest, and the tags of a repository.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::Descriptor;
use provenance_model::Digest;
use serde::{Deserialize, Serialize};

/// What a list of tags is kept under.
pub(in crate::registry) const TAGS: &str = "tags";

/// What a list of referrers is kept under.
pub(in crate::registry) fn referrers_of(digest: &Digest) -> String {
    format!("referrers-{}-{}", digest.algorithm(), digest.hex())
}

/// What is attached to a digest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::registry) struct KeptReferrers {
    /// When the registry said so.
    pub(in crate::registry) at: Timestamp,
    /// What it listed; none where it has no referrers API.
    pub(in crate::registry) listed: Option<Vec<Descriptor>>,
}

/// What a tag names that is attached to an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::registry) struct KeptTag {
    /// When the registry said so.
    pub(in crate::registry) at: Timestamp,
    /// The digest; none where there is no such tag.
    pub(in crate::registry) digest: Option<String>,
}

/// The tags of a repository, page by page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::registry) struct KeptTags {
    /// When the registry last said that it is so.
    pub(in crate::registry) at: Timestamp,
    /// The pages.
    pub(in crate::registry) pages: Vec<KeptPage>,
    /// Whether the last page was the last.
    pub(in crate::registry) is_all: bool,
}

/// One page.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::registry) struct KeptPage {
    /// Its URL.
    pub(in crate::registry) url: String,
    /// Its entity tag ([RFC 9110 §8.8.3](https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3)).
    pub(in crate::registry) entity_tag: Option<String>,
    /// Its tags.
    pub(in crate::registry) tags: Vec<String>,
    /// What it says of digests: tags, and when it was pushed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::registry) digests: BTreeMap<String, (Vec<String>, Option<Timestamp>)>,
    /// Where the registry says that the next page is.
    pub(in crate::registry) link: Option<String>,
}
