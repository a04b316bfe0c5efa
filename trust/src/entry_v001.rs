//! Attestations logged as `intoto` 0.0.1 (made before cosign 2.2): the one kind of log entry that a sigstore
//! bundle cannot hold. The same checks, over the same family's primitives: the log's signed entry timestamp, the
//! envelope's hash and the signer's certificate or key in the entry, the signature, the chain at the entry's
//! time, and the certificate's own timestamp.

use bytes::Bytes;
use jiff::Timestamp;
use provenance_model::Digest;
use provenance_model::trust::{Refusal, RefusalKind, Signer};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sigstore_verify::crypto::{WEBPKI_VERIFICATION_ALGS, parse_certificate_info};
use sigstore_verify::types::{DerCertificate, DerPublicKey, Sha256Hash, SignatureBytes};
use webpki::{EndEntityCert, KeyUsage};

use crate::legacy_entry::LegacyEntry;
use crate::pem::pem_blocks;
use crate::refusals::refuse;
use crate::roots::{Root, Without};
use crate::signer::signer;
use crate::statement::Statement;
use crate::{certificate_timestamp, subject};

/// A log entry of kind `intoto` 0.0.1
/// ([schema](https://github.com/sigstore/rekor/blob/main/pkg/types/intoto/v0.0.1/intoto_v0_0_1_schema.json)).
#[derive(Debug, Clone)]
pub(crate) struct EntryV001 {
    signed_entry_timestamp: Vec<u8>,
    body: Vec<u8>,
    integrated_time: i64,
    log_index: u64,
    log_id: Vec<u8>,
    /// SHA-256 of the envelope as it was logged, in hex.
    envelope_hash: String,
    /// The certificate or key as it was logged, in PEM.
    public_key: String,
    /// SHA-256 of the envelope as it is attached, in hex.
    attached_hash: String,
}

impl EntryV001 {
    pub(crate) fn read(entry: &LegacyEntry, envelope: &Bytes) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        struct Body {
            spec: Spec,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Spec {
            content: Content,
            public_key: String,
        }
        #[derive(Deserialize)]
        struct Content {
            hash: Hash,
        }
        #[derive(Deserialize)]
        struct Hash {
            algorithm: String,
            value: String,
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Refusal::new(RefusalKind::Malformed, format!("the log entry: {error}"))
        };
        let body: Body = serde_json::from_slice(&entry.body).map_err(|error| wrong(&error))?;
        let Hash { algorithm, value } = body.spec.content.hash;
        if algorithm != "sha256" {
            return refuse(RefusalKind::Unsupported, format!("the log entry hashes with {algorithm}"));
        }
        let public_key = SignatureBytes::from_base64(&body.spec.public_key).map_err(|error| wrong(&error))?;
        Ok(Self {
            signed_entry_timestamp: entry.signed_entry_timestamp.clone(),
            body: entry.body.clone(),
            integrated_time: entry.integrated_time,
            log_index: entry.log_index,
            log_id: entry.log_id.clone(),
            envelope_hash: value,
            public_key: String::from_utf8(public_key.into_bytes()).map_err(|error| wrong(&error))?,
            attached_hash: hex::encode(Sha256::digest(envelope)),
        })
    }

    /// Verifies what was signed with a certificate, whose signature is known to fit.
    pub(crate) fn by_certificate(
        &self,
        certificates: &[DerCertificate],
        statement: Option<&Statement>,
        target: &Digest,
        root: &Root,
        without: Without,
    ) -> Result<Signer, Refusal> {
        let [leaf, intermediates @ ..] = certificates else {
            return refuse(RefusalKind::Certificate, "it comes without a certificate");
        };
        let info = parse_certificate_info(leaf)
            .or_else(|error| refuse(RefusalKind::Certificate, error.to_string()))?;
        let time = self.signed_at(root)?;
        let issuer = chain(leaf, intermediates, time, root)?;
        if time < info.not_before || time > info.not_after {
            let why = format!(
                "the certificate was valid from {} to {}, not at {time}",
                info.not_before, info.not_after
            );
            return refuse(RefusalKind::Expired, why);
        }
        if !without.certificate_timestamp {
            certificate_timestamp::verify(leaf.as_bytes(), &issuer, &root.trusted)?;
        }
        self.is_about_envelope()?;
        let logged = pem_blocks(&self.public_key).next().and_then(|pem| DerCertificate::from_pem(pem).ok());
        if logged.as_ref() != Some(leaf) {
            return refuse(RefusalKind::LogEntry, "the log entry is about another certificate");
        }
        match statement {
            Some(statement) if statement.is_about(target) => {}
            _ => return Err(subject::other(target, "another image")),
        }
        Ok(Signer {
            signed_at: Some(time),
            log_checked: true,
            certificate_timestamp_checked: !without.certificate_timestamp,
            ..signer(&info)
        })
    }

