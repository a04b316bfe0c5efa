//! Real bundles of every version, by every generation of Rekor and by GitHub's private instance: each verifies offline,
//! and not for another digest.

use std::path::PathBuf;

use provenance_model::Digest;
use provenance_model::trust::{Form, RefusalKind, Verdict};
use provenance_trust::{Root, Signed, judge};
use sigstore_verify::trust_root::SIGSTORE_STAGING_TRUSTED_ROOT;

#[test]
fn bundles_of_every_version_verify_offline_and_not_for_another_digest() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/sigstore-bundles");
    // The package with an entry of Rekor v2 is of sigstore's staging instance.
    let mut roots = Root::embedded();
    roots.push(Root::from_json("staging", SIGSTORE_STAGING_TRUSTED_ROOT).unwrap());
    let roots: Vec<_> = roots.iter().collect();
    let other: Digest = format!("sha256:{}", "5f".repeat(32)).parse().unwrap();
    for (file, digest, is_logged, issuer) in [
        (
            "v0.1-npm-provenance.json",
            "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c",
            true,
            "https://token.actions.githubusercontent.com",
        ),
        (
            "v0.2-wheel.json",
            "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
            true,
            "https://token.actions.githubusercontent.com",
        ),
        (
            "v0.3-cosign-blob.json",
            "sha256:e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
            true,
            "https://github.com/login/oauth",
        ),
        (
            "v0.3-rekor2-conda.json",
            "sha256:54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
            true,
            "https://github.com/login/oauth",
        ),
        (
            "v0.3-github-private.json",
            "sha256:76f1fe8593bf227cca2c089e3c16dc95014a8d3e89c5dd220530469ca043c428",
            false,
            // Its certificates name no issuer.
            "",
        ),
    ] {
        let signed = Signed::bundle(&std::fs::read(folder.join(file)).unwrap().into()).unwrap();
        assert_eq!(signed.form, Form::SigstoreBundle);
        let checked = judge(&signed, &digest.parse().unwrap(), &[], &roots).checked;
        assert_eq!(checked.verdict, Verdict::Valid, "{file}: {:?}", checked.reason);
        let who = checked.signer.unwrap();
        assert_eq!((who.log_checked, who.certificate_timestamp_checked), (is_logged, is_logged), "{file}");
        assert_eq!(who.issuer.unwrap_or_default(), issuer, "{file}");
        assert!(who.identity.is_some() && who.signed_at.is_some(), "{file}");
        let checked = judge(&signed, &other, &[], &roots).checked;
        assert_eq!(checked.verdict, Verdict::Invalid, "{file}");
        let kind = checked.reason.unwrap().kind;
        assert!(matches!(kind, RefusalKind::Subject | RefusalKind::Signature), "{file}: {kind:?}");
        assert!(checked.signer.is_none(), "{file}");
    }
}
