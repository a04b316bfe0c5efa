//! The cache is an OCI layout: another tool reads from it what was fetched, by the names of images.

use std::process::Command;

use provenance_e2e::process::run;
use provenance_e2e::{collector, tool};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

#[test]
fn skopeo_reads_every_manifest_of_the_cache_by_its_image_name() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let mut demo = Command::new(collector());
    demo.arg("demo").arg("--cache").arg(&cache).arg("--report-path").arg(folder.path().join("reports"));
    run(demo);
    let index: Value = serde_json::from_slice(&std::fs::read(cache.join("index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert!(manifests.len() > 10, "{index}");
    for manifest in manifests {
        let name = manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
        let mut skopeo = Command::new(tool("skopeo"));
        skopeo.args(["inspect", "--raw"]).arg(format!("oci:{}:{name}", cache.display()));
        let output = skopeo.output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&output.stdout)));
        assert_eq!(manifest["digest"], digest, "{name}");
    }
}
