//! A signature as it was attached, in any wire form, read into one.
//!
//! | form | source |
//! | --- | --- |
//! | simple signing | cosign's [signature spec](https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md): a payload, all else in annotations |
//! | DSSE | the same for attestations: the envelope is the blob, certificate and log entry in annotations |
//! | sigstore bundle | [protobuf-specs](https://github.com/sigstore/protobuf-specs), v0.1 to v0.3, as JSON |
//!
//! The first two are turned into a bundle, so that there is one path of verification. Nothing is believed here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use provenance_model::trust::{Form, Refusal, RefusalKind};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_verify::types::bundle::VerificationMaterialContent;
use sigstore_verify::types::{Bundle, DerCertificate, SignatureContent};

use crate::entry_v001::EntryV001;
use crate::legacy_entry::{LOG_ENTRY, LegacyEntry};
use crate::pem::pem_blocks;
use crate::refusals::refuse;
use crate::statement::Statement;

/// The predicate type of cosign 3's image signatures.
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";
/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// Certificates of one chain at the most.
const CHAIN_LENGTH: usize = 16;

/// What a signature is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A simple signing document.
    SimpleSigning(Bytes),
    /// The payload of a DSSE envelope.
    Dsse {
        /// Its type.
        payload_type: String,
        /// Its bytes.
        payload: Bytes,
    },
    /// The manifest itself.
    Manifest,
}

/// One signature with all that came with it.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The form it was attached in.
    pub form: Form,
    /// What it is over.
    pub payload: Payload,
    /// The in-toto statement, where the payload is one.
    pub statement: Option<Statement>,
    pub(crate) signature: Vec<u8>,
    pub(crate) certificates: Vec<DerCertificate>,
    /// As a sigstore bundle; none for the one kind of log entry that no bundle can hold.
    pub(crate) bundle: Option<Bundle>,
    pub(crate) entry: Option<EntryV001>,
    /// SHA-256 over all of the above, to know it again by.
    pub fingerprint: [u8; 32],
}

impl Signed {
    /// A cosign signature: the payload, and the annotations of its layer.
    pub fn simple_signing(payload: &Bytes, annotations: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let signature = annotations.get(SIGNATURE).filter(|signature| !signature.is_empty());
        let Some(signature) = signature else {
            return malformed(format!("the layer has no annotation {SIGNATURE}"));
        };
        let content = json!({"messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::digest(payload))},
            "signature": signature,
        }});
        let signature = decode(signature, SIGNATURE)?;
        let payload_held = Payload::SimpleSigning(payload.clone());
        Self::legacy(Form::SimpleSigning, payload_held, signature, payload, content, annotations)
    }

    /// A cosign attestation: the DSSE envelope, and the annotations of its layer.
    pub fn dsse(envelope: &Bytes, annotations: &BTreeMap<String, String>) -> Result<Self, Refusal> {
        let value: Value = serde_json::from_slice(envelope)
            .or_else(|error| malformed(format!("the envelope is no JSON: {error}")))?;
        let parsed = Envelope::read(&value)?;
        let content = json!({"dsseEnvelope": {
            "payloadType": parsed.payload_type,
            "payload": value["payload"],
            "signatures": [{"sig": STANDARD.encode(&parsed.signature), "keyid": ""}],
        }});
        let payload = Payload::Dsse { payload_type: parsed.payload_type, payload: parsed.payload };
        Self::legacy(Form::Dsse, payload, parsed.signature, envelope, content, annotations)
    }

    fn legacy(
        form: Form,
        payload: Payload,
        signature: Vec<u8>,
        blob: &Bytes,
        content: Value,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let certificates = certificates(annotations)?;
        let entry = annotations.get(LOG_ENTRY).filter(|entry| !entry.trim().is_empty());
        let entry = entry.map(|entry| LegacyEntry::read(entry)).transpose()?;
        let mut of_kind_v001 = None;
        let mut entries = Vec::new();
        if let Some(entry) = entry {
            if entry.is_v001() {
                of_kind_v001 = Some(EntryV001::read(&entry, blob)?);
            } else {
                entries.push(entry.to_bundle()?);
            }
        }
        let mut timestamps = Vec::new();
        if let Some(written) = annotations.get(TIMESTAMP).filter(|written| !written.trim().is_empty()) {
            let parsed: LegacyTimestamp = serde_json::from_str(written)
                .or_else(|error| malformed(format!("annotation {TIMESTAMP}: {error}")))?;
            timestamps.push(json!({"signedTimestamp": parsed.signed}));
        }
        let bundle = match of_kind_v001 {
            Some(_) => None,
            None => Some(bundle(&certificates, &entries, &timestamps, content)?),
        };
        let mut hash = Sha256::new();
        hash.update(blob);
        for (name, value) in annotations {
            hash.update(name);
            hash.update([0]);
            hash.update(value);
            hash.update([0]);
        }
        let statement = statement_in(&payload);
        Ok(Self {
            form,
            payload,
            statement,
            signature,
            certificates,
            bundle,
            entry: of_kind_v001,
            fingerprint: hash.finalize().into(),
        })
    }

    /// A sigstore bundle.
    pub fn bundle(json: &Bytes) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(json)
            .or_else(|error| malformed(format!("the bundle is no text: {error}")))?;
        let bundle = Bundle::from_json(text).map_err(|error| {
            let told = error.to_string();
            let unknown = told.contains("kind") || told.contains("media type");
            let kind = if unknown { RefusalKind::Unsupported } else { RefusalKind::Malformed };
            Refusal::new(kind, format!("the bundle cannot be read: {told}"))
        })?;
        let (payload, signature) = match &bundle.content {
            SignatureContent::MessageSignature(message) => {
                (Payload::Manifest, message.signature.as_bytes().to_vec())
            }
            SignatureContent::DsseEnvelope(envelope) => (
                Payload::Dsse {
                    payload_type: envelope.payload_type.clone(),
                    payload: Bytes::copy_from_slice(envelope.payload.as_bytes()),
                },
                envelope.signature.sig.as_bytes().to_vec(),
            ),
            _ => {
                return refuse(
                    RefusalKind::Unsupported,
                    "the bundle holds neither a signature nor an envelope",
                );
            }
        };
        let certificates = match &bundle.verification_material.content {
            VerificationMaterialContent::Certificate(certificate) => vec![certificate.raw_bytes.clone()],
            VerificationMaterialContent::X509CertificateChain { certificates } => {
                certificates.iter().map(|certificate| certificate.raw_bytes.clone()).collect()
            }
            VerificationMaterialContent::PublicKey(_) => Vec::new(),
            _ => return refuse(RefusalKind::Unsupported, "the bundle holds neither a certificate nor a key"),
        };
        let statement = statement_in(&payload);
        Ok(Self {
            form: Form::SigstoreBundle,
            payload,
            statement,
            signature,
            certificates,
            bundle: Some(bundle),
            entry: None,
            fingerprint: Sha256::digest(json).into(),
        })
    }

    /// Whether this signs the image itself, rather than a statement about it. An envelope whose payload cannot be
    /// read may have been a signature before it was tampered with, and counts as one.
    pub fn is_signature(&self) -> bool {
        match &self.payload {
            Payload::SimpleSigning(_) | Payload::Manifest => true,
            Payload::Dsse { .. } => self.predicate_type().is_none_or(|kind| kind == COSIGN_SIGN),
        }
    }

    /// The type of the statement's predicate, where it is a statement.
    pub fn predicate_type(&self) -> Option<&str> {
        self.statement.as_ref().map(|statement| statement.predicate_type.as_str())
    }

    /// Whether it was made with a certificate (keyless), rather than a managed key.
    pub fn has_certificate(&self) -> bool {
        !self.certificates.is_empty()
    }
}

