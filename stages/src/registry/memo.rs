//! What one run knows of manifests: both what they are and what the registry said of them today. Each is asked for once, also
//! where many want it at the same time.

use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use provenance_model::{CredentialScope, Registry, Repository};

use super::asking::{Asking, HeadAnswer};
use super::content::Manifest;

/// Answers to HEADs that are kept: of far more images than are examined at once.
const HEADS: u64 = 4_000;

/// What is known of manifests in this run, whoever asked.
#[derive(Debug)]
pub(super) struct Memo {
    /// Content: by tag as the registry says today, by digest from wherever.
    pub(super) content: Cache<Key, Option<Arc<Manifest>>>,
    /// What the registry said today of digests.
    pub(super) today: Cache<Key, Option<Arc<Manifest>>>,
    pub(super) heads: Cache<Key, HeadAnswer>,
}

/// A manifest by one of its names, as it is seen with these credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    registry: Registry,
    repository: Repository,
    name: String,
    scope: CredentialScope,
}

impl Key {
    pub(super) fn new(asking: &Asking<'_>, name: &str) -> Self {
        Self {
            registry: asking.registry.clone(),
            repository: asking.repository.clone(),
            name: name.to_owned(),
            scope: asking.scope.clone(),
        }
    }
}

impl Memo {
    pub(super) fn new(bytes: u64) -> Self {
        let memo = || {
            Cache::builder()
                .max_capacity(bytes)
                // What was used last is used next: by the stages to come.
                .eviction_policy(EvictionPolicy::lru())
                // One that weighs more than the whole would never be kept, and be asked for by every stage.
                .weigher(move |_, manifest: &Option<Arc<Manifest>>| {
                    let own = manifest.as_ref().map_or(0, |manifest| manifest.bytes());
                    u32::try_from((own as u64 + 512).min(bytes / 4)).unwrap_or(u32::MAX)
                })
                .build()
        };
        let heads = Cache::builder().max_capacity(HEADS).eviction_policy(EvictionPolicy::lru()).build();
        Self { content: memo(), today: memo(), heads }
    }
}
