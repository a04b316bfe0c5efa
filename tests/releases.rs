//! Helm releases over the testbed: found in every place, each once, at little cost; their charts compared with every
//! kind of repository; linked with the images they run.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use provenance_collector::config::{HelmSettings, UpdateSettings};
use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Helm, Means, Source};
use provenance_engine::FailureKind;
use provenance_model::release::Manager;
use provenance_model::report::{
    HelmRelease, LinkedBy, OutcomeWord, ProblemReason, Report, RepositoryFrom, StageRecord, StoredIn,
};
use provenance_model::{Shard, UpdateLevel};
use provenance_stages::charts::ChartRepository;
use provenance_stages::charts::repository::Address;
use provenance_stages::discovery::{ClusterSource, Namespaces};
use provenance_stages::registry::{ClientSettings, HostLimits, RegistryClient, Wanted};
use provenance_stages::{Trust, UpdateRules};
use provenance_testbed::kube::{controller, pod};
use provenance_testbed::{BuiltImage, Effect, Fault, KubeApi, Logged, Registry, helm};
use serde_json::{Value, json};

/// A cluster, and how it is looked at.
struct Bench {
    kube: KubeApi,
    namespaces: Namespaces,
    settings: HelmSettings,
    updates: UpdateSettings,
}

impl Bench {
    async fn new() -> Self {
        Self {
            kube: KubeApi::start().await.unwrap(),
            namespaces: Namespaces::default(),
            settings: HelmSettings::default(),
            updates: support::updates(),
        }
    }

    fn source(&self) -> Source {
        let config = kube::Config::new(self.kube.url().parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let helm = Helm {
            client: client.clone(),
            namespaces: self.namespaces.clone(),
            page_size: 500,
            settings: self.settings.clone(),
            shard: Shard::default(),
        };
        Source::Cluster(ClusterSource::new(client, self.namespaces.clone()), Some(helm))
    }

    async fn report(&self) -> Report {
        let limits = HostLimits::new(Wanted {
            rate: Some(0),
            timeout: Some(Duration::from_secs(5)),
            ..Wanted::default()
        });
        let settings = ClientSettings { limits, ..ClientSettings::default() };
        let means = Means::new(RegistryClient::new(settings, "test").unwrap(), Trust::default())
            .updates(self.updates.clone());
        let tuning = support::tuning(support::DIGESTS_ONLY);
        let order = Order::new(&tuning);
        run(self.source(), &means, &tuning, About::default(), &order, |_| {}).await.unwrap()
    }

    async fn releases(&self) -> Vec<HelmRelease> {
        self.report().await.helm_releases
    }

    async fn only(&self) -> HelmRelease {
        let mut releases = self.releases().await;
        assert_eq!(releases.len(), 1, "{releases:#?}");
        releases.remove(0)
    }

    /// Stores revisions of a release, the last with this status.
    fn install(&self, kind: &str, namespace: &str, name: &str, revisions: u64, status: &str) {
        for revision in 1..=revisions {
            let status = if revision == revisions { status } else { "superseded" };
            let record = helm::release(namespace, name, revision, status, &nginx("1.2.0"), "");
            self.kube.add(helm::stored(kind, &record));
        }
    }

    /// Looks for charts in a repository, too.
    fn knows(&mut self, url: &str) {
        let address = Address::parse(url).unwrap();
        self.settings.repositories.push(ChartRepository { address, charts: Vec::new(), credential: None });
    }

    fn asked(&self, what: &str) -> usize {
        self.kube.log().iter().filter(|one| one.line().contains(what)).count()
    }
}

fn nginx(version: &str) -> Value {
    json!({"apiVersion": "v2", "name": "nginx", "version": version, "appVersion": "1.27.1"})
}

fn stage(release: &HelmRelease, name: &str) -> StageRecord {
    let stages = release.stages.clone().unwrap();
    if name == "release" { stages.release.unwrap() } else { stages.chart.unwrap() }
}

#[tokio::test]
async fn a_release_is_read_from_the_newest_of_its_records_in_either_kind() {
    for (kind, stored) in [("Secret", StoredIn::Secret), ("ConfigMap", StoredIn::ConfigMap)] {
        let bench = Bench::new().await;
        bench.install(kind, "shop", "web", 12, "deployed");
        let release = bench.only().await;
        assert_eq!(
            (release.release_name.as_str(), release.namespace.as_str(), release.chart.as_str()),
            ("web", "shop", "nginx")
        );
        assert_eq!((release.version.as_str(), release.app_version.as_deref()), ("1.2.0", Some("1.27.1")));
        assert_eq!((release.status.as_deref(), release.revision), (Some("deployed"), Some(12)));
        assert_eq!((release.revisions, release.deployed_revision), (Some(12), None));
        assert_eq!(release.updated_at.as_deref(), Some("2026-01-02T03:04:05.678901234Z"));
        let storage = release.storage.unwrap();
        assert_eq!((storage.kind, storage.name.as_str()), (stored, "sh.helm.release.v1.web.v12"));
        assert_eq!(bench.asked("sh.helm.release.v1"), 1, "one payload of twelve");
    }
}

#[tokio::test]
async fn two_thousand_old_revisions_cost_only_the_listing_of_their_metadata() {
    let bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 2000, "deployed");
    let release = bench.only().await;
    assert_eq!((release.revision, release.revisions), (Some(2000), Some(2000)));
    // Four pages of five hundred, and one payload.
    assert_eq!((bench.asked("/secrets?"), bench.asked("/secrets/sh.helm.release.v1.")), (4, 1));
}

