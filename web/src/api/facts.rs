//! What reports say, asked in further ways.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use provenance_model::report::{HelmRelease, Summary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Api, Asking, found, listed, load, loaded, of_report};
use crate::answer::{answered, is_known, not_modified};
use crate::changes::{Changes, changes};
use crate::images::{Asked, Flat, Rows};
use crate::problem::{Problem, Told};
use crate::schemas;
use crate::search::{Hits, Searched};
use crate::store::Listed;

/// The Helm releases of a report.
#[derive(Serialize, ToSchema)]
pub(crate) struct Releases<'a> {
    /// The report's file.
    report: String,
    /// How many there are.
    total: usize,
    /// The releases.
    #[schema(schema_with = schemas::releases)]
    items: &'a [HelmRelease],
}

/// An image in one report.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Then {
    /// The report's file.
    report: String,
    /// When it was made.
    generated_at: String,
    /// Its cluster.
    cluster_name: Option<String>,
    /// What was known of the image, in one level of columns.
    #[schema(value_type = Flat)]
    row: serde_json::Value,
}

/// An image over the reports.
#[derive(Serialize, ToSchema)]
pub(crate) struct History {
    /// The image.
    image: String,
    /// How many rows there are.
    total: usize,
    /// The rows, the newest first.
    items: Vec<Then>,
}

/// A report's counts, in one level of columns.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Point {
    /// The report's file.
    filename: String,
    /// When it was made.
    generated_at: String,
    /// Its cluster.
    cluster_name: Option<String>,
    /// Its counts, those of its summary.
    #[serde(flatten)]
    #[schema(schema_with = schemas::counts)]
    counts: Summary,
}

/// All clusters at one look.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Clusters {
    /// How many there are.
    total: usize,
    /// The newest report of each, by name.
    items: Vec<Listed>,
}

/// The clusters whose reports are here, each with its newest.
#[utoipa::path(
    get, path = "/api/clusters", tag = "Further routes",
    responses(
        (status = 200, description = "The answer", body = Clusters),
        (status = 304, description = "Not changed since this ETag"),
    ),
)]
pub(crate) async fn clusters(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let listing = listed(&api).await?;
    if is_known(&headers, &listing.etag) {
        return Ok(not_modified(&listing.etag));
    }
    let items: Vec<_> = listing.newest().into_iter().cloned().collect();
    Ok(answered(&listing.etag, &Clusters { total: items.len(), items }))
}

/// The report that is named, or the newest of a cluster that is.
async fn chosen(
    api: &Arc<Api>,
    report: Option<&String>,
    cluster: Option<&String>,
) -> Result<Option<String>, Problem> {
    let Some(cluster) = cluster.filter(|_| report.is_none()) else { return Ok(report.cloned()) };
    let listing = listed(api).await?;
    let newest = listing.newest().into_iter().find(|report| report.cluster() == cluster);
    newest
        .map(|report| Some(report.filename.clone()))
        .ok_or_else(|| Problem::not_found(format!("there is no cluster {cluster:?}")))
}

/// Rows of images, filtered, sorted and in pages.
#[utoipa::path(
    get, path = "/api/images", tag = "Further routes", params(Asked),
    responses(
        (status = 200, description = "The answer", body = Rows),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn images(
    State(api): State<Arc<Api>>,
    Asking(asked): Asking<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = chosen(&api, asked.report.as_ref(), asked.cluster.as_ref()).await?;
    of_report(&api, report.as_deref(), &headers, move |etag, name, report| {
        Ok(answered(etag, &asked.answer(name, report)?))
    })
    .await
}

/// Of which report.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfReport {
    /// The report's file; the latest where not given.
    #[param(pattern = r"^$|^(latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    report: Option<String>,
    /// The cluster whose newest report is asked, where no report is named.
    cluster: Option<String>,
}

/// A report's Helm releases.
#[utoipa::path(
    get, path = "/api/releases", tag = "Further routes", params(OfReport),
    responses(
        (status = 200, description = "The answer", body = Releases),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn releases(
    State(api): State<Arc<Api>>,
    Asking(asked): Asking<OfReport>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = chosen(&api, asked.report.as_ref(), asked.cluster.as_ref()).await?;
    of_report(&api, report.as_deref(), &headers, move |etag, name, report| {
        let releases = &report.helm_releases;
        Ok(answered(etag, &Releases { report: name, total: releases.len(), items: releases }))
    })
    .await
}

/// Which reports are compared.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Between {
    /// The earlier report's file; the one of the same cluster before the other where not given.
    #[param(pattern = r"^$|^(latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    from: Option<String>,
    /// The later report's file; the newest where not given.
    #[param(pattern = r"^$|^(latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    to: Option<String>,
}

