//! Cluster discovery against the testbed's API: owners, pages, rights, and nothing lost or doubled.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use provenance_engine::Stop;
use provenance_model::report::{Discovery, ProblemReason};
use provenance_model::{ContainerKind, CredentialScope, Running, Sighting};
use provenance_stages::credentials::{Credential, CredentialBook};
use provenance_stages::discovery::{ClusterSource, DiscoveryError, Namespaces};
use provenance_testbed::kube::{Expiry, controller, pod, pull_secret};
use provenance_testbed::{Effect, Fault, KubeApi};
use serde_json::{Value, json};
use tokio::sync::mpsc;

fn client(api: &KubeApi) -> kube::Client {
    let mut config = kube::Config::new(api.url().parse().unwrap());
    config.default_namespace = "own".into();
    kube::Client::try_from(config).unwrap()
}

async fn discover_with(
    api: &KubeApi,
    namespaces: Namespaces,
    page: usize,
) -> Result<(Vec<Sighting>, Discovery), DiscoveryError> {
    discover_until(api, namespaces, page, Stop::default()).await
}

async fn discover_until(
    api: &KubeApi,
    namespaces: Namespaces,
    page: usize,
    stop: Stop,
) -> Result<(Vec<Sighting>, Discovery), DiscoveryError> {
    let (tx, mut rx) = mpsc::channel(8);
    let source = ClusterSource::new(client(api), namespaces).page_size(page);
    let run = tokio::spawn(source.discover(tx, stop));
    let mut sightings = Vec::new();
    while let Some(sighting) = rx.recv().await {
        sightings.push(sighting);
    }
    run.await.unwrap().map(|discovery| (sightings, discovery))
}

async fn discover(api: &KubeApi) -> (Vec<Sighting>, Discovery) {
    discover_with(api, Namespaces::default(), 500).await.unwrap()
}

fn include(names: &[&str]) -> Namespaces {
    Namespaces { include: names.iter().map(ToString::to_string).collect(), exclude: vec![] }
}

/// Namespace and workload of every sighting, counted.
fn workloads(sightings: &[Sighting]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sighting in sightings {
        *counts.entry(format!("{}/{}", sighting.namespace, sighting.workload)).or_default() += 1;
    }
    counts
}

fn counts<'a>(expected: impl IntoIterator<Item = (&'a str, usize)>) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn plain_pod(namespace: &str, name: &str, owner: &Value) -> Value {
    pod(namespace, name, owner, &[("app", "web:1", "")])
}

/// A chain of owners above two pods; answers nothing, adds all.
fn chain(api: &KubeApi, namespace: &str, links: &[(&str, &str, &str)]) {
    let mut above = Value::Null;
    for (version, kind, name) in links {
        let uid = api.add_owned((version, kind), namespace, name, &above);
        above = controller(version, kind, name, &uid);
    }
    let last = links.last().map_or("pod", |(_, _, name)| name);
    for n in 0..2 {
        api.add(plain_pod(namespace, &format!("{last}-{n}"), &above));
    }
}

