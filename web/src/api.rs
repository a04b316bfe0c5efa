//! The public listener: how it is set, its routes, and what they share.

pub(crate) mod facts;
pub(crate) mod older;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRequestParts, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::json;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::auth::{Auth, SignIn, SignInError, identified, readers};
use crate::brand::Brand;
use crate::front::{self, Place};
use crate::jobs::Jobs;
use crate::loaded::Loaded;
use crate::problem::Problem;
use crate::scan::scan;
use crate::store::{Found, Listing, Store};
use crate::{metrics as series, openapi, pages};

/// How the dashboard and its API are set.
#[derive(Debug, Default)]
pub struct Settings {
    /// Whether the timeline shows differences.
    pub timeline_deltas: bool,
    /// Where it is reached.
    pub place: Place,
    /// How people and programs are known; where nothing says so, everybody may read.
    pub sign_in: Option<SignIn>,
    /// Starts scans, where they can be started.
    pub jobs: Option<Jobs>,
    /// The brand.
    pub brand: Brand,
    /// Whether metrics are for everybody, also where people sign in.
    pub open_metrics: bool,
}

#[derive(Debug)]
pub(crate) struct Api {
    store: Arc<Store>,
    timeline_deltas: bool,
    pub(crate) auth: Option<Arc<Auth>>,
    pub(crate) jobs: Option<Jobs>,
    pub(crate) brand: Brand,
    /// What pages may load.
    pub(crate) policy: HeaderValue,
    /// The metrics of the listing with this entity tag.
    metrics: Mutex<Option<(String, Bytes)>>,
}

/// The routes.
///
/// # Errors
///
/// Where signing in cannot be set up.
pub fn public(store: Arc<Store>, settings: Settings) -> Result<Router, SignInError> {
    let auth = settings.sign_in.map(Auth::new).transpose()?.map(Arc::new);
    let policy = pages::policy(&settings.brand.sources(), auth.as_ref().map(|auth| auth.origin()).as_deref());
    let for_ready = Arc::clone(&store);
    let api = Arc::new(Api {
        store,
        timeline_deltas: settings.timeline_deltas,
        auth: auth.clone(),
        jobs: settings.jobs,
        brand: settings.brand,
        policy,
        metrics: Mutex::default(),
    });
    let counted = Router::new().route("/metrics", get(metrics));
    let read = Router::new()
        .route("/api/reports", get(older::reports))
        .route("/api/reports/{name}", get(older::report))
        .route("/api/export", get(older::exported))
        .route("/api/clusters", get(facts::clusters))
        .route("/api/images", get(facts::images))
        .route("/api/releases", get(facts::releases))
        .route("/api/diff", get(facts::diff))
        .route("/api/timeline", get(facts::timeline))
        .route("/api/history", get(facts::history))
        .route("/api/search", get(facts::search));
    let (read, open) =
        if settings.open_metrics { (read, counted) } else { (read.merge(counted), Router::new()) };
    let routes = read
        .layer(from_fn(readers))
        .merge(open)
        .merge(pages::routes(&api))
        .route("/api/openapi.json", get(openapi::served))
        .route("/api/me", get(older::me))
        .route("/api/scan", post(scan).fallback(only_post))
        .layer(from_fn_with_state(auth, identified))
        .with_state(api)
        .route("/healthz", get(healthy))
        .route("/readyz", get(move || ready(Arc::clone(&for_ready))))
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(map_response(guarded));
    Ok(front::behind(settings.place, routes))
}

/// What tells a browser to take an answer for what it is, and for nothing else.
async fn guarded(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ] {
        // A page says itself what it may load.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
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

/// JSON with its entity tag.
fn answered(etag: &str, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => {
            let kind = (header::CONTENT_TYPE, "application/json".to_owned());
            ([kind, (header::ETAG, etag.to_owned())], body).into_response()
        }
        Err(error) => Problem::unreadable(error.to_string()).into_response(),
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

async fn only_post() -> Response {
    told(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}

/// A name that may be of a file in the folder.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\']) && !name.contains("..")
}

async fn find(api: &Arc<Api>, name: String) -> Option<Found> {
    let store = Arc::clone(&api.store);
    tokio::task::spawn_blocking(move || store.find(&name)).await.ok().flatten()
}

/// The newest report of each cluster as metrics. It stays the same until a report comes.
async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    let listing = listed(&api).await?;
    let known = {
        let metrics = api.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.as_ref().filter(|(etag, _)| *etag == listing.etag).map(|(_, text)| text.clone())
    };
    let text = match known {
        Some(text) => text,
        None => counted(&api, &listing).await?,
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Makes the metrics of a listing, and keeps them.
async fn counted(api: &Arc<Api>, listing: &Listing) -> Result<Bytes, Problem> {
    let mut seen = BTreeSet::new();
    let newest = listing.reports.iter().filter(|report| seen.insert(report.cluster_name.clone()));
    let mut reports = Vec::new();
    for report in newest {
        reports.push(loaded(api, Some(&report.filename)).await?.1);
    }
    let made = tokio::task::spawn_blocking(move || series::text(reports.iter().map(|report| &***report)));
    let Ok(Ok(text)) = made.await else { return Err(Problem::unreadable("the metrics cannot be written")) };
    let text = Bytes::from(text);
    let mut metrics = api.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    *metrics = Some((listing.etag.clone(), text.clone()));
    Ok(text)
}
