//! A real API server with RBAC and real registries: every row right, with exactly the chart's rights, and with
//! rights in one namespace only; continue tokens that really expire.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use futures::StreamExt as _;
use provenance_e2e::registry::{crane, push, push_index};
use provenance_e2e::{Cluster, Kind, RealRegistry, collector};
use provenance_engine::Stop;
use provenance_model::DriftState;
use provenance_model::report::{ProblemReason, Report};
use provenance_stages::discovery::{ClusterSource, Namespaces, connect};
use provenance_testbed::kube::{controller, pod};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What the chart's `ClusterRole` grants.
fn chart_rights() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["pods", "namespaces"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets", "statefulsets", "daemonsets"], "verbs": ["get", "list"]},
        {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "create", "update"]},
    ])
}

/// An image that was pushed, and what pods that run it say.
struct Pushed {
    image: String,
    image_id: String,
    digest: Option<String>,
    state: DriftState,
}

/// The 50 images, each with a fate: unchanged, moved, deleted, untagged, by image id, by platform, pinned.
fn push_images(folder: &Path, distribution: &str, ggcr: &str) -> Vec<Pushed> {
    (0..50)
        .map(|n| {
            let host = if n % 2 == 0 { distribution } else { ggcr };
            let repository = format!("{host}/team{}/app{n:02}", n % 7);
            let image = format!("{repository}:v1");
            let same = |digest: String| Pushed {
                image: image.clone(),
                image_id: format!("{repository}@{digest}"),
                digest: Some(digest),
                state: DriftState::Same,
            };
            match n {
                0..=4 => {
                    let old = same(push(folder, &image, &format!("app{n} old")));
                    push(folder, &image, &format!("app{n} new"));
                    Pushed { state: DriftState::Drifted, ..old }
                }
                5..=7 => {
                    let gone = same(push(folder, &image, &format!("app{n} gone")));
                    crane(None, &["delete", &gone.image_id]);
                    push(folder, &image, &format!("app{n} new"));
                    Pushed { state: DriftState::DigestGone, ..gone }
                }
                // Only go-containerregistry's registry deletes tags.
                9 | 11 => {
                    let untagged = same(push(folder, &image, &format!("app{n}")));
                    crane(None, &["delete", &image]);
                    Pushed { state: DriftState::TagGone, ..untagged }
                }
                12..=15 => {
                    let (_, platforms) = push_index(folder, &image, &format!("app{n}"));
                    same(platforms[1].clone())
                }
                16..=19 => {
                    let (index, _) = push_index(folder, &image, &format!("app{n}"));
                    same(index)
                }
                20..=23 => {
                    let pushed = same(push(folder, &image, &format!("app{n}")));
                    let manifest: Value = serde_json::from_str(&crane(None, &["manifest", &image])).unwrap();
                    Pushed { image_id: manifest["config"]["digest"].as_str().unwrap().to_owned(), ..pushed }
                }
                24..=26 => {
                    let pushed = same(push(folder, &image, &format!("app{n}")));
                    Pushed { image: pushed.image_id.clone(), ..pushed }
                }
                27 => {
                    let pushed = same(push(folder, &image, &format!("app{n}")));
                    Pushed { image_id: String::new(), state: DriftState::NotAsked, ..pushed }
                }
                _ => same(push(folder, &image, &format!("app{n}"))),
            }
        })
        .collect()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

/// Creates the workload of image `n` in its namespace; answers the controller of its pods, and the kind and
/// name its rows must have.
async fn workload(cluster: &Cluster, n: usize, namespace: &str, image: &str) -> (Value, String) {
    let name = format!("app{n:02}");
    let apps = format!("/apis/apps/v1/namespaces/{namespace}");
    let batch = format!("/apis/batch/v1/namespaces/{namespace}");
    let selector = json!({"matchLabels": {"app": "x"}});
    let meta = |name: &str, owner: &Value| {
        let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
        json!({"name": name, "namespace": namespace, "ownerReferences": owners})
    };
    let none = Value::Null;
    let of = |kind: &str, name: &str, uid: &str| {
        let version = if matches!(kind, "Job" | "CronJob") { "batch/v1" } else { "apps/v1" };
        controller(version, kind, name, uid)
    };
    let replica_set = async |owner: &Value| {
        let set = format!("{name}-abc12");
        let object = json!({"metadata": meta(&set, owner), "spec": {"selector": selector, "template": template(image)}});
        of("ReplicaSet", &set, &cluster.create_uid(&format!("{apps}/replicasets"), &object).await)
    };
    match n % 6 {
        0 => {
            let spec = json!({"selector": selector, "template": template(image)});
            let object = json!({"metadata": meta(&name, &none), "spec": spec});
            let uid = cluster.create_uid(&format!("{apps}/deployments"), &object).await;
            (replica_set(&of("Deployment", &name, &uid)).await, format!("Deployment/{name}"))
        }
        1 => {
            let spec = json!({"selector": selector, "template": template(image), "serviceName": name});
            let object = json!({"metadata": meta(&name, &none), "spec": spec});
            let uid = cluster.create_uid(&format!("{apps}/statefulsets"), &object).await;
            (of("StatefulSet", &name, &uid), format!("StatefulSet/{name}"))
        }
        2 => {
            let spec = json!({"selector": selector, "template": template(image)});
            let object = json!({"metadata": meta(&name, &none), "spec": spec});
            let uid = cluster.create_uid(&format!("{apps}/daemonsets"), &object).await;
            (of("DaemonSet", &name, &uid), format!("DaemonSet/{name}"))
        }
        3 => {
            let mut once = template(image);
            once["spec"]["restartPolicy"] = "Never".into();
            let spec = json!({"schedule": "0 6 * * *", "jobTemplate": {"spec": {"template": once}}});
            let object = json!({"metadata": meta(&name, &none), "spec": spec});
            let uid = cluster.create_uid(&format!("{batch}/cronjobs"), &object).await;
            let job = format!("{name}-2940");
            let object =
                json!({"metadata": meta(&job, &of("CronJob", &name, &uid)), "spec": {"template": once}});
            let uid = cluster.create_uid(&format!("{batch}/jobs"), &object).await;
            (of("Job", &job, &uid), format!("CronJob/{name}"))
        }
        4 => {
            let collection = format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts");
            let object =
                json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name}});
            let uid = cluster.create_uid(&collection, &object).await;
            let rollout = controller("argoproj.io/v1alpha1", "Rollout", &name, &uid);
            (replica_set(&rollout).await, format!("Rollout/{name}"))
        }
        _ => (none, String::new()),
    }
}

