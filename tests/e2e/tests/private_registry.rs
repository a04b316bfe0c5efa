//! Private images, with a real registry that wants passwords, a real API server that keeps the pull secrets, and
//! a real docker credential helper on the path.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use provenance_e2e::registry::{crane, push};
use provenance_e2e::token::User;
use provenance_e2e::{Cluster, Kind, RealRegistry, TokenServer, collector};
use provenance_engine::FailureKind;
use provenance_model::report::{OutcomeWord, ProblemReason, Report};
use provenance_testbed::kube::{pod, pull_secret};
use serde_json::{Value, json};

/// `ann` with the password `secret`, as htpasswd writes it with bcrypt.
const HTPASSWD: &str = "ann:$2y$05$XHHNi9Km3bJmRYHEW9nM.uUmEuCb7CnYF4jiQqSNDw2T4RxvEbMcK";

/// A registry that only `ann` may ask, with one image. Answers the image's digest as well.
async fn private_registry(folder: &Path) -> (RealRegistry, String) {
    let htpasswd = folder.join("htpasswd");
    std::fs::write(&htpasswd, HTPASSWD).unwrap();
    let auth = format!("auth:\n  htpasswd: {{realm: private, path: {}}}\n", htpasswd.display());
    filled(folder, &auth).await
}

