//! What is attached to an image, where it was found, and what checking it said.
//!
//! An identity stands in a [`Signer`] only where the whole chain behind it was verified; what an unverified
//! signature merely claims stands beside it, under [`Checked::claimed`].

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What checking a signature said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It does not hold, or a policy refuses it.
    Invalid,
    /// It is there, and there is nothing to check it with.
    NotChecked,
    /// It holds, by the identity that is named; no policy says whether that identity is wanted.
    Valid,
    /// It holds, and satisfies every policy for the image.
    Verified,
}

impl Verdict {
    /// The verdict's word, as reports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotChecked => "notChecked",
            Self::Valid => "valid",
            Self::Verified => "verified",
        }
    }
}

/// Why a signature was refused, or not checked: a closed kind, and a sentence for people.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, thiserror::Error,
)]
#[error("{message}")]
pub struct Refusal {
    /// The kind, from a closed list.
    pub kind: RefusalKind,
    /// One line.
    pub message: String,
}

impl Refusal {
    /// A refusal of this kind, told in this sentence.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The closed list of reasons for which a signature is refused or not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The signature does not fit what it should have signed.
    Signature,
    /// It signs another image.
    Subject,
    /// It was made with another key, or with a certificate where a key is wanted.
    Key,
    /// The certificate does not chain to a trusted authority, or may not sign code.
    Certificate,
    /// The certificate was not valid when the signature was made.
    Expired,
    /// The certificate's signed certificate timestamp is missing or wrong.
    CertificateTimestamp,
    /// There is no entry of a transparency log, or it is of a log that is not trusted.
    Log,
    /// The log entry is about something else.
    LogEntry,
    /// The log's signed entry timestamp is wrong.
    EntryTimestamp,
    /// The log's inclusion proof is wrong.
    InclusionProof,
    /// The log's checkpoint is wrong.
    Checkpoint,
    /// An RFC 3161 timestamp is wrong, or of an authority that is not trusted.
    Timestamp,
    /// Nothing trusted says when the signature was made.
    NoTimestamp,
    /// The identity is not the one that a policy wants.
    Identity,
    /// The identity's issuer is not the one that a policy wants.
    Issuer,
    /// A policy refuses every image it matches, or wants something that is not attached.
    Policy,
    /// A form or algorithm that is not known here.
    Unsupported,
    /// It is not in the form it says it has.
    Malformed,
    /// It is beyond the cap on what is read.
    TooLarge,
    /// It was checked with nothing: no key, trust store or trusted root for it was given.
    NothingGiven,
}

/// Who signed, as the verified chain says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// The certificate's identity: an e-mail address or a URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Who vouches for the identity: the OIDC issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The managed key, by its name and the SHA-256 of its `SubjectPublicKeyInfo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The X.509 subjects, the signer's first, where the chain is one of ordinary certificates (Notation).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The repository the certificate says the signer was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// The commit the certificate names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// The ref the certificate names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<String>,
    /// The run of the build that the certificate names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// When it was signed, as a trusted log or timestamp authority says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<Timestamp>,
    /// Whether an entry in a trusted transparency log was checked.
    pub log_checked: bool,
    /// Whether the certificate's timestamp from a trusted certificate log was checked.
    pub certificate_timestamp_checked: bool,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.identity, &self.key, self.chain.first()) {
            (Some(identity), _, _) => {
                write!(f, "{identity}")?;
                self.issuer.as_ref().map_or(Ok(()), |issuer| write!(f, " (issuer {issuer})"))
            }
            (None, Some(key), _) => write!(f, "the key {key}"),
            (None, None, Some(subject)) => write!(f, "{subject}"),
            (None, None, None) => f.write_str("a certificate without identity"),
        }
    }
}

/// What checking one signature or attestation said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The verdict.
    pub verdict: Verdict,
    /// The policies that it satisfies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Why it was refused or not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
    /// Who signed. Only where the chain was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<Signer>,
    /// What the signature says of its signer, where nothing vouches for it: certificate subjects, the
    /// signer's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<String>,
}

impl Checked {
    /// Refused.
    pub fn invalid(reason: Refusal) -> Self {
        Self { verdict: Verdict::Invalid, reason: Some(reason), ..Self::not_signed() }
    }

