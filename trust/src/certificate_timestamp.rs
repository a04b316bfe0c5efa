//! Signed certificate timestamps embedded in a certificate
//! ([RFC 6962](https://www.rfc-editor.org/rfc/rfc6962), section 3.2): a log promises that it knows the certificate.

use const_oid::db::rfc6962::CT_PRECERT_SCTS;
use jiff::Timestamp;
use provenance_model::trust::{Refusal, RefusalKind};
use sha2::{Digest as _, Sha256};
use sigstore_verify::crypto::SigningScheme;
use sigstore_verify::trust_root::TrustedRoot;
use sigstore_verify::types::{Sha256Hash, SignatureBytes};
use tls_codec::SerializeBytes as _;
use x509_cert::Certificate;
use x509_cert::der::{Any, Decode as _, Encode as _, Tag};
use x509_cert::ext::pkix::{SignedCertificateTimestamp, SignedCertificateTimestampList};

use crate::refusals::refuse;

fn wrong<T>(why: impl std::fmt::Display) -> Result<T, Refusal> {
    refuse(RefusalKind::CertificateTimestamp, format!("the certificate's timestamp: {why}"))
}

/// Verifies that a log of the root promised to know this certificate. `issuer` is the `SubjectPublicKeyInfo`
/// of its direct issuer, in DER.
pub(crate) fn verify(certificate: &[u8], issuer: &[u8], root: &TrustedRoot) -> Result<(), Refusal> {
    let certificate = Certificate::from_der(certificate).or_else(wrong)?;
    let list = certificate.tbs_certificate.get::<SignedCertificateTimestampList>().or_else(wrong)?;
    let Some((_, list)) = list else { return wrong("there is none") };
    let promises = list.parse_timestamps().or_else(|error| wrong(format!("{error:?}")))?;
    let mut reason = wrong("the list is empty");
    for promise in promises {
        match promise.parse_timestamp().or_else(|error| wrong(format!("{error:?}"))) {
            Ok(promise) => reason = holds(&promise, &certificate, issuer, root),
            Err(refusal) => reason = Err(refusal),
        }
        if reason.is_ok() {
            return Ok(());
        }
    }
    reason
}

fn holds(
    promise: &SignedCertificateTimestamp,
    certificate: &Certificate,
    issuer: &[u8],
    root: &TrustedRoot,
) -> Result<(), Refusal> {
    let algorithm = promise.signature.algorithm.tls_serialize().or_else(wrong)?;
    // SignatureAndHashAlgorithm of RFC 5246, section 7.4.1.4.1.
    let scheme = match algorithm.as_slice() {
        [4, 3] => SigningScheme::EcdsaP256Sha256,
        [5, 3] => SigningScheme::EcdsaP384Sha384,
        [4, 1] => SigningScheme::RsaPkcs1Sha256,
        [5, 1] => SigningScheme::RsaPkcs1Sha384,
        [6, 1] => SigningScheme::RsaPkcs1Sha512,
        other => return wrong(format!("its algorithm {other:?} is not understood")),
    };
    let milliseconds = i64::try_from(promise.timestamp).or_else(wrong)?;
    let time = Timestamp::from_millisecond(milliseconds).or_else(wrong)?;
    let keys = root.ctfe_keys(scheme).or_else(wrong)?;
    let log = Sha256Hash::from(promise.log_id.key_id);
    let signature = SignatureBytes::from_bytes(promise.signature.signature.as_slice());
    keys.verify_with_key_id_at(&log, time, &signed_data(promise, certificate, issuer)?, &signature)
        .or_else(wrong)
}

/// What the log signed: the certificate as it was before the timestamp was put into it.
fn signed_data(
    promise: &SignedCertificateTimestamp,
    certificate: &Certificate,
    issuer: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let mut before = certificate.tbs_certificate.clone();
    before.extensions = before.extensions.map(|mut extensions| {
        extensions.retain(|extension| extension.extn_id != CT_PRECERT_SCTS);
        extensions
    });
    let before = before.to_der().or_else(wrong)?;
    let extensions = promise.extensions.as_slice();
    // version v1, type certificate_timestamp, time, entry type precert_entry.
    let mut data = vec![0, 0];
    data.extend(promise.timestamp.to_be_bytes());
    data.extend([0, 1]);
    data.extend(Sha256::digest(issuer));
    let length = u32::try_from(before.len()).or_else(wrong)?.to_be_bytes();
    data.extend(&length[1..]);
    data.extend(before);
    data.extend(u16::try_from(extensions.len()).or_else(wrong)?.to_be_bytes());
    data.extend(extensions);
    Ok(data)
}

/// The contents of a SEQUENCE as a whole SEQUENCE, in DER.
pub(crate) fn sequence(contents: &[u8]) -> Result<Vec<u8>, Refusal> {
    Any::new(Tag::Sequence, contents).and_then(|any| any.to_der()).or_else(wrong)
}
