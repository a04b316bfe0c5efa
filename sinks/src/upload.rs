//! The upload sink: POST to a dashboard, ours or the older one.
//!
//! The body is written as it is sent, packed where the server says that it takes that (`Accept-Encoding` in its answer to
//! OPTIONS, [RFC 9110 §12.5.3](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3)). Every attempt carries the same
//! `Idempotency-Key`, so that a server that knows it makes one report of several attempts.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use provenance_model::report::Draft;
use reqwest::{Body, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::SinkError;

const ATTEMPTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of a part of the body.
const PART: usize = 64 << 10;
/// Characters of a refusal that are told.
const TOLD: usize = 500;

/// Where reports are uploaded to.
#[derive(Debug, Clone)]
pub struct UploadSink {
    http: reqwest::Client,
    url: Url,
    token: Option<PathBuf>,
}

/// How one attempt ended.
enum Missed {
    /// Another attempt may do; after this long, if the server says so.
    ForNow(String, Option<Duration>),
    ForGood(String),
}

impl UploadSink {
    /// A sink that uploads to this URL, each attempt within `timeout`. `token` is a file with a bearer token, read at each
    /// attempt.
    ///
    /// # Errors
    ///
    /// Where no HTTP client can be made.
    pub fn new(url: Url, timeout: Duration, token: Option<PathBuf>, agent: &str) -> Result<Self, SinkError> {
        let http = reqwest::Client::builder()
            .user_agent(agent)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| SinkError::Upload { url: shown(&url), why: error.to_string() })?;
        Ok(Self { http, url, token })
    }

    /// Where to, without what may be secret.
    pub fn place(&self) -> String {
        shown(&self.url)
    }

    /// Uploads the report; `traceparent` is the context of the trace that it is a part of
    /// ([W3C](https://www.w3.org/TR/trace-context/#traceparent-header)).
    ///
    /// # Errors
    ///
    /// [`SinkError::Upload`] where the server does not take it.
    pub async fn write(&self, report: &Arc<Draft>, traceparent: Option<&str>) -> Result<(), SinkError> {
        let refuse = |why: String| SinkError::Upload { url: self.place(), why };
        let key = {
            let report = Arc::clone(report);
            // A large report takes a while to be read through.
            tokio::task::spawn_blocking(move || key(&report)).await
        };
        let key = key
            .map_err(|error| refuse(error.to_string()))?
            .map_err(|error| refuse(format!("it is no JSON: {error}")))?;
        let packed = self.takes_gzip(traceparent).await;
        let mut attempt = 1;
        loop {
            let (why, asked) = match self.send(report, &key, packed, traceparent).await {
                Ok(()) => return Ok(()),
                Err(Missed::ForGood(why)) => return Err(refuse(why)),
                Err(Missed::ForNow(why, asked)) => (why, asked),
            };
            if attempt == ATTEMPTS {
                return Err(refuse(format!("{why}, after {attempt} attempts")));
            }
            let backoff = FIRST_WAIT * (1 << (attempt - 1)) + Duration::from_millis(fastrand::u64(0..200));
            let wait = asked.map_or(backoff, |asked| asked.clamp(backoff, LONGEST_WAIT));
            tracing::warn!(%why, ?wait, "the report is uploaded again");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// Whether the server says that it takes gzip. The older dashboard says nothing.
    async fn takes_gzip(&self, traceparent: Option<&str>) -> bool {
        let mut asked = self.http.request(reqwest::Method::OPTIONS, self.url.clone());
        if let Some(traceparent) = traceparent {
            asked = asked.header("traceparent", traceparent);
        }
        let Ok(answer) = asked.send().await else { return false };
        let taken = answer.headers().get_all("accept-encoding").iter();
        taken.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|coding| {
            coding.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip"))
        })
    }

    async fn send(
        &self,
        report: &Arc<Draft>,
        key: &str,
        packed: bool,
        traceparent: Option<&str>,
    ) -> Result<(), Missed> {
        let mut request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body(Arc::clone(report), packed));
        if packed {
            request = request.header("content-encoding", "gzip");
        }
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        if let Some(file) = &self.token {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|error| Missed::ForGood(format!("{}: {error}", file.display())))?;
            request = request.bearer_auth(token.trim());
        }
        let answer = request.send().await.map_err(|error| {
            let why =
                if error.is_timeout() { "no complete answer in time".to_owned() } else { chain(&error) };
            Missed::ForNow(why, None)
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let after =
            answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let said = answer.text().await.unwrap_or_default();
        let said: String = said.chars().filter(|c| !c.is_control() || *c == ' ').take(TOLD).collect();
        let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
        let why = format!("the server answered {}{said}", status.as_u16());
        let may_pass = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
                .contains(&status);
        Err(if may_pass { Missed::ForNow(why, after.map(Duration::from_secs)) } else { Missed::ForGood(why) })
    }
}

/// A URL without user, password and query.
fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    // A URL with a host takes both.
    shown.set_username("").ok();
    shown.set_password(None).ok();
    shown.to_string()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    causes.dedup();
    causes.join(": ")
}

/// The same for the same report.
fn key(report: &Draft) -> serde_json::Result<String> {
    struct Sum(Sha256);
    impl Write for Sum {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sum = Sum(Sha256::new());
    serde_json::to_writer(&mut sum, report)?;
    Ok(hex::encode(sum.0.finalize()))
}

/// The report as it is written, a part at a time.
fn body(report: Arc<Draft>, packed: bool) -> Body {
    let (parts_in, parts) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let parts = Parts { out: parts_in.clone(), part: Vec::with_capacity(PART) };
        let written = if packed {
            let mut encoder = GzEncoder::new(parts, Compression::default());
            serde_json::to_writer(&mut encoder, &*report).map_err(io::Error::from).and_then(|()| {
                let mut parts = encoder.finish()?;
                parts.flush()
            })
        } else {
            let mut parts = parts;
            serde_json::to_writer(&mut parts, &*report).map_err(io::Error::from).and_then(|()| parts.flush())
        };
        if let Err(error) = written {
            // The request may be over already; then nobody listens.
            parts_in.blocking_send(Err(error)).ok();
        }
    });
    Body::wrap_stream(stream::unfold(parts, |mut parts| async move { Some((parts.recv().await?, parts)) }))
}

/// Sends what is written in parts.
struct Parts {
    out: mpsc::Sender<io::Result<Bytes>>,
    part: Vec<u8>,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        if self.part.len() >= PART {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
        self.out.blocking_send(Ok(part.into())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
