//! Who asks a registry for what, and the forms that answers have.

use std::fmt;

use oci_spec::image::Descriptor;
use provenance_model::{CredentialScope, Digest, Registry, Repository, Tag, Trail};

/// Who asks, about which repository, and where the evidence goes.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The stage that asks.
    pub stage: &'static str,
    /// The registry.
    pub registry: &'a Registry,
    /// The repository.
    pub repository: &'a Repository,
    /// Whose credentials are shown.
    pub scope: &'a CredentialScope,
    /// Where question and answer are noted.
    pub trail: &'a Trail,
}

/// A manifest by tag or by digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// By tag.
    Tag(&'a Tag),
    /// By digest.
    Digest(&'a Digest),
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// What a HEAD tells of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: Option<String>,
}

/// What a registry says to a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadAnswer {
    /// It has the manifest.
    There(ManifestHead),
    /// It says it has none.
    Absent,
    /// Its answer tells neither the digest nor that there is none: a GET will.
    Untold,
}

/// What a registry says about the referrers of a digest.
#[derive(Debug, Clone)]
pub enum Referrers {
    /// The registry has the API: these descriptors.
    Listed(Vec<Descriptor>),
    /// The registry has no referrers API; the fallback tag is to be asked.
    NoApi,
}
