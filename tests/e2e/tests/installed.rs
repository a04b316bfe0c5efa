//! The chart installed by Helm on a real API server, its pods run as local processes with their accounts' real tokens: each mode
//! works with exactly the chart's rights, and there is no right that nothing needs.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use http::Request;
use provenance_e2e::chart::{helm, root};
use provenance_e2e::cluster::Cluster;
use provenance_e2e::pod::{Node, is_in_own_network};
use provenance_testbed::kube::{controller, pod, pull_secret};
use provenance_testbed::{Auth, BuiltImage, Registry, RegistryOptions, helm as stored};
use serde_json::{Value, json};

const NAME: &str = "provenance-collector";

/// Installs the chart, or upgrades to it.
fn install(kubeconfig: &Path, namespace: &str, values: &[&str]) {
    let chart = root().join("chart");
    let mut arguments = vec![
        "upgrade",
        "--install",
        "--force-conflicts",
        "--reset-values",
        NAME,
        chart.to_str().unwrap(),
        "-n",
        namespace,
    ];
    for value in values {
        arguments.extend(["--set", value]);
    }
    helm(4, kubeconfig, &arguments);
}

/// The registry in which the world's images are, by the name under which pods name it.
struct World {
    cluster: Cluster,
    registry: Registry,
    /// Asks who asks: only pull secrets say.
    private: Registry,
}

impl World {
    /// A cluster in which every right of the collector has something to read.
    async fn new() -> Self {
        let cluster = Cluster::start().await;
        cluster.install_crds().await;
        cluster.define("argoproj.io/v1alpha1", "Rollout", "rollouts", true).await;
        let registry = Registry::start().await.unwrap();
        let users = ["named", "of-account"].map(|password| ("user".to_owned(), password.to_owned()));
        let auth = Auth::Basic(users.to_vec());
        let private = Registry::with(RegistryOptions { auth, ..RegistryOptions::default() }).await.unwrap();
        for namespace in ["audit", "shop"] {
            cluster.namespace(namespace).await;
        }
        let world = Self { cluster, registry, private };
        world.workloads().await;
        world.releases().await;
        world.policies().await;
        world
    }

    fn push(registry: &Registry, repository: &str) -> (String, String) {
        let digest = registry.push(repository, "1.0.0", &BuiltImage::single(repository));
        let host = registry.host();
        (format!("{host}/{repository}:1.0.0"), format!("{host}/{repository}@{digest}"))
    }

    async fn owned(
        &self,
        version: &str,
        plural: &str,
        kind: &str,
        name: &str,
        mut spec: Value,
        owner: &Value,
    ) -> Value {
        let base = if version.contains('/') { "/apis" } else { "/api" };
        let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
        if kind != "CronJob" && spec.is_null() {
            let labels = json!({"app": name});
            spec = json!({
                "selector": {"matchLabels": labels}, "serviceName": name,
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
            });
            if kind != "StatefulSet" {
                spec.as_object_mut().unwrap().remove("serviceName");
            }
            if kind == "ReplicationController" {
                spec["selector"] = labels;
            }
            if kind == "Job" {
                spec.as_object_mut().unwrap().remove("selector");
                spec["template"]["spec"]["restartPolicy"] = "Never".into();
            }
        }
        let object = json!({
            "apiVersion": version, "kind": kind, "metadata": {"name": name, "ownerReferences": owners}, "spec": spec,
        });
        let uid =
            self.cluster.create_uid(&format!("{base}/{version}/namespaces/shop/{plural}"), &object).await;
        controller(version, kind, name, &uid)
    }

