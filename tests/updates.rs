//! Updates over the testbed: what lists of tags say, which rules apply, what is asked, and what an upgrade would lose.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::time::Duration;

use provenance_collector::config::UpdateSettings;
use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Means, Source};
use provenance_currency::{Pattern, TagOrder};
use provenance_engine::FailureKind;
use provenance_model::report::{ImageRecord, OutcomeWord, Report};
use provenance_model::update::{CreatedFrom, Floating, Lost, UpdateLevel};
use provenance_model::{Sighting, Update};
use provenance_stages::discovery::{ClusterSource, Namespaces, named_image};
use provenance_stages::registry::{ClientSettings, HostLimits, Mirrors, RegistryClient, Wanted};
use provenance_stages::update::ImageRule;
use provenance_stages::{Trust, UpdateRules};
use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::{BuiltImage, Effect, Fault, KubeApi, Logged, Registry, RegistryOptions};
use provenance_trust::policy::Glob;
use provenance_trust::{Policy, PublicKey};
use serde_json::{Value, json};

const REPOSITORY: &str = "acme/web";

fn settings() -> ClientSettings {
    within(Duration::from_secs(2))
}

fn within(timeout: Duration) -> ClientSettings {
    let limits = HostLimits::new(Wanted {
        rate: Some(0),
        patience: Some(Duration::from_millis(200)),
        timeout: Some(timeout),
        ..Wanted::default()
    });
    ClientSettings { limits, ..ClientSettings::default() }
}

async fn report(source: Source, settings: ClientSettings, updates: UpdateSettings, trust: Trust) -> Report {
    let means = Means::new(RegistryClient::new(settings, "test").unwrap(), trust).updates(updates);
    let tuning = support::tuning(support::ATTACHED);
    let order = Order::new(&tuning);
    run(source, &means, &tuning, About::default(), &order, |_| {}).await.unwrap()
}

fn given(images: &[String]) -> Source {
    Source::Given(images.iter().map(|image| named_image(image)).collect::<Vec<Sighting>>())
}

fn image(registry: &Registry, tag: &str) -> String {
    format!("{}/{REPOSITORY}:{tag}", registry.host())
}

async fn row(registry: &Registry, tag: &str, updates: UpdateSettings) -> ImageRecord {
    let images = [image(registry, tag)];
    report(given(&images), settings(), updates, Trust::default()).await.images.remove(0)
}

async fn update(registry: &Registry, tag: &str) -> Update {
    row(registry, tag, support::updates()).await.update.unwrap()
}

async fn with_tags(tags: &[&str]) -> Registry {
    let registry = Registry::start().await.unwrap();
    push(&registry, tags);
    registry
}

fn push(registry: &Registry, tags: &[&str]) {
    for tag in tags {
        registry.push(REPOSITORY, tag, &BuiltImage::single(tag));
    }
}

fn failure(row: &ImageRecord) -> (FailureKind, String) {
    let stage = row.stages.as_ref().unwrap().update.as_ref().unwrap();
    assert_eq!(stage.outcome, OutcomeWord::Failed);
    let reason = stage.reason.clone().unwrap();
    (reason.kind.unwrap(), reason.message)
}

fn lists_asked(registry: &Registry) -> usize {
    registry.log().iter().filter(|one| one.path.contains("/tags/list")).count()
}

#[tokio::test]
async fn an_update_says_how_far_and_why() {
    let registry =
        with_tags(&["1.27.1-alpine", "1.27.3-alpine", "1.28.0", "2.0.0-alpine-rc1", "latest"]).await;
    let update = update(&registry, "1.27.1-alpine").await;
    assert_eq!(update.newest_available.as_deref(), Some("1.27.3-alpine"));
    assert_eq!((update.level, update.versions_behind), (Some(UpdateLevel::Patch), Some(1)));
    assert_eq!(
        update.reason.as_deref(),
        Some("1.27.1-alpine -> 1.27.3-alpine (semver, variant alpine; 3 of 5 tags compared)")
    );
    assert!(update.update_available);
}

#[tokio::test]
async fn a_list_is_asked_once_for_all_tags_in_use_and_answers_for_cosigns_tags() {
    let registry =
        Registry::with(RegistryOptions { tag_page: 2, ..RegistryOptions::default() }).await.unwrap();
    push(&registry, &["1.0", "1.1", "1.2", "1.3", "1.4"]);
    let images = ["1.0", "1.1", "1.2"].map(|tag| image(&registry, tag));
    let report = report(given(&images), settings(), support::updates(), Trust::default()).await;
    let newest: Vec<_> =
        report.images.iter().map(|row| row.update.as_ref().unwrap().newest_available.clone()).collect();
    assert_eq!(newest, vec![Some("1.4".to_owned()); 3]);
    assert_eq!(report.summary.images_with_updates, 3);
    assert_eq!(lists_asked(&registry), 3, "five tags in pages of two");
    let lines: Vec<_> = registry.log().iter().map(Logged::line).collect();
    assert!(!lines.iter().any(|line| line.contains("sha256-")), "no tag is probed: {lines:#?}");
}

