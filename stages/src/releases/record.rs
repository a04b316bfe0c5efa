//! One record of a release, as Helm 3 and 4 store it: JSON, packed with gzip, in base64. A Secret's data is in base64
//! once more ([storage backends](https://helm.sh/docs/topics/advanced/#storage-backends)).

use std::cell::Cell;
use std::io::{BufReader, Cursor, Read};
use std::rc::Rc;

use base64::engine::general_purpose::STANDARD;
use base64::read::DecoderReader;
use flate2::read::MultiGzDecoder;
use provenance_engine::{Failure, FailureKind};
use provenance_model::release::{ObjectRef, ReleaseFacts};
use serde::Deserialize;

/// Bytes of an unpacked record. Helm can store about 1 MiB, which packs some ten times as much.
pub const RECORD_BYTES: u64 = 64 << 20;
/// Bytes of a manifest that is looked through for its objects.
const MANIFEST_BYTES: usize = 16 << 20;
/// Objects of one release.
const OBJECTS: usize = 10_000;
/// Addresses a chart names at the most.
const ADDRESSES: usize = 50;
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    info: Info,
    chart: Chart,
    #[serde(default)]
    manifest: String,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    status: String,
    #[serde(default)]
    description: String,
    last_deployed: Option<String>,
}

#[derive(Deserialize)]
struct Chart {
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
    app_version: Option<String>,
    kube_version: Option<String>,
    #[serde(default)]
    deprecated: bool,
    home: Option<String>,
    sources: Option<Vec<String>>,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// Reads a record. `text` is the base64 of the object's data, `in_secret` whether the object is a Secret; `told` names
/// it in errors.
///
/// # Errors
///
/// [`FailureKind::TooLarge`] past [`RECORD_BYTES`]; [`FailureKind::Malformed`] for what is torn or no record at all.
/// What the record holds is never quoted: values are secret.
pub fn read(text: &str, in_secret: bool, told: &str) -> Result<ReleaseFacts, Failure> {
    let once = DecoderReader::new(Cursor::new(text.as_bytes()), &STANDARD);
    let packed: Box<dyn Read + '_> =
        if in_secret { Box::new(DecoderReader::new(once, &STANDARD)) } else { Box::new(once) };
    let (head, packed) = peek(packed).map_err(|_| malformed(told, "it is no base64"))?;
    let plain: Box<dyn Read + '_> =
        if head == GZIP { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    let is_over = Rc::new(Cell::new(false));
    let capped = Capped { inner: plain, left: RECORD_BYTES, is_over: Rc::clone(&is_over) };
    let record: Record =
        serde_json::from_reader(BufReader::with_capacity(64 << 10, capped)).map_err(|error| {
            if is_over.get() {
                let why =
                    format!("{told}: the record has more than {RECORD_BYTES} bytes when it is unpacked");
                return Failure::new(FailureKind::TooLarge, why);
            }
            malformed(told, what_is_wrong(&error, head == GZIP))
        })?;
    if record.name.is_empty() || record.chart.metadata.name.is_empty() {
        return Err(malformed(told, "it names neither release nor chart"));
    }
    Ok(facts(record))
}

fn malformed(told: &str, why: &str) -> Failure {
    Failure::new(FailureKind::Malformed, format!("{told} holds no readable Helm record: {why}"))
}

fn what_is_wrong(error: &serde_json::Error, is_packed: bool) -> &'static str {
    match (error.classify(), is_packed) {
        (serde_json::error::Category::Io, true) => "its gzip is torn",
        (serde_json::error::Category::Io, false) => "its base64 is torn",
        (serde_json::error::Category::Eof, _) => "it ends too early",
        (serde_json::error::Category::Syntax, false) => "it is neither gzip nor JSON",
        (serde_json::error::Category::Syntax, true) => "what its gzip holds is no JSON",
        (serde_json::error::Category::Data, _) => "its JSON is no release",
    }
}

fn facts(record: Record) -> ReleaseFacts {
    let Metadata { name, version, app_version, kube_version, deprecated, home, sources, annotations } =
        record.chart.metadata;
    let annotations = annotations.unwrap_or_default().into_values();
    let addresses = home.into_iter().chain(sources.unwrap_or_default()).chain(annotations);
    let set = |text: String| Some(text).filter(|text| !text.is_empty());
    ReleaseFacts {
        objects: objects(&record.manifest, &record.namespace),
        namespace: record.namespace,
        chart: name,
        version,
        app_version: app_version.and_then(set),
        status: set(record.info.status),
        description: set(record.info.description),
        updated_at: record.info.last_deployed.and_then(set),
        deprecated,
        kube_version: kube_version.and_then(set),
        addresses: addresses
            .filter(|text| text.contains("://") && text.len() < 1000 && !text.contains(char::is_whitespace))
            .take(ADDRESSES)
            .collect(),
    }
}

/// The kinds that run nothing and make nothing that runs, by the size their documents can have.
const NO_WORKLOADS: [&str; 12] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CustomResourceDefinition",
    "Ingress",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// The objects in a release's manifest. A document that cannot be read names none.
fn objects(manifest: &str, namespace: &str) -> Vec<ObjectRef> {
    #[derive(Deserialize)]
    struct Object {
        #[serde(default)]
        kind: String,
        metadata: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
        namespace: Option<String>,
    }
    if manifest.len() > MANIFEST_BYTES {
        return Vec::new();
    }
    let is_wanted = |document: &&str| {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind:")).map(str::trim);
        kind.is_some_and(|kind| !NO_WORKLOADS.contains(&kind.trim_matches(['"', '\''])))
    };
    let documents = manifest.split("\n---").map(|document| document.trim_start_matches("---"));
    let objects = documents.filter(is_wanted).take(OBJECTS).filter_map(|document| {
        let object: Object = serde_saphyr::from_str(document).ok()?;
        let namespace = object.metadata.namespace.unwrap_or_else(|| namespace.to_owned());
        Some(ObjectRef { namespace, kind: object.kind, name: object.metadata.name })
    });
    let mut objects: Vec<_> = objects.filter(|object| !object.name.is_empty()).collect();
    objects.sort();
    objects.dedup();
    objects
}

/// The first bytes, and a reader that begins with them.
fn peek<'a>(mut reader: Box<dyn Read + 'a>) -> std::io::Result<([u8; 3], Box<dyn Read + 'a>)> {
    let mut head = [0; 3];
    let mut filled = 0;
    while filled < head.len() {
        match reader.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok((head, Box::new(Cursor::new(head[..filled].to_vec()).chain(reader))))
}

/// Ends with an error past a number of bytes.
struct Capped<R> {
    inner: R,
    left: u64,
    is_over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(into)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            self.is_over.set(true);
            std::io::Error::other("beyond the cap")
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::Engine as _;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn release() -> serde_json::Value {
        json!({
            "name": "web", "namespace": "shop", "version": 3,
            "info": {"status": "deployed", "description": "Upgrade complete", "last_deployed": "2026-01-02T03:04:05.6Z"},
            "chart": {"metadata": {"name": "nginx", "version": "1.2.3", "appVersion": "1.27", "deprecated": true,
                "kubeVersion": ">=1.21", "home": "https://example.org", "sources": ["oci://ghcr.io/acme/charts/nginx"]},
                "templates": [{"name": "x", "data": "eHh4"}], "values": {"password": "hunter2"}},
            "config": {"a": 1},
            "manifest": "---\n# Source: a\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n---\nkind: Secret\nmetadata: {name: s}\n---\nkind: StatefulSet\nmetadata:\n  name: db\n  namespace: data\n",
        })
    }

    fn in_config_map(bytes: &[u8]) -> Result<ReleaseFacts, Failure> {
        read(&STANDARD.encode(bytes), false, "ConfigMap shop/x")
    }

    #[test]
    fn a_record_is_read_from_a_secret_and_from_a_config_map_packed_or_not() {
        let json = release().to_string();
        let twice = STANDARD.encode(STANDARD.encode(packed(json.as_bytes())));
        let facts = read(&twice, true, "Secret shop/x").unwrap();
        assert_eq!(
            (facts.chart.as_str(), facts.version.as_str(), facts.deprecated),
            ("nginx", "1.2.3", true)
        );
        assert_eq!(facts.addresses, ["https://example.org", "oci://ghcr.io/acme/charts/nginx"]);
        let named: Vec<_> =
            facts.objects.iter().map(|o| format!("{} {}/{}", o.namespace, o.kind, o.name)).collect();
        assert_eq!(named, ["data StatefulSet/db", "shop Deployment/web"]);
        assert_eq!(in_config_map(&packed(json.as_bytes())).unwrap(), facts);
        assert_eq!(in_config_map(json.as_bytes()).unwrap(), facts, "Helm once wrote records without gzip");
    }

    #[test]
    fn a_bomb_is_refused_before_it_unfolds() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(br#"{"name":"web","info":{},"manifest":""#).unwrap();
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..80 {
            encoder.write_all(&zeros).unwrap();
        }
        let failure = in_config_map(&encoder.finish().unwrap()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::TooLarge);
        assert!(failure.message.contains("ConfigMap shop/x: the record has more than"), "{failure}");
    }

    #[test]
    fn what_is_torn_or_foreign_is_told_without_quoting_it() {
        let json = release().to_string();
        let whole = packed(json.as_bytes());
        for (bytes, why) in [
            (&whole[..whole.len() / 2], "torn"),
            (&json.as_bytes()[..json.len() / 2], "ends too early"),
            (br#"{"hello":"hunter2"}"#, "no release"),
            (b"hunter2 is no JSON", "neither gzip nor JSON"),
            (br#"{"name":"","info":{},"chart":{"metadata":{}}}"#, "names neither release nor chart"),
            (b"", "ends too early"),
        ] {
            let failure = in_config_map(bytes).unwrap_err();
            assert_eq!(failure.kind, FailureKind::Malformed);
            assert!(
                failure.message.contains(why) && !failure.message.contains("hunter2"),
                "{why}: {failure}"
            );
        }
        assert!(read("!!", true, "Secret shop/x").unwrap_err().message.contains("base64"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), in_secret in any::<bool>()) {
            drop(read(&STANDARD.encode(&bytes), in_secret, "x"));
            drop(read(&String::from_utf8_lossy(&bytes), in_secret, "x"));
            drop(in_config_map(&packed(&bytes)));
        }
    }
}