#[tokio::test]
async fn what_failed_or_hangs_is_told_apart_from_what_is_deployed() {
    let bench = Bench::new().await;
    bench.install("Secret", "a", "fine", 2, "deployed");
    bench.install("Secret", "b", "failing", 3, "failed");
    let deployed = helm::release("b", "failing", 2, "deployed", &nginx("1.1.0"), "");
    bench.kube.add(helm::stored("Secret", &deployed));
    bench.install("Secret", "c", "hanging", 1, "pending-upgrade");
    bench.install("Secret", "d", "kept", 1, "uninstalled");
    let report = bench.report().await;
    let told: Vec<_> = report
        .helm_releases
        .iter()
        .map(|one| {
            (
                one.release_name.as_str(),
                one.status.as_deref().unwrap(),
                one.deployed_revision,
                one.is_unhealthy(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("fine", "deployed", None, false),
            ("failing", "failed", Some(2), true),
            ("hanging", "pending-upgrade", None, true),
            ("kept", "uninstalled", None, false),
        ]
    );
    let summary = report.summary;
    assert_eq!((summary.total_helm_releases, summary.unhealthy_helm_releases), (4, Some(2)));
}

#[tokio::test]
async fn a_bomb_a_torn_and_a_foreign_record_are_failed_rows_and_no_others() {
    let bench = Bench::new().await;
    let record = |name: &str| helm::release("shop", name, 1, "deployed", &nginx("1.2.0"), "");
    let mut bomb = record("bomb").to_string();
    bomb.truncate(bomb.len() - 2);
    bomb.push_str(&" ".repeat(70 << 20));
    bench.kube.add(helm::packed("Secret", &record("bomb"), &helm::gzip(bomb.as_bytes())));
    let whole = helm::gzip(record("torn").to_string().as_bytes());
    bench.kube.add(helm::packed("Secret", &record("torn"), &whole[..whole.len() / 2]));
    bench.kube.add(helm::packed("ConfigMap", &record("foreign"), b"[1, 2]"));
    let mut empty = helm::stored("Secret", &record("empty"));
    empty["data"] = json!({"other": ""});
    bench.kube.add(empty);
    bench.kube.add(helm::stored("Secret", &record("well")));

    let report = bench.report().await;
    assert_eq!((report.helm_releases.len(), report.summary.failed_helm_releases), (5, Some(4)));
    assert!(!report.run.as_ref().unwrap().partial, "every row is there");
    for (name, kind, told) in [
        ("bomb", FailureKind::TooLarge, "Secret shop/sh.helm.release.v1.bomb.v1: the record has more than"),
        ("torn", FailureKind::Malformed, "its gzip is torn"),
        ("foreign", FailureKind::Malformed, "its JSON is no release"),
        ("empty", FailureKind::Malformed, "it has no data named release"),
    ] {
        let release = report.helm_releases.iter().find(|one| one.release_name == name).unwrap();
        let stage = stage(release, "release");
        assert_eq!(stage.outcome, OutcomeWord::Failed, "{name}");
        let reason = stage.reason.unwrap();
        assert_eq!(reason.kind, Some(kind), "{name}: {}", reason.message);
        assert!(reason.message.contains(told) && !reason.message.contains("password"), "{}", reason.message);
    }
}

#[tokio::test]
async fn a_record_that_goes_away_meanwhile_or_may_not_be_read_never_reads_as_none() {
    let bench = Bench::new().await;
    bench.install("Secret", "shop", "gone", 1, "deployed");
    bench.install("Secret", "shop", "shut", 1, "deployed");
    bench.kube.fault(Fault::on(
        "release.v1.gone",
        Effect::Answer {
            status: 404,
            headers: vec![],
            body: r#"{"kind":"Status","reason":"NotFound","message":"not found"}"#.into(),
        },
    ));
    bench.kube.fault(Fault::on("release.v1.shut", Effect::status(403)));
    let releases = bench.releases().await;
    assert_eq!(stage(&releases[0], "release").outcome, OutcomeWord::Absent);
    assert_eq!(stage(&releases[1], "release").reason.unwrap().kind, Some(FailureKind::Forbidden));
}

#[tokio::test]
async fn where_records_may_not_be_listed_the_report_says_that_releases_are_missing() {
    let bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    bench.install("Secret", "data", "db", 1, "deployed");
    bench.kube.add(pod("shop", "p", &Value::Null, &[]));
    bench.kube.add(pod("data", "p", &Value::Null, &[]));
    bench.kube.deny("secrets", None);
    bench.kube.deny("secrets", Some("data"));
    let report = bench.report().await;
    let names: Vec<_> = report.helm_releases.iter().map(|one| one.release_name.as_str()).collect();
    assert_eq!(names, ["web"], "read namespace by namespace");
    let problem = &report.run.as_ref().unwrap().problems[0];
    assert!(problem.rows_missing && problem.reason == ProblemReason::Forbidden);
    assert_eq!(problem.namespace.as_deref(), Some("data"));
    assert!(problem.message.contains("--helm-enabled=false"), "{}", problem.message);
    // The images are all there.
    assert!(!report.run.unwrap().partial);
}

#[tokio::test]
async fn only_the_namespaces_asked_for_are_read() {
    let mut bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    bench.install("Secret", "data", "db", 1, "deployed");
    bench.namespaces = Namespaces { include: vec!["shop".into()], exclude: vec![] };
    assert_eq!(bench.only().await.release_name, "web");
    bench.namespaces = Namespaces { include: vec![], exclude: vec!["shop".into()] };
    assert_eq!(bench.only().await.release_name, "db");
}

fn index() -> Value {
    json!({
        "nginx": [
            {"name": "nginx", "version": "1.2.0", "appVersion": "1.27.1"},
            {"name": "nginx", "version": "1.2.1"},
            {"name": "nginx", "version": "1.4.0", "kubeVersion": ">=1.21.0-0"},
            {"name": "nginx", "version": "2.0.0", "kubeVersion": ">=1.99.0-0"},
            {"name": "nginx", "version": "1.5.0-rc.1"},
        ],
        "old": [{"name": "old", "version": "1.2.0", "deprecated": true}],
    })
}

#[tokio::test]
async fn a_chart_is_compared_with_a_repositorys_index() {
    let mut bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
    bench.knows(&charts.url());
    let update = bench.only().await.update.unwrap();
    assert_eq!(update.newest_available.as_deref(), Some("1.4.0"));
    assert_eq!(update.latest_in_minor.as_deref(), Some("1.2.1"));
    assert_eq!(
        (update.level, update.versions_behind, update.other_kubernetes),
        (Some(UpdateLevel::Minor), 2, Some(1))
    );
    assert_eq!((update.repository, update.repository_from), (charts.url(), RepositoryFrom::Configuration));
    assert_eq!(update.reason, "1.2.0 -> 1.4.0 (5 versions listed; 1 newer for another Kubernetes)");
    assert!(update.update_available);

    bench.updates.rules =
        Some(UpdateRules { level: UpdateLevel::Major, skip_pre_releases: true, images: vec![] });
    let report = bench.report().await;
    assert_eq!(report.summary.helm_releases_with_updates, 0, "a minor update is below the level");
    bench.updates.rules = None;
    let release = bench.only().await;
    assert_eq!((stage(&release, "chart").outcome, release.update), (OutcomeWord::Skipped, None));
}

#[tokio::test]
async fn an_index_is_fetched_once_a_run_and_with_its_entity_tag_not_at_all() {
    let mut bench = Bench::new().await;
    for number in 0..5 {
        bench.install("Secret", "shop", &format!("web{number}"), 1, "deployed");
    }
    let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
    bench.knows(&charts.url());
    let folder = tempfile::tempdir().unwrap();
    bench.settings.cache = Some(PathBuf::from(folder.path()).join("charts"));
    let first = bench.releases().await;
    let second = bench.releases().await;
    let statuses = |log: Vec<Logged>| log.iter().map(|one| one.status).collect::<Vec<_>>();
    assert_eq!(statuses(charts.log()), [200, 304]);
    assert_eq!(first[0].update, second[0].update);
    charts.set(
        &json!({"nginx": [{"name": "nginx", "version": "1.2.0"}, {"name": "nginx", "version": "3.0.0"}]}),
    );
    assert_eq!(bench.releases().await[4].update.clone().unwrap().newest_available.as_deref(), Some("3.0.0"));
    assert_eq!(statuses(charts.log()), [200, 304, 200]);
    // What is kept may be spoiled by others.
    for entry in std::fs::read_dir(folder.path().join("charts")).unwrap() {
        std::fs::write(entry.unwrap().path(), "spoiled").unwrap();
    }
    assert!(bench.releases().await[0].update.is_some());
}

#[tokio::test]
async fn without_a_repository_the_row_says_so_and_never_current() {
    let mut bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    let told = async |bench: &Bench| {
        let release = bench.only().await;
        assert_eq!(release.update, None);
        let stage = stage(&release, "chart");
        assert_eq!(stage.outcome, OutcomeWord::Skipped);
        stage.reason.unwrap().message
    };
    assert!(told(&bench).await.contains("no repository known for the chart nginx"));
    // A chart of the same name in a repository that never had this version is another chart.
    let other = json!({"nginx": [{"name": "nginx", "version": "9.0.0"}]});
    let charts = provenance_testbed::ChartRepository::start(&other).await.unwrap();
    bench.knows(&charts.url());
    assert!(told(&bench).await.contains("has a chart of this name, but not version 1.2.0"));
}

#[tokio::test]
async fn a_repository_that_does_not_answer_as_one_is_a_failure() {
    for (spoil, kind, told) in [
        ("404", FailureKind::UnexpectedStatus, "there is no chart repository"),
        ("401", FailureKind::Unauthorized, "401"),
        ("html", FailureKind::Malformed, "no index of charts"),
        ("500", FailureKind::ServerError, "500"),
    ] {
        let mut bench = Bench::new().await;
        bench.install("Secret", "shop", "web", 1, "deployed");
        let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
        match spoil {
            "html" => charts.set_text("<html><body>Sign in</body></html>"),
            status => charts.fault(Fault::on("index.yaml", Effect::status(status.parse().unwrap()))),
        }
        bench.knows(&charts.url());
        let release = bench.only().await;
        assert_eq!(stage(&release, "release").outcome, OutcomeWord::Found);
        let reason = stage(&release, "chart").reason.unwrap();
        assert_eq!(reason.kind, Some(kind), "{spoil}: {}", reason.message);
        assert!(reason.message.contains(told), "{spoil}: {}", reason.message);
    }
}

#[tokio::test]
async fn a_deprecated_chart_is_told_by_itself_and_by_its_repository() {
    let mut bench = Bench::new().await;
    let chart = json!({"name": "old", "version": "1.2.0"});
    bench.kube.add(helm::stored("Secret", &helm::release("shop", "web", 1, "deployed", &chart, "")));
    assert_eq!(bench.only().await.deprecated, Some(false));
    let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
    bench.knows(&charts.url());
    assert_eq!(bench.only().await.deprecated, Some(true));
    let itself = json!({"name": "nginx", "version": "1.2.0", "deprecated": true});
    bench.kube.add(helm::stored("Secret", &helm::release("shop", "web", 1, "deployed", &itself, "")));
    assert_eq!(bench.only().await.deprecated, Some(true));
}

#[tokio::test]
async fn a_chart_of_an_oci_registry_is_compared_with_its_tags() {
    let mut bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    let registry = Registry::start().await.unwrap();
    let push = |version: &str, more: Value| {
        let mut chart = nginx(version);
        chart.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        registry.push("charts/nginx", &version.replace('+', "_"), &helm::chart(&chart));
    };
    push("1.2.0", json!({}));
    push("1.3.0+build.7", json!({}));
    push("1.4.0", json!({"kubeVersion": ">=1.99.0"}));
    push("1.5.0", json!({"deprecated": true}));
    bench.knows(&format!("oci://{}/charts", registry.host()));
    let release = bench.only().await;
    let update = release.update.unwrap();
    assert_eq!(update.newest_available.as_deref(), Some("1.3.0_build.7"));
    assert_eq!((update.other_kubernetes, update.deprecated), (Some(1), true));
    let lists = registry.log().iter().filter(|one| one.path.contains("/tags/list")).count();
    assert_eq!(lists, 1);
}

#[tokio::test]
async fn a_chart_may_name_its_own_registry() {
    let bench = Bench::new().await;
    let registry = Registry::start().await.unwrap();
    for version in ["1.2.0", "1.3.0"] {
        registry.push("charts/nginx", version, &helm::chart(&nginx(version)));
    }
    let mut chart = nginx("1.2.0");
    chart["sources"] =
        json!(["https://github.com/acme/nginx", format!("oci://{}/charts/nginx", registry.host())]);
    bench.kube.add(helm::stored("Secret", &helm::release("shop", "web", 1, "deployed", &chart, "")));
    let update = bench.only().await.update.unwrap();
    assert_eq!(
        (update.newest_available.as_deref(), update.repository_from),
        (Some("1.3.0"), RepositoryFrom::Chart)
    );
}

fn flux(bench: &Bench, url: &str) {
    bench.kube.add(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository",
        "metadata": {"name": "stable", "namespace": "flux-system"}, "spec": {"url": url},
    }));
    bench.kube.add(json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"chart": {"spec": {"chart": "nginx", "version": "1.x",
            "sourceRef": {"kind": "HelmRepository", "name": "stable", "namespace": "flux-system"}}}},
        "status": {"history": [{"chartName": "nginx", "chartVersion": "1.2.0", "appVersion": "1.27", "status": "deployed"}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    }));
}

