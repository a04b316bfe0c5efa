//! The routes of the older dashboard, in its shapes.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use provenance_model::report::{Report, export};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;
use utoipa::{IntoParams, ToSchema};

use super::{Api, find, is_plain, loaded};
use crate::answer::{is_known, not_modified, told};
use crate::auth::{Identity, Who};
use crate::store::{Found, Listed};

/// Bytes that are read of a file at once.
const PART: usize = 64 << 10;

/// Every report, the newest first.
#[utoipa::path(
    get, path = "/api/reports", tag = "Older routes",
    responses((status = 200, description = "The reports", body = Vec<Listed>), (status = 304, description = "Not changed since this ETag")),
)]
pub(crate) async fn reports(State(api): State<Arc<Api>>, asked: HeaderMap) -> Response {
    let store = Arc::clone(&api.store);
    let listing = match tokio::task::spawn_blocking(move || store.listing()).await {
        Ok(Ok(listing)) => listing,
        Ok(Err(error)) => {
            tracing::error!(%error, "the folder of reports cannot be read");
            return told(StatusCode::INTERNAL_SERVER_ERROR, "the folder of reports cannot be read");
        }
        Err(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more"),
    };
    if is_known(&asked, &listing.etag) {
        return not_modified(&listing.etag);
    }
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    let headers = [kind, (header::ETAG, listing.etag.clone()), (header::VARY, "accept-encoding".to_owned())];
    if !takes_gzip(&asked) {
        return (headers, listing.json.clone()).into_response();
    }
    // Packed once for all who want it.
    match tokio::task::spawn_blocking(move || listing.packed()).await {
        Ok(packed) => (headers, [(header::CONTENT_ENCODING, "gzip")], packed).into_response(),
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more"),
    }
}

/// Whether an answer may be packed with gzip ([RFC 9110 §12.5.3](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3)).
fn takes_gzip(asked: &HeaderMap) -> bool {
    let codings = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_none_or(|weight| weight > 0.0)
    })
}

/// One report, as the file is. `latest` is the newest.
#[utoipa::path(
    get, path = "/api/reports/{name}", tag = "Older routes",
    params(("name" = String, Path, description = "The file, or `latest`", example = "latest")),
    responses(
        (status = 200, description = "The report", body = ref("#/components/schemas/Report")),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "No file's name", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such report", body = String, content_type = "text/plain"),
    ),
)]
pub(crate) async fn report(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !is_plain(&name) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Some(Found { path, etag }) = find(&api, name).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    if is_known(&headers, &etag) {
        return not_modified(&etag);
    }
    let Ok(file) = tokio::fs::File::open(&path).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    let Ok(length) = file.metadata().await.map(|metadata| metadata.len()) else {
        return told(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be read");
    };
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), PART));
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::ETAG, etag),
    ];
    (headers, body).into_response()
}

/// What is exported.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Export {
    /// `csv`, `markdown` or `md`; CSV where not given.
    #[serde(default)]
    #[param(pattern = "^(|csv|markdown|md)$")]
    format: String,
    /// The report's file; the latest where not given.
    #[serde(default)]
    #[param(pattern = r"^(|latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    filename: String,
}

/// A report as a table.
#[utoipa::path(
    get, path = "/api/export", tag = "Older routes", params(Export),
    responses(
        (status = 200, description = "The table", content((String = "text/csv"), (String = "text/markdown"))),
        (status = 400, description = "Another format, or no file's name", body = String, content_type = "text/plain"),
        (status = 404, description = "There is no such report", body = String, content_type = "text/plain"),
    ),
)]
pub(crate) async fn exported(State(api): State<Arc<Api>>, Query(asked): Query<Export>) -> Response {
    let (write, kind, name): (fn(&Report) -> String, _, _) = match asked.format.as_str() {
        "" | "csv" => (export::csv, "text/csv", "provenance-report.csv"),
        "markdown" | "md" => (export::markdown, "text/markdown", "provenance-report.md"),
        _ => return told(StatusCode::BAD_REQUEST, "unsupported format, use csv or markdown"),
    };
    let file = if asked.filename.is_empty() { "latest".to_owned() } else { asked.filename };
    if !is_plain(&file) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Ok((_, report)) = loaded(&api, Some(&file)).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    let text = tokio::task::spawn_blocking(move || write(&report));
    match text.await {
        Ok(text) => {
            let headers = [
                (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
                (header::CONTENT_DISPOSITION, format!("attachment; filename={name}")),
            ];
            (headers, text).into_response()
        }
        Err(_) => told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more"),
    }
}

/// What dashboards show.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Features {
    /// Differences in the timeline.
    timeline_deltas: bool,
}

/// Who asks.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    /// Whether people sign in here.
    auth_enabled: bool,
    /// Their address, where the issuer tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Their name, where the issuer tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Their groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<String>>,
    /// Whether they may start a scan here.
    #[serde(rename = "canRunScan")]
    can_run_scan: bool,
    /// What dashboards show.
    features: Features,
}

/// Who asks, and what they may do.
#[utoipa::path(
    get, path = "/api/me", tag = "Older routes",
    responses((status = 200, description = "Who asks", body = Me), (status = 401, description = "The token is not taken", body = String, content_type = "text/plain")),
)]
pub(crate) async fn me(State(api): State<Arc<Api>>, Extension(who): Extension<Who>) -> Response {
    let mut me = Me {
        auth_enabled: api.auth.is_some(),
        features: Features { timeline_deltas: api.timeline_deltas },
        ..Me::default()
    };
    match &who {
        Who::Everybody | Who::Unknown => {}
        Who::Known(person) => {
            let Identity { name, email, groups, .. } = person.identity.clone();
            let can_run_scan = person.may_scan && api.jobs.is_some();
            me = Me { email, name, groups: Some(groups), can_run_scan, ..me };
        }
        refused => {
            if let Err(stopped) = refused.may_read() {
                return stopped.into_response();
            }
        }
    }
    ([(header::CACHE_CONTROL, "no-store")], Json(me)).into_response()
}
