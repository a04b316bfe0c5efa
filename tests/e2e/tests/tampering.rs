//! A whole private sigstore with a transparency log. What both generations of cosign sign into it verifies with the
//! log checked; and each way of tampering with it is refused for its own reason.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_e2e::process::run;
use provenance_e2e::registry::{crane, push};
use provenance_e2e::scan::scan_one;
use provenance_e2e::sigstore::{cosign, http_get, key_pair};
use provenance_e2e::{Kind, RealRegistry, Sigstore};
use provenance_model::report::SignatureVerdict;
use provenance_model::trust::RefusalKind;
use provenance_testbed::{BuiltImage, Registry, attach};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

const ANN: &str = "ann@acme.example";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

struct World {
    folder: tempfile::TempDir,
    sigstore: Sigstore,
}

impl World {
    /// Arguments that trust a root, and want this identity with a log entry (or without).
    fn arguments(&self, root: &Path, identity: &str, issuer: &str, wants_log: bool) -> Vec<String> {
        let policy = self.folder.path().join("policy.yaml");
        let log = if wants_log { format!("{{url: '{}'}}", self.sigstore.log_url()) } else { "{}".into() };
        let text = format!(
            "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: acme}}\nspec:\n  \
             images: [{{glob: '**'}}]\n  authorities:\n  - keyless: {{insecureIgnoreSCT: true, identities: [{{subject: \
             '{identity}', issuer: '{issuer}'}}]}}\n    ctlog: {log}\n"
        );
        std::fs::write(&policy, text).unwrap();
        let path = |path: &Path| path.display().to_string();
        vec!["--trusted-root".into(), path(root), "--trust-policies".into(), path(&policy)]
    }

    /// A policy with a `TrustRoot` that holds these parts of our sigstore.
    async fn policy_with_root(&self, parts: &[&str]) -> String {
        let pem = |path: PathBuf| STANDARD.encode(std::fs::read(path).unwrap());
        let key = http_get(&format!("{}/api/v1/log/publicKey", self.sigstore.log_url())).await;
        let of = |part: &str, value: Value| if parts.contains(&part) { json!([value]) } else { json!([]) };
        let root = json!({
            "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot", "metadata": {"name": "ours"},
            "spec": {"sigstoreKeys": {
                "certificateAuthorities": of("authority", json!({
                    "subject": {"organization": "o", "commonName": "c"}, "uri": self.sigstore.fulcio_url(),
                    "certChain": pem(self.sigstore.authority()),
                })),
                "tLogs": of("log", json!({
                    "baseURL": self.sigstore.log_url(), "hashAlgorithm": "sha-256", "publicKey": STANDARD.encode(key),
                })),
                "timestampAuthorities": of("timestamps", json!({
                    "subject": {"organization": "o", "commonName": "c"}, "uri": self.sigstore.timestamp_url(),
                    "certChain": pem(self.sigstore.timestamp_authority()),
                })),
            }},
        });
        let policy = json!({
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "acme"},
            "spec": {"images": [{"glob": "**"}], "authorities": [{
                "keyless": {"trustRootRef": "ours", "insecureIgnoreSCT": true,
                            "identities": [{"subject": ANN, "issuer": self.sigstore.issuer.url()}]},
                "ctlog": {"trustRootRef": "ours"},
            }]},
        });
        format!("{policy}\n---\n{root}\n")
    }

    fn ours(&self) -> Vec<String> {
        let root = self.sigstore.trusted_root();
        self.arguments(&root, ANN, self.sigstore.issuer.url(), true)
    }
}

/// The verdict on an image, with its reason's kind.
fn verdict(image: &str, arguments: &[String]) -> (SignatureVerdict, Option<RefusalKind>, String) {
    let row = scan_one(image, arguments);
    let told = format!("{:#?}", row.signature);
    let signature = row.signature.unwrap_or_else(|| panic!("{:#?}", row.stages));
    let holds = signature.verdict == Some(SignatureVerdict::Verified);
    for one in signature.signatures.iter().flatten() {
        assert!(holds || one.checked.signer.is_none(), "an identity that was not verified: {told}");
        let logged = one.checked.signer.as_ref().is_none_or(|signer| signer.log_checked);
        assert!(!holds || logged, "{told}");
    }
    (signature.verdict.unwrap(), signature.reason.map(|reason| reason.kind), told)
}

