//! A pod's template, run as a local process: its arguments and environment exactly, its volumes as folders at their paths, the
//! token of its account where a kubelet puts it, as its user, without capabilities, on a root that is read-only.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::Cluster;
use crate::process::collector;

/// Folders of the machine that a program needs to start; an image has its own.
const SYSTEM: [&str; 6] = ["/usr", "/lib", "/lib64", "/bin", "/sbin", "/etc/ssl"];

/// Where the volumes of claims are, and which Services lead to this machine.
#[derive(Debug)]
pub struct Node {
    folder: TempDir,
    /// Host names that are this machine.
    pub hosts: Vec<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made"), hosts: Vec::new() }
    }
}

/// A pod made ready to run.
#[derive(Debug)]
pub struct Pod {
    command: Command,
    folder: TempDir,
}

/// A pod that runs. Ended with its namespaces when dropped.
#[derive(Debug)]
pub struct RunningPod {
    child: Child,
    _folder: TempDir,
}

impl RunningPod {
    /// Sends a signal to the pod's first process. unshare's own is not passed on to who changed its user.
    fn signal(&self, name: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            // It may have ended by itself.
            Command::new("kill").args([&format!("-{name}"), child]).status().ok();
        }
    }

    /// Ends it as a kubelet does, with SIGTERM; answers its exit status.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for RunningPod {
    fn drop(&mut self) {
        // The namespace ends with its first process.
        self.signal("KILL");
        self.child.wait().ok();
    }
}

impl Node {
    /// The folder of a claim.
    ///
    /// # Panics
    ///
    /// Where it cannot be made.
    pub fn claim(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("the temporary folder is writable");
        folder
    }

