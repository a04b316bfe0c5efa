//! The public API: the routes of the older dashboard, in its shapes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use provenance_model::report::{Report, export};
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::ReaderStream;
use tower_http::compression::CompressionLayer;

use crate::store::{Found, Store};

/// How the API is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// Whether the timeline shows differences.
    pub timeline_deltas: bool,
}

#[derive(Debug)]
struct Api {
    store: Arc<Store>,
    settings: Settings,
}

/// The routes.
pub fn public(store: Arc<Store>, settings: Settings) -> Router {
    let for_ready = Arc::clone(&store);
    Router::new()
        .route("/api/reports", get(reports))
        .route("/api/reports/{name}", get(report))
        .route("/api/export", get(exported))
        .route("/api/me", get(me))
        .route("/api/scan", post(scan).fallback(only_post))
        .with_state(Arc::new(Api { store, settings }))
        .route("/healthz", get(healthy))
        .route("/readyz", get(move || ready(Arc::clone(&for_ready))))
        .layer(CompressionLayer::new())
}

/// A short answer in words.
pub(crate) fn told(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

pub(crate) async fn healthy() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// Ready where the folder can be read.
pub(crate) async fn ready(store: Arc<Store>) -> Response {
    match tokio::task::spawn_blocking(move || store.listing().map(drop)).await {
        Ok(Ok(())) => Json(json!({"status": "ok"})).into_response(),
        _ => told(StatusCode::SERVICE_UNAVAILABLE, "the folder of reports cannot be read"),
    }
}

/// Whether the asker has this already.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let all = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == etag
    })
}

fn not_modified(etag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.to_owned())]).into_response()
}

async fn reports(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let store = Arc::clone(&api.store);
    let listing = match tokio::task::spawn_blocking(move || store.listing()).await {
        Ok(Ok(listing)) => listing,
        Ok(Err(error)) => {
            tracing::error!(%error, "the folder of reports cannot be read");
            return told(StatusCode::INTERNAL_SERVER_ERROR, "the folder of reports cannot be read");
        }
        Err(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more"),
    };
    if is_known(&headers, &listing.etag) {
        return not_modified(&listing.etag);
    }
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    ([kind, (header::ETAG, listing.etag.clone())], listing.json.to_vec()).into_response()
}

/// A name that may be of a file in the folder.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\']) && !name.contains("..")
}

async fn report(State(api): State<Arc<Api>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if !is_plain(&name) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Some(Found { path, etag }) = find(&api, name).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    if is_known(&headers, &etag) {
        return not_modified(&etag);
    }
    match tokio::fs::File::open(&path).await {
        Ok(file) => {
            let kind = (header::CONTENT_TYPE, "application/json".to_owned());
            ([kind, (header::ETAG, etag)], Body::from_stream(ReaderStream::new(file))).into_response()
        }
        Err(_) => told(StatusCode::NOT_FOUND, "report not found"),
    }
}

async fn find(api: &Arc<Api>, name: String) -> Option<Found> {
    let store = Arc::clone(&api.store);
    tokio::task::spawn_blocking(move || store.find(&name)).await.ok().flatten()
}

#[derive(Deserialize)]
struct Export {
    #[serde(default)]
    format: String,
    #[serde(default)]
    filename: String,
}

async fn exported(State(api): State<Arc<Api>>, Query(asked): Query<Export>) -> Response {
    let (write, kind, name): (fn(&Report) -> String, _, _) = match asked.format.as_str() {
        "" | "csv" => (export::csv, "text/csv", "provenance-report.csv"),
        "markdown" | "md" => (export::markdown, "text/markdown", "provenance-report.md"),
        _ => return told(StatusCode::BAD_REQUEST, "unsupported format, use csv or markdown"),
    };
    let file = if asked.filename.is_empty() { "latest".to_owned() } else { asked.filename };
    if !is_plain(&file) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Some(Found { path, .. }) = find(&api, file).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    let text = tokio::task::spawn_blocking(move || {
        let report: Report = serde_json::from_slice(&std::fs::read(path)?)?;
        std::io::Result::Ok(write(&report))
    });
    match text.await {
        Ok(Ok(text)) => {
            let headers = [
                (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
                (header::CONTENT_DISPOSITION, format!("attachment; filename={name}")),
            ];
            (headers, text).into_response()
        }
        _ => told(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be read"),
    }
}

/// Nobody signs in yet.
async fn me(State(api): State<Arc<Api>>) -> Json<serde_json::Value> {
    let features = json!({"timelineDeltas": api.settings.timeline_deltas});
    Json(json!({"authEnabled": false, "canRunScan": false, "features": features}))
}

async fn scan(headers: HeaderMap) -> Response {
    if headers.get("sec-fetch-site").is_none_or(|site| site != "same-origin") {
        return told(StatusCode::FORBIDDEN, "forbidden");
    }
    told(StatusCode::SERVICE_UNAVAILABLE, "manual scans are not configured")
}

async fn only_post() -> Response {
    told(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
