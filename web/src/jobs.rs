//! Manual scans: a Job made of the CronJob's template, as `kubectl create job --from` makes one
//! ([CronJob](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/cron-job-v1/)).

use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

/// The longest the Kubernetes API may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The annotation of a Job that somebody had made.
const MANUAL: &str = "cronjob.kubernetes.io/instantiate";

/// Starts scans.
pub struct Jobs {
    client: Client,
    namespace: String,
    cronjob: String,
    /// Seconds after which a finished Job goes away; none to leave that to the template.
    ttl: Option<u64>,
    starting: Mutex<()>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs")
            .field("namespace", &self.namespace)
            .field("cronjob", &self.cronjob)
            .finish_non_exhaustive()
    }
}

/// Why no scan was started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotStarted {
    /// One is under way.
    #[error("the scan {0} is under way")]
    Active(String),
    /// The API refused, or did not answer.
    #[error("{0}")]
    Api(String),
}

/// How far a scan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Its pod is not there yet.
    Waiting,
    /// It runs.
    Running,
    /// It ended well.
    Complete,
    /// It ended badly, with the reason.
    Failed(String),
}

/// A scan's Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// The Job's name.
    pub job: String,
    /// When it was made (RFC 3339, whole seconds).
    pub created: String,
    /// How far it is.
    pub progress: Progress,
}

impl Jobs {
    /// Starts scans from this CronJob.
    pub fn new(client: Client, namespace: String, cronjob: String, ttl: Option<Duration>) -> Self {
        let ttl = ttl.map(|ttl| ttl.as_secs()).filter(|seconds| *seconds > 0);
        Self { client, namespace, cronjob, ttl, starting: Mutex::default() }
    }

