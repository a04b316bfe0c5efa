//! Answers that several subjects and stages share: who asked whom, what came back, and the evidence of it.

use provenance_engine::Failure;
use provenance_model::{CredentialScope, Noted, Registry, Repository, Trail};

use crate::registry::Asking;

/// What evidence is noted under until a stage takes it.
const NOBODY: &str = "shared";

/// Who asks, in which repository, with whose credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Whereabouts {
    registry: Registry,
    repository: Repository,
    scope: CredentialScope,
}

impl Whereabouts {
    pub(crate) fn of(asking: &Asking<'_>) -> Self {
        Self {
            registry: asking.registry.clone(),
            repository: asking.repository.clone(),
            scope: asking.scope.clone(),
        }
    }

    pub(crate) fn asking<'a>(&'a self, trail: &'a Trail) -> Asking<'a> {
        Asking {
            stage: NOBODY,
            registry: &self.registry,
            repository: &self.repository,
            scope: &self.scope,
            trail,
        }
    }
}

/// An answer with the evidence of how it was come by, to be noted for everyone who wants it.
#[derive(Debug, Clone)]
pub(crate) struct Kept<T> {
    pub(crate) answer: Result<T, Failure>,
    asked: Box<[Noted]>,
}

impl<T> Kept<T> {
    /// An answer, and what was noted on the way to it.
    pub(crate) fn new(answer: Result<T, Failure>, trail: &Trail) -> Self {
        Self { answer, asked: trail.kept(NOBODY).into() }
    }

    /// The answer, its evidence noted for this one too.
    pub(crate) fn tell(&self, asking: &Asking<'_>) -> Result<&T, Failure> {
        for noted in &self.asked {
            asking.trail.share(noted.by(asking.stage));
        }
        self.answer.as_ref().map_err(Clone::clone)
    }
}
