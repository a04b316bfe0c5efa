//! Pod parsing: our slim structs against whole typed pods, over 100 pages of 500. Times are compared as a ratio
//! inside one run. `cargo bench --bench pods`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1;
use provenance_stages::discovery::pods::Pod;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const PAGES: usize = 100;
const PODS: usize = 500;

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

fn main() {
    let page = page();
    println!("{} pods in pages of {PODS}, {} KiB each page", PAGES * PODS, page.len() / 1024);
    // Turn by turn, so that whatever else the machine does strikes both.
    let (mut slim, mut typed) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..PAGES {
        slim += parse::<Pod>(&page);
        typed += parse::<v1::Pod>(&page);
    }
    println!("| parser | time | ratio |\n| --- | --- | --- |");
    println!("| slim structs | {:.2} s | 1.0 |", slim.as_secs_f64());
    println!(
        "| typed k8s-openapi | {:.2} s | {:.1} |",
        typed.as_secs_f64(),
        typed.as_secs_f64() / slim.as_secs_f64()
    );
}

fn parse<T: DeserializeOwned>(page: &[u8]) -> Duration {
    let began = Instant::now();
    let list: List<T> = serde_json::from_slice(page).expect("the page parses");
    assert_eq!(list.items.len(), PODS);
    let took = began.elapsed();
    black_box(list);
    took
}

/// A page of pods as large as real ones: environment, probes, volumes, conditions, managed fields.
fn page() -> Vec<u8> {
    let items: Vec<_> = (0..PODS).map(pod).collect();
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
        .to_string()
        .into_bytes()
}

fn pod(n: usize) -> Value {
    let name = format!("checkout-7c9d8b6f5-{n:05}");
    let environment: Vec<_> =
        (0..12).map(|v| json!({"name": format!("SETTING_{v}"), "value": "some value"})).collect();
    let container = |name: &str| {
        json!({
            "name": name,
            "image": format!("ghcr.io/acme/{name}:1.14.2"),
            "env": environment,
            "ports": [{"containerPort": 8080, "protocol": "TCP", "name": "http"}],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}, {"name": "token", "mountPath": "/var/run/secrets"}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        })
    };
    let status = |name: &str| {
        json!({
            "name": name,
            "image": format!("ghcr.io/acme/{name}:1.14.2"),
            "imageID": format!("ghcr.io/acme/{name}@sha256:{}", "a".repeat(64)),
            "ready": true,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-15T06:00:00Z"}},
            "lastState": {},
        })
    };
    let fields = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}}}}});
    json!({
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": format!("00000000-0000-4000-8000-{n:012x}"),
            "creationTimestamp": "2026-01-15T06:00:00Z",
            "labels": {"app": "checkout", "pod-template-hash": "7c9d8b6f5"},
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "b".repeat(64)},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7c9d8b6f5",
                "uid": "11111111-0000-4000-8000-000000000000", "controller": true, "blockOwnerDeletion": true}],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields},
                {"manager": "kubelet", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields},
            ],
        },
        "spec": {
            "containers": [container("checkout"), container("proxy")],
            "volumes": [{"name": "config", "configMap": {"name": "checkout", "defaultMode": 420}}, {"name": "token", "projected": {"sources": []}}],
            "nodeName": "node-1",
            "serviceAccountName": "checkout",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-15T06:00:00Z"}],
            "containerStatuses": [status("checkout"), status("proxy")],
        },
    })
}
