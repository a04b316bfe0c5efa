//! Reads `ClusterImagePolicy` and `TrustRoot` documents (policy.sigstore.dev, v1beta1 and v1alpha1). A field that
//! is not supported is refused by its name, never ignored: a policy that is read in part says something else.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::{Authority, AuthorityKind, Glob, Identity, Policy, SignatureFormat, Wanted};
use crate::key::{Hash, PublicKey};
use crate::roots::{Root, Without};
use crate::trust_root;

/// Bytes of a policy file.
pub const FILE_BYTES: usize = 4 << 20;

/// One document of a policy file.
#[derive(Debug)]
pub enum Document {
    /// A policy whose keys and roots are still to be found.
    Policy(Unresolved),
    /// A trusted root by its name.
    TrustRoot(Arc<Root>),
}

/// A policy as it is written.
#[derive(Debug)]
pub struct Unresolved {
    name: String,
    spec: Spec,
}

/// Where a policy's key is to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyRef {
    /// A Secret: namespace and name. The policy-controller's own namespace where none is named.
    Secret(String, String),
    /// A key management service's URI.
    Kms(String),
}

/// The documents of a YAML or JSON text, of one or several documents. Kinds other than the two are refused.
pub fn documents(text: &str) -> Result<Vec<Document>, String> {
    if text.len() > FILE_BYTES {
        return Err(format!("it has more than {FILE_BYTES} bytes"));
    }
    let values: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let mut found = Vec::new();
    for value in values.into_iter().filter(|value| !value.is_null()) {
        match value["items"].as_array() {
            Some(items) if value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => {
                for item in items {
                    found.push(from_json(item)?);
                }
            }
            _ => found.push(from_json(&value)?),
        }
    }
    Ok(found)
}

