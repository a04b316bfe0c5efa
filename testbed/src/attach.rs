//! What is attached to images, made as the tools make it: cosign's signatures and attestations, `BuildKit`'s
//! attestations, SBOMs as referrers. Signed with a key whose signatures are the same in every run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::image::{BuiltImage, INDEX, MANIFEST, descriptor, digest};

/// The configuration of what is no image.
const EMPTY: &[u8] = b"{}";
/// The media type of an empty configuration.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// An Ed25519 key's `SubjectPublicKeyInfo`, up to the key itself (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A signing key.
#[derive(Debug)]
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this number; always the same.
    ///
    /// # Panics
    ///
    /// Never: every seed makes a key.
    pub fn number(number: u8) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("every seed makes a key"))
    }

    /// The public key in PEM.
    pub fn public_pem(&self) -> String {
        let der = [SPKI.as_slice(), self.0.public_key().as_ref()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes).as_ref())
    }

    /// cosign's signature of a manifest, to be pushed under its tag `.sig`.
    pub fn signature(&self, of: &str) -> BuiltImage {
        let (payload, signature) = simple_signing(of, |payload| self.0.sign(payload).as_ref().to_vec());
        let signature = STANDARD.encode(signature);
        simple_signing_manifest(payload, json!({"dev.cosignproject.cosign/signature": signature}))
    }

    /// cosign's attestation of a manifest, to be pushed under its tag `.att`.
    pub fn attestation(&self, of: &str, predicate_type: &str, predicate: &Value) -> BuiltImage {
        let kind = "application/vnd.in-toto+json";
        let payload = statement(of, predicate_type, predicate);
        // DSSE v1, pre-authentication encoding.
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let signature = self.sign(signed.as_bytes());
        let envelope = json!({
            "payloadType": kind, "payload": STANDARD.encode(&payload),
            "signatures": [{"keyid": "", "sig": signature}],
        });
        let annotations = json!({"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type});
        let media_type = "application/vnd.dsse.envelope.v1+json";
        artifact(None, None, &[(media_type, Bytes::from(envelope.to_string()), annotations)])
    }
}

/// cosign's payload about a manifest, and a signature over it.
pub fn simple_signing(of: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> (Bytes, Vec<u8>) {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": ""},
            "image": {"docker-manifest-digest": of},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = Bytes::from(payload.to_string());
    let signature = sign(&payload);
    (payload, signature)
}

/// The manifest of a signature of cosign's: its payload, and all else in annotations.
pub fn simple_signing_manifest(payload: Bytes, annotations: Value) -> BuiltImage {
    artifact(None, None, &[("application/vnd.dev.cosign.simplesigning.v1+json", payload, annotations)])
}

/// An in-toto statement about a manifest.
pub fn statement(of: &str, predicate_type: &str, predicate: &Value) -> String {
    let hex = of.rsplit(':').next().unwrap_or_default();
    json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "predicateType": predicate_type,
        "subject": [{"name": "image", "digest": {"sha256": hex}}],
        "predicate": predicate,
    })
    .to_string()
}

/// The tag under which cosign keeps something of a manifest: `.sig`, `.att`, `.sbom`; without suffix the
/// referrers tag.
pub fn tag(of: &str, suffix: &str) -> String {
    format!("{}{suffix}", of.replace(':', "-"))
}

/// A manifest of this artifact type with one layer, attached to a manifest by its `subject`.
pub fn referrer(of: &str, artifact_type: &str, layer_type: &str, content: &str) -> BuiltImage {
    let layer = (layer_type, Bytes::from(content.to_owned()), json!({}));
    artifact(Some(of), Some(artifact_type), &[layer])
}

/// A document as it is, to be pushed under cosign's tag `.sbom`.
pub fn document(media_type: &str, content: &str) -> BuiltImage {
    artifact(None, None, &[(media_type, Bytes::from(content.to_owned()), json!({}))])
}

/// The index that stands under the referrers tag of a registry without the API.
pub fn referrers_index(referrers: &[&BuiltImage]) -> BuiltImage {
    let entries: Vec<_> = referrers
        .iter()
        .filter_map(|referrer| referrer.manifests.last())
        .map(|(media_type, bytes)| {
            let manifest: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let mut entry = descriptor(media_type, bytes);
            entry["artifactType"] = manifest["artifactType"].clone();
            entry
        })
        .collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    BuiltImage { manifests: vec![(INDEX.into(), index.to_string().into())], blobs: Vec::new() }
}

