//! One exchange with one host: gate, span, time limit, byte cap, retries. Redirects are followed here, one
//! exchange per hop, and a credential is dropped at the first hop to another host.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Instrument;
use url::Url;

use super::endpoint::{Endpoints, authority};
use super::gate::limits::Counted;
use super::gate::{Allowance, Ended, Gate, Gates, Trouble};
use super::tls::{ClientCertificate, Tls};

/// Attempts at one exchange before it fails, the first included.
const ATTEMPTS: u32 = 4;
/// Attempts at an exchange that gets no answer in time: more would only make a slow host slower.
const ATTEMPTS_AT_A_TIMEOUT: u32 = 2;
/// Times one exchange is put off by a host that throttles; the gate's patience ends it earlier as a rule.
const DEFERRALS: u32 = 100;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 5;
/// The longest that connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);
/// Bytes of an error answer that are read for its message.
const ERROR_BYTES: usize = 64 * 1024;

/// A part of a body on its way.
#[derive(Debug)]
pub(super) enum Part {
    /// An attempt was answered: what came before is void.
    Begin,
    /// The next bytes.
    Chunk(Bytes),
}

/// What is asked in one exchange.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    pub(super) authorization: Option<HeaderValue>,
    /// The entity tag of what is known already (RFC 9110 §13.1.2).
    pub(super) known: Option<HeaderValue>,
    /// A form to send. It may hold a secret, so it follows no redirect.
    pub(super) form: Option<String>,
    /// Bytes of a good answer that are read at the most.
    pub(super) cap: usize,
    /// Where a good answer's body goes as it comes, instead of into the answer.
    pub(super) sink: Option<mpsc::Sender<Part>>,
}

impl Question {
    /// Whether it fetches a manifest, which some registries count.
    fn is_pull(&self) -> bool {
        self.method == Method::GET && self.url.path().contains("/manifests/")
    }
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Bytes of the body, wherever it went.
    pub(super) bytes: usize,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    /// Whether a redirect led to another host.
    pub(super) elsewhere: bool,
    /// How long its first byte took.
    took: Duration,
}

impl Answer {
    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first error of a body in the distribution spec's error form.
    pub(super) fn registry_error(&self) -> Option<RegistryError> {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<RegistryError>,
        }
        serde_json::from_slice::<Errors>(&self.body).ok()?.errors.into_iter().next()
    }

    /// Status and error code, as evidence shows them.
    pub(super) fn told(&self) -> String {
        let status = self.status.as_u16();
        self.registry_error().map_or_else(|| status.to_string(), |error| format!("{status} {error}"))
    }
}

/// An error of the distribution spec's error form.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RegistryError {
    #[serde(default)]
    pub(super) code: String,
    #[serde(default)]
    message: String,
}

impl std::fmt::Display for RegistryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.code)?;
        let message: String = self.message.chars().filter(|c| !c.is_control()).take(200).collect();
        if message.is_empty() { Ok(()) } else { write!(f, " ({message})") }
    }
}

/// Why one attempt brought no answer.
#[derive(Debug)]
enum Miss {
    Timeout,
    Connection(String),
    /// More than the cap, of which so many bytes were read.
    TooLarge(usize),
}

/// The way to every host.
#[derive(Debug)]
pub(super) struct Transport {
    http: reqwest::Client,
    /// The same with a client certificate, for the hosts that it is for.
    certified: Option<(ClientCertificate, reqwest::Client)>,
    pub(super) endpoints: Endpoints,
    pub(super) gates: Gates,
}

