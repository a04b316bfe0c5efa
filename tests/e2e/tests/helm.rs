//! Real Helm 3 and 4 on a real API server, a chart repository behind nginx, and real registries: releases in every
//! state and both drivers, thousands of old revisions, charts compared with where they came from.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt as _;
use http::Request;
use provenance_e2e::process::run;
use provenance_e2e::{Cluster, Kind, Nginx, RealRegistry, collector, tool};
use provenance_model::UpdateLevel;
use provenance_model::release::Manager;
use provenance_model::report::{HelmRelease, LinkedBy, OutcomeWord, Report, RepositoryFrom, StoredIn};
use provenance_testbed::kube::{controller, pod};
use serde_json::{Value, json};
use tempfile::TempDir;

const HOOK: &str = "
apiVersion: batch/v1
kind: Job
metadata:
  name: before
  annotations: {helm.sh/hook: pre-upgrade}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: wait, image: web:1}]}}
";

/// Helm of one version, with a folder of its own.
struct Helm<'a> {
    version: u8,
    kubeconfig: &'a Path,
    folder: &'a Path,
}

impl Helm<'_> {
    fn command(&self, driver: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool(&format!("helm-{}", self.version)));
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.folder.join(variable));
        }
        command
            .env("KUBECONFIG", self.kubeconfig)
            .env("HELM_DRIVER", driver)
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        run(self.command("secret", arguments))
    }
}

/// Writes a chart with one Deployment; answers its folder.
fn chart(folder: &Path, name: &str, version: &str, more: &str) -> PathBuf {
    let chart = folder.join(format!("{name}-{version}"));
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    let text = format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: \"1.27\"\n{more}");
    std::fs::write(chart.join("Chart.yaml"), text).unwrap();
    std::fs::write(chart.join("values.yaml"), "replicas: 1\nsecret: hunter2\n").unwrap();
    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-front, labels: {app: x}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec: {containers: [{name: app, image: web:1}]}
";
    std::fs::write(chart.join("templates/deployment.yaml"), deployment).unwrap();
    chart
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs the collector; answers its report and whether it was whole.
fn collect(kubeconfig: &Path, folder: &Path, more: &[&str]) -> (Report, i32) {
    let output = Command::new(collector())
        .args([
            "collect",
            "--kubeconfig",
            &text(kubeconfig),
            "--report-path",
            &text(folder),
            "--format",
            "json",
        ])
        .args(more)
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {err}"));
    (report, output.status.code().unwrap())
}

fn release<'a>(report: &'a Report, name: &str) -> &'a HelmRelease {
    let found = report.helm_releases.iter().find(|release| release.release_name == name);
    found.unwrap_or_else(|| panic!("no release {name}: {:#?}", report.helm_releases))
}

