//! Reports in several places at once: a ConfigMap of a real API server, with the rights of both charts; an upload to a
//! server that says what it takes, throttles, breaks off and refuses.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use provenance_e2e::{Cluster, collector};
use provenance_model::report::Report;
use provenance_testbed::kube::pod;
use serde_json::{Value, json};

/// What a dashboard is told to answer, one after the other; then 202.
#[derive(Default)]
struct Dashboard {
    answers: Mutex<Vec<(u16, &'static str)>>,
    takes_gzip: bool,
    uploads: Mutex<Vec<Attempt>>,
}

/// One upload, as it came.
struct Attempt {
    key: String,
    coding: String,
    token: String,
    report: Result<Report, String>,
}

async fn upload(State(dashboard): State<Arc<Dashboard>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        let mut answer = StatusCode::METHOD_NOT_ALLOWED.into_response();
        if dashboard.takes_gzip {
            answer = StatusCode::NO_CONTENT.into_response();
            answer.headers_mut().insert("accept-encoding", "zstd, gzip;q=0.8".parse().unwrap());
        }
        return answer;
    }
    let header = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (key, coding, token) =
        (header("idempotency-key"), header("content-encoding"), header("authorization"));
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = if coding == "gzip" {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut text)
            .map(|_| text)
            .map_err(|error| error.to_string())
    } else {
        Ok(body.to_vec())
    };
    let report = text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    dashboard.uploads.lock().unwrap().push(Attempt { key, coding, token, report });
    let mut answers = dashboard.answers.lock().unwrap();
    if answers.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    let (status, said) = answers.remove(0);
    let mut answer = (StatusCode::from_u16(status).unwrap(), said).into_response();
    answer.headers_mut().insert("retry-after", "0".parse().unwrap());
    answer
}

async fn serve(dashboard: &Arc<Dashboard>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(upload).with_state(Arc::clone(dashboard));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/internal/reports")
}

