//! The public API: the routes of the older dashboard, in its shapes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use provenance_model::report::{Report, export};
use serde::Deserialize;
use serde_json::json;
use tokio_util::io::ReaderStream;
use tower_http::compression::CompressionLayer;

use crate::auth::{Auth, Identity, SignIn, SignInError, Stopped, Who, identified, readers};
use crate::brand::Brand;
use crate::changes::changes;
use crate::front::{self, Place};
use crate::images::{Asked, Flat};
use crate::jobs::Jobs;
use crate::problem::Problem;
use crate::scan::scan;
use crate::search::Searched;
use crate::store::{Found, Listing, Store};
use crate::{metrics, pages};

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
        .route("/api/reports", get(reports))
        .route("/api/reports/{name}", get(report))
        .route("/api/export", get(exported))
        .route("/api/images", get(images))
        .route("/api/releases", get(releases))
        .route("/api/diff", get(diff))
        .route("/api/timeline", get(timeline))
        .route("/api/history", get(history))
        .route("/api/search", get(search));
    let (read, open) =
        if settings.open_metrics { (read, counted) } else { (read.merge(counted), Router::new()) };
    let routes = read
        .layer(from_fn(readers))
        .merge(open)
        .merge(pages::routes(&api))
        .route("/api/me", get(me))
        .route("/api/scan", post(scan).fallback(only_post))
        .layer(from_fn_with_state(auth, identified))
        .with_state(api)
        .route("/healthz", get(healthy))
        .route("/readyz", get(move || ready(Arc::clone(&for_ready))))
        .layer(CompressionLayer::new())
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

async fn reports(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let store = Arc::clone(&api.store);
    let listing = match tokio::task::spawn_blocking(move || store.listing()).await {
        Ok(Ok(listing)) => listing,
        Ok(Err(error)) => {
            tracing::error!(%error, "the folder of reports cannot be read");
            return told(StatusCode::INTERNAL_SERVER_ERROR, "the folder of reports cannot be read");
        }
        Err(_) => return told(StatusCode::INTERNAL_SERVER_ERROR, "a defect; the log says more"),
    };
    if is_known(&headers, &listing.etag) {
        return not_modified(&listing.etag);
    }
    let kind = (header::CONTENT_TYPE, "application/json".to_owned());
    ([kind, (header::ETAG, listing.etag.clone())], listing.json.to_vec()).into_response()
}

/// A name that may be of a file in the folder.
fn is_plain(name: &str) -> bool {
    !name.contains(['/', '\\']) && !name.contains("..")
}

async fn report(State(api): State<Arc<Api>>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if !is_plain(&name) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Some(Found { path, etag }) = find(&api, name).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    if is_known(&headers, &etag) {
        return not_modified(&etag);
    }
    match tokio::fs::File::open(&path).await {
        Ok(file) => {
            let kind = (header::CONTENT_TYPE, "application/json".to_owned());
            ([kind, (header::ETAG, etag)], Body::from_stream(ReaderStream::new(file))).into_response()
        }
        Err(_) => told(StatusCode::NOT_FOUND, "report not found"),
    }
}

async fn find(api: &Arc<Api>, name: String) -> Option<Found> {
    let store = Arc::clone(&api.store);
    tokio::task::spawn_blocking(move || store.find(&name)).await.ok().flatten()
}

#[derive(Deserialize)]
struct Export {
    #[serde(default)]
    format: String,
    #[serde(default)]
    filename: String,
}

