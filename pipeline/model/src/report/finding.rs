//! What a row has to say, in one word.

use super::parts::OutcomeWord;
use super::stages::stages;
use super::types::{ImageRecord, SignatureVerdict};
use crate::digest_finding::DriftState;

/// What a row has to say, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// A stage failed.
    Failed,
    /// The signature does not hold, or a policy wants another.
    Refused,
    /// What runs is no longer in the registry.
    Gone,
    /// The registry has no such tag.
    TagGone,
    /// The tag names something else by now than what runs.
    Drifted,
    /// The run ended first.
    NotReached,
    /// It was left to the next run, since its registry's budget was used up.
    Deferred,
    /// There is a newer tag.
    Outdated,
    /// What runs is what the tag names.
    Same,
    /// It is there; nothing runs, or the runtime does not say what.
    Found,
}

impl Finding {
    /// Every finding, the worst first.
    pub const ALL: [Self; 10] = [
        Self::Failed,
        Self::Refused,
        Self::Gone,
        Self::TagGone,
        Self::Drifted,
        Self::NotReached,
        Self::Deferred,
        Self::Outdated,
        Self::Same,
        Self::Found,
    ];

    /// The worst that a row has to say.
    pub fn of(row: &ImageRecord) -> Self {
        let any = |word: OutcomeWord| stages(row).any(|(_, stage)| stage.outcome == word);
        let state = row.drift.as_ref().map(|drift| drift.state);
        if any(OutcomeWord::Failed) {
            return Self::Failed;
        }
        if is_refused(row) {
            return Self::Refused;
        }
        match state {
            Some(DriftState::DigestGone) => Self::Gone,
            Some(DriftState::TagGone) => Self::TagGone,
            Some(DriftState::Drifted) => Self::Drifted,
            _ if any(OutcomeWord::NotReached) => Self::NotReached,
            _ if stages(row).any(|(_, stage)| stage.is_deferred()) => Self::Deferred,
            _ if row.update.as_ref().is_some_and(|update| update.update_available) => Self::Outdated,
            Some(DriftState::Same) => Self::Same,
            Some(DriftState::NotAsked) | None => Self::Found,
        }
    }

    /// The finding's word, as tables write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Refused => "REFUSED",
            Self::Gone => "GONE",
            Self::TagGone => "TAG GONE",
            Self::Drifted => "DRIFTED",
            Self::NotReached => "NOT REACHED",
            Self::Deferred => "DEFERRED",
            Self::Outdated => "OUTDATED",
            Self::Same => "same",
            Self::Found => "found",
        }
    }

    /// Whether nothing needs a look.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Same | Self::Found)
    }
}

/// Whether a signature does not hold, or a policy is not satisfied.
pub(super) fn is_refused(row: &ImageRecord) -> bool {
    row.signature.as_ref().is_some_and(|signature| {
        let unsatisfied = signature.policies.iter().flatten().any(|policy| !policy.satisfied);
        signature.verdict == Some(SignatureVerdict::Invalid) || unsatisfied
    })
}
