//! Signatures, provenance and SBOMs over the testbed: what each place says, what is asked of it, and that a place
//! that does not answer never reads as "there is none".
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use provenance_collector::config::{Checks, Tuning, UpdateSettings};
use provenance_collector::run::{About, Order, run};
use provenance_collector::topology::{Means, Source};
use provenance_engine::FailureKind;
use provenance_model::report::{ImageRecord, OutcomeWord, Report, SignatureVerdict};
use provenance_model::trust::{Place, RefusalKind, Verdict};
use provenance_stages::discovery::named_image;
use provenance_stages::registry::{ClientSettings, HostLimits, RegistryClient, Wanted};
use provenance_stages::{Documents, Trust};
use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::{Auth, BuiltImage, Effect, Fault, Registry, RegistryOptions};
use provenance_trust::policy::{Document, Found, documents};
use provenance_trust::{Policy, PublicKey};
use serde_json::json;

const REPOSITORY: &str = "acme/web";
const SLSA: &str = "https://slsa.dev/provenance/v1";
const SPDX: &str = "application/spdx+json";

fn tuning() -> Tuning {
    support::tuning(support::ATTACHED)
}

/// Trusts one key for every image.
fn by_key(key: &SigningKey) -> Trust {
    let keys = PublicKey::all_from_pem("test.pub", &key.public_pem()).unwrap();
    Trust { otherwise: Some(Policy::of_keys("test", keys)), ..Trust::default() }
}

async fn report_of(images: &[String], trust: Trust) -> Report {
    report_with(images, trust, &tuning(), UpdateSettings::default()).await
}

async fn report_with(images: &[String], trust: Trust, tuning: &Tuning, updates: UpdateSettings) -> Report {
    let limits = HostLimits::new(Wanted {
        rate: Some(0),
        patience: Some(Duration::from_millis(200)),
        timeout: Some(Duration::from_millis(300)),
        ..Wanted::default()
    });
    let settings = ClientSettings { limits, ..ClientSettings::default() };
    let means = Means::new(RegistryClient::new(settings, "test").unwrap(), trust).updates(updates);
    let source = Source::Given(images.iter().map(|image| named_image(image)).collect());
    let order = Order::new(tuning);
    run(source, &means, tuning, About::default(), &order, |_| {}).await.unwrap()
}

async fn row_of(registry: &Registry, trust: Trust) -> ImageRecord {
    report_of(&[format!("{}/{REPOSITORY}:v1", registry.host())], trust).await.images.remove(0)
}

fn outcomes(row: &ImageRecord) -> [OutcomeWord; 3] {
    let stages = row.stages.clone().unwrap();
    [stages.signature, stages.provenance, stages.sbom].map(|stage| stage.unwrap().outcome)
}

fn shape(referrers_api: bool, tag_page: usize) -> RegistryOptions {
    RegistryOptions { referrers_api, tag_page, ..RegistryOptions::default() }
}