/// A registry that asks for credentials in this way, with one image. It was pushed before anybody asked for any: crane
/// shows its credentials to no token server on loopback.
async fn filled(folder: &Path, auth: &str) -> (RealRegistry, String) {
    let data = folder.join("data");
    let open = RealRegistry::over(&data, "").await;
    let digest = push(folder, &format!("{}/team/app:v1", open.host()), "an image");
    drop(open);
    let registry = RealRegistry::over(&data, auth).await;
    let docker = folder.join("docker");
    std::fs::create_dir_all(&docker).unwrap();
    let config = json!({"auths": {registry.host(): {"username": "ann", "password": "secret"}}});
    std::fs::write(docker.join("config.json"), config.to_string()).unwrap();
    (registry, digest)
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn scan(image: &str, home: &Path, environment: &[(&str, &Path)]) -> (Option<FailureKind>, String) {
    let mut command = Command::new(collector());
    command.args(["scan", image, "--format", "json"]).env("HOME", home).env_remove("DOCKER_CONFIG");
    command.env_remove("PROVENANCE_REGISTRY_AUTH").envs(environment.iter().copied());
    let (status, out, err) = run(&mut command);
    assert_eq!(status, 0, "{err}");
    assert!(!format!("{out}{err}").contains("c2VjcmV0") && !err.contains("password"), "no secret is shown");
    let report: Report = serde_json::from_str(&out).unwrap();
    let stage = report.images[0].stages.clone().unwrap().digest.unwrap();
    let reason = stage.reason.map(|reason| (reason.kind, reason.message)).unwrap_or_default();
    (reason.0, reason.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_configuration_its_folder_a_login_and_a_helper_open_a_private_registry() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = private_registry(folder.path()).await;
    let image = format!("{}/team/app:v1", registry.host());
    let home = folder.path().join("home");
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    let docker = folder.path().join("docker");

    let (kind, why) = scan(&image, &home, &[]);
    assert_eq!(kind, Some(FailureKind::Unauthorized), "{why}");
    for named in [docker.clone(), docker.join("config.json")] {
        let (kind, why) = scan(&image, &home, &[("PROVENANCE_REGISTRY_AUTH", &named)]);
        assert_eq!(kind, None, "{why}");
    }
    let (kind, why) = scan(&image, &home, &[("DOCKER_CONFIG", &docker)]);
    assert_eq!(kind, None, "{why}");

    // A helper, as ECR's, GCR's and ACR's are: a program on the path that speaks the protocol.
    let bin = folder.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let helper = bin.join("docker-credential-vault");
    let script = "#!/bin/sh\n[ \"$1\" = get ] || exit 2\nread -r server\n\
                  echo \"$server\" >>\"$HOME/asked\"\n\
                  printf '{\"ServerURL\":\"%s\",\"Username\":\"ann\",\"Secret\":\"secret\"}' \"$server\"\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let config = json!({"credHelpers": {registry.host(): "vault"}}).to_string();
    std::fs::write(home.join(".docker/config.json"), config).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let (kind, why) = scan(&image, &home, &[("PATH", Path::new(&path))]);
    assert_eq!(kind, None, "{why}");
    assert_eq!(std::fs::read_to_string(home.join("asked")).unwrap().lines().count(), 1, "asked once");

    // A helper that is not installed is named where the registry refuses, and only there.
    let (kind, why) = scan(&image, &home, &[]);
    assert_eq!(kind, Some(FailureKind::Unauthorized));
    assert!(why.contains("docker-credential-vault") && why.contains("could not be started"), "{why}");
    let open = RealRegistry::start(Kind::GoContainerRegistry).await;
    std::fs::write(home.join(".docker/config.json"), json!({"credsStore": "vault"}).to_string()).unwrap();
    let layer = folder.path().join("layer.tar").display().to_string();
    let public = format!("{}/app:v1", open.host());
    crane(None, &["append", "--new_layer", &layer, "--new_tag", &public]);
    let (kind, why) = scan(&public, &home, &[]);
    assert_eq!(kind, None, "{why}");

    // A damaged configuration is one clear line, without what it holds.
    std::fs::write(home.join(".docker/config.json"), r#"{"auths": {"r": {"auth": "topsecret!"}}}"#).unwrap();
    let mut command = Command::new(collector());
    command.args(["scan", &image]).env("HOME", &home).env_remove("DOCKER_CONFIG");
    let (status, _, err) = run(&mut command);
    assert_eq!((status, err.lines().count()), (2, 1), "{err}");
    assert!(
        err.contains("config.json: the entry for \"r\" is damaged") && !err.contains("topsecret"),
        "{err}"
    );
}

/// Who may ask for the image, who may ask for another one only.
const USERS: &[User] = &[("ann", "secret", &["team/app"]), ("bob", "bobs", &["team/other"])];

#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_sees_what_its_own_passwords_open_and_what_its_own_tokens_open() {
    {
        let folder = tempfile::tempdir().unwrap();
        let (cluster, registry) = tokio::join!(Cluster::start(), private_registry(folder.path()));
        see_different_rows(&cluster, registry, folder.path()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = TokenServer::start(folder.path(), USERS).await;
    let (cluster, registry) = tokio::join!(Cluster::start(), filled(folder.path(), server.configuration()));
    see_different_rows(&cluster, registry, folder.path()).await;
}

/// Five namespaces with five ways to have credentials, or not; and `bob`, who is known and has no right.
async fn see_different_rows(cluster: &Cluster, (registry, digest): (RealRegistry, String), folder: &Path) {
    let host = registry.host();
    let image = format!("{host}/team/app:v1");
    let id = format!("{host}/team/app@{digest}");
    for namespace in ["by-pod", "by-account", "wrong", "none", "two", "bob"] {
        cluster.namespace(namespace).await;
    }
    let secret = async |namespace: &str, name: &str, password: &str| {
        let user = if namespace == "bob" { "bob" } else { "ann" };
        let object = pull_secret(namespace, name, &host, user, password);
        cluster.create(&format!("/api/v1/namespaces/{namespace}/secrets"), &object).await;
    };
    secret("by-pod", "regcred", "secret").await;
    secret("by-account", "regcred", "secret").await;
    secret("wrong", "regcred", "guess").await;
    secret("two", "old", "guess").await;
    secret("two", "new", "secret").await;
    secret("bob", "regcred", "bobs").await;
    let account = json!({"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "regcred"}]});
    cluster.create("/api/v1/namespaces/by-account/serviceaccounts", &account).await;
    for (namespace, secrets, account) in [
        ("by-pod", vec!["regcred"], ""),
        ("by-account", vec![], "puller"),
        ("wrong", vec!["regcred"], ""),
        ("none", vec![], ""),
        ("two", vec!["old", "new"], ""),
        ("bob", vec!["regcred"], ""),
    ] {
        let mut object = pod(namespace, "app", &Value::Null, &[("app", &image, &id)]);
        let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
        object["spec"]["imagePullSecrets"] = json!(secrets);
        if !account.is_empty() {
            object["spec"]["serviceAccountName"] = account.into();
        }
        cluster.pod(&object).await;
    }

    let collect = |extra: &[(&str, &str)]| {
        let mut command = Command::new(collector());
        command
            .args(["collect", "--format", "json"])
            .env("KUBECONFIG", cluster.admin_kubeconfig())
            .env("PROVENANCE_REPORT_PATH", folder.join("reports"))
            .env("HOME", folder)
            .env_remove("DOCKER_CONFIG")
            .envs(extra.iter().copied());
        let (status, out, err) = run(&mut command);
        assert_eq!(status, 0, "{err}");
        serde_json::from_str::<Report>(&out).unwrap()
    };
    let outcomes = |report: &Report| -> BTreeMap<String, (OutcomeWord, Option<FailureKind>)> {
        let told = report.images.iter().map(|row| {
            let stage = row.stages.as_ref().unwrap().digest.as_ref().unwrap();
            let kind = stage.reason.as_ref().and_then(|reason| reason.kind);
            (row.namespace.clone(), (stage.outcome, kind))
        });
        told.collect()
    };
    let found = (OutcomeWord::Found, None);
    let refused = (OutcomeWord::Failed, Some(FailureKind::Unauthorized));
    let expected = |by_pod, by_account, wrong, none, two| {
        let names = ["by-pod", "by-account", "wrong", "none", "two", "bob"].map(str::to_owned);
        // What bob may not see is refused to him, or only with the collector's own credentials found.
        let bob = if none == found { found } else { refused };
        names.into_iter().zip([by_pod, by_account, wrong, none, two, bob]).collect::<BTreeMap<_, _>>()
    };

    let report = collect(&[]);
    assert_eq!(outcomes(&report), expected(found, found, refused, refused, found));
    assert_eq!(report.run.unwrap().problems, []);

    // Reading secrets can be turned off: then only the collector's own credentials count.
    let report = collect(&[("PROVENANCE_PULL_SECRETS", "false")]);
    assert_eq!(outcomes(&report), expected(refused, refused, refused, refused, refused));
    let own = folder.join("docker").display().to_string();
    let report = collect(&[("PROVENANCE_PULL_SECRETS", "false"), ("PROVENANCE_REGISTRY_AUTH", &own)]);
    assert_eq!(outcomes(&report), expected(found, found, found, found, found));

    // Without the right to read secrets the rows are there, and the report names the secrets.
    let rules = json!([{"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list"]}]);
    let token = cluster.account("collector", "none", &rules, None).await;
    let kubeconfig = cluster.kubeconfig(&token, "none").display().to_string();
    let report = collect(&[("KUBECONFIG", &kubeconfig)]);
    assert_eq!(report.images.len(), 6);
    let problems = report.run.unwrap().problems;
    assert!(
        problems.iter().all(|problem| problem.reason == ProblemReason::Forbidden && !problem.is_partial())
    );
    assert!(
        problems.iter().any(|problem| problem.message.contains("pull secret by-pod/regcred")),
        "{problems:?}"
    );
}
