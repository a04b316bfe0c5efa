//! From the sigstore family's errors to the closed list of refusals.

use provenance_model::trust::{Refusal, RefusalKind};
use sigstore_verify::{CertificateError, Error, TimestampError, TransparencyLogError, bundle};

/// Shorthand for an error of this kind.
pub(crate) fn refuse<T>(kind: RefusalKind, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(kind, message))
}

/// What a failed verification is called in a report.
pub(crate) fn of(error: &Error) -> Refusal {
    Refusal::new(kind(error), told(&error.to_string()))
}

fn kind(error: &Error) -> RefusalKind {
    match error {
        Error::IdentityMismatch { .. } => RefusalKind::Identity,
        Error::IssuerMismatch { .. } => RefusalKind::Issuer,
        Error::SignatureInvalid(_) | Error::Crypto(_) => RefusalKind::Signature,
        Error::ArtifactMismatch(_) => RefusalKind::Subject,
        Error::Certificate(error) => of_certificate(error),
        Error::TransparencyLog(error) => of_log(error),
        Error::Timestamp(TimestampError::NoVerifiedTimestamp(_)) => RefusalKind::NoTimestamp,
        Error::Timestamp(_) => RefusalKind::Timestamp,
        Error::Bundle(
            bundle::Error::MissingInclusionPromise(_)
            | bundle::Error::MissingInclusionProof(_)
            | bundle::Error::MissingSigningTimeEvidence,
        ) => RefusalKind::Log,
        Error::UnsupportedBundle(_) | Error::UnsupportedArtifact(_) => RefusalKind::Unsupported,
        _ => RefusalKind::Malformed,
    }
}

fn of_certificate(error: &CertificateError) -> RefusalKind {
    match error {
        CertificateError::NotYetValid { .. } | CertificateError::Expired { .. } => RefusalKind::Expired,
        // The chain's own dates are told by webpki, in the text only.
        CertificateError::ChainInvalid(why)
            if why.contains("CertExpired") || why.contains("CertNotValidYet") =>
        {
            RefusalKind::Expired
        }
        CertificateError::Sct(_) => RefusalKind::CertificateTimestamp,
        _ => RefusalKind::Certificate,
    }
}

fn of_log(error: &TransparencyLogError) -> RefusalKind {
    match error {
        TransparencyLogError::UnknownLog { .. } => RefusalKind::Log,
        // A log that the root does not know, or not for that time, is told in the text only.
        TransparencyLogError::InclusionPromise(why) if why.contains("No log key valid") => RefusalKind::Log,
        TransparencyLogError::Checkpoint(why) if why.contains("No matching Rekor key") => RefusalKind::Log,
        TransparencyLogError::InclusionPromise(_) | TransparencyLogError::IntegratedTime(_) => {
            RefusalKind::EntryTimestamp
        }
        TransparencyLogError::InclusionProof(_) => RefusalKind::InclusionProof,
        TransparencyLogError::Checkpoint(_) => RefusalKind::Checkpoint,
        _ => RefusalKind::LogEntry,
    }
}

/// How far verification came before it refused, so that of several trusted roots the one that knows the
/// signature best tells the reason.
pub(crate) fn how_far(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::Log | RefusalKind::NoTimestamp | RefusalKind::Timestamp => 1,
        RefusalKind::EntryTimestamp => 2,
        RefusalKind::Certificate => 3,
        RefusalKind::Expired => 4,
        RefusalKind::CertificateTimestamp => 5,
        RefusalKind::InclusionProof | RefusalKind::Checkpoint => 6,
        RefusalKind::Signature | RefusalKind::Subject => 7,
        RefusalKind::LogEntry => 8,
        RefusalKind::Identity | RefusalKind::Issuer => 9,
        _ => 0,
    }
}

/// One line, as our messages are: lower case, without a full stop.
fn told(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let mut characters = text.chars();
    match (characters.next(), characters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}