    /// There, and not checked.
    pub fn not_checked(reason: Refusal) -> Self {
        Self { verdict: Verdict::NotChecked, reason: Some(reason), ..Self::not_signed() }
    }

    /// Holds, by this signer; no policy said anything.
    pub fn valid(signer: Signer) -> Self {
        Self { verdict: Verdict::Valid, signer: Some(signer), ..Self::not_signed() }
    }

    /// Something that carries no signature, and so cannot be checked.
    pub fn not_signed() -> Self {
        Self {
            verdict: Verdict::NotChecked,
            policies: Vec::new(),
            reason: None,
            signer: None,
            claimed: Vec::new(),
        }
    }
}

/// In which form something is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Form {
    /// cosign 2: a simple signing payload, the signature in an annotation.
    SimpleSigning,
    /// A sigstore bundle (cosign 3, GitHub).
    SigstoreBundle,
    /// A DSSE envelope (cosign 2 attestations).
    Dsse,
    /// A bare in-toto statement, without a signature (`BuildKit`).
    InToto,
    /// A Notary Project signature (Notation).
    Notation,
    /// A document as it is, without a signature.
    Document,
}

/// The place in which something attached was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// The referrers API.
    Referrers,
    /// The referrers tag, for registries without the API.
    ReferrersTag,
    /// cosign's tag `sha256-….sig`.
    SignatureTag,
    /// cosign's tag `sha256-….att`.
    AttestationTag,
    /// cosign's tag `sha256-….sbom`.
    SbomTag,
    /// The image's own index (`BuildKit`).
    Index,
}

/// One thing that is attached: what it is, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Its form.
    pub form: Form,
    /// The place it was found in.
    pub place: Place,
    /// The digest of the manifest that holds it.
    pub manifest: String,
    /// The digest of its own bytes, a layer of that manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// The digest it is attached to: what runs, the index that names it, or one platform of it.
    pub subject: String,
    /// The platform, where it is attached to one platform of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignatureRecord {
    /// What it is, and where.
    #[serde(flatten)]
    pub attached: Attached,
    /// What checking it said.
    #[serde(flatten)]
    pub checked: Checked,
}

/// One attestation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttestationRecord {
    /// What it is, and where.
    #[serde(flatten)]
    pub attached: Attached,
    /// The predicate type; absent where the statement could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// What checking it said.
    #[serde(flatten)]
    pub checked: Checked,
    /// How the image was built, for SLSA provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
}

/// How an image was built, as its SLSA provenance says
/// ([v0.2](https://slsa.dev/spec/v0.2/provenance), [v1](https://slsa.dev/spec/v1.0/provenance)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Who built it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// How it was built: the build type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_type: Option<String>,
    /// The source repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_repository: Option<String>,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_commit: Option<String>,
    /// The ref, such as `refs/heads/main`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<String>,
    /// Where the build begins: a workflow file, a target, a Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<String>,
    /// The invocation: the id or address of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation: Option<String>,
    /// When the build began (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// How many materials (resolved dependencies) are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub materials: Option<usize>,
    /// Whether the builder says that the build is reproducible (v0.2 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproducible: Option<bool>,
}

/// One SBOM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SbomRecord {
    /// What it is, and where.
    #[serde(flatten)]
    pub attached: Attached,
    /// What the document says.
    #[serde(flatten)]
    pub facts: SbomFacts,
    /// Its size in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether the document itself was read; if not, only what its manifest tells is known.
    pub read: bool,
    /// Why the document could not be read, where that was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Whether it is signed at all.
    pub signed: bool,
    /// What checking its signature said.
    #[serde(flatten)]
    pub checked: Checked,
}

/// The formats of SBOMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SbomFormat {
    /// [SPDX](https://spdx.dev).
    Spdx,
    /// [CycloneDX](https://cyclonedx.org).
    CycloneDx,
    /// Syft's own.
    Syft,
}

impl SbomFormat {
    /// The format's word, as the older collector wrote it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Spdx => "spdx",
            Self::CycloneDx => "cyclonedx",
            Self::Syft => "syft",
        }
    }
}

/// What an SBOM says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SbomFacts {
    /// Its format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<SbomFormat>,
    /// The format's version, such as `2.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tools that made it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// When it was made, as written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How many packages it lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<usize>,
    /// How many different licences it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licences: Option<usize>,
}
