//! What is attached to an image: one plan for all stages, and no place asked twice.
//!
//! | place | asked for |
//! | --- | --- |
//! | referrers API; where a registry has none, its referrers tag `sha256-…` | all |
//! | cosign's tag `sha256-….sig` | signatures |
//! | cosign's tag `sha256-….att` | attestations, SBOMs |
//! | cosign's tag `sha256-….sbom` | SBOMs |
//! | the image's own index (`BuildKit`) | attestations, SBOMs |
//!
//! A tag list that is complete already says which of these tags exist; then no tag is probed. Every answer of a
//! place is kept for the other stages, failures too, with the evidence of how it was come by.

mod layers;
mod survey;
mod target;

use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use provenance_engine::{Failure, FailureKind};
use provenance_model::trust::{Attached, Form, Place};
use provenance_model::{Digest, Trail};

pub use layers::{Kind, Wanted, states};
pub(crate) use target::asking;
pub use target::{Target, Targets};

use crate::registry::{Asking, BodyReader, Manifest, Name, RegistryClient};
use crate::shared::{Kept, Whereabouts};
use crate::tag_lists::TagLists;
use layers::{is_relevant, layers};
use survey::{Listed, Survey};

/// Bytes of one signature.
pub(crate) const SIGNATURE_BYTES: usize = 4 << 20;
/// Bytes of one attestation.
pub(crate) const ATTESTATION_BYTES: usize = 32 << 20;
/// Referrers of one image that are looked into at the most.
const LOOKED_INTO: usize = 64;
/// Bytes of blobs kept in memory for other stages.
const MEMO_BYTES: u64 = 4 << 20;

/// One thing that is attached: a layer of a manifest.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is, and where.
    pub attached: Attached,
    /// What kind of thing.
    pub kind: Kind,
    /// The digest of its bytes.
    pub blob: Digest,
    /// How many bytes.
    pub bytes: u64,
    /// The annotations of its layer, its manifest's where the layer has none of that name.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// The media type of its layer.
    pub media_type: String,
    /// The manifest that holds it.
    pub manifest: Arc<Manifest>,
    /// The digest that it must be about.
    pub subject: Digest,
}

/// What was found, and what could not be.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of places.
    pub items: Vec<Item>,
    /// Places that did not answer.
    pub failures: Vec<Failure>,
}

impl Found {
    /// Adds what was found elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.items.extend(other.items);
        self.failures.extend(other.failures);
    }
}

type BlobKey = (Whereabouts, Digest);

/// Finds what is attached. One for all stages of a run.
#[derive(Debug)]
pub struct Attachments {
    client: Arc<RegistryClient>,
    survey: Survey,
    blobs: Cache<BlobKey, Arc<Kept<Bytes>>>,
}