/// The bundle that is attached to an image, and the image's own manifest.
fn attached(repository: &str, digest: &str) -> (Value, Vec<u8>) {
    let manifest = crane(None, &["manifest", &format!("{repository}@{digest}")]);
    let (host, name) = repository.split_once('/').unwrap();
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", &format!("http://{host}/v2/{name}/referrers/{digest}")]);
    let referrers: Value = serde_json::from_str(&run(command)).unwrap();
    let referrer = referrers["manifests"][0]["digest"].as_str().unwrap();
    let referrer = crane(None, &["manifest", &format!("{repository}@{referrer}")]);
    let referrer: Value = serde_json::from_str(&referrer).unwrap();
    let blob = referrer["layers"][0]["digest"].as_str().unwrap();
    let bundle = crane(None, &["blob", &format!("{repository}@{blob}")]);
    (serde_json::from_str(&bundle).unwrap(), manifest.into_bytes())
}

fn flip(base64: &mut Value, at: usize) {
    let mut bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    let at = if at == usize::MAX { bytes.len() - 1 } else { at };
    bytes[at] ^= 1;
    *base64 = json!(STANDARD.encode(bytes));
}

type Change = fn(&mut Value);

/// Ways to change a bundle, and why each is refused.
fn changes() -> Vec<(&'static str, Change, RefusalKind)> {
    fn entry(bundle: &mut Value) -> &mut Value {
        &mut bundle["verificationMaterial"]["tlogEntries"][0]
    }
    vec![
        ("payload", |b| flip(&mut b["dsseEnvelope"]["payload"], 200), RefusalKind::Signature),
        ("signature", |b| flip(&mut b["dsseEnvelope"]["signatures"][0]["sig"], 40), RefusalKind::Signature),
        (
            "certificate",
            |b| flip(&mut b["verificationMaterial"]["certificate"]["rawBytes"], usize::MAX),
            RefusalKind::Certificate,
        ),
        (
            "signed entry timestamp",
            |b| flip(&mut entry(b)["inclusionPromise"]["signedEntryTimestamp"], 40),
            RefusalKind::EntryTimestamp,
        ),
        (
            "time of the entry",
            |b| entry(b)["integratedTime"] = json!("1700000000"),
            RefusalKind::EntryTimestamp,
        ),
        (
            "inclusion proof",
            |b| flip(&mut entry(b)["inclusionProof"]["hashes"][0], 3),
            RefusalKind::InclusionProof,
        ),
        (
            "checkpoint",
            |b| {
                let envelope = &mut entry(b)["inclusionProof"]["checkpoint"]["envelope"];
                let text = envelope.as_str().unwrap();
                let (head, signature) = text.trim_end().rsplit_once(' ').unwrap();
                let mut bytes = STANDARD.decode(signature).unwrap();
                bytes[20] ^= 1;
                *envelope = json!(format!("{head} {}\n", STANDARD.encode(bytes)));
            },
            RefusalKind::Checkpoint,
        ),
        (
            "timestamp",
            |b| {
                let stamps = &mut b["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"];
                flip(&mut stamps[0]["signedTimestamp"], usize::MAX);
            },
            RefusalKind::Timestamp,
        ),
        ("no log entry", |b| b["verificationMaterial"]["tlogEntries"] = json!([]), RefusalKind::Log),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_logged_verifies_and_every_tampering_is_refused_for_its_own_reason() {
    let folder = tempfile::tempdir().unwrap();
    let world = World { sigstore: Sigstore::start_with_log().await, folder };
    let registry = RealRegistry::start(Kind::GoContainerRegistry).await;
    let repository = format!("{}/acme/web", registry.host());
    let ours = world.ours();

    // Both generations of cosign, keyless and with a key, all logged. Several, so that the log is a tree.
    let key = key_pair(world.folder.path(), "logged", "p256");
    for (name, generation, keyless) in
        [("two", 2, true), ("two-key", 2, false), ("three", 3, true), ("three-key", 3, false)]
    {
        let digest = push(world.folder.path(), &format!("{repository}:{name}"), name);
        let image = format!("{repository}@{digest}");
        let mut command = match (generation, keyless) {
            (3, true) => world.sigstore.keyless("sign", ANN),
            (3, false) => {
                let mut command = cosign(3);
                command.args(["sign", "--yes", "--key"]).arg(key.with_extension("key"));
                command.arg("--signing-config").arg(world.sigstore.signing_config());
                command.arg("--trusted-root").arg(world.sigstore.trusted_root());
                command
            }
            (_, keyless) => {
                let mut command = cosign(2);
                command.args([
                    "sign",
                    "--yes",
                    "--insecure-skip-verify",
                    "--rekor-url",
                    &world.sigstore.log_url(),
                ]);
                let log_key = world.folder.path().join("rekor.pub");
                std::fs::write(
                    &log_key,
                    http_get(&format!("{}/api/v1/log/publicKey", world.sigstore.log_url())).await,
                )
                .unwrap();
                command.env("SIGSTORE_REKOR_PUBLIC_KEY", &log_key);
                command.env("SIGSTORE_ROOT_FILE", world.sigstore.authority());
                if keyless {
                    command.args(["--fulcio-url", world.sigstore.fulcio_url(), "--identity-token"]);
                    command.arg(world.sigstore.token_file(ANN));
                } else {
                    command.arg("--key").arg(key.with_extension("key"));
                }
                command
            }
        };
        command.arg(&image);
        run(command);
        let arguments = if keyless {
            ours.clone()
        } else {
            let public = key.with_extension("pub").display().to_string();
            let root = world.sigstore.trusted_root().display().to_string();
            vec!["--cosign-public-key".into(), public, "--trusted-root".into(), root]
        };
        let (verdict, _, told) = verdict(&format!("{repository}:{name}"), &arguments);
        assert_eq!(verdict, SignatureVerdict::Verified, "{name}: {told}");
    }

    given_in_a_policy(&world, &format!("{repository}:three")).await;
    let root = world.sigstore.trusted_root();
    let signed = format!("{repository}:three");
    let wrong = world.arguments(&root, "bob@acme.example", world.sigstore.issuer.url(), true);
    assert_eq!(verdict(&signed, &wrong).1, Some(RefusalKind::Identity));
    let wrong = world.arguments(&root, ANN, "https://accounts.example", true);
    assert_eq!(verdict(&signed, &wrong).1, Some(RefusalKind::Issuer));
    let other = key_pair(world.folder.path(), "other", "p256").with_extension("pub").display().to_string();
    let (said, reason, _) =
        verdict(&format!("{repository}:three-key"), &["--cosign-public-key".into(), other]);
    assert_eq!((said, reason), (SignatureVerdict::Invalid, Some(RefusalKind::Key)));

    let ours = world.ours();
    let digest = crane(None, &["digest", &signed]);
    let (bundle, manifest) = attached(&repository, &digest);
    let image = BuiltImage {
        manifests: vec![(provenance_testbed::image::MANIFEST.into(), manifest.into())],
        blobs: vec![],
    };
    for (what, change, reason) in changes() {
        let mut changed = bundle.clone();
        change(&mut changed);
        let (_registry, name) = tampered(&image, &digest, &changed).await;
        let (said, found, told) = verdict(&name, &ours);
        assert_eq!((said, found), (SignatureVerdict::Invalid, Some(reason)), "{what}: {told}");
    }
    // As it is, it verifies there too; moved to another image, it does not.
    let (_registry, name) = tampered(&image, &digest, &bundle).await;
    let (said, _, told) = verdict(&name, &ours);
    assert_eq!(said, SignatureVerdict::Verified, "{told}");
    let another = BuiltImage::single("another");
    let (_registry, name) = tampered(&another, &another.digest(), &bundle).await;
    let (said, found, told) = verdict(&name, &ours);
    assert_eq!((said, found), (SignatureVerdict::Invalid, Some(RefusalKind::Subject)), "{told}");

    expired(&world).await;
}

/// The same trust, given in the policy file itself as a `TrustRoot`; and with a part of it missing.
async fn given_in_a_policy(world: &World, image: &str) {
    let file = world.folder.path().join("with-root.yaml");
    for (parts, expected) in [
        (["authority", "log", "timestamps"].as_slice(), SignatureVerdict::Verified),
        (&["authority", "log"], SignatureVerdict::Invalid),
        (&["authority", "timestamps"], SignatureVerdict::Invalid),
        (&["log", "timestamps"], SignatureVerdict::Invalid),
    ] {
        std::fs::write(&file, world.policy_with_root(parts).await).unwrap();
        let arguments = ["--trust-policies".to_owned(), file.display().to_string()];
        let (said, _, told) = verdict(image, &arguments);
        assert_eq!(said, expected, "{parts:?}: {told}");
    }
}

/// The image with this bundle attached, in a registry of its own.
async fn tampered(image: &BuiltImage, digest: &str, bundle: &Value) -> (Registry, String) {
    let registry = Registry::start().await.unwrap();
    registry.push("acme/web", "v1", image);
    registry.attach("acme/web", None, &attach::referrer(digest, BUNDLE, BUNDLE, &bundle.to_string()));
    let name = format!("{}/acme/web:v1", registry.host());
    (registry, name)
}

/// A certificate that had expired when the timestamp authority saw the signature.
async fn expired(world: &World) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.subject_alt_names = vec![SanType::Rfc822Name(ANN.try_into().unwrap())];
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let leaf = params.signed_by(&key, &authority).unwrap();
    let ca = world.folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let root = world.folder.path().join("expired_root.json");
    let mut command = cosign(3);
    command.args(["trusted-root", "create", "--out"]).arg(&root);
    command.arg(format!("--fulcio=url=https://ca.example,certificate-chain={}", ca.display()));
    let stamps = world.sigstore.timestamp_authority();
    command.arg(format!("--tsa=url=https://tsa.example,certificate-chain={}", stamps.display()));
    run(command);

    let image = BuiltImage::single("expired");
    let signature = |payload: &[u8]| {
        let random = ring::rand::SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key.serialize_der(), &random);
        pair.unwrap().sign(&random, payload).unwrap().as_ref().to_vec()
    };
    let (payload, signed) = attach::simple_signing(&image.digest(), signature);
    let stamp = stamped(&world.sigstore.timestamp_url(), world.folder.path(), &signed);
    let annotations = json!({
        "dev.cosignproject.cosign/signature": STANDARD.encode(&signed),
        "dev.sigstore.cosign/certificate": leaf.pem(),
        "dev.sigstore.cosign/chain": authority.pem(),
        "dev.sigstore.cosign/rfc3161timestamp": json!({"SignedRFC3161Timestamp": STANDARD.encode(stamp)}).to_string(),
    });
    let registry = Registry::start().await.unwrap();
    registry.push("acme/web", "v1", &image);
    let sig = attach::simple_signing_manifest(payload, annotations);
    registry.attach("acme/web", Some(&attach::tag(&image.digest(), ".sig")), &sig);
    let arguments = world.arguments(&root, ANN, "", false);
    let (said, found, told) = verdict(&format!("{}/acme/web:v1", registry.host()), &arguments);
    assert_eq!((said, found), (SignatureVerdict::Invalid, Some(RefusalKind::Expired)), "{told}");
}

/// A timestamp authority's answer about some bytes.
fn stamped(url: &str, folder: &Path, bytes: &[u8]) -> Vec<u8> {
    let (data, query, answer): (PathBuf, PathBuf, PathBuf) =
        (folder.join("data"), folder.join("query"), folder.join("answer"));
    std::fs::write(&data, bytes).unwrap();
    let mut command = Command::new("openssl");
    command.args(["ts", "-query", "-sha256", "-cert", "-data"]).arg(&data).arg("-out").arg(&query);
    run(command);
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail", "-H", "Content-Type: application/timestamp-query", "--data-binary"]);
    command.arg(format!("@{}", query.display())).arg("--output").arg(&answer).arg(url);
    run(command);
    std::fs::read(answer).unwrap()
}
