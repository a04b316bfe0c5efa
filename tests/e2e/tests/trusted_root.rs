//! The trusted root refreshed over TUF, from a repository that python-tuf made: only when that is asked for, and only as
//! its own root says.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::Command;

use provenance_e2e::process::{Server, free_port, is_listening, run, tool};
use provenance_e2e::registry::push;
use provenance_e2e::scan::{scan_one, try_scan};
use provenance_e2e::{Kind, RealRegistry, Sigstore};
use provenance_model::report::SignatureVerdict;

fn repository(folder: &Path, file: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuf_repository.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(folder).arg(file);
    command.env("PYTHONPATH", tool("tuf/tuf/__init__.py").ancestors().nth(2).unwrap());
    run(command);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_root_is_fetched_over_tuf_when_asked_and_believed_only_by_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let sigstore = Sigstore::start().await;
    let registry = RealRegistry::start(Kind::GoContainerRegistry).await;
    let image = format!("{}/acme/web:v1", registry.host());
    let digest = push(folder.path(), &image, "web");
    let mut command = sigstore.keyless("sign", "ann@acme.example");
    command.arg(format!("{}/acme/web@{digest}", registry.host()));
    run(command);

    repository(folder.path(), &sigstore.trusted_root());
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory"]);
    command.arg(folder.path().join("repository"));
    let mut server = Server::start("tuf", command, folder.path());
    server.until_ready(async || is_listening(port).await).await;

    let policy = folder.path().join("policy.yaml");
    let text = format!(
        "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\nmetadata: {{name: acme}}\nspec:\n  \
         images: [{{glob: '**'}}]\n  authorities:\n  - keyless: {{insecureIgnoreSCT: true, identities: \
         [{{subject: ann@acme.example, issuer: '{}'}}]}}\n    ctlog: {{}}\n",
        sigstore.issuer.url()
    );
    std::fs::write(&policy, text).unwrap();
    let mirror = format!("http://127.0.0.1:{port}");
    let arguments = |root: &Path| {
        let path = |path: &Path| path.display().to_string();
        vec![
            "--trusted-root=tuf".to_owned(),
            "--tuf-mirror".into(),
            mirror.clone(),
            "--tuf-root".into(),
            path(root),
            "--trust-policies".into(),
            path(&policy),
        ]
    };
    let row = scan_one(&image, &arguments(&folder.path().join("root.json")));
    assert_eq!(row.signature.as_ref().unwrap().verdict, Some(SignatureVerdict::Verified), "{row:#?}");

    // A repository that is not the root's own is not believed; one that does not answer is told.
    let other = tempfile::tempdir().unwrap();
    repository(other.path(), &sigstore.trusted_root());
    let (status, _, err) = try_scan(&[&image], &arguments(&other.path().join("root.json")));
    assert_eq!(status, 1, "{err}");
    assert!(err.contains("--trusted-root=tuf"), "{err}");
    drop(server);
    let (status, _, err) = try_scan(&[&image], &arguments(&folder.path().join("root.json")));
    assert!(status == 1 && err.contains("--trusted-root=tuf"), "{err}");
    // A mirror without what it is believed by is refused.
    let (status, _, err) = try_scan(&[&image], &["--trusted-root=tuf", "--tuf-mirror", "http://127.0.0.1:9"]);
    assert!(status == 2 && err.contains("go together"), "{err}");
}