#[tokio::test]
async fn every_pod_is_found_under_its_topmost_owner() {
    let api = KubeApi::start().await.unwrap();
    chain(&api, "a", &[("apps/v1", "Deployment", "web"), ("apps/v1", "ReplicaSet", "web-1")]);
    chain(&api, "a", &[("batch/v1", "CronJob", "nightly"), ("batch/v1", "Job", "nightly-1")]);
    chain(&api, "a", &[("apps/v1", "DaemonSet", "agent")]);
    chain(&api, "b", &[("argoproj.io/v1alpha1", "Rollout", "roll"), ("apps/v1", "ReplicaSet", "roll-1")]);
    chain(
        &api,
        "b",
        &[
            ("kafka.strimzi.io/v1beta2", "Kafka", "log"),
            ("core.strimzi.io/v1beta2", "StrimziPodSet", "log-kafka"),
        ],
    );
    chain(
        &api,
        "b",
        &[("monitoring.coreos.com/v1", "Prometheus", "main"), ("apps/v1", "StatefulSet", "prometheus-main")],
    );
    chain(&api, "b", &[]);
    let node = controller("v1", "Node", "node-1", "node-uid");
    api.add(plain_pod("kube-system", "etcd-node-1", &node));

    let (sightings, discovery) = discover(&api).await;
    assert_eq!(
        workloads(&sightings),
        counts([
            ("a/CronJob/nightly", 2),
            ("a/DaemonSet/agent", 2),
            ("a/Deployment/web", 2),
            ("b/Kafka/log", 2),
            ("b/Pod/pod-0", 1),
            ("b/Pod/pod-1", 1),
            ("b/Prometheus/main", 2),
            ("b/Rollout/roll", 2),
            ("kube-system/Node/node-1", 1),
        ])
    );
    assert_eq!(discovery.problems, []);
    assert_eq!(discovery.namespaces, ["a", "b", "kube-system"]);
    let owners = |workload: &str| {
        let found = sightings.iter().find(|sighting| sighting.workload.to_string() == workload).unwrap();
        found.owners.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(owners("Kafka/log"), ["StrimziPodSet/log-kafka", "Kafka/log"]);
    assert!(
        api.log().iter().all(|asked| !asked.path.contains("/pods/") && !asked.path.contains("replicasets/")),
        "never a request per object"
    );
    let lists = api.log().iter().filter(|asked| asked.path.contains("limit=")).count();
    assert_eq!(lists, 11, "one listing a kind: {:#?}", api.log());
}

#[tokio::test]
async fn containers_of_every_kind_are_sighted_with_their_pod() {
    let api = KubeApi::start().await.unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let mut both =
        pod("a", "p", &Value::Null, &[("app", "web:1", &format!("web@{digest}")), ("side", "web:1", "")]);
    both["spec"]["initContainers"] = json!([{"name": "init", "image": "init:1"}]);
    both["spec"]["ephemeralContainers"] = json!([{"name": "debug", "image": "busybox"}]);
    api.add(both);
    let (sightings, _) = discover(&api).await;
    let seen: Vec<_> = sightings
        .iter()
        .map(|s| (s.container_kind, &*s.container, s.image.written.as_str(), s.running.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            (ContainerKind::Init, "init", "init:1", Running::Unknown),
            (ContainerKind::Container, "app", "web:1", Running::Manifest(digest.parse().unwrap())),
            (ContainerKind::Container, "side", "web:1", Running::Unknown),
            (ContainerKind::Ephemeral, "debug", "busybox", Running::Unknown),
        ]
    );
    assert!(sightings.iter().all(|sighting| sighting.pod == sightings[0].pod));
}

#[tokio::test]
async fn an_expired_continue_token_loses_and_doubles_nothing() {
    for expiry in [Expiry::WithFreshToken, Expiry::Bare] {
        for after in [0, 1, 3] {
            let api = KubeApi::start().await.unwrap();
            for n in 0..47 {
                api.add(plain_pod("a", &format!("pod-{n:02}"), &Value::Null));
            }
            api.expire_continue_token(after, expiry);
            let (sightings, discovery) = discover_with(&api, Namespaces::default(), 10).await.unwrap();
            assert_eq!(workloads(&sightings).len(), 47, "{expiry:?} after {after}");
            assert_eq!(sightings.len(), 47, "{expiry:?} after {after}");
            assert_eq!(discovery.problems, []);
            assert!(api.log().iter().any(|asked| asked.status == 410));
        }
    }
}

#[tokio::test]
async fn rows_come_while_later_pages_still_load() {
    let api = KubeApi::start().await.unwrap();
    for n in 0..30 {
        api.add(plain_pod("a", &format!("pod-{n:02}"), &Value::Null));
    }
    api.fault(Fault::on("continue=", Effect::Hang));
    let (tx, mut rx) = mpsc::channel(100);
    let stop = Stop::new(Duration::ZERO);
    let source = ClusterSource::new(client(&api), Namespaces::default()).page_size(10);
    let run = tokio::spawn(source.discover(tx, stop.clone()));
    for _ in 0..10 {
        rx.recv().await.unwrap();
    }
    stop.order();
    let discovery = run.await.unwrap().unwrap();
    assert_eq!(discovery.problems.len(), 1);
    assert_eq!(discovery.problems[0].reason, ProblemReason::Stopped);
    assert!(discovery.problems[0].rows_missing);
}

#[tokio::test]
async fn a_listing_that_fails_halfway_keeps_its_rows_and_says_so() {
    let api = KubeApi::start().await.unwrap();
    for n in 0..30 {
        api.add(plain_pod("a", &format!("pod-{n:02}"), &Value::Null));
    }
    api.fault(Fault::on("continue=", Effect::status(418)).after(1));
    let (sightings, discovery) = discover_with(&api, Namespaces::default(), 10).await.unwrap();
    assert_eq!(sightings.len(), 20);
    let problem = &discovery.problems[0];
    assert_eq!((problem.reason, problem.rows_missing), (ProblemReason::CutShort, true));
    assert!(problem.message.contains("cut short after 20 pods"), "{}", problem.message);
}

#[tokio::test]
async fn a_passing_failure_of_the_api_is_not_seen() {
    let api = KubeApi::start().await.unwrap();
    api.add(plain_pod("a", "p", &Value::Null));
    api.fault(Fault::on("/pods", Effect::status(500)).times(1));
    api.fault(Fault::on("/pods", Effect::retry_after(429, 0)).times(1));
    api.fault(Fault::on("/pods", Effect::Cut).times(1));
    let (sightings, discovery) = discover(&api).await;
    assert_eq!((sightings.len(), discovery.problems.len()), (1, 0));
}

#[tokio::test]
async fn a_kind_that_may_not_be_read_ends_the_climb_and_is_named() {
    let api = KubeApi::start().await.unwrap();
    chain(&api, "a", &[("apps/v1", "Deployment", "web"), ("apps/v1", "ReplicaSet", "web-1")]);
    api.deny_everywhere("replicasets");
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("a/ReplicaSet/web-1", 2)]));
    assert_eq!(discovery.problems.len(), 1);
    let problem = &discovery.problems[0];
    assert_eq!((problem.reason, problem.rows_missing), (ProblemReason::Forbidden, false));
    assert!(
        problem.message.contains("ReplicaSet") && problem.message.contains("grant get and list"),
        "{problem:?}"
    );
}

