//! The digest stage: what the tag names today against what runs.
//!
//! One manifest request by tag; one by the running digest only where the two differ. Where the runtime gives
//! only an image id, the tag's manifests are compared with it, a platform at a time. Manifests and indexes
//! stay in the client's memo for the stages to come.
//!
//! On Docker Hub, and where the configuration says so, the tag is asked by HEAD first: a HEAD is not counted as a pull,
//! a GET is.

use std::sync::Arc;

use jiff::Timestamp;
use provenance_engine::{Failure, FailureKind, Outcome, Stage};
use provenance_model::{Digest, DigestFinding, Dossier, DriftState, ImageReference, Platform, Running};

use crate::registry::content::{Child, usual_first};
use crate::registry::{Asking, HeadAnswer, Manifest, ManifestHead, Name, RegistryClient};

/// Platforms of one index that are looked into for an image id.
const PLATFORMS_LOOKED_INTO: usize = 16;

/// The stage. See the module's description.
#[derive(Debug)]
pub struct DigestStage {
    client: Arc<RegistryClient>,
}

impl DigestStage {
    /// The stage's name.
    pub const NAME: &str = "digest";

    /// A stage that asks through this client.
    pub fn new(client: Arc<RegistryClient>) -> Self {
        Self { client }
    }
}

impl Stage<Dossier> for DigestStage {
    type Found = DigestFinding;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<DigestFinding> {
        &mut dossier.digest
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<DigestFinding>, Failure> {
        let reference = match &dossier.subject.reference {
            Ok(reference) => reference,
            Err(invalid) => return Err(Failure::new(FailureKind::InvalidReference, invalid.to_string())),
        };
        let asking = Asking {
            stage: Self::NAME,
            registry: &reference.registry,
            repository: &reference.repository,
            scope: &dossier.subject.scope,
            trail: &dossier.trail,
        };
        let comparison =
            Comparison { client: &self.client, asking, reference, running: &dossier.subject.running };
        comparison.compare().await
    }
}

/// One subject's comparison.
struct Comparison<'a> {
    client: &'a RegistryClient,
    asking: Asking<'a>,
    reference: &'a ImageReference,
    running: &'a Running,
}

/// What a name stands for in the registry.
#[derive(Debug, Clone)]
enum Named {
    Manifest(Arc<Manifest>),
    /// Known by its digest only, from a HEAD.
    Head {
        digest: Digest,
        media_type: Option<String>,
    },
}

impl Named {
    fn digest(&self) -> &Digest {
        match self {
            Self::Manifest(manifest) => &manifest.digest,
            Self::Head { digest, .. } => digest,
        }
    }

    fn media_type(&self) -> Option<String> {
        match self {
            Self::Manifest(manifest) => Some(manifest.media_type.clone()),
            Self::Head { media_type, .. } => media_type.clone(),
        }
    }

    fn created_at(&self) -> Option<Timestamp> {
        match self {
            Self::Manifest(manifest) => manifest.created_at(),
            Self::Head { .. } => None,
        }
    }

    fn children(&self) -> Vec<Child> {
        match self {
            Self::Manifest(manifest) => manifest.children(),
            Self::Head { .. } => Vec::new(),
        }
    }
}