impl Attachments {
    /// A finder that asks through this client, and these lists whether tags exist.
    pub fn new(client: Arc<RegistryClient>, lists: Arc<TagLists>) -> Self {
        Self {
            survey: Survey::new(Arc::clone(&client), lists),
            client,
            blobs: Cache::builder()
                .max_capacity(MEMO_BYTES)
                // What was used last is used next: by the stages to come.
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|_, kept: &Arc<Kept<Bytes>>| {
                    let bytes = kept.answer.as_ref().map_or(0, Bytes::len);
                    u32::try_from(bytes + 512).unwrap_or(u32::MAX)
                })
                .build(),
        }
    }

    pub(crate) fn client(&self) -> &RegistryClient {
        &self.client
    }

    /// Everything of this kind that is attached to one target.
    pub async fn find(&self, asking: &Asking<'_>, target: &Target, wanted: Wanted) -> Found {
        let mut found = Found::default();
        let mut listed = Vec::new();
        for place in wanted.places() {
            match self.survey.ask(asking, &target.digest, *place).await {
                Ok(here) => listed.extend(here),
                Err(failure) => found.failures.push(failure),
            }
        }
        if let Some(index) = &target.index {
            listed.extend(survey::in_index(index, &target.digest));
        }
        let relevant: Vec<_> = listed.into_iter().filter(|listed| is_relevant(listed, wanted)).collect();
        if relevant.len() > LOOKED_INTO {
            let why = format!(
                "{}/{}: {} things are attached to {}; {LOOKED_INTO} are looked into",
                asking.registry,
                asking.repository,
                relevant.len(),
                target.digest
            );
            found.failures.push(Failure::new(FailureKind::TooLarge, why));
        }
        for listed in relevant.into_iter().take(LOOKED_INTO) {
            match self.look_into(asking, &listed, target).await {
                Ok(items) => found.items.extend(items.into_iter().filter(|item| item.kind.is(wanted))),
                Err(failure) => found.failures.push(failure),
            }
        }
        // Registries list in any order; a manifest's layers keep theirs.
        found.items.sort_by(|a, b| {
            (a.attached.place, &a.attached.manifest).cmp(&(b.attached.place, &b.attached.manifest))
        });
        found
    }

    /// The layers of a manifest that is attached.
    async fn look_into(
        &self,
        asking: &Asking<'_>,
        listed: &Listed,
        target: &Target,
    ) -> Result<Vec<Item>, Failure> {
        let manifest = match &listed.manifest {
            Some(manifest) => Some(Arc::clone(manifest)),
            None => self.client.manifest(asking, Name::Digest(&listed.digest)).await?,
        };
        let Some(manifest) = manifest else {
            let why = format!(
                "{}/{}: {} is listed as attached, and the registry has none",
                asking.registry, asking.repository, listed.digest
            );
            return Err(Failure::new(FailureKind::UnexpectedStatus, why));
        };
        let items = layers(listed, &manifest).into_iter().map(|layer| Item {
            attached: Attached {
                form: layer.kind.form(),
                place: listed.place,
                manifest: manifest.digest.to_string(),
                blob: Some(layer.digest.to_string()),
                subject: target.digest.to_string(),
                platform: target.platform.as_ref().map(ToString::to_string),
            },
            kind: layer.kind,
            blob: layer.digest,
            bytes: layer.bytes,
            annotations: layer.annotations,
            media_type: layer.media_type,
            manifest: Arc::clone(&manifest),
            subject: target.digest.clone(),
        });
        Ok(items.collect())
    }

    /// The bytes of something attached, at most `cap`. Fetched once for all who want it.
    pub async fn load(&self, asking: &Asking<'_>, item: &Item, cap: usize) -> Result<Bytes, Failure> {
        let whereabouts = Whereabouts::of(asking);
        let fetch = async {
            let trail = Trail::default();
            let answer = self.fetch(&whereabouts.asking(&trail), item, cap).await;
            Arc::new(Kept::new(answer, &trail))
        };
        let key = (whereabouts.clone(), item.blob.clone());
        let kept = self.blobs.get_with(key, fetch).await;
        kept.tell(asking).cloned()
    }

    /// Reads something attached as it comes, at most `cap` bytes. It is not kept.
    pub async fn read<T: Send + 'static>(
        &self,
        asking: &Asking<'_>,
        item: &Item,
        cap: usize,
        read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
    ) -> Result<T, Failure> {
        let there = self.client.read_blob(asking, &item.blob, cap, read).await?;
        there.ok_or_else(|| gone(asking, item))
    }

    async fn fetch(&self, asking: &Asking<'_>, item: &Item, cap: usize) -> Result<Bytes, Failure> {
        let there = self.client.blob(asking, &item.blob, cap).await?;
        there.ok_or_else(|| gone(asking, item))
    }
}

fn gone(asking: &Asking<'_>, item: &Item) -> Failure {
    let why = format!(
        "{}/{}: {} names the blob {}, and the registry has none",
        asking.registry, asking.repository, item.attached.manifest, item.blob
    );
    Failure::new(FailureKind::UnexpectedStatus, why)
}

impl Kind {
    /// The form under which reports name it.
    pub fn form(&self) -> Form {
        match self {
            Self::SimpleSigning => Form::SimpleSigning,
            Self::Bundle { .. } => Form::SigstoreBundle,
            Self::Dsse { .. } => Form::Dsse,
            Self::Statement { .. } => Form::InToto,
            Self::Notation => Form::Notation,
            Self::Sbom(_) => Form::Document,
        }
    }
}

impl Wanted {
    /// The places that can hold it, besides the image's own index.
    fn places(self) -> &'static [Place] {
        match self {
            Self::Signatures => &[Place::Referrers, Place::SignatureTag],
            Self::Attestations => &[Place::Referrers, Place::AttestationTag],
            Self::Sboms => &[Place::Referrers, Place::AttestationTag, Place::SbomTag],
        }
    }
}