    /// Makes the pod of a template ready. `labels` are those that a controller adds.
    ///
    /// # Panics
    ///
    /// Where the template asks for what is not there.
    pub async fn pod(
        &self,
        cluster: &Cluster,
        namespace: &str,
        template: &Value,
        labels: &[(&str, &str)],
        more: &[(&str, &str)],
    ) -> Pod {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let spec = &template["spec"];
        let container = &spec["containers"][0];
        let context = &spec["securityContext"];
        let id = |field: &str| context[field].as_u64().unwrap_or_else(|| panic!("the pod says no {field}"));
        let (user, group) = (id("runAsUser"), id("fsGroup"));

        let mut script = String::from("set -e\nmount --make-rprivate /\n");
        let root = folder.path().join("root");
        std::fs::create_dir(&root).expect("the temporary folder is writable");
        let mut line = |text: String| writeln!(script, "{text}").expect("writing to a string does not fail");
        line(format!("mount -t tmpfs -o mode=0755 tmpfs {0}\ncd {0}\nmkdir -p etc proc dev", root.display()));
        for system in SYSTEM {
            if Path::new(system).is_symlink() {
                line(format!("cp -a {system} .{system}"));
            } else if Path::new(system).exists() {
                line(format!("mkdir -p .{system} && mount --rbind {system} .{system}"));
            }
        }
        line("mount --rbind /proc proc && mount --rbind /dev dev".into());
        let hosts: String =
            self.hosts.iter().map(|name| format!("127.0.0.1 {name}\n")).collect::<Vec<_>>().concat();
        std::fs::write(folder.path().join("hosts"), format!("127.0.0.1 localhost\n{hosts}"))
            .expect("writable");
        line(format!("cp {} etc/hosts", folder.path().join("hosts").display()));
        line(format!("touch collector && mount --bind {} collector", collector().display()));
        let mut mounts: BTreeMap<String, PathBuf> = BTreeMap::new();
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let (name, path) = (text(&mount["name"]), text(&mount["mountPath"]));
            let volumes = spec["volumes"].as_array().expect("a mount has its volume");
            let volume = volumes.iter().find(|one| one["name"] == name.as_str());
            let volume = volume.unwrap_or_else(|| panic!("no volume {name}"));
            let source = self.volume(cluster, namespace, spec, volume, folder.path()).await;
            mounts.insert(path, source);
        }
        if spec["automountServiceAccountToken"] != false {
            let source = folder.path().join("account");
            std::fs::create_dir(&source).expect("writable");
            let token = cluster.token(namespace, &text(&spec["serviceAccountName"]), None).await;
            for (name, content) in
                [("token", token), ("namespace", namespace.to_owned()), ("ca.crt", cluster.certificate())]
            {
                std::fs::write(source.join(name), content).expect("writable");
            }
            mounts.insert("/var/run/secrets/kubernetes.io/serviceaccount".into(), source);
        }
        for (path, source) in &mounts {
            line(format!("mkdir -p .{path} && mount --bind {} .{path}", source.display()));
        }
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        line("mount -o remount,ro,bind . || mount -o remount,ro .".into());
        line(format!(
            "exec chroot {} /usr/bin/setpriv --reuid={user} --regid={group} --clear-groups --no-new-privs --bounding-set=-all \
             --inh-caps=-all /usr/bin/env -i \"$@\"",
            root.display()
        ));
        let mut environment = self.environment(cluster, namespace, container, template, labels).await;
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &script, "pod"]);
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg("/collector");
        command.args(container["args"].as_array().expect("a container has arguments").iter().map(text));
        Pod { command, folder }
    }

    async fn environment(
        &self,
        cluster: &Cluster,
        namespace: &str,
        container: &Value,
        template: &Value,
        labels: &[(&str, &str)],
    ) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([
            ("KUBERNETES_SERVICE_HOST".to_owned(), "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT".to_owned(), cluster.port().to_string()),
        ]);
        for from in container["envFrom"].as_array().into_iter().flatten() {
            let name = text(&from["configMapRef"]["name"]);
            let map = cluster.get(&format!("/api/v1/namespaces/{namespace}/configmaps/{name}")).await;
            for (name, value) in map["data"].as_object().into_iter().flatten() {
                environment.insert(name.clone(), text(value));
            }
        }
        for entry in container["env"].as_array().into_iter().flatten() {
            let field = entry["valueFrom"]["fieldRef"]["fieldPath"].as_str();
            let value = match field.and_then(|path| path.strip_prefix("metadata.labels['")) {
                Some(label) => {
                    let label = label.trim_end_matches("']");
                    let added =
                        labels.iter().find(|(name, _)| *name == label).map(|(_, value)| (*value).to_owned());
                    added.unwrap_or_else(|| text(&template["metadata"]["labels"][label]))
                }
                None => text(&entry["value"]),
            };
            environment.insert(text(&entry["name"]), value);
        }
        environment
    }

    /// The folder of a volume, filled as a kubelet would.
    async fn volume(
        &self,
        cluster: &Cluster,
        namespace: &str,
        spec: &Value,
        volume: &Value,
        scratch: &Path,
    ) -> PathBuf {
        let name = text(&volume["name"]);
        let group = spec["securityContext"]["fsGroup"].as_u64().expect("the pod says its group");
        if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
            let folder = self.claim(claim);
            shared(&folder, group);
            return folder;
        }
        let folder = scratch.join(format!("volume-{name}"));
        std::fs::create_dir(&folder).expect("the temporary folder is writable");
        if volume["emptyDir"].is_object() {
            shared(&folder, group);
            return folder;
        }
        for source in volume["projected"]["sources"].as_array().into_iter().flatten() {
            let token = &source["serviceAccountToken"];
            let account = text(&spec["serviceAccountName"]);
            let content = cluster.token(namespace, &account, token["audience"].as_str()).await;
            std::fs::write(folder.join(text(&token["path"])), content).expect("writable");
        }
        let (plural, object) =
            match (volume["configMap"]["name"].as_str(), volume["secret"]["secretName"].as_str()) {
                (Some(name), _) => ("configmaps", name.to_owned()),
                (_, Some(name)) => ("secrets", name.to_owned()),
                _ if volume["projected"].is_object() => return folder,
                _ => panic!("a volume of a kind that is not known: {volume}"),
            };
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{object}");
        let data = cluster.get(&path).await["data"].clone();
        let source = if plural == "secrets" { &volume["secret"] } else { &volume["configMap"] };
        let items = source["items"].as_array().map(|items| {
            items.iter().map(|item| (text(&item["key"]), text(&item["path"]))).collect::<Vec<_>>()
        });
        let all = data.as_object().expect("it has data");
        let items = items.unwrap_or_else(|| all.keys().map(|key| (key.clone(), key.clone())).collect());
        for (key, file) in items {
            let value = text(all.get(&key).unwrap_or_else(|| panic!("{path} has no {key}")));
            let bytes = if plural == "secrets" {
                STANDARD.decode(value).expect("base64")
            } else {
                value.into_bytes()
            };
            std::fs::write(folder.join(file), bytes).expect("writable");
        }
        folder
    }
}

