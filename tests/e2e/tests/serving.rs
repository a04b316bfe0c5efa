//! The collector's upload into a real `serve`, and its metrics before promtool.

use std::io::Write as _;
use std::process::{Command, Stdio};

use provenance_e2e::{Cluster, Dashboard, collector, tool};
use provenance_testbed::kube::pod;
use serde_json::Value;

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
    let served = Dashboard::start(folder.path(), &[]);
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
