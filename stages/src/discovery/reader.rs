//! Lists from the Kubernetes API: in pages, with a time limit and a byte cap each, retried where the API
//! asks for patience.
//!
//! A continue token can expire while pages are read (410). The answer often holds a fresh one, with which the
//! rest is read; where it does not, the list is read again from its start. Either way an object can come
//! twice: whoever reads must know an object by its uid.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use provenance_engine::Stop;
use provenance_model::report::ProblemReason;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Bytes of one answer. 500 pods have 3 to 20 MiB as a rule.
const ANSWER_BYTES: usize = 256 << 20;
/// Times a list is begun anew before it is given up.
const RESTARTS: u32 = 5;

/// What is asked of each object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Whole,
    /// Metadata only, without spec and status.
    Metadata,
}

impl Detail {
    fn accept(self) -> &'static str {
        match self {
            Self::Whole => "application/json",
            Self::Metadata => {
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, application/json;q=0.5"
            }
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Failed(String),
    #[error("the run was stopped")]
    Stopped,
}

impl ReadError {
    /// The reason that a report gives for it.
    pub(crate) fn reason(&self) -> ProblemReason {
        match self {
            Self::Forbidden(_) => ProblemReason::Forbidden,
            Self::NotFound(_) => ProblemReason::NotFound,
            Self::Stopped => ProblemReason::Stopped,
            Self::Unauthorized(_) | Self::Failed(_) => ProblemReason::CutShort,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<T>>,
}

#[derive(Debug, Default, Deserialize)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// The parts of a Kubernetes `Status` that are read.
#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default)]
    metadata: PageMeta,
}

/// A way to read from one API.
#[derive(Clone)]
pub(crate) struct Reader {
    client: kube::Client,
    page_size: usize,
    stop: Stop,
}

/// What one request brought.
enum Answer {
    Body(bytes::Bytes),
    Expired { fresh: Option<String> },
}

impl Reader {
    pub(crate) fn new(client: kube::Client, page_size: usize, stop: Stop) -> Self {
        Self { client, page_size: page_size.max(1), stop }
    }

    /// The same, ended by this order to stop.
    pub(crate) fn stopped_by(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// Reads one document.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ReadError> {
        match self.ask(path, "application/json").await? {
            Answer::Body(body) => parse(path, &body),
            Answer::Expired { .. } => Err(ReadError::Failed(format!("GET {path} answered 410"))),
        }
    }

    /// A list to be read page by page. An object can come twice.
    pub(crate) fn list(&self, path: &str, detail: Detail) -> Pages<'_> {
        Pages { reader: self, path: path.to_owned(), detail, next: Some(String::new()), restarts: 0 }
    }

    async fn ask(&self, path: &str, accept: &str) -> Result<Answer, ReadError> {
        let shown = path.split('?').next().unwrap_or(path);
        let mut attempt = 1;
        loop {
            let sent = tokio::select! {
                biased;
                () = self.stop.ordered() => return Err(ReadError::Stopped),
                sent = tokio::time::timeout(TIMEOUT, self.send(path, accept)) => sent,
            };
            let (why, wait) = match sent {
                Ok(Ok((status, _, body))) if status.is_success() => return Ok(Answer::Body(body)),
                Ok(Ok((status, retry_after, body))) => {
                    let told: Status = serde_json::from_slice(&body).unwrap_or_default();
                    let message =
                        if told.message.is_empty() { String::new() } else { format!(": {}", told.message) };
                    let why = format!("GET {shown} answered {}{message}", status.as_u16());
                    match status {
                        StatusCode::FORBIDDEN => return Err(ReadError::Forbidden(why)),
                        StatusCode::UNAUTHORIZED => return Err(ReadError::Unauthorized(why)),
                        StatusCode::NOT_FOUND => return Err(ReadError::NotFound(why)),
                        StatusCode::GONE => return Ok(Answer::Expired { fresh: told.metadata.next }),
                        StatusCode::TOO_MANY_REQUESTS => (why, retry_after),
                        status if status.is_server_error() => (why, retry_after),
                        _ => return Err(ReadError::Failed(why)),
                    }
                }
                Ok(Err(why)) => (format!("GET {shown}: {why}"), None),
                Err(_) => (format!("GET {shown}: no complete answer in {TIMEOUT:?}"), None),
            };
            if attempt >= ATTEMPTS {
                return Err(ReadError::Failed(format!("{why}, after {attempt} attempts")));
            }
            let backoff =
                Duration::from_millis(100 << attempt) + Duration::from_millis(fastrand::u64(0..100));
            let wait = wait.map_or(backoff, |asked| asked.clamp(backoff, LONGEST_WAIT));
            tracing::debug!(%why, ?wait, "asking the Kubernetes API again");
            tokio::select! {
                biased;
                () = self.stop.ordered() => return Err(ReadError::Stopped),
                () = tokio::time::sleep(wait) => {}
            }
            attempt += 1;
        }
    }

    async fn send(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<(StatusCode, Option<Duration>, bytes::Bytes), String> {
        let request = Request::get(path)
            .header(http::header::ACCEPT, accept)
            .body(Body::empty())
            .map_err(|error| error.to_string())?;
        let response = self.client.send(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| format!("its answer broke off: {error}"))?;
        Ok((status, retry_after, body.to_bytes()))
    }
}

/// A list on its way.
pub(crate) struct Pages<'a> {
    reader: &'a Reader,
    path: String,
    detail: Detail,
    /// The continue token of the next page; none after the last.
    next: Option<String>,
    restarts: u32,
}

impl Pages<'_> {
    /// The next page, or none after the last.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Vec<T>>, ReadError> {
        let path = &self.path;
        while let Some(next) = &self.next {
            let token: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            let query = if token.is_empty() { String::new() } else { format!("&continue={token}") };
            let joint = if path.contains('?') { '&' } else { '?' };
            let asked = format!("{path}{joint}limit={}{query}", self.reader.page_size);
            match self.reader.ask(&asked, self.detail.accept()).await? {
                Answer::Body(body) => {
                    let page: Page<T> = parse(path, &body)?;
                    let token = page.metadata.next.filter(|token| !token.is_empty());
                    if token.is_some() && token == self.next {
                        let why = format!("GET {path}: its continue token leads back to itself");
                        return Err(ReadError::Failed(why));
                    }
                    self.next = token;
                    return Ok(Some(page.items.unwrap_or_default()));
                }
                Answer::Expired { fresh } => {
                    self.restarts += 1;
                    if self.restarts > RESTARTS {
                        let times = self.restarts;
                        let why = format!(
                            "GET {path}: its continue token expired {times} times, the list is too slow to read"
                        );
                        return Err(ReadError::Failed(why));
                    }
                    tracing::debug!(path, fresh = fresh.is_some(), "the continue token expired");
                    self.next = Some(fresh.unwrap_or_default());
                }
            }
        }
        Ok(None)
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, ReadError> {
    // serde_json's message may quote a value, and some of what is read is secret.
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        ReadError::Failed(format!(
            "GET {path}: its answer is not of the expected form at line {line}, column {column}"
        ))
    })
}

/// An error and its causes in one line. Only the first line of each: the others may quote a file's secrets.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let first_line = |error: &dyn std::error::Error| {
        error.to_string().lines().next().unwrap_or_default().replace("YAML: error:", "YAML:")
    };
    let mut causes = vec![first_line(error)];
    let mut source = error.source();
    while let Some(cause) = source {
        let text = first_line(cause);
        if !causes.iter().any(|known| known.contains(&text)) {
            causes.push(text);
        }
        source = cause.source();
    }
    causes.join(": ")
}