/// Runs the collector; answers its status and its log.
fn collect(kubeconfig: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(collector())
        .args(["collect", "--kubeconfig", &kubeconfig.display().to_string(), "--log-format", "text"])
        .args(arguments)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

async fn config_map(cluster: &Cluster, namespace: &str, name: &str) -> Value {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    cluster.admin.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

fn read_map(object: &Value) -> Report {
    if let Some(text) = object["data"]["report.json"].as_str() {
        return serde_json::from_str(text).unwrap();
    }
    let packed = STANDARD.decode(object["binaryData"]["report.json.gz"].as_str().unwrap()).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// So many pods, each with an image of its own that nobody needs to ask for.
async fn pods(cluster: &Cluster, from: usize, to: usize) {
    futures::stream::iter(from..to)
        .for_each_concurrent(16, |number| async move {
            let image =
                format!("ghcr.io/Acme/a-rather-long-name-that-is-none-for-its-capital-{number:05}:v1");
            cluster.pod(&pod("shop", &format!("p{number}"), &Value::Null, &[("app", &image, "")])).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_holds_the_report_with_the_rights_of_either_chart_and_leaves_others_keys_alone() {
    let cluster = Cluster::start().await;
    cluster.namespace("shop").await;
    cluster.namespace("system").await;
    pods(&cluster, 0, 1).await;
    let read =
        json!({"apiGroups": [""], "resources": ["pods", "secrets", "namespaces"], "verbs": ["get", "list"]});
    for (account, verbs) in [
        ("older", json!(["get", "list", "create", "update"])),
        ("newer", json!(["get", "list", "create", "update", "patch"])),
    ] {
        let write = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs});
        let token = cluster.account(account, "system", &json!([read, write]), None).await;
        let kubeconfig = cluster.kubeconfig(&token, "system");
        let name = format!("report-{account}");
        let arguments = [
            "--report-output",
            "configmap",
            "--report-configmap-namespace",
            "system",
            "--report-configmap",
            &name,
        ];
        let (status, log) = collect(&kubeconfig, &arguments);
        assert_eq!(status, 0, "{log}");
        let first = config_map(&cluster, "system", &name).await;
        let report = read_map(&first);
        assert_eq!(first["data"]["generated"], report.metadata.generated_at.to_string());
        assert_eq!(report.images.len(), 1);

        // Somebody else's key, and one of an earlier, larger report that another manager wrote.
        let patch =
            json!({"data": {"theirs": "kept"}, "binaryData": {"report.json.gz": STANDARD.encode("old")}});
        let request = http::Request::patch(format!("/api/v1/namespaces/system/configmaps/{name}"))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        let _: Value = cluster.admin.request(request).await.unwrap();
        let (status, log) = collect(&kubeconfig, &arguments);
        assert_eq!(status, 0, "{log}");
        let second = config_map(&cluster, "system", &name).await;
        assert_eq!(second["data"]["theirs"], "kept", "{account}");
        assert!(second["binaryData"]["report.json.gz"].is_null(), "{account}: {second}");
        assert!(read_map(&second).metadata.generated_at > report.metadata.generated_at);
    }
    // Where nothing may be written there is no report, and the fix is told.
    let token = cluster.account("reader", "system", &json!([read]), None).await;
    let arguments = ["--report-output", "configmap", "--report-configmap-namespace", "system"];
    let (status, log) = collect(&cluster.kubeconfig(&token, "system"), &arguments);
    assert_eq!(status, 1, "{log}");
    assert!(log.contains("grant get, create, update and patch on configmaps"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_too_large_for_an_object_goes_in_packed_and_then_as_its_worst_rows() {
    let cluster = Cluster::start().await;
    cluster.namespace("shop").await;
    let kubeconfig = cluster.admin_kubeconfig();
    let arguments =
        ["--report-output", "configmap", "--report-configmap", "big", "--verify-signatures=false"];
    pods(&cluster, 0, 5).await;
    assert_eq!(collect(&kubeconfig, &arguments).0, 0);
    assert!(config_map(&cluster, "default", "big").await["data"]["report.json"].is_string());
    pods(&cluster, 5, 1500).await;
    let (status, log) = collect(&kubeconfig, &arguments);
    assert_eq!(status, 0, "{log}");
    let object = config_map(&cluster, "default", "big").await;
    assert!(object["data"]["report.json"].is_null(), "the plain one is gone");
    assert!(object["data"]["reason"].as_str().unwrap().contains("packed with gzip"));
    let report = read_map(&object);
    assert_eq!((report.images.len(), report.truncated), (1500, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_tried_again_under_one_key_and_a_refusal_is_final() {
    let cluster = Cluster::start().await;
    cluster.namespace("shop").await;
    pods(&cluster, 0, 3).await;
    let kubeconfig = cluster.admin_kubeconfig();
    let folder = tempfile::tempdir().unwrap();
    let reports = folder.path().join("reports").display().to_string();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-of-the-test\n").unwrap();
    let token = token.display().to_string();

    for takes_gzip in [true, false] {
        let dashboard = Arc::new(Dashboard { takes_gzip, ..Dashboard::default() });
        *dashboard.answers.lock().unwrap() = vec![(503, "not yet"), (429, "slowly")];
        let url = serve(&dashboard).await;
        let (status, log) = collect(
            &kubeconfig,
            &[
                "--report-output",
                "pvc,http",
                "--report-path",
                &reports,
                "--report-upload-url",
                &url,
                "--report-upload-token-file",
                &token,
            ],
        );
        assert_eq!(status, 0, "{log}");
        let uploads = dashboard.uploads.lock().unwrap();
        assert_eq!(uploads.len(), 3);
        for Attempt { key, coding, token, report } in uploads.iter() {
            assert_eq!((key, coding == "gzip"), (&uploads[0].key, takes_gzip));
            assert_eq!(token, "Bearer secret-of-the-test");
            assert_eq!(report.as_ref().unwrap().images.len(), 3);
        }
        assert!(!log.contains("secret-of-the-test"));
    }

    // One sink fails for good: the others have the report, and the status says that not all have.
    let dashboard = Arc::new(Dashboard::default());
    *dashboard.answers.lock().unwrap() = vec![(400, "this is no report\n")];
    let url = serve(&dashboard).await;
    let arguments = ["--report-output", "pvc,http", "--report-path", &reports, "--report-upload-url", &url];
    let (status, log) = collect(&kubeconfig, &arguments);
    assert_eq!(status, 5, "{log}");
    assert!(log.contains("answered 400: this is no report"), "{log}");
    assert!(log.contains("report written") && log.contains(&reports), "{log}");
    assert_eq!(dashboard.uploads.lock().unwrap().len(), 1, "a refusal is final");

    // And the other way round: a folder that cannot be written to.
    let blocked = folder.path().join("token").join("below").display().to_string();
    let arguments = ["--report-output", "pvc,http", "--report-path", &blocked, "--report-upload-url", &url];
    let (status, log) = collect(&kubeconfig, &arguments);
    assert_eq!(status, 5, "{log}");
    assert_eq!(dashboard.uploads.lock().unwrap().len(), 2);

    // No sink at all: no report.
    let arguments = ["--report-output", "http", "--report-upload-url", "http://127.0.0.1:1/internal/reports"];
    let (status, log) = collect(&kubeconfig, &arguments);
    assert_eq!(status, 1, "{log}");
    assert!(log.contains("after 5 attempts"), "{log}");
}