/// An index as `BuildKit` makes it: beside each platform's manifest one with statements about it.
pub fn attested_by_buildkit(
    seed: &str,
    platforms: &[&str],
    statements: impl Fn(&str) -> Vec<(&'static str, Value)>,
) -> BuiltImage {
    let plain = BuiltImage::multi(seed, platforms);
    let (index, children) = plain.manifests.split_last().expect("an index has a manifest of its own");
    let mut index: Value = serde_json::from_slice(&index.1).unwrap_or_default();
    let mut built = BuiltImage { manifests: children.to_vec(), blobs: plain.blobs.clone() };
    for child in plain.children() {
        let layers: Vec<_> = statements(&child)
            .into_iter()
            .map(|(kind, predicate)| {
                let content = Bytes::from(statement(&child, kind, &predicate));
                ("application/vnd.in-toto+json", content, json!({"in-toto.io/predicate-type": kind}))
            })
            .collect();
        let attestation = artifact(None, None, &layers);
        let (media_type, bytes) = &attestation.manifests[0];
        let mut entry = descriptor(media_type, bytes);
        entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
        entry["annotations"] = json!({
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child,
        });
        if let Some(manifests) = index["manifests"].as_array_mut() {
            manifests.push(entry);
        }
        built.manifests.extend(attestation.manifests.clone());
        built.blobs.extend(attestation.blobs);
    }
    built.manifests.push((INDEX.into(), index.to_string().into()));
    built
}

fn artifact<'a>(
    subject: Option<&str>,
    artifact_type: Option<&str>,
    layers: &[(&'a str, Bytes, Value)],
) -> BuiltImage {
    let entry = |(media_type, content, annotations): &(&'a str, Bytes, Value)| {
        let mut entry = descriptor(media_type, content);
        entry["annotations"] = annotations.clone();
        entry
    };
    let config = Bytes::from_static(EMPTY);
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(EMPTY_TYPE, &config),
        "layers": layers.iter().map(entry).collect::<Vec<_>>(),
    });
    if let Some(kind) = artifact_type {
        manifest["artifactType"] = json!(kind);
    }
    if let Some(of) = subject {
        manifest["subject"] = json!({"mediaType": MANIFEST, "digest": of, "size": 0});
    }
    let blobs = layers.iter().map(|(_, content, _)| content.clone()).chain([config]).collect();
    BuiltImage { manifests: vec![(MANIFEST.into(), manifest.to_string().into())], blobs }
}

/// A small SPDX document.
pub fn spdx(name: &str) -> Value {
    json!({
        "spdxVersion": "SPDX-2.3", "name": name, "SPDXID": "SPDXRef-DOCUMENT",
        "creationInfo": {"created": "2026-01-02T03:04:05Z", "creators": ["Tool: syft-1.20.0"]},
        "packages": [{"name": "musl", "licenseConcluded": "MIT"}, {"name": "zlib", "licenseConcluded": "Zlib"}],
    })
}

/// SLSA provenance v1 of a build.
pub fn slsa(repository: &str, commit: &str) -> Value {
    json!({
        "buildDefinition": {
            "buildType": "https://actions.github.io/buildtypes/workflow/v1",
            "externalParameters": {"workflow": {
                "ref": "refs/heads/main", "repository": repository, "path": ".github/workflows/release.yml",
            }},
            "resolvedDependencies": [{"uri": format!("git+{repository}@refs/heads/main"), "digest": {"gitCommit": commit}}],
        },
        "runDetails": {
            "builder": {"id": "https://github.com/actions/runner/github-hosted"},
            "metadata": {"invocationId": format!("{repository}/actions/runs/1/attempts/1")},
        },
    })
}

/// The digest of the one blob of something attached.
pub fn blob_digest(attached: &BuiltImage) -> String {
    attached.blobs.first().map(|bytes| digest(bytes)).unwrap_or_default()
}

/// The digest of the manifest of something attached.
pub fn manifest_digest(attached: &BuiltImage) -> String {
    attached.manifests.last().map(|(_, bytes)| digest(bytes)).unwrap_or_default()
}