async fn exported(State(api): State<Arc<Api>>, Query(asked): Query<Export>) -> Response {
    let (write, kind, name): (fn(&Report) -> String, _, _) = match asked.format.as_str() {
        "" | "csv" => (export::csv, "text/csv", "provenance-report.csv"),
        "markdown" | "md" => (export::markdown, "text/markdown", "provenance-report.md"),
        _ => return told(StatusCode::BAD_REQUEST, "unsupported format, use csv or markdown"),
    };
    let file = if asked.filename.is_empty() { "latest".to_owned() } else { asked.filename };
    if !is_plain(&file) {
        return told(StatusCode::BAD_REQUEST, "invalid filename");
    }
    let Some(Found { path, .. }) = find(&api, file).await else {
        return told(StatusCode::NOT_FOUND, "report not found");
    };
    let text = tokio::task::spawn_blocking(move || {
        let report: Report = serde_json::from_slice(&std::fs::read(path)?)?;
        std::io::Result::Ok(write(&report))
    });
    match text.await {
        Ok(Ok(text)) => {
            let headers = [
                (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
                (header::CONTENT_DISPOSITION, format!("attachment; filename={name}")),
            ];
            (headers, text).into_response()
        }
        _ => told(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be read"),
    }
}

/// The report that is asked for, read, with its name and entity tag.
pub(crate) async fn loaded(
    api: &Arc<Api>,
    asked: Option<&str>,
) -> Result<(String, String, Arc<Report>), Problem> {
    let name = asked.filter(|name| !name.is_empty()).unwrap_or("latest").to_owned();
    if !is_plain(&name) {
        return Err(Problem::asked(format!("report: {name:?} is no file's name")));
    }
    let found = find(api, name.clone()).await;
    let found = found.ok_or_else(|| Problem::not_found(format!("there is no report {name:?}")))?;
    let etag = found.etag.clone();
    let store = Arc::clone(&api.store);
    let report = tokio::task::spawn_blocking(move || store.load(&found)).await;
    match report {
        Ok(Ok(report)) => Ok((name, etag, report)),
        Ok(Err(error)) => Err(Problem::unreadable(format!("the report {name:?} cannot be read: {error}"))),
        Err(_) => Err(Problem::unreadable("a defect; the log says more")),
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

/// An answer from one report, unless the asker has it already.
async fn of_report(
    api: &Arc<Api>,
    asked: Option<&str>,
    headers: &HeaderMap,
    answer: impl FnOnce(&str, String, &Report) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    let (name, etag, report) = loaded(api, asked).await?;
    if is_known(headers, &etag) {
        return Ok(not_modified(&etag));
    }
    answer(&etag, name, &report)
}

async fn images(
    State(api): State<Arc<Api>>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::asked(error.body_text()))?;
    of_report(&api, asked.report.as_deref(), &headers, |etag, name, report| {
        Ok(answered(etag, &asked.answer(name, &report.images)?))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfReport {
    report: Option<String>,
}

async fn releases(
    State(api): State<Arc<Api>>,
    asked: Result<Query<OfReport>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::asked(error.body_text()))?;
    of_report(&api, asked.report.as_deref(), &headers, |etag, name, report| {
        let releases = &report.helm_releases;
        Ok(answered(etag, &json!({"report": name, "total": releases.len(), "items": releases})))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Between {
    from: Option<String>,
    to: Option<String>,
}

/// Between two reports; where none is named, the newest and the one of the same cluster before it.
async fn diff(
    State(api): State<Arc<Api>>,
    asked: Result<Query<Between>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::asked(error.body_text()))?;
    let listing = listed(&api).await?;
    let to = match &asked.to {
        Some(to) => listing.reports.iter().position(|report| report.filename == *to),
        None => (!listing.reports.is_empty()).then_some(0),
    };
    let to = to.ok_or_else(|| Problem::not_found("there is no such report to compare"))?;
    let later = &listing.reports[to];
    let from = asked.from.or_else(|| Some(listing.before(to)?.filename.clone()));
    let from = from.ok_or_else(|| Problem::not_found("there is no earlier report of the same cluster"))?;
    let (from, from_etag, earlier) = loaded(&api, Some(&from)).await?;
    let (to, to_etag, later) = loaded(&api, Some(&later.filename)).await?;
    let etag = format!("\"{}{}\"", from_etag.trim_matches('"'), to_etag.trim_matches('"'));
    Ok(answered(&etag, &changes((&from, &earlier), (&to, &later))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfImage {
    image: String,
    namespace: Option<String>,
    workload: Option<String>,
    limit: Option<usize>,
}

/// One image over the reports, the newest first: what ran under its name, and what was known of it.
async fn history(
    State(api): State<Arc<Api>>,
    asked: Result<Query<OfImage>, QueryRejection>,
) -> Result<Response, Problem> {
    const MOST: usize = 200;
    let Query(asked) = asked.map_err(|error| Problem::asked(error.body_text()))?;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::asked(format!("limit is 1 to {MOST}")));
    }
    let listing = listed(&api).await?;
    let mut items = Vec::new();
    for report in listing.reports.iter().take(limit) {
        // A report that went away or broke meanwhile is a gap, as if it had never been.
        let Ok((_, _, read)) = loaded(&api, Some(&report.filename)).await else { continue };
        let rows = read.images.iter().filter(|row| {
            row.image == asked.image
                && asked.namespace.as_ref().is_none_or(|wanted| row.namespace == *wanted)
                && asked.workload.as_ref().is_none_or(|wanted| row.workload.name == *wanted)
        });
        for row in rows {
            items.push(json!({
                "report": report.filename, "generatedAt": report.generated_at, "clusterName": report.cluster_name,
                "row": Flat::of(row),
            }));
        }
    }
    Ok(answered(&listing.etag, &json!({"image": asked.image, "total": items.len(), "items": items})))
}

async fn search(
    State(api): State<Arc<Api>>,
    asked: Result<Query<Searched>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Query(asked) = asked.map_err(|error| Problem::asked(error.body_text()))?;
    of_report(&api, asked.report.as_deref(), &headers, |etag, name, report| {
        Ok(answered(etag, &asked.answer(name, report)?))
    })
    .await
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
        reports.push(loaded(api, Some(&report.filename)).await?.2);
    }
    let made = tokio::task::spawn_blocking(move || metrics::text(reports.iter().map(AsRef::as_ref)));
    let Ok(Ok(text)) = made.await else { return Err(Problem::unreadable("the metrics cannot be written")) };
    let text = Bytes::from(text);
    let mut metrics = api.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    *metrics = Some((listing.etag.clone(), text.clone()));
    Ok(text)
}

/// Every report's counts in one level of columns, the oldest first, for graphs.
async fn timeline(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let listing = listed(&api).await?;
    if is_known(&headers, &listing.etag) {
        return Ok(not_modified(&listing.etag));
    }
    let points: Vec<_> = listing
        .reports
        .iter()
        .rev()
        .map(|report| {
            let mut point = serde_json::to_value(&report.summary).unwrap_or_default();
            if let Some(columns) = point.as_object_mut() {
                columns.remove("failures");
                columns.insert("filename".into(), report.filename.clone().into());
                columns.insert("generatedAt".into(), report.generated_at.clone().into());
                columns.insert("clusterName".into(), report.cluster_name.clone().into());
            }
            point
        })
        .collect();
    Ok(answered(&listing.etag, &points))
}

pub(crate) async fn listed(api: &Arc<Api>) -> Result<Arc<Listing>, Problem> {
    let store = Arc::clone(&api.store);
    match tokio::task::spawn_blocking(move || store.listing()).await {
        Ok(Ok(listing)) => Ok(listing),
        _ => Err(Problem::unreadable("the folder of reports cannot be read")),
    }
}

/// Who asks, and what they may do.
async fn me(State(api): State<Arc<Api>>, Extension(who): Extension<Who>) -> Response {
    let features = json!({"timelineDeltas": api.timeline_deltas});
    let mut me = json!({"authEnabled": api.auth.is_some(), "canRunScan": false, "features": features});
    match &who {
        Who::Everybody | Who::Unknown => {}
        Who::Known(person) => {
            let Identity { name, email, groups, .. } = &person.identity;
            me["canRunScan"] = (person.may_scan && api.jobs.is_some()).into();
            me["groups"] = groups.clone().into();
            for (field, value) in [("email", email), ("name", name)] {
                if let Some(value) = value {
                    me[field] = value.clone().into();
                }
            }
        }
        refused => {
            return refused.may_read().err().map_or_else(|| Json(me).into_response(), Stopped::into_response);
        }
    }
    let mut answer = Json(me).into_response();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

async fn only_post() -> Response {
    told(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