/// Rows by namespace, workload and image: pods, state and digest.
type Rows = BTreeMap<(String, String, String), (Option<usize>, DriftState, Option<String>)>;

fn rows(report: &Report) -> Rows {
    let rows: Rows = report
        .images
        .iter()
        .map(|row| {
            let workload = format!("{}/{}", row.workload.kind, row.workload.name);
            let drift = row.drift.as_ref().unwrap_or_else(|| panic!("{}: {:?}", row.image, row.stages));
            let key = (row.namespace.clone(), workload, row.image.clone());
            (key, (row.pods, drift.state, row.digest.clone()))
        })
        .collect();
    assert_eq!(rows.len(), report.images.len(), "no row comes twice");
    rows
}

async fn collect(kubeconfig: &Path, reports: &Path, extra: &[(&str, &str)]) -> (i32, Report, String) {
    let mut command = Command::new(collector());
    command
        .arg("collect")
        .env("KUBECONFIG", kubeconfig)
        .env("PROVENANCE_REPORT_PATH", reports)
        .envs(extra.iter().copied());
    let output: Output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let latest = reports.join("provenance-latest.json");
    let text = std::fs::read(&latest).unwrap_or_else(|error| panic!("{error}: {err}"));
    (output.status.code().unwrap_or(-1), serde_json::from_slice(&text).unwrap(), err)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_pods_on_fifty_images_have_every_row_right_with_exactly_the_charts_rights() {
    let (cluster, distribution, ggcr) = tokio::join!(
        Cluster::start(),
        RealRegistry::start(Kind::Distribution),
        RealRegistry::start(Kind::GoContainerRegistry)
    );
    let folder = tempfile::tempdir().unwrap();
    let images = {
        let (folder, hosts) = (folder.path().to_owned(), (distribution.host(), ggcr.host()));
        tokio::task::spawn_blocking(move || push_images(&folder, &hosts.0, &hosts.1)).await.unwrap()
    };
    cluster.define("argoproj.io/v1alpha1", "Rollout", "rollouts", true).await;
    for n in 0..10 {
        cluster.namespace(&format!("ns{n}")).await;
    }

    let mut expected = Rows::new();
    let mut pods = Vec::new();
    for (n, pushed) in images.iter().enumerate() {
        let namespace = format!("ns{}", n % 10);
        let (owner, top) = workload(&cluster, n, &namespace, &pushed.image).await;
        for replica in 0..10 {
            let name = format!("app{n:02}-{replica}");
            let top = if top.is_empty() { format!("Pod/{name}") } else { top.clone() };
            let key = (namespace.clone(), top, pushed.image.clone());
            let row = expected.entry(key).or_insert((Some(0), pushed.state, pushed.digest.clone()));
            row.0 = row.0.map(|pods| pods + 1);
            pods.push(pod(&namespace, &name, &owner, &[("app", &pushed.image, &pushed.image_id)]));
        }
    }
    assert_eq!(pods.len(), 500);
    futures::stream::iter(&pods).for_each_concurrent(16, |pod| cluster.pod(pod)).await;

    cluster.namespace("provenance-system").await;
    let token = cluster.account("collector", "provenance-system", &chart_rights(), None).await;
    let kubeconfig = cluster.kubeconfig(&token, "provenance-system");
    let reports = folder.path().join("reports");
    let page = [("PROVENANCE_PAGE_SIZE", "70"), ("PROVENANCE_REGISTRY_RATE", "0")];
    let (status, report, err) = collect(&kubeconfig, &reports, &page).await;
    assert_eq!(status, 0, "{err}");
    assert_eq!(rows(&report), expected);

    let run = report.run.unwrap();
    assert_eq!((run.sightings, run.subjects, run.partial), (500, 50, false));
    // The Rollout kind is not among the chart's rights: it is known from its ReplicaSets, and named.
    assert_eq!(run.problems.len(), 1, "{:?}", run.problems);
    assert_eq!(run.problems[0].reason, ProblemReason::Forbidden);
    assert!(run.problems[0].message.contains("Rollout"), "{:?}", run.problems);
    let requests: u64 = run.registries.iter().map(|registry| registry.requests).sum();
    // For digests one a subject, one more where tag and running digest differ or the tag is gone (10), and the
    // platforms looked into for an image id: 62. For what is attached a tag list and one to two lists of
    // referrers a subject.
    assert!(requests <= 62 + 50 * 3, "{:?}", run.registries);

    in_one_namespace_only(&cluster, folder.path(), &expected).await;
}

/// The same cluster, seen by an account that may read one namespace.
async fn in_one_namespace_only(cluster: &Cluster, folder: &Path, expected: &Rows) {
    let token = cluster.account("tenant", "ns3", &chart_rights(), Some("ns3")).await;
    let kubeconfig = cluster.kubeconfig(&token, "ns3");
    let own: Rows = expected.clone().into_iter().filter(|((namespace, ..), _)| namespace == "ns3").collect();
    let reports: PathBuf = folder.join("tenant");

    // Asked for all namespaces, it reads its own, says so, and calls the report partial.
    let (status, report, err) = collect(&kubeconfig, &reports, &[]).await;
    assert_eq!(status, 3, "{err}");
    assert_eq!(rows(&report), own);
    assert_eq!(report.metadata.namespaces_scanned, ["ns3"]);
    let run = report.run.unwrap();
    assert!(run.partial && run.partial_reasons[0].contains("only its own namespace \"ns3\""), "{run:?}");

    // A kubeconfig that names no namespace: the account's own is known from its refusals.
    let (status, report, err) = collect(&cluster.kubeconfig(&token, "default"), &reports, &[]).await;
    assert_eq!(status, 3, "{err}");
    assert_eq!(rows(&report), own);

    // Asked for that namespace, the report is whole.
    let (status, report, err) = collect(&kubeconfig, &reports, &[("PROVENANCE_NAMESPACES", "ns3")]).await;
    assert_eq!(status, 0, "{err}");
    assert_eq!(rows(&report), own);

    // Another namespace is forbidden and named.
    let (status, report, err) = collect(&kubeconfig, &reports, &[("PROVENANCE_NAMESPACES", "ns3,ns4")]).await;
    assert_eq!(status, 3, "{err}");
    assert_eq!(rows(&report), own);
    let run = report.run.unwrap();
    assert_eq!(run.forbidden_namespaces, ["ns4"]);
    let forbidden = run.problems.iter().find(|problem| problem.rows_missing).unwrap();
    assert_eq!((forbidden.namespace.as_deref(), forbidden.reason), (Some("ns4"), ProblemReason::Forbidden));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_continue_token_that_really_expires_loses_and_doubles_nothing() {
    // The watch cache would answer old tokens from its own memory.
    let cluster = Cluster::with(&["--watch-cache=false"]).await;
    cluster.namespace("a").await;
    let pods: Vec<_> =
        (0..60).map(|n| pod("a", &format!("pod-{n:02}"), &Value::Null, &[("app", "web:1", "")])).collect();
    futures::stream::iter(&pods).for_each_concurrent(8, |pod| cluster.pod(pod)).await;

    let list = async |query: &str| {
        let path = format!("/api/v1/pods?limit=10{query}");
        cluster.admin.request::<Value>(http::Request::get(path).body(Vec::new()).unwrap()).await
    };
    let first = list("").await.unwrap();
    let client = connect(&[cluster.admin_kubeconfig()]).await.unwrap();
    let (tx, mut rx) = mpsc::channel(1);
    let source = ClusterSource::new(client, Namespaces::default()).page_size(10);
    let run = tokio::spawn(source.discover(tx, Stop::default()));
    let mut seen = Vec::new();
    // The first page is being taken; the next is asked for only when it is. Meanwhile its token expires.
    for _ in 0..3 {
        seen.push(rx.recv().await.unwrap());
    }
    for n in 0..20 {
        cluster.namespace(&format!("later-{n}")).await;
    }
    cluster.forget_history().await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    match list(&format!("&continue={token}")).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 410, "{status}"),
        other => panic!("the token has not expired: {other:?}"),
    }
    while let Some(sighting) = rx.recv().await {
        seen.push(sighting);
    }
    let discovery = run.await.unwrap().unwrap();
    let mut names: Vec<_> = seen.iter().map(|sighting| sighting.workload.name.to_string()).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), count), (60, 60));
    assert_eq!(discovery.problems, []);
}