#[tokio::test]
async fn a_list_of_another_scope_is_another_list() {
    let registry = with_tags(&["1.0", "1.1"]).await;
    let mut sightings = vec![named_image(&image(&registry, "1.0")), named_image(&image(&registry, "1.0"))];
    sightings[1].scope = provenance_model::CredentialScope::of_secrets("shop", &["pull".to_owned()]);
    report(Source::Given(sightings), settings(), support::updates(), Trust::default()).await;
    assert_eq!(lists_asked(&registry), 2);
}

#[tokio::test]
async fn twenty_thousand_tags_are_read_in_twenty_pages() {
    let registry = Registry::start().await.unwrap();
    let built = BuiltImage::single("web");
    for number in 0..20_000 {
        registry.push(
            REPOSITORY,
            &format!("{}.{}.{}", number / 1000, number / 10 % 100, number % 10),
            &built,
        );
    }
    let update = update(&registry, "3.14.1").await;
    assert_eq!(update.newest_available.as_deref(), Some("19.99.9"));
    assert_eq!(update.latest_in_major.as_deref(), Some("3.99.9"));
    assert_eq!(update.latest_in_minor.as_deref(), Some("3.14.9"));
    assert_eq!(lists_asked(&registry), 20);
}

#[tokio::test]
async fn a_list_that_cannot_be_had_fails_and_never_reads_as_current() {
    for (effect, kind, told) in [
        (Effect::EndlessPages, FailureKind::TooLarge, "does not end after 200 pages"),
        (Effect::status(500), FailureKind::ServerError, "500"),
        (Effect::status(403), FailureKind::Forbidden, "403"),
        (Effect::status(404), FailureKind::UnexpectedStatus, "404"),
        (Effect::Hang, FailureKind::Timeout, "no complete answer"),
    ] {
        let registry = with_tags(&["1.0", "1.1"]).await;
        registry.fault(Fault::on("/tags/list", effect.clone()));
        let settings = within(Duration::from_millis(300));
        let images = [image(&registry, "1.0")];
        let report = report(given(&images), settings, support::updates(), Trust::default()).await;
        let row = &report.images[0];
        let (found, message) = failure(row);
        assert_eq!(found, kind, "{effect:?}: {message}");
        assert!(message.contains(told), "{effect:?}: {message}");
        assert_eq!(row.update, None, "{effect:?}");
        assert_eq!(report.summary.failed_images, Some(1), "{effect:?}");
        // Cosign's tags are then asked for one by one.
        let signature = row.stages.as_ref().unwrap().signature.as_ref().unwrap();
        assert_eq!(signature.outcome, OutcomeWord::Absent, "{effect:?}");
    }
}

#[tokio::test]
async fn the_level_says_which_updates_count() {
    let registry = with_tags(&["1.2.3", "1.2.4", "1.3.0"]).await;
    for (level, available) in
        [(UpdateLevel::Patch, true), (UpdateLevel::Minor, true), (UpdateLevel::Major, false)]
    {
        let rules = UpdateRules { level, ..UpdateRules::default() };
        let settings = UpdateSettings { rules: Some(rules), ..support::updates() };
        let update = row(&registry, "1.2.3", settings).await.update.unwrap();
        assert_eq!((update.update_available, update.newest_available.as_deref()), (available, Some("1.3.0")));
    }
}

#[tokio::test]
async fn without_updates_nothing_is_asked_and_the_row_says_so() {
    let registry = with_tags(&["1.0", "1.1"]).await;
    let row = row(&registry, "1.0", UpdateSettings::default()).await;
    assert_eq!(row.update, None);
    let stage = row.stages.unwrap().update.unwrap();
    assert_eq!(stage.outcome, OutcomeWord::Skipped);
    assert!(stage.reason.unwrap().message.contains("--check-updates=false"));
}

