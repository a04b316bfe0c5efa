//! From a registry's name to where it is asked.
//!
//! HTTPS everywhere, plain HTTP only for loopback and for hosts that are named insecure. The two never
//! change places: a failed TLS handshake is a failure, not a reason to try in the clear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use provenance_engine::{Failure, FailureKind};
use provenance_model::Registry;
use url::{Host, Url};

/// Docker Hub, as everybody names it.
const DOCKER_HUB: &str = "docker.io";
/// Where Docker Hub is asked.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// Where each registry is asked.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    insecure: BTreeSet<String>,
    stand_ins: BTreeMap<String, Url>,
}

impl Endpoints {
    /// Plain HTTP for these hosts, written `host` or `host:port`.
    #[must_use]
    pub fn insecure<S: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.insecure.extend(hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase()));
        self
    }

    /// Asks `url` in the place of `registry`, and tells of it under the registry's name.
    #[must_use]
    pub fn stand_in(mut self, registry: &str, url: Url) -> Self {
        self.stand_ins.insert(Registry::new(registry).as_str().to_owned(), url);
        self
    }

    /// The base URL of a registry, such as `https://ghcr.io/`.
    pub fn base(&self, registry: &Registry) -> Result<Url, Failure> {
        if let Some(url) = self.stand_ins.get(registry.as_str()) {
            return Ok(url.clone());
        }
        let host = if registry.is_docker_hub() { DOCKER_HUB_HOST } else { registry.as_str() };
        let secure = format!("https://{host}/");
        let url = Url::parse(&secure).map_err(|error| {
            Failure::new(FailureKind::InvalidReference, format!("{registry:?} is no registry host: {error}"))
        })?;
        if self.may_be_plain(&url) {
            let plain = format!("http://{host}/");
            return Ok(Url::parse(&plain).expect("what parses with https parses with http"));
        }
        Ok(url)
    }

    /// Whether plain HTTP may be spoken with this URL's host.
    pub fn may_be_plain(&self, url: &Url) -> bool {
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
            None => false,
        };
        loopback
            || self.insecure.contains(&authority(url))
            || url.host_str().is_some_and(|host| self.insecure.contains(host))
            || self.stand_ins.values().any(|stand_in| authority(stand_in) == authority(url))
    }

    /// The name under which a host is told of: the registry that it stands in for, or its own.
    pub fn label(&self, url: &Url) -> String {
        let own = authority(url);
        if own == DOCKER_HUB_HOST {
            return DOCKER_HUB.to_owned();
        }
        let stood_for = self.stand_ins.iter().find(|(_, stand_in)| authority(stand_in) == own);
        stood_for.map_or(own, |(registry, _)| registry.clone())
    }
    /// A URL as evidence and errors show it: without its query, which may hold what a storage host signed for
    /// us, and under the registry's own name where it is asked at a stand-in.
    pub fn shown(&self, url: &Url) -> String {
        let own = authority(url);
        match self.stand_ins.iter().find(|(_, stand_in)| authority(stand_in) == own) {
            Some((registry, _)) => format!("https://{registry}{}", url.path()),
            None => format!("{}://{own}{}", url.scheme(), url.path()),
        }
    }
}

/// Host and port, the port only where it is not the scheme's own.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(endpoints: &Endpoints, registry: &str) -> String {
        endpoints.base(&Registry::new(registry)).unwrap().to_string()
    }

    #[test]
    fn plain_http_is_for_loopback_and_named_hosts_only() {
        let endpoints = Endpoints::default().insecure(["Registry.lan:5000", "old.lan"]);
        for (registry, url) in [
            ("ghcr.io", "https://ghcr.io/"),
            ("docker.io", "https://registry-1.docker.io/"),
            ("localhost:5000", "http://localhost:5000/"),
            ("127.0.0.1:5056", "http://127.0.0.1:5056/"),
            ("127.8.0.1:5056", "http://127.8.0.1:5056/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("registry.lan:5000", "http://registry.lan:5000/"),
            ("registry.lan", "https://registry.lan/"),
            ("old.lan:8080", "http://old.lan:8080/"),
            ("10.0.0.7:5000", "https://10.0.0.7:5000/"),
            ("localhost.evil.example", "https://localhost.evil.example/"),
        ] {
            assert_eq!(base(&endpoints, registry), url, "{registry}");
        }
    }

    #[test]
    fn a_stand_in_is_asked_and_told_of_under_the_registrys_name() {
        let url: Url = "http://127.0.0.1:4000/".parse().unwrap();
        let endpoints = Endpoints::default().stand_in("docker.io", url.clone());
        assert_eq!(base(&endpoints, "index.docker.io"), url.to_string());
        assert_eq!(endpoints.label(&url), "docker.io");
        assert_eq!(endpoints.label(&"https://registry-1.docker.io/v2/".parse().unwrap()), "docker.io");
        assert_eq!(endpoints.label(&"https://ghcr.io/v2/".parse().unwrap()), "ghcr.io");
        assert_eq!(endpoints.shown(&url.join("v2/app").unwrap()), "https://docker.io/v2/app");
    }

    #[test]
    fn a_shown_url_never_has_a_query() {
        let url = "https://cdn.example:8443/blob?X-Amz-Signature=secret".parse().unwrap();
        assert_eq!(Endpoints::default().shown(&url), "https://cdn.example:8443/blob");
    }
}