/// How often the API server was asked for this, as its metrics say.
async fn asked(cluster: &Cluster, verb: &str, resource: &str) -> u64 {
    let request = Request::get("/metrics").body(Vec::new()).unwrap();
    let metrics = cluster.admin.request_text(request).await.unwrap();
    let wanted = [format!("resource=\"{resource}\""), format!("verb=\"{verb}\"")];
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total"));
    let counted = lines.filter(|line| wanted.iter().all(|one| line.contains(one)));
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Waits until a release of this status is stored, kills the Helm that works on it, and leaves the release hanging.
async fn hang(cluster: &Cluster, mut helm: Command, status: &str) {
    let mut child = helm.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let path = format!("/api/v1/secrets?labelSelector=owner%3Dhelm,status%3D{status}");
    let mut is_there = false;
    for _ in 0..300 {
        let request = Request::get(&path).body(Vec::new()).unwrap();
        let found: Value = cluster.admin.request(request).await.unwrap();
        is_there = found["items"].as_array().is_some_and(|items| !items.is_empty());
        if is_there {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_there, "no release got {status}");
}

/// Releases in every state: upgraded and rolled back, refused by the API server, left hanging, stored in a `ConfigMap`,
/// by Helm 4, uninstalled with its history kept.
async fn install_all(cluster: &Cluster, kubeconfig: &Path, folder: &Path) {
    let helm = Helm { version: 3, kubeconfig, folder };
    let good = text(&chart(folder, "web", "1.2.0", ""));
    let newer = text(&chart(folder, "web", "1.3.0", "deprecated: true\n"));
    helm.run(&["install", "web", &good, "-n", "shop"]);
    for revision in 0..12 {
        let set = format!("replicas={revision}");
        helm.run(&["upgrade", "web", &newer, "-n", "shop", "--history-max", "20", "--set", &set]);
    }
    helm.run(&["rollback", "web", "1", "-n", "shop", "--history-max", "20"]);
    let broken = chart(folder, "broken", "0.1.0", "");
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: 99999}]}\n";
    std::fs::write(broken.join("templates/bad.yaml"), bad).unwrap();
    let failed =
        helm.command("secret", &["install", "broken", &text(&broken), "-n", "edge"]).output().unwrap();
    assert!(!failed.status.success());
    // What its hook waits for hangs when Helm goes away.
    helm.run(&["install", "hanging", &good, "-n", "data"]);
    let hooked = chart(folder, "web", "1.4.0", "");
    std::fs::write(hooked.join("templates/hook.yaml"), HOOK).unwrap();
    let upgrade = helm.command("secret", &["upgrade", "hanging", &text(&hooked), "-n", "data"]);
    hang(cluster, upgrade, "pending-upgrade").await;
    run(helm.command("configmap", &["install", "mapped", &good, "-n", "edge"]));
    Helm { version: 4, kubeconfig, folder }.run(&["install", "four", &newer, "-n", "edge"]);
    helm.run(&["install", "kept", &good, "-n", "edge"]);
    helm.run(&["uninstall", "kept", "-n", "edge", "--keep-history"]);
}