#[tokio::test]
async fn what_flux_manages_is_one_row_with_its_manager_and_repository() {
    let bench = Bench::new().await;
    let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
    bench.install("Secret", "shop", "web", 3, "deployed");
    flux(&bench, &charts.url());
    let release = bench.only().await;
    let manager = release.manager.unwrap();
    assert_eq!(
        (manager.by, manager.namespace.as_str(), manager.name.as_str()),
        (Manager::Flux, "shop", "web")
    );
    assert_eq!((release.revision, release.storage.is_some()), (Some(3), true));
    let update = release.update.unwrap();
    assert_eq!(
        (update.newest_available.as_deref(), update.repository_from),
        (Some("1.4.0"), RepositoryFrom::Flux)
    );

    // Where its record may not be read, Flux's word stands.
    let bench = Bench::new().await;
    flux(&bench, &charts.url());
    let release = bench.only().await;
    assert_eq!((release.chart.as_str(), release.version.as_str()), ("nginx", "1.2.0"));
    assert_eq!((release.status.as_deref(), release.storage), (Some("deployed"), None));
    assert!(release.update.unwrap().update_available);
}

#[tokio::test]
async fn fluxs_oci_repositories_and_other_namespaces_are_followed() {
    let bench = Bench::new().await;
    let registry = Registry::start().await.unwrap();
    for version in ["1.2.0", "1.3.0"] {
        registry.push("charts/nginx", version, &helm::chart(&nginx(version)));
    }
    bench.kube.add(json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "OCIRepository",
        "metadata": {"name": "nginx", "namespace": "shop"},
        "spec": {"url": format!("oci://{}/charts/nginx", registry.host())},
    }));
    bench.kube.add(json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"chartRef": {"kind": "OCIRepository", "name": "nginx"}, "targetNamespace": "edge", "releaseName": "front"},
    }));
    let record = helm::release("edge", "front", 1, "deployed", &nginx("1.2.0"), "");
    let mut stored = helm::stored("Secret", &record);
    stored["metadata"]["namespace"] = "shop".into();
    bench.kube.add(stored);
    let release = bench.only().await;
    assert_eq!((release.release_name.as_str(), release.namespace.as_str()), ("front", "edge"));
    assert_eq!(release.manager.unwrap().by, Manager::Flux);
    assert_eq!(release.update.unwrap().newest_available.as_deref(), Some("1.3.0"));
}