    /// Verifies that the log knows this envelope by this key. Answers when it was logged.
    pub(crate) fn by_key(&self, key: &DerPublicKey, root: &Root) -> Result<Timestamp, Refusal> {
        let time = self.signed_at(root)?;
        self.is_about_envelope()?;
        let logged = pem_blocks(&self.public_key).next().and_then(|pem| DerPublicKey::from_pem(pem).ok());
        if logged.as_ref() != Some(key) {
            return refuse(RefusalKind::LogEntry, "the log entry is about another key");
        }
        Ok(time)
    }

    fn is_about_envelope(&self) -> Result<(), Refusal> {
        if self.envelope_hash.eq_ignore_ascii_case(&self.attached_hash) {
            return Ok(());
        }
        refuse(RefusalKind::LogEntry, "the log entry is about another envelope")
    }

    /// When the log says that it took the entry, its signature checked.
    fn signed_at(&self, root: &Root) -> Result<Timestamp, Refusal> {
        let time = Timestamp::from_second(self.integrated_time)
            .or_else(|error| refuse(RefusalKind::EntryTimestamp, format!("the entry's time: {error}")))?;
        if time > Timestamp::now() {
            return refuse(RefusalKind::EntryTimestamp, format!("the entry's time {time} is in the future"));
        }
        let unknown = || {
            let why =
                format!("the log {} is not in the trusted root {}", hex::encode(&self.log_id), root.name);
            Refusal::new(RefusalKind::Log, why)
        };
        let id = Sha256Hash::try_from(self.log_id.as_slice()).map_err(|_| unknown())?;
        let keys = root.trusted.rekor_keys().or_else(|error| refuse(RefusalKind::Log, error.to_string()))?;
        let key = keys.key_at(&id, time).ok_or_else(unknown)?;
        // RFC 8785: these names are sorted already, and their values need no escapes.
        let promised = json!({
            "body": SignatureBytes::from_bytes(&self.body).to_base64(),
            "integratedTime": self.integrated_time,
            "logID": hex::encode(&self.log_id),
            "logIndex": self.log_index,
        });
        let signature = SignatureBytes::from_bytes(&self.signed_entry_timestamp);
        key.verify(promised.to_string(), &signature)
            .or_else(|_| refuse(RefusalKind::EntryTimestamp, "the log's signed entry timestamp is wrong"))?;
        Ok(time)
    }
}

/// Verifies the chain up to the root's authorities of that time, and answers the issuer's
/// `SubjectPublicKeyInfo` in DER.
fn chain(
    leaf: &DerCertificate,
    intermediates: &[DerCertificate],
    time: Timestamp,
    root: &Root,
) -> Result<Vec<u8>, Refusal> {
    let authorities = root.trusted.certificate_authorities.iter();
    let of_that_time = authorities.filter(|ca| ca.valid_for.is_none_or(|range| range.contains(time)));
    let trusted: Vec<_> = of_that_time
        .flat_map(|ca| &ca.cert_chain.certificates)
        .map(|certificate| CertificateDer::from(certificate.raw_bytes.as_bytes()))
        .collect();
    let anchors: Vec<_> =
        trusted.iter().filter_map(|der| webpki::anchor_from_trusted_cert(der).ok()).collect();
    let intermediates: Vec<_> =
        intermediates.iter().map(|certificate| CertificateDer::from(certificate.as_bytes())).collect();
    let leaf = CertificateDer::from(leaf.as_bytes());
    let end = EndEntityCert::try_from(&leaf)
        .or_else(|error| refuse(RefusalKind::Certificate, format!("the certificate: {error}")))?;
    let seconds = u64::try_from(time.as_second()).unwrap_or_default();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let code_signing = KeyUsage::required(const_oid::db::rfc5912::ID_KP_CODE_SIGNING.as_bytes());
    let path = end
        .verify_for_usage(WEBPKI_VERIFICATION_ALGS, &anchors, &intermediates, at, code_signing, None, None)
        .map_err(|error| {
            let kind = match error {
                webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => {
                    RefusalKind::Expired
                }
                _ => RefusalKind::Certificate,
            };
            Refusal::new(kind, format!("the certificate's chain: {error}"))
        })?;
    match path.intermediate_certificates().next() {
        Some(issuer) => Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        None => certificate_timestamp::sequence(path.anchor().subject_public_key_info.as_ref()),
    }
}
