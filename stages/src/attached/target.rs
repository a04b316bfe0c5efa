//! To which digests something may be attached: what runs comes first. Where that is an index, one of its
//! platforms comes second; where it is a platform's manifest, the index that names it.

use std::sync::Arc;

use provenance_engine::{Failure, FailureKind, Outcome};
use provenance_model::{Digest, Dossier, DriftState, Platform, Running};

use super::Attachments;
use crate::registry::content::{Child, usual_first};
use crate::registry::{Asking, Manifest, Name};

/// One digest to ask about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The digest.
    pub digest: Digest,
    /// The platform, where it is one of several.
    pub platform: Option<Platform>,
    /// The index that names it, and may hold attestations of it.
    pub index: Option<Arc<Manifest>>,
}

/// What to ask about for one subject.
#[derive(Debug)]
pub enum Targets {
    /// This digest, and what else follows from it.
    Of(Digest),
    /// Nothing can be asked.
    None(Outcome<()>),
}

/// Who asks about a dossier.
pub(crate) fn asking<'a>(stage: &'static str, dossier: &'a Dossier) -> Result<Asking<'a>, Failure> {
    let reference = dossier
        .subject
        .reference
        .as_ref()
        .map_err(|invalid| Failure::new(FailureKind::InvalidReference, invalid.to_string()))?;
    Ok(Asking {
        stage,
        registry: &reference.registry,
        repository: &reference.repository,
        scope: &dossier.subject.scope,
        trail: &dossier.trail,
    })
}

/// Digest failures after which nothing else of the repository is worth asking.
const HOPELESS: [FailureKind; 6] = [
    FailureKind::Deferred,
    FailureKind::Connection,
    FailureKind::Unauthorized,
    FailureKind::Forbidden,
    FailureKind::HostDown,
    FailureKind::InvalidReference,
];

impl Targets {
    /// What is to be asked about: the running digest, or where nothing runs what the tag names.
    pub fn of(dossier: &Dossier) -> Self {
        let running = dossier.subject.running.manifest();
        match (&dossier.digest, running) {
            (Outcome::Failed(failure), _) if HOPELESS.contains(&failure.kind) => {
                Self::None(Outcome::Failed(failure.clone()))
            }
            (_, Some(running)) => Self::Of(running.clone()),
            (Outcome::Found(finding), None) => match &finding.digest {
                Some(digest) => Self::Of(digest.clone()),
                None => Self::None(Outcome::Skipped(match dossier.subject.running {
                    Running::ImageId(_) => {
                        "the runtime knows only an image id, and no manifest of the tag has it".into()
                    }
                    _ => "no digest is known".into(),
                })),
            },
            (Outcome::Failed(failure), None) => Self::None(Outcome::Failed(failure.clone())),
            (Outcome::Absent, None) => Self::None(Outcome::Skipped("the registry has no such image".into())),
            (Outcome::Skipped(why), None) => Self::None(Outcome::Skipped(why.clone())),
            (Outcome::NotReached, None) => Self::None(Outcome::NotReached),
        }
    }
}

/// The digests to ask about, one after another: what runs, then the index or platform beside it.
pub(crate) struct InTurn<'a> {
    attachments: &'a Attachments,
    asking: Asking<'a>,
    dossier: &'a Dossier,
    digest: &'a Digest,
    given: usize,
}

impl InTurn<'_> {
    /// The next one, if there is one. It is looked for only now.
    pub(crate) async fn next(&mut self) -> Option<Result<Target, Failure>> {
        let Self { attachments, asking, dossier, digest, given } = self;
        *given += 1;
        match given {
            1 => Some(attachments.first_in_index(asking, dossier, digest).await),
            2 => attachments.second(asking, dossier, digest).await.transpose(),
            _ => None,
        }
    }
}

impl Attachments {
    /// The digests to ask about for one subject.
    pub(crate) fn in_turn<'a>(
        &'a self,
        asking: Asking<'a>,
        dossier: &'a Dossier,
        digest: &'a Digest,
    ) -> InTurn<'a> {
        InTurn { attachments: self, asking, dossier, digest, given: 0 }
    }

    /// The digest that runs, by itself.
    pub(crate) fn first(digest: &Digest) -> Target {
        Target { digest: digest.clone(), platform: None, index: None }
    }

    /// What else to ask about, where the first digest does not answer everything.
    pub(crate) async fn second(
        &self,
        asking: &Asking<'_>,
        dossier: &Dossier,
        digest: &Digest,
    ) -> Result<Option<Target>, Failure> {
        if let Some(index) = index_above(dossier, digest) {
            return Ok(Some(Target { digest: index.clone(), platform: None, index: None }));
        }
        let may_be_index = dossier
            .digest
            .found()
            .filter(|finding| finding.digest.as_ref() == Some(digest))
            .and_then(|finding| finding.media_type.as_deref())
            .is_none_or(|media_type| media_type.contains("index") || media_type.contains("manifest.list"));
        if !may_be_index {
            return Ok(None);
        }
        let Some(manifest) = self.client().manifest(asking, Name::Digest(digest)).await? else {
            return Ok(None);
        };
        let mut children = manifest.children();
        children.sort_by_key(|child| usual_first(child.platform.as_ref()));
        let child = children.into_iter().next();
        Ok(child.map(|Child { digest, platform }| Target { digest, platform, index: Some(manifest) }))
    }

    /// The first digest together with the index that holds attestations of it, where it is a platform's.
    async fn first_in_index(
        &self,
        asking: &Asking<'_>,
        dossier: &Dossier,
        digest: &Digest,
    ) -> Result<Target, Failure> {
        let first = Self::first(digest);
        let Some(index) = index_above(dossier, digest) else { return Ok(first) };
        let index = self.client().manifest(asking, Name::Digest(index)).await?;
        let index = index.filter(|manifest| manifest.is_index());
        Ok(Target { index, ..first })
    }
}

/// The index that names what runs, where what runs is one platform of what the tag names.
fn index_above<'a>(dossier: &'a Dossier, digest: &Digest) -> Option<&'a Digest> {
    let finding = dossier.digest.found()?;
    let names_it = matches!(finding.state, DriftState::Same | DriftState::NotAsked);
    finding.tag_digest.as_ref().filter(|tagged| names_it && *tagged != digest)
}