/// A pod of the Deployment that a release made.
async fn run_pod(cluster: &Cluster) {
    let path = "/apis/apps/v1/namespaces/shop/deployments/web-front";
    let deployment: Value =
        cluster.admin.request(Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
    let owner =
        controller("apps/v1", "Deployment", "web-front", deployment["metadata"]["uid"].as_str().unwrap());
    let set = json!({
        "metadata": {"name": "web-front-1", "namespace": "shop", "ownerReferences": [owner]},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}},
            "spec": {"containers": [{"name": "app", "image": "web:1"}]}}},
    });
    let set = cluster.create_uid("/apis/apps/v1/namespaces/shop/replicasets", &set).await;
    let owner = controller("apps/v1", "ReplicaSet", "web-front-1", &set);
    cluster.pod(&pod("shop", "web-front-1-a", &owner, &[("app", "127.0.0.1:1/web:1", "")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_of_real_helm_are_found_in_every_state_and_both_drivers() {
    let cluster = Cluster::start().await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = cluster.admin_kubeconfig();
    for namespace in ["shop", "data", "edge"] {
        cluster.namespace(namespace).await;
    }
    install_all(&cluster, &kubeconfig, folder.path()).await;
    run_pod(&cluster).await;
    let (report, status) = collect(&kubeconfig, &folder.path().join("reports"), &[]);
    assert_eq!(status, 0, "{:?}", report.run);
    let told: Vec<_> = report
        .helm_releases
        .iter()
        .map(|one| {
            let storage = one.storage.as_ref().unwrap().kind;
            let name = one.release_name.as_str();
            (name, one.status.as_deref().unwrap(), one.revision.unwrap(), one.version.as_str(), storage)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("hanging", "pending-upgrade", 2, "1.4.0", StoredIn::Secret),
            ("broken", "failed", 1, "0.1.0", StoredIn::Secret),
            ("four", "deployed", 1, "1.3.0", StoredIn::Secret),
            ("kept", "uninstalled", 1, "1.2.0", StoredIn::Secret),
            ("mapped", "deployed", 1, "1.2.0", StoredIn::ConfigMap),
            ("web", "deployed", 14, "1.2.0", StoredIn::Secret),
        ]
    );
    assert_eq!(report.summary.unhealthy_helm_releases, Some(2));
    assert_eq!(release(&report, "hanging").deployed_revision, Some(1));
    assert_eq!(release(&report, "four").deprecated, Some(true));
    let web = release(&report, "web");
    assert_eq!(
        (web.revisions, web.app_version.as_deref(), web.chart.as_str()),
        (Some(14), Some("1.27"), "web")
    );
    assert_eq!(web.description.as_deref(), Some("Rollback to 1"));
    assert_eq!(web.images.as_deref(), Some(&["127.0.0.1:1/web:1".to_owned()][..]));
    let link = report.images[0].helm_release.clone().unwrap();
    assert_eq!((link.namespace.as_str(), link.name.as_str(), link.by), ("shop", "web", LinkedBy::Manifest));
    let written = serde_json::to_string(&report).unwrap();
    assert!(!written.contains("hunter2"), "values stay where they are");
    for one in &report.helm_releases {
        let stages = one.stages.as_ref().unwrap();
        assert_eq!(stages.release.as_ref().unwrap().outcome, OutcomeWord::Found);
        let chart = stages.chart.as_ref().unwrap();
        assert!(chart.reason.as_ref().unwrap().message.starts_with("no repository known"), "{chart:?}");
    }

    thousands_of_revisions(&cluster, &kubeconfig, folder.path()).await;
}

/// Two thousand old revisions of Helm's own making cost the listing of their metadata, and nothing else.
async fn thousands_of_revisions(cluster: &Cluster, kubeconfig: &Path, folder: &Path) {
    let path = "/api/v1/namespaces/shop/secrets/sh.helm.release.v1.web.v13";
    let record: Value = cluster.admin.request(Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
    let record = &record;
    futures::stream::iter(1..=2000_u32)
        .for_each_concurrent(16, |revision| async move {
            let mut labels = record["metadata"]["labels"].clone();
            labels["name"] = "aged".into();
            labels["version"] = revision.to_string().into();
            let name = format!("sh.helm.release.v1.aged.v{revision}");
            let copy = json!({
                "metadata": {"name": name, "namespace": "shop", "labels": labels},
                "type": "helm.sh/release.v1", "data": record["data"],
            });
            cluster.create("/api/v1/namespaces/shop/secrets", &copy).await;
        })
        .await;
    let before = (asked(cluster, "LIST", "secrets").await, asked(cluster, "GET", "secrets").await);
    let (report, _) = collect(kubeconfig, &folder.join("aged"), &["--pull-secrets=false"]);
    let after = (asked(cluster, "LIST", "secrets").await, asked(cluster, "GET", "secrets").await);
    let aged = release(&report, "aged");
    assert_eq!((aged.revision, aged.revisions), (Some(2000), Some(2000)));
    // 2019 records in pages of 500; the payload of each of the six releases in Secrets.
    assert_eq!((after.0 - before.0, after.1 - before.1), (5, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_are_compared_with_a_real_repository_and_real_registries() {
    let cluster = Cluster::start().await;
    let folder: TempDir = tempfile::tempdir().unwrap();
    let kubeconfig = cluster.admin_kubeconfig();
    let helm = Helm { version: 3, kubeconfig: &kubeconfig, folder: folder.path() };
    cluster.namespace("shop").await;
    let root = folder.path().join("repository");
    let distribution = RealRegistry::start(Kind::Distribution).await;
    let other = RealRegistry::start(Kind::GoContainerRegistry).await;
    let package = |name: &str, version: &str, more: &str| {
        let from = text(&chart(folder.path(), name, version, more));
        helm.run(&["package", &from, "-d", &text(&root)]);
        (from, text(&root.join(format!("{name}-{version}.tgz"))))
    };
    // In the repository: an update, one for another Kubernetes, a candidate, a chart that ended.
    let (web, _) = package("web", "1.2.0", "");
    package("web", "1.2.1", "");
    package("web", "1.3.0", "kubeVersion: \">=1.21.0-0\"\n");
    package("web", "2.0.0", "kubeVersion: \">=1.99.0-0\"\n");
    package("web", "1.4.0-rc.1", "");
    let (old, _) = package("old", "1.0.0", "");
    package("old", "1.0.1", "deprecated: true\n");
    helm.run(&["repo", "index", &text(&root)]);
    // In the registries, where + is written _.
    for (registry, name) in [(&distribution, "api"), (&other, "jobs")] {
        let address = format!("oci://{}/charts", registry.host());
        for (version, more) in [
            ("1.0.0", ""),
            ("1.1.0+build.5", ""),
            ("1.2.0", "kubeVersion: \">=1.99.0\"\n"),
            ("1.3.0", "deprecated: true\n"),
        ] {
            let (_, archive) = package(name, version, more);
            helm.run(&["push", &archive, &address, "--plain-http"]);
        }
    }
    let root_of = format!("location / {{ root {}; }}", root.display());
    let nginx = Nginx::start(folder.path(), "", &root_of).await;
    let (url, log) = (format!("http://127.0.0.1:{}", nginx.port), &nginx.log);
    helm.run(&["install", "web", &web, "-n", "shop"]);
    helm.run(&["install", "old", &old, "-n", "shop"]);
    helm.run(&[
        "install",
        "api",
        &format!("oci://{}/charts/api", distribution.host()),
        "--version",
        "1.0.0",
        "--plain-http",
        "-n",
        "shop",
    ]);
    helm.run(&[
        "install",
        "jobs",
        &format!("oci://{}/charts/jobs", other.host()),
        "--version",
        "1.0.0",
        "--plain-http",
        "-n",
        "shop",
    ]);

    let config = folder.path().join("config.yaml");
    let text_of_config = format!(
        "charts:\n  repositories:\n    - url: {url}\n    - url: oci://{}/charts\n      charts: [api]\n    - url: oci://{}/charts\n      charts: [jobs]\n",
        distribution.host(),
        other.host()
    );
    std::fs::write(&config, text_of_config).unwrap();
    let cache = text(&folder.path().join("cache"));
    let arguments = ["--config", &text(&config), "--chart-cache", &cache];
    let (report, status) = collect(&kubeconfig, &folder.path().join("reports"), &arguments);
    assert_eq!(status, 0, "{:?}", report.run);
    let web = release(&report, "web").update.clone().unwrap();
    assert_eq!(web.newest_available.as_deref(), Some("1.3.0"));
    assert_eq!(web.latest_in_minor.as_deref(), Some("1.2.1"));
    assert_eq!((web.level, web.other_kubernetes, web.deprecated), (Some(UpdateLevel::Minor), Some(1), false));
    assert_eq!((web.repository.as_str(), web.repository_from), (url.as_str(), RepositoryFrom::Configuration));
    let old = release(&report, "old");
    assert_eq!((old.deprecated, old.update.clone().unwrap().newest_available), (Some(true), None));
    for name in ["api", "jobs"] {
        let update = release(&report, name).update.clone().unwrap();
        assert_eq!(update.newest_available.as_deref(), Some("1.1.0_build.5"), "{name}: {update:?}");
        assert_eq!((update.other_kubernetes, update.deprecated), (Some(1), true), "{name}");
    }
    assert_eq!(report.summary.helm_releases_with_updates, 3);

    // The second run is told that nothing changed.
    let (again, _) = collect(&kubeconfig, &folder.path().join("reports"), &arguments);
    assert_eq!(
        again.helm_releases,
        report.helm_releases.iter().cloned().map(unasked(&again)).collect::<Vec<_>>()
    );
    let index: Vec<_> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("/index.yaml"))
        .map(str::to_owned)
        .collect();
    assert_eq!(index, ["/index.yaml 200", "/index.yaml 304"]);
    managers(&cluster, &kubeconfig, folder.path(), &url).await;
}

/// What Flux and Argo CD say of releases: one that Helm has stored too, one that nobody has. Without the rights to read
/// their kinds the report says so, and has the stored ones.
async fn managers(cluster: &Cluster, kubeconfig: &Path, folder: &Path, url: &str) {
    for (group_version, kind, plural) in [
        ("source.toolkit.fluxcd.io/v1", "HelmRepository", "helmrepositories"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "helmreleases"),
        ("argoproj.io/v1alpha1", "Application", "applications"),
    ] {
        cluster.define(group_version, kind, plural, true).await;
    }
    let object = |version: &str, kind: &str, name: &str, spec: Value, status: Value| {
        json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"},
            "spec": spec, "status": status})
    };
    let (flux, source) = ("helm.toolkit.fluxcd.io/v2", "source.toolkit.fluxcd.io/v1");
    let chart = json!({"spec": {"chart": "web", "version": "1.x", "sourceRef": {"kind": "HelmRepository", "name": "own"}}});
    let argo = json!({
        "source": {"repoURL": url, "chart": "web", "targetRevision": "1.2.1"},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
    });
    for (path, object) in [
        (
            format!("{source}/namespaces/shop/helmrepositories"),
            object(source, "HelmRepository", "own", json!({"url": url}), json!({})),
        ),
        (
            format!("{flux}/namespaces/shop/helmreleases"),
            object(flux, "HelmRelease", "web", json!({"chart": chart}), json!({})),
        ),
        (
            "argoproj.io/v1alpha1/namespaces/shop/applications".to_owned(),
            object(
                "argoproj.io/v1alpha1",
                "Application",
                "edge",
                argo,
                json!({"sync": {"status": "Synced"}}),
            ),
        ),
    ] {
        cluster.create(&format!("/apis/{path}"), &object).await;
    }
    let (report, status) = collect(kubeconfig, &folder.join("managed"), &[]);
    assert_eq!((status, report.helm_releases.len()), (0, 5), "{:?}", report.run);
    let web = release(&report, "web");
    let (manager, update) = (web.manager.clone().unwrap(), web.update.clone().unwrap());
    assert_eq!((manager.by, web.revision), (Manager::Flux, Some(1)));
    assert_eq!(
        (update.newest_available.as_deref(), update.repository_from),
        (Some("1.3.0"), RepositoryFrom::Flux)
    );
    let edge = release(&report, "edge");
    assert_eq!(
        (edge.manager.clone().unwrap().by, edge.version.as_str(), edge.storage.clone()),
        (Manager::ArgoCd, "1.2.1", None)
    );
    assert_eq!(edge.update.clone().unwrap().newest_available.as_deref(), Some("1.3.0"));

    let rights = json!([{"apiGroups": [""], "resources": ["pods", "namespaces", "secrets", "configmaps"], "verbs": ["get", "list"]}]);
    let token = cluster.account("limited", "shop", &rights, None).await;
    let (report, status) =
        collect(&cluster.kubeconfig(&token, "shop"), &folder.join("limited"), &["--pull-secrets=false"]);
    assert_eq!((status, report.helm_releases.len()), (0, 4));
    let run = report.run.unwrap();
    let told = |kind: &str| {
        run.problems.iter().any(|problem| problem.kind.as_deref() == Some(kind) && !problem.rows_missing)
    };
    assert!(told("HelmRelease") && told("Application"), "{:?}", run.problems);
    for path in [
        format!("{source}/namespaces/shop/helmrepositories/own"),
        format!("{flux}/namespaces/shop/helmreleases/web"),
        "argoproj.io/v1alpha1/namespaces/shop/applications/edge".to_owned(),
    ] {
        let request = Request::delete(format!("/apis/{path}")).body(Vec::new()).unwrap();
        let _: Value = cluster.admin.request(request).await.unwrap();
    }
}

/// A release with the evidence of another run: how it was asked is the one thing that may differ.
fn unasked(other: &Report) -> impl Fn(HelmRelease) -> HelmRelease {
    |mut release| {
        let same = other.helm_releases.iter().find(|one| one.release_name == release.release_name);
        release.stages = same.and_then(|same| same.stages.clone());
        release
    }
}
