//! Fleets: a cluster and its registries, filled. One that looks real and shows every finding, and one of any
//! size for benches.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::attach::{self, SigningKey};
use crate::fault::{Effect, Fault};
use crate::helm;
use crate::image::BuiltImage;
use crate::kube::{KubeApi, controller, pod};
use crate::registry::{Auth, Registry, RegistryOptions};

/// A running cluster with the registries its images come from.
#[derive(Debug)]
pub struct Fleet {
    /// The cluster's API.
    pub kube: KubeApi,
    /// Registries by the name under which images name them.
    pub registries: BTreeMap<String, Registry>,
}

impl Fleet {
    /// The registries' names and the URLs that stand in for them.
    pub fn stand_ins(&self) -> impl Iterator<Item = (&str, String)> {
        self.registries.iter().map(|(name, registry)| (name.as_str(), registry.url()))
    }

    /// Takes every fault back, and forgets what was asked.
    pub fn clear(&self) {
        self.kube.clear_faults();
        self.registries.values().for_each(Registry::clear_faults);
        self.clear_logs();
    }

    /// Forgets what was asked.
    pub fn clear_logs(&self) {
        self.kube.clear_log();
        self.registries.values().for_each(Registry::clear_log);
    }

    /// So many pods over so many images, each in a repository of its own, with this latency everywhere. Every
    /// pod runs what its tag names.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn uniform(images: usize, pods: usize, latency: Duration) -> std::io::Result<Self> {
        Self::spread(images, pods, 1, latency).await
    }

    /// The same over several registries, in turn.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn spread(
        images: usize,
        pods: usize,
        registries: usize,
        latency: Duration,
    ) -> std::io::Result<Self> {
        let (fleet, images) = Self::stocked(images.clamp(1, pods.max(1)), registries).await?;
        for pod_number in 0..pods {
            let number = pod_number % images.len();
            let (image, id) = &images[number];
            let namespace = format!("ns{:02}", pod_number % 20);
            fleet.kube.add(pod(
                &namespace,
                &format!("app{number:04}-{pod_number}"),
                &Value::Null,
                &[("app", image, id)],
            ));
        }
        fleet.set_latency(latency);
        Ok(fleet)
    }

    /// The same, with the pods in Deployments of so many each.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn deployed(
        images: usize,
        pods: usize,
        replicas: usize,
        registries: usize,
        latency: Duration,
    ) -> std::io::Result<Self> {
        let replicas = replicas.max(1);
        let deployments = pods.div_ceil(replicas);
        let (fleet, images) = Self::stocked(images.clamp(1, deployments.max(1)), registries).await?;
        for deployment in 0..deployments {
            let number = deployment % images.len();
            let (image, id) = &images[number];
            let (namespace, name) =
                (format!("ns{:02}", deployment % 20), format!("app{number:04}-{deployment}"));
            let own = replicas.min(pods - deployment * replicas);
            fleet.deployment(&namespace, &name, own, &[("app", image, id)]);
        }
        fleet.set_latency(latency);
        Ok(fleet)
    }

    /// So many images over several registries, and nothing that runs them; each as it is written, and as a runtime tells it.
    async fn stocked(images: usize, registries: usize) -> std::io::Result<(Self, Vec<(String, String)>)> {
        let mut fleet = Self { kube: KubeApi::start().await?, registries: BTreeMap::new() };
        for _ in 0..registries.max(1) {
            let registry = Registry::start().await?;
            fleet.registries.insert(registry.host(), registry);
        }
        let pushed = (0..images).map(|number| {
            let (registry, repository) = fleet.home(number);
            let name = registry.host();
            let built = BuiltImage::single(&repository);
            registry.push(&repository, "v1.1.0", &built);
            (format!("{name}/{repository}:v1.1.0"), format!("{name}/{repository}@{}", built.digest()))
        });
        let pushed = pushed.collect();
        Ok((fleet, pushed))
    }

    fn set_latency(&self, latency: Duration) {
        self.kube.set_latency(latency);
        self.registries.values().for_each(|registry| registry.set_latency(latency));
    }

    /// The registry and the repository of an image of a uniform fleet.
    fn home(&self, number: usize) -> (&Registry, String) {
        let registry = self.registries.values().nth(number % self.registries.len());
        (registry.expect("a fleet has a registry"), format!("team{}/app{number:04}", number % 7))
    }

    /// Attaches to a uniform fleet's images what a real one has: every second is signed, every fifth attested, every
    /// seventh has an SBOM.
    pub fn attach_some(&self, images: usize) {
        let key = SigningKey::number(1);
        for number in 0..images {
            let (registry, repository) = self.home(number);
            let digest = BuiltImage::single(&repository).digest();
            if number % 2 == 0 {
                registry.attach(&repository, Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
            }
            if number % 5 == 0 {
                let built =
                    attach::slsa("https://github.com/acme/app", "6dcb09b5b57875f334f61aebed695e2e4193db5e");
                let attested = key.attestation(&digest, "https://slsa.dev/provenance/v1", &built);
                registry.attach(&repository, Some(&attach::tag(&digest, ".att")), &attested);
            }
            if number % 7 == 0 {
                let kind = "application/spdx+json";
                let sbom = attach::referrer(&digest, kind, kind, &attach::spdx(&repository).to_string());
                registry.attach(&repository, None, &sbom);
            }
        }
    }

    /// A small company's cluster in which every finding is to be seen.
    ///
    /// # Errors
    ///
    /// Where no port can be listened on.
    pub async fn demo() -> std::io::Result<Self> {
        let mut fleet = Self { kube: KubeApi::start().await?, registries: BTreeMap::new() };
        let private = RegistryOptions { auth: Auth::Basic(Vec::new()), ..RegistryOptions::default() };
        let token = Auth::Bearer { users: Vec::new(), public: vec!["*".into()] };
        for (name, options) in [
            ("docker.io", RegistryOptions { auth: token.clone(), ..RegistryOptions::default() }),
            ("ghcr.io", RegistryOptions { auth: token, ..RegistryOptions::default() }),
            ("quay.io", RegistryOptions::default()),
            ("registry.k8s.io", RegistryOptions::default()),
            ("registry.acme.example", private),
            ("mirror.acme.example", RegistryOptions::default()),
        ] {
            fleet.registries.insert(name.to_owned(), Registry::with(options).await?);
        }
        fleet.shop();
        fleet.platform();
        fleet.trouble();
        fleet.trust();
        fleet.newer();
        fleet.releases();
        // Two registries that do not answer as they should: one throttles for a moment, one is down.
        fleet.registries["quay.io"].fault(Fault::on("/manifests/", Effect::retry_after(429, 1)).times(1));
        fleet.registries["mirror.acme.example"].stop().await;
        Ok(fleet)
    }

    /// Pushes an image and answers the image id a runtime would give for it.
    fn push(&self, image: &str, built: &BuiltImage) -> String {
        let (registry, repository, tag) = split(image);
        let digest = self.registries[registry].push(repository, tag, built);
        format!("{registry}/{repository}@{digest}")
    }

    fn shop(&self) {
        let linux = ["linux/amd64", "linux/arm64"];
        let web = "ghcr.io/acme/shop-web:1.14.2";
        let web_id = self.push(web, &BuiltImage::multi("shop-web 1.14.2", &linux));
        let proxy = "docker.io/envoyproxy/envoy:v1.31.2";
        let proxy_id = self.push(proxy, &BuiltImage::multi("envoy 1.31.2", &linux));
        self.deployment("shop", "web", 3, &[("web", web, &web_id), ("proxy", proxy, &proxy_id)]);

        // A tag that was pushed again in the middle of a rollout: two digests of one tag run.
        let api = "ghcr.io/acme/shop-api:stable";
        let old = BuiltImage::multi("shop-api of monday", &linux);
        let old_id = self.push(api, &old);
        let new_id = self.push(api, &BuiltImage::multi("shop-api of friday", &linux));
        self.deployment_of(
            "shop",
            "api",
            &[&[("api", api, &old_id)], &[("api", api, &new_id)], &[("api", api, &new_id)]],
        );

        // The runtime names the platform's own manifest, not the index.
        let postgres = "postgres:16.4";
        let built = attach::attested_by_buildkit("postgres 16.4", &linux, |_| {
            vec![
                ("https://slsa.dev/provenance/v0.2", buildkit()),
                ("https://spdx.dev/Document", attach::spdx("postgres")),
            ]
        });
        self.push("docker.io/library/postgres:16.4", &built);
        let platform_id = format!("docker.io/library/postgres@{}", built.children()[0]);
        let uid = self.kube.add_owned(("apps/v1", "StatefulSet"), "shop", "db", &Value::Null);
        let owner = controller("apps/v1", "StatefulSet", "db", &uid);
        self.kube.add(pod("shop", "db-0", &owner, &[("postgres", postgres, &platform_id)]));

        // What runs was deleted from the registry: a restart would fail.
        let checkout = "ghcr.io/acme/checkout:2.3.0";
        let gone = self.push(checkout, &BuiltImage::single("checkout 2.3.0, deleted"));
        let digest = gone.rsplit('@').next().unwrap_or_default();
        self.registries["ghcr.io"].delete_manifest("acme/checkout", digest);
        self.push(checkout, &BuiltImage::single("checkout 2.3.0, pushed again"));
        self.deployment("shop", "checkout", 2, &[("checkout", checkout, &gone)]);

        // The tag was deleted; what it named is still there.
        let batch = "ghcr.io/acme/legacy-batch:2021-04";
        let batch_id = self.push(batch, &BuiltImage::single("legacy-batch"));
        self.registries["ghcr.io"].delete_tag("acme/legacy-batch", "2021-04");
        let cron = self.kube.add_owned(("batch/v1", "CronJob"), "shop", "nightly-invoices", &Value::Null);
        let cron = controller("batch/v1", "CronJob", "nightly-invoices", &cron);
        let job = self.kube.add_owned(("batch/v1", "Job"), "shop", "nightly-invoices-29401", &cron);
        let job = controller("batch/v1", "Job", "nightly-invoices-29401", &job);
        self.kube.add(pod("shop", "nightly-invoices-29401-x7k2p", &job, &[("batch", batch, &batch_id)]));
    }

    fn platform(&self) {
        let linux = ["linux/amd64", "linux/arm64"];
        // A DaemonSet whose floating tag has moved on.
        let nginx = "nginx:1.27-alpine";
        let old =
            self.push("docker.io/library/nginx:1.27-alpine", &BuiltImage::multi("nginx 1.27.3", &linux));
        self.push("docker.io/library/nginx:1.27-alpine", &BuiltImage::multi("nginx 1.27.5", &linux));
        let uid = self.kube.add_owned(("apps/v1", "DaemonSet"), "edge", "ingress", &Value::Null);
        let owner = controller("apps/v1", "DaemonSet", "ingress", &uid);
        for node in 1..=3 {
            self.kube.add(pod("edge", &format!("ingress-{node}"), &owner, &[("nginx", nginx, &old)]));
        }
        // Operators' own kinds above the API's: Strimzi, Argo Rollouts.
        let kafka_image = "quay.io/strimzi/kafka:0.43.0-kafka-3.8.0";
        let kafka_id = self.push(kafka_image, &BuiltImage::multi("kafka", &linux));
        let kafka =
            self.kube.add_owned(("kafka.strimzi.io/v1beta2", "Kafka"), "data", "events", &Value::Null);
        let kafka = controller("kafka.strimzi.io/v1beta2", "Kafka", "events", &kafka);
        let set = self.kube.add_owned(
            ("core.strimzi.io/v1beta2", "StrimziPodSet"),
            "data",
            "events-broker",
            &kafka,
        );
        let set = controller("core.strimzi.io/v1beta2", "StrimziPodSet", "events-broker", &set);
        for broker in 0..3 {
            self.kube.add(pod(
                "data",
                &format!("events-broker-{broker}"),
                &set,
                &[("kafka", kafka_image, &kafka_id)],
            ));
        }
        let search = "ghcr.io/acme/search:0.9.1";
        let search_id = self.push(search, &BuiltImage::multi("search", &linux));
        let rollout =
            self.kube.add_owned(("argoproj.io/v1alpha1", "Rollout"), "data", "search", &Value::Null);
        let rollout = controller("argoproj.io/v1alpha1", "Rollout", "search", &rollout);
        let set = self.kube.add_owned(("apps/v1", "ReplicaSet"), "data", "search-6d5f", &rollout);
        let set = controller("apps/v1", "ReplicaSet", "search-6d5f", &set);
        let mut searching = pod("data", "search-6d5f-abcde", &set, &[("search", search, &search_id)]);
        let init = "docker.io/library/busybox:1.36";
        let init_id = self.push(init, &BuiltImage::multi("busybox", &linux));
        searching["spec"]["initContainers"] = json!([{"name": "wait-for-kafka", "image": "busybox:1.36"}]);
        searching["status"]["initContainerStatuses"] =
            json!([{"name": "wait-for-kafka", "imageID": init_id}]);
        searching["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "busybox:1.36"}]);
        self.kube.add(searching);

        // The node's own pods.
        for component in ["kube-apiserver", "kube-scheduler"] {
            let image = format!("registry.k8s.io/{component}:v1.34.3");
            let id = self.push(&image, &BuiltImage::multi(component, &linux));
            let node = controller("v1", "Node", "node-1", "node-1");
            self.kube.add(pod(
                "kube-system",
                &format!("{component}-node-1"),
                &node,
                &[(component, &image, &id)],
            ));
        }
        // Loaded into the runtime by hand: it knows an image id only.
        let exporter = "quay.io/prometheus/node-exporter:v1.8.2";
        let built = BuiltImage::multi("node-exporter", &linux);
        self.push(exporter, &built);
        let id = built.image_ids().first().cloned().unwrap_or_default();
        self.deployment("monitoring", "node-exporter", 1, &[("exporter", exporter, &id)]);
    }

    /// What is attached: the company signs what it builds, one image was signed by somebody else, and others come with
    /// SBOMs only.
    fn trust(&self) {
        let (ours, theirs) = (SigningKey::number(1), SigningKey::number(2));
        let ghcr = &self.registries["ghcr.io"];
        let linux = ["linux/amd64", "linux/arm64"];
        let sign = |key: &SigningKey, repository: &str, image: &BuiltImage| {
            let digest = image.digest();
            ghcr.attach(repository, Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
            digest
        };
        let web = sign(&ours, "acme/shop-web", &BuiltImage::multi("shop-web 1.14.2", &linux));
        let source = "https://github.com/acme/shop-web";
        let built = attach::slsa(source, "6dcb09b5b57875f334f61aebed695e2e4193db5e");
        let attested = ours.attestation(&web, "https://slsa.dev/provenance/v1", &built);
        ghcr.attach("acme/shop-web", Some(&attach::tag(&web, ".att")), &attested);
        let kind = "application/spdx+json";
        let sbom = attach::referrer(&web, kind, kind, &attach::spdx("shop-web").to_string());
        ghcr.attach("acme/shop-web", None, &sbom);
        for day in ["monday", "friday"] {
            sign(&ours, "acme/shop-api", &BuiltImage::multi(&format!("shop-api of {day}"), &linux));
        }
        sign(&theirs, "acme/search", &BuiltImage::multi("search", &linux));
        sign(&ours, "acme/legacy-batch", &BuiltImage::single("legacy-batch"));
        sign(&ours, "acme/checkout", &BuiltImage::single("checkout 2.3.0, deleted"));
        let kafka = BuiltImage::multi("kafka", &linux).digest();
        let bom =
            json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"name": "zookeeper"}]});
        let sbom = attach::document("application/vnd.cyclonedx+json", &bom.to_string());
        self.registries["quay.io"].attach("strimzi/kafka", Some(&attach::tag(&kafka, ".sbom")), &sbom);
    }

    /// Helm releases: healthy, outdated, deprecated, failed, hanging, torn; one that Flux manages.
    fn releases(&self) {
        let chart = |name: &str, version: &str, more: Value| {
            let mut chart = json!({"apiVersion": "v2", "name": name, "version": version});
            let more = more.as_object().cloned().unwrap_or_default();
            chart.as_object_mut().expect("a chart is an object").extend(more);
            chart
        };
        let ghcr = &self.registries["ghcr.io"];
        for (name, version, more) in [
            ("shop", "3.2.0", json!({"appVersion": "1.14.2"})),
            ("shop", "3.2.4", json!({"appVersion": "1.14.3"})),
            ("shop", "4.0.0", json!({"appVersion": "2.0.0", "kubeVersion": ">=1.99.0-0"})),
            ("search", "0.9.1", json!({})),
            ("batch", "1.0.0", json!({})),
            ("batch", "1.0.1", json!({"deprecated": true})),
        ] {
            ghcr.push(&format!("acme/charts/{name}"), version, &helm::chart(&chart(name, version, more)));
        }
        let sources = |name: &str| json!({"sources": [format!("oci://ghcr.io/acme/charts/{name}")]});
        let manifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: db\n";
        let shop = chart("shop", "3.2.0", sources("shop"));
        let batch = chart("batch", "1.0.0", sources("batch"));
        let exporter = chart("node-exporter", "4.37.1", json!({"home": "https://prometheus.io"}));
        let edge = chart("nginx", "15.1.0", json!({}));
        for (kind, release) in [
            ("Secret", helm::release("shop", "shop", 11, "superseded", &shop, "")),
            ("Secret", helm::release("shop", "shop", 12, "deployed", &shop, manifest)),
            ("Secret", helm::release("shop", "invoices", 3, "deployed", &batch, "")),
            ("ConfigMap", helm::release("monitoring", "exporter", 1, "deployed", &exporter, "")),
            ("Secret", helm::release("edge", "ingress", 4, "deployed", &edge, "")),
            ("Secret", helm::release("edge", "ingress", 5, "failed", &edge, "")),
        ] {
            self.kube.add(helm::stored(kind, &release));
        }
        let torn = helm::release("payments", "ledger", 7, "deployed", &edge, "");
        let bytes = helm::gzip(torn.to_string().as_bytes());
        self.kube.add(helm::packed("Secret", &torn, &bytes[..bytes.len() / 2]));
        self.kube.add(json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
            "metadata": {"name": "acme", "namespace": "flux-system"},
            "spec": {"type": "oci", "url": "oci://ghcr.io/acme/charts"},
        }));
        self.kube.add(json!({
            "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
            "metadata": {"name": "search", "namespace": "data"},
            "spec": {"chart": {"spec": {"chart": "search", "version": "0.x",
                "sourceRef": {"kind": "HelmRepository", "name": "acme", "namespace": "flux-system"}}}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }));
        let search = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata:\n  name: search\n";
        let search =
            helm::release("data", "search", 2, "deployed", &chart("search", "0.9.1", json!({})), search);
        self.kube.add(helm::stored("Secret", &search));
    }

    /// What was released since: some of it by others, some unsigned, some only candidates.
    fn newer(&self) {
        let linux = ["linux/amd64", "linux/arm64"];
        for (repository, tags) in [
            ("ghcr.io/acme/shop-web", &["1.14.3", "1.15.0", "2.0.0-rc.1"][..]),
            ("docker.io/envoyproxy/envoy", &["v1.31.5", "v1.32.2", "v1.32-latest", "distroless-v1.33.0"]),
            ("docker.io/library/postgres", &["16.6", "17.2", "17.2-alpine", "18beta1"]),
            ("docker.io/library/nginx", &["1.27.5-alpine", "1.28-alpine", "1.28.0-alpine", "1.28.0"]),
            ("docker.io/library/busybox", &["1.37", "1.37.0", "1.36.1", "uclibc"]),
            ("quay.io/strimzi/kafka", &["0.44.0-kafka-3.8.0", "0.44.0-kafka-3.9.0", "latest"]),
            ("quay.io/prometheus/node-exporter", &["v1.8.1", "v1.9.0-rc.0"]),
            ("registry.k8s.io/kube-apiserver", &["v1.34.2", "v1.35.0-alpha.1"]),
        ] {
            for tag in tags {
                self.push(&format!("{repository}:{tag}"), &BuiltImage::multi(tag, &linux));
            }
        }
    }

    /// The public key with which the demo's company signs.
    pub fn demo_key() -> String {
        SigningKey::number(1).public_pem()
    }

    fn trouble(&self) {
        let hex = "5f".repeat(32);
        let payments = "registry.acme.example/payments/ledger:5.1";
        let id = format!("registry.acme.example/payments/ledger@sha256:{hex}");
        self.deployment("payments", "ledger", 2, &[("ledger", payments, &id)]);
        let mirrored = "mirror.acme.example/library/redis:7.4";
        let id = format!("mirror.acme.example/library/redis@sha256:{}", "7e".repeat(32));
        self.deployment("payments", "cache", 1, &[("redis", mirrored, &id)]);
        self.deployment("reporting", "exports", 1, &[("exports", "ghcr.io/Acme/Exports:latest", "")]);
    }

    /// A Deployment of so many equal pods.
    fn deployment(&self, namespace: &str, name: &str, pods: usize, containers: &[(&str, &str, &str)]) {
        self.deployment_of(namespace, name, &vec![containers; pods]);
    }

    /// A Deployment of these pods.
    fn deployment_of(&self, namespace: &str, name: &str, pods: &[&[(&str, &str, &str)]]) {
        let uid = self.kube.add_owned(("apps/v1", "Deployment"), namespace, name, &Value::Null);
        let owner = controller("apps/v1", "Deployment", name, &uid);
        let set = format!("{name}-7c9d8");
        let uid = self.kube.add_owned(("apps/v1", "ReplicaSet"), namespace, &set, &owner);
        let owner = controller("apps/v1", "ReplicaSet", &set, &uid);
        for (number, containers) in pods.iter().enumerate() {
            self.kube.add(pod(namespace, &format!("{set}-{number}"), &owner, containers));
        }
    }
}

/// SLSA provenance v0.2 as `BuildKit` writes it.
fn buildkit() -> Value {
    json!({
        "builder": {"id": "https://github.com/docker-library/postgres/actions/runs/1"},
        "buildType": "https://mobyproject.org/buildkit@v1",
        "materials": [{"uri": "pkg:docker/debian@bookworm", "digest": {"sha256": "5f".repeat(32)}}],
        "invocation": {"configSource": {
            "uri": "https://github.com/docker-library/postgres.git#refs/heads/master",
            "digest": {"sha1": "7f1a1c6a1d7a2c6ee3c3d3b2b1f0a9d8c7b6a5f4"}, "entryPoint": "Dockerfile",
        }},
        "metadata": {"buildStartedOn": "2026-01-02T03:04:05Z", "reproducible": false},
    })
}

/// Registry, repository and tag of a whole image name.
fn split(image: &str) -> (&str, &str, &str) {
    let (registry, rest) = image.split_once('/').unwrap_or(("docker.io", image));
    let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, "latest"));
    (registry, repository, tag)
}
