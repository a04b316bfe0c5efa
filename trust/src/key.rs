//! Managed keys: EC P-256 and P-384, RSA, Ed25519, as `SubjectPublicKeyInfo` in PEM or DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1, SECP_384_R_1};
use ed25519_dalek::VerifyingKey;
use provenance_model::Digest;
use provenance_model::trust::{Refusal, RefusalKind, Signer};
use sha2::{Digest as _, Sha256, Sha512};
use sigstore_verify::crypto::{KeyAlgorithm, SigningScheme, verify_signature, verify_signature_prehashed};
use sigstore_verify::types::bundle::{PublicKeyIdentifier, VerificationMaterialContent};
use sigstore_verify::types::{Artifact, DerPublicKey, HashAlgorithm, SignatureBytes, pae};
use sigstore_verify::{PublicKeyVerificationPolicy, VerificationResult};
use x509_cert::der::asn1::{BitString, UintRef};
use x509_cert::der::{Any, Encode as _, Tag};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::evidence::{Payload, Signed};
use crate::pem::pem_blocks;
use crate::refusals::{self, refuse};
use crate::roots::{self, Root};
use crate::{simple_signing, subject};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// What it is called: its file, secret or URI.
    pub name: String,
    /// The hash it must be used with, where a policy says so.
    pub hash: Option<Hash>,
    der: DerPublicKey,
    algorithm: KeyAlgorithm,
}

