//! The testbed's Kubernetes API must not flatter: the same objects in it and in a real API server give the same
//! sightings and the same answers.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use provenance_e2e::Cluster;
use provenance_engine::Stop;
use provenance_stages::discovery::{ClusterSource, Namespaces, connect};
use provenance_testbed::KubeApi;
use provenance_testbed::kube::{controller, pod};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Puts the same objects into both.
enum Api<'a> {
    Real(&'a Cluster),
    Testbed(&'a KubeApi),
}

impl Api<'_> {
    async fn add(&self, version: &str, plural: &str, mut object: Value) -> String {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        match self {
            Self::Real(cluster) => {
                let base = if version.contains('/') { "apis" } else { "api" };
                cluster
                    .create_uid(&format!("/{base}/{version}/namespaces/{namespace}/{plural}"), &object)
                    .await
            }
            Self::Testbed(api) => {
                object["apiVersion"] = version.into();
                api.add(object)
            }
        }
    }

    async fn pod(&self, pod: &Value) {
        match self {
            Self::Real(cluster) => cluster.pod(pod).await,
            Self::Testbed(api) => drop(api.add(pod.clone())),
        }
    }

    async fn fill(&self) {
        if let Self::Real(cluster) = self {
            for namespace in ["a", "b", "empty"] {
                cluster.namespace(namespace).await;
            }
        }
        let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": "web:1"}]}});
        let spec = json!({"selector": {"matchLabels": {"app": "x"}}, "template": template});
        let meta = |name: &str, owner: Value| {
            let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
            json!({"name": name, "namespace": "a", "ownerReferences": owners})
        };
        let deployment = json!({"kind": "Deployment", "metadata": meta("web", Value::Null), "spec": spec});
        let uid = self.add("apps/v1", "deployments", deployment).await;
        let owner = controller("apps/v1", "Deployment", "web", &uid);
        let set = json!({"kind": "ReplicaSet", "metadata": meta("web-1", owner), "spec": spec});
        let uid = self.add("apps/v1", "replicasets", set).await;
        let owner = controller("apps/v1", "ReplicaSet", "web-1", &uid);
        let digest = format!("docker.io/library/web@sha256:{}", "a".repeat(64));
        for n in 0..7 {
            let containers = [("app", "web:1", digest.as_str()), ("side", "proxy:2", "")];
            self.pod(&pod("a", &format!("web-1-{n}"), &owner, &containers)).await;
        }
        self.pod(&pod("b", "alone", &Value::Null, &[("app", "web:1", "")])).await;
        let unknown = controller("example.com/v1", "Widget", "w", "no-such-uid");
        self.pod(&pod("b", "of-an-unknown-kind", &unknown, &[("app", "web:1", "")])).await;
    }
}

/// All that discovery says, without what differs by server.
async fn discover(client: kube::Client, namespaces: Namespaces) -> Vec<String> {
    let (tx, mut rx) = mpsc::channel(100);
    let run = tokio::spawn(ClusterSource::new(client, namespaces).page_size(3).discover(tx, Stop::default()));
    let mut told = Vec::new();
    while let Some(sighting) = rx.recv().await {
        let owners: Vec<_> = sighting.owners.iter().map(ToString::to_string).collect();
        told.push(format!(
            "{}/{} {owners:?} {:?}/{} {} {:?}",
            sighting.namespace,
            sighting.workload,
            sighting.container_kind,
            sighting.container,
            sighting.image.written,
            sighting.running
        ));
    }
    match run.await.unwrap() {
        Ok(discovery) => {
            told.push(format!("namespaces {:?}", discovery.namespaces));
            let problem = |p: &provenance_model::report::DiscoveryProblem| {
                format!("{:?} {:?} {:?} {}", p.reason, p.namespace, p.kind, p.rows_missing)
            };
            told.extend(discovery.problems.iter().map(problem));
        }
        Err(error) => told.push(error.to_string().split(" answered ").next().unwrap_or_default().to_owned()),
    }
    told
}

fn testbed_client(api: &KubeApi) -> kube::Client {
    kube::Client::try_from(kube::Config::new(api.url().parse().unwrap())).unwrap()
}

/// The parts of a raw answer that clients rely on.
async fn raw(client: &kube::Client, path: &str, accept: &str) -> String {
    let request = http::Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    match client.request::<Value>(request).await {
        Ok(body) => {
            let items = body["items"].as_array().map(Vec::len);
            let first = &body["items"][0];
            format!(
                "{path}: {} {}, {items:?} items, continues: {}, an item has spec: {}",
                body["kind"],
                body["apiVersion"],
                body["metadata"]["continue"].is_string(),
                first.get("spec").is_some(),
            )
        }
        Err(kube::Error::Api(status)) => {
            format!("{path}: {} {} {:?}", status.code, status.reason, status.status)
        }
        Err(other) => format!("{path}: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_testbeds_api_answers_as_a_real_one_does() {
    let cluster = Cluster::start().await;
    let api = KubeApi::start().await.unwrap();
    Api::Real(&cluster).fill().await;
    Api::Testbed(&api).fill().await;
    api.add_namespace("empty");
    let clients = [cluster.admin.clone(), testbed_client(&api)];

    let include = |names: &[&str]| Namespaces {
        include: names.iter().map(ToString::to_string).collect(),
        exclude: vec![],
    };
    for namespaces in [Namespaces::default(), include(&["a"]), include(&["b", "empty", "gone"])] {
        let real = discover(clients[0].clone(), namespaces.clone()).await;
        assert_eq!(discover(clients[1].clone(), namespaces.clone()).await, real, "{namespaces:?}");
        assert!(real.len() > 2, "{real:?}");
    }
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    for (path, accept) in [
        ("/api/v1/pods?limit=3", "application/json"),
        ("/api/v1/pods", "application/json"),
        ("/apis/apps/v1/replicasets?limit=500", metadata),
        ("/api/v1/namespaces/a/pods?limit=3", metadata),
        ("/api/v1/namespaces/gone", "application/json"),
        ("/api/v1/namespaces/gone/pods", "application/json"),
        ("/apis/example.com/v1", "application/json"),
        ("/apis/example.com/v1/widgets", "application/json"),
    ] {
        assert_eq!(raw(&clients[1], path, accept).await, raw(&clients[0], path, accept).await);
    }

    // Without rights.
    cluster.namespace("system").await;
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    let token = cluster.account("pods-only", "system", &pods, None).await;
    let real = connect(&[cluster.kubeconfig(&token, "system")]).await.unwrap();
    api.deny_everywhere("replicasets");
    let told = discover(real.clone(), Namespaces::default()).await;
    assert_eq!(discover(clients[1].clone(), Namespaces::default()).await, told);
    assert!(told.iter().any(|line| line.contains("Forbidden")), "{told:?}");
    let path = "/apis/apps/v1/replicasets?limit=500";
    assert_eq!(raw(&clients[1], path, metadata).await, raw(&real, path, metadata).await);

    let token = cluster.account("nobody", "system", &json!([]), None).await;
    let real = connect(&[cluster.kubeconfig(&token, "system")]).await.unwrap();
    api.deny_everywhere("*");
    let told = discover(real, Namespaces::default()).await;
    assert_eq!(told.len(), 1, "{told:?}");
    let ours = discover(clients[1].clone(), Namespaces::default()).await;
    let until_its_namespace =
        |told: &[String]| told[0].split("its own namespace").next().unwrap_or_default().to_owned();
    assert_eq!(until_its_namespace(&ours), until_its_namespace(&told));
}
