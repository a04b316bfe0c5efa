//! Whether a listener lives, and whether it can serve.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::answer::told;
use crate::store::Store;

/// It lives.
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
