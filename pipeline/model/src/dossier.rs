//! Subject and dossier: what is examined once, and all that is known of it so far.

use std::sync::Arc;

use provenance_engine::{Failure, FailureKind, Item, Outcome};

use crate::digest_finding::DigestFinding;
use crate::evidence::Trail;
use crate::findings::{ProvenanceFinding, SbomFinding, SignatureFinding};
use crate::name::{ImageReference, InvalidReference};
use crate::sighting::{CredentialScope, Running, Sighting};
use crate::update::{Update, UpdateWishes};

/// What is examined once, however many workloads run it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The image, taken apart; or why that was not possible.
    pub reference: Result<ImageReference, InvalidReference>,
    /// What runs.
    pub running: Running,
    /// Whose credentials it is asked for with.
    pub scope: CredentialScope,
    /// What the pods' annotations want of updates.
    pub wishes: Option<Arc<UpdateWishes>>,
}

impl Subject {
    /// The subject of a sighting.
    pub fn of(sighting: &Sighting) -> Self {
        Self {
            reference: sighting.image.reference.clone(),
            running: sighting.running.clone(),
            scope: sighting.scope.clone(),
            wishes: sighting.wishes.clone(),
        }
    }
}

impl Subject {
    /// A name for the subject that stays the same from run to run.
    pub fn key(&self) -> String {
        let reference = match &self.reference {
            Ok(reference) => reference.to_string(),
            Err(invalid) => invalid.written.clone(),
        };
        format!("{reference} {:?} {}", self.running, self.scope)
    }
}

/// The work item of one subject: a slot for every stage, and the evidence. It can be reported at any moment.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// What is examined.
    pub subject: Subject,
    /// What the digest stage has to say.
    pub digest: Outcome<DigestFinding>,
    /// What the signature stage has to say.
    pub signature: Outcome<SignatureFinding>,
    /// What the provenance stage has to say.
    pub provenance: Outcome<ProvenanceFinding>,
    /// What the SBOM stage has to say.
    pub sbom: Outcome<SbomFinding>,
    /// What the update stage has to say.
    pub update: Outcome<Box<Update>>,
    /// The places asked so far.
    pub trail: Trail,
}

impl Dossier {
    /// A dossier in which nothing was asked yet.
    pub fn new(subject: Subject) -> Self {
        Self {
            subject,
            digest: Outcome::NotReached,
            signature: Outcome::NotReached,
            provenance: Outcome::NotReached,
            sbom: Outcome::NotReached,
            update: Outcome::NotReached,
            trail: Trail::default(),
        }
    }
}

impl Dossier {
    /// Leaves it to the next run: no stage asks.
    pub fn defer(&mut self, why: &Failure) {
        self.digest = Outcome::Failed(why.clone());
        self.signature = Outcome::Failed(why.clone());
        self.provenance = Outcome::Failed(why.clone());
        self.sbom = Outcome::Failed(why.clone());
        self.update = Outcome::Failed(why.clone());
    }

    /// Whether every stage asked all that it wanted to.
    pub fn is_examined(&self) -> bool {
        fn is_done<T>(outcome: &Outcome<T>) -> bool {
            match outcome {
                Outcome::NotReached => false,
                Outcome::Failed(failure) => failure.kind != FailureKind::Deferred,
                Outcome::Found(_) | Outcome::Absent | Outcome::Skipped(_) => true,
            }
        }
        is_done(&self.digest)
            && is_done(&self.signature)
            && is_done(&self.provenance)
            && is_done(&self.sbom)
            && is_done(&self.update)
    }
}

impl Item for Dossier {
    type Lane = Arc<str>;

    /// The registry's name: one slow registry must not hold up the others.
    fn lane(&self) -> Arc<str> {
        self.subject
            .reference
            .as_ref()
            .map_or_else(|_| "".into(), |reference| reference.registry.as_str().into())
    }

    fn settled(&mut self) {
        self.trail.close();
    }

    fn span(&self) -> tracing::Span {
        match &self.subject.reference {
            Ok(reference) => tracing::info_span!("dossier", image = %reference),
            Err(invalid) => tracing::info_span!("dossier", image = %invalid.written),
        }
    }
}
