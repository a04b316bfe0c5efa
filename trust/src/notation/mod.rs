//! Notary Project signatures (Notation), as JWS and COSE envelopes
//! ([specification](https://github.com/notaryproject/specifications/blob/main/specs/signature-specification.md)).
//!
//! They are made with ordinary certificates. Without a trust store the signer is only what the envelope claims;
//! with one, the chain must end in it.

mod cose;
mod jws;
mod store;

use bytes::Bytes;
use jiff::Timestamp;
use provenance_model::Digest;
use provenance_model::trust::{Checked, Refusal, RefusalKind, Signer, Verdict};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use sigstore_verify::crypto::{SigningScheme, WEBPKI_VERIFICATION_ALGS, verify_signature};
use sigstore_verify::types::{DerPublicKey, SignatureBytes};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

pub use store::TrustStore;

use crate::refusals::refuse;
use crate::subject;

/// The media type of what an envelope signs.
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
/// Signed attributes that are understood; a critical one that is not must be refused.
const SCHEME: &str = "io.cncf.notary.signingScheme";
const SIGNING_TIME: &str = "io.cncf.notary.signingTime";
const AUTHENTIC_TIME: &str = "io.cncf.notary.authenticSigningTime";
const EXPIRY: &str = "io.cncf.notary.expiry";
const UNDERSTOOD: [&str; 4] = [SCHEME, SIGNING_TIME, AUTHENTIC_TIME, EXPIRY];
/// The scheme in which an authority vouches for the time.
const SIGNING_AUTHORITY: &str = "notary.x509.signingAuthority";

/// An envelope, read and not yet believed.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// What was signed: the payload with the protected header, in the envelope's own form.
    signed: Vec<u8>,
    signature: Vec<u8>,
    scheme: SigningScheme,
    payload: Bytes,
    /// The signer's certificate and its chain, in DER.
    chain: Vec<Vec<u8>>,
    attributes: Attributes,
}

/// The signed attributes.
#[derive(Debug, Clone, Default)]
struct Attributes {
    content_type: Option<String>,
    scheme: Option<String>,
    authentic_time: Option<Timestamp>,
    expiry: Option<Timestamp>,
    critical: Vec<String>,
}

impl Envelope {
    /// Reads an envelope; its media type says which form it has.
    pub fn read(bytes: &Bytes, media_type: &str) -> Result<Self, Refusal> {
        if media_type.starts_with("application/cose") { cose::read(bytes) } else { jws::read(bytes) }
    }

    /// The subjects of the certificates it comes with, the signer's first. Claims, until the chain is verified.
    pub fn subjects(&self) -> Vec<String> {
        let parsed = self.chain.iter().filter_map(|der| Certificate::from_der(der).ok());
        parsed.map(|certificate| certificate.tbs_certificate.subject.to_string()).collect()
    }

    /// Checks it: against a trust store, where one is given.
    pub fn check(&self, target: &Digest, store: Option<&TrustStore>) -> Checked {
        let holds = self.holds(target);
        let checked = match (holds, store) {
            (Err(refusal), _) => Checked::invalid(refusal),
            (Ok(()), None) => {
                let why = "it is a Notation signature, and no trust store to check it with is given";
                Checked::not_checked(Refusal::new(RefusalKind::NothingGiven, why))
            }
            (Ok(()), Some(store)) => match self.chains_to(store) {
                Ok(()) => {
                    let signer = Signer {
                        chain: self.subjects(),
                        signed_at: self.trusted_time(),
                        ..Signer::default()
                    };
                    let policies = vec![store.name.clone()];
                    return Checked { verdict: Verdict::Verified, policies, ..Checked::valid(signer) };
                }
                Err(refusal) => Checked::invalid(refusal),
            },
        };
        Checked { claimed: self.subjects(), ..checked }
    }

