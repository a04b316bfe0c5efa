//! A real kube-apiserver with etcd and RBAC. Nothing runs on it: pods are objects, and their status is set.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use provenance_stages::discovery::connect;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Server, free_port, is_listening, run, tool};

const ADMIN_TOKEN: &str = "admin-of-the-test";

/// How long an API server may take to be ready; a few seconds are usual.
const READY_WITHIN: Duration = Duration::from_secs(40);

/// A running API server.
pub struct Cluster {
    /// A client that may do everything.
    pub admin: kube::Client,
    port: u16,
    etcd_port: u16,
    folder: TempDir,
    _servers: [Server; 2],
}

impl Cluster {
    /// Starts etcd and the API server.
    ///
    /// # Panics
    ///
    /// Where one of them does not come up.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts etcd and the API server with further flags.
    ///
    /// # Panics
    ///
    /// Where one of them does not come up.
    pub async fn with(flags: &[&str]) -> Self {
        // Beside a busy machine's other work an API server now and then waits for its own caches for ever.
        for _ in 0..3 {
            if let Some(cluster) = Self::try_start(flags).await {
                return cluster;
            }
        }
        panic!("kube-apiserver was not ready in {READY_WITHIN:?}, three times");
    }

    async fn try_start(flags: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (etcd_port, peer_port, port) = (free_port(), free_port(), free_port());
        let etcd = Self::etcd(&folder, etcd_port, peer_port).await;
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let key_file = folder.path().join("service-account.key");
        std::fs::write(&key_file, key.serialize_pem()).expect("the temporary folder is writable");
        let public_key = folder.path().join("service-account.pub");
        std::fs::write(&public_key, key.public_key_pem()).expect("the temporary folder is writable");
        let tokens = folder.path().join("tokens.csv");
        std::fs::write(&tokens, format!("{ADMIN_TOKEN},admin,admin,system:masters\n"))
            .expect("the temporary folder is writable");
        let mut command = Command::new(tool("kube-apiserver"));
        command
            .args(flags)
            .arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"))
            .arg(format!("--secure-port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
            ])
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--service-account-key-file={}", public_key.display()))
            .arg(format!("--service-account-signing-key-file={}", key_file.display()))
            .arg(format!("--token-auth-file={}", tokens.display()))
            .arg(format!("--cert-dir={}", folder.path().join("certs").display()))
            // Nothing runs here, so no controller makes the accounts and tokens that it would ask for.
            .arg("--disable-admission-plugins=ServiceAccount");
        let mut api = Server::start("kube-apiserver", command, folder.path());
        let certificate = folder.path().join("certs/apiserver.crt");
        api.until_ready(async || certificate.exists()).await;
        let admin = connect(&[kubeconfig(folder.path(), port, ADMIN_TOKEN, "default")]).await;
        let admin = admin.expect("the kubeconfig is valid");
        let ready = async || {
            let ready = Request::get("/readyz").body(Vec::new()).expect("a fixed request is valid");
            let answer = tokio::time::timeout(Duration::from_secs(5), admin.request_text(ready)).await;
            matches!(answer, Ok(Ok(_)))
        };
        let is_ready = api.is_ready_within(READY_WITHIN, ready).await;
        is_ready.then_some(Self { admin, port, etcd_port, folder, _servers: [api, etcd] })
    }

    async fn etcd(folder: &TempDir, port: u16, peer_port: u16) -> Server {
        let mut command = Command::new(tool("etcd"));
        command
            .arg(format!("--data-dir={}", folder.path().join("etcd").display()))
            .arg(format!("--listen-client-urls=http://127.0.0.1:{port}"))
            .arg(format!("--advertise-client-urls=http://127.0.0.1:{port}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"))
            .arg(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}"))
            .arg(format!("--initial-cluster=default=http://127.0.0.1:{peer_port}"))
            // The data is gone with the test.
            .args(["--unsafe-no-fsync", "--log-level=warn"]);
        let mut etcd = Server::start("etcd", command, folder.path());
        etcd.until_ready(async || is_listening(port).await).await;
        etcd
    }