impl Comparison<'_> {
    async fn compare(&self) -> Result<Outcome<DigestFinding>, Failure> {
        // The digest that stands for what runs: the runtime's word, or what the image is pinned to.
        let running = match self.running {
            Running::Manifest(digest) => Some(digest),
            Running::Unknown => self.reference.digest.as_ref(),
            Running::ImageId(_) => None,
        };
        let named = self.named(running).await?;
        let Some(named) = named else { return self.without_a_name(running).await };
        if let Running::ImageId(id) = self.running {
            return self.by_image_id(id, named).await;
        }
        let Some(running) = running else {
            // Nothing runs: what the tag names is all there is.
            return Ok(Outcome::Found(self.finding(
                DriftState::NotAsked,
                &named,
                named.digest().clone(),
                None,
            )));
        };
        let nothing_runs = *self.running == Running::Unknown;
        let same = if nothing_runs { DriftState::NotAsked } else { DriftState::Same };
        if named.digest() == running {
            return Ok(Outcome::Found(self.finding(same, &named, running.clone(), None)));
        }
        let named = self.with_children(named).await?;
        if let Some(child) = named.children().into_iter().find(|child| child.digest == *running) {
            let media_type = None;
            let finding = self.finding(same, &named, running.clone(), child.platform);
            return Ok(Outcome::Found(DigestFinding { media_type, ..finding }));
        }
        // They differ: is what runs still there?
        let still_there = self.by_digest(running).await?;
        let state = if still_there.is_some() { DriftState::Drifted } else { DriftState::DigestGone };
        let finding = self.finding(state, &named, running.clone(), None);
        let (platforms, media_type) = described(still_there.as_ref());
        Ok(Outcome::Found(DigestFinding { platforms, media_type, ..finding }))
    }

    /// What the image's name stands for: its tag, or where it has none the digest it is pinned to.
    async fn named(&self, running: Option<&Digest>) -> Result<Option<Named>, Failure> {
        let name = match (&self.reference.tag, &self.reference.digest) {
            (Some(tag), _) => Name::Tag(tag),
            (None, Some(digest)) => Name::Digest(digest),
            (None, None) => {
                let why = format!("{} has neither a tag nor a digest", self.reference);
                return Err(Failure::new(FailureKind::InvalidReference, why));
            }
        };
        let head_suffices = running.is_some() || *self.running == Running::Unknown;
        self.ask(name, head_suffices).await
    }

    /// What a name stands for; where a GET is counted by HEAD, if that suffices.
    async fn ask(&self, name: Name<'_>, head_suffices: bool) -> Result<Option<Named>, Failure> {
        if head_suffices && self.client.limits(&self.reference.registry).head_first {
            match self.client.manifest_head(&self.asking, name).await? {
                HeadAnswer::There(ManifestHead { digest, media_type }) => {
                    return Ok(Some(Named::Head { digest, media_type }));
                }
                HeadAnswer::Absent => return Ok(None),
                HeadAnswer::Untold => {}
            }
        }
        Ok(self.client.manifest_today(&self.asking, name).await?.map(Named::Manifest))
    }

    /// A name that was asked by HEAD, with what an index would say.
    async fn with_children(&self, named: Named) -> Result<Named, Failure> {
        let is_index =
            |media_type: &str| media_type.contains("index") || media_type.contains("manifest.list");
        match &named {
            Named::Head { digest, media_type } if media_type.as_deref().is_none_or(is_index) => {
                let manifest = self.client.manifest(&self.asking, Name::Digest(digest)).await?;
                Ok(manifest.map_or(named, Named::Manifest))
            }
            _ => Ok(named),
        }
    }

    /// Whether the registry has this digest.
    async fn by_digest(&self, digest: &Digest) -> Result<Option<Named>, Failure> {
        self.ask(Name::Digest(digest), true).await
    }

    /// The registry has no such tag (or, for an image that is only pinned, no such digest).
    async fn without_a_name(&self, running: Option<&Digest>) -> Result<Outcome<DigestFinding>, Failure> {
        let tag_is_gone = self.reference.tag.is_some();
        let Some(running) = running else {
            if let Running::ImageId(_) = self.running {
                return Ok(Outcome::Found(bare(DriftState::TagGone)));
            }
            return Ok(Outcome::Absent);
        };
        let pinned_and_gone = !tag_is_gone && self.reference.digest.as_ref() == Some(running);
        if pinned_and_gone {
            if *self.running == Running::Unknown {
                return Ok(Outcome::Absent);
            }
            return Ok(Outcome::Found(gone(running)));
        }
        let Some(there) = self.by_digest(running).await? else { return Ok(Outcome::Found(gone(running))) };
        let state = if tag_is_gone { DriftState::TagGone } else { DriftState::Drifted };
        let (platforms, media_type) = described(Some(&there));
        Ok(Outcome::Found(DigestFinding {
            digest: Some(running.clone()),
            platforms,
            media_type,
            ..bare(state)
        }))
    }

    /// The runtime knows only an image id: which of the tag's manifests has it?
    async fn by_image_id(&self, id: &Digest, named: Named) -> Result<Outcome<DigestFinding>, Failure> {
        let Named::Manifest(manifest) = &named else {
            unreachable!("an image id is compared with a manifest that was fetched");
        };
        // Some stores give the manifest's own digest as the image id.
        if manifest.digest == *id || manifest.config_digest().as_ref() == Some(id) {
            return Ok(Outcome::Found(self.finding(DriftState::Same, &named, manifest.digest.clone(), None)));
        }
        let mut children = manifest.children();
        if let Some(child) = children.iter().find(|child| child.digest == *id) {
            let (digest, platform) = (child.digest.clone(), child.platform.clone());
            return Ok(Outcome::Found(self.finding(DriftState::Same, &named, digest, platform)));
        }
        children.sort_by_key(|child| usual_first(child.platform.as_ref()));
        let unseen = children.len().saturating_sub(PLATFORMS_LOOKED_INTO);
        for child in children.into_iter().take(PLATFORMS_LOOKED_INTO) {
            let fetched = self.client.manifest(&self.asking, Name::Digest(&child.digest)).await?;
            if fetched.is_some_and(|fetched| fetched.config_digest().as_ref() == Some(id)) {
                let finding = self.finding(DriftState::Same, &named, child.digest, child.platform);
                return Ok(Outcome::Found(finding));
            }
        }
        if unseen > 0 {
            let why = format!(
                "{}: the index has {unseen} platforms more than the {PLATFORMS_LOOKED_INTO} that are looked into for an image id",
                self.reference
            );
            return Err(Failure::new(FailureKind::TooLarge, why));
        }
        // No manifest of the tag has this id, so something else runs; under which digest nobody can tell.
        let drifted = bare(DriftState::Drifted);
        Ok(Outcome::Found(DigestFinding { tag_digest: self.tag_digest(&named), ..drifted }))
    }

    fn finding(
        &self,
        state: DriftState,
        named: &Named,
        digest: Digest,
        platform: Option<Platform>,
    ) -> DigestFinding {
        let mut platforms: Vec<_> = named.children().into_iter().filter_map(|child| child.platform).collect();
        platforms.sort();
        platforms.dedup();
        let is_itself = digest == *named.digest();
        DigestFinding {
            state,
            digest: Some(digest),
            tag_digest: self.tag_digest(named),
            platform: platform.or_else(|| (platforms.len() == 1).then(|| platforms[0].clone())),
            platforms,
            media_type: named.media_type().filter(|_| is_itself),
            created_at: named.created_at().filter(|_| is_itself),
        }
    }

    /// What the tag names; nothing for an image that has no tag.
    fn tag_digest(&self, named: &Named) -> Option<Digest> {
        self.reference.tag.as_ref().map(|_| named.digest().clone())
    }
}

fn described(named: Option<&Named>) -> (Vec<Platform>, Option<String>) {
    let Some(named) = named else { return (Vec::new(), None) };
    let mut platforms: Vec<_> = named.children().into_iter().filter_map(|child| child.platform).collect();
    platforms.sort();
    platforms.dedup();
    (platforms, named.media_type())
}

fn bare(state: DriftState) -> DigestFinding {
    DigestFinding {
        state,
        digest: None,
        tag_digest: None,
        platform: None,
        platforms: Vec::new(),
        media_type: None,
        created_at: None,
    }
}

fn gone(running: &Digest) -> DigestFinding {
    DigestFinding { digest: Some(running.clone()), ..bare(DriftState::DigestGone) }
}
