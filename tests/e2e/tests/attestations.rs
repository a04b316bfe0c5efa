//! Attestations and SBOMs of both generations of cosign, in a registry with the referrers API and in one without.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use provenance_e2e::process::run;
use provenance_e2e::registry::push;
use provenance_e2e::scan::scan_one;
use provenance_e2e::sigstore::{cosign, key_pair};
use provenance_e2e::{Kind, RealRegistry, Sigstore};
use provenance_model::report::ImageRecord;
use provenance_model::trust::{Form, Place, RefusalKind, SbomFormat, Verdict};
use provenance_testbed::attach::{slsa, spdx};
use serde_json::{Value, json};

const ANN: &str = "ann@acme.example";
const REPOSITORY: &str = "https://github.com/acme/web";
const COMMIT: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// Who attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Cosign2Key,
    Cosign3Key,
    Cosign3Keyless,
}

struct World {
    folder: tempfile::TempDir,
    sigstore: Sigstore,
    key: PathBuf,
}

impl World {
    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path
    }

    fn attest(&self, by: By, image: &str, kind: &str, predicate: &Path) {
        let mut command = match by {
            By::Cosign2Key => {
                let mut command = cosign(2);
                command.args(["attest", "--yes", "--tlog-upload=false", "--key"]);
                command.arg(self.key.with_extension("key"));
                command
            }
            By::Cosign3Key => {
                let mut command = cosign(3);
                command.args(["attest", "--yes", "--key"]).arg(self.key.with_extension("key"));
                command.arg("--signing-config").arg(self.sigstore.signing_config());
                command
            }
            By::Cosign3Keyless => self.sigstore.keyless("attest", ANN),
        };
        command.args(["--type", kind, "--predicate"]).arg(predicate).arg(image);
        run(command);
    }

    fn arguments(&self, by: By) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        if by != By::Cosign3Keyless {
            return vec!["--cosign-public-key".into(), path(&self.key.with_extension("pub"))];
        }
        // An authority that wants an attestation of one type; the identity counts for all.
        let policy = self.folder.path().join("policy.yaml");
        let text = format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: acme}}\nspec:\n  \
             images: [{{glob: '**'}}]\n  authorities:\n  - keyless:\n      insecureIgnoreSCT: true\n      \
             identities: [{{subject: {ANN}, issuer: '{}'}}]\n    ctlog: {{}}\n    \
             attestations: [{{name: built, predicateType: slsaprovenance1}}]\n",
            self.sigstore.issuer.url()
        );
        std::fs::write(&policy, text).unwrap();
        vec![
            "--trusted-root".into(),
            path(&self.sigstore.trusted_root()),
            "--trust-policies".into(),
            path(&policy),
        ]
    }
}

