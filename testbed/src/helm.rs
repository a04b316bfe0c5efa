//! Helm's records of releases, as Helm 3 and 4 write them, and OCI charts as `helm push` does.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::image::{BuiltImage, MANIFEST, descriptor};

/// A record of a release: `release` is the JSON that Helm keeps.
pub fn release(
    namespace: &str,
    name: &str,
    revision: u64,
    status: &str,
    chart: &Value,
    manifest: &str,
) -> Value {
    json!({
        "name": name,
        "namespace": namespace,
        "version": revision,
        "info": {
            "status": status,
            "description": "Upgrade complete",
            "first_deployed": "2026-01-01T00:00:00Z",
            "last_deployed": "2026-01-02T03:04:05.678901234Z",
        },
        "chart": {"metadata": chart, "templates": [], "values": {"password": "secret"}},
        "config": {},
        "manifest": manifest,
    })
}

/// The object that holds a record, in a `Secret` or a `ConfigMap`. Its labels are of the record.
pub fn stored(kind: &str, release: &Value) -> Value {
    packed(kind, release, &gzip(release.to_string().as_bytes()))
}

/// The same with these bytes instead of the record.
pub fn packed(kind: &str, release: &Value, bytes: &[u8]) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, namespace, revision) =
        (text(&release["name"]), text(&release["namespace"]), release["version"].to_string());
    let once = STANDARD.encode(bytes);
    let data = if kind == "Secret" { STANDARD.encode(once) } else { once };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": format!("sh.helm.release.v1.{name}.v{revision}"),
            "namespace": namespace,
            "labels": {"owner": "helm", "name": name, "version": revision, "status": release["info"]["status"]},
        },
        "data": {"release": data},
    });
    if kind == "Secret" {
        object["type"] = "helm.sh/release.v1".into();
    }
    object
}

/// Bytes, packed.
///
/// # Panics
///
/// Never: writing to memory does not fail.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// A chart in an OCI registry: its `Chart.yaml` is the configuration.
pub fn chart(metadata: &Value) -> BuiltImage {
    let config = Bytes::from(metadata.to_string());
    let content = Bytes::from(format!("content of {metadata}"));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.cncf.helm.config.v1+json", &config),
        "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &content)],
    });
    BuiltImage {
        manifests: vec![(MANIFEST.to_owned(), manifest.to_string().into())],
        blobs: vec![config, content],
    }
}
