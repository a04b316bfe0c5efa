//! What is fuzzed: every parser of bytes that come from others. `fuzz/` runs these under a sanitizer for as long as one
//! likes; the tests of this crate run the same on what was found before, and on what is made of it.
//!
//! A target panics where what it promises does not hold, and that is all it says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use provenance_currency::{Constraint, Rule, compare, compare_chart};
use provenance_model::report::{Report, comment, export, sarif};
use provenance_model::trust::Verdict;
use provenance_model::{Digest, Image, ImageReference, Running};
use provenance_stages::charts::index::Index;
use provenance_stages::credentials::DockerConfig;
use provenance_stages::discovery::pods::Pod;
use provenance_stages::discovery::read_manifests;
use provenance_stages::registry::{Manifest, foreign};
use provenance_stages::releases::record;
use provenance_trust::notation::Envelope;
use provenance_trust::policy::{Document, Found, documents};
use provenance_trust::statement::Statement;
use provenance_trust::{PublicKey, Root, Signed, judge, sbom, slsa};

/// A parser, and what holds of what it reads.
pub type Target = fn(&[u8]);

/// Every target, by the name of its seeds' folder.
pub const ALL: [(&str, Target); 11] = [
    ("attestations", attestations),
    ("charts", charts),
    ("docker_config", docker_config),
    ("helm_records", helm_records),
    ("image_reference", image_reference),
    ("kubernetes_manifests", kubernetes_manifests),
    ("registry_answers", registry_answers),
    ("reports", reports),
    ("signatures", signatures),
    ("tags", tags),
    ("trust_policies", trust_policies),
];

/// What is attached as a document: in-toto statements with SLSA provenance, and SBOMs of every format.
pub fn attestations(bytes: &[u8]) {
    if let Ok(statement) = Statement::parse(bytes) {
        drop(slsa::build(&statement));
        drop(sbom::of_predicate(&statement.predicate));
    }
    drop(sbom::read(bytes));
}

/// Indexes of chart repositories, and the versions of Kubernetes that charts are for.
///
/// # Panics
///
/// Never: the cluster's version is one.
pub fn charts(bytes: &[u8]) {
    if let Ok(index) = Index::read(bytes) {
        let cluster = "1.34.3".parse().expect("a version");
        for chart in index.charts.keys() {
            let versions = index.versions(chart).unwrap_or_default();
            drop(compare_chart("1.0.0", &versions, Some(&cluster), true));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(Constraint::parse(text));
    }
}

/// Docker configurations, in both forms, against an image.
///
/// # Panics
///
/// Never: the image's name is one.
pub fn docker_config(bytes: &[u8]) {
    let reference: ImageReference =
        "registry.example:5000/team/app:1".parse().expect("a fixed name is valid");
    for config in [DockerConfig::parse(bytes), DockerConfig::parse_dockercfg(bytes)].into_iter().flatten() {
        config.matching(&reference.registry, &reference.repository).for_each(drop);
    }
}

/// Helm's records of releases: base64, gzip, JSON.
pub fn helm_records(bytes: &[u8]) {
    drop(record::read(&STANDARD.encode(bytes), false, "ConfigMap a/b"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(record::read(text, true, "Secret a/b"));
    }
}

/// Image names and image ids: what parses prints back to itself.
///
/// # Panics
///
/// Where it does not.
pub fn image_reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = Image::parse(text).reference {
        let again: ImageReference = reference.to_string().parse().expect("a reference prints as one");
        assert_eq!(again, reference);
    }
    drop(Running::from_image_id(text));
}

/// Kubernetes YAML and JSON, and pods as the API answers them.
pub fn kubernetes_manifests(bytes: &[u8]) {
    drop(serde_json::from_slice::<Pod>(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        drop(read_manifests("fuzz", text));
    }
}

/// What a registry answers: manifests, indexes, lists of tags and referrers, tokens, and every header that is read.
///
/// # Panics
///
/// Where a manifest's digest is not that of its bytes, or a link leads to another host.
pub fn registry_answers(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::parse(&Bytes::copy_from_slice(bytes), None, None) {
        assert!(manifest.bytes() == bytes.len());
        drop((manifest.children(), manifest.config_digest(), manifest.created_at()));
    }
    foreign::read(bytes);
}

/// Reports, as an upload or another hand brings them: what parses can be shown in every form.
///
/// # Panics
///
/// Where what parses does not survive being written.
pub fn reports(bytes: &[u8]) {
    let Ok(report) = serde_json::from_slice::<Report>(bytes) else { return };
    let written = serde_json::to_vec(&report).expect("a report is JSON");
    let again: Report = serde_json::from_slice(&written).expect("a report that was written is a report");
    assert_eq!(serde_json::to_vec(&again).expect("a report is JSON"), written);
    drop((export::csv(&report), export::markdown(&report), comment::markdown(&report)));
    drop(sarif::log(&report, "0", &|_| Vec::new()));
}

static ROOTS: LazyLock<Vec<Root>> = LazyLock::new(Root::embedded);
static TARGET: LazyLock<Digest> =
    LazyLock::new(|| format!("sha256:{}", "5f".repeat(32)).parse().expect("a digest"));

/// What is attached as a signature: bundles, envelopes, payloads with annotations, Notation's envelopes. Whatever can be read
/// is judged too; nothing made up is ever verified. What follows a zero byte is the value of an annotation, and so on.
///
/// # Panics
///
/// Where something is verified, or has a signer.
pub fn signatures(bytes: &[u8]) {
    let names = [
        "dev.cosignproject.cosign/signature",
        "dev.sigstore.cosign/certificate",
        "dev.sigstore.cosign/chain",
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/rfc3161timestamp",
    ];
    let mut parts = bytes.split(|byte| *byte == 0);
    let whole = Bytes::copy_from_slice(bytes);
    let payload = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    let values = parts.map(|value| String::from_utf8_lossy(value).into_owned());
    let annotations: BTreeMap<String, String> = names.map(str::to_owned).into_iter().zip(values).collect();
    let read = [
        Signed::bundle(&whole),
        Signed::dsse(&payload, &annotations),
        Signed::simple_signing(&payload, &annotations),
    ];
    let roots: Vec<_> = ROOTS.iter().collect();
    for signed in read.into_iter().flatten() {
        let judged = judge(&signed, &TARGET, &[], &roots);
        assert!(judged.checked.verdict <= Verdict::NotChecked);
        assert!(judged.checked.signer.is_none());
    }
    for media_type in ["application/jose+json", "application/cose"] {
        if let Ok(envelope) = Envelope::read(&whole, media_type) {
            assert!(envelope.check(&TARGET, None).signer.is_none());
        }
    }
}

/// Lists of tags, compared: the first line runs.
///
/// # Panics
///
/// Where what is newest is not of the list, or is what runs.
pub fn tags(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let Some(running) = lines.next() else { return };
    let tags: Vec<&str> = lines.collect();
    let told = compare(running, tags.iter().copied(), &Rule { skip_pre_releases: true, ..Rule::default() });
    assert!(told.newest.as_deref().is_none_or(|newest| tags.contains(&newest) && newest != running));
    assert!(told.compared <= told.listed);
}

/// `ClusterImagePolicy` and `TrustRoot` documents, as files and clusters hold them, and keys in PEM.
pub fn trust_policies(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for document in documents(text).into_iter().flatten() {
        if let Document::Policy(policy) = document {
            drop(policy.resolve(&Found::default()));
        }
    }
    drop(PublicKey::all_from_pem("key", text));
}