/// A folder that a group may write, as `fsGroup` makes it.
fn shared(folder: &Path, group: u64) {
    let group = u32::try_from(group).expect("a group's number is small");
    std::os::unix::fs::chown(folder, None, Some(group)).expect("the test runs as root");
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o2775)).expect("the folder is ours");
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

impl Pod {
    /// Runs it to its end.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    pub async fn run(mut self) -> Output {
        tokio::task::spawn_blocking(move || {
            self.command.stdin(Stdio::null()).output().expect("unshare starts")
        })
        .await
        .expect("it does not panic")
    }

    /// Starts it, its log in a file.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    pub fn start(mut self, log: &Path) -> RunningPod {
        let out = std::fs::File::create(log).expect("the folder is writable");
        let err = out.try_clone().expect("a file can be cloned");
        let child =
            self.command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().expect("unshare starts");
        RunningPod { child, _folder: self.folder }
    }
}

impl Cluster {
    /// An object, as it is stored.
    ///
    /// # Panics
    ///
    /// Where it is not there.
    pub async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Vec::new()).expect("the request is valid");
        self.admin.request(request).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// A token of an account, for this audience or for the API server.
    ///
    /// # Panics
    ///
    /// Where there is no such account.
    pub async fn token(&self, namespace: &str, account: &str, audience: Option<&str>) -> String {
        let audiences: Vec<_> = audience.into_iter().collect();
        let asked = json!({"spec": {"expirationSeconds": 3600, "audiences": audiences}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        self.create(&path, &asked).await["status"]["token"].as_str().unwrap_or_default().to_owned()
    }
}

/// Runs this test in a network of its own, in which there is nothing but loopback: what pods listen on is nobody else's. Answers
/// whether the test runs there now; where not, it ran, and all is said.
///
/// # Panics
///
/// Where the test failed there.
pub fn is_in_own_network(test: &str) -> bool {
    const INSIDE: &str = "PROVENANCE_E2E_OWN_NETWORK";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let id = Command::new("id").arg("-u").output().expect("id starts");
    assert_eq!(
        id.stdout.trim_ascii(),
        b"0",
        "pods run in namespaces of their own, which wants root; run it with: sudo -E make test"
    );
    let own = std::env::current_exe().expect("a test has a path");
    let mut command = Command::new("unshare");
    command.args(["--net", "--kill-child", "--fork", "sh", "-c", "ip link set lo up && ip addr add 192.0.2.1/32 dev lo && ip route add default dev lo src 192.0.2.1 && exec \"$@\"", "sh"]);
    command.arg(own).args([test, "--exact", "--nocapture"]).env(INSIDE, "1");
    let status =
        command.status().expect("unshare starts; it is in util-linux: apt-get install -y util-linux");
    assert!(status.success(), "{test} failed in its own network; the output above says why");
    false
}
