//! Where keys are to be had: AWS KMS (moto), `HashiCorp` Vault, Secrets and policies of a real cluster. Each signs an image
//! itself, and the collector verifies with the key it fetched.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Json;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_e2e::process::{Server, free_port, is_listening, run, tool};
use provenance_e2e::sigstore::{cosign, key_pair};
use provenance_e2e::{Cluster, collector};
use provenance_model::report::{ProblemReason, Report, SignatureVerdict};
use provenance_model::trust::RefusalKind;
use provenance_testbed::kube::pod;
use provenance_testbed::{BuiltImage, Registry, attach};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// POSTs JSON to a server of loopback.
fn post(url: &str, headers: &[&str], body: &Value) -> Value {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--data", &body.to_string(), url]);
    for header in headers {
        command.args(["-H", header]);
    }
    serde_json::from_str(&run(command)).unwrap_or_default()
}

/// An image in a registry of its own, signed in cosign's form by whoever answers.
async fn signed(sign: impl Fn(&[u8]) -> Vec<u8>) -> (Registry, String) {
    let registry = Registry::start().await.unwrap();
    let digest = registry.push("acme/web", "v1", &BuiltImage::single("web"));
    let (payload, signature) = attach::simple_signing(&digest, sign);
    let annotations = json!({"dev.cosignproject.cosign/signature": STANDARD.encode(signature)});
    let manifest = attach::simple_signing_manifest(payload, annotations);
    registry.attach("acme/web", Some(&attach::tag(&digest, ".sig")), &manifest);
    let image = format!("{}/acme/web:v1", registry.host());
    (registry, image)
}

