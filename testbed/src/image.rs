//! Images to fill a registry with: real manifests over small made-up content.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `sha256:` and the hex digits of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// An image: its manifests, the last of which is the one to tag, and its blobs.
#[derive(Debug, Clone)]
pub struct BuiltImage {
    /// Manifests by media type; children before the index that names them.
    pub manifests: Vec<(String, Bytes)>,
    /// Blobs.
    pub blobs: Vec<Bytes>,
}

impl BuiltImage {
    /// An image for one platform. The seed makes it differ from others.
    pub fn single(seed: &str) -> Self {
        let (manifest, blobs) = platform_manifest(seed, "linux", "amd64");
        Self { manifests: vec![(MANIFEST.into(), manifest)], blobs }
    }

    /// An index over platforms, written `os/architecture`.
    pub fn multi(seed: &str, platforms: &[&str]) -> Self {
        let mut manifests = Vec::new();
        let mut blobs = Vec::new();
        let mut entries = Vec::new();
        for platform in platforms {
            let (os, architecture) = platform.split_once('/').unwrap_or(("linux", platform));
            let (manifest, own) = platform_manifest(&format!("{seed} {platform}"), os, architecture);
            let mut entry = descriptor(MANIFEST, &manifest);
            entry["platform"] = json!({"os": os, "architecture": architecture});
            entries.push(entry);
            manifests.push((MANIFEST.to_owned(), manifest));
            blobs.extend(own);
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        manifests.push((INDEX.into(), index.to_string().into()));
        Self { manifests, blobs }
    }

    /// The digest of the manifest to tag.
    pub fn digest(&self) -> String {
        self.manifests.last().map(|(_, bytes)| digest(bytes)).unwrap_or_default()
    }

    /// The digests of an index's manifests, in its order.
    pub fn children(&self) -> Vec<String> {
        let count = self.manifests.len().saturating_sub(1);
        self.manifests[..count].iter().map(|(_, bytes)| digest(bytes)).collect()
    }

    /// The image ids of its manifests: the digests of their configurations.
    pub fn image_ids(&self) -> Vec<String> {
        self.manifests
            .iter()
            .filter_map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).ok())
            .filter_map(|manifest| manifest["config"]["digest"].as_str().map(str::to_owned))
            .collect()
    }
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn platform_manifest(seed: &str, os: &str, architecture: &str) -> (Bytes, Vec<Bytes>) {
    let layer = Bytes::from(format!("layer of {seed}"));
    let config = Bytes::from(
        json!({
            "created": "2026-03-02T09:30:00Z",
            "os": os,
            "architecture": architecture,
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
            "config": {"Labels": {"seed": seed}},
        })
        .to_string(),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    (Bytes::from(manifest.to_string()), vec![config, layer])
}
