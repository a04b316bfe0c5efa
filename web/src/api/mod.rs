//! The API over a folder of reports: what its routes share. The older routes and those that came since are modules of their own.

pub(crate) mod facts;
pub(crate) mod older;

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::answer::{is_known, not_modified};
use crate::auth::Auth;
use crate::brand::Brand;
use crate::jobs::Jobs;
use crate::loaded::Loaded;
use crate::problem::Problem;
use crate::store::{Found, Listing, Store};

/// What every route may want.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Arc<Store>,
    /// Whether the timeline shows differences.
    pub(crate) timeline_deltas: bool,
    pub(crate) auth: Option<Arc<Auth>>,
    pub(crate) jobs: Option<Jobs>,
    pub(crate) brand: Brand,
    /// What pages may load.
    pub(crate) policy: HeaderValue,
    /// The metrics of the listing with this entity tag.
    pub(crate) metrics: Mutex<Option<(String, Bytes)>>,
}

/// The file of the report that is asked for, with its name.
async fn found(api: &Arc<Api>, asked: Option<&str>) -> Result<(String, Found), Problem> {
    let name = asked.filter(|name| !name.is_empty()).unwrap_or("latest").to_owned();
    if !is_plain(&name) {
        return Err(Problem::asked(format!("report: {name:?} is no file's name")));
    }
    // The newest report has two names, and is loaded once.
    let newest = match name.as_str() {
        "latest" => listed(api).await?.reports.first().map(|report| report.filename.clone()),
        _ => None,
    };
    let found = find(api, newest.unwrap_or_else(|| name.clone())).await;
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no report {name:?}")))?;
    Ok((name, found))
}

/// The report of a file.
async fn load(api: &Arc<Api>, name: &str, found: Found) -> Result<Arc<Loaded>, Problem> {
    let store = Arc::clone(&api.store);
    match tokio::task::spawn_blocking(move || store.load(&found)).await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(Problem::unreadable(format!("the report {name:?} cannot be read: {error}"))),
        Err(_) => Err(Problem::unreadable("a defect; the log says more")),
    }
}

/// The report that is asked for, with its name.
pub(crate) async fn loaded(api: &Arc<Api>, asked: Option<&str>) -> Result<(String, Arc<Loaded>), Problem> {
    let (name, found) = found(api, asked).await?;
    let report = load(api, &name, found).await?;
    Ok((name, report))
}

/// What is asked for in the URL. A parameter without a value is none: dashboards send those that nobody chose.
pub(crate) struct Asking<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asking<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refused = |error: &dyn Display| Problem::asked(error.to_string());
        let pairs = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default());
        let mut pairs: Vec<(String, String)> = pairs.map_err(|error| refused(&error))?;
        pairs.retain(|(_, value)| !value.trim().is_empty());
        let query = serde_urlencoded::to_string(pairs).map_err(|error| refused(&error))?;
        let uri = format!("/?{query}").parse().map_err(|error| refused(&error))?;
        // It names the parameter that is wrong.
        Query::try_from_uri(&uri)
            .map(|Query(asked)| Self(asked))
            .map_err(|error| Problem::asked(error.body_text()))
    }
}

/// An answer from one report, unless the asker has it already. It is made off the async workers.
async fn of_report(
    api: &Arc<Api>,
    asked: Option<&str>,
    headers: &HeaderMap,
    answer: impl FnOnce(&str, String, &Loaded) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let (name, found) = found(api, asked).await?;
    let etag = found.etag.clone();
    if is_known(headers, &etag) {
        return Ok(not_modified(&etag));
    }
    let report = load(api, &name, found).await?;
    match tokio::task::spawn_blocking(move || answer(&etag, name, &report)).await {
        Ok(answered) => answered,
        Err(_) => Err(Problem::unreadable("a defect; the log says more")),
    }
}

pub(crate) async fn listed(api: &Arc<Api>) -> Result<Arc<Listing>, Problem> {
    let store = Arc::clone(&api.store);
    match tokio::task::spawn_blocking(move || store.listing()).await {
        Ok(Ok(listing)) => Ok(listing),
        _ => Err(Problem::unreadable("the folder of reports cannot be read")),
    }
}

/// A name that may be of a file in the folder.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\']) && !name.contains("..")
}

async fn find(api: &Arc<Api>, name: String) -> Option<Found> {
    let store = Arc::clone(&api.store);
    tokio::task::spawn_blocking(move || store.find(&name)).await.ok().flatten()
}
