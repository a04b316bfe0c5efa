//! Verification of what was signed with a certificate (keyless), against one trusted root: chain, certificate
//! timestamp, log entry, signature and subject, all of them, before an identity is named.

use provenance_model::Digest;
use provenance_model::trust::{Refusal, RefusalKind, Signer};
use sigstore_verify::VerificationPolicy;
use sigstore_verify::crypto::parse_certificate_info;
use sigstore_verify::types::bundle::TimestampVerificationData;
use sigstore_verify::types::{Artifact, Bundle};

use crate::evidence::{Payload, Signed};
use crate::key::PublicKey;
use crate::refusals::{self, refuse};
use crate::roots::{self, Root, Without};
use crate::signer::signer;
use crate::{simple_signing, subject};

/// Verifies against whichever root knows the signature. Where none accepts it, the root that came furthest
/// tells why.
pub(crate) fn by_certificate(
    signed: &Signed,
    target: &Digest,
    roots: &[&Root],
    without: Without,
) -> Result<Signer, Refusal> {
    fits(signed, target)?;
    let nothing = || Refusal::new(RefusalKind::NothingGiven, "no trusted root is given");
    roots::any(roots, |root| against(signed, target, root, without.or(root.without)))
        .map_err(|reason| reason.unwrap_or_else(nothing))
}

/// Whether the signature fits what it is over and the certificate that came with it. Asked first, so that what was
/// changed is told from a log or timestamp authority that does not know it.
fn fits(signed: &Signed, target: &Digest) -> Result<(), Refusal> {
    let Some(leaf) = signed.certificates.first() else {
        return refuse(RefusalKind::Certificate, "it comes without a certificate");
    };
    let key = parse_certificate_info(leaf)
        .map_err(|error| error.to_string())
        .and_then(|info| PublicKey::from_der("certificate", info.public_key.as_bytes()))
        .or_else(|why| refuse(RefusalKind::Certificate, format!("the certificate: {why}")))?;
    if key.fits(signed, target) {
        return Ok(());
    }
    refuse(RefusalKind::Signature, "the signature does not fit what it signs and its certificate")
}

fn against(signed: &Signed, target: &Digest, root: &Root, without: Without) -> Result<Signer, Refusal> {
    if let Some(entry) = &signed.entry {
        return entry.by_certificate(&signed.certificates, signed.statement.as_ref(), target, root, without);
    }
    let Some(bundle) = &signed.bundle else {
        return refuse(RefusalKind::Unsupported, "the log entry is of a kind that is not understood");
    };
    match verify(signed, bundle, target, root, without) {
        // A policy that does without a log does not mind an entry of one that it does not know, as long as
        // something else says when it was signed.
        Err(refusal) if refusal.kind == RefusalKind::Log && without.log && is_stamped(bundle) => {
            let mut stripped = bundle.clone();
            stripped.verification_material.tlog_entries.clear();
            verify(signed, &stripped, target, root, without)
        }
        answer => answer,
    }
}

fn is_stamped(bundle: &Bundle) -> bool {
    bundle.verification_material.timestamp_verification_data != TimestampVerificationData::default()
}

fn verify(
    signed: &Signed,
    bundle: &Bundle,
    target: &Digest,
    root: &Root,
    without: Without,
) -> Result<Signer, Refusal> {
    let mut policy = VerificationPolicy::any_identity();
    if without.log {
        policy = policy.skip_tlog_unsafe();
    }
    if without.certificate_timestamp {
        policy = policy.skip_sct();
    }
    let verified = match &signed.payload {
        Payload::SimpleSigning(payload) => {
            let artifact = Artifact::from_blob(payload);
            root.verifier.verify(artifact, bundle, &policy)
        }
        Payload::Dsse { .. } | Payload::Manifest => {
            root.verifier.verify(Artifact::from_digest(subject::artifact(target)?), bundle, &policy)
        }
    };
    let verified = verified.map_err(|error| refusals::of(&error))?;
    if let Payload::SimpleSigning(payload) = &signed.payload {
        simple_signing::names(payload, target)?;
    }
    let has_entries = !bundle.verification_material.tlog_entries.is_empty();
    let mut who = verified.certificate().map(signer).unwrap_or_default();
    who.signed_at = verified.verified_timestamps().iter().min().copied();
    who.log_checked = verified.tlog_verified() && has_entries;
    who.certificate_timestamp_checked = verified.sct_verified();
    Ok(who)
}

impl Signed {
    /// Whether the signature fits the certificate it came with, so that what it says of itself was not changed since.
    /// True also where it came with none, since nobody can tell then.
    pub fn fits_its_certificate(&self, target: &Digest) -> bool {
        !self.has_certificate() || fits(self, target).is_ok()
    }
}
