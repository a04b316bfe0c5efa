//! The public listener: how it is set, its routes, and what goes around every answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use crate::answer::told;
use crate::api::{Api, facts, listed, loaded, older};
use crate::auth::{Auth, SignIn, SignInError, identified, readers};
use crate::brand::Brand;
use crate::front::{self, Place};
use crate::health::{healthy, ready};
use crate::jobs::Jobs;
use crate::problem::Problem;
use crate::scan::scan;
use crate::store::{Listing, Store};
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

async fn only_post() -> Response {
    told(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
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