fn check(row: &ImageRecord, by: By, kind: Kind) {
    let told = format!("{by:?} in {kind:?}: {:#?}\n{:#?}\n{:#?}", row.provenance, row.attestations, row.sbom);
    let place = match (by, kind) {
        (By::Cosign2Key, _) => Place::AttestationTag,
        (_, Kind::GoContainerRegistry) => Place::Referrers,
        (_, Kind::Distribution) => Place::ReferrersTag,
    };
    let provenance = row.provenance.clone().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(provenance.predicate_type.as_deref(), Some("https://slsa.dev/provenance/v1"), "{told}");
    let checked = provenance.checked.unwrap();
    assert_eq!(checked.verdict, Verdict::Verified, "{told}");
    let signer = checked.signer.unwrap();
    match by {
        By::Cosign3Keyless => assert_eq!(signer.identity.as_deref(), Some(ANN)),
        _ => assert!(signer.key.is_some_and(|key| key.contains("attests.pub (sha256:"))),
    }
    let build = provenance.build.unwrap();
    assert_eq!(build.source_repository.as_deref(), Some(REPOSITORY), "{told}");
    assert_eq!(build.source_commit.as_deref(), Some(COMMIT), "{told}");
    assert_eq!(build.builder.as_deref(), Some("https://github.com/actions/runner/github-hosted"));
    let attestations = row.attestations.clone().unwrap();
    let types: Vec<_> = attestations.iter().map(|one| one.predicate_type.clone().unwrap()).collect();
    assert_eq!(
        types,
        ["https://slsa.dev/provenance/v1", "https://cosign.sigstore.dev/attestation/vuln/v1"],
        "{told}"
    );
    let form = if by == By::Cosign2Key { Form::Dsse } else { Form::SigstoreBundle };
    assert!(
        attestations.iter().all(|one| (one.attached.place, one.attached.form) == (place, form)),
        "{told}"
    );
    let sbom = row.sbom.clone().unwrap();
    assert_eq!(sbom.format.as_deref(), Some("spdx"), "{told}");
    let document = &sbom.documents.as_ref().unwrap()[0];
    assert!(document.signed && document.read, "{told}");
    assert_eq!((document.facts.format, document.facts.packages), (Some(SbomFormat::Spdx), Some(2)), "{told}");
    assert_eq!(document.facts.version.as_deref(), Some("2.3"), "{told}");
    if by != By::Cosign3Keyless {
        assert_eq!(document.checked.verdict, Verdict::Verified, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn provenance_scans_and_sboms_are_found_and_verified_whoever_attests_and_wherever() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_pair(folder.path(), "attests", "p256");
    let other = key_pair(folder.path(), "other", "p256").with_extension("pub");
    let world = World { folder, sigstore: Sigstore::start().await, key };
    let provenance = world.file("slsa.json", &slsa(REPOSITORY, COMMIT));
    let sbom = world.file("spdx.json", &spdx("web"));
    let scanned = json!({
        "invocation": {"uri": "", "event_id": "", "builder.id": ""},
        "scanner": {"uri": "pkg:github/aquasecurity/trivy", "version": "0.50", "db": {"uri": "", "version": ""}, "result": {}},
        "metadata": {"scanStartedOn": "2026-01-02T03:04:05Z", "scanFinishedOn": "2026-01-02T03:05:05Z"},
    });
    let scanned = world.file("vuln.json", &scanned);
    for kind in [Kind::GoContainerRegistry, Kind::Distribution] {
        let registry = RealRegistry::start(kind).await;
        for by in [By::Cosign2Key, By::Cosign3Key, By::Cosign3Keyless] {
            let repository = format!("{}/acme/{}", registry.host(), format!("{by:?}").to_lowercase());
            let digest = push(world.folder.path(), &format!("{repository}:v1"), &format!("{by:?}"));
            let image = format!("{repository}@{digest}");
            world.attest(by, &image, "slsaprovenance1", &provenance);
            world.attest(by, &image, "spdxjson", &sbom);
            world.attest(by, &image, "vuln", &scanned);
            let row = scan_one(&format!("{repository}:v1"), &world.arguments(by));
            check(&row, by, kind);
            let signature = row.signature.clone().unwrap();
            match by {
                // What the policy wants is attested, though nobody signed the image itself.
                By::Cosign3Keyless => {
                    assert!(signature.verified && !signature.signed, "{signature:#?}");
                    assert!(signature.policies.unwrap()[0].satisfied);
                }
                _ => assert!(!signature.verified && !signature.signed, "{signature:#?}"),
            }
            // Another key; and nothing given at all.
            let row = scan_one(
                &format!("{repository}:v1"),
                &["--cosign-public-key".to_owned(), other.display().to_string()],
            );
            let checked = row.provenance.unwrap().checked.unwrap();
            assert_eq!(checked.verdict, Verdict::Invalid, "{by:?}");
            // What was signed without a key is judged by itself, and the public instance does not know it.
            let refused = checked.reason.unwrap().kind;
            assert_eq!(refused == RefusalKind::Key, by != By::Cosign3Keyless, "{by:?}: {refused:?}");
            assert!(checked.signer.is_none());
            let row = scan_one::<&str>(&format!("{repository}:v1"), &[]);
            let verdict = row.provenance.unwrap().checked.unwrap().verdict;
            let expected = if by == By::Cosign3Keyless { Verdict::Invalid } else { Verdict::NotChecked };
            assert_eq!(verdict, expected, "{by:?}");
        }
        attach_documents(&world, &registry, &sbom);
    }
}

/// Documents as they are, the older way: under cosign's tag `.sbom`.
fn attach_documents(world: &World, registry: &RealRegistry, spdx: &Path) {
    let bom = world.folder.path().join("bom.xml");
    let xml = "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\"><components><component><name>a</name></component></components></bom>";
    std::fs::write(&bom, xml).unwrap();
    for (file, kind, format) in [
        (spdx, ["--type", "spdx", "--input-format", "json"], SbomFormat::Spdx),
        (&bom, ["--type", "cyclonedx", "--input-format", "xml"], SbomFormat::CycloneDx),
    ] {
        let image = format!("{}/acme/{format:?}", registry.host()).to_lowercase();
        let digest = push(world.folder.path(), &format!("{image}:v1"), &format!("{format:?}"));
        let mut command: Command = cosign(2);
        command.args(["attach", "sbom", "--sbom"]).arg(file).args(kind).arg(format!("{image}@{digest}"));
        run(command);
        let row = scan_one::<&str>(&format!("{image}:v1"), &[]);
        let document = &row.sbom.as_ref().unwrap().documents.as_ref().unwrap()[0];
        assert_eq!(document.attached.place, Place::SbomTag, "{document:#?}");
        assert_eq!(document.facts.format, Some(format), "{document:#?}");
        assert!(document.read && !document.signed && document.facts.packages.is_some(), "{document:#?}");
    }
}
