//! The front door of the public listener: which hosts are served, under which path, and where the browser sees us.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;
use url::Url;

use crate::answer::told;

/// Where the dashboard is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The URL that browsers use, where it is known. Its path may be a prefix that the proxy keeps or takes away.
    pub url: Option<Url>,
    /// Further hosts that are served.
    pub hosts: Vec<String>,
}

/// The URL under which a browser sees the dashboard, for this request; it ends with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base(pub Url);

impl Base {
    /// Whether the browser's way here is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }
}

/// The router behind the front door.
pub(crate) fn behind(place: Place, inner: Router) -> Router {
    Router::new().fallback(enter).with_state(Arc::new((place, inner)))
}

async fn enter(State(front): State<Arc<(Place, Router)>>, mut request: Request) -> Response {
    let (place, inner) = &*front;
    let host = host(request.uri(), request.headers());
    if !place.serves(host) {
        // A page that had its name point here would otherwise read what the browser can reach (DNS rebinding).
        return told(
            StatusCode::MISDIRECTED_REQUEST,
            "this host is not served here; PROVENANCE_EXTERNAL_URL and PROVENANCE_ALLOWED_HOSTS name those that are",
        );
    }
    let base = place.base(host, request.headers());
    let prefix = base.0.path().trim_end_matches('/');
    if !prefix.is_empty() {
        if request.uri().path() == prefix {
            // Relative links need the slash.
            return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, format!("{prefix}/"))])
                .into_response();
        }
        if let Some(stripped) = stripped(request.uri(), prefix) {
            *request.uri_mut() = stripped;
        }
    }
    request.extensions_mut().insert(base);
    match inner.clone().oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The host that a request is for, as it is written.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let written = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(axum::http::uri::Authority::as_str).or(written).unwrap_or_default()
}

/// A URI without this prefix of its path; none where the path has another beginning.
fn stripped(uri: &Uri, prefix: &str) -> Option<Uri> {
    let rest = uri.path().strip_prefix(prefix).filter(|rest| rest.starts_with('/'))?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    PathAndQuery::try_from(format!("{rest}{query}")).ok().map(Uri::from)
}

/// A host's name and whether a port stands behind it.
fn split(host: &str) -> (&str, bool) {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or((rest, false), |(name, port)| (name, !port.is_empty()));
    }
    host.split_once(':').map_or((host, false), |(name, _)| (name, true))
}

/// Whether a name cannot be one that somebody outside bought: an address, localhost, or a name inside a cluster.
fn is_inside(name: &str) -> bool {
    name.parse::<IpAddr>().is_ok()
        || name.parse::<Ipv6Addr>().is_ok()
        || !name.contains('.')
        || [".localhost", ".svc", ".cluster.local", ".internal"].iter().any(|end| name.ends_with(end))
}

impl Place {
    /// Whether requests for this host are answered. Where no hosts are named, a foreign name with a port is refused: that is
    /// how a browser would be led straight to this listener, while a proxy's visitors come without.
    fn serves(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let (name, has_port) = split(&host);
        let name = name.trim_end_matches('.');
        if name.is_empty() || is_inside(name) {
            return true;
        }
        let own = self.url.as_ref().and_then(Url::host_str);
        if own.is_none() && self.hosts.is_empty() {
            return !has_port;
        }
        own == Some(name) || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Where the browser sees us.
    fn base(&self, host: &str, headers: &HeaderMap) -> Base {
        let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(url) = &self.url {
            return Base(with_slash(url.clone()));
        }
        let scheme = told("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
        let mut url = Url::parse(&format!("{scheme}://{host}/"))
            .or_else(|_| Url::parse("http://localhost/"))
            .expect("a fixed URL is valid");
        if let Some(prefix) = told("x-forwarded-prefix").filter(|prefix| prefix.starts_with('/')) {
            url.set_path(prefix);
        }
        url.set_query(None);
        url.set_fragment(None);
        Base(with_slash(url))
    }
}

fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}

/// The client's address, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client(pub IpAddr);

impl Client {
    /// Of the connection's other end, or of whom a proxy in the same network names last.
    pub(crate) fn of<B>(peer: IpAddr, request: &Request<B>) -> Self {
        let is_near = match peer.to_canonical() {
            IpAddr::V4(peer) => peer.is_private() || peer.is_loopback() || peer.is_link_local(),
            IpAddr::V6(peer) => peer.is_loopback() || peer.is_unique_local() || peer.is_unicast_link_local(),
        };
        let named = request.headers().get_all("x-forwarded-for").iter().next_back();
        let named = named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        Self(named.filter(|_| is_near).unwrap_or(peer).to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{Place, stripped};

    #[test]
    fn a_foreign_name_that_leads_straight_here_is_refused_and_named_hosts_are_the_only_foreign_ones() {
        let open = Place::default();
        for host in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "localhost:8080",
            "web.shop.svc:8080",
            "web:8080",
            "a.example",
            "",
        ] {
            assert!(open.serves(host), "{host}");
        }
        assert!(!open.serves("evil.example:8080"));
        let url = Some("https://provenance.example.com/audit".parse().expect("a fixed URL"));
        let named = Place { url, hosts: vec!["Other.example".into()] };
        for host in ["provenance.example.com", "PROVENANCE.example.com:443", "other.example", "10.0.0.1:8080"]
        {
            assert!(named.serves(host), "{host}");
        }
        for host in ["evil.example", "provenance.example.com.evil.example", "127.0.0.1.evil.example:8080"] {
            assert!(!named.serves(host), "{host}");
        }
    }

    #[test]
    fn the_base_is_the_configured_url_or_what_the_proxy_says() {
        let mut headers = HeaderMap::new();
        let base = |place: &Place, headers: &HeaderMap| place.base("a.example", headers).0.to_string();
        assert_eq!(base(&Place::default(), &headers), "http://a.example/");
        headers.insert("x-forwarded-proto", "https".parse().expect("a fixed value"));
        headers.insert("x-forwarded-prefix", "/audit".parse().expect("a fixed value"));
        assert_eq!(base(&Place::default(), &headers), "https://a.example/audit/");
        let place =
            Place { url: Some("https://b.example/x".parse().expect("a fixed URL")), hosts: Vec::new() };
        assert_eq!(base(&place, &headers), "https://b.example/x/");
    }

    #[test]
    fn a_prefix_that_the_proxy_keeps_is_taken_away_and_no_other_is() {
        let strip =
            |path: &str| stripped(&path.parse().expect("a fixed path"), "/audit").map(|uri| uri.to_string());
        assert_eq!(strip("/audit/images?q=a").as_deref(), Some("/images?q=a"));
        assert_eq!(strip("/audit/").as_deref(), Some("/"));
        assert_eq!(strip("/auditors"), None);
        assert_eq!(strip("/images"), None);
    }
}