/// A hash algorithm that a policy may ask of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl PublicKey {
    /// Every key of a PEM text.
    pub fn all_from_pem(name: &str, pem: &str) -> Result<Vec<Self>, String> {
        let keys: Vec<_> =
            pem_blocks(pem).map(|block| Self::from_pem_block(name, block)).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("there is no public key in PEM form in it (-----BEGIN PUBLIC KEY-----)".into());
        }
        Ok(keys)
    }

    fn from_pem_block(name: &str, block: &str) -> Result<Self, String> {
        if block.contains("PRIVATE KEY") {
            return Err("it holds a private key; give the public one (cosign public-key --key …)".into());
        }
        if block.starts_with("-----BEGIN RSA PUBLIC KEY") {
            let fix = "openssl rsa -RSAPublicKey_in -pubout";
            return Err(format!("it holds an RSA key in PKCS#1 form; convert it with: {fix}"));
        }
        let der = DerPublicKey::from_pem(block).map_err(|error| format!("it is no public key: {error}"))?;
        Self::from_der(name, der.as_bytes())
    }

    /// A key from its `SubjectPublicKeyInfo`.
    pub fn from_der(name: &str, der: &[u8]) -> Result<Self, String> {
        let der = DerPublicKey::new(der.to_vec());
        let algorithm =
            KeyAlgorithm::from_spki(&der).map_err(|error| format!("it cannot be used: {error}"))?;
        Ok(Self { name: name.to_owned(), hash: None, der, algorithm })
    }

    /// The key, to be used with this hash only.
    #[must_use]
    pub fn with_hash(mut self, hash: Option<Hash>) -> Self {
        self.hash = hash;
        self
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`, in hex.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.der.as_bytes()))
    }

    /// The ways in which a key of this kind signs. Tools differ: cosign 2 hashes with SHA-256 whatever the
    /// curve, cosign 3 goes by the curve.
    fn schemes(&self) -> Vec<SigningScheme> {
        use SigningScheme as S;
        let schemes: &[S] = match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &[S::EcdsaP256Sha256, S::EcdsaP256Sha384],
            KeyAlgorithm::EcdsaP384 => &[S::EcdsaP384Sha384, S::EcdsaP384Sha256],
            KeyAlgorithm::Ed25519 => &[S::Ed25519],
            KeyAlgorithm::Rsa => &[
                S::RsaPkcs1Sha256,
                S::RsaPssSha256,
                S::RsaPkcs1Sha384,
                S::RsaPssSha384,
                S::RsaPkcs1Sha512,
                S::RsaPssSha512,
            ],
            _ => return vec![self.algorithm.default_signing_scheme()],
        };
        let wanted = self.hash.map(|hash| match hash {
            Hash::Sha256 => HashAlgorithm::Sha2256,
            Hash::Sha384 => HashAlgorithm::Sha2384,
            Hash::Sha512 => HashAlgorithm::Sha2512,
        });
        let fits =
            |scheme: &&S| wanted.is_none() || scheme.hash_algorithm().is_none_or(|hash| Some(hash) == wanted);
        schemes.iter().filter(fits).copied().collect()
    }

    /// Whether the key made this signature over what it says it is over.
    pub(crate) fn fits(&self, signed: &Signed, target: &Digest) -> bool {
        match &signed.payload {
            Payload::SimpleSigning(payload) => self.signed(payload, &signed.signature),
            Payload::Dsse { payload_type, payload } => {
                self.signed(&pae(payload_type, payload), &signed.signature)
            }
            Payload::Manifest => self.signed_digest(target, &signed.signature),
        }
    }

    /// Whether the key made this signature over these bytes.
    fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let signature = SignatureBytes::from_bytes(signature);
        self.schemes()
            .into_iter()
            .any(|scheme| verify_signature(&self.der, bytes, &signature, scheme).is_ok())
            || self.signed_prehashed(bytes, signature.as_bytes())
    }

    /// Whether an Ed25519 key made this signature over a hash of these bytes (Ed25519ph of
    /// [RFC 8032](https://www.rfc-editor.org/rfc/rfc8032#section-5.1)), as cosign does for what logs keep by hash.
    fn signed_prehashed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        if self.algorithm != KeyAlgorithm::Ed25519 {
            return false;
        }
        // RFC 8410: the key is the last 32 bytes of its SubjectPublicKeyInfo.
        let key = self.der.as_bytes().last_chunk().and_then(|key| VerifyingKey::from_bytes(key).ok());
        let signature = ed25519_dalek::Signature::from_slice(signature).ok();
        let (Some(key), Some(signature)) = (key, signature) else { return false };
        key.verify_prehashed_strict(Sha512::new().chain_update(bytes), None, &signature).is_ok()
    }

    fn signed_digest(&self, target: &Digest, signature: &[u8]) -> bool {
        let signature = SignatureBytes::from_bytes(signature);
        let digest = hex::decode(target.hex()).expect("a digest is hex");
        let fits = |scheme: &SigningScheme| {
            scheme.hash_algorithm().is_some_and(|hash| hash.digest_size() == digest.len())
        };
        let mut schemes = self.schemes().into_iter().filter(fits);
        schemes.any(|scheme| verify_signature_prehashed(&self.der, &digest, &signature, scheme).is_ok())
    }
}

/// Verifies with one key. `log_required` asks for an entry in a log that one of the roots names; otherwise
/// an entry of a known log must still hold, and one of an unknown log says nothing.
pub(crate) fn by_key(
    signed: &Signed,
    target: &Digest,
    key: &PublicKey,
    roots: &[&Root],
    log_required: bool,
) -> Result<Signer, Refusal> {
    let holds = key.fits(signed, target);
    if !holds && signed.has_certificate() {
        let why = format!("it was made with a certificate, not with the key {}", key.name);
        return refuse(RefusalKind::Key, why);
    }
    if !holds {
        let why = format!("it was not made with the key {}, or what it signs was changed", key.name);
        return refuse(RefusalKind::Key, why);
    }
    match (&signed.payload, &signed.statement) {
        (Payload::SimpleSigning(payload), _) => simple_signing::names(payload, target)?,
        (Payload::Dsse { .. }, Some(statement)) if statement.is_about(target) => {}
        (Payload::Dsse { .. }, Some(_)) => return Err(subject::other(target, "another image")),
        (Payload::Dsse { payload_type, .. }, None) => {
            let why = format!("the envelope holds {payload_type:?}, which names no image");
            return refuse(RefusalKind::Unsupported, why);
        }
        // The digest itself was signed.
        (Payload::Manifest, _) => {}
    }
    let mut who =
        Signer { key: Some(format!("{} (sha256:{})", key.name, key.fingerprint())), ..Signer::default() };
    match logged(signed, target, key, roots) {
        Ok(Some((is_logged, signed_at))) => (who.log_checked, who.signed_at) = (is_logged, signed_at),
        Err(refusal) if log_required || tells_of_tampering(refusal.kind) => return Err(refusal),
        Ok(None) | Err(_) => {}
    }
    if log_required && !who.log_checked {
        return refuse(RefusalKind::Log, "there is no entry of a transparency log, and the policy wants one");
    }
    Ok(who)
}

/// Whether evidence of a known log is wrong, as against evidence of which nothing is known.
fn tells_of_tampering(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::EntryTimestamp
            | RefusalKind::InclusionProof
            | RefusalKind::Checkpoint
            | RefusalKind::LogEntry
    )
}

type LoggedAt = (bool, Option<jiff::Timestamp>);

/// What logs and timestamp authorities say of the signature; none where it came without either.
fn logged(
    signed: &Signed,
    target: &Digest,
    key: &PublicKey,
    roots: &[&Root],
) -> Result<Option<LoggedAt>, Refusal> {
    let answer = roots::any(roots, |root| match &signed.entry {
        Some(entry) => entry.by_key(&key.der, root).map(|time| Some((true, Some(time)))),
        None => in_bundle(signed, target, key, root),
    });
    answer.or_else(|reason| reason.map_or(Ok(None), Err))
}

fn in_bundle(
    signed: &Signed,
    target: &Digest,
    key: &PublicKey,
    root: &Root,
) -> Result<Option<LoggedAt>, Refusal> {
    let Some(bundle) = &signed.bundle else { return Ok(None) };
    let material = &bundle.verification_material;
    let has_entries = !material.tlog_entries.is_empty();
    if !has_entries && material.timestamp_verification_data.rfc3161_timestamps.is_empty() {
        return Ok(None);
    }
    let mut bundle = bundle.clone();
    bundle.verification_material.content =
        VerificationMaterialContent::PublicKey(PublicKeyIdentifier::new(String::new()));
    let mut policy = PublicKeyVerificationPolicy::new(key.der.clone());
    if !has_entries {
        policy = policy.skip_tlog_unsafe();
    }
    let verified: Result<VerificationResult, _> = match &signed.payload {
        Payload::SimpleSigning(payload) => {
            root.verifier.verify(Artifact::from_blob(payload), &bundle, &policy)
        }
        Payload::Dsse { .. } | Payload::Manifest => {
            root.verifier.verify(Artifact::from_digest(subject::artifact(target)?), &bundle, &policy)
        }
    };
    let verified = verified.map_err(|error| refusals::of(&error))?;
    let signed_at = verified.verified_timestamps().iter().min().copied();
    Ok(Some((has_entries && verified.tlog_verified(), signed_at)))
}

/// Keys in the parts that services give them in.
impl PublicKey {
    /// An Ed25519 key from its 32 bytes in base64.
    pub fn from_ed25519(name: &str, base64: &str) -> Result<Self, String> {
        let key = STANDARD.decode(base64.trim()).map_err(|error| format!("the key is no base64: {error}"))?;
        // RFC 8410, section 4.
        let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        Self::from_der(name, &[prefix.as_slice(), &key].concat())
    }

    /// A key on a curve from its point.
    pub fn from_point(name: &str, curve: &str, x: &[u8], y: &[u8]) -> Result<Self, String> {
        let (curve, bytes) = match curve {
            "P-256" => (SECP_256_R_1, 32),
            "P-384" => (SECP_384_R_1, 48),
            other => return Err(format!("keys on {other} are not supported")),
        };
        let coordinate = |part: &[u8]| {
            let missing = usize::checked_sub(bytes, part.len()).ok_or("the point is too long")?;
            Ok::<_, String>([vec![0; missing], part.to_vec()].concat())
        };
        // SEC 1, section 2.3.3, without compression.
        let point = [vec![4], coordinate(x)?, coordinate(y)?].concat();
        Self::from_parts(name, ID_EC_PUBLIC_KEY, Any::from(&curve), &point)
    }

    /// An RSA key from its modulus and exponent.
    pub fn from_rsa(name: &str, modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let integer = |bytes: &[u8]| UintRef::new(bytes).and_then(|integer| integer.to_der());
        let sequence = || {
            let parts = [integer(modulus)?, integer(exponent)?].concat();
            Any::new(Tag::Sequence, parts)?.to_der()
        };
        let key = sequence().map_err(|error| format!("the key: {error}"))?;
        Self::from_parts(name, RSA_ENCRYPTION, Any::null(), &key)
    }

    fn from_parts(
        name: &str,
        algorithm: ObjectIdentifier,
        parameters: Any,
        key: &[u8],
    ) -> Result<Self, String> {
        let algorithm = AlgorithmIdentifierOwned { oid: algorithm, parameters: Some(parameters) };
        let info = BitString::from_bytes(key)
            .and_then(|key| SubjectPublicKeyInfoOwned { algorithm, subject_public_key: key }.to_der())
            .map_err(|error| format!("the key: {error}"))?;
        Self::from_der(name, &info)
    }
}