#[tokio::test]
async fn an_owner_that_came_after_its_kind_was_listed_is_looked_for_once_more() {
    let api = KubeApi::start().await.unwrap();
    chain(&api, "a", &[("apps/v1", "Deployment", "web"), ("apps/v1", "ReplicaSet", "web-1")]);
    let deployment = api.add_owned(("apps/v1", "Deployment"), "z", "late", &Value::Null);
    let above = controller("apps/v1", "Deployment", "late", &deployment);
    let uid = api.add_owned(("apps/v1", "ReplicaSet"), "z", "late-1", &above);
    api.add(plain_pod("z", "late-1-0", &controller("apps/v1", "ReplicaSet", "late-1", &uid)));
    api.add(plain_pod("z", "orphan", &controller("apps/v1", "ReplicaSet", "deleted", "no-such-uid")));
    let empty = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": []});
    let answer = Effect::Answer { status: 200, headers: vec![], body: empty.to_string() };
    api.fault(Fault::on("/replicasets", answer).times(1));
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(
        workloads(&sightings),
        counts([("a/Deployment/web", 2), ("z/Deployment/late", 1), ("z/ReplicaSet/deleted", 1)])
    );
    assert_eq!(discovery.problems, []);
    let listed = api.log().iter().filter(|asked| asked.path.contains("/replicasets")).count();
    assert_eq!(listed, 2);
}

