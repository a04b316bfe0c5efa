//! The registry client against the testbed: what it asks, what it never does, and how each fault is told.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use provenance_engine::{Failure, FailureKind};
use provenance_model::{CredentialScope, Digest, ImageReference, Trail};
use provenance_stages::credentials::{CredentialBook, DockerConfig};
use provenance_stages::registry::{
    Asking, Caps, ClientSettings, Endpoints, HeadAnswer, HostLimits, Manifest, Name, Referrers,
    RegistryClient, Wanted,
};
use provenance_testbed::{Auth, BuiltImage, Effect, Fault, Logged, Registry, RegistryOptions};

struct Bench {
    registry: Registry,
    client: Arc<RegistryClient>,
}

fn settings() -> ClientSettings {
    let limits = HostLimits::new(Wanted {
        rate: Some(0),
        timeout: Some(Duration::from_millis(400)),
        patience: Some(Duration::from_secs(5)),
        ..Wanted::default()
    });
    ClientSettings { limits, ..ClientSettings::default() }
}

async fn bench(options: RegistryOptions, change: impl FnOnce(&mut ClientSettings, &Registry)) -> Bench {
    let registry = Registry::with(options).await.unwrap();
    let mut settings = settings();
    change(&mut settings, &registry);
    let client = Arc::new(RegistryClient::new(settings, "test").unwrap());
    Bench { registry, client }
}

async fn open() -> Bench {
    bench(RegistryOptions::default(), |_, _| {}).await
}

impl Bench {
    fn reference(&self, rest: &str) -> ImageReference {
        format!("{}/{rest}", self.registry.host()).parse().unwrap()
    }

    async fn manifest(&self, rest: &str) -> Result<Option<Arc<Manifest>>, Failure> {
        let reference = self.reference(rest);
        let (trail, scope) = (Trail::default(), CredentialScope::default());
        let asking = asking(&reference, &scope, &trail);
        let name = match (&reference.tag, &reference.digest) {
            (_, Some(digest)) => Name::Digest(digest),
            (Some(tag), None) => Name::Tag(tag),
            (None, None) => unreachable!(),
        };
        self.client.manifest(&asking, name).await
    }

    async fn tags(&self, repository: &str) -> Result<Option<Vec<String>>, Failure> {
        let reference = self.reference(repository);
        let (trail, scope) = (Trail::default(), CredentialScope::default());
        let list = self.client.tags(&asking(&reference, &scope, &trail)).await?;
        Ok(list.map(|list| list.iter().map(str::to_owned).collect()))
    }

    fn paths(&self) -> Vec<String> {
        self.registry.log().into_iter().map(|logged| format!("{} {}", logged.status, logged.path)).collect()
    }
}

fn asking<'a>(reference: &'a ImageReference, scope: &'a CredentialScope, trail: &'a Trail) -> Asking<'a> {
    Asking { stage: "test", registry: &reference.registry, repository: &reference.repository, scope, trail }
}

#[tokio::test]
async fn a_manifest_is_asked_for_once_by_tag_and_never_again_by_its_digest() {
    let bench = open().await;
    let digest = bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    let many = (0..20).map(|_| bench.manifest("team/app:1"));
    for manifest in futures::future::join_all(many).await {
        assert_eq!(manifest.unwrap().unwrap().digest.as_str(), digest);
    }
    bench.manifest(&format!("team/app@{digest}")).await.unwrap().unwrap();
    assert_eq!(bench.paths(), ["200 /v2/team/app/manifests/1"]);
}

#[tokio::test]
async fn a_manifest_larger_than_the_memo_is_asked_for_once_all_the_same() {
    let bench = open().await;
    let wide = BuiltImage::multi("wide", &vec!["linux/amd64"; 20_000]);
    let (_, index) = wide.manifests.last().unwrap();
    let Caps { memo_bytes, manifest_bytes, .. } = Caps::default();
    assert!(index.len() as u64 > memo_bytes && index.len() < manifest_bytes, "{} bytes", index.len());
    let digest = bench.registry.push("team/app", "1", &wide);
    for name in ["team/app:1".to_owned(), format!("team/app@{digest}"), "team/app:1".to_owned()] {
        assert_eq!(bench.manifest(&name).await.unwrap().unwrap().digest.as_str(), digest);
    }
    assert_eq!(bench.paths(), ["200 /v2/team/app/manifests/1"]);
}