    /// Whether the signature fits its own certificate, and is about this digest.
    fn holds(&self, target: &Digest) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Payload {
            target_artifact: Artifact,
        }
        #[derive(Deserialize)]
        struct Artifact {
            digest: String,
        }
        let unknown = self.attributes.critical.iter().find(|name| !UNDERSTOOD.contains(&name.as_str()));
        if let Some(name) = unknown {
            return refuse(
                RefusalKind::Unsupported,
                format!("its critical attribute {name:?} is not understood"),
            );
        }
        if self.attributes.content_type.as_deref() != Some(PAYLOAD) {
            let found = self.attributes.content_type.as_deref().unwrap_or("nothing");
            return refuse(RefusalKind::Malformed, format!("it signs {found:?}, not an artifact"));
        }
        let leaf = self.leaf()?;
        let key = leaf.tbs_certificate.subject_public_key_info.to_der();
        let key = key.or_else(|error| refuse(RefusalKind::Certificate, error.to_string()))?;
        let signature = SignatureBytes::from_bytes(&self.signature);
        verify_signature(&DerPublicKey::new(key), &self.signed, &signature, self.scheme).or_else(|_| {
            refuse(RefusalKind::Signature, "the signature does not fit its payload and certificate")
        })?;
        let payload: Payload = serde_json::from_slice(&self.payload)
            .or_else(|error| refuse(RefusalKind::Malformed, format!("its payload: {error}")))?;
        if payload.target_artifact.digest != target.as_str() {
            return Err(subject::other(target, &payload.target_artifact.digest));
        }
        if let Some(expiry) = self.attributes.expiry.filter(|expiry| *expiry < Timestamp::now()) {
            return refuse(RefusalKind::Expired, format!("the signature expired at {expiry}"));
        }
        Ok(())
    }

    fn leaf(&self) -> Result<Certificate, Refusal> {
        let Some(leaf) = self.chain.first() else {
            return refuse(RefusalKind::Certificate, "it comes without a certificate");
        };
        Certificate::from_der(leaf).or_else(|error| refuse(RefusalKind::Certificate, error.to_string()))
    }

    /// When it was signed, where somebody vouches for that.
    fn trusted_time(&self) -> Option<Timestamp> {
        let vouched = self.attributes.scheme.as_deref() == Some(SIGNING_AUTHORITY);
        self.attributes.authentic_time.filter(|_| vouched)
    }

    fn chains_to(&self, store: &TrustStore) -> Result<(), Refusal> {
        let anchors = store.anchors();
        let leaf = CertificateDer::from(self.chain[0].as_slice());
        let others: Vec<_> = self.chain[1..].iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let certificate = EndEntityCert::try_from(&leaf)
            .or_else(|error| refuse(RefusalKind::Certificate, format!("the certificate: {error}")))?;
        // Nobody vouches for the time of an ordinary signature: its certificates must be valid now.
        let time = self.trusted_time().unwrap_or_else(Timestamp::now);
        let seconds = u64::try_from(time.as_second()).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let usage = KeyUsage::required_if_present(const_oid::db::rfc5912::ID_KP_CODE_SIGNING.as_bytes());
        let verified =
            certificate.verify_for_usage(WEBPKI_VERIFICATION_ALGS, &anchors, &others, at, usage, None, None);
        verified.map(drop).map_err(|error| match error {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                Refusal::new(RefusalKind::Expired, format!("the certificate's chain: {error}"))
            }
            webpki::Error::UnknownIssuer => Refusal::new(
                RefusalKind::Certificate,
                format!("its chain does not end in the {}", store.name),
            ),
            error => Refusal::new(RefusalKind::Certificate, format!("the certificate's chain: {error}")),
        })
    }
}

/// A signature of fixed length, as JOSE and COSE write ECDSA's, in the form the verifier takes.
fn ecdsa_der(fixed: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = fixed.len().is_multiple_of(2).then(|| fixed.split_at(fixed.len() / 2))?;
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
        let mut value = bytes[start..].to_vec();
        if value.first().is_some_and(|first| first & 0x80 != 0) {
            value.insert(0, 0);
        }
        let mut der = vec![2, u8::try_from(value.len()).ok()?];
        der.extend(value);
        Some(der)
    };
    let body = [integer(r)?, integer(s)?].concat();
    // Up to P-384 the length fits one byte.
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 0x80)?;
    Some([vec![0x30, length], body].concat())
}