    /// The CronJob's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn path(&self, plural: &str) -> String {
        format!("/apis/batch/v1/namespaces/{}/{plural}", self.namespace)
    }

    async fn ask(&self, request: http::request::Builder, body: Vec<u8>) -> Result<Value, kube::Error> {
        let request = request.body(body).map_err(kube::Error::HttpError)?;
        match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(kube::Error::Service("no answer in time".into())),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, NotStarted> {
        let asked = self.ask(Request::get(path), Vec::new()).await;
        asked.map_err(|error| NotStarted::Api(format!("GET {path}: {error}")))
    }

    /// Starts a scan; answers its Job's name.
    ///
    /// # Errors
    ///
    /// [`NotStarted::Active`] while a Job of the CronJob is unfinished, also where another has just been started.
    pub async fn start(&self) -> Result<String, NotStarted> {
        let _one_at_a_time = self.starting.lock().await;
        let cronjob = self.get(&format!("{}/{}", self.path("cronjobs"), self.cronjob)).await?;
        let jobs = self.get(&self.path("jobs")).await?;
        let owned = owned(&jobs, &cronjob["metadata"]["uid"]);
        if let Some(active) = owned.iter().find(|job| ended(job).is_none()) {
            return Err(NotStarted::Active(name(active).to_owned()));
        }
        let job = job(&cronjob, &tag(&owned), self.ttl);
        let request = Request::post(self.path("jobs")).header("content-type", "application/json");
        match self.ask(request, job.to_string().into_bytes()).await {
            Ok(made) => Ok(name(&made).to_owned()),
            Err(kube::Error::Api(refused)) if refused.code == 409 => {
                Err(NotStarted::Active(name(&job).to_owned()))
            }
            Err(error) => Err(NotStarted::Api(format!("POST {}: {error}", self.path("jobs")))),
        }
    }

    /// How far the scan of a Job is; none where there is no such Job of the CronJob.
    ///
    /// # Errors
    ///
    /// [`NotStarted::Api`] where the API refuses or does not answer.
    pub async fn find(&self, job: &str) -> Result<Option<Scan>, NotStarted> {
        let jobs = self.get(&self.path("jobs")).await?;
        let is_ours = |found: &&Value| {
            name(found) == job
                && found["metadata"]["ownerReferences"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|owner| owner["kind"] == "CronJob" && owner["name"] == self.cronjob.as_str())
        };
        Ok(jobs["items"].as_array().into_iter().flatten().find(is_ours).map(scan))
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn owned<'a>(jobs: &'a Value, owner: &Value) -> Vec<&'a Value> {
    let is_owner = |reference: &Value| reference["uid"] == *owner && reference["controller"] == true;
    let jobs = jobs["items"].as_array().into_iter().flatten();
    jobs.filter(|job| job["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(is_owner))
        .collect()
}

/// The condition that a Job ended with.
fn ended(job: &Value) -> Option<&Value> {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    let mut last = conditions.filter(|one| one["type"] == "Complete" || one["type"] == "Failed");
    last.find(|one| one["status"] == "True")
}

/// The same for all who see the same newest Jobs. A name is made of it, so that of two who start a scan at once, by
/// whichever dashboard, the API refuses one.
fn tag(owned: &[&Value]) -> String {
    let made = |job: &Value| job["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    let newest = owned.iter().map(|job| made(job)).max().unwrap_or_default();
    let newest = owned.iter().filter(|job| made(job) == newest);
    let mut ids: Vec<_> = newest.filter_map(|job| job["metadata"]["uid"].as_str()).collect();
    ids.sort_unstable();
    hex::encode(Sha256::digest(ids.join(" ")))[..10].to_owned()
}

/// The Job to make.
fn job(cronjob: &Value, tag: &str, ttl: Option<u64>) -> Value {
    const PREFIX: &str = "manual-";
    let template = &cronjob["spec"]["jobTemplate"];
    let mut metadata = json!({
        "generateName": PREFIX,
        "name": format!("{PREFIX}{tag}"),
        "namespace": cronjob["metadata"]["namespace"],
        "annotations": template["metadata"]["annotations"].as_object().cloned().unwrap_or_default(),
        "labels": template["metadata"]["labels"].as_object().cloned().unwrap_or_default(),
        "ownerReferences": [{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": cronjob["metadata"]["name"],
            "uid": cronjob["metadata"]["uid"], "controller": true,
        }],
    });
    metadata["annotations"][MANUAL] = "manual".into();
    let mut spec = template["spec"].clone();
    if let Some(ttl) = ttl {
        spec["ttlSecondsAfterFinished"] = ttl.into();
    }
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

fn scan(job: &Value) -> Scan {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let progress = match ended(job) {
        Some(end) if end["type"] == "Complete" => Progress::Complete,
        Some(end) => {
            let why = [text(&end["reason"]), text(&end["message"])];
            Progress::Failed(why.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "))
        }
        None if job["status"]["active"].as_u64().unwrap_or_default() > 0 => Progress::Running,
        None => Progress::Waiting,
    };
    Scan { job: name(job).to_owned(), created: text(&job["metadata"]["creationTimestamp"]), progress }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_is_the_cronjobs_job_with_its_owner_its_mark_and_its_end() {
        let cronjob = json!({
            "metadata": {"name": "collector", "namespace": "audit", "uid": "u1"},
            "spec": {"jobTemplate": {
                "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
                "spec": {"backoffLimit": 3, "template": {"spec": {"containers": [{"name": "x", "futureField": 1}]}}},
            }},
        });
        let made = job(&cronjob, "t", Some(3600));
        assert_eq!(made["metadata"]["annotations"], json!({"c": "d", MANUAL: "manual"}));
        assert_eq!(made["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(
            (&made["metadata"]["generateName"], &made["metadata"]["name"]),
            (&json!("manual-"), &json!("manual-t"))
        );
        assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "u1");
        let mut spec = cronjob["spec"]["jobTemplate"]["spec"].clone();
        spec["ttlSecondsAfterFinished"] = 3600.into();
        assert_eq!(made["spec"], spec);
        assert!(job(&cronjob, "t", None)["spec"].get("ttlSecondsAfterFinished").is_none());
    }

    #[test]
    fn a_job_is_under_way_until_a_condition_says_how_it_ended() {
        let with =
            |status: Value| json!({"metadata": {"name": "j", "creationTimestamp": "t"}, "status": status});
        let of = |status: Value| scan(&with(status)).progress;
        assert_eq!(of(json!({})), Progress::Waiting);
        assert_eq!(
            of(json!({"active": 1, "conditions": [{"type": "Suspended", "status": "True"}]})),
            Progress::Running
        );
        assert_eq!(of(json!({"conditions": [{"type": "Complete", "status": "True"}]})), Progress::Complete);
        let failed = json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "m"}]});
        assert_eq!(of(failed), Progress::Failed("BackoffLimitExceeded: m".into()));
    }

    #[test]
    fn who_sees_the_same_jobs_makes_the_same_name_and_after_a_job_another() {
        let job = |uid: &str, at: &str| json!({"metadata": {"uid": uid, "creationTimestamp": at}});
        let (old, new, twin) = (
            job("1", "2026-01-01T00:00:00Z"),
            job("2", "2026-01-02T00:00:00Z"),
            job("3", "2026-01-02T00:00:00Z"),
        );
        assert_eq!(tag(&[&old, &new]), tag(&[&new]));
        assert_eq!(tag(&[&new, &twin]), tag(&[&twin, &new]));
        assert_ne!(tag(&[&new, &twin]), tag(&[&new]));
        assert_ne!(tag(&[]), tag(&[&old]));
    }
}