#[tokio::test]
async fn what_the_registry_says_it_has_not_is_absent_and_what_it_does_not_say_is_a_failure() {
    let bench = open().await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    assert!(bench.manifest("team/app:2").await.unwrap().is_none());
    assert!(bench.manifest("team/other:1").await.unwrap().is_none());
    bench.registry.fault(Fault::on("/manifests/1", Effect::status(404)));
    let failure = bench.manifest("team/app:1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::UnexpectedStatus, "{failure}");
    assert!(failure.message.contains("not as a registry does"), "{failure}");
}

#[tokio::test]
async fn each_fault_is_told_by_its_kind_and_names_the_place() {
    let elsewhere =
        Registry::with(RegistryOptions { auth: Auth::Basic(vec![]), ..RegistryOptions::default() })
            .await
            .unwrap();
    let flood = Effect::Flood(50 << 20);
    let announced = Effect::Answer { status: 200, headers: vec![], body: " ".repeat(5 << 20) };
    let redirect = Effect::Redirect(format!("http://{}", elsewhere.host()));
    for (effect, kind, says) in [
        (Effect::Hang, FailureKind::Timeout, "no complete answer in 400ms after 2 attempts"),
        (Effect::Delay(Duration::from_secs(2)), FailureKind::Timeout, "no complete answer"),
        (Effect::status(401), FailureKind::Unauthorized, "answered 401"),
        (Effect::status(403), FailureKind::Forbidden, "answered 403"),
        (Effect::status(404), FailureKind::UnexpectedStatus, "answered 404"),
        (Effect::status(418), FailureKind::UnexpectedStatus, "answered 418"),
        (Effect::status(500), FailureKind::ServerError, "answered 500 after 4 attempts"),
        (Effect::retry_after(429, 3600), FailureKind::RateLimited, "asks us to wait 3600s"),
        (Effect::Cut, FailureKind::Connection, "after 4 attempts"),
        (Effect::Corrupt, FailureKind::DigestMismatch, "the content has digest"),
        (flood, FailureKind::TooLarge, "larger than 4194304 bytes"),
        (announced, FailureKind::TooLarge, "larger than 4194304 bytes"),
        (redirect, FailureKind::Unauthorized, "after a redirect"),
        (Effect::Redirect("http://registry.example".into()), FailureKind::Redirect, "plain HTTP"),
        (Effect::Redirect("ftp://127.0.0.1".into()), FailureKind::Redirect, "to a ftp URL"),
    ] {
        let bench = open().await;
        bench.registry.push("team/app", "1", &BuiltImage::single("app"));
        bench.registry.push("team/well", "1", &BuiltImage::single("well"));
        bench.registry.fault(Fault::on("team/app", effect.clone()));
        if kind != FailureKind::RateLimited {
            bench.manifest("team/well:1").await.unwrap().unwrap();
        }
        let began = Instant::now();
        let failure = bench.manifest("team/app:1").await.unwrap_err();
        assert_eq!(failure.kind, kind, "{effect:?}: {failure}");
        assert!(failure.message.contains(says), "{effect:?}: {failure}");
        assert!(failure.message.contains(&bench.registry.host()), "{effect:?}: {failure}");
        assert!(began.elapsed() < Duration::from_secs(20), "{effect:?} took {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let bench = open().await;
    let own = format!("http://{}", bench.registry.host());
    bench.registry.fault(Fault::on("team/app", Effect::Redirect(own)));
    let failure = bench.manifest("team/app:1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Redirect);
    assert_eq!(bench.registry.log().len(), 6);
}

#[tokio::test]
async fn a_passing_fault_is_retried_and_counted() {
    let bench = open().await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    bench.registry.fault(Fault::on("/manifests/1", Effect::status(502)).times(1));
    bench.registry.fault(Fault::on("/manifests/1", Effect::Cut).times(1));
    bench.manifest("team/app:1").await.unwrap().unwrap();
    let tally = &bench.client.tallies()[0];
    assert_eq!((tally.requests, tally.retries, tally.failed), (3, 2, 2));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let bench = open().await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    bench.registry.fault(Fault::on("/manifests/1", Effect::retry_after(429, 1)).times(1));
    let began = Instant::now();
    bench.manifest("team/app:1").await.unwrap().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(bench.client.tallies()[0].throttled, 1);
}

#[tokio::test]
async fn a_registry_that_is_down_is_told_and_soon_not_asked_any_more() {
    let bench = open().await;
    bench.registry.stop().await;
    let began = Instant::now();
    let many: Vec<String> = (0..50).map(|n| format!("team/app{n}:1")).collect();
    let failures = futures::future::join_all(many.iter().map(|rest| bench.manifest(rest))).await;
    let mut kinds: Vec<_> = failures.into_iter().map(|failure| failure.unwrap_err().kind).collect();
    kinds.sort_unstable();
    assert!(kinds.contains(&FailureKind::Connection));
    assert!(kinds.iter().filter(|kind| **kind == FailureKind::HostDown).count() >= 30, "{kinds:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

fn bearer(public: &[&str]) -> RegistryOptions {
    let auth = Auth::Bearer {
        users: vec![("ann".into(), "secret".into())],
        public: public.iter().map(ToString::to_string).collect(),
    };
    RegistryOptions { auth, ..RegistryOptions::default() }
}

/// A docker configuration with these users for this registry, one entry a path.
fn book(registry: &Registry, entries: &[(&str, &str, &str)]) -> Arc<CredentialBook> {
    let auths: serde_json::Map<_, _> = entries
        .iter()
        .map(|(path, user, password)| {
            let entry = serde_json::json!({"username": user, "password": password});
            (format!("{}{path}", registry.host()), entry)
        })
        .collect();
    let json = serde_json::json!({"auths": auths}).to_string();
    Arc::new(CredentialBook::new(DockerConfig::parse(json.as_bytes()).unwrap()))
}

fn known(settings: &mut ClientSettings, registry: &Registry) {
    settings.credentials = book(registry, &[("", "ann", "secret")]);
}

#[tokio::test]
async fn one_token_a_repository_and_one_challenge_a_host() {
    let bench = bench(bearer(&["*"]), |_, _| {}).await;
    for n in 0..10 {
        bench.registry.push(&format!("team/app{n}"), "1", &BuiltImage::single(&format!("{n}")));
        bench.registry.push(&format!("team/app{n}"), "2", &BuiltImage::single(&format!("{n} two")));
    }
    let names: Vec<String> =
        (0..10).flat_map(|n| [format!("team/app{n}:1"), format!("team/app{n}:2")]).collect();
    for manifest in futures::future::join_all(names.iter().map(|rest| bench.manifest(rest))).await {
        manifest.unwrap().unwrap();
    }
    let paths = bench.paths();
    let count = |what: &str| paths.iter().filter(|path| path.contains(what)).count();
    assert_eq!((count("401"), count("/token"), count("200 /v2/")), (1, 10, 20), "{paths:#?}");
}

#[tokio::test]
async fn credentials_open_what_is_private_and_wrong_or_missing_ones_are_told() {
    let with = bench(bearer(&[]), known).await;
    with.registry.push("team/app", "1", &BuiltImage::single("app"));
    with.manifest("team/app:1").await.unwrap().unwrap();

    let without = bench(bearer(&[]), |_, _| {}).await;
    without.registry.push("team/app", "1", &BuiltImage::single("app"));
    let failure = without.manifest("team/app:1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized);
    assert!(failure.message.contains("token service"), "{failure}");

    let basic = RegistryOptions {
        auth: Auth::Basic(vec![("ann".into(), "secret".into())]),
        ..RegistryOptions::default()
    };
    let with = bench(basic.clone(), known).await;
    with.registry.push("team/app", "1", &BuiltImage::single("app"));
    with.registry.push("team/app", "2", &BuiltImage::single("app2"));
    with.manifest("team/app:1").await.unwrap().unwrap();
    with.manifest("team/app:2").await.unwrap().unwrap();
    assert_eq!(with.registry.log().len(), 3, "one challenge for the host");

    let wrong = bench(basic.clone(), |settings, registry| {
        settings.credentials = book(registry, &[("", "ann", "wrong")]);
    })
    .await;
    let failure = wrong.manifest("team/app:1").await.unwrap_err();
    assert!(failure.message.contains("to the credential we have"), "{failure}");
    assert!(!format!("{:?}{failure}", wrong.client).contains("wrong"), "no secret is ever shown");

    let without = bench(basic, |_, _| {}).await;
    let failure = without.manifest("team/app:1").await.unwrap_err();
    assert!(failure.message.contains("we have no credential for it"), "{failure}");
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_renewed_once() {
    let bench = bench(bearer(&["*"]), |_, _| {}).await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    bench.registry.push("team/app", "2", &BuiltImage::single("app2"));
    bench.manifest("team/app:1").await.unwrap().unwrap();
    let own = format!("http://{}", bench.registry.host());
    let refused = Effect::Answer {
        status: 401,
        headers: vec![(
            "www-authenticate".into(),
            format!("Bearer realm=\"{own}/token\",service=\"testbed\""),
        )],
        body: String::new(),
    };
    bench.registry.fault(Fault::on("/manifests/2", refused).times(1));
    bench.manifest("team/app:2").await.unwrap().unwrap();
    assert_eq!(bench.paths().iter().filter(|path| path.contains("/token")).count(), 2);
}

#[tokio::test]
async fn a_credential_never_follows_a_redirect_to_another_host() {
    let elsewhere = Registry::start().await.unwrap();
    elsewhere.push("team/app", "1", &BuiltImage::single("app"));
    let target = format!("http://{}", elsewhere.host());
    let basic = RegistryOptions {
        auth: Auth::Basic(vec![("ann".into(), "secret".into())]),
        ..RegistryOptions::default()
    };
    let bench = bench(basic, known).await;
    bench.registry.push("team/app", "0", &BuiltImage::single("zero"));
    bench.manifest("team/app:0").await.unwrap().unwrap();
    bench.registry.fault(Fault::on("/manifests/1", Effect::Redirect(target)));
    bench.manifest("team/app:1").await.unwrap().unwrap();
    assert!(bench.registry.log().last().unwrap().authorization.is_some());
    assert!(elsewhere.log().iter().all(|logged| logged.authorization.is_none()), "{:?}", elsewhere.log());
}

#[tokio::test]
async fn a_token_service_that_fails_is_a_failure_and_never_an_absence() {
    for (effect, kind) in [
        (Effect::status(500), FailureKind::ServerError),
        (Effect::status(404), FailureKind::UnexpectedStatus),
        (Effect::status(403), FailureKind::Forbidden),
        (Effect::Answer { status: 200, headers: vec![], body: "{}".into() }, FailureKind::Malformed),
        (Effect::Answer { status: 200, headers: vec![], body: "<html>".into() }, FailureKind::Malformed),
        (Effect::Hang, FailureKind::Timeout),
    ] {
        let bench = bench(bearer(&["*"]), |_, _| {}).await;
        bench.registry.push("team/app", "1", &BuiltImage::single("app"));
        bench.registry.fault(Fault::on("/token", effect.clone()));
        let failure = bench.manifest("team/app:1").await.unwrap_err();
        assert_eq!(failure.kind, kind, "{effect:?}: {failure}");
    }
}

#[tokio::test]
async fn tags_are_read_to_the_last_page_and_a_list_without_end_is_cut_off() {
    let options = RegistryOptions { tag_page: 7, ..RegistryOptions::default() };
    let bench = bench(options, |settings, _| settings.caps = Caps { pages: 10, ..Caps::default() }).await;
    for n in 0..50 {
        bench.registry.push("team/app", &format!("1.{n:02}"), &BuiltImage::single("app"));
    }
    let tags = bench.tags("team/app").await.unwrap().unwrap();
    assert_eq!((tags.len(), tags[49].as_str()), (50, "1.49"));
    assert_eq!(bench.registry.log().len(), 8);
    assert!(bench.tags("team/none").await.unwrap().is_none());

    bench.registry.fault(Fault::on("/tags/list", Effect::EndlessPages));
    let failure = bench.tags("team/app").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TooLarge);
    assert!(failure.message.contains("does not end after 10 pages"), "{failure}");
}

#[tokio::test]
async fn a_blob_beyond_its_cap_or_with_another_digest_is_refused() {
    let bench = open().await;
    let image = BuiltImage::single("app");
    bench.registry.push("team/app", "1", &image);
    let reference = bench.reference("team/app");
    let (trail, scope) = (Trail::default(), CredentialScope::default());
    let asking = asking(&reference, &scope, &trail);
    let digest: Digest = image.image_ids()[0].parse().unwrap();
    let blob = bench.client.blob(&asking, &digest, 1 << 20).await.unwrap().unwrap();
    assert_eq!(blob, image.blobs[0]);
    let bytes = || bench.client.tallies()[0].bytes;
    let before = bytes();
    assert_eq!(bench.client.blob(&asking, &digest, 10).await.unwrap_err().kind, FailureKind::TooLarge);
    assert_eq!(bytes(), before, "its length was announced, and nothing of it was read");
    bench.registry.fault(Fault::on("/blobs/", Effect::Corrupt));
    assert_eq!(
        bench.client.blob(&asking, &digest, 1 << 20).await.unwrap_err().kind,
        FailureKind::DigestMismatch
    );
    let answers: Vec<_> = trail.of("test").into_iter().map(|asked| asked.answer).collect();
    assert!(answers[0].starts_with("200 "), "{answers:?}");
    assert!(answers[2].starts_with("digestMismatch: "), "{answers:?}");
}

#[tokio::test]
async fn a_registry_without_the_referrers_api_is_told_from_one_without_referrers() {
    let digest: Digest = BuiltImage::single("app").digest().parse().unwrap();
    for (api, listed) in [(true, Some(0)), (false, None)] {
        let bench =
            bench(RegistryOptions { referrers_api: api, ..RegistryOptions::default() }, |_, _| {}).await;
        bench.registry.push("team/app", "1", &BuiltImage::single("app"));
        let reference = bench.reference("team/app");
        let (trail, scope) = (Trail::default(), CredentialScope::default());
        let referrers = bench.client.referrers(&asking(&reference, &scope, &trail), &digest).await.unwrap();
        let count = match referrers {
            Referrers::Listed(listed) => Some(listed.len()),
            Referrers::NoApi => None,
        };
        assert_eq!(count, listed);
        bench.registry.fault(Fault::on("/referrers/", Effect::status(500)));
        let failed = bench.client.referrers(&asking(&reference, &scope, &trail), &digest).await;
        assert_eq!(failed.unwrap_err().kind, FailureKind::ServerError);
    }
}

#[tokio::test]
async fn a_throttled_registry_does_not_hold_up_another() {
    let slow = Registry::start().await.unwrap();
    let fast = Registry::start().await.unwrap();
    slow.push("app", "1", &BuiltImage::single("slow"));
    fast.push("app", "1", &BuiltImage::single("fast"));
    let endpoints = Endpoints::default()
        .stand_in("slow.example", slow.url().parse().unwrap())
        .stand_in("fast.example", fast.url().parse().unwrap());
    let client = RegistryClient::new(ClientSettings { endpoints, ..settings() }, "test").unwrap();
    slow.fault(Fault::on("/manifests/", Effect::retry_after(429, 2)).times(1));
    let ask = |name: &str| {
        let reference: ImageReference = format!("{name}/app:1").parse().unwrap();
        let client = &client;
        async move {
            let (trail, scope) = (Trail::default(), CredentialScope::default());
            let began = Instant::now();
            let tag = reference.tag.clone().unwrap();
            client.manifest(&asking(&reference, &scope, &trail), Name::Tag(&tag)).await.unwrap().unwrap();
            began.elapsed()
        }
    };
    let (slow_took, fast_took) = tokio::join!(ask("slow.example"), ask("fast.example"));
    assert!(
        slow_took >= Duration::from_secs(2) && fast_took < Duration::from_secs(1),
        "{slow_took:?} {fast_took:?}"
    );
    let hosts: Vec<_> = client.tallies().into_iter().map(|tally| tally.host).collect();
    assert_eq!(hosts, ["fast.example", "slow.example"]);
}

#[tokio::test]
async fn several_credentials_are_tried_in_order_and_the_one_that_was_taken_is_remembered() {
    let basic = RegistryOptions {
        auth: Auth::Basic(vec![("ann".into(), "secret".into())]),
        ..RegistryOptions::default()
    };
    for options in [basic, bearer(&[])] {
        let bench = bench(options, |settings, registry| {
            let entries = [("/team/app", "old", "gone"), ("/team", "ann", "wrong"), ("", "ann", "secret")];
            settings.credentials = book(registry, &entries);
        })
        .await;
        for tag in ["1", "2", "3"] {
            bench.registry.push("team/app", tag, &BuiltImage::single(tag));
            bench.manifest(&format!("team/app:{tag}")).await.unwrap().unwrap();
        }
        let refused = bench.paths().iter().filter(|path| path.starts_with("401")).count();
        assert!(refused <= 4, "the two that are refused are not tried again: {:#?}", bench.paths());
    }
}

#[tokio::test]
async fn an_open_host_that_hides_what_only_some_may_see_is_asked_with_the_credential() {
    let bench = bench(bearer(&[]), known).await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    // The host answers the first request without a challenge, as if it had no such image.
    let unknown = Effect::Answer {
        status: 404,
        headers: vec![],
        body: r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.into(),
    };
    bench.registry.fault(Fault::on("/public/", unknown));
    assert!(bench.manifest("public/app:1").await.unwrap().is_none());
    bench.manifest("team/app:1").await.unwrap().unwrap();
    let paths = bench.paths();
    assert_eq!(paths.iter().filter(|path| path.ends_with("/v2/")).count(), 1, "{paths:#?}");
}

#[tokio::test]
async fn an_identity_token_is_changed_for_an_access_token() {
    let bench = bench(bearer(&[]), |settings, registry| {
        let json = serde_json::json!({"auths": {registry.host(): {"identitytoken": "refresh"}}}).to_string();
        settings.credentials = Arc::new(CredentialBook::new(DockerConfig::parse(json.as_bytes()).unwrap()));
    })
    .await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    let failure = bench.manifest("team/app:1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unauthorized, "the testbed knows no such refresh token: {failure}");
    let asked = bench.registry.log().into_iter().find(|logged| logged.path.starts_with("/token")).unwrap();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"), "the token is in no URL");
    bench.registry.know_identity_token("refresh");
    bench.manifest("team/app:1").await.unwrap().unwrap();
}

/// A registry, a mirror of it, and a client that knows the mirror.
async fn mirrored(is_only: bool) -> (Registry, Bench) {
    let mirror = Registry::start().await.unwrap();
    let mirror_url = mirror.url().parse().unwrap();
    let bench = bench(RegistryOptions::default(), |settings, registry| {
        let endpoints = Endpoints::default().stand_in("mirror.example", mirror_url);
        settings.endpoints = endpoints;
        let entry = format!("{}=mirror.example/hub", registry.host());
        settings.mirrors.add(&entry, is_only).unwrap();
    })
    .await;
    (mirror, bench)
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_for_what_it_lacks_or_fails() {
    let (mirror, bench) = mirrored(false).await;
    let both = BuiltImage::single("both");
    mirror.push("hub/team/app", "1", &both);
    bench.registry.push("team/app", "1", &both);
    bench.registry.push("team/app", "2", &BuiltImage::single("only at home"));
    bench.registry.push("team/app", "3", &BuiltImage::single("mirror fails"));
    mirror.fault(Fault::on("/manifests/3", Effect::status(403)));
    for tag in ["1", "2", "3"] {
        bench.manifest(&format!("team/app:{tag}")).await.unwrap().unwrap();
    }
    assert!(bench.manifest("team/app:4").await.unwrap().is_none());
    let paths: Vec<_> = mirror.log().into_iter().map(|logged| logged.path).collect();
    assert_eq!(paths[0], "/v2/hub/team/app/manifests/1");
    assert_eq!(bench.paths().len(), 3, "the first is answered by the mirror alone: {:#?}", bench.paths());

    // A mirror lists only what it copied: the registry's own list counts.
    assert_eq!(bench.tags("team/app").await.unwrap().unwrap(), ["1", "2", "3"]);

    // A failure of the registry itself is no absence, whatever the mirror lacks.
    bench.registry.fault(Fault::on("/manifests/5", Effect::status(500)));
    assert_eq!(bench.manifest("team/app:5").await.unwrap_err().kind, FailureKind::ServerError);
}

#[tokio::test]
async fn a_mirror_asked_instead_is_the_only_one() {
    let (mirror, bench) = mirrored(true).await;
    mirror.push("hub/team/app", "1", &BuiltImage::single("app"));
    bench.registry.push("team/app", "2", &BuiltImage::single("only at home"));
    bench.manifest("team/app:1").await.unwrap().unwrap();
    assert!(bench.manifest("team/app:2").await.unwrap().is_none());
    assert_eq!(bench.tags("team/app").await.unwrap().unwrap(), ["1"]);
    assert_eq!(bench.registry.log(), []);
}

#[tokio::test]
async fn who_waits_for_an_answer_goes_on_when_the_one_who_asked_dies() {
    let bench = open().await;
    bench.registry.push("team/app", "1", &BuiltImage::single("app"));
    bench.registry.fault(Fault::on("/manifests/1", Effect::Hang).times(1));
    let ask = || {
        let (client, reference) = (Arc::clone(&bench.client), bench.reference("team/app:1"));
        tokio::spawn(async move {
            let (trail, scope) = (Trail::default(), CredentialScope::default());
            let tag = reference.tag.clone().unwrap();
            client.manifest(&asking(&reference, &scope, &trail), Name::Tag(&tag)).await
        })
    };
    let leader = ask();
    while bench.registry.log().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let followers: Vec<_> = (0..10).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    leader.abort();
    for follower in followers {
        follower.await.unwrap().unwrap().unwrap();
    }
    assert_eq!(bench.registry.log().len(), 2, "one asked for all");
}

#[tokio::test]
async fn docker_hub_is_asked_by_head_when_its_pulls_are_used_up_or_left_to_others() {
    let registry = Registry::start().await.unwrap();
    let digest = registry.push("library/app", "1", &BuiltImage::single("app"));
    registry.push("library/other", "1", &BuiltImage::single("other"));
    let left = |remaining: &str, status| Effect::Answer {
        status,
        headers: vec![("ratelimit-remaining".into(), format!("{remaining};w=21600"))],
        body: String::new(),
    };
    for (effect, says) in [
        (left("0", 429), "docker.io says that 0 requests are left to us for 21600s"),
        (
            left("7", 404),
            "docker.io says that 7 requests are left to us for 21600s, which are left to others",
        ),
    ] {
        registry.fault(Fault::on("GET /v2/library/app/manifests/1", effect).times(1));
        let endpoints = Endpoints::default().stand_in("docker.io", registry.url().parse().unwrap());
        let client = RegistryClient::new(ClientSettings { endpoints, ..settings() }, "test").unwrap();
        let (trail, scope) = (Trail::default(), CredentialScope::default());
        let (app, other): (ImageReference, ImageReference) =
            ("app:1".parse().unwrap(), "other:1".parse().unwrap());
        let tag = app.tag.clone().unwrap();
        // The first answer tells; from then on no manifest is fetched.
        drop(client.manifest(&asking(&app, &scope, &trail), Name::Tag(&tag)).await);
        registry.clear_log();
        let failure = client.manifest(&asking(&other, &scope, &trail), Name::Tag(&tag)).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::RateLimited);
        assert!(failure.message.contains(says), "{failure}");
        let head = client.manifest_head(&asking(&app, &scope, &trail), Name::Tag(&tag)).await.unwrap();
        assert!(matches!(head, HeadAnswer::There(head) if head.digest.as_str() == digest));
        let asked: Vec<_> = registry.log().iter().map(Logged::line).collect();
        assert_eq!(asked, ["HEAD /v2/library/app/manifests/1"]);
    }
}
