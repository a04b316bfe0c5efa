//! The policy-controller's `TrustRoot` (policy.sigstore.dev/v1alpha1): keys and certificates given in line, turned
//! into a sigstore trusted root. Roots that are to be fetched are refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sigstore_verify::crypto::KeyAlgorithm;
use sigstore_verify::types::{DerCertificate, DerPublicKey};

use crate::pem::pem_blocks;
use crate::roots::Root;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    remote: Option<Value>,
    repository: Option<Value>,
    sigstore_keys: Option<SigstoreKeys>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigstoreKeys {
    #[serde(default)]
    certificate_authorities: Vec<AuthoritySpec>,
    #[serde(default)]
    ct_logs: Vec<LogSpec>,
    #[serde(default)]
    t_logs: Vec<LogSpec>,
    #[serde(default)]
    timestamp_authorities: Vec<AuthoritySpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthoritySpec {
    #[serde(default, rename = "subject")]
    _subject: Value,
    #[serde(default)]
    uri: String,
    /// PEM, in base64.
    cert_chain: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogSpec {
    #[serde(default, rename = "baseURL")]
    base_url: String,
    #[serde(default, rename = "hashAlgorithm")]
    _hash_algorithm: String,
    /// PEM, in base64.
    public_key: String,
    #[serde(default, rename = "logID")]
    _log_id: String,
}

/// The root that a `TrustRoot`'s spec gives.
pub(crate) fn read(name: &str, spec: &Value) -> Result<Root, String> {
    let spec: Spec = serde_json::from_value(spec.clone()).map_err(|error| format!("spec: {error}"))?;
    for (field, present) in [("remote", spec.remote), ("repository", spec.repository)] {
        if present.is_some() {
            return Err(format!(
                "spec.{field} is not supported: trust is never fetched; use spec.sigstoreKeys"
            ));
        }
    }
    let keys = spec.sigstore_keys.ok_or("spec.sigstoreKeys is missing")?;
    let json = json!({
        "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
        "tlogs": keys.t_logs.iter().map(log).collect::<Result<Vec<_>, _>>()?,
        "certificateAuthorities": keys.certificate_authorities.iter().map(authority).collect::<Result<Vec<_>, _>>()?,
        "ctlogs": keys.ct_logs.iter().map(log).collect::<Result<Vec<_>, _>>()?,
        "timestampAuthorities": keys.timestamp_authorities.iter().map(authority).collect::<Result<Vec<_>, _>>()?,
    });
    Root::from_json(name, &json.to_string())
}

/// PEM as Kubernetes writes bytes: in base64. PEM as it is is taken too.
fn pem(written: &str) -> Result<String, String> {
    if written.contains("-----BEGIN ") {
        return Ok(written.to_owned());
    }
    let compact: String = written.split_whitespace().collect();
    let bytes = STANDARD.decode(compact).map_err(|error| format!("it is neither PEM nor base64: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("it is no PEM: {error}"))
}

fn authority(spec: &AuthoritySpec) -> Result<Value, String> {
    let pem = pem(&spec.cert_chain).map_err(|why| format!("certChain: {why}"))?;
    let certificates: Vec<_> = pem_blocks(&pem)
        .map(|block| DerCertificate::from_pem(block).map(|der| json!({"rawBytes": der.to_base64()})))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("certChain: {error}"))?;
    if certificates.is_empty() {
        return Err("certChain: no certificate in PEM form".into());
    }
    // No dates are given, so the certificates' own are all there are.
    let always = json!({"start": "1970-01-01T00:00:00Z"});
    Ok(json!({"uri": spec.uri, "certChain": {"certificates": certificates}, "validFor": always}))
}

fn log(spec: &LogSpec) -> Result<Value, String> {
    let pem = pem(&spec.public_key).map_err(|why| format!("publicKey: {why}"))?;
    let der = DerPublicKey::from_pem(pem.trim()).map_err(|error| format!("publicKey: {error}"))?;
    let details = match KeyAlgorithm::from_spki(&der).map_err(|error| format!("publicKey: {error}"))? {
        KeyAlgorithm::EcdsaP256 => "PKIX_ECDSA_P256_SHA_256",
        KeyAlgorithm::EcdsaP384 => "PKIX_ECDSA_P384_SHA_384",
        KeyAlgorithm::Ed25519 => "PKIX_ED25519",
        KeyAlgorithm::Rsa => "PKIX_RSA_PKCS1V15_2048_SHA256",
        _ => return Err("publicKey: keys of this kind are not supported".into()),
    };
    Ok(json!({
        "baseUrl": spec.base_url,
        "hashAlgorithm": "SHA2_256",
        "publicKey": {
            "rawBytes": der.to_base64(),
            "keyDetails": details,
            "validFor": {"start": "1970-01-01T00:00:00Z"},
        },
        // RFC 6962: a log's id is the SHA-256 of its key.
        "logId": {"keyId": STANDARD.encode(Sha256::digest(der.as_bytes()))},
    }))
}
