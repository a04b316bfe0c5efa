//! Signatures of both generations of cosign and of Notation, in a registry with the referrers API and in one without:
//! one table of form, registry, what is given to check with, and verdict.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

use provenance_e2e::process::{run, tool};
use provenance_e2e::registry::push;
use provenance_e2e::scan::scan_one;
use provenance_e2e::sigstore::{cosign, key_pair};
use provenance_e2e::{Kind, RealRegistry, Sigstore};
use provenance_model::report::{ImageRecord, SignatureVerdict};
use provenance_model::trust::{Form, Place, RefusalKind};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

const ANN: &str = "ann@acme.example";

/// How an image is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignedAs {
    Nothing,
    Cosign2Key(&'static str),
    Cosign2TwoKeys,
    Cosign2Referrer,
    Cosign2Keyless,
    Cosign3Key(&'static str),
    Cosign3Keyless,
    NotationJws,
    NotationCose,
}

/// What is given to check with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    Nothing,
    Key(&'static str),
    Root,
    Policy { identity: &'static str, issuer: bool, allowances: bool },
    TrustStore,
    OtherTrustStore,
}

struct World {
    folder: tempfile::TempDir,
    sigstore: Sigstore,
    keys: std::collections::BTreeMap<&'static str, PathBuf>,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sigstore = Sigstore::start().await;
        let kinds =
            [("p256", "p256"), ("p384", "p384"), ("rsa", "rsa"), ("ed25519", "ed25519"), ("other", "p256")];
        let keys = kinds.map(|(name, kind)| (name, key_pair(folder.path(), name, kind))).into();
        Self { folder, sigstore, keys }
    }

    fn private(&self, key: &str) -> PathBuf {
        self.keys[key].with_extension("key")
    }

    fn public(&self, key: &str) -> PathBuf {
        self.keys[key].with_extension("pub")
    }

    fn notation(&self) -> Command {
        let mut command = Command::new(tool("notation"));
        command.env("XDG_CONFIG_HOME", self.folder.path()).env("HOME", self.folder.path());
        command
    }

    fn sign(&self, image: &str, how: SignedAs) {
        match how {
            SignedAs::Nothing => {}
            SignedAs::Cosign2Key(key) => self.sign_by_cosign_2(image, key),
            SignedAs::Cosign2Referrer => {
                let mut command = cosign(2);
                command.args([
                    "sign",
                    "--yes",
                    "--tlog-upload=false",
                    "--registry-referrers-mode=oci-1-1",
                    "--key",
                ]);
                command.arg(self.private("p256")).arg(image).env("COSIGN_EXPERIMENTAL", "1");
                run(command);
            }
            SignedAs::Cosign2TwoKeys => {
                self.sign_by_cosign_2(image, "other");
                self.sign_by_cosign_2(image, "p256");
            }
            SignedAs::Cosign2Keyless => {
                let mut command = cosign(2);
                command.args(["sign", "--yes", "--tlog-upload=false", "--insecure-skip-verify"]);
                command.arg("--identity-token").arg(self.sigstore.token_file(ANN));
                command.args(["--fulcio-url", self.sigstore.fulcio_url()]);
                command.args(["--timestamp-server-url", &self.sigstore.timestamp_url(), image]);
                command.env("SIGSTORE_ROOT_FILE", self.sigstore.authority());
                run(command);
            }
            SignedAs::Cosign3Key(key) => {
                let mut command = cosign(3);
                command.args(["sign", "--yes", "--key"]).arg(self.private(key));
                command.arg("--signing-config").arg(self.sigstore.signing_config()).arg(image);
                run(command);
            }
            SignedAs::Cosign3Keyless => {
                let mut command = self.sigstore.keyless("sign", ANN);
                command.arg(image);
                run(command);
            }
            SignedAs::NotationJws | SignedAs::NotationCose => {
                let format = if how == SignedAs::NotationJws { "jws" } else { "cose" };
                let mut command = self.notation();
                command.args(["sign", "--signature-format", format, "--insecure-registry", image]);
                run(command);
            }
        }
    }

    fn sign_by_cosign_2(&self, image: &str, key: &str) {
        let mut command = cosign(2);
        command.args(["sign", "--yes", "--tlog-upload=false", "--key"]).arg(self.private(key)).arg(image);
        run(command);
    }

    fn arguments(&self, given: Given) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        match given {
            Given::Nothing => Vec::new(),
            Given::Key(key) => vec!["--cosign-public-key".into(), path(&self.public(key))],
            Given::Root => vec!["--trusted-root".into(), path(&self.sigstore.trusted_root())],
            Given::Policy { identity, issuer, allowances } => {
                let file = self.folder.path().join("policy.yaml");
                let issuer = if issuer { self.sigstore.issuer.url() } else { "https://other.example" };
                let log = if allowances { "ctlog: {}" } else { "ctlog: {url: https://rekor.sigstore.dev}" };
                let policy = format!(
                    "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: acme}}\n\
                     spec:\n  images: [{{glob: '**'}}]\n  authorities:\n  - keyless:\n      insecureIgnoreSCT: {allowances}\n      \
                     identities: [{{subjectRegExp: '{identity}', issuer: '{issuer}'}}]\n    {log}\n"
                );
                std::fs::write(&file, policy).unwrap();
                let mut arguments = self.arguments(Given::Root);
                arguments.extend(["--trust-policies".into(), path(&file)]);
                arguments
            }
            Given::TrustStore => {
                let store = self.folder.path().join("notation/localkeys/acme.crt");
                vec!["--notation-trust-store".into(), path(&store)]
            }
            Given::OtherTrustStore => {
                vec!["--notation-trust-store".into(), path(&self.sigstore.authority())]
            }
        }
    }
}