/// Tags that do not fit one page, so that each of cosign's tags is asked for by itself.
const PROBED: usize = 1;
/// Tags that fit one page, so that none is.
const LISTED: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_attached_is_found_in_every_place() {
    let key = SigningKey::number(1);
    for (api, page) in [(true, LISTED), (true, PROBED), (false, LISTED), (false, PROBED)] {
        let told = format!("referrers API {api}, tags in a page {page}");
        let registry = Registry::with(shape(api, page)).await.unwrap();
        let digest = registry.push(REPOSITORY, "v1", &BuiltImage::single("web"));
        registry.push(REPOSITORY, "v0", &BuiltImage::single("older"));
        let row = row_of(&registry, by_key(&key)).await;
        assert_eq!(outcomes(&row), [OutcomeWord::Absent; 3], "{told}");
        let signature = row.signature.unwrap();
        assert_eq!(
            (signature.signed, signature.verdict),
            (false, Some(SignatureVerdict::Unsigned)),
            "{told}"
        );
        assert!(signature.policies.is_none(), "keys that sign nothing refuse nothing: {told}");

        registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
        let attestation =
            key.attestation(&digest, SLSA, &attach::slsa("https://github.com/acme/web", "c0ffee"));
        registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".att")), &attestation);
        let sbom = attach::referrer(&digest, SPDX, SPDX, &attach::spdx("web").to_string());
        if api {
            registry.attach(REPOSITORY, None, &sbom);
        } else {
            registry.attach(REPOSITORY, Some("held"), &sbom);
            let index = attach::referrers_index(&[&sbom]);
            registry.attach(REPOSITORY, Some(&attach::tag(&digest, "")), &index);
        }
        let row = row_of(&registry, by_key(&key)).await;
        assert_eq!(outcomes(&row), [OutcomeWord::Found; 3], "{told}");
        let signature = row.signature.unwrap();
        assert!(signature.signed && signature.verified, "{told}: {:?}", signature.reason);
        assert_eq!(signature.signatures.unwrap()[0].attached.place, Place::SignatureTag);
        let provenance = row.provenance.unwrap();
        assert_eq!(provenance.predicate_type.as_deref(), Some(SLSA), "{told}");
        assert_eq!(provenance.checked.unwrap().verdict, Verdict::Verified, "{told}");
        let build = provenance.build.unwrap();
        assert_eq!(build.source_commit.as_deref(), Some("c0ffee"), "{told}");
        assert_eq!(build.source_repository.as_deref(), Some("https://github.com/acme/web"), "{told}");
        let sbom = row.sbom.unwrap();
        assert_eq!((sbom.has_sbom, sbom.format.as_deref()), (true, Some("spdx")), "{told}");
        let document = &sbom.documents.unwrap()[0];
        assert_eq!(
            document.attached.place,
            if api { Place::Referrers } else { Place::ReferrersTag },
            "{told}"
        );
        assert_eq!(
            (document.facts.packages, document.facts.licences, document.signed),
            (Some(2), Some(2), false)
        );

        // cosign's own tag for SBOMs.
        let bare = registry.push(REPOSITORY, "v1", &BuiltImage::single("another"));
        let bom = attach::document("text/spdx", "SPDXVersion: SPDX-2.2\nPackageName: a\n");
        registry.attach(REPOSITORY, Some(&attach::tag(&bare, ".sbom")), &bom);
        let row = row_of(&registry, Trust::default()).await;
        assert_eq!(row.sbom.unwrap().documents.unwrap()[0].attached.place, Place::SbomTag, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_and_its_platform_are_both_asked() {
    let key = SigningKey::number(1);
    let registry = Registry::start().await.unwrap();
    let linux = ["linux/amd64", "linux/arm64"];
    let built = attach::attested_by_buildkit("web", &linux, |_| {
        vec![
            ("https://slsa.dev/provenance/v0.2", json!({"builder": {"id": "https://ci.example"}})),
            ("https://spdx.dev/Document", attach::spdx("web")),
        ]
    });
    let index = registry.push(REPOSITORY, "v1", &built);
    let platform = built.children()[0].clone();
    // Nothing signs the index; a platform is signed.
    registry.attach(REPOSITORY, Some(&attach::tag(&platform, ".sig")), &key.signature(&platform));
    let row = row_of(&registry, by_key(&key)).await;
    let signature = row.signature.clone().unwrap();
    assert!(signature.verified, "{:?}", signature.reason);
    let attached = &signature.signatures.unwrap()[0].attached;
    assert_eq!(
        (attached.subject.as_str(), attached.platform.as_deref()),
        (platform.as_str(), Some("linux/amd64"))
    );
    let provenance = &row.attestations.unwrap()[0];
    assert_eq!(provenance.attached.place, Place::Index);
    assert_eq!(provenance.checked.verdict, Verdict::NotChecked, "a bare statement is not signed");
    assert_eq!(provenance.build.clone().unwrap().builder.as_deref(), Some("https://ci.example"));
    assert_eq!(row.sbom.unwrap().documents.unwrap()[0].attached.place, Place::Index);

    // What runs is one platform; the index that the tag names is signed.
    registry.delete_tag(REPOSITORY, &attach::tag(&platform, ".sig"));
    registry.attach(REPOSITORY, Some(&attach::tag(&index, ".sig")), &key.signature(&index));
    let image = format!("{}/{REPOSITORY}:v1@{platform}", registry.host());
    let row = report_of(&[image], by_key(&key)).await.images.remove(0);
    let signature = row.signature.unwrap();
    assert!(signature.verified, "{:?}", signature.reason);
    assert_eq!(signature.signatures.unwrap()[0].attached.subject, index);
    assert_eq!(row.attestations.unwrap()[0].attached.place, Place::Index);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_moved_from_another_image_or_tampered_with_is_refused() {
    let key = SigningKey::number(1);
    let registry = Registry::start().await.unwrap();
    let digest = registry.push(REPOSITORY, "v1", &BuiltImage::single("web"));
    let other = BuiltImage::single("another").digest();
    let sig = attach::tag(&digest, ".sig");
    for (attached, kind) in [
        (key.signature(&other), RefusalKind::Subject),
        (SigningKey::number(2).signature(&digest), RefusalKind::Key),
    ] {
        registry.attach(REPOSITORY, Some(&sig), &attached);
        let signature = row_of(&registry, by_key(&key)).await.signature.unwrap();
        assert_eq!(signature.verdict, Some(SignatureVerdict::Invalid));
        assert_eq!(signature.reason.unwrap().kind, kind);
        assert!(signature.signatures.unwrap()[0].checked.signer.is_none());
    }
    // Attestations too, and those that nobody signs.
    let built = attach::slsa("https://github.com/acme/web", "c0ffee");
    registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".att")), &key.attestation(&other, SLSA, &built));
    let statement = attach::statement(&other, SLSA, &built);
    let bare =
        attach::referrer(&digest, "application/vnd.in-toto+json", "application/vnd.in-toto+json", &statement);
    registry.attach(REPOSITORY, None, &bare);
    let attestations = row_of(&registry, by_key(&key)).await.attestations.unwrap();
    assert_eq!(attestations.len(), 2);
    for attestation in attestations {
        assert_eq!(attestation.checked.verdict, Verdict::Invalid);
        assert_eq!(attestation.checked.reason.unwrap().kind, RefusalKind::Subject);
    }
}

