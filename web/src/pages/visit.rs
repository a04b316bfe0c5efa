//! A page is asked for, and there is one or there is none.

use std::sync::Arc;

use askama::Template;
use axum::extract::{FromRequestParts, RawQuery};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};

use crate::api::Api;
use crate::auth::Who;
use crate::problem::Problem;

pub(super) fn rendered(status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::unreadable("a defect; the log says more")
    })?;
    Ok((status, Html(text)).into_response())
}

/// A page, or why there is none.
pub(super) type Page = Result<Response, Oops>;

pub(super) fn shown(page: &impl Template) -> Page {
    Ok(rendered(StatusCode::OK, page)?)
}

/// Why there is no page; it becomes one on its way out.
pub(super) struct Oops(Box<Response>);

/// The folder has no report yet.
#[derive(Clone, Copy)]
pub(super) struct NoReports;

impl From<Problem> for Oops {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem.into_response()))
    }
}

impl From<NoReports> for Oops {
    fn from(none: NoReports) -> Self {
        let mut answer = StatusCode::OK.into_response();
        answer.extensions_mut().insert(none);
        Self(Box::new(answer))
    }
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Who wants a page, and with what.
pub(super) struct Visit {
    pub(super) api: Arc<Api>,
    pub(super) query: Option<String>,
    pub(super) who: Who,
}

impl FromRequestParts<Arc<Api>> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Self::Rejection> {
        let RawQuery(query) = RawQuery::from_request_parts(parts, api).await?;
        let who = parts.extensions.get().cloned().unwrap_or(Who::Unknown);
        Ok(Self { api: Arc::clone(api), query, who })
    }
}
