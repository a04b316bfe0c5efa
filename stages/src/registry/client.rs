//! The questions to a registry
//! ([distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)).
//!
//! Every answer is one of three: what was asked for; "the registry says there is none", only where it said
//! so itself; or a failure. A 404 that does not come from a registry (an ingress, a proxy) is a failure.

use std::sync::Arc;

use http::{Method, StatusCode};
use jiff::Timestamp;
use provenance_engine::{Failure, FailureKind};
use provenance_model::Registry;
use provenance_model::report::RegistryUse;
use url::Url;

use super::asking::Asking;
use super::cache::DiskCache;
use super::endpoint::Endpoints;
use super::gate::limits::GateLimits;
use super::gate::{GateView, Gates};
use super::memo::Memo;
use super::mirror::{Mirrors, Place};
use super::profile::HostLimits;
use super::session::Session;
use super::tls::Tls;
use super::transport::{Answer, Question, Transport};
use crate::credentials::CredentialBook;

pub(super) const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";
pub(super) const DISTRIBUTION_API_VERSION: &str = "docker-distribution-api-version";

/// Caps on what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of a manifest or index.
    pub manifest_bytes: usize,
    /// Bytes of one page of tags or referrers.
    pub page_bytes: usize,
    /// Pages of one list.
    pub pages: usize,
    /// Bytes of one list of tags, over all its pages.
    pub list_bytes: usize,
    /// Tags asked for in one page.
    pub page_tags: usize,
    /// Bytes of manifests kept in memory.
    pub memo_bytes: u64,
}

impl Default for Caps {
    /// 4 MiB is the manifest size the distribution spec tells registries to accept.
    fn default() -> Self {
        Self {
            manifest_bytes: 4 << 20,
            page_bytes: 16 << 20,
            pages: 200,
            list_bytes: 16 << 20,
            page_tags: 1000,
            memo_bytes: 2 << 20,
        }
    }
}

/// How a client is set.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Where each registry is asked.
    pub endpoints: Endpoints,
    /// How each host is treated.
    pub limits: HostLimits,
    /// Who is asked first, or instead.
    pub mirrors: Mirrors,
    /// TLS beyond the defaults.
    pub tls: Tls,
    /// Caps on what is read.
    pub caps: Caps,
    /// All credentials, by scope.
    pub credentials: Arc<CredentialBook>,
    /// What earlier runs fetched.
    pub cache: Option<DiskCache>,
}

/// Asks every place in turn until one has what is asked for. The last one's word counts: the others only ever
/// add an answer.
macro_rules! in_turn {
    ($places:expr, $asking:ident, |$place:ident| $ask:expr, $settles:pat $(if $guard:expr)?) => {{
        let places = $places;
        let mut places = places.iter().peekable();
        loop {
            let (registry, repository) = places.next().expect("there is always a place to ask");
            let $place = Asking { registry, repository, ..*$asking };
            let answer = $ask;
            if places.peek().is_none() || matches!(&answer, Ok($settles) $(if $guard)?) {
                break answer;
            }
        }
    }};
}
pub(super) use in_turn;

/// The client. One per run: it holds the gates, the tokens and the memo.
#[derive(Debug)]
pub struct RegistryClient {
    pub(super) session: Session,
    pub(super) caps: Caps,
    mirrors: Mirrors,
    /// What is known of manifests in this run.
    pub(super) memo: Memo,
    pub(super) cache: Option<DiskCache>,
}

impl RegistryClient {
    /// A client with these settings, which presents itself as `agent`.
    pub fn new(settings: ClientSettings, agent: &str) -> Result<Self, Failure> {
        let gates = Gates::new(settings.limits);
        let transport = Transport::new(settings.endpoints, gates, &settings.tls, agent)?;
        Ok(Self {
            session: Session::new(transport, settings.credentials),
            caps: settings.caps,
            mirrors: settings.mirrors,
            memo: Memo::new(settings.caps.memo_bytes),
            cache: settings.cache,
        })
    }

    /// What earlier runs fetched, where that is kept.
    pub fn cache(&self) -> Option<&DiskCache> {
        self.cache.as_ref()
    }

