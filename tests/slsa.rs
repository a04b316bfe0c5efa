//! Real provenance through the whole pipeline, as `scan` runs it, without a network: everything but loopback is sent
//! to a proxy that is not there.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::process::Command;

use provenance_model::report::Report;
use provenance_model::trust::{Form, Place, Verdict};
use provenance_testbed::{BuiltImage, Registry, attach};
use serde_json::Value;

/// The layouts as `cosign save` wrote them, in a registry: the image under `v1`, and what attests it. Answers its digest.
fn load(registry: &Registry, version: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/slsa-container").join(version);
    let read = |digest: &str| -> bytes::Bytes {
        std::fs::read(folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap()))
            .unwrap()
            .into()
    };
    let index: Value = serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
    let entry = |at: usize| {
        let text = |name: &str| index["manifests"][at][name].as_str().unwrap().to_owned();
        (text("mediaType"), text("digest"))
    };
    let (media_type, digest) = entry(0);
    let manifest: Value = serde_json::from_slice(&read(&digest)).unwrap();
    let mut image = BuiltImage { manifests: Vec::new(), blobs: Vec::new() };
    for child in manifest["manifests"].as_array().into_iter().flatten() {
        let bytes = read(child["digest"].as_str().unwrap());
        let child: Value = serde_json::from_slice(&bytes).unwrap();
        // Layers of images are not part of the test's data; those of attestations are.
        for layer in child["layers"].as_array().unwrap() {
            if layer["mediaType"] == "application/vnd.in-toto+json" {
                image.blobs.push(read(layer["digest"].as_str().unwrap()));
            }
        }
        image.manifests.push((child["mediaType"].as_str().unwrap().into(), bytes));
    }
    image.manifests.push((media_type, read(&digest)));
    registry.push("slsa/example", version, &image);
    let (media_type, attestation) = entry(1);
    let bytes = read(&attestation);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let blobs =
        manifest["layers"].as_array().unwrap().iter().map(|layer| read(layer["digest"].as_str().unwrap()));
    let attached = BuiltImage { blobs: blobs.collect(), manifests: vec![(media_type, bytes)] };
    registry.attach("slsa/example", Some(&attach::tag(&digest, ".att")), &attached);
    digest
}

fn scan(image: &str, arguments: &[&str]) -> Report {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    command.args(["scan", image, "--format", "json"]).args(arguments).env_clear().env("HOME", "/nonexistent");
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(proxy, "http://127.0.0.1:9");
    }
    command.env("NO_PROXY", "127.0.0.1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_generations_of_slsa_provenance_verify_without_a_network() {
    let registry = Registry::start().await.unwrap();
    for (version, commit) in [
        ("v1.4.0", "904e2c3e02725e314cf6cf141c4700081298dcbd"),
        ("v2.1.0", "4d329c75e7ec1725f7c9ce917a8799d408d06be3"),
    ] {
        let digest = load(&registry, version);
        let image = format!("{}/slsa/example:{version}", registry.host());
        let report = scan(&image, &[]);
        let row = &report.images[0];
        // Keys that sign other images say nothing of one that was signed without a key.
        let with_key = scan(&image, &["--cosign-public-key", &attach::SigningKey::number(1).public_pem()]);
        assert_eq!(with_key.images[0].provenance, row.provenance);
        let told = format!("{version}: {row:#?}");
        let provenance = row.provenance.as_ref().unwrap_or_else(|| panic!("{told}"));
        assert_eq!(provenance.predicate_type.as_deref(), Some("https://slsa.dev/provenance/v0.2"), "{told}");
        let builder = format!(
            "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/{version}"
        );
        let checked = provenance.checked.as_ref().unwrap();
        assert_eq!(checked.verdict, Verdict::Valid, "{told}");
        let signer = checked.signer.as_ref().unwrap();
        assert_eq!(signer.identity.as_ref(), Some(&builder));
        assert_eq!(signer.issuer.as_deref(), Some("https://token.actions.githubusercontent.com"));
        assert!(signer.log_checked && signer.certificate_timestamp_checked);
        let build = provenance.build.as_ref().unwrap();
        assert_eq!(build.builder.as_ref(), Some(&builder));
        assert_eq!(
            build.source_repository.as_deref(),
            Some("https://github.com/slsa-framework/example-package")
        );
        assert_eq!(build.source_commit.as_deref(), Some(commit));
        let best = &row.attestations.as_ref().unwrap()[0].attached;
        assert_eq!(
            (best.place, best.form, best.subject.as_str()),
            (Place::AttestationTag, Form::Dsse, digest.as_str())
        );
        assert!(
            !row.signature.as_ref().unwrap().signed,
            "an attestation is no signature of the image: {told}"
        );
    }
}
