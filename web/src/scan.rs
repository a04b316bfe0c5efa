//! Starting a scan by hand, for the API and the page.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::answer::told;
use crate::api::Api;
use crate::auth::{Stopped, Who};
use crate::jobs::NotStarted;
use crate::problem::Problem;

/// A scan that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Started {
    /// The Job's name.
    pub job_name: String,
    /// Its namespace.
    pub namespace: String,
}

/// Why no scan was started.
pub(crate) enum Refused {
    /// This one is under way.
    Active(String),
    /// Something else.
    Other(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Other(problem)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Active(name) => {
                Self::new(StatusCode::CONFLICT, format!("a scan is already under way: {name}"))
            }
            Refused::Other(problem) => problem,
        }
    }
}

/// Whether a request comes from a page of ours. Only a browser can say so, and it does not let a script say it.
pub(crate) fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// Starts a scan for who asks.
pub(crate) async fn start(api: &Api, who: &Who, headers: &HeaderMap) -> Result<Started, Refused> {
    if !is_from_here(headers) {
        let why = "forbidden: a scan is started from the dashboard's own page";
        return Err(Problem::new(StatusCode::FORBIDDEN, why).into());
    }
    let (Some(_), Some(jobs)) = (&api.auth, &api.jobs) else {
        let why = "manual scans are not configured: they need sign-in, a cluster and the CronJob's name";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, why).into());
    };
    let person = match who {
        Who::Known(person) if person.may_scan => person,
        Who::Known(_) => {
            let why = "forbidden: none of your groups may start a scan";
            return Err(Problem::new(StatusCode::FORBIDDEN, why).into());
        }
        other => {
            let stopped = other.may_read().err().unwrap_or(Stopped::Unknown);
            return Err(Problem::from(stopped).into());
        }
    };
    match jobs.start().await {
        Ok(job_name) => {
            let identity = &person.identity;
            tracing::info!(
                job_name,
                subject = identity.subject,
                email = identity.email,
                "a scan was started by hand"
            );
            Ok(Started { job_name, namespace: jobs.namespace().to_owned() })
        }
        Err(NotStarted::Active(name)) => Err(Refused::Active(name)),
        Err(NotStarted::Api(why)) => {
            tracing::error!("a scan could not be started: {why}");
            let why = "the scan could not be started; the dashboard's log says why";
            Err(Problem::new(StatusCode::BAD_GATEWAY, why).into())
        }
    }
}

/// Starts a scan: a Job made of the CronJob's template.
#[utoipa::path(
    post, path = "/api/scan", tag = "Older routes",
    params(("Sec-Fetch-Site" = String, Header, description = "`same-origin`, which a browser says of the dashboard's own page")),
    responses(
        (status = 200, description = "Started", body = Started),
        (status = 401, description = "Nobody signed in", body = String, content_type = "text/plain"),
        (status = 403, description = "Not from the dashboard's own page, or in no admin group", body = String, content_type = "text/plain"),
        (status = 409, description = "One is under way", body = String, content_type = "text/plain"),
        (status = 503, description = "Not configured", body = String, content_type = "text/plain"),
    )
)]
pub(crate) async fn scan(
    State(api): State<Arc<Api>>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
) -> Response {
    match start(&api, &who, &headers).await {
        Ok(started) => Json(started).into_response(),
        Err(refused) => {
            let problem = Problem::from(refused);
            told(problem.status(), problem.detail())
        }
    }
}