impl Transport {
    pub(super) fn new(endpoints: Endpoints, gates: Gates, tls: &Tls, agent: &str) -> Result<Self, Failure> {
        crate::choose_crypto();
        let build = |identity: Option<reqwest::Identity>| {
            let mut builder = reqwest::Client::builder()
                .user_agent(agent)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECTING)
                .pool_idle_timeout(Duration::from_mins(1));
            if !tls.authorities.is_empty() {
                builder = builder.tls_certs_merge(tls.authorities.clone());
            }
            if let Some(identity) = identity {
                builder = builder.identity(identity);
            }
            builder.build().map_err(|error| {
                Failure::new(FailureKind::Connection, format!("no HTTP client: {}", chain(&error)))
            })
        };
        let certified = match &tls.client {
            Some(client) => Some((client.clone(), build(Some(client.identity.clone()))?)),
            None => None,
        };
        Ok(Self { http: build(None)?, certified, endpoints, gates })
    }

    fn http(&self, url: &Url) -> &reqwest::Client {
        match &self.certified {
            Some((client, http)) if client.is_for(url) => http,
            _ => &self.http,
        }
    }

    /// Names a place to ask, as evidence and errors do. The query is left out: it may hold what a storage
    /// host signed for us.
    pub(super) fn place(&self, method: &Method, url: &Url) -> String {
        format!("{method} {}", self.endpoints.shown(url))
    }

    /// Asks, following redirects. A credential goes only to the scheme, host and port it was given for.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let asked = question.url.clone();
        let mut question = question;
        for _ in 0..=REDIRECTS {
            let mut answer = self.exchange(&question).await?;
            answer.elsewhere = answer.url.origin() != asked.origin();
            let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            let Some(location) = answer.header(LOCATION).filter(|_| is_redirect) else { return Ok(answer) };
            let refuse = |why: String| {
                Failure::new(
                    FailureKind::Redirect,
                    format!("{} redirects {why}", self.place(&question.method, &question.url)),
                )
            };
            if question.form.is_some() {
                return Err(refuse("a request that holds a credential".into()));
            }
            let next = question.url.join(location).map_err(|_| refuse("to what is no URL".into()))?;
            if !matches!(next.scheme(), "http" | "https") || next.host_str().is_none() {
                return Err(refuse(format!("to a {} URL", next.scheme())));
            }
            if next.scheme() == "http" && !self.endpoints.may_be_plain(&next) {
                return Err(refuse(format!(
                    "to {} over plain HTTP; name that host insecure if you trust the way to it",
                    authority(&next)
                )));
            }
            if next.origin() != question.url.origin() {
                question.authorization = None;
            }
            question.url = next;
        }
        Err(Failure::new(
            FailureKind::Redirect,
            format!("{} redirects more than {REDIRECTS} times", self.place(&question.method, &asked)),
        ))
    }

    /// One exchange with one host, retried where a retry can help.
    async fn exchange(&self, question: &Question) -> Result<Answer, Failure> {
        let gate = self.gates.gate(self.endpoints.label(&question.url));
        let mut attempt = 1;
        let mut deferrals = 0;
        loop {
            let pass = gate.enter(question.is_pull()).await?;
            let span = tracing::debug_span!(
                "request",
                otel.name = %question.method,
                otel.kind = "client",
                http.request.method = %question.method,
                server.address = gate.host(),
                url.path = question.url.path(),
                http.request.resend_count = attempt - 1 + deferrals,
                http.response.status_code = tracing::field::Empty,
                http.response.body.size = tracing::field::Empty,
                "error.type" = tracing::field::Empty,
            );
            let sent = self.attempt(question, &gate).instrument(span).await;
            drop(pass);
            let (failure, wait) = match sent {
                Ok(answer) if answer.status == StatusCode::TOO_MANY_REQUESTS => {
                    deferrals += 1;
                    if deferrals <= DEFERRALS {
                        // The gate keeps everyone out for as long as the host asked.
                        gate.note_retry();
                        continue;
                    }
                    return Err(self.told(FailureKind::RateLimited, question, &answer, deferrals));
                }
                Ok(answer) if answer.status.is_server_error() => {
                    let wait = retry_after(&answer.headers).unwrap_or_default();
                    (self.told(FailureKind::ServerError, question, &answer, attempt), wait)
                }
                Ok(answer) => return Ok(answer),
                Err(Miss::TooLarge(_)) => {
                    return Err(Failure::new(
                        FailureKind::TooLarge,
                        format!(
                            "{}: the answer is larger than {} bytes",
                            self.place(&question.method, &question.url),
                            question.cap
                        ),
                    ));
                }
                Err(Miss::Timeout) => {
                    let after = format!("no complete answer in {:?}", gate.limits.timeout);
                    let failure = self.missed(FailureKind::Timeout, question, &after, attempt);
                    if attempt >= ATTEMPTS_AT_A_TIMEOUT {
                        return Err(given_up(&gate, failure));
                    }
                    (failure, Duration::ZERO)
                }
                Err(Miss::Connection(why)) => {
                    (self.missed(FailureKind::Connection, question, &why, attempt), Duration::ZERO)
                }
            };
            if attempt >= ATTEMPTS {
                return Err(given_up(&gate, failure));
            }
            gate.note_retry();
            tokio::time::sleep(wait.min(gate.limits.timeout).max(backoff(attempt))).await;
            attempt += 1;
        }
    }

    /// One attempt: sends, reads, and tells the gate how it ended.
    async fn attempt(&self, question: &Question, gate: &Arc<Gate>) -> Result<Answer, Miss> {
        let sent = tokio::time::timeout(gate.limits.timeout, self.send(question))
            .await
            .unwrap_or(Err(Miss::Timeout));
        match &sent {
            Ok(answer) => {
                gate.note_status(answer.status.as_u16());
                let span = tracing::Span::current();
                span.record("http.response.status_code", answer.status.as_u16());
                span.record("http.response.body.size", answer.bytes);
                if answer.status.as_u16() >= 400 {
                    span.record("error.type", answer.status.as_str());
                }
                let status = answer.status;
                let allowance = Allowance::read(&answer.headers);
                if let Some(allowance) = allowance {
                    gate.note_allowance(allowance);
                }
                // Who throttles because nothing is left says in either way for how long.
                let renewed_in =
                    allowance.filter(|left| left.remaining == 0).and_then(|left| left.renewed_in);
                let asked_to_wait = retry_after(&answer.headers).or(renewed_in);
                let used_up =
                    question.is_pull() && renewed_in.is_some() && gate.limits.counts == Counted::Pulls;
                let is_throttled = status == StatusCode::TOO_MANY_REQUESTS
                    || (status == StatusCode::SERVICE_UNAVAILABLE && asked_to_wait.is_some());
                if is_throttled && used_up {
                    gate.note(Ended::NoPullsLeft);
                } else if is_throttled {
                    gate.note(Ended::Throttled { wait: asked_to_wait });
                } else if status.is_server_error() {
                    let is_overloaded = status == StatusCode::SERVICE_UNAVAILABLE;
                    let how = if is_overloaded { Trouble::Overloaded } else { Trouble::Other };
                    gate.note(Ended::Failed { how });
                } else {
                    gate.note(Ended::Answered { bytes: answer.bytes, took: answer.took });
                }
            }
            Err(Miss::TooLarge(read)) => {
                let span = tracing::Span::current();
                span.record("http.response.body.size", read);
                span.record("error.type", "tooLarge");
                gate.note(Ended::Answered { bytes: *read, took: Duration::ZERO });
            }
            Err(Miss::Timeout) => {
                tracing::Span::current().record("error.type", "timeout");
                gate.note(Ended::Failed { how: Trouble::Slow });
            }
            Err(Miss::Connection(_)) => {
                tracing::Span::current().record("error.type", "connection");
                gate.note(Ended::Failed { how: Trouble::Other });
            }
        }
        sent
    }

    fn told(&self, kind: FailureKind, question: &Question, answer: &Answer, attempts: u32) -> Failure {
        self.missed(kind, question, &format!("answered {}", answer.told()), attempts)
    }

    fn missed(&self, kind: FailureKind, question: &Question, what: &str, attempts: u32) -> Failure {
        // No time in it: two runs over the same world say the same.
        let tries = if attempts == 1 { String::new() } else { format!(" after {attempts} attempts") };
        Failure::new(kind, format!("{}: {what}{tries}", self.place(&question.method, &question.url)))
    }

    async fn send(&self, question: &Question) -> Result<Answer, Miss> {
        let mut request = self
            .http(&question.url)
            .request(question.method.clone(), question.url.clone())
            .header(ACCEPT, question.accept);
        if let Some(authorization) = &question.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(known) = &question.known {
            request = request.header(IF_NONE_MATCH, known.clone());
        }
        if let Some(form) = &question.form {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone());
        }
        let began = Instant::now();
        let mut response = request.send().await.map_err(|error| miss(&error))?;
        let took = began.elapsed();
        let status = response.status();
        let good = status.is_success();
        let cap = if good { question.cap } else { ERROR_BYTES };
        let announced = response.content_length().filter(|_| question.method != Method::HEAD);
        if good && announced.is_some_and(|length| length > cap as u64) {
            return Err(Miss::TooLarge(0));
        }
        let sink = question.sink.as_ref().filter(|_| good);
        // Whoever reads may have gone, which is theirs to mind.
        if let Some(sink) = sink {
            sink.send(Part::Begin).await.ok();
        }
        let mut body = BytesMut::new();
        let mut bytes = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| miss(&error))? {
            if bytes + chunk.len() > cap {
                if good {
                    return Err(Miss::TooLarge(bytes + chunk.len()));
                }
                break;
            }
            bytes += chunk.len();
            match sink {
                Some(sink) => drop(sink.send(Part::Chunk(chunk)).await),
                None => body.extend_from_slice(&chunk),
            }
        }
        let headers = std::mem::take(response.headers_mut());
        let body = body.freeze();
        Ok(Answer { status, headers, body, bytes, url: question.url.clone(), elsewhere: false, took })
    }
}

