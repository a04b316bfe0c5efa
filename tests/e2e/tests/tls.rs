//! TLS and proxies with a real registry: a private authority, a client certificate only where it belongs, no
//! falling back to plain HTTP, and the proxy of the environment.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::Command;

use provenance_e2e::scan::scan;
use provenance_e2e::{Kind, RealRegistry, collector};
use provenance_engine::{Failure, FailureKind};
use provenance_model::report::Report;
use provenance_model::{CredentialScope, ImageReference, Trail};
use provenance_stages::registry::{Asking, ClientSettings, Endpoints, Name, RegistryClient, Tls};
use provenance_testbed::{BuiltImage, Registry};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority, a server certificate for localhost, and a client certificate with its key, as PEM.
struct Pki {
    authority: String,
    server: String,
    server_key: String,
    client: String,
}

fn pki() -> Pki {
    pki_until(4096)
}

/// The same; its certificates are good until the beginning of this year.
fn pki_until(year: i32) -> Pki {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    let (server, server_key) = issue("localhost");
    let (client, client_key) = issue("client");
    Pki { authority: authority.pem(), server, server_key, client: format!("{client}{client_key}") }
}

async fn tls_registry(folder: &Path, pki: &Pki, wants_client: bool) -> RealRegistry {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (write("server.pem", &pki.server), write("server.key", &pki.server_key));
    let authority = write("ca.pem", &pki.authority);
    let client = if wants_client { format!(", clientcas: ['{authority}']") } else { String::new() };
    let tls = format!("tls: {{certificate: '{certificate}', key: '{key}'{client}}}");
    RealRegistry::with_http(Kind::Distribution, &tls, "").await
}

async fn ask(registry: &RealRegistry, tls: Tls) -> Result<bool, Failure> {
    let port = registry.host().rsplit_once(':').unwrap().1.to_owned();
    let url = format!("https://localhost:{port}/").parse().unwrap();
    let endpoints = Endpoints::default().stand_in("registry.example", url);
    let client = RegistryClient::new(ClientSettings { endpoints, tls, ..ClientSettings::default() }, "test")?;
    let reference: ImageReference = "registry.example/app:1".parse().unwrap();
    let (trail, scope) = (Trail::default(), CredentialScope::default());
    let (registry, repository) = (&reference.registry, &reference.repository);
    let asking = Asking { stage: "test", registry, repository, scope: &scope, trail: &trail };
    let tag = reference.tag.clone().unwrap();
    client.manifest(&asking, Name::Tag(&tag)).await.map(|manifest| manifest.is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_when_it_is_named_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let pki = pki();
    let registry = tls_registry(folder.path(), &pki, false).await;
    let failure = ask(&registry, Tls::default()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection);
    assert!(failure.message.contains("certificate"), "{failure}");
    let mut tls = Tls::default();
    tls.trust(pki.authority.as_bytes()).unwrap();
    assert_eq!(ask(&registry, tls).await, Ok(false), "an empty registry has no such image");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_has_expired_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let pki = pki_until(2020);
    let registry = tls_registry(folder.path(), &pki, false).await;
    let mut tls = Tls::default();
    tls.trust(pki.authority.as_bytes()).unwrap();
    let failure = ask(&registry, tls).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection);
    assert!(failure.message.contains("expired"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_fails_its_own_rows_and_is_told_as_that() {
    let registry = Registry::start().await.unwrap();
    registry.push("team/app", "1", &BuiltImage::single("app"));
    let there = format!("{}/team/app:1", registry.host());
    let scan = move || {
        let images = ["registry.invalid/team/app:1", "registry.invalid/team/other:1", there.as_str()];
        scan(&images, &["--registry-timeout", "5s", "--registry-patience", "10s"])
    };
    let report = tokio::task::spawn_blocking(scan).await.unwrap();
    assert_eq!((report.images.len(), report.summary.failed_images), (3, Some(2)));
    for row in report.images.iter().filter(|row| row.image.starts_with("registry.invalid")) {
        let stages = row.stages.as_ref().unwrap();
        let reason = &stages.digest.as_ref().unwrap().reason.as_ref().unwrap().message;
        assert!(reason.contains("lookup") && reason.contains("registry.invalid"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_to_the_hosts_it_is_for_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let pki = pki();
    let registry = tls_registry(folder.path(), &pki, true).await;
    for (hosts, expected) in [(vec![], false), (vec!["other.example"], false), (vec!["localhost"], true)] {
        let mut tls = Tls::default();
        tls.trust(pki.authority.as_bytes()).unwrap();
        if !hosts.is_empty() {
            tls.show(pki.client.as_bytes(), hosts.iter().map(ToString::to_string)).unwrap();
        }
        let answered = ask(&registry, tls).await;
        assert_eq!(answered.is_ok(), expected, "{hosts:?}: {answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_environment_is_used_and_no_proxy_is_obeyed() {
    // The testbed's registry answers whatever host it is asked for, so it can stand for a proxy.
    let proxy = Registry::start().await.unwrap();
    proxy.push("team/app", "1", &BuiltImage::single("app"));
    let scan = async |no_proxy: &str| {
        let mut command = Command::new(collector());
        command
            .args(["scan", "registry.invalid/team/app:1", "--format", "json"])
            .args(["--insecure-registries", "registry.invalid", "--registry-timeout", "5s"])
            .env("HTTP_PROXY", proxy.url())
            .env("http_proxy", proxy.url())
            .env("NO_PROXY", no_proxy)
            .env("no_proxy", no_proxy)
            .env("HOME", "/nonexistent");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let report: Report = serde_json::from_slice(&output.stdout).unwrap();
        report.summary.failed_images
    };
    assert_eq!(scan("").await, Some(0));
    assert!(!proxy.log().is_empty());
    let before = proxy.log().len();
    assert_eq!(scan("registry.invalid").await, Some(1));
    assert_eq!(proxy.log().len(), before, "what NO_PROXY names is asked directly");
}
