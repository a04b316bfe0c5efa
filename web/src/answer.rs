//! Answers that say little: a few words, that nothing changed, JSON with its entity tag.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// A short answer in words.
pub(crate) fn told(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// Whether the asker has this already.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let all = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == etag
    })
}

pub(crate) fn not_modified(etag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.to_owned())]).into_response()
}

/// JSON with its entity tag.
pub(crate) fn answered(etag: &str, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let kind = (header::CONTENT_TYPE, "application/json".to_owned());
            ([kind, (header::ETAG, etag.to_owned())], body).into_response()
        }
        Err(error) => Problem::unreadable(error.to_string()).into_response(),
    }
}