type Case = (SignedAs, Given, SignatureVerdict, Option<RefusalKind>);

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    use Given as G;
    use SignatureVerdict as V;
    use SignedAs as S;
    let by = |identity, issuer, allowances| G::Policy { identity, issuer, allowances };
    let ann = by("^ann@", true, true);
    let mut cases = vec![
        (S::Nothing, G::Nothing, V::Unsigned, None),
        (S::Nothing, G::Key("p256"), V::Unsigned, None),
        (S::Nothing, ann, V::Unsigned, Some(RefusalKind::Policy)),
        (S::Cosign2TwoKeys, G::Key("p256"), V::Verified, None),
        (S::Cosign2TwoKeys, G::Key("other"), V::Verified, None),
        (S::Cosign2TwoKeys, G::Key("p384"), V::Invalid, Some(RefusalKind::Key)),
        (S::Cosign2Key("p256"), ann, V::Invalid, Some(RefusalKind::Certificate)),
        (S::Cosign2Referrer, G::Nothing, V::NotChecked, None),
        (S::Cosign2Referrer, G::Key("p256"), V::Verified, None),
        (S::Cosign2Referrer, G::Key("other"), V::Invalid, Some(RefusalKind::Key)),
        (S::NotationJws, G::Nothing, V::NotChecked, None),
        (S::NotationJws, G::TrustStore, V::Verified, None),
        (S::NotationJws, G::OtherTrustStore, V::Invalid, Some(RefusalKind::Certificate)),
        (S::NotationCose, G::Nothing, V::NotChecked, None),
        (S::NotationCose, G::TrustStore, V::Verified, None),
        (S::NotationCose, G::OtherTrustStore, V::Invalid, Some(RefusalKind::Certificate)),
    ];
    for key in ["p256", "p384", "rsa", "ed25519"] {
        for form in [S::Cosign2Key(key), S::Cosign3Key(key)] {
            cases.push((form, G::Nothing, V::NotChecked, None));
            cases.push((form, G::Key(key), V::Verified, None));
            cases.push((form, G::Key("other"), V::Invalid, Some(RefusalKind::Key)));
        }
    }
    for form in [S::Cosign2Keyless, S::Cosign3Keyless] {
        cases.extend([
            // The public instance does not know this signer, the private root does; but nothing was logged.
            (form, G::Nothing, V::Invalid, None),
            (form, G::Root, V::Invalid, Some(RefusalKind::Log)),
            (form, ann, V::Verified, None),
            (form, by("^bob@", true, true), V::Invalid, Some(RefusalKind::Identity)),
            (form, by("^ann@", false, true), V::Invalid, Some(RefusalKind::Issuer)),
            (form, by("^ann@", true, false), V::Invalid, Some(RefusalKind::Log)),
            (form, G::Key("p256"), V::Invalid, None),
        ]);
    }
    cases
}

fn place(how: SignedAs, kind: Kind) -> Option<Place> {
    let referrers = if kind == Kind::GoContainerRegistry { Place::Referrers } else { Place::ReferrersTag };
    match how {
        SignedAs::Nothing => None,
        SignedAs::Cosign2Key(_) | SignedAs::Cosign2TwoKeys | SignedAs::Cosign2Keyless => {
            Some(Place::SignatureTag)
        }
        _ => Some(referrers),
    }
}

fn form(how: SignedAs) -> Option<Form> {
    match how {
        SignedAs::Nothing => None,
        SignedAs::Cosign2Key(_)
        | SignedAs::Cosign2Referrer
        | SignedAs::Cosign2TwoKeys
        | SignedAs::Cosign2Keyless => Some(Form::SimpleSigning),
        SignedAs::Cosign3Key(_) | SignedAs::Cosign3Keyless => Some(Form::SigstoreBundle),
        SignedAs::NotationJws | SignedAs::NotationCose => Some(Form::Notation),
    }
}

