//! The internal listener: takes reports in. It is never routed outside the cluster, and has no other routes but its
//! health.

use std::io::Read as _;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::LengthLimitError;
use tokio::sync::Semaphore;

use crate::accounts::Accounts;
use crate::answer::told;
use crate::auth::Stopped;
use crate::front::Client;
use crate::health::{healthy, ready};
use crate::limit::Limit;
use crate::store::{Refused, Store};

/// How reports are taken in.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Where they are kept.
    pub store: Arc<Store>,
    /// Bytes of a report at the most, packed or not.
    pub most: usize,
    /// A file with the bearer token that is wanted, if one is. It is read anew for each report.
    pub token: Option<PathBuf>,
    /// `ServiceAccount`s whose tokens are wanted, if any are. Where both are, either does.
    pub accounts: Option<Accounts>,
}

/// Uploads of one client in a minute.
const UPLOADS: NonZeroU32 = NonZeroU32::new(600).expect("six hundred is not zero");

/// The intake, and how often each client came.
#[derive(Debug)]
struct Door {
    intake: Intake,
    uploads: Limit,
    /// KiB of reports that may be in memory at once.
    room: Semaphore,
}

/// The largest reports that may be in memory at once.
const AT_ONCE: usize = 4;

/// The routes.
pub fn internal(intake: Intake) -> Router {
    let store = Arc::clone(&intake.store);
    Router::new()
        .route("/internal/reports", post(take).options(what_is_taken))
        .with_state(Arc::new(Door {
            room: Semaphore::new(kib(intake.most * AT_ONCE)),
            intake,
            uploads: Limit::a_minute(UPLOADS),
        }))
        .route("/healthz", get(healthy))
        .route("/readyz", get(move || ready(Arc::clone(&store))))
}

/// Says that a report may come packed.
async fn what_is_taken() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "OPTIONS, POST"), (header::ACCEPT_ENCODING, "gzip")])
}

async fn take(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(Client(client)) = parts.extensions.get()
        && let Err(seconds) = door.uploads.take(*client)
    {
        return Stopped::TooOften(seconds).into_response();
    }
    let intake = &door.intake;
    match intake.allows(&parts.headers).await {
        Ok(true) => {}
        Ok(false) => return told(StatusCode::UNAUTHORIZED, "a bearer token is wanted, or another"),
        Err(why) => return told(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
    // Room is taken for what is announced, or may come.
    let wanted = announced(&parts.headers).map_or(intake.most, |length| length.min(intake.most));
    let packed = parts.headers.contains_key(header::CONTENT_ENCODING);
    let wanted = kib(if packed { wanted + intake.most } else { wanted });
    let Ok(_room) = door.room.try_acquire_many(u32::try_from(wanted).unwrap_or(u32::MAX)) else {
        let mut busy =
            told(StatusCode::SERVICE_UNAVAILABLE, "other reports are coming in; try again in a moment");
        busy.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        return busy;
    };
    let report = match intake.body(&parts.headers, body).await {
        Ok(report) => report,
        Err(refused) => return refused,
    };
    let store = Arc::clone(&intake.store);
    match tokio::task::spawn_blocking(move || store.accept(&report)).await {
        Ok(Ok(name)) => {
            tracing::info!(name, "a report was taken in");
            StatusCode::ACCEPTED.into_response()
        }
        Ok(Err(Refused::NoReport(why))) => told(StatusCode::BAD_REQUEST, &why),
        Ok(Err(error @ (Refused::Kept(_) | Refused::Joined(_)))) => {
            tracing::error!("{error}");
            told(StatusCode::INSUFFICIENT_STORAGE, "the report could not be kept; the log says why")
        }
        Err(error) => {
            tracing::error!(%error, "taking a report in panicked; please report this defect");
            told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more")
        }
    }
}

impl Intake {
    async fn allows(&self, headers: &HeaderMap) -> Result<bool, String> {
        if self.token.is_none() && self.accounts.is_none() {
            return Ok(true);
        }
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().trim();
        if let Some(file) = &self.token {
            let wanted = tokio::fs::read_to_string(file).await;
            let wanted = wanted.map_err(|error| format!("the token's file cannot be read: {error}"))?;
            if !wanted.trim().is_empty() && is_same(shown, wanted.trim()) {
                return Ok(true);
            }
        }
        match &self.accounts {
            Some(accounts) => accounts.knows(shown).await.map_err(|why| {
                tracing::error!("an upload's token cannot be checked: {why}");
                "the token cannot be checked; the dashboard's log says why".into()
            }),
            None => Ok(false),
        }
    }

    /// The report's bytes, unpacked.
    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, Response> {
        let too_large = || {
            let why = format!("a report has at most {} bytes here (PROVENANCE_UPLOAD_MAX_BYTES)", self.most);
            told(StatusCode::PAYLOAD_TOO_LARGE, &why)
        };
        if announced(headers).is_some_and(|length| length > self.most) {
            return Err(too_large());
        }
        let packed = match headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            Some(_) => return Err(told(StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gzip is unpacked")),
        };
        let bytes = match to_bytes(body, self.most).await {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = error.into_inner();
                return Err(if error.is::<LengthLimitError>() {
                    too_large()
                } else {
                    told(StatusCode::BAD_REQUEST, &format!("the body broke off: {error}"))
                });
            }
        };
        if !packed {
            return Ok(bytes);
        }
        let most = self.most as u64;
        let unpack = move || {
            let mut report = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..])
                .take(most + 1)
                .read_to_end(&mut report)
                .map(|_| report)
        };
        match tokio::task::spawn_blocking(unpack).await {
            Ok(Ok(report)) if report.len() as u64 > most => Err(too_large()),
            Ok(Ok(report)) => Ok(report.into()),
            _ => Err(told(StatusCode::BAD_REQUEST, "the body is no gzip")),
        }
    }
}

/// The body's length, where it is announced.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

/// Compares in a time that does not tell where two secrets differ.
fn is_same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