/// What changed between two reports; where none is named, the newest and the one of the same cluster before it.
#[utoipa::path(
    get, path = "/api/diff", tag = "Further routes", params(Between),
    responses(
        (status = 200, description = "The answer", body = Changes),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn diff(
    State(api): State<Arc<Api>>,
    Asking(asked): Asking<Between>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let listing = listed(&api).await?;
    let to = match &asked.to {
        Some(to) => listing.reports.iter().position(|report| report.filename == *to),
        None => (!listing.reports.is_empty()).then_some(0),
    };
    let to = to.ok_or_else(|| Problem::not_found("there is no such report to compare"))?;
    let later = &listing.reports[to];
    let from = asked.from.or_else(|| Some(listing.before(to)?.filename.clone()));
    let from = from.ok_or_else(|| Problem::not_found("there is no earlier report of the same cluster"))?;
    let (from, of_from) = found(&api, Some(&from)).await?;
    let (to, of_to) = found(&api, Some(&later.filename)).await?;
    let etag = format!("\"{}{}\"", of_from.etag.trim_matches('"'), of_to.etag.trim_matches('"'));
    if is_known(&headers, &etag) {
        return Ok(not_modified(&etag));
    }
    let (earlier, later) = (load(&api, &from, of_from).await?, load(&api, &to, of_to).await?);
    Ok(answered(&etag, &changes((&from, &earlier), (&to, &later))))
}

/// Whose history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfImage {
    /// The image, as the pod names it.
    #[param(pattern = r"\S")]
    image: String,
    /// Only in this namespace.
    namespace: Option<String>,
    /// Only of workloads of this name.
    workload: Option<String>,
    /// Reports to look into: 1 to 200, 50 where not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// One image over the reports, the newest first: what ran under its name, and what was known of it.
#[utoipa::path(
    get, path = "/api/history", tag = "Further routes", params(OfImage),
    responses(
        (status = 200, description = "The answer", body = History),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn history(
    State(api): State<Arc<Api>>,
    Asking(asked): Asking<OfImage>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    const MOST: usize = 200;
    let limit = asked.limit.unwrap_or(50);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::asked(format!("limit is 1 to {MOST}")));
    }
    let listing = listed(&api).await?;
    if is_known(&headers, &listing.etag) {
        return Ok(not_modified(&listing.etag));
    }
    let mut items = Vec::new();
    for report in listing.reports.iter().take(limit) {
        // A report that went away or broke meanwhile is a gap, as if it had never been.
        let Ok((_, read)) = loaded(&api, Some(&report.filename)).await else { continue };
        let rows = read.images.iter().filter(|row| {
            row.image == asked.image
                && asked.namespace.as_ref().is_none_or(|wanted| row.namespace == *wanted)
                && asked.workload.as_ref().is_none_or(|wanted| row.workload.name == *wanted)
        });
        for row in rows {
            items.push(Then {
                report: report.filename.clone(),
                generated_at: report.generated_at.clone(),
                cluster_name: report.cluster_name.clone(),
                row: serde_json::to_value(Flat::of(row)).unwrap_or_default(),
            });
        }
    }
    Ok(answered(&listing.etag, &History { image: asked.image, total: items.len(), items }))
}

/// Names that hold a text, with the rows they stand in.
#[utoipa::path(
    get, path = "/api/search", tag = "Further routes", params(Searched),
    responses(
        (status = 200, description = "The answer", body = Hits),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn search(
    State(api): State<Arc<Api>>,
    Asking(asked): Asking<Searched>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let report = asked.report.clone();
    of_report(&api, report.as_deref(), &headers, move |etag, name, report| {
        Ok(answered(etag, &asked.answer(name, report)?))
    })
    .await
}

/// Every report's counts in one level of columns, the oldest first, for graphs.
#[utoipa::path(
    get, path = "/api/timeline", tag = "Further routes",
    responses(
        (status = 200, description = "The answer", body = Vec<Point>),
        (status = 304, description = "Not changed since this ETag"),
        (status = 400, description = "What was asked makes no sense", body = Told, content_type = "application/problem+json"),
        (status = 404, description = "There is no such report", body = Told, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn timeline(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Problem> {
    let listing = listed(&api).await?;
    if is_known(&headers, &listing.etag) {
        return Ok(not_modified(&listing.etag));
    }
    let point = |report: &Listed| Point {
        filename: report.filename.clone(),
        generated_at: report.generated_at.clone(),
        cluster_name: report.cluster_name.clone(),
        // A list is no column.
        counts: Summary { failures: None, findings: None, ..report.summary.clone() },
    };
    Ok(answered(&listing.etag, &listing.reports.iter().rev().map(point).collect::<Vec<_>>()))
}
