//! The dashboard's pages, rendered here: they work without a script, load nothing from elsewhere, and their state is in
//! the URL. Every link is relative and one level deep, so that the pages work under any path prefix.

mod cells;
mod chart;
mod compare;
mod image;
mod images;
mod link;
mod others;
mod overview;
mod shell;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use crate::api::Api;
use crate::problem::Problem;
use shell::Shell;

/// The pages, and what they load.
pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/images", get(images::page))
        .route("/export", get(images::export))
        .route("/image", get(image::page))
        .route("/history", get(image::history))
        .route("/releases", get(others::releases))
        .route("/compare", get(compare::page))
        .route("/run", get(others::run))
        .route("/style.css", get(|| async { asset("text/css", include_str!("../../assets/style.css")) }))
        .route(
            "/script.js",
            get(|| async { asset("text/javascript", include_str!("../../assets/script.js")) }),
        )
        .route("/icon.svg", get(|| async { asset("image/svg+xml", include_str!("../../assets/icon.svg")) }))
}

/// A file that the pages load. It may be kept for an hour.
fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text)
}

/// What a page may load: its style, its script and its pictures, from here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

fn rendered(status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Problem::unreadable("a defect; the log says more")
    })?;
    let mut answer = (status, Html(text)).into_response();
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(answer)
}

/// A page, or the page that says why there is none.
type Page = Result<Response, Oops>;

fn shown(page: &impl Template) -> Page {
    Ok(rendered(StatusCode::OK, page)?)
}

/// Why there is no page.
struct Oops(Problem);

impl From<Problem> for Oops {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failed<'a> {
    shell: Shell,
    status: u16,
    title: &'a str,
    detail: &'a str,
}

impl IntoResponse for Oops {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let title = status.canonical_reason().unwrap_or("Error");
        let shell = Shell::bare(title);
        let page = Failed { shell, status: status.as_u16(), title, detail: self.0.detail() };
        rendered(status, &page).unwrap_or_else(IntoResponse::into_response)
    }
}

/// The page of a folder that has no report yet.
#[derive(Template)]
#[template(path = "empty.html")]
struct Empty {
    shell: Shell,
}
