//! From the older chart to this one: the objects stay the same ones, reports stay where they are, and what is gone is told.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use provenance_e2e::chart::{helm, root};
use provenance_e2e::cluster::Cluster;
use provenance_e2e::pod::{Node, is_in_own_network};
use serde_json::Value;

const NAME: &str = "provenance-collector";

/// What must be the same object after the upgrade, by path.
fn kept(namespace: &str, age: &str) -> Vec<String> {
    let mut paths = vec![
        format!("/api/v1/namespaces/{namespace}/configmaps/{NAME}-config"),
        format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{NAME}-reports"),
        format!("/api/v1/namespaces/{namespace}/services/{NAME}-web"),
        format!("/api/v1/namespaces/{namespace}/serviceaccounts/{NAME}"),
        format!("/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}-web"),
        format!("/apis/batch/v1/namespaces/{namespace}/cronjobs/{NAME}"),
        format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}"),
        format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{NAME}"),
    ];
    if age == "later" {
        paths.extend([
            format!("/api/v1/namespaces/{namespace}/services/{NAME}-web-internal"),
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{NAME}-web"),
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{NAME}-web"),
            format!("/apis/reconcilers.nebari.dev/v1/namespaces/{namespace}/nebariapps/{NAME}"),
        ]);
    }
    paths
}

async fn uids(cluster: &Cluster, paths: &[String]) -> BTreeMap<String, String> {
    let mut uids = BTreeMap::new();
    for path in paths {
        let object = cluster.get(path).await;
        uids.insert(path.clone(), object["metadata"]["uid"].as_str().unwrap().to_owned());
    }
    uids
}

async fn names(cluster: &Cluster, path: &str) -> Vec<String> {
    let list = cluster.get(path).await;
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_both_older_ages_the_objects_stay_and_so_do_their_reports() {
    if !is_in_own_network("from_both_older_ages_the_objects_stay_and_so_do_their_reports") {
        return;
    }
    let cluster = Cluster::start().await;
    cluster.install_crds().await;
    let kubeconfig = cluster.admin_kubeconfig();
    let older = root().join("tests/e2e/data/older-chart");
    let chart = root().join("chart");
    for (age, with) in [("first", 3), ("later", 3), ("first", 4), ("later", 4)] {
        let namespace = format!("{age}-{with}");
        cluster.namespace(&namespace).await;
        let of_age = format!("age={age}");
        helm(3, &kubeconfig, &["install", NAME, older.to_str().unwrap(), "-n", &namespace, "--set", &of_age]);
        let paths = kept(&namespace, age);
        let before = uids(&cluster, &paths).await;
        let claim_path = format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{NAME}-reports");
        let claim = cluster.get(&claim_path).await;
        let values = root().join(format!("tests/e2e/data/older-values/{age}.yaml"));
        // The claim of the later age asks for more, as some storage lets it grow; here it stays as it is.
        let arguments = [
            "upgrade",
            NAME,
            chart.to_str().unwrap(),
            "-n",
            &namespace,
            "-f",
            values.to_str().unwrap(),
            "--set",
            "persistence.size=1Gi",
        ];
        let told = helm(with, &kubeconfig, &arguments);
        assert_eq!(uids(&cluster, &paths).await, before, "{namespace}: the same objects");
        assert_eq!(cluster.get(&claim_path).await["spec"], claim["spec"], "{namespace}: the claim");
        let deployments = names(&cluster, &format!("/apis/apps/v1/namespaces/{namespace}/deployments")).await;
        assert_eq!(deployments, [format!("{NAME}-web")], "the second container is gone");
        if age == "later" {
            assert!(told.contains("the older chart's second container is gone"), "{told}");
            let services = names(&cluster, &format!("/api/v1/namespaces/{namespace}/services")).await;
            assert!(
                services.contains(&format!("{NAME}-frontend")),
                "what was routed to it goes on: {services:?}"
            );
            let maps = names(&cluster, &format!("/api/v1/namespaces/{namespace}/configmaps")).await;
            assert!(!maps.contains(&format!("{NAME}-frontend")), "{maps:?}");
        }
        older_reports_are_served(&cluster, &namespace).await;
        // Nothing is lost when the release goes, either.
        helm(with, &kubeconfig, &["uninstall", NAME, "-n", &namespace]);
        assert_eq!(cluster.get(&claim_path).await["metadata"]["uid"], claim["metadata"]["uid"]);
    }
}

/// The dashboard's pod shows the reports that are on the claim.
async fn older_reports_are_served(cluster: &Cluster, namespace: &str) {
    let node = Node::default();
    let reports = node.claim(&format!("{NAME}-reports"));
    let sample = root().join("tests/data/go-collector/report.json");
    for name in ["provenance-20261124-021133.json", "provenance-latest.json"] {
        std::fs::copy(&sample, reports.join(name)).unwrap();
    }
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}-web");
    let template: Value = cluster.get(&path).await["spec"]["template"].clone();
    let log = node.claim("logs").join("web.log");
    // Nobody signs in here: the issuer of the values is not there.
    let running = node
        .pod(
            cluster,
            namespace,
            &template,
            &[],
            &[("PROVENANCE_OIDC_ISSUER", ""), ("PROVENANCE_OIDC_CLIENT_ID", "")],
        )
        .await
        .start(&log);
    let began = Instant::now();
    loop {
        let output = std::process::Command::new("curl")
            .args(["-s", "http://127.0.0.1:8080/api/reports"])
            .output()
            .unwrap();
        if output.status.success() {
            let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
            let log = std::fs::read_to_string(&log).unwrap();
            assert_eq!(listed[0]["filename"], "provenance-20261124-021133.json", "{listed}\n{log}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(running);
    // The next one listens on the same port.
    while std::net::TcpStream::connect("127.0.0.1:8080").is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