    async fn workloads(&self) {
        let none = Value::Null;
        let apps = "apps/v1";
        let deployment = self.owned(apps, "deployments", "Deployment", "web", none.clone(), &none).await;
        let set = self.owned(apps, "replicasets", "ReplicaSet", "web-1", none.clone(), &deployment).await;
        let stateful = self.owned(apps, "statefulsets", "StatefulSet", "db", none.clone(), &none).await;
        let daemon = self.owned(apps, "daemonsets", "DaemonSet", "agent", none.clone(), &none).await;
        let job_template = json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}}}});
        let cron = self.owned("batch/v1", "cronjobs", "CronJob", "nightly", job_template, &none).await;
        let job = self.owned("batch/v1", "jobs", "Job", "nightly-1", none.clone(), &cron).await;
        let old = self
            .owned("v1", "replicationcontrollers", "ReplicationController", "old", none.clone(), &none)
            .await;
        let rollout =
            self.owned("argoproj.io/v1alpha1", "rollouts", "Rollout", "canary", json!({}), &none).await;
        for (name, owner) in [
            ("web", &set),
            ("db", &stateful),
            ("agent", &daemon),
            ("nightly", &job),
            ("old", &old),
            ("canary", &rollout),
            ("alone", &none),
        ] {
            let (image, id) = Self::push(&self.registry, &format!("shop/{name}"));
            self.cluster.pod(&pod("shop", &format!("{name}-x"), owner, &[("app", &image, &id)])).await;
        }
        // A pull secret that a pod names, and one that its account does.
        for (secret, account) in [("named", "default"), ("of-account", "puller")] {
            let object = pull_secret("shop", secret, &self.private.host(), "user", secret);
            self.cluster.create("/api/v1/namespaces/shop/secrets", &object).await;
            let (image, id) = Self::push(&self.private, &format!("shop/{secret}"));
            let mut object = pod("shop", secret, &none, &[("app", &image, &id)]);
            object["spec"]["serviceAccountName"] = account.into();
            if secret == "named" {
                object["spec"]["imagePullSecrets"] = json!([{"name": secret}]);
            }
            self.cluster.pod(&object).await;
        }
        let account = json!({"metadata": {"name": "puller"}, "imagePullSecrets": [{"name": "of-account"}]});
        self.cluster.create("/api/v1/namespaces/shop/serviceaccounts", &account).await;
    }

    /// Creates an object of a custom kind, which says itself what it is.
    async fn custom(&self, collection: &str, kind: &str, mut object: Value) {
        let version: Vec<_> = collection.trim_start_matches("/apis/").splitn(3, '/').take(2).collect();
        object["apiVersion"] = version.join("/").into();
        object["kind"] = kind.into();
        self.cluster.create(collection, &object).await;
    }

    async fn releases(&self) {
        let chart = json!({"apiVersion": "v2", "name": "app", "version": "1.0.0"});
        for (kind, plural, name) in [("Secret", "secrets", "shop"), ("ConfigMap", "configmaps", "older")] {
            let release = stored::release("shop", name, 1, "deployed", &chart, "");
            self.cluster
                .create(&format!("/api/v1/namespaces/shop/{plural}"), &stored::stored(kind, &release))
                .await;
        }
        let flux = "/apis/helm.toolkit.fluxcd.io/v2/namespaces/shop/helmreleases";
        let source = "/apis/source.toolkit.fluxcd.io/v1/namespaces/shop";
        let by_repository = json!({"metadata": {"name": "from-index"}, "spec": {"interval": "1h", "chart": {"spec": {
            "chart": "app", "version": "1.0.0", "sourceRef": {"kind": "HelmRepository", "name": "index"}}}}});
        let by_oci = json!({"metadata": {"name": "from-oci"}, "spec": {"interval": "1h",
            "chartRef": {"kind": "OCIRepository", "name": "oci"}}});
        for release in [by_repository, by_oci] {
            self.custom(flux, "HelmRelease", release).await;
        }
        let url = format!("http://{}/charts", self.registry.host());
        let index = json!({"metadata": {"name": "index"}, "spec": {"interval": "1h", "url": url}});
        self.custom(&format!("{source}/helmrepositories"), "HelmRepository", index).await;
        let url = format!("oci://{}/charts/app", self.registry.host());
        let oci = json!({"metadata": {"name": "oci"}, "spec": {"interval": "1h", "url": url, "ref": {"tag": "1.0.0"}}});
        self.custom(&format!("{source}/ocirepositories"), "OCIRepository", oci).await;
        let application = json!({
            "metadata": {"name": "from-argo"},
            "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
                "source": {"repoURL": "https://charts.example.com", "chart": "app", "targetRevision": "1.0.0"}},
        });
        self.custom("/apis/argoproj.io/v1alpha1/namespaces/shop/applications", "Application", application)
            .await;
    }

    async fn policies(&self) {
        let root: Value = json!({"apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot",
            "metadata": {"name": "ours"}, "spec": {"sigstoreKeys": sigstore_keys()}});
        self.cluster.create("/apis/policy.sigstore.dev/v1alpha1/trustroots", &root).await;
        let policy = json!({
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": "ours"},
            "spec": {"images": [{"glob": "**"}], "authorities": [{"name": "a", "keyless": {
                "url": "https://fulcio.example.com", "trustRootRef": "ours",
                "identities": [{"issuer": "https://login.example.com", "subject": "release@example.com"}]}}]},
        });
        self.cluster.create("/apis/policy.sigstore.dev/v1beta1/clusterimagepolicies", &policy).await;
    }

    async fn template(&self, kind: &str) -> Value {
        if kind == "CronJob" {
            let job = self.cluster.get(&format!("/apis/batch/v1/namespaces/audit/cronjobs/{NAME}")).await;
            job["spec"]["jobTemplate"]["spec"]["template"].clone()
        } else {
            let web =
                self.cluster.get(&format!("/apis/apps/v1/namespaces/audit/deployments/{NAME}-web")).await;
            web["spec"]["template"].clone()
        }
    }

    /// Runs the CronJob's pod.
    async fn collect(&self, node: &Node, more: &[(&str, &str)]) -> Output {
        let template = self.template("CronJob").await;
        let labels = [("batch.kubernetes.io/controller-uid", "run-1")];
        node.pod(&self.cluster, "audit", &template, &labels, more).await.run().await
    }
}