fn check(row: &ImageRecord, case: &Case, kind: Kind) {
    let (how, given, verdict, reason) = case;
    let told = format!("{how:?} in {kind:?}, given {given:?}: {:#?}", row.signature);
    let signature = row.signature.as_ref().unwrap_or_else(|| panic!("{told}\n{:#?}", row.stages));
    assert_eq!(signature.verdict, Some(*verdict), "{told}");
    assert_eq!(signature.signed, *how != SignedAs::Nothing, "{told}");
    assert_eq!(signature.verified, *verdict == SignatureVerdict::Verified, "{told}");
    if let Some(reason) = reason {
        assert_eq!(signature.reason.as_ref().map(|reason| reason.kind), Some(*reason), "{told}");
    }
    let signatures = signature.signatures.clone().unwrap_or_default();
    assert_eq!(
        signatures.len(),
        usize::from(how != &SignedAs::Nothing) + usize::from(how == &SignedAs::Cosign2TwoKeys),
        "{told}"
    );
    for signature in signatures {
        assert_eq!(Some(signature.attached.place), place(*how, kind), "{told}");
        assert_eq!(Some(signature.attached.form), form(*how), "{told}");
        let holds = matches!(verdict, SignatureVerdict::Verified | SignatureVerdict::Valid);
        assert!(holds || signature.checked.signer.is_none(), "an identity that was not verified: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_in_every_registry_has_its_verdict() {
    let world = World::start().await;
    let mut generate = world.notation();
    generate.args(["cert", "generate-test", "--default", "acme"]);
    run(generate);
    let cases = cases();
    for kind in [Kind::GoContainerRegistry, Kind::Distribution] {
        let registry = RealRegistry::start(kind).await;
        let mut signed: Vec<(SignedAs, String)> = Vec::new();
        for case in &cases {
            let known = signed.iter().find(|(how, _)| *how == case.0).map(|(_, image)| image.clone());
            let image = known.unwrap_or_else(|| {
                let repository = format!("{}/acme/app{}", registry.host(), signed.len());
                let seed = format!("{:?}", case.0);
                let digest = push(world.folder.path(), &format!("{repository}:v1"), &seed);
                world.sign(&format!("{repository}@{digest}"), case.0);
                signed.push((case.0, format!("{repository}:v1")));
                format!("{repository}:v1")
            });
            check(&scan_one(&image, &world.arguments(case.1)), case, kind);
        }
    }
}

/// Notation's own certificates are RSA's; an authority of our own issues those of elliptic curves.
#[tokio::test(flavor = "multi_thread")]
async fn notation_signatures_on_elliptic_curves_chain_to_the_trust_store_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let registry = RealRegistry::start(Kind::GoContainerRegistry).await;
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "Acme Authority");
    params.distinguished_name.push(DnType::CountryName, "DE");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let keys = folder.path().join("notation");
    std::fs::create_dir_all(&keys).unwrap();
    for (curve, algorithm) in
        [("p256", &rcgen::PKCS_ECDSA_P256_SHA256), ("p384", &rcgen::PKCS_ECDSA_P384_SHA384)]
    {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, format!("release {curve}"));
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2099, 1, 1);
        let leaf = params.signed_by(&key, &authority).unwrap();
        let (key_path, chain) = (folder.path().join("leaf.key"), folder.path().join("leaf.crt"));
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        std::fs::write(&chain, format!("{}{}", leaf.pem(), authority.pem())).unwrap();
        let signing = serde_json::json!({"default": "ec", "keys": [{"name": "ec", "keyPath": key_path, "certPath": chain}]});
        std::fs::write(keys.join("signingkeys.json"), signing.to_string()).unwrap();
        for format in ["jws", "cose"] {
            let repository = format!("{}/acme/{curve}{format}", registry.host());
            let digest = push(folder.path(), &format!("{repository}:v1"), &format!("{curve} {format}"));
            let mut command = Command::new(tool("notation"));
            command.env("XDG_CONFIG_HOME", folder.path()).env("HOME", folder.path());
            command.args(["sign", "--signature-format", format, "--insecure-registry"]);
            command.arg(format!("{repository}@{digest}"));
            run(command);
            let image = format!("{repository}:v1");
            let subjects = [format!("CN=release {curve}"), "CN=Acme Authority".to_owned()];
            let named =
                |chain: &[String]| chain.iter().zip(&subjects).all(|(told, subject)| told.contains(subject));
            let row = scan_one(&image, &["--notation-trust-store".to_owned(), ca.display().to_string()]);
            let told = format!("{curve} {format}: {:#?}", row.signature);
            let signature = row.signature.unwrap();
            assert_eq!(signature.verdict, Some(SignatureVerdict::Verified), "{told}");
            let checked = &signature.signatures.unwrap()[0].checked;
            assert_eq!(checked.policies, ["notation-trust-store"], "{told}");
            assert!(named(&checked.signer.as_ref().unwrap().chain), "{told}");
            // Without a trust store the chain is only what the signature claims.
            let checked =
                scan_one::<&str>(&image, &[]).signature.unwrap().signatures.unwrap().remove(0).checked;
            assert!(checked.signer.is_none() && named(&checked.claimed), "{checked:#?}");
        }
    }
}
