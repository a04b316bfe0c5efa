//! The binary as its users meet it: exit statuses, signals, errors, formats.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use provenance_model::report::Report;
use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::kube::pod;
use provenance_testbed::{BuiltImage, Effect, Fault, KubeApi, Registry};
use serde_json::Value;
use tempfile::TempDir;

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PROVENANCE_") || name == "KUBECONFIG" {
            command.env_remove(name);
        }
    }
    command.env_remove("KUBERNETES_SERVICE_HOST").env("RUST_BACKTRACE", "1");
    command
}

fn run(arguments: &[&str]) -> Output {
    binary().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Status, stdout and stderr.
fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn kubeconfig(folder: &Path, api: &KubeApi) -> PathBuf {
    let path = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: '{}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n",
        api.url()
    );
    std::fs::write(&path, text).unwrap();
    path
}

struct Bench {
    folder: TempDir,
    api: KubeApi,
    registry: Registry,
}

/// Twenty pods of twenty images.
async fn bench() -> Bench {
    let bench = Bench {
        folder: tempfile::tempdir().unwrap(),
        api: KubeApi::start().await.unwrap(),
        registry: Registry::start().await.unwrap(),
    };
    for n in 0..20 {
        let name = format!("app{n:02}");
        let digest = bench.registry.push(&name, "1", &BuiltImage::single(&name));
        let image = format!("{}/{name}:1", bench.registry.host());
        let id = format!("{}/{name}@{digest}", bench.registry.host());
        bench.api.add(pod("a", &name, &Value::Null, &[("app", &image, &id)]));
    }
    bench
}

impl Bench {
    fn reports(&self) -> PathBuf {
        self.folder.path().join("reports")
    }

