//! Errors as the API tells them ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// With this status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// What was asked makes no sense.
    pub fn asked(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The status it is told with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What it says.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// It is there, and cannot be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

/// An error as it is written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Told<'a> {
    /// Always `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    kind: &'a str,
    /// The status, in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What is wrong, and what would not be.
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let told = Told { kind: "about:blank", title, status: self.status.as_u16(), detail: &self.detail };
        let body = serde_json::to_string(&told).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut answer = (self.status, kind, body).into_response();
        // Pages tell it in their own way.
        answer.extensions_mut().insert(self);
        answer
    }
}