/// Tells the gate of a request that failed for good: so many of these in a row, and the host is given up.
/// Single attempts do not count, or one image that always fails would close the gate to its neighbours.
fn given_up(gate: &Gate, failure: Failure) -> Failure {
    gate.note(Ended::GivenUp {
        server_failed: failure.kind == FailureKind::ServerError,
        why: &failure.message,
    });
    failure
}

fn miss(error: &reqwest::Error) -> Miss {
    if error.is_timeout() { Miss::Timeout } else { Miss::Connection(chain(error)) }
}

/// An error and its causes in one line, without the URL that the place names already.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // The HTTP client's own words for "while connecting" say nothing that the cause does not.
        let says_nothing = text.starts_with("client error") || text == "tcp connect error";
        if !says_nothing && causes.last() != Some(&text) {
            causes.push(text);
        }
        source = cause.source();
    }
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

/// Full jitter ([the reasons](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)), with a floor.
fn backoff(attempt: u32) -> Duration {
    let most = FIRST_BACKOFF.saturating_mul(1 << attempt.min(8)).min(LONGEST_BACKOFF);
    FIRST_BACKOFF / 2 + most.mul_f64(fastrand::f64())
}

/// `Retry-After` in seconds or as a date ([RFC 9110 §10.2.3](https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("7"), Some(Duration::from_secs(7)));
        assert_eq!(of(" 0 "), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO), "a past date");
        let soon = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(90));
        let wait = of(&soon).unwrap();
        assert!(wait > Duration::from_secs(80) && wait <= Duration::from_secs(90), "{wait:?}");
    }

    #[test]
    fn the_backoff_grows_and_stays_bounded() {
        for attempt in 1..20 {
            let wait = backoff(attempt);
            assert!(wait >= FIRST_BACKOFF / 2 && wait <= LONGEST_BACKOFF + FIRST_BACKOFF, "{wait:?}");
        }
    }
}