    /// How the registry that is asked is treated.
    pub fn limits(&self, registry: &Registry) -> GateLimits {
        self.session.transport.gates.limits(registry.as_str())
    }

    /// Whether a registry has a budget.
    pub fn has_budget(&self, registry: &str) -> bool {
        self.session.transport.gates.limits(registry).budget.is_some()
    }

    /// The gates as they stand.
    pub fn gates(&self) -> Vec<GateView> {
        self.session.transport.gates.views()
    }

    /// Answers of each host by their status.
    pub fn statuses(&self) -> Vec<(String, u16, u64)> {
        self.session.transport.gates.statuses()
    }

    /// Requests to one host so far.
    pub fn requests_to(&self, host: &str) -> u64 {
        self.session.transport.gates.requests(host)
    }

    /// What was asked of each host so far.
    pub fn tallies(&self) -> Vec<RegistryUse> {
        self.session.transport.gates.tallies()
    }

    pub(super) fn places(&self, asking: &Asking<'_>) -> Vec<Place> {
        self.mirrors.places(asking.registry, asking.repository)
    }

    pub(super) fn count_page(&self, pages: &mut usize, place: &str) -> Result<(), Failure> {
        *pages += 1;
        if *pages <= self.caps.pages {
            return Ok(());
        }
        let why = format!("{place}: the list does not end after {} pages", self.caps.pages);
        Err(Failure::new(FailureKind::TooLarge, why))
    }

    pub(super) fn url(&self, asking: &Asking<'_>, rest: &str) -> Result<Url, Failure> {
        let base = self.session.transport.endpoints.base(asking.registry)?;
        base.join(&format!("v2/{}/{rest}", asking.repository)).map_err(|error| {
            Failure::new(
                FailureKind::InvalidReference,
                format!("{}/{}: {error}", asking.registry, asking.repository),
            )
        })
    }
}

/// Whether the registry has what was asked for; its own 404 says no.
pub(super) fn present(answer: &Answer, place: &str) -> Result<bool, Failure> {
    if answer.status != StatusCode::NOT_FOUND {
        return expect_success(answer, place).map(|()| true);
    }
    let from_a_registry =
        answer.header(DISTRIBUTION_API_VERSION).is_some() || answer.registry_error().is_some();
    if from_a_registry {
        return Ok(false);
    }
    Err(Failure::new(
        FailureKind::UnexpectedStatus,
        format!("{place} answered 404, but not as a registry does; is there a registry at this address?"),
    ))
}

pub(super) fn get(url: Url, accept: &'static str, cap: usize) -> Question {
    Question {
        method: Method::GET,
        url,
        accept,
        authorization: None,
        known: None,
        form: None,
        cap,
        sink: None,
    }
}

/// Notes one question and its answer as evidence.
pub(super) fn note<T>(
    asking: &Asking<'_>,
    place: &str,
    answered: &Result<T, Failure>,
    tell: impl FnOnce(&T) -> String,
) {
    let answer = match answered {
        Ok(answered) => tell(answered),
        Err(failure) => format!("{}: {}", failure.kind, failure.message),
    };
    asking.trail.note(asking.stage, place, answer);
}

/// Notes what is known from an earlier run.
pub(super) fn note_since(asking: &Asking<'_>, place: &str, answer: &str, since: Timestamp) {
    asking.trail.note_since(asking.stage, place, answer, Some(since));
}

pub(super) fn expect_success(answer: &Answer, place: &str) -> Result<(), Failure> {
    if answer.status.is_success() {
        return Ok(());
    }
    let kind = match answer.status.as_u16() {
        401 => FailureKind::Unauthorized,
        403 => FailureKind::Forbidden,
        _ => FailureKind::UnexpectedStatus,
    };
    let from = if answer.elsewhere {
        format!(" (after a redirect to {})", answer.url.host_str().unwrap_or("another host"))
    } else {
        String::new()
    };
    Err(Failure::new(kind, format!("{place} answered {}{from}", answer.told())))
}