fn malformed<T>(message: impl Into<String>) -> Result<T, Refusal> {
    refuse(RefusalKind::Malformed, message)
}

fn decode(base64: &str, name: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(base64.trim()).or_else(|error| malformed(format!("{name} is no base64: {error}")))
}

fn statement_in(payload: &Payload) -> Option<Statement> {
    match payload {
        Payload::Dsse { payload_type, payload } if payload_type == IN_TOTO => Statement::parse(payload).ok(),
        _ => None,
    }
}

/// A DSSE envelope with its one signature
/// ([spec](https://github.com/secure-systems-lab/dsse/blob/master/envelope.md)).
pub(crate) struct Envelope {
    pub(crate) payload_type: String,
    pub(crate) payload: Bytes,
    pub(crate) signature: Vec<u8>,
}

impl Envelope {
    fn read(value: &Value) -> Result<Self, Refusal> {
        let text = |name: &str| {
            value[name].as_str().map_or_else(|| malformed(format!("the envelope has no {name}")), Ok)
        };
        let signatures = value["signatures"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [signature] = signatures else {
            let why = format!("the envelope has {} signatures; exactly one is understood", signatures.len());
            return refuse(RefusalKind::Unsupported, why);
        };
        Ok(Self {
            payload_type: text("payloadType")?.to_owned(),
            payload: decode(text("payload")?, "the envelope's payload")?.into(),
            signature: decode(signature["sig"].as_str().unwrap_or_default(), "the envelope's signature")?,
        })
    }
}

/// The signer's certificate and its chain, as annotations hold them in PEM.
fn certificates(annotations: &BTreeMap<String, String>) -> Result<Vec<DerCertificate>, Refusal> {
    let mut found = Vec::new();
    for name in [CERTIFICATE, CHAIN] {
        let Some(pem) = annotations.get(name).filter(|pem| !pem.trim().is_empty()) else { continue };
        for block in pem_blocks(pem) {
            if found.len() == CHAIN_LENGTH {
                return malformed(format!("{name}: more than {CHAIN_LENGTH} certificates"));
            }
            found.push(
                DerCertificate::from_pem(block).or_else(|error| malformed(format!("{name}: {error}")))?,
            );
        }
        if found.is_empty() {
            return malformed(format!("{name}: no certificate in PEM form"));
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct LegacyTimestamp {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

/// A bundle of what annotations held. With a log entry it is one of version 0.1, which wants the entry's
/// timestamp; without one it is of 0.2, which can do without.
fn bundle(
    certificates: &[DerCertificate],
    entries: &[Value],
    timestamps: &[Value],
    content: Value,
) -> Result<Bundle, Refusal> {
    let version = if entries.is_empty() { "0.2" } else { "0.1" };
    let mut material = json!({
        "tlogEntries": entries,
        "timestampVerificationData": {"rfc3161Timestamps": timestamps},
    });
    if certificates.is_empty() {
        material["publicKey"] = json!({"hint": ""});
    } else {
        let chain: Vec<_> =
            certificates.iter().map(|certificate| json!({"rawBytes": certificate.to_base64()})).collect();
        material["x509CertificateChain"] = json!({"certificates": chain});
    }
    let mut whole = content;
    whole["mediaType"] = json!(format!("application/vnd.dev.sigstore.bundle+json;version={version}"));
    whole["verificationMaterial"] = material;
    Bundle::from_json(&whole.to_string())
        .or_else(|error| malformed(format!("what is attached makes no bundle: {error}")))
}