#[tokio::test]
async fn a_version_that_is_no_longer_served_is_read_in_the_preferred_one() {
    let api = KubeApi::start().await.unwrap();
    let rollout = api.add_owned(("argoproj.io/v1", "Rollout"), "a", "roll", &Value::Null);
    let group = json!({"kind": "APIGroup", "name": "argoproj.io", "preferredVersion": {"groupVersion": "argoproj.io/v1"}});
    let answer = Effect::Answer { status: 200, headers: vec![], body: group.to_string() };
    api.fault(Fault::on("GET /apis/argoproj.io?", answer.clone()));
    api.fault(Fault::on("GET /apis/argoproj.io", answer).after(1).times(1));
    api.add(plain_pod("a", "p", &controller("argoproj.io/v1alpha1", "Rollout", "roll", &rollout)));
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("a/Rollout/roll", 1)]));
    assert_eq!(discovery.problems, [], "{:#?}", api.log());
}

fn two_namespaces(api: &KubeApi) {
    for namespace in ["a", "own"] {
        chain(api, namespace, &[("apps/v1", "Deployment", "web"), ("apps/v1", "ReplicaSet", "web-1")]);
    }
}

#[tokio::test]
async fn only_wanted_namespaces_are_read_and_missing_ones_are_named() {
    let api = KubeApi::start().await.unwrap();
    two_namespaces(&api);
    api.add_namespace("empty");
    let (sightings, discovery) = discover_with(&api, include(&["a", "empty", "gone"]), 500).await.unwrap();
    assert_eq!(workloads(&sightings), counts([("a/Deployment/web", 2)]));
    assert_eq!(discovery.namespaces, ["a", "empty"]);
    assert_eq!(discovery.problems.len(), 1);
    assert_eq!(discovery.problems[0].reason, ProblemReason::NotFound);
    assert!(discovery.problems[0].message.contains("\"gone\" does not exist"));

    let exclude = Namespaces { include: vec![], exclude: vec!["a".into()] };
    let (sightings, discovery) = discover_with(&api, exclude, 500).await.unwrap();
    assert_eq!(workloads(&sightings), counts([("own/Deployment/web", 2)]));
    assert_eq!(discovery.namespaces, ["own"]);
}

#[tokio::test]
async fn with_rights_in_namespaces_only_it_works_namespace_by_namespace() {
    let api = KubeApi::start().await.unwrap();
    two_namespaces(&api);
    api.deny("pods", None);
    api.deny("replicasets", None);
    api.deny("pods", Some("a"));
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("own/Deployment/web", 2)]));
    assert_eq!(discovery.problems.len(), 1);
    let problem = &discovery.problems[0];
    assert_eq!((problem.reason, problem.rows_missing), (ProblemReason::Forbidden, true));
    assert_eq!(problem.namespace.as_deref(), Some("a"));
}

#[tokio::test]
async fn with_rights_in_its_own_namespace_only_it_reads_that_and_says_so() {
    let api = KubeApi::start().await.unwrap();
    two_namespaces(&api);
    for kind in ["pods", "namespaces", "replicasets", "deployments"] {
        api.deny(kind, None);
        api.deny(kind, Some("a"));
    }
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("own/Deployment/web", 2)]));
    assert!(discovery.problems[0].rows_missing);
    assert!(discovery.problems[0].message.contains("only its own namespace \"own\""), "{discovery:?}");

    // Asked for by name, the same namespace is all that was wanted.
    let (sightings, discovery) = discover_with(&api, include(&["own"]), 500).await.unwrap();
    assert_eq!((sightings.len(), discovery.problems.len()), (2, 0));
}

#[tokio::test]
async fn where_nothing_can_be_read_there_is_no_report() {
    let api = KubeApi::start().await.unwrap();
    two_namespaces(&api);
    api.deny_everywhere("*");
    for namespaces in [Namespaces::default(), include(&["a"])] {
        let error = discover_with(&api, namespaces, 500).await.unwrap_err();
        assert!(
            matches!(error, DiscoveryError::Api(_)) && error.to_string().contains("forbidden"),
            "{error}"
        );
    }
    api.stop().await;
    let error = discover_with(&api, Namespaces::default(), 500).await.unwrap_err();
    assert!(error.to_string().contains("after 5 attempts"), "{error}");
}

