//! What a run sends arrives at a real OpenTelemetry Collector as one whole tree, and its counts are the report's.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use provenance_e2e::otelcol::{Otelcol, Span};
use provenance_e2e::process::{Server, free_port, is_listening, open_kubeconfig, run};
use provenance_e2e::{Dashboard, collector, tool};
use provenance_model::report::Report;
use provenance_testbed::Fleet;

fn collect(kubeconfig: &Path, reports: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(collector());
    command.args(["collect", "--cluster-name", "test", "--otlp-endpoint", endpoint, "--kubeconfig"]);
    command.arg(kubeconfig).arg("--report-path").arg(reports);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn report(reports: &Path) -> Report {
    serde_json::from_str(&std::fs::read_to_string(reports.join("provenance-latest.json")).unwrap()).unwrap()
}

/// The spans of one trace, once there are no more of them; every one but the root is below another.
fn tree(backend: &Otelcol) -> Vec<Span> {
    let began = Instant::now();
    let mut spans = backend.spans();
    loop {
        std::thread::sleep(Duration::from_millis(300));
        let now = backend.spans();
        if now.len() == spans.len() && !now.is_empty() || began.elapsed() > Duration::from_secs(20) {
            break;
        }
        spans = now;
    }
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace.as_str()).collect();
    assert_eq!(traces.len(), 1, "{} spans", spans.len());
    let ids: BTreeSet<_> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len());
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert_eq!(roots.len(), 1);
    assert_eq!((roots[0].name.as_str(), roots[0].service.as_str()), ("collect", "provenance-collector"));
    for span in spans.iter().filter(|span| !span.parent.is_empty()) {
        assert!(ids.contains(span.parent.as_str()), "{span:?} is an orphan");
    }
    spans
}

fn count(spans: &[Span], is: impl Fn(&Span) -> bool) -> usize {
    spans.iter().filter(|span| is(span)).count()
}

