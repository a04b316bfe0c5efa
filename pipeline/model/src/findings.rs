//! What the signature, provenance and SBOM stages find.

use provenance_engine::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::trust::{AttestationRecord, Refusal, SbomRecord, SignatureRecord, Verdict};

/// What one policy says of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRecord {
    /// The policy's name.
    pub name: String,
    /// Whether the image satisfies it.
    pub satisfied: bool,
    /// The authority that is satisfied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// Why it is not satisfied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
}

/// What the signature stage finds for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFinding {
    /// The verdict on the image; none where nothing is attached and a policy has its word all the same.
    pub verdict: Option<Verdict>,
    /// Why it is not verified, in one sentence.
    pub reason: Option<Refusal>,
    /// Every signature, in the order of places.
    pub signatures: Vec<SignatureRecord>,
    /// Every policy that matches the image.
    pub policies: Vec<PolicyRecord>,
    /// A place that did not answer: there may be more than is known.
    pub unanswered: Option<Failure>,
}

/// What the provenance stage finds for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenanceFinding {
    /// Every attestation, SLSA provenance first.
    pub attestations: Vec<AttestationRecord>,
    /// A place that did not answer: there may be more than is known.
    pub unanswered: Option<Failure>,
}

impl ProvenanceFinding {
    /// The attestation that tells how the image was built: the best checked one.
    pub fn provenance(&self) -> Option<&AttestationRecord> {
        self.attestations
            .iter()
            .filter(|attestation| attestation.is_provenance())
            .reduce(|best, other| if other.checked.verdict > best.checked.verdict { other } else { best })
    }
}

impl AttestationRecord {
    /// Whether it is SLSA provenance, of any version.
    pub fn is_provenance(&self) -> bool {
        self.predicate_type.as_deref().is_some_and(|kind| kind.starts_with("https://slsa.dev/provenance/"))
    }
}

/// What the SBOM stage finds for one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SbomFinding {
    /// Every SBOM.
    pub documents: Vec<SbomRecord>,
    /// A place that did not answer: there may be more than is known.
    pub unanswered: Option<Failure>,
}