/// The places, by what their requests contain, and which of signature, provenance and SBOM ask them.
fn places(digest: &str) -> Vec<(&'static str, RegistryOptions, String, [bool; 3])> {
    let tag = |suffix: &str| format!("/manifests/{}", attach::tag(digest, suffix));
    vec![
        ("referrers API", shape(true, PROBED), format!("/referrers/{digest}"), [true, true, true]),
        ("referrers tag", shape(false, PROBED), tag(""), [true, true, true]),
        (".sig", shape(true, PROBED), tag(".sig"), [true, false, false]),
        (".att", shape(true, PROBED), tag(".att"), [false, true, true]),
        (".sbom", shape(true, PROBED), tag(".sbom"), [false, false, true]),
    ]
}

/// A host that throttles keeps every later question waiting too.
const THROTTLED: &str = "429";

fn faults() -> Vec<(&'static str, Effect)> {
    let answer = |status, body: &str| Effect::Answer { status, headers: vec![], body: body.into() };
    vec![
        ("500", Effect::status(500)),
        ("503", Effect::status(503)),
        ("401", Effect::status(401)),
        ("403", Effect::status(403)),
        (THROTTLED, Effect::retry_after(429, 3600)),
        ("timeout", Effect::Hang),
        ("cut", Effect::Cut),
        ("flood", Effect::Flood(8 << 20)),
        ("no JSON", answer(200, "<html>please log in</html>")),
        ("another form", answer(200, "{\"schemaVersion\":2,\"manifests\":[{}]}")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_does_not_answer_is_a_failure_and_never_none() {
    let image = BuiltImage::single("web");
    let digest = image.digest();
    for (place, options, contains, concerns) in places(&digest) {
        for (fault, effect) in faults() {
            let registry = Registry::with(options.clone()).await.unwrap();
            registry.push(REPOSITORY, "v1", &image);
            registry.push(REPOSITORY, "v0", &BuiltImage::single("older"));
            registry.fault(Fault::at_end(&contains, effect));
            let row = row_of(&registry, Trust::default()).await;
            let told = format!("{place}, {fault}: {:#?}", row.stages);
            let expected =
                concerns.map(|fails| if fails { OutcomeWord::Failed } else { OutcomeWord::Absent });
            for (outcome, expected) in outcomes(&row).iter().zip(&expected) {
                assert!(
                    outcome == expected || (fault == THROTTLED && *outcome == OutcomeWord::Failed),
                    "{told}"
                );
            }
            // An older consumer reads these objects: a failure must not look like "none" to it.
            let objects = [row.signature.is_some(), row.provenance.is_some(), row.sbom.is_some()];
            assert_eq!(objects, outcomes(&row).map(|outcome| outcome == OutcomeWord::Absent), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn something_attached_that_cannot_be_fetched_is_a_failure_and_never_none() {
    let key = SigningKey::number(1);
    let image = BuiltImage::single("web");
    let digest = image.digest();
    let signature = key.signature(&digest);
    let attestation = key.attestation(&digest, SLSA, &attach::slsa("https://github.com/acme/web", "c0ffee"));
    let sbom = attach::referrer(&digest, SPDX, SPDX, &attach::spdx("web").to_string());
    let blob = |attached: &BuiltImage| format!("/blobs/{}", attach::blob_digest(attached));
    let manifest = format!("/manifests/{}", attach::manifest_digest(&sbom));
    let cases = [
        ("signature's blob", blob(&signature), 0),
        ("attestation's blob", blob(&attestation), 1),
        ("SBOM's blob", blob(&sbom), 2),
        ("SBOM's manifest", manifest, 2),
    ];
    let mut more = faults();
    more.retain(|(fault, _)| *fault != "another form");
    more.push(("corrupt", Effect::Corrupt));
    let unknown = r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#;
    more.push(("gone", Effect::Answer { status: 404, headers: vec![], body: unknown.into() }));
    for (what, contains, stage) in &cases {
        for (fault, effect) in &more {
            let registry = Registry::with(shape(true, LISTED)).await.unwrap();
            registry.push(REPOSITORY, "v1", &image);
            registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".sig")), &signature);
            registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".att")), &attestation);
            registry.attach(REPOSITORY, None, &sbom);
            registry.fault(Fault::on(contains, effect.clone()));
            let row = row_of(&registry, by_key(&key)).await;
            let told = format!("{what}, {fault}: {:#?}", row.stages);
            let mut expected = [OutcomeWord::Found; 3];
            expected[*stage] = OutcomeWord::Failed;
            for (outcome, expected) in outcomes(&row).iter().zip(&expected) {
                let throttled = *fault == THROTTLED && *outcome == OutcomeWord::Failed;
                assert!(outcome == expected || throttled, "{told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_list_that_cannot_be_had_costs_only_requests() {
    let key = SigningKey::number(1);
    for (fault, effect) in faults().into_iter().filter(|(fault, _)| *fault != THROTTLED) {
        let registry = Registry::start().await.unwrap();
        let digest = registry.push(REPOSITORY, "v1", &BuiltImage::single("web"));
        registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
        registry.fault(Fault::on("/tags/list", effect));
        let row = row_of(&registry, by_key(&key)).await;
        assert_eq!(outcomes(&row), [OutcomeWord::Found, OutcomeWord::Absent, OutcomeWord::Absent], "{fault}");
        assert!(row.signature.unwrap().verified, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_sbom_is_read_only_when_asked_for_and_as_it_comes() {
    let registry = Registry::start().await.unwrap();
    let digest = registry.push(REPOSITORY, "v1", &BuiltImage::single("web"));
    let mut document = attach::spdx("web");
    let package = json!({"name": "p", "licenseConcluded": "MIT OR Apache-2.0", "comment": "x".repeat(300)});
    document["packages"] = vec![package; 10_000].into();
    let sbom = attach::referrer(&digest, SPDX, SPDX, &document.to_string());
    registry.attach(REPOSITORY, None, &sbom);
    let found = row_of(&registry, Trust::default()).await.sbom.unwrap().documents.unwrap().remove(0);
    assert!(!found.read && found.facts.packages.is_none() && found.bytes.unwrap() > 3_000_000);
    let blobs =
        |registry: &Registry| registry.log().iter().filter(|one| one.path.contains("/blobs/")).count();
    assert_eq!(blobs(&registry), 0);

    let all = Tuning { checks: Checks { sboms: Some(Documents::All), ..tuning().checks }, ..tuning() };
    // The first answer breaks off in the middle: what was read of it does not count.
    registry.fault(Fault::on("/blobs/", Effect::Cut).times(1));
    let image = [format!("{}/{REPOSITORY}:v1", registry.host())];
    let row = report_with(&image, Trust::default(), &all, UpdateSettings::default()).await.images.remove(0);
    let found = row.sbom.unwrap().documents.unwrap().remove(0);
    assert!(found.read, "{:?}", found.unreadable);
    assert_eq!((found.facts.packages, found.facts.licences), (Some(10_000), Some(2)));
    assert_eq!(blobs(&registry), 2);
    registry.fault(Fault::on("/blobs/", Effect::Corrupt));
    let row = report_with(&image, Trust::default(), &all, UpdateSettings::default()).await.images.remove(0);
    assert_eq!(outcomes(&row)[2], OutcomeWord::Failed);
    let reason = row.stages.unwrap().sbom.unwrap().reason.unwrap();
    assert_eq!(reason.kind, Some(FailureKind::DigestMismatch), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_pass_verifies_nothing_and_a_static_fail_refuses() {
    let key = SigningKey::number(1);
    let registry = Registry::start().await.unwrap();
    let digest = registry.push(REPOSITORY, "v1", &BuiltImage::single("web"));
    registry.attach(REPOSITORY, Some(&attach::tag(&digest, ".sig")), &key.signature(&digest));
    for (action, verdict, satisfied) in
        [("pass", SignatureVerdict::NotChecked, true), ("fail", SignatureVerdict::Invalid, false)]
    {
        let document = json!({
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy", "metadata": {"name": action},
            "spec": {"images": [{"glob": "**"}], "authorities": [{"static": {"action": action, "message": "not here"}}]},
        });
        let Document::Policy(policy) = documents(&document.to_string()).unwrap().remove(0) else { panic!() };
        let policies = vec![policy.resolve(&Found::default()).unwrap()];
        let row = row_of(&registry, Trust { policies, ..Trust::default() }).await;
        let signature = row.signature.unwrap();
        assert_eq!((signature.verdict, signature.verified), (Some(verdict), false), "{action}");
        assert_eq!(signature.policies.unwrap()[0].satisfied, satisfied, "{action}");
        if !satisfied {
            assert_eq!(signature.reason.unwrap().message, "policy fail: not here");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_may_say_in_several_ways_that_it_lacks_the_referrers_api() {
    let image = BuiltImage::single("web");
    let sbom = attach::referrer(&image.digest(), SPDX, SPDX, &attach::spdx("web").to_string());
    for status in [404, 400, 405, 406] {
        let registry = Registry::start().await.unwrap();
        let digest = registry.push(REPOSITORY, "v1", &image);
        registry.fault(Fault::on("/referrers/", Effect::status(status)));
        let row = row_of(&registry, Trust::default()).await;
        assert_eq!(outcomes(&row), [OutcomeWord::Absent; 3], "{status}");
        registry.attach(REPOSITORY, Some("held"), &sbom);
        registry.attach(REPOSITORY, Some(&attach::tag(&digest, "")), &attach::referrers_index(&[&sbom]));
        let found = row_of(&registry, Trust::default()).await.sbom.unwrap().documents.unwrap();
        assert_eq!(found[0].attached.place, Place::ReferrersTag, "{status}");
    }
}

/// Fifty images of one registry that wants tokens: single and multi-platform, some signed, attested, with SBOMs.
async fn fifty() -> (Registry, Vec<String>, SigningKey) {
    let auth = Auth::Bearer { users: Vec::new(), public: vec!["*".into()] };
    let registry = Registry::with(RegistryOptions { auth, ..RegistryOptions::default() }).await.unwrap();
    let key = SigningKey::number(1);
    let mut images = Vec::new();
    for number in 0..50 {
        let repository = format!("acme/app{number}");
        let seed = format!("app {number}");
        let built = match number % 3 {
            0 => BuiltImage::multi(&seed, &["linux/amd64", "linux/arm64"]),
            _ => BuiltImage::single(&seed),
        };
        let digest = registry.push(&repository, "v1", &built);
        let attach = |suffix: &str, attached: &BuiltImage| {
            registry.attach(&repository, Some(&attach::tag(&digest, suffix)), attached);
        };
        if number % 2 == 0 {
            attach(".sig", &key.signature(&digest));
        }
        if number % 5 == 0 {
            attach(
                ".att",
                &key.attestation(&digest, SLSA, &attach::slsa("https://github.com/acme/app", "c0ffee")),
            );
        }
        if number % 7 == 0 {
            let sbom = attach::referrer(&digest, SPDX, SPDX, &attach::spdx(&seed).to_string());
            registry.attach(&repository, None, &sbom);
        }
        images.push(format!("{}/{repository}:v1", registry.host()));
    }
    registry.clear_log();
    (registry, images, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_images_with_everything_on_cost_at_most_six_and_a_half_requests_each_and_nothing_is_asked_twice()
 {
    let (registry, images, key) = fifty().await;
    let report = report_with(&images, by_key(&key), &tuning(), support::updates()).await;
    assert_eq!(report.summary.failed_images, Some(0));
    assert!(report.images.iter().all(|row| row.update.is_some()));
    assert_eq!((report.summary.signed_images, report.summary.verified_images), (25, 25));
    assert_eq!((report.summary.images_with_provenance, report.summary.images_with_sbom), (10, 8));
    let log = registry.log();
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for one in log.iter().filter(|one| one.status != 401) {
        *asked.entry(one.line()).or_default() += 1;
    }
    let twice: Vec<_> = asked.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    // Six and a half an image, of fifty.
    assert!(log.len() <= 325, "{} requests", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tags_of_one_digest_share_every_question_but_the_tags_own() {
    let registry = Registry::start().await.unwrap();
    let built = BuiltImage::single("web");
    let images: Vec<_> = ["v1", "v1.0", "latest"]
        .map(|tag| {
            registry.push(REPOSITORY, tag, &built);
            format!("{}/{REPOSITORY}:{tag}", registry.host())
        })
        .into();
    report_of(&images, Trust::default()).await;
    let lines: Vec<_> = registry.log().iter().map(provenance_testbed::Logged::line).collect();
    let of = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((of("/referrers/"), of("/tags/list"), of("/manifests/")), (1, 1, 3), "{lines:#?}");
}
