//! A scan that was started by hand, until its report arrives.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::cells::Mark;
use super::link::Params;
use super::shell::Shell;
use super::visit::{Oops, Page, Visit, shown};
use crate::api::listed;
use crate::jobs::Progress;
use crate::problem::Problem;
use crate::scan::{Refused, Started};

/// One step of a scan.
struct Step {
    mark: Mark,
    label: &'static str,
    more: String,
}

#[derive(Template)]
#[template(path = "scan.html")]
struct Scan {
    shell: Shell,
    job: String,
    steps: [Step; 3],
    /// Whether it goes on.
    is_under_way: bool,
    /// The report's page, once there is one.
    report: String,
}

/// Starts a scan, and shows how it goes, or how the one goes that is under way.
pub(super) async fn start(visit: Visit, headers: HeaderMap) -> Result<Response, Oops> {
    let job = match crate::scan::start(&visit.api, &visit.who, &headers).await {
        // Whoever wanted one follows the one that is under way.
        Ok(Started { job_name, .. }) | Err(Refused::Active(job_name)) => job_name,
        Err(Refused::Other(problem)) => return Err(problem.into()),
    };
    let to = Params::new([("job", job.as_str())]).to("scan");
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response())
}

/// How a scan goes. The report is the first that was made after the Job was; both times are of whole seconds.
pub(super) async fn page(visit: Visit) -> Page {
    let params = Params::of(visit.query.as_deref());
    let job = params.get("job");
    let Some(jobs) = visit.api.jobs.as_ref().filter(|_| !job.is_empty()) else {
        return Err(Problem::not_found("job: name the Job of a scan that was started here").into());
    };
    let scan = jobs.find(job).await.map_err(|error| {
        tracing::warn!("a scan cannot be looked at: {error}");
        Problem::new(StatusCode::BAD_GATEWAY, "the cluster does not say how the scan goes; the log says why")
    })?;
    let scan = scan.ok_or_else(|| {
        Problem::not_found(format!("there is no Job {job:?} any more; its report is among the reports"))
    })?;
    let listing = listed(&visit.api).await?;
    let arrived = listing.reports.iter().rev().find(|report| report.generated_at > scan.created);
    let (has_ended, is_bad) = match &scan.progress {
        Progress::Waiting | Progress::Running => (false, false),
        Progress::Complete => (true, false),
        Progress::Failed(_) => (true, true),
    };
    let waits = |word: &str| Mark { class: "skipped", sign: "…", word: word.into(), more: String::new() };
    let done = |word: &str| Mark { class: "good", sign: "✓", word: word.into(), more: String::new() };
    let failed = |word: &str| Mark { class: "failed", sign: "!", word: word.into(), more: String::new() };
    let (runs, more) = match &scan.progress {
        Progress::Waiting => (waits("waiting"), "its pod is not there yet".to_owned()),
        Progress::Running => (Mark { class: "plain", ..waits("running") }, String::new()),
        Progress::Complete => (done("done"), String::new()),
        Progress::Failed(why) => (failed("failed"), why.clone()),
    };
    let report = match arrived {
        Some(report) => (done("arrived"), format!("made {}", report.time())),
        None if is_bad => {
            (waits("none"), "a run that failed may have sent one all the same; it would be here".into())
        }
        None if has_ended => {
            (waits("expected"), "the run is over; its report should be here in a moment".into())
        }
        None => (waits("not yet"), String::new()),
    };
    shown(&Scan {
        shell: Shell::bare(visit.frame(), "Scan"),
        job: scan.job,
        steps: [
            Step {
                mark: done("made"),
                label: "Job",
                more: scan.created.replace('T', " ").replace('Z', " UTC"),
            },
            Step { mark: runs, label: "Run", more },
            Step { mark: report.0, label: "Report", more: report.1 },
        ],
        is_under_way: arrived.is_none() && !is_bad,
        report: arrived
            .map(|report| Params::new([("report", &report.filename)]).to("./"))
            .unwrap_or_default(),
    })
}