#[tokio::test]
async fn charts_of_argo_cd_are_rows_with_their_objects() {
    let bench = Bench::new().await;
    let charts = provenance_testbed::ChartRepository::start(&index()).await.unwrap();
    let application = |name: &str, spec: Value| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"}, "spec": spec,
            "status": {"sync": {"status": "Synced", "revision": "1.2.0"}, "health": {"status": "Healthy"},
                "resources": [{"kind": "Deployment", "name": "front", "namespace": "shop", "group": "apps"}]},
        })
    };
    let here = json!({"server": "https://kubernetes.default.svc", "namespace": "shop"});
    let chart = json!({"repoURL": charts.url(), "chart": "nginx", "targetRevision": "1.*"});
    bench.kube.add(application("web", json!({"source": chart, "destination": here})));
    let git = json!({"repoURL": "https://github.com/acme/deploy", "path": "web"});
    bench.kube.add(application("plain", json!({"source": git, "destination": here})));
    let there = json!({"server": "https://other.example:6443", "namespace": "shop"});
    bench.kube.add(application("elsewhere", json!({"source": chart, "destination": there})));
    let front = bench.kube.add_owned(("apps/v1", "Deployment"), "shop", "front", &Value::Null);
    let set = bench.kube.add_owned(
        ("apps/v1", "ReplicaSet"),
        "shop",
        "front-1",
        &controller("apps/v1", "Deployment", "front", &front),
    );
    let owner = controller("apps/v1", "ReplicaSet", "front-1", &set);
    bench.kube.add(pod("shop", "front-1-a", &owner, &[("app", "ghcr.io/acme/front:1", "")]));
    let release = bench.only().await;
    assert_eq!((release.release_name.as_str(), release.namespace.as_str()), ("web", "shop"));
    assert_eq!((release.version.as_str(), release.status.as_deref()), ("1.2.0", Some("Synced, Healthy")));
    assert_eq!(release.manager.unwrap().by, Manager::ArgoCd);
    let update = release.update.unwrap();
    assert_eq!(
        (update.newest_available.as_deref(), update.repository_from),
        (Some("1.4.0"), RepositoryFrom::ArgoCd)
    );
    assert_eq!(release.images.unwrap(), ["ghcr.io/acme/front:1"]);
}

