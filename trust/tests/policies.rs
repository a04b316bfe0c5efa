//! Policy documents: what is understood, and that what is not is refused by its name.

use provenance_model::Image;
use provenance_trust::policy::{AuthorityKind, Document, Found, KeyRef, documents};
use provenance_trust::{Policy, PublicKey, Without};
use serde_json::{Value, json};

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEpNKOW7rVvv+uO2LChhal6cEv3f4t
tatU+EznWOl4HoScO9nA2VqjBEPtBZF3R+//4oY/AQut2gnD7tZcwhlbag==
-----END PUBLIC KEY-----
";

fn read(spec: &Value, found: &Found) -> Result<Policy, String> {
    let document = json!({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "p"}, "spec": spec,
    });
    let mut documents = documents(&document.to_string())?;
    match documents.remove(0) {
        Document::Policy(policy) => policy.resolve(found),
        Document::TrustRoot(_) => unreachable!("it is a policy"),
    }
}

fn with(authority: &Value) -> Result<Policy, String> {
    read(&json!({"images": [{"glob": "**"}], "authorities": [authority]}), &Found::default())
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let key = json!({"data": KEY});
    for (authority, named) in [
        (json!({"key": key, "source": [{"oci": "registry.lan/signatures"}]}), "source"),
        (
            json!({"key": key, "attestations": [{"name": "a", "predicateType": "custom", "policy": {"type": "cue", "data": "x"}}]}),
            "attestations.policy",
        ),
        (json!({"key": key, "attestations": [{"name": "a", "predicateType": "whatever"}]}), "whatever"),
        (json!({"key": {"data": KEY, "hashAlgorithm": "md5"}}), "hashAlgorithm"),
        (json!({"key": {"data": KEY, "kms": "awskms:///x"}}), "one of data, secretRef and kms"),
        (json!({"key": {"data": "nonsense"}}), "key.data"),
        (json!({"key": {"data": KEY, "colour": "red"}}), "colour"),
        (json!({"keyless": {"ca-cert": {"data": "x"}, "identities": []}}), "ca-cert"),
        (json!({"keyless": {"url": "https://fulcio.lan", "identities": []}}), "https://fulcio.lan"),
        (json!({"keyless": {"trustRootRef": "ours", "identities": []}}), "ours"),
        (json!({"keyless": {"identities": [{"subjectRegExp": "(", "issuer": "i"}]}}), "subjectRegExp"),
        (json!({"keyless": {"identities": [{"subjectRegExp": "x", "subject": "y"}]}}), "exclude each other"),
        (json!({"static": {"action": "perhaps"}}), "perhaps"),
        (json!({"static": {"action": "pass"}, "ctlog": {}}), "static"),
        (json!({"key": key, "keyless": {"identities": []}}), "one of key, keyless and static"),
        (json!({"name": "nobody"}), "one of key, keyless and static"),
        (json!({"key": key, "signatureFormat": "pgp"}), "signatureFormat"),
    ] {
        let why = with(&authority).unwrap_err();
        assert!(why.contains(named) && why.contains("ClusterImagePolicy p"), "{authority}: {why}");
    }
    let images = json!([{"glob": "**"}]);
    let authorities = json!([{"key": key}]);
    for (spec, named) in [
        (
            json!({"images": images, "authorities": authorities, "policy": {"type": "cue", "data": "x"}}),
            "spec.policy",
        ),
        (
            json!({"images": images, "authorities": authorities, "match": [{"resource": "pods"}]}),
            "spec.match",
        ),
        (json!({"images": images, "authorities": authorities, "mode": "shout"}), "spec.mode"),
        (json!({"images": [], "authorities": authorities}), "spec.images"),
        (json!({"images": images}), "spec.authorities"),
        (json!({"images": [{"glob": "a[b]"}], "authorities": authorities}), "a[b]"),
        (json!({"images": images, "authorities": authorities, "mood": "good"}), "mood"),
    ] {
        let why = read(&spec, &Found::default()).unwrap_err();
        assert!(why.contains(named), "{spec}: {why}");
    }
    for (text, named) in [
        ("kind: Pod\napiVersion: v1\nmetadata: {name: x}", "Pod"),
        ("kind: ClusterImagePolicy\napiVersion: policy.sigstore.dev/v1beta1", "metadata.name"),
        (
            "kind: TrustRoot\napiVersion: policy.sigstore.dev/v1alpha1\nmetadata: {name: x}\nspec: {remote: {}}",
            "spec.remote",
        ),
        ("{", "no YAML"),
    ] {
        let why = documents(text).unwrap_err();
        assert!(why.contains(named), "{text}: {why}");
    }
}

