//! Signing in and out.

use askama::Template;
use axum::Extension;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::shell::Shell;
use super::visit::{Oops, Page, Visit, shown};
use crate::auth::{Auth, Returned, Sent, Stopped};
use crate::front::{Base, Client};
use crate::problem::Problem;

/// Characters of a page's name at the most.
const LONGEST: usize = 1500;

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    to: String,
}

fn auth(visit: &Visit) -> Result<&Auth, Problem> {
    visit
        .api
        .auth
        .as_deref()
        .ok_or_else(|| Problem::not_found("Nobody signs in here: PROVENANCE_OIDC_ISSUER is not set."))
}

fn tried(auth: &Auth, client: Option<Extension<Client>>) -> Result<(), Problem> {
    let tried = auth.try_sign_in(client.map(|Extension(client)| client));
    tried.map_err(|seconds| Stopped::TooOften(seconds).into())
}

/// Sends a browser to the issuer.
pub(super) async fn begin(
    visit: Visit,
    client: Option<Extension<Client>>,
    Extension(base): Extension<Base>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Sent, Oops> {
    let auth = auth(&visit)?;
    tried(auth, client)?;
    let to = wanted.map(|Query(wanted)| wanted.to).unwrap_or_default();
    // A page of ours, as its own link writes it; anything else is the overview.
    let is_page = to.len() <= LONGEST
        && to.chars().all(|c| c.is_ascii_graphic() && c != '\\')
        && !to.starts_with("sign-");
    Ok(auth.begin(&base, if is_page { to.trim_start_matches('/') } else { "" }).await?)
}

/// Takes a browser that comes back.
pub(super) async fn finish(
    visit: Visit,
    client: Option<Extension<Client>>,
    Extension(base): Extension<Base>,
    returned: Result<Query<Returned>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sent, Oops> {
    let auth = auth(&visit)?;
    tried(auth, client)?;
    let Query(returned) = returned.map_err(|error| Problem::asked(error.body_text()))?;
    Ok(auth.finish(&base, &headers, returned).await?)
}

/// Ends a session.
pub(super) async fn end(
    visit: Visit,
    Extension(base): Extension<Base>,
    headers: HeaderMap,
) -> Result<Response, Oops> {
    // A browser that does not say whence it comes is old, and sends no cookie from elsewhere with a POST anyway.
    if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "Sign out on the dashboard's own page.").into());
    }
    Ok(auth(&visit)?.end(&base, &headers).await.into_response())
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOut {
    shell: Shell,
}

/// The page after signing out.
pub(super) async fn ended(visit: Visit) -> Page {
    shown(&SignedOut { shell: Shell::bare(visit.frame(), "Signed out") })
}