/// One document.
pub fn from_json(value: &Value) -> Result<Document, String> {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let version = value["apiVersion"].as_str().unwrap_or_default();
    if !version.starts_with("policy.sigstore.dev/") {
        return Err(format!(
            "{version:?} {kind:?} is no policy: wanted is policy.sigstore.dev, ClusterImagePolicy"
        ));
    }
    if name.is_empty() {
        return Err(format!("a {kind} has no metadata.name"));
    }
    match kind.as_str() {
        "ClusterImagePolicy" => {
            let spec = serde_json::from_value(value["spec"].clone())
                .map_err(|error| format!("ClusterImagePolicy {name}: {error}"))?;
            Ok(Document::Policy(Unresolved { name, spec }))
        }
        "TrustRoot" => {
            let root =
                trust_root::read(&name, &value["spec"]).map_err(|why| format!("TrustRoot {name}: {why}"))?;
            Ok(Document::TrustRoot(Arc::new(root)))
        }
        other => Err(format!("kind {other:?} is no policy: wanted is ClusterImagePolicy or TrustRoot")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    images: Vec<ImagePattern>,
    #[serde(default)]
    authorities: Vec<AuthoritySpec>,
    policy: Option<Value>,
    mode: Option<String>,
    #[serde(rename = "match")]
    matching: Option<Vec<Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagePattern {
    glob: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AuthoritySpec {
    name: Option<String>,
    key: Option<KeySpec>,
    keyless: Option<KeylessSpec>,
    #[serde(rename = "static")]
    fixed: Option<StaticSpec>,
    source: Option<Vec<Value>>,
    ctlog: Option<LogSpec>,
    #[serde(default)]
    attestations: Vec<AttestationSpec>,
    rfc3161timestamp: Option<TimestampSpec>,
    signature_format: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeySpec {
    secret_ref: Option<SecretRef>,
    data: Option<String>,
    kms: Option<String>,
    hash_algorithm: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretRef {
    name: String,
    namespace: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeylessSpec {
    url: Option<String>,
    #[serde(default)]
    identities: Vec<IdentitySpec>,
    #[serde(rename = "ca-cert")]
    ca_cert: Option<Value>,
    trust_root_ref: Option<String>,
    #[serde(rename = "insecureIgnoreSCT")]
    insecure_ignore_sct: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IdentitySpec {
    issuer: Option<String>,
    subject: Option<String>,
    #[serde(rename = "issuerRegExp")]
    issuer_reg_exp: Option<String>,
    #[serde(rename = "subjectRegExp")]
    subject_reg_exp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StaticSpec {
    action: String,
    message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogSpec {
    url: Option<String>,
    trust_root_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimestampSpec {
    trust_root_ref: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AttestationSpec {
    #[serde(default, rename = "name")]
    _name: String,
    predicate_type: String,
    policy: Option<Value>,
}

/// Keys and roots that policies name.
#[derive(Debug, Default)]
pub struct Found {
    /// Keys by where they were to be had.
    pub keys: BTreeMap<KeyRef, Vec<PublicKey>>,
    /// Roots by name.
    pub roots: BTreeMap<String, Arc<Root>>,
}

/// The namespace in which the policy-controller keeps keys.
const KEY_NAMESPACE: &str = "cosign-system";

impl KeySpec {
    fn reference(&self) -> Option<KeyRef> {
        match (&self.secret_ref, &self.kms) {
            (Some(secret), _) => {
                let namespace = secret.namespace.clone().unwrap_or_else(|| KEY_NAMESPACE.into());
                Some(KeyRef::Secret(namespace, secret.name.clone()))
            }
            (None, Some(kms)) => Some(KeyRef::Kms(kms.clone())),
            (None, None) => None,
        }
    }
}

impl Unresolved {
    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The keys it names that are to be had elsewhere.
    pub fn key_refs(&self) -> Vec<KeyRef> {
        self.spec
            .authorities
            .iter()
            .filter_map(|authority| authority.key.as_ref())
            .filter_map(KeySpec::reference)
            .collect()
    }

    /// The policy, with its keys and roots.
    pub fn resolve(self, found: &Found) -> Result<Policy, String> {
        let Self { name, spec } = self;
        resolve(&name, spec, found).map_err(|why| format!("ClusterImagePolicy {name}: {why}"))
    }
}

fn unsupported<T>(field: &str, present: Option<&T>) -> Result<(), String> {
    match present {
        Some(_) => Err(format!("spec.{field} is not supported")),
        None => Ok(()),
    }
}

fn resolve(name: &str, spec: Spec, found: &Found) -> Result<Policy, String> {
    unsupported("policy", spec.policy.as_ref())?;
    unsupported("match", spec.matching.as_ref().filter(|list| !list.is_empty()))?;
    if !matches!(spec.mode.as_deref(), None | Some("" | "enforce" | "warn")) {
        return Err(format!("spec.mode {:?} is neither enforce nor warn", spec.mode.unwrap_or_default()));
    }
    if spec.images.is_empty() {
        return Err("spec.images is empty".into());
    }
    if spec.authorities.is_empty() {
        return Err("spec.authorities is empty".into());
    }
    let images = spec.images.iter().map(|image| Glob::parse(&image.glob)).collect::<Result<_, _>>()?;
    let authorities = spec
        .authorities
        .into_iter()
        .enumerate()
        .map(|(index, spec)| {
            authority(name, index, spec, found).map_err(|why| format!("spec.authorities[{index}]: {why}"))
        })
        .collect::<Result<_, _>>()?;
    Ok(Policy { name: name.to_owned(), images, authorities, is_required: true })
}

fn authority(policy: &str, index: usize, spec: AuthoritySpec, found: &Found) -> Result<Authority, String> {
    let unsupported = |field: &str| Err(format!("{field} is not supported"));
    if spec.source.as_ref().is_some_and(|source| !source.is_empty()) {
        return unsupported("source");
    }
    if spec.attestations.iter().any(|attestation| attestation.policy.is_some()) {
        return unsupported("attestations.policy");
    }
    let format = match spec.signature_format.as_deref() {
        None | Some("") => None,
        Some("legacy") => Some(SignatureFormat::Legacy),
        Some("bundle") => Some(SignatureFormat::Bundle),
        Some(other) => return Err(format!("signatureFormat {other:?} is neither legacy nor bundle")),
    };
    let named_root = root_of(&spec, found)?;
    // As the policy-controller reads it: a log is asked for where one is named, and by default for keyless
    // signatures of the public instance.
    let names_log = spec.ctlog.as_ref().map(|log| log.url.is_some() || log.trust_root_ref.is_some());
    let stamped = spec.rfc3161timestamp.as_ref().is_some_and(|stamp| stamp.trust_root_ref.is_some());
    let by_default = spec.keyless.as_ref().is_some_and(|keyless| keyless.trust_root_ref.is_none());
    let wants_log = names_log.unwrap_or(by_default) && !stamped;
    let ignore_sct = spec.keyless.as_ref().and_then(|keyless| keyless.insecure_ignore_sct).unwrap_or(false);
    let without = Without { log: !wants_log, certificate_timestamp: ignore_sct };
    let has_attestations = !spec.attestations.is_empty();
    let kind = match (spec.key, spec.keyless, spec.fixed) {
        (Some(key), None, None) => AuthorityKind::Key(keys(policy, index, &key, found)?),
        (None, Some(keyless), None) => {
            if keyless.ca_cert.is_some() {
                return Err("keyless.ca-cert is not supported; put the authority into a TrustRoot".into());
            }
            let identities = keyless.identities.into_iter().map(identity).collect::<Result<_, _>>()?;
            AuthorityKind::Keyless { identities, root: named_root }
        }
        (None, None, Some(_)) if has_attestations || spec.ctlog.is_some() => {
            return Err("static goes with neither attestations nor ctlog".into());
        }
        (None, None, Some(fixed)) => match fixed.action.as_str() {
            "pass" => AuthorityKind::Pass,
            "fail" => AuthorityKind::Fail(fixed.message.unwrap_or_default()),
            other => return Err(format!("static.action {other:?} is neither pass nor fail")),
        },
        _ => return Err("wanted is one of key, keyless and static".into()),
    };
    Ok(Authority {
        name: spec.name.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("authority-{index}")),
        kind,
        without,
        attestations: spec
            .attestations
            .into_iter()
            .map(|attestation| predicate_type(attestation.predicate_type))
            .collect::<Result<_, _>>()?,
        format,
    })
}

/// The root that an authority names. It may name it in three places, and all must name the same.
fn root_of(spec: &AuthoritySpec, found: &Found) -> Result<Option<Arc<Root>>, String> {
    let keyless = spec.keyless.as_ref().and_then(|keyless| keyless.trust_root_ref.as_deref());
    let log = spec.ctlog.as_ref().and_then(|log| log.trust_root_ref.as_deref());
    let stamp = spec.rfc3161timestamp.as_ref().and_then(|stamp| stamp.trust_root_ref.as_deref());
    let named: Vec<_> = [keyless, log, stamp].into_iter().flatten().filter(|name| !name.is_empty()).collect();
    let Some(name) = named.first() else {
        let url = spec.keyless.as_ref().and_then(|keyless| keyless.url.as_deref());
        return match url.map(|url| url.trim_end_matches('/')) {
            None | Some("https://fulcio.sigstore.dev") => Ok(None),
            Some(url) => Err(format!(
                "keyless.url {url:?} is not asked for its authority; name a TrustRoot by keyless.trustRootRef"
            )),
        };
    };
    if named.iter().any(|other| other != name) {
        return Err(format!("trustRootRef names several roots ({}); one is supported", named.join(", ")));
    }
    let root = found.roots.get(*name).cloned();
    root.map(Some).ok_or_else(|| format!("trustRootRef {name:?} names no TrustRoot that was given"))
}

fn keys(policy: &str, index: usize, spec: &KeySpec, found: &Found) -> Result<Vec<PublicKey>, String> {
    let given = [spec.data.is_some(), spec.secret_ref.is_some(), spec.kms.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err("key: wanted is one of data, secretRef and kms".into());
    }
    let hash = match spec.hash_algorithm.as_deref() {
        None | Some("") => None,
        Some("sha256") => Some(Hash::Sha256),
        Some("sha384") => Some(Hash::Sha384),
        Some("sha512") => Some(Hash::Sha512),
        Some(other) => return Err(format!("key.hashAlgorithm {other:?} is not supported")),
    };
    let keys = match (&spec.data, spec.reference()) {
        (Some(data), _) => PublicKey::all_from_pem(&format!("{policy}/{index}"), data)
            .map_err(|why| format!("key.data: {why}"))?,
        (None, Some(reference)) => found.keys.get(&reference).cloned().ok_or("its key was not fetched")?,
        (None, None) => unreachable!("one of the three is given"),
    };
    Ok(keys.into_iter().map(|key| key.with_hash(hash)).collect())
}

fn identity(spec: IdentitySpec) -> Result<Identity, String> {
    let wanted = |name: &str, exact: Option<String>, matching: Option<String>| {
        let exact = exact.filter(|text| !text.is_empty());
        match (exact, matching.filter(|text| !text.is_empty())) {
            (None, None) => Ok(Wanted::Any),
            (Some(exact), None) => Ok(Wanted::Exactly(exact)),
            (None, Some(matching)) => Regex::new(&matching)
                .map(Wanted::Matching)
                .map_err(|error| format!("{name}RegExp {matching:?} is no regular expression: {error}")),
            (Some(_), Some(_)) => Err(format!("{name} and {name}RegExp exclude each other")),
        }
    };
    Ok(Identity {
        issuer: wanted("issuer", spec.issuer, spec.issuer_reg_exp)?,
        subject: wanted("subject", spec.subject, spec.subject_reg_exp)?,
    })
}

/// A predicate type, by its URI or by cosign's short name
/// ([cosign verify-attestation](https://github.com/sigstore/cosign/blob/main/doc/cosign_verify-attestation.md)).
fn predicate_type(written: String) -> Result<String, String> {
    Ok(match written.as_str() {
        "slsaprovenance" | "slsaprovenance02" => "https://slsa.dev/provenance/v0.2".into(),
        "slsaprovenance1" => "https://slsa.dev/provenance/v1".into(),
        "spdx" | "spdxjson" => "https://spdx.dev/Document".into(),
        "cyclonedx" => "https://cyclonedx.org/bom".into(),
        "link" => "https://in-toto.io/Link/v1".into(),
        "vuln" => "https://cosign.sigstore.dev/attestation/vuln/v1".into(),
        "openvex" => "https://openvex.dev/ns".into(),
        "custom" => "https://cosign.sigstore.dev/attestation/v1".into(),
        uri if uri.contains("://") => written,
        other => {
            return Err(format!(
                "attestations.predicateType {other:?} is neither a URI nor a known short name"
            ));
        }
    })
}