#[test]
fn a_log_is_wanted_as_the_policy_controller_wants_it() {
    let identities = json!([{"issuer": "i", "subject": "s"}]);
    let log = |authority: &Value| with(authority).unwrap().authorities[0].without;
    let needs = Without { log: false, certificate_timestamp: false };
    let does_without_log = Without { log: true, certificate_timestamp: false };
    for (authority, without) in [
        (json!({"keyless": {"identities": identities}}), needs),
        (
            json!({"keyless": {"identities": identities}, "ctlog": {"url": "https://rekor.sigstore.dev"}}),
            needs,
        ),
        (json!({"keyless": {"identities": identities}, "ctlog": {}}), does_without_log),
        (json!({"key": {"data": KEY}}), does_without_log),
        (json!({"key": {"data": KEY}, "ctlog": {"url": "https://rekor.sigstore.dev"}}), needs),
        (
            json!({"keyless": {"identities": identities, "insecureIgnoreSCT": true}}),
            Without { log: false, certificate_timestamp: true },
        ),
    ] {
        assert_eq!(log(&authority), without, "{authority}");
    }
}

#[test]
fn keys_elsewhere_are_named_and_used_once_fetched() {
    let spec = json!({"images": [{"glob": "**"}], "authorities": [
        {"name": "kept", "key": {"secretRef": {"name": "ours"}}},
        {"key": {"kms": "hashivault://ours"}},
        {"key": {"secretRef": {"name": "theirs", "namespace": "shop"}}},
    ]});
    let document = json!({
        "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "ClusterImagePolicyList", "items": [
            {"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "ClusterImagePolicy", "metadata": {"name": "p"}, "spec": spec},
        ],
    });
    let mut documents = documents(&document.to_string()).unwrap();
    let Document::Policy(policy) = documents.remove(0) else { panic!("it is a policy") };
    let references = policy.key_refs();
    assert_eq!(
        references,
        [
            KeyRef::Secret("cosign-system".into(), "ours".into()),
            KeyRef::Kms("hashivault://ours".into()),
            KeyRef::Secret("shop".into(), "theirs".into()),
        ]
    );
    let mut found = Found::default();
    for reference in references {
        found.keys.insert(reference, PublicKey::all_from_pem("k", KEY).unwrap());
    }
    let policy = policy.resolve(&found).unwrap();
    let names: Vec<_> = policy.authorities.iter().map(|authority| authority.name.as_str()).collect();
    assert_eq!(names, ["kept", "authority-1", "authority-2"]);
    assert!(
        policy
            .authorities
            .iter()
            .all(|authority| matches!(&authority.kind, AuthorityKind::Key(keys) if keys.len() == 1))
    );
    assert!(policy.matches(&Image::parse("nginx").reference.unwrap()));
}

#[test]
fn what_is_no_public_key_is_refused_with_the_fix() {
    for (pem, fix) in [
        ("", "-----BEGIN PUBLIC KEY-----"),
        (
            "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nYQ==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----",
            "public-key",
        ),
        ("-----BEGIN RSA PUBLIC KEY-----\nYQ==\n-----END RSA PUBLIC KEY-----", "openssl rsa"),
        ("-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----", "no public key"),
        ("-----BEGIN PUBLIC KEY-----\nYQ==\n-----END PUBLIC KEY-----", "cannot be used"),
    ] {
        let why = PublicKey::all_from_pem("k", pem).unwrap_err();
        assert!(why.contains(fix), "{pem}: {why}");
    }
    assert_eq!(PublicKey::all_from_pem("k", &format!("{KEY}{KEY}")).unwrap().len(), 2);
}
