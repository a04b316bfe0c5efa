//! What a registry wants to see before it answers, and the tokens got for it.
//!
//! The first request to a host goes ahead alone: its answer tells whether the host wants a token, and from
//! where. Every other request waits a moment for that and then asks for its token straight away, so that no
//! repository costs an extra round. One token per repository and credential scope, fetched once.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method};
use moka::future::Cache;
use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use url::Url;

use super::challenge::Challenge;
use super::transport::{Question, Transport};
use crate::credentials::Credential;

/// Bytes of a token answer.
const TOKEN_BYTES: usize = 1024 * 1024;
/// The life of a token whose service names none
/// ([token authentication](https://distribution.github.io/distribution/spec/auth/token/)).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);
/// How long requests wait for the first one's answer before they go ahead on their own.
pub(super) const SCOUT_PATIENCE: Duration = Duration::from_secs(2);

/// A credential as a header of its own, where it is one that can be shown as it is.
pub(super) fn shown(credential: &Credential) -> Option<HeaderValue> {
    match credential {
        Credential::Basic { username, password } => Some(sensitive(&format!(
            "Basic {}",
            STANDARD.encode(format!("{username}:{}", password.reveal()))
        ))),
        Credential::RegistryToken(token) => Some(sensitive(&format!("Bearer {}", token.reveal()))),
        Credential::IdentityToken(_) => None,
    }
}

fn sensitive(value: &str) -> HeaderValue {
    let mut header = HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""));
    header.set_sensitive(true);
    header
}

/// What one host wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Nothing, as far as we know.
    Open,
    /// What its challenge says.
    Challenged(Challenge),
}

/// What is known of one host.
#[derive(Debug)]
pub(super) struct HostAuth {
    scheme: Mutex<Option<Scheme>>,
    pub(super) scout: Semaphore,
    /// Set when an open host was asked what it wants of those who have a credential.
    pub(super) was_pinged: AtomicBool,
}

impl HostAuth {
    pub(super) fn new() -> Self {
        Self { scheme: Mutex::default(), scout: Semaphore::new(1), was_pinged: AtomicBool::new(false) }
    }

    pub(super) fn scheme(&self) -> Option<Scheme> {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, scheme: Scheme) {
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(scheme);
    }
}

/// For whom a token is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: String,
    pub(super) credential: Option<Credential>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    until: Instant,
}

/// All tokens got so far.
#[derive(Debug)]
pub(super) struct Tokens {
    cache: Cache<TokenKey, Token>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self { cache: Cache::new(10_000) }
    }

    /// The authorization header for this key: remembered, or fetched once for all who ask.
    pub(super) async fn get(
        &self,
        transport: &Transport,
        key: TokenKey,
        plain: bool,
    ) -> Result<HeaderValue, Failure> {
        if let Some(token) = self.cache.get(&key).await {
            if Instant::now() < token.until {
                return Ok(token.header);
            }
            self.cache.invalidate(&key).await;
        }
        let fetched = self.cache.try_get_with_by_ref(&key, fetch(transport, &key, plain)).await;
        fetched.map(|token| token.header).map_err(|failure: Arc<Failure>| (*failure).clone())
    }

    /// Forgets a token that the registry no longer takes.
    pub(super) async fn forget(&self, key: &TokenKey) {
        self.cache.invalidate(key).await;
    }
}

/// A token service's answer: the token, and how long it lives
/// ([token authentication](https://distribution.github.io/distribution/spec/auth/token/)).
pub(super) fn token_of(bytes: &[u8]) -> Result<(String, Duration), String> {
    #[derive(Deserialize)]
    struct Answered {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    let answered: Answered =
        serde_json::from_slice(bytes).map_err(|error| format!("its answer is no token: {error}"))?;
    let token = answered.token.or(answered.access_token).filter(|token| !token.is_empty());
    let token = token.ok_or("its answer has no token")?;
    if HeaderValue::from_str(&token).is_err() {
        return Err("its token cannot stand in a header".into());
    }
    let life = answered.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs).min(Duration::from_hours(24));
    Ok((token, life))
}

async fn fetch(transport: &Transport, key: &TokenKey, plain: bool) -> Result<Token, Failure> {
    let malformed =
        |why: String| Failure::new(FailureKind::Malformed, format!("token service {}: {why}", key.realm));
    let mut url =
        Url::parse(&key.realm).map_err(|error| malformed(format!("its address is no URL: {error}")))?;
    if url.scheme() != "https" && !(plain || transport.endpoints.may_be_plain(&url)) {
        return Err(malformed(
            "the registry names it without https, and a credential would go in the clear".into(),
        ));
    }
    let mut asked_for: Vec<(&str, &str)> = vec![("scope", &key.scope)];
    asked_for.extend(key.service.as_ref().map(|service| ("service", service.as_str())));
    let mut question = Question {
        method: Method::GET,
        url: url.clone(),
        accept: "application/json",
        authorization: key.credential.as_ref().and_then(shown),
        known: None,
        form: None,
        cap: TOKEN_BYTES,
        sink: None,
    };
    if let Some(Credential::IdentityToken(token)) = &key.credential {
        asked_for.extend([
            ("grant_type", "refresh_token"),
            ("client_id", "provenance-collector"),
            ("refresh_token", token.reveal()),
        ]);
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(asked_for).finish();
        question = Question { method: Method::POST, form: Some(form), ..question };
    } else {
        url.query_pairs_mut().extend_pairs(asked_for);
        question.url = url;
    }
    let place = transport.place(&question.method, &question.url);
    let asked_at = Instant::now();
    let answer = transport.ask(question).await?;
    if !answer.status.is_success() {
        let kind = match answer.status.as_u16() {
            401 => FailureKind::Unauthorized,
            403 => FailureKind::Forbidden,
            _ => FailureKind::UnexpectedStatus,
        };
        return Err(Failure::new(kind, format!("token service {place} answered {}", answer.told())));
    }
    let (token, life) = token_of(&answer.body).map_err(malformed)?;
    // Renewed early, so that no request travels with a token that ends on the way.
    let until = asked_at + life.saturating_sub(Duration::from_secs(10)).max(life / 2);
    Ok(Token { header: sensitive(&format!("Bearer {token}")), until })
}
