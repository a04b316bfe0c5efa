//! What the signature, provenance and SBOM stages found, as a row tells it. Where a stage could not find out, its
//! object is left out of the row: `signed: false` is said only where that is known.

use provenance_engine::Outcome;

use super::parts::{OutcomeWord, StageRecord};
use super::types::{Provenance, Sbom, Signature, SignatureVerdict};
use crate::findings::{ProvenanceFinding, SbomFinding, SignatureFinding};
use crate::trust::{AttestationRecord, Refusal, Verdict};

pub(super) fn signature(outcome: &Outcome<SignatureFinding>) -> Option<Signature> {
    let finding = match outcome {
        Outcome::Found(finding) => finding,
        Outcome::Absent => return Some(unsigned()),
        Outcome::Failed(_) | Outcome::Skipped(_) | Outcome::NotReached => return None,
    };
    let verdict = match (finding.verdict, &finding.unanswered) {
        (Some(Verdict::Verified), _) => SignatureVerdict::Verified,
        (_, Some(_)) => SignatureVerdict::Failed,
        (Some(Verdict::Invalid), None) => SignatureVerdict::Invalid,
        (Some(Verdict::NotChecked), None) => SignatureVerdict::NotChecked,
        (Some(Verdict::Valid), None) => SignatureVerdict::Valid,
        (None, None) => SignatureVerdict::Unsigned,
    };
    let told = finding.reason.as_ref().map(ToString::to_string);
    // "No key was given" is no error of the image's.
    let told = told.filter(|_| verdict != SignatureVerdict::NotChecked);
    Some(Signature {
        signed: !finding.signatures.is_empty(),
        verified: verdict == SignatureVerdict::Verified,
        error: finding.unanswered.as_ref().map(ToString::to_string).or(told),
        verdict: Some(verdict),
        reason: finding.reason.clone().or_else(|| refusal_of_policies(finding)),
        signatures: some_unless_empty(finding.signatures.clone()),
        policies: some_unless_empty(finding.policies.clone()),
    })
}

/// How the stage fared: an unsigned image has no signature, whatever policies say of that.
pub(super) fn stage(record: StageRecord, outcome: &Outcome<SignatureFinding>) -> StageRecord {
    let is_unsigned =
        outcome.found().is_some_and(|found| found.verdict.is_none() && found.signatures.is_empty());
    if record.outcome == OutcomeWord::Found && is_unsigned {
        return StageRecord { outcome: OutcomeWord::Absent, ..record };
    }
    record
}

/// Why the policies do not let an unsigned image pass.
fn refusal_of_policies(finding: &SignatureFinding) -> Option<Refusal> {
    let refused = finding.policies.iter().find(|policy| !policy.satisfied)?;
    let reason = refused.reason.as_ref()?;
    Some(Refusal::new(reason.kind, format!("policy {}: {}", refused.name, reason.message)))
}

fn unsigned() -> Signature {
    Signature {
        signed: false,
        verified: false,
        error: None,
        verdict: Some(SignatureVerdict::Unsigned),
        reason: None,
        signatures: None,
        policies: None,
    }
}

pub(super) fn provenance(outcome: &Outcome<ProvenanceFinding>) -> Option<Provenance> {
    let none = Provenance { has_provenance: false, predicate_type: None, checked: None, build: None };
    match outcome {
        Outcome::Found(finding) => match finding.provenance() {
            Some(found) => Some(Provenance {
                has_provenance: true,
                predicate_type: found.predicate_type.clone(),
                checked: Some(Box::new(found.checked.clone())),
                build: found.build.clone().map(Box::new),
            }),
            None if finding.unanswered.is_some() => None,
            None => Some(none),
        },
        Outcome::Absent => Some(none),
        Outcome::Failed(_) | Outcome::Skipped(_) | Outcome::NotReached => None,
    }
}

pub(super) fn attestations(outcome: &Outcome<ProvenanceFinding>) -> Option<Vec<AttestationRecord>> {
    outcome.found().and_then(|finding| some_unless_empty(finding.attestations.clone()))
}

pub(super) fn sbom(outcome: &Outcome<SbomFinding>) -> Option<Sbom> {
    match outcome {
        Outcome::Found(finding) => Some(Sbom {
            has_sbom: !finding.documents.is_empty(),
            format: finding
                .documents
                .iter()
                .find_map(|document| document.facts.format)
                .map(|format| format.word().to_owned()),
            documents: some_unless_empty(finding.documents.clone()),
        }),
        Outcome::Absent => Some(Sbom { has_sbom: false, format: None, documents: None }),
        Outcome::Failed(_) | Outcome::Skipped(_) | Outcome::NotReached => None,
    }
}

fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