fn with_secrets(namespace: &str, name: &str, image: &str, secrets: &[&str]) -> Value {
    let mut pod = pod(namespace, name, &Value::Null, &[("app", image, "")]);
    let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
    pod["spec"]["imagePullSecrets"] = json!(secrets);
    pod
}

#[tokio::test]
async fn pull_secrets_are_read_once_and_only_where_they_match() {
    let api = KubeApi::start().await.unwrap();
    api.add(pull_secret("a", "regcred", "private.example", "ann", "topsecret"));
    api.add(pull_secret("a", "unused", "private.example", "eve", "topsecret"));
    api.add(pull_secret("b", "regcred", "private.example", "bob", "topsecret"));
    api.add(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "b"},
        "imagePullSecrets": [{"name": "regcred"}],
    }));
    for n in 0..5 {
        api.add(with_secrets("a", &format!("private-{n}"), "private.example/app:1", &["regcred"]));
        api.add(with_secrets("a", &format!("public-{n}"), "public.example/app:1", &["regcred"]));
        api.add(plain_pod("b", &format!("by-account-{n}"), &Value::Null));
    }
    api.add(pod("b", "of-account", &Value::Null, &[("app", "private.example/app:1", "")]));
    api.add(with_secrets("c", "dangling", "private.example/app:1", &["gone"]));

    let book = Arc::new(CredentialBook::default());
    let (tx, mut rx) = mpsc::channel(100);
    let source = ClusterSource::new(client(&api), Namespaces::default()).pull_secrets(Arc::clone(&book));
    let run = tokio::spawn(source.discover(tx, Stop::default()));
    let mut sightings = Vec::new();
    while let Some(sighting) = rx.recv().await {
        sightings.push(sighting);
    }
    let discovery = run.await.unwrap().unwrap();

    let mut users = BTreeMap::new();
    for sighting in &sightings {
        let reference = sighting.image.reference.as_ref().unwrap();
        let (candidates, failed) =
            book.candidates(&sighting.scope, &reference.registry, &reference.repository).await;
        assert_eq!(failed, None);
        let names: Vec<_> = candidates
            .iter()
            .map(|credential| match credential {
                Credential::Basic { username, .. } => username.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        users.insert(sighting.workload.name.to_string(), names.join(","));
    }
    assert_eq!(users["private-0"], "ann");
    assert_eq!(users["of-account"], "bob", "the account's secret, since the pod names none");
    assert_eq!(
        (users["public-0"].as_str(), users["by-account-0"].as_str(), users["dangling"].as_str()),
        ("", "", "")
    );
    let scopes: std::collections::HashSet<_> = sightings.iter().map(|sighting| &sighting.scope).collect();
    assert_eq!(scopes.len(), 3, "the collector's own, and one for each team");

    let read: Vec<_> = api.log().into_iter().filter(|asked| asked.path.contains("/secrets/")).collect();
    let mut paths: Vec<_> =
        read.iter().map(|asked| asked.path.rsplit("namespaces/").next().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["a/secrets/regcred", "b/secrets/regcred", "c/secrets/gone"],
        "each once, and no other"
    );
    assert_eq!(discovery.problems.len(), 1);
    assert!(discovery.problems[0].message.contains("c/gone") && !discovery.problems[0].rows_missing);
    assert!(!format!("{book:?} {discovery:?}").contains("topsecret"));
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_named_and_never_shown() {
    for (change, reason, says) in [
        (json!({"data": {".dockerconfigjson": "dG9wc2VjcmV0"}}), ProblemReason::Malformed, "not of its form"),
        (json!({"data": {".dockerconfigjson": "topsecret!"}}), ProblemReason::Malformed, "no base64"),
        (json!({"data": {}}), ProblemReason::Malformed, "has no .dockerconfigjson"),
        (json!({"type": "Opaque"}), ProblemReason::Malformed, "none of pull secrets"),
        (Value::Null, ProblemReason::Forbidden, "forbidden"),
    ] {
        let api = KubeApi::start().await.unwrap();
        let mut secret = pull_secret("a", "regcred", "private.example", "ann", "topsecret");
        for (key, value) in change.as_object().into_iter().flatten() {
            secret[key] = value.clone();
        }
        api.add(secret);
        if change.is_null() {
            api.deny_everywhere("secrets");
        }
        api.add(with_secrets("a", "p", "private.example/app:1", &["regcred"]));
        let (tx, mut rx) = mpsc::channel(10);
        let source = ClusterSource::new(client(&api), Namespaces::default()).pull_secrets(Arc::default());
        let discovery = source.discover(tx, Stop::default()).await.unwrap();
        assert_eq!(
            rx.recv().await.unwrap().scope,
            CredentialScope::default(),
            "the row is there, asked anonymously"
        );
        let problem = &discovery.problems[0];
        assert_eq!(problem.reason, reason, "{problem:?}");
        assert!(problem.message.contains(says) && !problem.message.contains("topsecret"), "{problem:?}");
    }
}

#[tokio::test]
async fn an_api_whose_watch_cache_is_behind_hides_nothing() {
    let api = KubeApi::start().await.unwrap();
    chain(&api, "a", &[("apps/v1", "Deployment", "old"), ("apps/v1", "ReplicaSet", "old-1")]);
    api.fall_behind();
    chain(&api, "a", &[("apps/v1", "Deployment", "new"), ("apps/v1", "ReplicaSet", "new-1")]);
    api.remove("v1", "pods", "a", "old-1-1");
    let (sightings, discovery) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("a/Deployment/old", 1), ("a/Deployment/new", 2)]));
    assert_eq!(discovery.problems, []);

    // A server that breaks its word and lists from its cache all the same: the owner is looked for once more.
    api.fault(Fault::on("/replicasets", Effect::Stale).times(1));
    let (sightings, _) = discover(&api).await;
    assert_eq!(workloads(&sightings), counts([("a/Deployment/old", 1), ("a/Deployment/new", 2)]));
}

