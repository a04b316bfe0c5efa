//! The questions to a registry
//! ([distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)).
//!
//! Every answer is one of three: what was asked for; "the registry says there is none", only where it said
//! so itself; or a failure. A 404 that does not come from a registry (an ingress, a proxy) is a failure.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use moka::future::Cache;
use oci_spec::image::ImageIndex;
use provenance_engine::{Failure, FailureKind};
use provenance_model::report::RegistryUse;
use provenance_model::{CredentialScope, Digest, Registry, Repository};
use url::Url;

use super::asking::{Asking, HeadAnswer, ManifestHead, Name, Referrers};
use super::content::{ACCEPT_MANIFESTS, Manifest, check_digest};
use super::endpoint::Endpoints;
use super::gate::{GateLimits, GateView, Gates};
use super::mirror::{Mirrors, Place};
use super::paging::next_page;
use super::profile::HostLimits;
use super::session::Session;
use super::tag_list::TagList;
use super::tls::Tls;
use super::transport::{Answer, Question, Transport};
use crate::credentials::CredentialBook;

const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";
const DISTRIBUTION_API_VERSION: &str = "docker-distribution-api-version";

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
            memo_bytes: 16 << 20,
        }
    }
}

/// How a client is set.
#[derive(Debug, Clone)]
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
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            endpoints: Endpoints::default(),
            limits: HostLimits::default(),
            mirrors: Mirrors::default(),
            tls: Tls::default(),
            caps: Caps::default(),
            credentials: Arc::default(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ManifestKey {
    registry: Registry,
    repository: Repository,
    name: String,
    scope: CredentialScope,
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

/// The client. One per run: it holds the gates, the tokens and the memo.
#[derive(Debug)]
pub struct RegistryClient {
    pub(super) session: Session,
    pub(super) caps: Caps,
    mirrors: Mirrors,
    manifests: Cache<ManifestKey, Option<Arc<Manifest>>>,
    heads: Cache<ManifestKey, HeadAnswer>,
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
            heads: Cache::new(100_000),
            manifests: Cache::builder()
                .max_capacity(settings.caps.memo_bytes)
                .weigher(|_, manifest: &Option<Arc<Manifest>>| {
                    let bytes = manifest.as_ref().map_or(0, |manifest| manifest.bytes);
                    u32::try_from(bytes + 256).unwrap_or(u32::MAX)
                })
                .build(),
        })
    }

    /// How the registry that is asked is treated.
    pub(crate) fn limits(&self, registry: &Registry) -> GateLimits {
        self.session.transport.gates.limits(registry.as_str())
    }

    /// The gates as they stand.
    pub fn gates(&self) -> Vec<GateView> {
        self.session.transport.gates.views()
    }

    /// What was asked of each host so far.
    pub fn tallies(&self) -> Vec<RegistryUse> {
        self.session.transport.gates.tallies()
    }

    /// A manifest or index, or none where the registry says it has none. Asked once for all who want it.
    pub async fn manifest(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        in_turn!(self.places(asking), asking, |place| self.manifest_at(&place, name).await, Some(_))
    }

    /// The digest of a manifest by HEAD, which Docker Hub does not count as a pull. Asked once for all who want it.
    pub async fn manifest_head(&self, asking: &Asking<'_>, name: Name<'_>) -> Result<HeadAnswer, Failure> {
        in_turn!(
            self.places(asking),
            asking,
            |place| self.manifest_head_at(&place, name).await,
            HeadAnswer::There(_)
        )
    }

    /// A blob of at most `cap` bytes, checked against its digest; none where the registry has none.
    pub async fn blob(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
    ) -> Result<Option<Bytes>, Failure> {
        in_turn!(self.places(asking), asking, |place| self.blob_at(&place, digest, cap).await, Some(_))
    }

    /// Every tag of a repository, all pages, in the registry's order; none where it knows no such repository. A
    /// mirror lists only what it has copied, so it is asked only where the registry itself does not answer.
    pub async fn tags(&self, asking: &Asking<'_>) -> Result<Option<TagList>, Failure> {
        let places: Vec<_> = self.places(asking).into_iter().rev().collect();
        in_turn!(places, asking, |place| self.tags_at(&place, self.caps.pages).await, Some(_))
    }

    /// The first page of a repository's tags, which may be all of them; none where it knows no such repository.
    pub async fn first_page_of_tags(&self, asking: &Asking<'_>) -> Result<Option<TagList>, Failure> {
        self.tags_at(asking, 1).await
    }

    /// Whether this repository's list of tags is its own: a mirror, or a cache that pulls through, lists only what it
    /// has copied.
    pub fn lists_its_own_tags(&self, asking: &Asking<'_>) -> bool {
        // ECR's pull-through caches look like any other repository of theirs.
        let may_be_a_cache = asking.registry.as_str().contains(".dkr.ecr.");
        let itself = (asking.registry.clone(), asking.repository.clone());
        !may_be_a_cache && self.places(asking) == [itself]
    }

    /// The referrers of a digest, all pages. A mirror that has none may not have copied them: that settles nothing.
    pub async fn referrers(&self, asking: &Asking<'_>, digest: &Digest) -> Result<Referrers, Failure> {
        in_turn!(
            self.places(asking),
            asking,
            |place| self.referrers_at(&place, digest).await,
            Referrers::Listed(listed) if !listed.is_empty()
        )
    }

    pub(super) fn places(&self, asking: &Asking<'_>) -> Vec<Place> {
        self.mirrors.places(asking.registry, asking.repository)
    }

    async fn manifest_at(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let url = self.url(asking, &format!("manifests/{name}"))?;
        let key = manifest_key(asking, &name.to_string());
        let fetch = self.fetch_manifest(asking, name, url.clone());
        let answered = self.manifests.try_get_with_by_ref(&key, fetch).await;
        let answered = answered.map_err(|failure: Arc<Failure>| (*failure).clone());
        note(
            asking,
            &self.session.transport.place(&Method::GET, &url),
            &answered,
            |manifest| match manifest {
                Some(manifest) => format!("200 {} {}", manifest.media_type, manifest.digest),
                None => "404, the registry has none".into(),
            },
        );
        if let Ok(Some(manifest)) = &answered
            && matches!(name, Name::Tag(_))
        {
            self.manifests
                .insert(manifest_key(asking, manifest.digest.as_str()), Some(Arc::clone(manifest)))
                .await;
        }
        answered
    }

    async fn fetch_manifest(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
        url: Url,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let question = get(url, ACCEPT_MANIFESTS, self.caps.manifest_bytes);
        let place = self.session.transport.place(&question.method, &question.url);
        let answer = self.session.ask(asking, question).await?;
        if !present(&answer, &place)? {
            return Ok(None);
        }
        let announced = answer.header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
        let expected = match name {
            Name::Digest(digest) => Some(digest),
            Name::Tag(_) => announced.as_ref(),
        };
        let content_type = answer.header(CONTENT_TYPE);
        // Schema 1 signs itself: its digest is not that of its bytes, and parsing says what is wrong with it.
        let is_schema_1 =
            content_type.is_some_and(|media_type| media_type.contains("docker.distribution.manifest.v1+"));
        if let Some(expected) = expected.filter(|_| !is_schema_1) {
            check_digest(&answer.body, expected, &place)?;
        }
        let manifest = Manifest::parse(&answer.body, content_type, expected)
            .map_err(|why| Failure::new(FailureKind::Malformed, format!("{place}: {why}")))?;
        Ok(Some(Arc::new(manifest)))
    }

    async fn manifest_head_at(&self, asking: &Asking<'_>, name: Name<'_>) -> Result<HeadAnswer, Failure> {
        let key = manifest_key(asking, &name.to_string());
        if let Some(known) = self.manifests.get(&key).await {
            let head = |manifest: Arc<Manifest>| ManifestHead {
                digest: manifest.digest.clone(),
                media_type: Some(manifest.media_type.clone()),
            };
            return Ok(known.map_or(HeadAnswer::Absent, |manifest| HeadAnswer::There(head(manifest))));
        }
        let url = self.url(asking, &format!("manifests/{name}"))?;
        let place = self.session.transport.place(&Method::HEAD, &url);
        let answered = self.heads.try_get_with_by_ref(&key, self.fetch_head(asking, url, &place)).await;
        let answered = answered.map_err(|failure: Arc<Failure>| (*failure).clone());
        note(asking, &place, &answered, |head| match head {
            HeadAnswer::There(head) => format!("200 {}", head.digest),
            HeadAnswer::Absent => "404, the registry has none".into(),
            HeadAnswer::Untold => "no digest in the answer".into(),
        });
        answered
    }

    async fn fetch_head(&self, asking: &Asking<'_>, url: Url, place: &str) -> Result<HeadAnswer, Failure> {
        let question = Question { method: Method::HEAD, ..get(url, ACCEPT_MANIFESTS, 0) };
        let answer = self.session.ask(asking, question).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.header(DISTRIBUTION_API_VERSION).is_none() {
            // A HEAD has no body to tell a registry's 404 from a proxy's.
            return Ok(HeadAnswer::Untold);
        }
        if !present(&answer, place)? {
            return Ok(HeadAnswer::Absent);
        }
        let digest = answer.header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
        let media_type = answer.header(CONTENT_TYPE).map(str::to_owned);
        Ok(digest.map_or(HeadAnswer::Untold, |digest| HeadAnswer::There(ManifestHead { digest, media_type })))
    }

    async fn blob_at(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
    ) -> Result<Option<Bytes>, Failure> {
        let question = get(self.url(asking, &format!("blobs/{digest}"))?, "*/*", cap);
        let place = self.session.transport.place(&question.method, &question.url);
        let answered = async {
            let answer = self.session.ask(asking, question).await?;
            if !present(&answer, &place)? {
                return Ok(None);
            }
            check_digest(&answer.body, digest, &place)?;
            Ok(Some(answer.body))
        }
        .await;
        note(asking, &place, &answered, |blob| match blob {
            Some(blob) => format!("200 {} bytes", blob.len()),
            None => "404, the registry has none".into(),
        });
        answered
    }

    async fn referrers_at(&self, asking: &Asking<'_>, digest: &Digest) -> Result<Referrers, Failure> {
        let url = self.url(asking, &format!("referrers/{digest}"))?;
        let place = self.session.transport.place(&Method::GET, &url);
        let answered = async {
            let mut referrers = Vec::new();
            let mut next = Some(url);
            let mut pages = 0;
            while let Some(url) = next {
                self.count_page(&mut pages, &place)?;
                let accept = "application/vnd.oci.image.index.v1+json";
                let answer = self.session.ask(asking, get(url.clone(), accept, self.caps.page_bytes)).await?;
                // The spec: a registry with the API answers 200 and an empty index, never 404. Some that lack it say so
                // with another status.
                let lacks_it = [404, 400, 405, 406].contains(&answer.status.as_u16());
                if lacks_it && pages == 1 {
                    return Ok(Referrers::NoApi);
                }
                expect_success(&answer, &place)?;
                let index: ImageIndex = serde_json::from_slice(&answer.body).map_err(|error| {
                    Failure::new(FailureKind::Malformed, format!("{place}: no referrers index: {error}"))
                })?;
                referrers.extend(index.manifests().iter().cloned());
                next = next_page(&answer.headers, &url)?;
            }
            Ok(Referrers::Listed(referrers))
        }
        .await;
        note(asking, &place, &answered, |referrers| match referrers {
            Referrers::Listed(listed) => format!("200 {} referrers", listed.len()),
            Referrers::NoApi => "no referrers API".into(),
        });
        answered
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

fn manifest_key(asking: &Asking<'_>, name: &str) -> ManifestKey {
    ManifestKey {
        registry: asking.registry.clone(),
        repository: asking.repository.clone(),
        name: name.to_owned(),
        scope: asking.scope.clone(),
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

fn expect_success(answer: &Answer, place: &str) -> Result<(), Failure> {
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
