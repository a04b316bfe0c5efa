//! The testbed must not flatter: the same questions to it and to real registries get the same answers.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use provenance_e2e::registry::{crane, push, push_index};
use provenance_e2e::{Kind, RealRegistry};
use provenance_engine::{Failure, FailureKind};
use provenance_model::{CredentialScope, Digest, ImageReference, Trail};
use provenance_stages::credentials::{CredentialBook, DockerConfig};
use provenance_stages::registry::{
    Asking, Caps, ClientSettings, Content, Name, Referrers, RegistryClient, TagList,
};
use provenance_testbed::{Auth, Registry, RegistryOptions};

/// Asks every question of the client; answers what came back, without what differs by address.
async fn ask_everything(host: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let digest = push(folder.path(), &format!("{host}/team/app:v1"), "app v1");
    push(folder.path(), &format!("{host}/team/app:v2"), "app v2");
    crane(None, &["tag", &format!("{host}/team/app:v1"), "stable"]);
    let (index, children) = push_index(folder.path(), &format!("{host}/team/multi:v1"), "multi v1");

    let caps = Caps { page_tags: 2, ..Caps::default() };
    let client =
        RegistryClient::new(ClientSettings { caps, ..ClientSettings::default() }, "contract").unwrap();
    let (trail, scope) = (Trail::default(), CredentialScope::default());
    let app: ImageReference = format!("{host}/team/app:v1").parse().unwrap();
    let multi: ImageReference = format!("{host}/team/multi:v1").parse().unwrap();
    let nowhere: ImageReference = format!("{host}/team/nowhere:v1").parse().unwrap();
    let asking = |reference| asking(reference, &scope, &trail);
    let tag = |name: &str| name.parse().unwrap();
    let known: Digest = digest.parse().unwrap();
    let unknown: Digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();

    let mut told = Vec::new();
    for (what, reference, name) in [
        ("by tag", &app, "v1"),
        ("by another tag of it", &app, "stable"),
        ("by a tag it has not", &app, "v9"),
        ("in a repository it has not", &nowhere, "v1"),
        ("an index by tag", &multi, "v1"),
    ] {
        let tag = tag(name);
        let manifest = client.manifest(&asking(reference), Name::Tag(&tag)).await.unwrap();
        told.push(format!(
            "manifest {what}: {:?}",
            manifest.as_ref().map(|m| (&m.digest, &m.media_type, m.children()))
        ));
        if let Some(manifest) = manifest {
            let says = match manifest.content() {
                Content::Index(index) => format!("index of {}", index.manifests().len()),
                Content::Image(image) => format!("image of {} layers", image.layers().len()),
            };
            told.push(says);
        }
        let head = client.manifest_head(&asking(reference), Name::Tag(&tag)).await.unwrap();
        told.push(format!("head {what}: {head:?}"));
    }
    for (what, digest) in [("it has", &known), ("it has not", &unknown)] {
        let manifest = client.manifest(&asking(&app), Name::Digest(digest)).await.unwrap();
        told.push(format!("manifest by a digest {what}: {}", manifest.is_some()));
        let blob = client.blob(&asking(&app), digest, 1 << 20).await.unwrap();
        told.push(format!("blob by a digest {what}: {}", blob.is_some()));
    }
    let manifest = client.manifest(&asking(&app), Name::Digest(&known)).await.unwrap().unwrap();
    let config = manifest.config_digest().unwrap();
    let blob = client.blob(&asking(&app), &config, 1 << 20).await.unwrap();
    told.push(format!("config blob: {:?} bytes", blob.map(|blob| blob.len())));
    told.push(format!("tags: {:?}", sorted(client.tags(&asking(&app)).await.unwrap())));
    told.push(format!(
        "tags of a repository it has not: {:?}",
        client.tags(&asking(&nowhere)).await.unwrap()
    ));
    assert_eq!(multi_digests(&client, &asking(&multi), &index).await, children);
    told
}

async fn multi_digests(client: &RegistryClient, asking: &Asking<'_>, index: &str) -> Vec<String> {
    let index: Digest = index.parse().unwrap();
    let index = client.manifest(asking, Name::Digest(&index)).await.unwrap().unwrap();
    index.children().into_iter().map(|child| child.digest.to_string()).collect()
}