/// The verdict with this key, or what the collector complains of.
fn verify(image: &str, key: &str, environment: &[(&str, &str)]) -> Result<SignatureVerdict, String> {
    let mut command = Command::new(collector());
    command.args(["scan", image, "--format", "json", "--cosign-public-key", key]);
    command.env_clear().env("HOME", "/nonexistent").envs(environment.iter().copied());
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    Ok(report.images[0].signature.as_ref().unwrap().verdict.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_aws_kms_verifies_what_it_signed() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    command.env("PYTHONPATH", tool("moto/moto/__init__.py").ancestors().nth(2).unwrap());
    let mut moto = Server::start("moto", command, folder.path());
    moto.until_ready(async || is_listening(port).await).await;
    let kms = |target: &str, body: &Value| {
        let headers = [
            format!("X-Amz-Target: TrentService.{target}"),
            "Content-Type: application/x-amz-json-1.1".into(),
            "Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host, Signature=00".into(),
        ];
        post(&format!("http://127.0.0.1:{port}/"), &headers.each_ref().map(String::as_str), body)
    };
    for (spec, algorithm) in [
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("ECC_NIST_P384", "ECDSA_SHA_384"),
        ("RSA_2048", "RSASSA_PKCS1_V1_5_SHA_256"),
    ] {
        let created = kms("CreateKey", &json!({"KeyUsage": "SIGN_VERIFY", "KeySpec": spec}));
        let (id, arn) = (
            created["KeyMetadata"]["KeyId"].as_str().unwrap(),
            created["KeyMetadata"]["Arn"].as_str().unwrap(),
        );
        kms("CreateAlias", &json!({"AliasName": format!("alias/{spec}"), "TargetKeyId": id}));
        let (_registry, image) = signed(|payload| {
            let message = json!({"KeyId": id, "Message": STANDARD.encode(payload), "MessageType": "RAW", "SigningAlgorithm": algorithm});
            STANDARD.decode(kms("Sign", &message)["Signature"].as_str().unwrap()).unwrap()
        })
        .await;
        let environment =
            [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK"), ("AWS_REGION", "eu-central-1")];
        for name in [id, arn, &format!("alias/{spec}")] {
            let key = format!("awskms://127.0.0.1:{port}/{name}");
            assert_eq!(verify(&image, &key, &environment), Ok(SignatureVerdict::Verified), "{key}");
        }
        // By the SDK's own variable, without an endpoint in the URI.
        let url = format!("http://127.0.0.1:{port}");
        let by_variable = [environment.as_slice(), &[("AWS_ENDPOINT_URL_KMS", &url)]].concat();
        assert_eq!(verify(&image, &format!("awskms:///{arn}"), &by_variable), Ok(SignatureVerdict::Verified));
    }
    let missing = format!("awskms://127.0.0.1:{port}/nothing");
    let credentials =
        [("AWS_ACCESS_KEY_ID", "AK"), ("AWS_SECRET_ACCESS_KEY", "SK"), ("AWS_REGION", "eu-central-1")];
    let error = verify("any", &missing, &credentials).unwrap_err();
    assert!(error.contains(&missing) && error.contains("answered 400"), "{error}");
    let error = verify("any", "awskms:///alias/x", &[]).unwrap_err();
    assert!(error.contains("set AWS_REGION"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_vault_verifies_what_it_signed() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(tool("vault"));
    command.args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"]);
    command.arg(format!("-dev-listen-address=127.0.0.1:{port}")).env("HOME", folder.path());
    let mut vault = Server::start("vault", command, folder.path());
    vault.until_ready(async || is_listening(port).await).await;
    let url = format!("http://127.0.0.1:{port}");
    let ask = |path: &str, body: &Value| post(&format!("{url}/v1/{path}"), &["X-Vault-Token: root"], body);
    let mut attempts = 0;
    // It listens a moment before it is unsealed.
    while Command::new("curl")
        .args(["--silent", "--fail", "--output", "/dev/null", &format!("{url}/v1/sys/health")])
        .status()
        .is_ok_and(|status| !status.success())
    {
        attempts += 1;
        assert!(attempts < 100, "vault is not unsealed");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    ask("sys/mounts/signing", &json!({"type": "transit"}));
    for (kind, hash) in [
        ("ecdsa-p256", "sha2-256"),
        ("ecdsa-p384", "sha2-384"),
        ("ed25519", "sha2-256"),
        ("rsa-2048", "sha2-256"),
    ] {
        ask(&format!("signing/keys/{kind}"), &json!({"type": kind}));
        let (_registry, image) = signed(|payload| {
            let body = json!({"input": STANDARD.encode(payload), "signature_algorithm": "pkcs1v15"});
            let answer = ask(&format!("signing/sign/{kind}/{hash}"), &body);
            let signature =
                answer["data"]["signature"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
            STANDARD.decode(signature).unwrap()
        })
        .await;
        let environment = [
            ("VAULT_ADDR", url.as_str()),
            ("VAULT_TOKEN", "root"),
            ("TRANSIT_SECRET_ENGINE_PATH", "signing"),
        ];
        let key = format!("hashivault://{kind}");
        assert_eq!(verify(&image, &key, &environment), Ok(SignatureVerdict::Verified), "{kind}");
        let wrong = [
            ("VAULT_ADDR", url.as_str()),
            ("VAULT_TOKEN", "guess"),
            ("TRANSIT_SECRET_ENGINE_PATH", "signing"),
        ];
        let error = verify(&image, &key, &wrong).unwrap_err();
        assert!(error.contains(&key) && error.contains("403") && !error.contains("guess"), "{error}");
    }
}

fn collect(kubeconfig: &Path, folder: &Path, arguments: &[&str]) -> Report {
    let mut command = Command::new(collector());
    command.args(["collect", "--format", "json"]).args(arguments).env("KUBECONFIG", kubeconfig);
    command.env("PROVENANCE_REPORT_PATH", folder.join("reports")).env("HOME", folder);
    serde_json::from_str(&run(command)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_policies_of_the_cluster_itself_are_applied() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start().await;
    let key = key_pair(folder.path(), "ours", "p256");
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let registry = Registry::start().await.unwrap();
    let digest = registry.push("acme/web", "v1", &BuiltImage::single("web"));
    let mut command = cosign(2);
    command.args(["sign", "--yes", "--tlog-upload=false", "--key"]).arg(key.with_extension("key"));
    command.arg(format!("{}/acme/web@{digest}", registry.host()));
    run(command);
    let image = format!("{}/acme/web:v1", registry.host());
    for namespace in ["shop", "cosign-system"] {
        cluster.namespace(namespace).await;
    }
    let id = format!("{}/acme/web@{digest}", registry.host());
    cluster.pod(&pod("shop", "web", &Value::Null, &[("web", &image, &id)])).await;
    let secret = json!({"metadata": {"name": "ours"}, "data": {"cosign.pub": STANDARD.encode(&public)}});
    cluster.create("/api/v1/namespaces/cosign-system/secrets", &secret).await;

    // A Secret named by hand; no policies yet.
    let admin = cluster.admin_kubeconfig();
    let report = collect(&admin, folder.path(), &["--cosign-public-key", "k8s://cosign-system/ours"]);
    let signature = report.images[0].signature.clone().unwrap();
    assert!(signature.verified, "{signature:#?}");
    assert_eq!(signature.policies.unwrap()[0].name, "cosign-public-key");
    assert_eq!(report.run.unwrap().problems, []);

    // The cluster's own policies: one that names the Secret, one that cannot be used.
    cluster.define("policy.sigstore.dev/v1beta1", "ClusterImagePolicy", "clusterimagepolicies", false).await;
    cluster.define("policy.sigstore.dev/v1alpha1", "TrustRoot", "trustroots", false).await;
    let policy = |name: &str, spec: &Value| json!({"apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": name}, "spec": spec});
    let policies = "/apis/policy.sigstore.dev/v1beta1/clusterimagepolicies";
    let by_secret = json!([{"name": "us", "key": {"secretRef": {"name": "ours"}}}]);
    cluster
        .create(policies, &policy("ours", &json!({"images": [{"glob": "**"}], "authorities": by_secret})))
        .await;
    let cue = json!([{"key": {"data": public}, "attestations": [{"name": "a", "predicateType": "custom", "policy": {"type": "cue", "data": "x"}}]}]);
    cluster
        .create(policies, &policy("unsupported", &json!({"images": [{"glob": "**"}], "authorities": cue})))
        .await;
    let report = collect(&admin, folder.path(), &[]);
    let signature = report.images[0].signature.clone().unwrap();
    assert_eq!(signature.verdict, Some(SignatureVerdict::Verified), "{signature:#?}");
    let applied = &signature.policies.unwrap()[0];
    assert_eq!((applied.name.as_str(), applied.authority.as_deref()), ("ours", Some("us")));
    let problems = report.run.unwrap().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].reason, problems[0].rows_missing), (ProblemReason::Malformed, false));
    assert!(
        problems[0].message.contains("unsupported") && problems[0].message.contains("attestations.policy"),
        "{problems:?}"
    );

    // A second policy for the same image that wants somebody else: both must be satisfied.
    let other =
        std::fs::read_to_string(key_pair(folder.path(), "other", "p256").with_extension("pub")).unwrap();
    let by_other = json!({"images": [{"glob": "**/acme/*"}], "authorities": [{"key": {"data": other}}]});
    cluster.create(policies, &policy("theirs", &by_other)).await;
    let report = collect(&admin, folder.path(), &[]);
    let signature = report.images[0].signature.clone().unwrap();
    assert_eq!(signature.verdict, Some(SignatureVerdict::Invalid), "{signature:#?}");
    assert_eq!(signature.reason.unwrap().kind, RefusalKind::Key);
    let said: Vec<_> =
        signature.policies.unwrap().iter().map(|policy| (policy.name.clone(), policy.satisfied)).collect();
    assert_eq!(said, [("ours".to_owned(), true), ("theirs".to_owned(), false)]);

    // Without the right to list them there are none to apply; and they can be turned off.
    let report = collect(&admin, folder.path(), &["--cluster-policies=false"]);
    assert_eq!(report.images[0].signature.as_ref().unwrap().verdict, Some(SignatureVerdict::NotChecked));
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list"]}]);
    let token = cluster.account("collector", "shop", &rules, None).await;
    let report = collect(&cluster.kubeconfig(&token, "shop"), folder.path(), &[]);
    assert_eq!(report.images[0].signature.as_ref().unwrap().verdict, Some(SignatureVerdict::NotChecked));
}

/// A server that answers GETs and POSTs by path, and notes what it was shown.
async fn stand_in(answers: Vec<(&'static str, Value)>) -> (String, Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let shown = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&shown);
    let answer = move |request: axum::extract::Request| async move {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        noted.lock().unwrap().push(format!("{path} {}", authorization.unwrap_or_default()));
        let found = answers.iter().find(|(of, _)| path.starts_with(of)).map(|(_, answer)| answer.clone());
        found.map_or((axum::http::StatusCode::NOT_FOUND, Json(json!({}))), |found| {
            (axum::http::StatusCode::OK, Json(found))
        })
    };
    let serving = tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(answer)).await.ok();
    });
    (host, shown, serving)
}

/// Neither service has a stand-in that installs here: these are of our own, after the services' documentation.
#[tokio::test(flavor = "multi_thread")]
async fn keys_in_azure_key_vault_and_google_cloud_are_asked_for_as_their_documentation_says() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate().unwrap();
    let random = ring::rand::SystemRandom::new();
    let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
    let signing =
        ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &pair.serialize_der(), &random).unwrap();
    let (_registry, image) =
        signed(|payload| signing.sign(&random, payload).unwrap().as_ref().to_vec()).await;

    let point = ring::signature::KeyPair::public_key(&signing).as_ref()[1..].to_vec();
    let part = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({"key": {"kty": "EC", "crv": "P-256", "x": part(&point[..32]), "y": part(&point[32..])}});
    let token = json!({"access_token": "of-azure", "token_type": "Bearer", "expires_in": 300});
    let (azure, shown, azure_serving) = stand_in(vec![
        ("/keys/ours/3?api-version=7.4", jwk.clone()),
        ("/keys/ours?api-version=7.4", jwk),
        ("/tenant/oauth2/v2.0/token", token.clone()),
        ("/metadata/identity/oauth2/token", token),
    ])
    .await;
    let federated = folder.path().join("token");
    std::fs::write(&federated, "a projected token").unwrap();
    let federated = federated.display().to_string();
    let tenant =
        [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "us"), ("AZURE_AUTHORITY_HOST", azure.as_str())];
    for environment in [
        [tenant.as_slice(), &[("AZURE_CLIENT_SECRET", "s")]].concat(),
        [tenant.as_slice(), &[("AZURE_FEDERATED_TOKEN_FILE", &federated)]].concat(),
        vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.as_str())],
    ] {
        for key in [format!("azurekms://{azure}/ours"), format!("azurekms://{azure}/ours/3")] {
            assert_eq!(verify(&image, &key, &environment), Ok(SignatureVerdict::Verified), "{key}");
        }
    }
    assert!(shown.lock().unwrap().iter().any(|one| one.ends_with("Bearer of-azure")));
    azure_serving.abort();

    let name = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
    let versions = json!({"cryptoKeyVersions": [{"name": format!("{name}/cryptoKeyVersions/1")}, {"name": format!("{name}/cryptoKeyVersions/12")}]});
    let (google, shown, google_serving) = stand_in(vec![
        ("/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions?", versions),
        (
            "/v1/projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/12/publicKey",
            json!({"pem": pair.public_key_pem()}),
        ),
        ("/token", json!({"access_token": "of-google", "token_type": "Bearer", "expires_in": 300})),
    ])
    .await;
    let rsa = folder.path().join("rsa.pem");
    let mut generate = Command::new("openssl");
    generate.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]).arg(&rsa);
    run(generate);
    let account = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "client_id": "1", "client_email": "us@p.iam",
        "private_key": std::fs::read_to_string(&rsa).unwrap(), "token_uri": format!("http://{google}/token"),
        "auth_uri": "", "auth_provider_x509_cert_url": "", "client_x509_cert_url": "",
    });
    let file = folder.path().join("account.json");
    std::fs::write(&file, account.to_string()).unwrap();
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap()),
        ("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", google.as_str()),
    ];
    for key in [format!("gcpkms://{name}"), format!("gcpkms://{name}/cryptoKeyVersions/12")] {
        assert_eq!(verify(&image, &key, &environment), Ok(SignatureVerdict::Verified), "{key}");
    }
    assert!(shown.lock().unwrap().iter().any(|one| one.ends_with("Bearer of-google")));
    google_serving.abort();
}
