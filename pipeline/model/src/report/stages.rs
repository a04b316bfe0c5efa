//! How stages fared, as records, and the stages that rows tell of.

use provenance_engine::{Failure, FailureKind, Outcome};

use super::helm::HelmRelease;
use super::parts::{OutcomeWord, Reason, StageRecord};
use super::types::{ImageRecord, Stages};
use crate::evidence::Trail;

/// How a stage fared. One that found something while a place did not answer has failed: there may be more.
pub(super) fn stage_record<T>(
    stage: &str,
    outcome: &Outcome<T>,
    unanswered: Option<&Failure>,
    trail: &Trail,
) -> StageRecord {
    let failed = |failure: &Failure| {
        // What is left to the next run was not asked, on purpose.
        let word =
            if failure.kind == FailureKind::Deferred { OutcomeWord::Skipped } else { OutcomeWord::Failed };
        (word, Some(Reason { kind: Some(failure.kind), message: failure.message.clone() }))
    };
    let (word, reason) = match outcome {
        Outcome::Found(_) if let Some(failure) = unanswered => failed(failure),
        Outcome::Found(_) => (OutcomeWord::Found, None),
        Outcome::Absent => (OutcomeWord::Absent, None),
        Outcome::Failed(failure) => failed(failure),
        Outcome::Skipped(why) => (OutcomeWord::Skipped, Some(Reason { kind: None, message: why.clone() })),
        Outcome::NotReached => (OutcomeWord::NotReached, None),
    };
    StageRecord { outcome: word, reason, asked: trail.of(stage) }
}

/// The stages a release tells of, by name, in order.
pub fn release_stages(release: &HelmRelease) -> impl Iterator<Item = (&'static str, &StageRecord)> {
    release.stages.iter().flat_map(|stages| {
        let all = [("release", &stages.release), ("chart", &stages.chart)];
        all.into_iter().filter_map(|(name, stage)| Some((name, stage.as_ref()?)))
    })
}

/// Takes the places that were asked, and their answers, out of a row.
pub fn forget_evidence(row: &mut ImageRecord) {
    if let Some(stages) = &mut row.stages {
        let Stages { digest, signature, provenance, sbom, update } = &mut **stages;
        for stage in [digest, signature, provenance, sbom, update].into_iter().flatten() {
            stage.asked = Vec::new();
        }
    }
}

/// The stages a row tells of, by name, in order.
pub fn stages(row: &ImageRecord) -> impl Iterator<Item = (&'static str, &StageRecord)> {
    row.stages.iter().flat_map(|stages| {
        let all = [
            ("digest", &stages.digest),
            ("signature", &stages.signature),
            ("provenance", &stages.provenance),
            ("sbom", &stages.sbom),
            ("update", &stages.update),
        ];
        all.into_iter().filter_map(|(name, stage)| Some((name, stage.as_ref()?)))
    })
}