/// The counts of a tree are those of the report.
fn assert_counts(spans: &[Span], report: &Report) {
    let run = report.run.as_ref().unwrap();
    assert_eq!(count(spans, |span| span.name == "dossier"), run.subjects);
    for stage in &run.stages {
        assert_eq!(count(spans, |span| span.name == stage.stage), stage.items, "{}", stage.stage);
    }
    for used in &run.registries {
        let of_host =
            count(spans, |span| span.kind == 3 && span.attributes.get("server.address") == Some(&used.host));
        assert_eq!(of_host as u64, used.requests, "{}", used.host);
    }
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    for stage in spans.iter().filter(|span| span.attributes.contains_key("stage")) {
        assert_eq!(by_id[stage.parent.as_str()].name, "dossier");
        assert!(stage.attributes.contains_key("queue_seconds"), "{stage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_tree_from_the_command_to_the_dashboards_answer() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Otelcol::start(folder.path()).await;
    let fleet = Fleet::uniform(20, 60, Duration::from_millis(2)).await.unwrap();
    fleet.attach_some(20);
    let endpoint = format!("http://127.0.0.1:{}", backend.grpc);
    let served = Dashboard::start(folder.path(), &["--otlp-endpoint", &endpoint]);
    let reports = folder.path().join("reports");
    let metrics = folder.path().join("metrics.prom");
    let status = collect(&open_kubeconfig(folder.path(), &fleet.kube.url()), &reports, &endpoint)
        .args(["--report-output", "pvc,http", "--report-upload-url"])
        .arg(format!("http://{}/internal/reports", served.internal))
        .arg("--metrics-file")
        .arg(&metrics)
        .status()
        .unwrap();
    assert!(status.success());
    let report = report(&reports);
    // The dashboard sends what it has every few seconds.
    let began = Instant::now();
    while count(&backend.spans(), |span| span.kind == 2) < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "the dashboard's spans did not arrive");
        std::thread::sleep(Duration::from_millis(200));
    }
    let spans: Vec<_> = tree(&backend);
    assert_counts(&spans, &report);
    let is_upload = |span: &&Span| span.kind == 2 && span.name == "POST";
    let answer = spans.iter().find(is_upload).unwrap();
    assert_eq!(answer.attributes["url.path"], "/internal/reports");
    let above = spans.iter().find(|span| span.id == answer.parent).unwrap();
    assert_eq!(above.name, "write");
    let request = spans.iter().find(|span| span.kind == 3).unwrap();
    for name in ["http.request.method", "http.response.status_code", "http.response.body.size", "url.path"] {
        assert!(request.attributes.contains_key(name), "{request:?}");
    }
    let run = report.run.unwrap();
    let requests: u64 = run.registries.iter().map(|registry| registry.requests).sum();
    #[expect(clippy::cast_precision_loss, reason = "some hundred requests")]
    let expected = Some(requests as f64);
    assert_eq!(backend.metric("provenance_registry_requests_total"), expected);

    let text = std::fs::read_to_string(metrics).unwrap();
    assert!(text.contains("provenance_run_exit_status 0\n"), "{text}");
    let mut check = Command::new(tool("promtool"));
    let check =
        check.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = check.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_told_to_stop_sends_its_whole_tree() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Otelcol::start(folder.path()).await;
    let fleet = Fleet::uniform(60, 120, Duration::from_millis(200)).await.unwrap();
    fleet.attach_some(60);
    let reports = folder.path().join("reports");
    let endpoint = format!("http://127.0.0.1:{}", backend.http);
    let mut child = collect(&open_kubeconfig(folder.path(), &fleet.kube.url()), &reports, &endpoint)
        .args(["--otlp-protocol", "http/protobuf", "--stop-grace", "0s"])
        .spawn()
        .unwrap();
    let registry = fleet.registries.values().next().unwrap();
    let began = Instant::now();
    while registry.log().len() < 40 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing is asked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut kill = Command::new("kill");
    kill.args(["-TERM", &child.id().to_string()]);
    run(kill);
    assert_eq!(child.wait().unwrap().code(), Some(3));
    let report = report(&reports);
    assert!(report.run.as_ref().unwrap().partial);
    let spans = tree(&backend);
    assert_counts(&spans, &report);
    let root = spans.iter().find(|span| span.parent.is_empty()).unwrap();
    assert_eq!(root.attributes["process.exit.code"], "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_sends_its_tree_and_its_metrics_go_to_a_pushgateway_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Otelcol::start(folder.path()).await;
    let port = free_port();
    let mut command = Command::new(tool("prometheus-pushgateway"));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut gateway = Server::start("pushgateway", command, folder.path());
    gateway.until_ready(async || is_listening(port).await).await;
    let nobody = open_kubeconfig(folder.path(), &format!("http://127.0.0.1:{}", free_port()));
    let endpoint = format!("http://127.0.0.1:{}", backend.grpc);
    let pushed_to = format!("http://127.0.0.1:{port}");
    let ended = collect(&nobody, &folder.path().join("reports"), &endpoint)
        .args(["--pushgateway", &pushed_to])
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(1));
    let spans = tree(&backend);
    let root = spans.iter().find(|span| span.parent.is_empty()).unwrap();
    assert_eq!((root.status, root.attributes["process.exit.code"].as_str()), (2, "1"));
    assert_eq!(count(&spans, |span| span.name == "discovery"), 1);
    let mut curl = Command::new(tool("curl"));
    curl.args(["--silent", "--show-error", "--fail", &format!("{pushed_to}/metrics")]);
    let told = run(curl);
    assert!(
        told.contains(
            "provenance_run_exit_status{cluster=\"test\",instance=\"\",job=\"provenance_collector\"} 1"
        ),
        "{told}"
    );
}

#[test]
fn a_backend_that_is_not_there_costs_a_warning_and_a_moment() {
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(collector())
        .args(["demo", "--otlp-endpoint", &format!("http://127.0.0.1:{}", free_port())])
        .args(["--pushgateway", &format!("http://127.0.0.1:{}", free_port()), "--report-path"])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("the metrics could not be pushed"), "{told}");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}", began.elapsed());
}