#[tokio::test]
async fn a_run_that_is_stopped_while_owners_are_listed_says_under_what_rows_stand() {
    let api = KubeApi::start().await.unwrap();
    chain(&api, "a", &[("apps/v1", "Deployment", "web"), ("apps/v1", "ReplicaSet", "web-1")]);
    api.fault(Fault::on("/deployments", Effect::Hang));
    let stop = Stop::default();
    let order = stop.clone();
    let ordered = async {
        while !api.log().iter().any(|asked| asked.path.contains("/deployments")) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        order.order();
    };
    let (ended, ()) = tokio::join!(discover_until(&api, Namespaces::default(), 500, stop), ordered);
    let (sightings, discovery) = ended.unwrap();
    assert_eq!(workloads(&sightings), counts([("a/Deployment/web", 2)]));
    let of_owners = discovery.problems.iter().find(|problem| !problem.rows_missing).unwrap();
    assert_eq!(of_owners.reason, ProblemReason::Stopped);
    assert!(of_owners.message.starts_with("owners of Deployment are not known"), "{}", of_owners.message);
}

#[tokio::test]
async fn an_empty_namespace_that_cannot_be_asked_after_has_the_reason_that_the_api_gave() {
    for (status, reason) in [(403, ProblemReason::Forbidden), (418, ProblemReason::CutShort)] {
        let api = KubeApi::start().await.unwrap();
        api.add_namespace("empty");
        api.fault(Fault::at_end("GET /api/v1/namespaces/empty", Effect::status(status)));
        let (_, discovery) = discover_with(&api, include(&["empty"]), 500).await.unwrap();
        let reasons: Vec<_> = discovery.problems.iter().map(|problem| problem.reason).collect();
        assert_eq!(reasons, [reason], "{:?}", discovery.problems);
    }
}