fn rule(images: &str) -> ImageRule {
    ImageRule {
        images: vec![Glob::parse(images).unwrap()],
        check: true,
        level: None,
        pre_releases: None,
        allow: None,
        ignore: None,
        order: None,
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_an_image_counts() {
    let registry = with_tags(&["build-7", "build-12", "build-100-rejected", "1.0.0", "1.1.0", "2.0.0"]).await;
    let of = |rule: ImageRule| {
        let rules = UpdateRules { images: vec![rule], ..UpdateRules::default() };
        UpdateSettings { rules: Some(rules), ..support::updates() }
    };
    let glob = format!("{}/acme/*", registry.host());
    let ones = ImageRule { allow: Some(Pattern::new(r"^1\.").unwrap()), ..rule(&glob) };
    let found = row(&registry, "1.0.0", of(ones)).await.update.unwrap();
    assert_eq!(
        (found.newest_available.as_deref(), found.rule.as_deref()),
        (Some("1.1.0"), Some(glob.as_str()))
    );

    let ignoring = ImageRule { ignore: Some(Pattern::new("^2").unwrap()), ..rule(&glob) };
    let found = row(&registry, "1.0.0", of(ignoring)).await.update.unwrap();
    assert_eq!(found.newest_available.as_deref(), Some("1.1.0"));

    let numbered = ImageRule {
        allow: Some(Pattern::new(r"^build-(?P<version>\d+)$").unwrap()),
        order: Some(TagOrder::Numerical),
        ..rule(&glob)
    };
    let found = row(&registry, "build-7", of(numbered)).await.update.unwrap();
    assert_eq!(
        (found.newest_available.as_deref(), found.scheme.as_deref()),
        (Some("build-12"), Some("numerical"))
    );

    let off = ImageRule { check: false, ..rule(&glob) };
    let stage = row(&registry, "1.0.0", of(off)).await.stages.unwrap().update.unwrap();
    assert_eq!(stage.outcome, OutcomeWord::Skipped);

    let elsewhere = ImageRule { check: false, ..rule("quay.io/**") };
    assert!(row(&registry, "1.0.0", of(elsewhere)).await.update.is_some());
}

/// A cluster with one pod that has these annotations and runs this tag.
async fn annotated(registry: &Registry, tag: &str, annotations: Value) -> ImageRecord {
    let kube = KubeApi::start().await.unwrap();
    let mut pod =
        provenance_testbed::kube::pod("shop", "web", &Value::Null, &[("app", &image(registry, tag), "")]);
    pod["metadata"]["annotations"] = annotations;
    kube.add(pod);
    let config = kube::Config::new(kube.url().parse().unwrap());
    let source = ClusterSource::new(kube::Client::try_from(config).unwrap(), Namespaces::default());
    report(Source::Cluster(source, None), settings(), support::updates(), Trust::default())
        .await
        .images
        .remove(0)
}

#[tokio::test]
async fn version_checkers_annotations_are_heeded() {
    let registry = with_tags(&["1.0.0", "1.1.0", "2.0.0", "2.1.0-rc.1"]).await;
    registry.push("acme/upstream", "1.7.0", &BuiltImage::single("upstream"));
    let newest = async |annotations: Value| {
        let update = annotated(&registry, "1.0.0", annotations).await.update.unwrap();
        assert_eq!(update.rule.as_deref(), Some("annotations"));
        update.newest_available
    };
    let pinned = json!({"pin-major.version-checker.io/app": "1", "large": "x".repeat(1000)});
    assert_eq!(newest(pinned).await.as_deref(), Some("1.1.0"));
    let metadata = json!({"use-metadata.version-checker.io/app": "true"});
    assert_eq!(newest(metadata).await.as_deref(), Some("2.1.0-rc.1"));
    let matching = json!({"match-regex.version-checker.io/app": r"^1\.\d+\.\d+$"});
    assert_eq!(newest(matching).await.as_deref(), Some("1.1.0"));
    let elsewhere =
        json!({"override-url.version-checker.io/app": format!("{}/acme/upstream", registry.host())});
    assert_eq!(newest(elsewhere).await.as_deref(), Some("1.7.0"));
    let by_digest = json!({"use-sha.version-checker.io/app": "true"});
    assert_eq!(newest(by_digest).await, None);

    let others = json!({"pin-major.version-checker.io/other": "1"});
    let update = annotated(&registry, "1.0.0", others).await.update.unwrap();
    assert_eq!((update.newest_available.as_deref(), update.rule), (Some("2.0.0"), None));

    let off = json!({"enable.version-checker.io/app": "false"});
    let stage = annotated(&registry, "1.0.0", off).await.stages.unwrap().update.unwrap();
    assert_eq!(stage.outcome, OutcomeWord::Skipped);

    let wrong = json!({"match-regex.version-checker.io/app": "("});
    let (kind, message) = failure(&annotated(&registry, "1.0.0", wrong).await);
    assert_eq!(kind, FailureKind::Malformed);
    assert!(
        message.contains("match-regex.version-checker.io") && message.contains("no regular expression"),
        "{message}"
    );
}

#[tokio::test]
async fn a_floating_tag_is_current_where_its_digest_runs_and_else_moved() {
    let registry = with_tags(&["stable", "1.27", "1.27.1"]).await;
    let old = BuiltImage::single("old");
    registry.push(REPOSITORY, "kept", &old);
    for (tag, digest, expected) in [
        ("stable", BuiltImage::single("stable").digest(), Floating::Current),
        ("stable", old.digest(), Floating::Moved),
        ("1.27", old.digest(), Floating::Moved),
    ] {
        let mut sighting = named_image(&image(&registry, tag));
        sighting.running = provenance_model::Running::Manifest(digest.parse().unwrap());
        let source = Source::Given(vec![sighting]);
        let row = report(source, settings(), support::updates(), Trust::default()).await.images.remove(0);
        let update = row.update.unwrap();
        assert_eq!((update.floating, update.update_available), (Some(expected), false), "{tag}");
    }
    let update = update(&registry, "1.27.1").await;
    assert_eq!(update.floating, None);
}

#[tokio::test]
async fn an_image_without_a_tag_or_named_latest_is_no_update_and_needs_no_list() {
    let registry = with_tags(&["latest", "1.0", "2.0"]).await;
    registry.fault(Fault::on("/tags/list", Effect::status(403)));
    for written in [format!("{}/{REPOSITORY}", registry.host()), image(&registry, "latest")] {
        let source = given(std::slice::from_ref(&written));
        let mut report = report(source, settings(), support::updates(), Trust::default()).await;
        let update = report.images.remove(0).update.unwrap();
        assert_eq!((update.current_tag.as_str(), update.update_available), ("latest", false), "{written}");
        assert_eq!((update.newest_available, update.floating), (None, Some(Floating::Unknown)));
    }
}

#[tokio::test]
async fn an_image_pinned_without_a_tag_is_told_its_tags_where_the_list_tells() {
    for lists_digests in [true, false] {
        let registry =
            Registry::with(RegistryOptions { lists_digests, ..RegistryOptions::default() }).await.unwrap();
        let built = BuiltImage::single("web");
        for tag in ["v1.0.0", "stable"] {
            registry.push(REPOSITORY, tag, &built);
        }
        push(&registry, &["v1.1.0"]);
        let images = [format!("{}/{REPOSITORY}@{}", registry.host(), built.digest())];
        let aged = UpdateSettings { age: true, ..support::updates() };
        let mut report = report(given(&images), settings(), aged, Trust::default()).await;
        let update = report.images.remove(0).update.unwrap();
        assert_eq!((update.current_tag.as_str(), update.update_available), ("", false));
        let tags = lists_digests.then(|| vec!["stable".to_owned(), "v1.0.0".to_owned()]);
        assert_eq!(update.tags, tags);
        let from = if lists_digests { CreatedFrom::TagList } else { CreatedFrom::Config };
        assert_eq!(update.created_from, Some(from));
    }
}

#[tokio::test]
async fn how_old_an_image_is_costs_a_request_only_where_that_is_asked_for() {
    let registry = with_tags(&["1.0"]).await;
    let asked = async |age: bool| {
        registry.clear_log();
        let update =
            row(&registry, "1.0", UpdateSettings { age, ..support::updates() }).await.update.unwrap();
        (update.created_at.map(|at| at.to_string()), registry.log().len())
    };
    let (unasked, before) = asked(false).await;
    let (told, after) = asked(true).await;
    assert_eq!((unasked, told.as_deref()), (None, Some("2026-03-02T09:30:00Z")));
    assert_eq!(after, before + 1);
}

#[tokio::test]
async fn an_upgrade_says_what_it_would_lose() {
    let (ours, theirs) = (SigningKey::number(1), SigningKey::number(2));
    let keys = |key: &SigningKey| PublicKey::all_from_pem("test.pub", &key.public_pem()).unwrap();
    let both = [keys(&ours), keys(&theirs)].concat();
    let trust = || Trust { otherwise: Some(Policy::of_keys("test", both.clone())), ..Trust::default() };
    let registry = Registry::start().await.unwrap();
    let linux = ["linux/amd64"];
    let digest = registry.push(REPOSITORY, "1.0.0", &BuiltImage::multi("one", &linux));
    registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".sig")), &ours.signature(&digest));
    let slsa = "https://slsa.dev/provenance/v1";
    let attested = ours.attestation(&digest, slsa, &attach::slsa("https://github.com/acme/web", "c0ffee"));
    registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".att")), &attested);
    let spdx = "application/spdx+json";
    registry.attach(
        REPOSITORY,
        None,
        &attach::referrer(&digest, spdx, spdx, &attach::spdx("web").to_string()),
    );
    let upgrade = async || {
        let settings_of = UpdateSettings { upgrades: true, ..support::updates() };
        let images = [image(&registry, "1.0.0")];
        let report = report(given(&images), settings(), settings_of, trust()).await;
        let upgrade = report.images[0].update.clone().unwrap().upgrade.unwrap();
        let loses: Vec<_> = upgrade.loses.iter().map(|loss| loss.what).collect();
        (upgrade, loses)
    };

    // For one platform of two, and no index any more.
    registry.push(REPOSITORY, "1.0.1", &BuiltImage::single("one for amd64"));
    let both = BuiltImage::multi("one for both", &["linux/amd64", "linux/arm64"]);
    registry.push(REPOSITORY, "1.0.0-both", &both);
    registry.push(REPOSITORY, "1.0.1-both", &BuiltImage::single("one for amd64"));
    let (found, loses) = upgrade().await;
    assert_eq!(
        (found.has_platform, loses.contains(&Lost::Platform)),
        (Some(true), false),
        "{:?}",
        found.loses
    );
    let images = [image(&registry, "1.0.0-both")];
    let settings_of = UpdateSettings { upgrades: true, ..support::updates() };
    let report = report(given(&images), settings(), settings_of, trust()).await;
    let of_both = report.images[0].update.clone().unwrap().upgrade.unwrap();
    assert_eq!(of_both.loses[0].message, "1.0.1-both is not made for linux/arm64, what runs is");

    let newer = registry.push(REPOSITORY, "1.1.0", &BuiltImage::multi("two", &["linux/arm64"]));
    let (found, loses) = upgrade().await;
    assert_eq!(loses, [Lost::Platform, Lost::Signature, Lost::Provenance, Lost::Sbom], "{:?}", found.loses);
    assert_eq!((found.tag.as_str(), found.signed, found.has_platform), ("1.1.0", Some(false), Some(false)));
    assert_eq!(found.digest, Some(newer.clone()));

    registry.attach(REPOSITORY, Some(&attach::tag(&newer, ".sig")), &theirs.signature(&newer));
    let (found, loses) = upgrade().await;
    assert_eq!(loses, [Lost::Platform, Lost::Signer, Lost::Provenance, Lost::Sbom], "{:?}", found.loses);

    let newest = registry.push(REPOSITORY, "1.2.0", &BuiltImage::multi("three", &linux));
    registry.attach(REPOSITORY, Some(&attach::tag(&newest, ".sig")), &ours.signature(&newest));
    let attested = ours.attestation(&newest, slsa, &attach::slsa("https://github.com/acme/web", "c0ffee"));
    registry.attach(REPOSITORY, Some(&attach::tag(&newest, ".att")), &attested);
    registry.attach(
        REPOSITORY,
        None,
        &attach::referrer(&newest, spdx, spdx, &attach::spdx("web").to_string()),
    );
    let (found, loses) = upgrade().await;
    assert_eq!(loses, [], "{:?}", found.loses);
    assert_eq!((found.verified, found.has_provenance, found.has_sbom), (Some(true), Some(true), Some(true)));

    // What could not be asked is unknown, and never lost.
    registry.fault(Fault::on(&format!("/referrers/{newest}"), Effect::status(500)));
    let (found, loses) = upgrade().await;
    assert_eq!(loses, [], "{:?}", found.loses);
    assert!(!found.unknown.is_empty());
}

#[tokio::test]
async fn a_mirror_asked_instead_gives_the_list() {
    let (home, mirror) = (with_tags(&["1.0"]).await, Registry::start().await.unwrap());
    for tag in ["1.0", "1.1"] {
        mirror.push(&format!("hub/{REPOSITORY}"), tag, &BuiltImage::single(tag));
    }
    let mut mirrors = Mirrors::default();
    mirrors.add(&format!("{}={}/hub", home.host(), mirror.host()), true).unwrap();
    let images = [image(&home, "1.0")];
    let settings = ClientSettings { mirrors, ..settings() };
    let mut report = report(given(&images), settings, support::updates(), Trust::default()).await;
    assert_eq!(report.images.remove(0).update.unwrap().newest_available.as_deref(), Some("1.1"));
    assert_eq!(home.log().len(), 0);
}
