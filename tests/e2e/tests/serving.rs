//! The collector's upload into a real `serve`, and its metrics before promtool.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use provenance_e2e::{Cluster, collector, tool};
use provenance_testbed::kube::pod;
use serde_json::Value;

struct Served {
    child: Child,
    public: String,
    internal: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn serve(folder: &std::path::Path) -> Served {
    let mut child = Command::new(collector())
        .args(["serve", "--log-format", "json", "--dashboard-addr", "127.0.0.1:0"])
        .args(["--dashboard-internal-addr", "127.0.0.1:0", "--report-path"])
        .arg(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = log.find(|line| line.as_ref().unwrap().contains("\"serving\"")).unwrap().unwrap();
    let fields: Value = serde_json::from_str(&line).unwrap();
    let text = |name: &str| fields[name].as_str().or(fields["fields"][name].as_str()).unwrap().to_owned();
    let served = Served { child, public: text("public"), internal: text("internal") };
    // Nobody reads on: the pipe must not fill.
    std::thread::spawn(move || log.for_each(drop));
    served
}

fn curl(url: &str) -> String {
    let mut command = Command::new(tool("curl"));
    command.args(["--silent", "--show-error", "--fail", url]);
    provenance_e2e::process::run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collected_report_is_uploaded_listed_and_its_metrics_are_sound() {
    let cluster = Cluster::start().await;
    cluster.namespace("shop").await;
    cluster.pod(&pod("shop", "web", &Value::Null, &[("app", "ghcr.io/Acme/web:1", "")])).await;
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let output = Command::new(collector())
        .args(["collect", "--report-output", "http", "--cluster-name", "test", "--kubeconfig"])
        .arg(cluster.admin_kubeconfig())
        .args(["--report-upload-url", &format!("http://{}/internal/reports", served.internal)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed: Value =
        serde_json::from_str(&curl(&format!("http://{}/api/reports", served.public))).unwrap();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["clusterName"]), (1, &Value::from("test")));
    let images: Value =
        serde_json::from_str(&curl(&format!("http://{}/api/images?failed=true", served.public))).unwrap();
    assert_eq!(images["items"][0]["image"], "ghcr.io/Acme/web:1");

    let metrics = curl(&format!("http://{}/metrics", served.public));
    assert!(metrics.contains(r#"provenance_images{cluster="test",finding="failed"} 1"#), "{metrics}");
    let mut check = Command::new(tool("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(format!("{metrics}\n").as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");
}