fn sigstore_keys() -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(certificate.pem())
    };
    json!({"certificateAuthorities": [{"subject": {"organization": "acme", "commonName": "acme"},
        "uri": "https://fulcio.example.com", "certChain": encoded}]})
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn latest(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("provenance-latest.json")).unwrap()).unwrap()
}

/// What a report says that rights decide: rows with what was found, releases, problems.
fn said(mut report: Value) -> Value {
    report["metadata"].as_object_mut().unwrap().remove("generatedAt");
    let run = report["run"].as_object_mut().unwrap();
    for field in ["startedAt", "durationSeconds", "registries"] {
        run.remove(field);
    }
    report
}

async fn replace(cluster: &Cluster, path: &str, object: &Value) {
    let body = object.to_string().into_bytes();
    let request = Request::put(path).header("content-type", "application/json").body(body).unwrap();
    let _: Value = cluster.admin.request(request).await.unwrap_or_else(|error| panic!("PUT {path}: {error}"));
}

fn role_without_version(role: &Value) -> Value {
    let mut role = role.clone();
    role["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    role
}

/// Every role without one of its verbs on one of its resources, with what was taken away.
fn weaker(role: &Value) -> Vec<(String, Value)> {
    let mut all_weaker = Vec::new();
    for (at, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
        for resource in rule["resources"].as_array().unwrap() {
            for verb in rule["verbs"].as_array().unwrap() {
                let mut weaker = role_without_version(role);
                let rules = weaker["rules"].as_array_mut().unwrap();
                let all = rules.remove(at);
                // The same rule without this pair of verb and resource.
                let mut others = all.clone();
                others["resources"].as_array_mut().unwrap().retain(|one| one != resource);
                let mut own = all.clone();
                own["resources"] = json!([resource]);
                own["verbs"].as_array_mut().unwrap().retain(|one| one != verb);
                for rule in [others, own] {
                    let is_empty = |field: &str| rule[field].as_array().unwrap().is_empty();
                    if !is_empty("resources") && !is_empty("verbs") {
                        rules.push(rule);
                    }
                }
                let group = &rule["apiGroups"][0];
                all_weaker.push((format!("{verb} {resource} of {group}"), weaker));
            }
        }
    }
    all_weaker
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_works_with_the_charts_rights_and_none_of_these_is_unused() {
    if !is_in_own_network("every_mode_works_with_the_charts_rights_and_none_of_these_is_unused") {
        return;
    }
    let world = World::new().await;
    let cluster = &world.cluster;
    let kubeconfig = cluster.admin_kubeconfig();
    let node = Node::default();
    let reports = node.claim("provenance-collector-reports");

    // A pod's folder on a volume.
    install(&kubeconfig, "audit", &[]);
    let output = world.collect(&node, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let whole = latest(&reports);
    assert_eq!(
        whole["run"]["problems"],
        Value::Null,
        "nothing could not be read: {}",
        whole["run"]["problems"]
    );
    let mut owners: Vec<_> = whole["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["workload"]["kind"].as_str().unwrap())
        .collect();
    owners.sort_unstable();
    assert_eq!(
        owners,
        [
            "CronJob",
            "DaemonSet",
            "Deployment",
            "Pod",
            "Pod",
            "Pod",
            "ReplicationController",
            "Rollout",
            "StatefulSet"
        ]
    );
    assert_eq!(whole["helmReleases"].as_array().unwrap().len(), 6, "{}", whole["helmReleases"]);
    assert_eq!(whole["images"][0]["signature"]["policies"][0]["name"], "ours");

    // Every right is needed: without it the report is another, or there is none.
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}");
    let role = cluster.get(&path).await;
    let roles = weaker(&role);
    assert!(roles.len() > 15, "{roles:?}");
    let whole = said(whole);
    let mut unused = Vec::new();
    for (right, weaker) in roles {
        replace(cluster, &path, &weaker).await;
        settle().await;
        let output = world.collect(&node, &[]).await;
        if output.status.code() == Some(0) && said(latest(&reports)) == whole {
            unused.push(right);
        }
    }
    assert_eq!(unused, Vec::<String>::new(), "rights that nothing needs");
    replace(cluster, &path, &role_without_version(&role)).await;
    settle().await;

    configmap(&world, &node, &kubeconfig).await;
    policy_reports(&world, &node, &kubeconfig).await;
    stopped(&world, &node, &kubeconfig).await;
    turned_off(&world, &node, &kubeconfig).await;
}

/// The API server's authorizer sees a role a moment after it was written.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(400)).await;
}

async fn configmap(world: &World, node: &Node, kubeconfig: &Path) {
    install(kubeconfig, "audit", &["persistence.mode=configmap"]);
    settle().await;
    for _ in 0..2 {
        // Made by the first run, replaced by the second.
        let output = world.collect(node, &[]).await;
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    }
    let map = world.cluster.get("/api/v1/namespaces/audit/configmaps/provenance-report").await;
    let report: Value = serde_json::from_str(map["data"]["report.json"].as_str().unwrap()).unwrap();
    assert_eq!(report["summary"]["totalImages"], 9);
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/audit/roles/{NAME}-report");
    let role = world.cluster.get(&path).await;
    for (right, weaker) in weaker(&role) {
        // Creating is needed where it is not there, patching where it is.
        if right.contains("create") {
            let path = "/api/v1/namespaces/audit/configmaps/provenance-report";
            let delete = Request::delete(path).body(Vec::new()).unwrap();
            let _: Value = world.cluster.admin.request(delete).await.unwrap();
        } else {
            replace(&world.cluster, &path, &role_without_version(&role)).await;
            settle().await;
            assert_eq!(world.collect(node, &[]).await.status.code(), Some(0));
        }
        replace(&world.cluster, &path, &weaker).await;
        settle().await;
        let output = world.collect(node, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{right} is unused: {}", told(&output));
    }
}

async fn policy_reports(world: &World, node: &Node, kubeconfig: &Path) {
    for (api, path) in [
        ("wgpolicyk8s.io/v1alpha2", "/apis/wgpolicyk8s.io/v1alpha2/namespaces/shop/policyreports"),
        ("openreports.io/v1alpha1", "/apis/openreports.io/v1alpha1/namespaces/shop/reports"),
    ] {
        let api = format!("config.policyReportApi={api}");
        install(kubeconfig, "audit", &["config.reportOutput=policyreport", &api, "config.failOn={unsigned}"]);
        settle().await;
        // One of a namespace that has no rows any more goes away.
        let stale = path.replace("/shop/", "/default/");
        let kind = if path.ends_with("policyreports") { "PolicyReport" } else { "Report" };
        let labels = json!({"app.kubernetes.io/managed-by": NAME, "provenance-collector/part": "whole"});
        let left = json!({"apiVersion": api.trim_start_matches("config.policyReportApi="), "kind": kind,
            "metadata": {"name": NAME, "labels": labels}});
        world.cluster.create(&stale, &left).await;
        let output = world.collect(node, &[]).await;
        assert_eq!(output.status.code(), Some(4), "unsigned images fail: {}", told(&output));
        let found = world.cluster.get(&format!("{path}/{NAME}")).await;
        assert_eq!(found["summary"]["fail"], 9, "{found}");
        let results = found["results"].as_array().unwrap();
        assert!(results.iter().all(|one| one["source"] == NAME), "{results:?}");
        let of_unsigned = |one: &&Value| one["rule"] == "unsigned";
        assert!(results.iter().filter(of_unsigned).all(|one| one["result"] == "fail"), "{results:?}");
        let left = world.cluster.get(&stale).await;
        assert_eq!(left["items"], json!([]), "what is stale is removed");
    }
    let path = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}");
    let role = world.cluster.get(&path).await;
    let of_reports = |right: &String| right.contains("reports");
    for (right, weaker) in weaker(&role).into_iter().filter(|(right, _)| of_reports(right)) {
        let own = "/apis/openreports.io/v1alpha1/namespaces";
        for namespace in ["shop", "default"] {
            let delete =
                Request::delete(format!("{own}/{namespace}/reports/{NAME}")).body(Vec::new()).unwrap();
            // It may not be there.
            drop(world.cluster.admin.request::<Value>(delete).await);
        }
        let labels = json!({"app.kubernetes.io/managed-by": NAME, "provenance-collector/part": "whole"});
        let left = json!({"apiVersion": "openreports.io/v1alpha1", "kind": "Report", "metadata": {"name": NAME, "labels": labels}});
        world.cluster.create(&format!("{own}/default/reports"), &left).await;
        replace(&world.cluster, &path, &weaker).await;
        settle().await;
        let output = world.collect(node, &[]).await;
        assert_eq!(output.status.code(), Some(1), "{right} is unused: {}", told(&output));
        assert!(told(&output).contains("grant list, create, patch and delete"), "{right}: {}", told(&output));
    }
}

/// SIGTERM, as a Job's deadline sends it, leaves a partial report that says so.
async fn stopped(world: &World, node: &Node, kubeconfig: &Path) {
    install(kubeconfig, "audit", &[]);
    settle().await;
    world.registry.set_latency(Duration::from_secs(2));
    let template = world.template("CronJob").await;
    let pod = node.pod(&world.cluster, "audit", &template, &[], &[]).await;
    let log = node.claim("logs").join("stopped.log");
    let mut running = pod.start(&log);
    let began = Instant::now();
    while !std::fs::read_to_string(&log).unwrap().contains("releases found") {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = running.stop().await;
    world.registry.set_latency(Duration::ZERO);
    assert_eq!(status, Some(3), "{}", std::fs::read_to_string(&log).unwrap());
    let report = latest(&node.claim("provenance-collector-reports"));
    assert_eq!((&report["run"]["partial"], report["images"].as_array().unwrap().len()), (&json!(true), 9));
    assert!(report["run"]["partialReasons"].to_string().contains("SIGTERM"), "{}", report["run"]);
}

/// Reading secrets can be turned off, and the report says what is lost.
async fn turned_off(world: &World, node: &Node, kubeconfig: &Path) {
    install(kubeconfig, "audit", &["rbac.helmSecrets=false", "config.pullSecrets=false"]);
    settle().await;
    let role = world.cluster.get(&format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}")).await;
    assert!(!role["rules"].to_string().contains("secrets\""), "{}", role["rules"]);
    let output = world.collect(node, &[]).await;
    assert_eq!(output.status.code(), Some(0), "the images are all there: {}", told(&output));
    let report = latest(&node.claim("provenance-collector-reports"));
    let said = report["run"].to_string();
    assert!(said.contains("Helm releases") && said.contains("pull secrets are not read"), "{said}");
    let names: Vec<_> = report["helmReleases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["releaseName"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"older") && !names.contains(&"shop"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_without_rights_across_the_cluster_reads_its_own_namespaces() {
    if !is_in_own_network("a_team_without_rights_across_the_cluster_reads_its_own_namespaces") {
        return;
    }
    let world = World::new().await;
    let cluster = &world.cluster;
    cluster.namespace("empty").await;
    let (image, id) = World::push(&world.registry, "other/app");
    cluster.namespace("other").await;
    cluster.pod(&pod("other", "app", &Value::Null, &[("app", &image, &id)])).await;
    let kubeconfig = cluster.admin_kubeconfig();
    install(
        &kubeconfig,
        "audit",
        &["rbac.namespaced=true", "config.namespaces={shop,empty}", "config.clusterPolicies=false"],
    );
    let node = Node::default();
    let reports = node.claim("provenance-collector-reports");
    let output = world.collect(&node, &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let whole = latest(&reports);
    assert_eq!(whole["metadata"]["namespacesScanned"], json!(["empty", "shop"]));
    assert_eq!(
        (&whole["summary"]["totalImages"], &whole["summary"]["totalHelmReleases"]),
        (&json!(9), &json!(5))
    );
    assert_eq!(whole["run"]["problems"], Value::Null);
    let across: Value = cluster.get("/apis/rbac.authorization.k8s.io/v1/clusterroles").await;
    assert!(!across.to_string().contains("provenance-collector"), "no right across the cluster");
    let whole = said(whole);
    for (namespace, only) in [("shop", ""), ("empty", "namespaces")] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{NAME}");
        let role = cluster.get(&path).await;
        for (right, weaker) in weaker(&role) {
            // Whether a namespace is there is asked only of those that have no pods; the others have nothing to read there.
            if right.contains("namespaces") != (only == "namespaces") {
                continue;
            }
            replace(cluster, &path, &weaker).await;
            settle().await;
            let output = world.collect(&node, &[]).await;
            let is_same = output.status.code() == Some(0) && said(latest(&reports)) == whole;
            assert!(!is_same, "{right} in {namespace} is unused");
        }
        replace(cluster, &path, &role_without_version(&role)).await;
        settle().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_an_indexed_job_make_one_report() {
    if !is_in_own_network("the_pods_of_an_indexed_job_make_one_report") {
        return;
    }
    let world = World::new().await;
    let cluster = &world.cluster;
    install(&cluster.admin_kubeconfig(), "audit", &["webUI.enabled=true", "shards=3", "webUI.partsWait=3s"]);
    let mut node = Node::default();
    node.hosts.push(format!("{NAME}-web-internal.audit.svc"));
    let web = world.template("Deployment").await;
    let log = node.claim("logs").join("web.log");
    let _running = node.pod(cluster, "audit", &web, &[], &[]).await.start(&log);
    let told_log = || std::fs::read_to_string(&log).unwrap();
    let listed = || {
        let output = std::process::Command::new("curl")
            .args(["-s", "http://127.0.0.1:8080/api/reports"])
            .output()
            .unwrap();
        serde_json::from_slice::<Value>(&output.stdout).ok()
    };
    let began = Instant::now();
    while listed().is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", told_log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let job = cluster.get(&format!("/apis/batch/v1/namespaces/audit/cronjobs/{NAME}")).await;
    let job = &job["spec"]["jobTemplate"]["spec"];
    assert_eq!((&job["completionMode"], &job["completions"]), (&json!("Indexed"), &json!(3)));
    // What the Job's controller adds: the run's uid as a label, the pod's index.
    let shard = async |run: &str, index: &str| {
        let labels = [("batch.kubernetes.io/controller-uid", run)];
        let more = [("JOB_COMPLETION_INDEX", index)];
        let output = node.pod(cluster, "audit", &job["template"], &labels, &more).await.run().await;
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    };
    for index in ["2", "0", "1"] {
        shard("a-run", index).await;
    }
    let reports = listed().unwrap();
    assert_eq!(reports.as_array().unwrap().len(), 1, "{reports}");
    let whole = latest(&node.claim("provenance-collector-reports"));
    assert_eq!((&whole["summary"]["totalImages"], &whole["run"]["partial"]), (&json!(9), &json!(false)));
    assert_eq!(whole["summary"]["totalHelmReleases"], 6);

    // One that does not come is named.
    for index in ["0", "1"] {
        shard("another-run", index).await;
    }
    let began = Instant::now();
    while listed().unwrap().as_array().unwrap().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", told_log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let partial = latest(&node.claim("provenance-collector-reports"));
    assert!(
        partial["run"]["partialReasons"][0].as_str().unwrap().starts_with("part 3 of 3 is missing"),
        "{partial}"
    );
}

/// Says of every Job that it is done, as a controller does.
async fn finish_jobs(cluster: &Cluster) {
    let jobs = cluster.get("/apis/batch/v1/namespaces/audit/jobs").await;
    let (began, ended) = ("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z");
    let conditions = ["SuccessCriteriaMet", "Complete"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": ended}));
    let status = json!({"status": {"succeeded": 1, "startTime": began, "completionTime": ended, "conditions": conditions}});
    for job in jobs["items"].as_array().unwrap().iter().filter(|job| job["status"]["conditions"].is_null()) {
        let path = format!(
            "/apis/batch/v1/namespaces/audit/jobs/{}/status",
            job["metadata"]["name"].as_str().unwrap()
        );
        let done = Request::patch(path).header("content-type", "application/merge-patch+json");
        let _: Value =
            cluster.admin.request(done.body(status.to_string().into_bytes()).unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_from_the_dashboard_reaches_a_new_report_and_its_rights_are_all_needed() {
    if !is_in_own_network("a_scan_from_the_dashboard_reaches_a_new_report_and_its_rights_are_all_needed") {
        return;
    }
    let world = World::new().await;
    let cluster = &world.cluster;
    let kubeconfig = cluster.admin_kubeconfig();
    let provider = provenance_e2e::issuer::Provider::start("http://127.0.0.1:8080/").await;
    let issuer = format!("webUI.oidcIssuer={}", provider.url);
    install(
        &kubeconfig,
        "audit",
        &[
            "webUI.enabled=true",
            &issuer,
            "webUI.adminGroups={provenance-admins}",
            "upload.auth=account",
            "webUI.openMetrics=true",
        ],
    );
    let mut node = Node::default();
    node.hosts.push(format!("{NAME}-web-internal.audit.svc"));
    let template = world.template("Deployment").await;
    let web = node.pod(cluster, "audit", &template, &[], &[]).await;
    let log = node.claim("logs").join("web.log");
    let running = web.start(&log);
    let http = |method: &str, path: &str, headers: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-s", "-o", "-", "-w", "\n%{http_code}", "-X", method]);
        for header in headers {
            command.args(["-H", header]);
        }
        let output = command.arg(format!("http://127.0.0.1:8080{path}")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse::<u16>().unwrap(), body.to_owned())
    };
    let began = Instant::now();
    while http("GET", "/healthz", &[]).0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", std::fs::read_to_string(&log).unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let admin = format!("Authorization: Bearer {}", provider.token("admin", 600));
    let press = || http("POST", "/api/scan", &["Sec-Fetch-Site: same-origin", &admin]);
    let (status, body) = press();
    assert_eq!(status, 200, "{body}\n{}", std::fs::read_to_string(&log).unwrap());
    let started: Value = serde_json::from_str(&body).unwrap();
    let path = format!("/apis/batch/v1/namespaces/audit/jobs/{}", started["jobName"].as_str().unwrap());
    // What a controller does: it runs the Job's pod.
    let job = cluster.get(&path).await;
    let pod = node.pod(cluster, "audit", &job["spec"]["template"], &[], &[]).await;
    let output = pod.run().await;
    assert_eq!(output.status.code(), Some(0), "{}{}", told(&output), std::fs::read_to_string(&log).unwrap());
    let report: Value = serde_json::from_str(&http("GET", "/api/reports/latest", &[&admin]).1).unwrap();
    assert_eq!(report["summary"]["totalImages"], 9);
    assert_eq!(http("GET", "/api/reports", &[]).0, 401, "only for those who signed in");
    assert!(http("GET", "/metrics", &[]).1.contains("provenance_images"));

    // An upload without the account's token is refused, and so is one of another account.
    let mut stranger = job["spec"]["template"].clone();
    stranger["spec"]["serviceAccountName"] = "default".into();
    cluster
        .create("/api/v1/namespaces/audit/serviceaccounts", &json!({"metadata": {"name": "default"}}))
        .await;
    let nothing =
        node.pod(cluster, "audit", &stranger, &[], &[("PROVENANCE_PULL_SECRETS", "false")]).await.run().await;
    assert_ne!(nothing.status.code(), Some(0));

    // Each right is taken away, no Job being under way.
    let role_path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/audit/roles/{NAME}-web");
    let role = cluster.get(&role_path).await;
    let job_page = format!("/scan?job={}", started["jobName"].as_str().unwrap());
    assert_eq!(http("GET", &job_page, &[&admin]).0, 200);
    for (right, weaker) in weaker(&role) {
        finish_jobs(cluster).await;
        replace(cluster, &role_path, &weaker).await;
        settle().await;
        let (page, pressed) = (http("GET", &job_page, &[&admin]).0, press());
        assert!(page != 200 || pressed.0 != 200, "{right} is unused: {page}, {pressed:?}");
        assert_ne!(pressed.0, 409, "{right}: no Job is under way: {pressed:?}");
    }
    replace(cluster, &role_path, &role_without_version(&role)).await;
    settle().await;
    finish_jobs(cluster).await;
    assert_eq!(press().0, 200, "with all of them it works");
    // Without the right to have tokens checked no upload is taken.
    let reviewer = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{NAME}-web-audit");
    let role = cluster.get(&reviewer).await;
    for (right, weaker) in weaker(&role) {
        replace(cluster, &reviewer, &weaker).await;
        settle().await;
        let pod = node.pod(cluster, "audit", &job["spec"]["template"], &[], &[]).await;
        let output = pod.run().await;
        assert_eq!(output.status.code(), Some(1), "{right} is unused: {}", told(&output));
    }
    drop(running);
}