#[tokio::test]
async fn kinds_that_may_not_be_read_are_told_and_no_row_is_lost() {
    let bench = Bench::new().await;
    bench.install("Secret", "shop", "web", 1, "deployed");
    flux(&bench, "https://charts.example");
    bench.kube.deny("helmreleases", None);
    let report = bench.report().await;
    assert_eq!(report.helm_releases.len(), 1);
    let problem = &report.run.as_ref().unwrap().problems[0];
    assert!(!problem.rows_missing && problem.message.contains("HelmRelease"), "{problem:?}");
    assert!(!report.run.unwrap().partial);
}

#[tokio::test]
async fn images_and_releases_are_linked_both_ways() {
    let bench = Bench::new().await;
    let manifest = "---\n# Source: web/templates/deployment.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: front\n";
    bench
        .kube
        .add(helm::stored("Secret", &helm::release("shop", "web", 1, "deployed", &nginx("1.2.0"), manifest)));
    let front = bench.kube.add_owned(("apps/v1", "Deployment"), "shop", "front", &Value::Null);
    let set = bench.kube.add_owned(
        ("apps/v1", "ReplicaSet"),
        "shop",
        "front-1",
        &controller("apps/v1", "Deployment", "front", &front),
    );
    let registry = Registry::start().await.unwrap();
    let image = |name: &str| {
        registry.push(name, "1", &BuiltImage::single(name));
        format!("{}/{name}:1", registry.host())
    };
    let (of_manifest, of_labels, of_nobody) = (image("front"), image("hook"), image("other"));
    let owner = controller("apps/v1", "ReplicaSet", "front-1", &set);
    bench.kube.add(pod("shop", "front-1-a", &owner, &[("app", &of_manifest, "")]));
    let mut hook = pod("shop", "hook", &Value::Null, &[("app", &of_labels, "")]);
    hook["metadata"]["labels"] =
        json!({"app.kubernetes.io/instance": "web", "app.kubernetes.io/managed-by": "Helm"});
    bench.kube.add(hook);
    let mut other = pod("shop", "other", &Value::Null, &[("app", &of_nobody, "")]);
    other["metadata"]["labels"] = json!({"app.kubernetes.io/instance": "web"});
    bench.kube.add(other);

    let report = bench.report().await;
    let linked: Vec<_> = report
        .images
        .iter()
        .map(|row| {
            (row.workload.name.as_str(), row.helm_release.as_ref().map(|link| (link.name.as_str(), link.by)))
        })
        .collect();
    assert_eq!(
        linked,
        [
            ("front", Some(("web", LinkedBy::Manifest))),
            ("hook", Some(("web", LinkedBy::Labels))),
            ("other", None),
        ]
    );
    let release = &report.helm_releases[0];
    assert_eq!(release.images.as_ref().unwrap(), &[of_manifest, of_labels]);
    let workloads: Vec<_> = release.workloads.as_ref().unwrap().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(workloads, ["front", "hook"]);
}
