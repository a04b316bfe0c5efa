//! Real provenance of the SLSA GitHub generator, keyless, in cosign 2's form: it verifies offline, and each way of
//! tampering with it is refused for its own reason.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use provenance_model::Digest;
use provenance_model::trust::{Checked, RefusalKind, Verdict};
use provenance_trust::{Root, Signed, judge, slsa};
use serde_json::{Value, json};

const IDENTITY: &str = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/";
const ISSUER: &str = "https://token.actions.githubusercontent.com";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";

struct Sample {
    image: Digest,
    envelope: Vec<u8>,
    annotations: BTreeMap<String, String>,
}

impl Sample {
    fn read(version: &str) -> Self {
        let folder =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/slsa-container").join(version);
        let json =
            |path: PathBuf| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
        let blob = |digest: &str| folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        let index = json(folder.join("index.json"));
        let digest = |at: usize| index["manifests"][at]["digest"].as_str().unwrap().to_owned();
        let layer = json(blob(&digest(1)))["layers"][0].clone();
        Self {
            image: digest(0).parse().unwrap(),
            envelope: std::fs::read(blob(layer["digest"].as_str().unwrap())).unwrap(),
            annotations: serde_json::from_value(layer["annotations"].clone()).unwrap(),
        }
    }

    fn check(&self) -> Checked {
        let signed = match Signed::dsse(&Bytes::from(self.envelope.clone()), &self.annotations) {
            Ok(signed) => signed,
            Err(refusal) => return Checked::invalid(refusal),
        };
        let roots = Root::embedded();
        judge(&signed, &self.image, &[], &roots.iter().collect::<Vec<_>>()).checked
    }

    fn change_log_entry(&mut self, change: impl FnOnce(&mut Value)) {
        let mut entry: Value = serde_json::from_str(&self.annotations[LOG_ENTRY]).unwrap();
        change(&mut entry);
        self.annotations.insert(LOG_ENTRY.into(), entry.to_string());
    }

    fn change_envelope(&mut self, change: impl FnOnce(&mut Value)) {
        let mut envelope: Value = serde_json::from_slice(&self.envelope).unwrap();
        change(&mut envelope);
        self.envelope = envelope.to_string().into_bytes();
    }
}

fn flip(base64: &mut Value, at: usize) {
    let mut bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    bytes[at] ^= 1;
    *base64 = json!(STANDARD.encode(bytes));
}

#[test]
fn both_generations_of_the_generators_provenance_verify_offline() {
    for (version, commit) in [
        ("v1.4.0", "904e2c3e02725e314cf6cf141c4700081298dcbd"),
        ("v2.1.0", "4d329c75e7ec1725f7c9ce917a8799d408d06be3"),
    ] {
        let sample = Sample::read(version);
        let checked = sample.check();
        assert_eq!(checked.verdict, Verdict::Valid, "{version}: {:?}", checked.reason);
        let signer = checked.signer.unwrap();
        assert_eq!(signer.identity.unwrap(), format!("{IDENTITY}{version}"));
        assert_eq!(signer.issuer.as_deref(), Some(ISSUER));
        assert!(signer.log_checked && signer.certificate_timestamp_checked);
        assert_eq!(signer.source_commit.as_deref(), Some(commit));
        let read = Signed::dsse(&Bytes::from(sample.envelope), &sample.annotations).unwrap();
        let build = slsa::build(&read.statement.unwrap()).unwrap();
        assert_eq!(build.builder.unwrap(), format!("{IDENTITY}{version}"));
        assert_eq!(
            build.source_repository.as_deref(),
            Some("https://github.com/slsa-framework/example-package")
        );
        assert_eq!(build.source_commit.as_deref(), Some(commit));
        assert_eq!(build.source_ref.as_deref(), Some("refs/heads/main"));
        assert_eq!(
            build.entry_point.as_deref(),
            Some(".github/workflows/verifier-e2e.all.workflow_dispatch.main.all.slsa3.yml")
        );
    }
}

#[test]
fn every_way_of_tampering_is_refused_for_its_own_reason() {
    type Change = fn(&mut Sample);
    let other_certificate: Change = |sample| {
        let other = if sample.image.as_str().contains("a74d89d8") { "v2.1.0" } else { "v1.4.0" };
        let other = Sample::read(other).annotations[CERTIFICATE].clone();
        sample.annotations.insert(CERTIFICATE.into(), other);
    };
    let cases: [(&str, Change, &[RefusalKind]); 9] = [
        ("payload", |s| s.change_envelope(|e| flip(&mut e["payload"], 900)), &[RefusalKind::Signature]),
        (
            "signature",
            |s| s.change_envelope(|e| flip(&mut e["signatures"][0]["sig"], 40)),
            &[RefusalKind::Signature],
        ),
        ("certificate", other_certificate, &[RefusalKind::Signature]),
        (
            "certificate's bytes",
            |s| {
                let der = s.annotations[CERTIFICATE].clone();
                let body: String = der.lines().filter(|line| !line.contains("CERTIFICATE")).collect();
                let mut bytes = STANDARD.decode(body).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                let pem = format!(
                    "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                    STANDARD.encode(bytes)
                );
                s.annotations.insert(CERTIFICATE.into(), pem);
            },
            &[RefusalKind::Certificate],
        ),
        (
            "signed entry timestamp",
            |s| s.change_log_entry(|e| flip(&mut e["SignedEntryTimestamp"], 40)),
            &[RefusalKind::EntryTimestamp],
        ),
        (
            "time of the entry",
            |s| s.change_log_entry(|e| e["Payload"]["integratedTime"] = json!(1_700_000_000)),
            &[RefusalKind::EntryTimestamp],
        ),
        (
            "log",
            |s| s.change_log_entry(|e| e["Payload"]["logID"] = json!("00".repeat(32))),
            &[RefusalKind::Log],
        ),
        (
            "entry of another attestation",
            |s| {
                let other = if s.image.as_str().contains("a74d89d8") { "v2.1.0" } else { "v1.4.0" };
                let other = Sample::read(other).annotations[LOG_ENTRY].clone();
                s.annotations.insert(LOG_ENTRY.into(), other);
            },
            &[RefusalKind::Expired],
        ),
        (
            "image",
            |s| s.image = format!("sha256:{}", "5f".repeat(32)).parse().unwrap(),
            &[RefusalKind::Subject],
        ),
    ];
    for version in ["v1.4.0", "v2.1.0"] {
        for (what, change, reasons) in &cases {
            let mut sample = Sample::read(version);
            change(&mut sample);
            let checked = sample.check();
            assert_eq!(checked.verdict, Verdict::Invalid, "{version}, {what}");
            assert!(checked.signer.is_none(), "{version}, {what}: an identity that was not verified");
            let reason = checked.reason.unwrap();
            assert!(reasons.contains(&reason.kind), "{version}, {what}: {reason:?}");
        }
    }
}

#[test]
fn without_its_log_entry_nothing_says_when_it_was_signed() {
    for version in ["v1.4.0", "v2.1.0"] {
        let mut sample = Sample::read(version);
        sample.annotations.remove(LOG_ENTRY);
        let reason = sample.check().reason.unwrap();
        assert_eq!(reason.kind, RefusalKind::Log, "{reason:?}");
    }
}