    fn collect(&self) -> Command {
        let mut command = binary();
        command
            .arg("collect")
            .env("KUBECONFIG", kubeconfig(self.folder.path(), &self.api))
            .env("PROVENANCE_REPORT_PATH", self.reports())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn latest(&self) -> Report {
        serde_json::from_slice(&std::fs::read(self.reports().join("provenance-latest.json")).unwrap())
            .unwrap()
    }

    async fn wait_for_requests(&self) {
        let began = Instant::now();
        while self.registry.log().is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "the collector asked nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits for a child without holding up the servers of this test.
async fn wait(child: Child) -> Output {
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap()
}

async fn output(mut command: Command) -> Output {
    wait(command.spawn().unwrap()).await
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn collect_writes_the_report_and_prints_only_what_is_asked_for() {
    let bench = bench().await;
    let (status, out, err) = told(&output(bench.collect()).await);
    assert_eq!((status, out.as_str()), (0, ""), "{err}");
    let report = bench.latest();
    assert_eq!((report.images.len(), report.run.unwrap().partial), (20, false));

    let mut as_json = bench.collect();
    as_json.args(["--format", "json", "--cluster-name", "prod"]);
    let (status, out, _) = told(&output(as_json).await);
    let printed: Report = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &printed), (0, &bench.latest()));
    assert_eq!(printed.metadata.cluster_name.as_deref(), Some("prod"));

    let mut as_table = bench.collect();
    as_table.args(["--format", "table"]);
    let (_, out, err) = told(&output(as_table).await);
    assert!(
        out.contains("20 rows") && !out.contains('\u{1b}') && !err.contains('\u{1b}'),
        "no colours in a pipe: {out}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn started_without_arguments_inside_a_cluster_it_collects_and_logs_json() {
    let bench = bench().await;
    let mut command = binary();
    command
        .env("KUBERNETES_SERVICE_HOST", "10.0.0.1")
        .env("KUBECONFIG", kubeconfig(bench.folder.path(), &bench.api))
        .env("PROVENANCE_REPORT_PATH", bench.reports())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (status, _, err) = told(&output(command).await);
    assert_eq!(status, 0, "{err}");
    assert_eq!(bench.latest().images.len(), 20);
    for line in err.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["level"].is_string() && line["message"].is_string(), "{line}");
    }
    let (status, _, err) = told(&run(&[]));
    assert_eq!(status, 2, "outside a cluster the help is shown");
    assert!(err.contains("Usage:"), "{err}");
}

/// One request an image, so that requests tell how far a run has come.
const DIGESTS_ONLY: [&str; 4] =
    ["--verify-signatures=false", "--check-provenance=false", "--check-sbom=false", "--check-updates=false"];

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_in_the_middle_leaves_a_partial_report_and_exit_status_3() {
    let bench = bench().await;
    bench.registry.fault(Fault::on("/manifests/", Effect::Hang).after(5));
    let child = bench.collect().args(DIGESTS_ONLY).spawn().unwrap();
    bench.wait_for_requests().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    signal(&child, "TERM");
    let (status, _, err) = told(&wait(child).await);
    assert_eq!(status, 3, "{err}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    let report = bench.latest();
    let run = report.run.unwrap();
    assert!(
        run.partial && run.partial_reasons[0] == "the run was stopped by SIGTERM",
        "{:?}",
        run.partial_reasons
    );
    assert_eq!(report.images.len(), 20, "every sighting has its row");
    assert_eq!(report.summary.not_reached_images, Some(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_while_pods_are_still_listed_reports_those_that_were_seen() {
    let bench = bench().await;
    bench.api.fault(Fault::on("continue=", Effect::Hang));
    let mut command = bench.collect();
    command.args(["--page-size", "8"]).args(DIGESTS_ONLY);
    let child = command.spawn().unwrap();
    let began = Instant::now();
    while bench.registry.log().len() < 8 {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "the first page is not examined while the second hangs"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The answers are on their way through the line.
    tokio::time::sleep(Duration::from_millis(500)).await;
    signal(&child, "TERM");
    let (status, _, err) = told(&wait(child).await);
    assert_eq!(status, 3, "{err}");
    let report = bench.latest();
    assert_eq!((report.images.len(), report.summary.not_reached_images), (8, Some(0)));
    let run = report.run.unwrap();
    let told = |what: &str| run.partial_reasons.iter().filter(|reason| reason.contains(what)).count();
    assert_eq!(told("was cut short after 8 pods"), 1, "{:?}", run.partial_reasons);
    assert_eq!(told("Helm releases are missing"), 1, "{:?}", run.partial_reasons);
    assert!(run.problems[0].rows_missing, "{:?}", run.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_ends_the_process_at_once() {
    let bench = bench().await;
    bench.registry.fault(Fault::on("/manifests/", Effect::Hang));
    let mut command = bench.collect();
    command.args(["--stop-grace", "1h"]);
    let child = command.spawn().unwrap();
    bench.wait_for_requests().await;
    signal(&child, "TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    signal(&child, "TERM");
    let (status, _, err) = told(&wait(child).await);
    assert_eq!(status, 1, "{err}");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!bench.reports().join("provenance-latest.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_one_clear_line_and_never_a_backtrace() {
    let bench = bench().await;
    let folder = bench.folder.path().display().to_string();
    let broken = bench.folder.path().join("broken");
    std::fs::write(&broken, "not: [a kubeconfig").unwrap();
    let file = bench.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let broken = broken.display().to_string();
    let below_a_file = format!("{}/reports", file.display());
    let good = kubeconfig(bench.folder.path(), &bench.api).display().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["collect", "--kubeconfig", "/no/such/file"], 2, "kubeconfig /no/such/file: "),
        (&["collect", "--kubeconfig", &broken], 2, "/broken: "),
        (&["collect", "--kubeconfig", &folder], 2, "kubeconfig "),
        (&["collect", "--registry-timeout", "soon"], 2, "--registry-timeout: \"soon\" is refused"),
        (&["collect", "--report-output", "s3"], 2, "it is none of: pvc"),
        (&["collect", "--kubeconfig", &good, "--report-path", &below_a_file], 1, "Not a directory"),
        (&["collect", "--no-such-option"], 2, "--no-such-option"),
        (&["no-such-command"], 2, "no-such-command"),
        (&["scan"], 2, "nothing to scan"),
        (&["scan", "-f", "/no/such.yaml"], 2, "/no/such.yaml: No such file"),
        (&["scan", "-f", &broken], 2, "no valid YAML"),
        (&["scan", "nginx", "--format", "xml"], 2, "possible values: table, json, csv, markdown"),
    ];
    for (arguments, expected, says) in cases {
        let arguments: Vec<_> = arguments.to_vec();
        let output = tokio::task::spawn_blocking({
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .await
        .unwrap();
        let (status, out, err) = told(&output);
        assert_eq!(status, *expected, "{arguments:?}: {err}");
        assert!(err.contains(says), "{arguments:?}: {err}");
        assert!(!err.contains("stack backtrace") && !err.contains("RUST_BACKTRACE"), "{arguments:?}: {err}");
        assert_eq!(out, "", "{arguments:?}");
        if err.starts_with("error: ") && !err.contains("Usage") && !err.contains("--help") {
            assert_eq!(err.lines().count(), 1, "{arguments:?}: {err}");
        }
    }
}

#[test]
fn every_configuration_error_is_told_at_once_and_names_its_variable() {
    let output = binary()
        .args(["collect", "--page-size", "0"])
        .env("PROVENANCE_REGISTRY_TIMEOUT", "1 minute")
        .env("PROVENANCE_REPORT_RETENTION", "7d")
        .env("PROVENANCE_NAMESPACES", "")
        .output()
        .unwrap();
    let (status, _, err) = told(&output);
    assert_eq!(status, 2);
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(err.contains("error: PROVENANCE_REGISTRY_TIMEOUT: \"1 minute\" is refused"), "{err}");
    assert!(err.contains("error: PROVENANCE_REPORT_RETENTION: \"7d\" is refused"), "{err}");
    assert!(err.contains("error: --page-size: \"0\" is refused"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_answer_is_exit_status_1_and_no_report() {
    let bench = bench().await;
    bench.api.stop().await;
    let (status, _, err) = told(&output(bench.collect()).await);
    assert_eq!(status, 1, "{err}");
    assert!(err.contains("the Kubernetes API cannot be read"), "{err}");
    assert!(!bench.reports().join("provenance-latest.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_takes_names_files_folders_and_stdin_and_prints_every_format() {
    let bench = bench().await;
    let host = bench.registry.host();
    let deployment = |name: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    spec:\n      \
             containers: [{{name: c, image: '{host}/{name}:1'}}]\n"
        )
    };
    let folder = bench.folder.path().join("manifests");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("a.yaml"), deployment("app01")).unwrap();
    std::fs::write(folder.join("sub/b.yml"), format!("{}---\n{}", deployment("app02"), deployment("app03")))
        .unwrap();
    std::fs::write(folder.join("notes.txt"), "not: [yaml").unwrap();
    let mut command = binary();
    command
        .args([
            "scan",
            &format!("{host}/app00:1"),
            "not a name",
            "-f",
            &folder.display().to_string(),
            "-f",
            "-",
        ])
        .args(["--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(deployment("app04").as_bytes()).unwrap();
    let (status, out, err) = told(&wait(child).await);
    assert_eq!(status, 0, "{err}");
    let report: Report = serde_json::from_str(&out).unwrap();
    let images: Vec<_> = report.images.iter().map(|row| row.image.replace(&host, "host")).collect();
    let expected: Vec<_> =
        ["app01", "app02", "app03", "app04", "app00"].iter().map(|name| format!("host/{name}:1")).collect();
    assert_eq!(images[..5], expected[..]);
    assert_eq!(images[5], "not a name");
    assert_eq!(report.summary.failed_images, Some(1), "a malformed name is a failed row");

    for (format, says) in [
        ("table", "FINDING"),
        ("csv", "Image,Namespace,Workload Kind,Workload Name,Digest,Signed"),
        ("markdown", "# Provenance Report"),
    ] {
        let mut command = binary();
        command.args(["scan", &format!("{host}/app00:1"), "--format", format]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let (status, out, err) = told(&output(command).await);
        assert_eq!(status, 0, "{err}");
        assert!(out.contains(says) && out.contains("app00"), "{format}: {out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_what_was_asked_what_came_back_and_what_follows() {
    let bench = bench().await;
    let host = bench.registry.host();
    let tell = |image: &str| {
        let mut command = binary();
        command.args(["explain", image]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (status, out, err) = told(&output(tell(&format!("{host}/app00:1"))).await);
    assert_eq!(status, 0, "{err}");
    let digest = BuiltImage::single("app00").digest();
    for says in [
        format!("is {host}/app00, tag 1"),
        format!("asked   GET http://{host}/v2/app00/manifests/1"),
        format!("answer  200 application/vnd.oci.image.manifest.v1+json {digest}"),
        format!("so      the image is {digest}"),
        format!("crane manifest {host}/app00:1"),
        "so      every place answered, and it is not signed".to_owned(),
    ] {
        assert!(out.contains(&says), "{says}: {out}");
    }
    let (_, out, _) = told(&output(tell(&format!("{host}/app00:2"))).await);
    assert!(out.contains("answer  404, the registry has none") && out.contains("has no such image"), "{out}");

    // What is attached, what checking it said, and by which policy.
    let key = SigningKey::number(1);
    bench.registry.attach("app00", Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
    let sbom = attach::referrer(
        &digest,
        "application/spdx+json",
        "application/spdx+json",
        &attach::spdx("a").to_string(),
    );
    bench.registry.attach("app00", None, &sbom);
    let mut command = tell(&format!("{host}/app00:1"));
    command.args(["--cosign-public-key", &key.public_pem()]);
    let (status, out, err) = told(&output(command).await);
    assert_eq!(status, 0, "{err}");
    for says in [
        "found   simpleSigning in place signatureTag: sha256:",
        "checked verified, as cosign-public-key wants it",
        "by the key given as text (sha256:",
        "policy  cosign-public-key: satisfied, by its authority cosign-public-key",
        "so      it is signed as every policy for it wants",
        "spdx 2.3, 2 packages, made by syft-1.20.0",
        &format!("crane blob {host}/app00@sha256:"),
    ] {
        assert!(out.contains(says), "{says}: {out}");
    }
    let (_, out, _) = told(&output(tell("Not A Name")).await);
    assert!(out.contains("it could not be found out: \"Not A Name\" is not an image reference"), "{out}");
}

#[test]
fn help_version_graph_and_completions_are_there() {
    for command in ["collect", "scan", "explain", "demo", "graph", "completions"] {
        let (status, out, _) = told(&run(&[command, "--help"]));
        assert_eq!(status, 0);
        assert!(out.contains("Usage: provenance-collector"), "{out}");
    }
    let (status, out, _) = told(&run(&["--version"]));
    assert_eq!((status, out), (0, format!("provenance-collector {}\n", env!("CARGO_PKG_VERSION"))));
    let (status, out, _) = told(&run(&["graph"]));
    assert!(status == 0 && out.starts_with("flowchart LR\n"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (status, out, _) = told(&run(&["completions", shell]));
        assert!(status == 0 && out.contains("provenance-collector"), "{shell}");
    }
}

#[test]
fn the_demo_needs_nothing_and_says_where_its_report_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = binary().args(["demo", "--report-path"]).arg(folder.path()).output().unwrap();
    let (status, out, err) = told(&output);
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("FAILED") && out.contains("18 rows"), "{out}");
    let said = err.lines().find_map(|line| line.strip_prefix("report: ")).unwrap();
    let report: Report = serde_json::from_slice(&std::fs::read(said).unwrap()).unwrap();
    assert_eq!(report.images.len(), 18);
}

#[test]
fn a_plan_says_what_would_be_asked_and_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "registries: [{host: quay.io, budget: 6}]").unwrap();
    let cache = folder.path().join("cache");
    let (config, cache) = (config.to_str().unwrap(), cache.to_str().unwrap());
    // Hosts that cannot be reached from here: asking one would take time, and fail.
    let images = ["nginx:1", "nginx:2", "quay.io/a/b:1", "quay.io/a/c:1", "quay.io/a/d:1", "No Image"];
    let arguments = [&["scan", "--plan", "--config", config, "--cache", cache][..], &images].concat();
    let (status, out, err) = told(&run(&arguments));
    assert_eq!(status, 0, "{err}");
    let rows: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["REGISTRY", "IMAGES", "REQUESTS", "AT", "LEAST", "BUDGET", "DEFERRED"]);
    assert_eq!(rows[1], ["docker.io", "2", "about", "9", "0s", "-", "-"]);
    assert_eq!(rows[2], ["quay.io", "1", "about", "5", "0s", "6", "2"]);
    assert!(out.contains("3 images, about 14 requests"), "{out}");
    let arguments = [&arguments[..], &["--format", "json"]].concat();
    let (_, out, _) = told(&run(&arguments));
    let plan: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(plan["registries"][1]["deferred"], 2);
    let (status, _, err) = told(&run(&["scan", "--registry-budget", "5", "nginx"]));
    assert_eq!(status, 2);
    assert!(err.contains("a registry's budget needs --cache"), "{err}");
}