fn sorted(list: Option<TagList>) -> Option<Vec<String>> {
    list.map(|list| {
        let mut tags: Vec<_> = list.iter().map(str::to_owned).collect();
        tags.sort();
        tags
    })
}

fn asking<'a>(reference: &'a ImageReference, scope: &'a CredentialScope, trail: &'a Trail) -> Asking<'a> {
    Asking {
        stage: "contract",
        registry: &reference.registry,
        repository: &reference.repository,
        scope,
        trail,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_testbed_answers_as_real_registries_do() {
    let testbed =
        Registry::with(RegistryOptions { tag_page: 2, ..RegistryOptions::default() }).await.unwrap();
    let from_testbed = Box::pin(ask_everything(&testbed.host())).await;
    for kind in [Kind::Distribution, Kind::GoContainerRegistry] {
        let real = RealRegistry::start(kind).await;
        assert_eq!(Box::pin(ask_everything(&real.host())).await, from_testbed, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_testbed_has_or_lacks_the_referrers_api_as_real_registries_do() {
    let folder = tempfile::tempdir().unwrap();
    let with = Registry::start().await.unwrap();
    let without =
        Registry::with(RegistryOptions { referrers_api: false, ..RegistryOptions::default() }).await.unwrap();
    let distribution = RealRegistry::start(Kind::Distribution).await;
    let ggcr = RealRegistry::start(Kind::GoContainerRegistry).await;
    let client = RegistryClient::new(ClientSettings::default(), "contract").unwrap();
    let (trail, scope) = (Trail::default(), CredentialScope::default());
    for (host, has_api) in
        [(with.host(), true), (ggcr.host(), true), (without.host(), false), (distribution.host(), false)]
    {
        let image = format!("{host}/team/app:v1");
        let digest: Digest = push(folder.path(), &image, "app").parse().unwrap();
        let reference: ImageReference = image.parse().unwrap();
        let answer = client.referrers(&asking(&reference, &scope, &trail), &digest).await.unwrap();
        match (answer, has_api) {
            (Referrers::Listed(listed), true) => assert!(listed.is_empty(), "{host}"),
            (Referrers::NoApi, false) => {}
            (answer, _) => panic!("{host}: {answer:?}"),
        }
    }
}

/// `ann` with the password `secret`, as htpasswd writes it with bcrypt.
const HTPASSWD: &str = "ann:$2y$05$XHHNi9Km3bJmRYHEW9nM.uUmEuCb7CnYF4jiQqSNDw2T4RxvEbMcK";

#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_wants_the_right_credential() {
    let folder = tempfile::tempdir().unwrap();
    let htpasswd = folder.path().join("htpasswd");
    std::fs::write(&htpasswd, HTPASSWD).unwrap();
    let extra = format!("auth:\n  htpasswd: {{realm: private, path: {}}}\n", htpasswd.display());
    let real = RealRegistry::with(Kind::Distribution, &extra).await;
    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let testbed = Registry::with(RegistryOptions { auth: Auth::Basic(users), ..RegistryOptions::default() });
    let testbed = testbed.await.unwrap();
    for host in [real.host(), testbed.host()] {
        let reference: ImageReference = format!("{host}/team/app:v1").parse().unwrap();
        for (password, expected) in [
            (Some("secret"), Ok(None::<()>)),
            (Some("wrong"), Err(FailureKind::Unauthorized)),
            (None, Err(FailureKind::Unauthorized)),
        ] {
            let mut settings = ClientSettings::default();
            if let Some(password) = password {
                let auths =
                    serde_json::json!({"auths": {host.as_str(): {"username": "ann", "password": password}}});
                let own = DockerConfig::parse(auths.to_string().as_bytes()).unwrap();
                settings.credentials = Arc::new(CredentialBook::new(own));
            }
            let client = RegistryClient::new(settings, "contract").unwrap();
            let (trail, scope) = (Trail::default(), CredentialScope::default());
            let tag = reference.tag.clone().unwrap();
            let asked = client.manifest(&asking(&reference, &scope, &trail), Name::Tag(&tag)).await;
            let told = asked.map(|manifest| manifest.map(drop)).map_err(|failure: Failure| failure.kind);
            assert_eq!(told, expected, "{host} with {password:?}");
        }
    }
}
