//! The dashboard's pages, rendered here: they work without a script, load nothing from elsewhere, and their state is in
//! the URL. Every link is relative and one level deep, so that the pages work under any path prefix.

mod api;
mod cells;
mod chart;
mod clusters;
mod compare;
mod image;
mod images;
mod link;
mod others;
mod overview;
mod scan;
mod shell;
mod sign_in;
mod visit;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::api::Api;
use crate::auth::{Stopped, Who};
use crate::problem::Problem;
use shell::{Frame, Shell};
use visit::{NoReports, rendered};

/// The pages, and what they load.
pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    let readers = Router::new()
        .route("/", get(overview::page))
        .route("/images", get(images::page))
        .route("/export", get(images::export))
        .route("/image", get(image::page))
        .route("/history", get(image::history))
        .route("/releases", get(others::releases))
        .route("/compare", get(compare::page))
        .route("/run", get(others::run))
        .route("/clusters", get(clusters::page))
        .route("/api", get(api::page))
        .route("/api/try", get(api::tried))
        .route("/scan", get(scan::page).post(scan::start))
        .layer(from_fn_with_state(Arc::clone(api), readers));
    let everybody = Router::new()
        .route("/sign-in", get(sign_in::begin))
        .route("/callback", get(sign_in::finish))
        .route("/sign-out", post(sign_in::end))
        .route("/signed-out", get(sign_in::ended))
        .fallback(nothing);
    let dressed = readers.merge(everybody).layer(from_fn_with_state(Arc::clone(api), dressed));
    dressed
        .route("/style.css", get(|| async { asset("text/css", include_str!("../../assets/style.css")) }))
        .route(
            "/brand.css",
            get(|State(api): State<Arc<Api>>| async move { asset("text/css", api.brand.style()) }),
        )
        .route(
            "/script.js",
            get(|| async { asset("text/javascript", include_str!("../../assets/script.js")) }),
        )
        .route("/icon.svg", get(|| async { asset("image/svg+xml", include_str!("../../assets/icon.svg")) }))
}

/// There is no such page, or no such route of the API.
async fn nothing(request: Request) -> Response {
    let path = request.uri().path();
    let problem = Problem::not_found(format!("There is nothing at {path}."));
    if path.starts_with("/api/") {
        let mut told = problem.into_response();
        // Programs are told as everywhere in the API.
        told.extensions_mut().remove::<Problem>();
        return told;
    }
    problem.into_response()
}

/// A file that the pages load. It may be kept for an hour.
fn asset(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], text)
}

/// What a page may load: its style, its script and its pictures, from here and where the brand's pictures are. Signing out
/// leads a form to the issuer.
pub(crate) fn policy(pictures: &[String], issuer: Option<&str>) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' {}; connect-src 'self'; form-action 'self' {}; \
         base-uri 'none'; frame-ancestors 'none'",
        pictures.join(" "),
        issuer.unwrap_or_default(),
    );
    HeaderValue::from_str(&policy.replace(" ;", ";")).expect("origins are ASCII")
}

#[derive(Template)]
#[template(path = "error.html")]
struct Failed<'a> {
    shell: Shell,
    status: u16,
    title: &'a str,
    detail: &'a str,
    /// Where to sign in, where that may help.
    sign_in: bool,
}

/// The page of a folder that has no report yet.
#[derive(Template)]
#[template(path = "empty.html")]
struct Empty {
    shell: Shell,
}

/// Gives every answer what a page has: its policy, and for a problem a page that tells it.
async fn dressed(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Who>,
    request: Request,
    next: Next,
) -> Response {
    let mut answer = next.run(request).await;
    let frame = || Frame::of(&api, &who);
    if answer.extensions_mut().remove::<NoReports>().is_some() {
        let shell = Shell::bare(frame(), "No reports yet");
        answer = rendered(StatusCode::OK, &Empty { shell }).unwrap_or_else(IntoResponse::into_response);
    } else if let Some(problem) = answer.extensions_mut().remove::<Problem>() {
        let status = problem.status();
        let title = status.canonical_reason().unwrap_or("Error");
        let sign_in =
            !matches!(who, Who::Known(_)) && api.auth.as_ref().is_some_and(|auth| auth.has_browser());
        let shell = Shell::bare(frame(), title);
        let page = Failed { shell, status: status.as_u16(), title, detail: problem.detail(), sign_in };
        let headers = std::mem::take(answer.headers_mut());
        answer = rendered(status, &page).unwrap_or_else(IntoResponse::into_response);
        for name in [header::RETRY_AFTER, header::WWW_AUTHENTICATE] {
            answer.headers_mut().extend(headers.get(&name).cloned().map(|value| (name, value)));
        }
    }
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, api.policy.clone());
    if api.auth.is_some() && !headers.contains_key(header::CACHE_CONTROL) {
        // What one person may see is not kept for the next one.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    answer
}

/// Lets only those to a page who may read; the others are sent to sign in, or are told why not.
async fn readers(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Who>,
    request: Request,
    next: Next,
) -> Response {
    match who.may_read() {
        Ok(()) => next.run(request).await,
        Err(Stopped::Unknown)
            if request.method() == Method::GET
                && api.auth.as_ref().is_some_and(|auth| auth.has_browser()) =>
        {
            let to = request.uri().path_and_query().map_or("", |page| page.as_str().trim_start_matches('/'));
            let to = link::Params::new([("to", to)]).to("sign-in");
            (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
        }
        Err(stopped) => stopped.into_response(),
    }
}