    /// The API server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that the API server shows.
    ///
    /// # Panics
    ///
    /// Where it cannot be read.
    pub fn certificate(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("certs/apiserver.crt")).expect("it is there")
    }

    /// Creates an object below this collection; answers it as it is stored.
    ///
    /// # Panics
    ///
    /// Where the API server refuses it.
    pub async fn create(&self, collection: &str, object: &Value) -> Value {
        let body = object.to_string().into_bytes();
        let request = Request::post(collection).header("content-type", "application/json").body(body);
        let request = request.expect("the request is valid");
        self.admin
            .request(request)
            .await
            .unwrap_or_else(|error| panic!("POST {collection}: {error}\n{object}"))
    }

    /// Creates an object; answers its uid.
    pub async fn create_uid(&self, collection: &str, object: &Value) -> String {
        self.create(collection, object).await["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    }

    /// Creates a namespace.
    pub async fn namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
    }

    /// Creates a pod and sets its status, as a kubelet would.
    ///
    /// # Panics
    ///
    /// Where the API server refuses it.
    pub async fn pod(&self, pod: &Value) {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let collection = format!("/api/v1/namespaces/{namespace}/pods");
        self.create(&collection, pod).await;
        let status = json!({"status": pod["status"]}).to_string().into_bytes();
        let request = Request::patch(format!("{collection}/{name}/status"))
            .header("content-type", "application/merge-patch+json")
            .body(status)
            .expect("the request is valid");
        let patched: Result<Value, _> = self.admin.request(request).await;
        patched.unwrap_or_else(|error| panic!("status of {namespace}/{name}: {error}"));
    }

    /// A ServiceAccount with these rules across the cluster, or in one namespace; answers its token.
    pub async fn account(&self, name: &str, home: &str, rules: &Value, only_in: Option<&str>) -> String {
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let (kind, base) = match only_in {
            None => ("ClusterRole", rbac.to_owned()),
            Some(namespace) => ("Role", format!("{rbac}/namespaces/{namespace}")),
        };
        let plural = kind.to_lowercase();
        self.create(
            &format!("/api/v1/namespaces/{home}/serviceaccounts"),
            &json!({"metadata": {"name": name}}),
        )
        .await;
        self.create(&format!("{base}/{plural}s"), &json!({"metadata": {"name": name}, "rules": rules})).await;
        let binding = json!({
            "metadata": {"name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": home}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        });
        self.create(&format!("{base}/{plural}bindings"), &binding).await;
        let asked = json!({"spec": {"expirationSeconds": 3600}});
        let token =
            self.create(&format!("/api/v1/namespaces/{home}/serviceaccounts/{name}/token"), &asked).await;
        token["status"]["token"].as_str().unwrap_or_default().to_owned()
    }

    /// A kubeconfig file for a token, whose context is in this namespace.
    pub fn kubeconfig(&self, token: &str, namespace: &str) -> PathBuf {
        kubeconfig(self.folder.path(), self.port, token, namespace)
    }

    /// The administrator's kubeconfig.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig(ADMIN_TOKEN, "default")
    }

    /// Defines a kind, without its schema, and waits until it is served.
    ///
    /// # Panics
    ///
    /// Where the API server refuses it, or does not serve it in half a minute.
    pub async fn define(&self, group_version: &str, kind: &str, plural: &str, is_namespaced: bool) {
        let (group, version) = group_version.split_once('/').expect("a custom kind has a group");
        let version = json!({
            "name": version, "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        });
        let object = json!({
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "scope": if is_namespaced { "Namespaced" } else { "Cluster" },
                "versions": [version],
            },
        });
        self.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &object).await;
        self.until_served(&format!("/apis/{group_version}/{plural}")).await;
    }

    /// Waits until a kind that was just defined is served.
    ///
    /// # Panics
    ///
    /// Where that takes longer than half a minute.
    pub(crate) async fn until_served(&self, collection: &str) {
        for _ in 0..300 {
            let request = Request::get(collection).body(Vec::new()).expect("the request is valid");
            if self.admin.request::<Value>(request).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{collection} is not served");
    }

    /// Lets every continue token that is out expire: forgets all history.
    ///
    /// # Panics
    ///
    /// Where etcd refuses.
    pub async fn forget_history(&self) {
        let etcdctl = |arguments: &[&str]| {
            let mut command = Command::new(tool("etcdctl"));
            command.env("ETCDCTL_API", "3").arg(format!("--endpoints=http://127.0.0.1:{}", self.etcd_port));
            command.args(arguments);
            run(command)
        };
        let status: Value = serde_json::from_str(&etcdctl(&["endpoint", "status", "--write-out=json"]))
            .expect("etcdctl writes JSON");
        let revision = status[0]["Status"]["header"]["revision"].to_string();
        etcdctl(&["compaction", "--physical=true", &revision]);
        // The API server looks at etcd's compactions now and then only; the token is checked by etcd itself.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes a kubeconfig for a token, whose context is in this namespace.
fn kubeconfig(folder: &Path, port: u16, token: &str, namespace: &str) -> PathBuf {
    static WRITTEN: AtomicUsize = AtomicUsize::new(0);
    let path = folder.join(format!("kubeconfig-{}", WRITTEN.fetch_add(1, Ordering::Relaxed)));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: c, user: u, namespace: {namespace}}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority: '{}'}}}}]\n\
         users: [{{name: u, user: {{token: '{token}'}}}}]\n",
        folder.join("certs/apiserver.crt").display()
    );
    std::fs::write(&path, text).expect("the temporary folder is writable");
    path
}
