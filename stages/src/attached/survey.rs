//! Asks each place once, and keeps what it said.

use std::collections::BTreeMap;
use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use oci_spec::image::Descriptor;
use provenance_engine::Failure;
use provenance_model::trust::Place;
use provenance_model::{Digest, Tag, Trail};

use crate::registry::{Asking, Content, Manifest, Referrers, RegistryClient};
use crate::shared::{Kept, Whereabouts};
use crate::tag_lists::TagLists;

/// The annotation that says of what an attestation manifest in an index is
/// ([BuildKit](https://docs.docker.com/build/metadata/attestations/attestation-storage/)).
const REFERENCE: &str = "vnd.docker.reference.digest";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Places whose answers are kept: those of some thousand images, far more than are examined at once.
const PLACES: u64 = 4_000;

/// A manifest that is attached, as a place lists it.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    /// The place.
    pub(super) place: Place,
    /// The manifest's digest.
    pub(super) digest: Digest,
    /// Its artifact type, as the place says; some places say another than the manifest.
    pub(super) artifact_type: Option<String>,
    /// Its annotations, as the place says.
    pub(super) annotations: BTreeMap<String, String>,
    /// The manifest, where it came with the answer.
    pub(super) manifest: Option<Arc<Manifest>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PlaceKey {
    whereabouts: Whereabouts,
    digest: Digest,
    place: Place,
}

/// Asks places.
#[derive(Debug)]
pub(super) struct Survey {
    client: Arc<RegistryClient>,
    places: Cache<PlaceKey, Arc<Kept<Vec<Listed>>>>,
    lists: Arc<TagLists>,
}

impl Survey {
    pub(super) fn new(client: Arc<RegistryClient>, lists: Arc<TagLists>) -> Self {
        let places = Cache::builder()
            .max_capacity(PLACES)
            // What was used last is used next: by the stages to come.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self { client, places, lists }
    }

    /// What one place lists for a digest.
    pub(super) async fn ask(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        place: Place,
    ) -> Result<Vec<Listed>, Failure> {
        let whereabouts = Whereabouts::of(asking);
        let key = PlaceKey { whereabouts: whereabouts.clone(), digest: digest.clone(), place };
        let ask = async {
            let trail = Trail::default();
            let asking = whereabouts.asking(&trail);
            let answer = match place {
                Place::Referrers => Box::pin(self.referrers(&asking, digest)).await,
                _ => Box::pin(self.tagged(&asking, digest, place)).await,
            };
            Arc::new(Kept::new(answer, &trail))
        };
        self.places.get_with(key, ask).await.tell(asking).cloned()
    }

    async fn referrers(&self, asking: &Asking<'_>, digest: &Digest) -> Result<Vec<Listed>, Failure> {
        match self.client.referrers(asking, digest).await? {
            Referrers::Listed(descriptors) => {
                let listed = descriptors.iter().filter_map(|one| listed(Place::Referrers, one));
                Ok(listed.collect())
            }
            Referrers::NoApi => self.tagged(asking, digest, Place::ReferrersTag).await,
        }
    }

    async fn tagged(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        place: Place,
    ) -> Result<Vec<Listed>, Failure> {
        let name = format!("{}-{}{}", digest.algorithm(), digest.hex(), suffix(place));
        if self.lists.lacks(asking, &name).await {
            let told = format!("{}/{}: tag {name}", asking.registry, asking.repository);
            asking.trail.note(asking.stage, told, "not in the repository's list of tags, which is complete");
            return Ok(Vec::new());
        }
        let tag: Tag = name.parse().expect("a digest makes a tag");
        let Some(manifest) = self.client.attached_manifest(asking, &tag).await? else {
            return Ok(Vec::new());
        };
        Ok(match manifest.content() {
            // The referrers tag is an index of what the API would list.
            Content::Index(index) => index.manifests().iter().filter_map(|one| listed(place, one)).collect(),
            Content::Image(_) => vec![Listed {
                place,
                digest: manifest.digest.clone(),
                artifact_type: None,
                annotations: BTreeMap::new(),
                manifest: Some(manifest),
            }],
        })
    }
}

fn suffix(place: Place) -> &'static str {
    match place {
        Place::SignatureTag => ".sig",
        Place::AttestationTag => ".att",
        Place::SbomTag => ".sbom",
        Place::Referrers | Place::ReferrersTag | Place::Index => "",
    }
}

fn listed(place: Place, descriptor: &Descriptor) -> Option<Listed> {
    Some(Listed {
        place,
        digest: descriptor.digest().to_string().parse().ok()?,
        artifact_type: descriptor.artifact_type().as_ref().map(ToString::to_string),
        annotations: descriptor.annotations().clone().unwrap_or_default().into_iter().collect(),
        manifest: None,
    })
}

/// The attestation manifests of an index that are of one of its platforms.
pub(super) fn in_index(index: &Manifest, platform: &Digest) -> Vec<Listed> {
    let Content::Index(content) = index.content() else { return Vec::new() };
    let attests = |descriptor: &&Descriptor| {
        descriptor.annotations().as_ref().is_some_and(|annotations| {
            annotations.get(REFERENCE_TYPE).is_some_and(|kind| kind == "attestation-manifest")
                && annotations.get(REFERENCE).is_some_and(|digest| digest == platform.as_str())
        })
    };
    content.manifests().iter().filter(attests).filter_map(|one| listed(Place::Index, one)).collect()
}
