//! The `PolicyReport` sink: what is found of a namespace's workloads, as one object in that namespace, for the tools that read
//! such objects of any engine ([PolicyReport](https://github.com/kubernetes-sigs/wg-policy-prototypes/tree/master/policy-report),
//! [OpenReports](https://openreports.io)).
//!
//! A row has a result for each rule that it breaks, and one that passes where it breaks none. A namespace whose results are too
//! many for one object has several. Objects of namespaces that have no rows any more are removed, unless rows may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::{Method, StatusCode};
use provenance_model::report::rules::{Broken, judged, said, said_of_release};
use provenance_model::report::{HelmRelease, ImageRecord, Report, Rule};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::SinkError;
use crate::configmap::OBJECT_BYTES;
use crate::objects::{MANAGER, Refused, ask};

const NAME: &str = "provenance-collector";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Says which share of a run an object is of.
const PART: &str = "provenance-collector/part";
const ATTEMPTS: u32 = 5;
/// Bytes of one result's message at the most.
const MESSAGE_BYTES: usize = 2 << 10;

/// The API in which the objects are written. Both have the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyApi {
    /// `wgpolicyk8s.io/v1alpha2`, kind `PolicyReport`.
    WgPolicy,
    /// `openreports.io/v1alpha1`, kind `Report`.
    OpenReports,
}

impl PolicyApi {
    /// The API that this group and version name.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::WgPolicy, Self::OpenReports].into_iter().find(|api| api.group_version() == word)
    }

    fn group_version(self) -> &'static str {
        match self {
            Self::WgPolicy => "wgpolicyk8s.io/v1alpha2",
            Self::OpenReports => "openreports.io/v1alpha1",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::WgPolicy => "PolicyReport",
            Self::OpenReports => "Report",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::WgPolicy => "policyreports",
            Self::OpenReports => "reports",
        }
    }
}

/// A cluster whose namespaces get their `PolicyReport`s.
#[derive(Clone)]
pub struct PolicyReportSink {
    client: kube::Client,
    api: PolicyApi,
}

impl PolicyReportSink {
    /// A sink that writes through this client.
    pub fn new(client: kube::Client, api: PolicyApi) -> Self {
        Self { client, api }
    }

    /// Writes an object for each namespace, and removes those that are no longer wanted. Answers how many were written.
    ///
    /// # Errors
    ///
    /// [`SinkError::PolicyReport`] where one of them is not there; the others are.
    pub async fn write(&self, report: &Report) -> Result<usize, SinkError> {
        let wanted = objects(report, self.api);
        let mut failures = Vec::new();
        for object in &wanted {
            if let Err(refused) = self.apply(object).await {
                failures.push(self.told(&refused));
            }
        }
        let may_lack_rows = report.run.as_ref().is_none_or(|run| run.partial);
        if failures.is_empty()
            && !may_lack_rows
            && let Err(refused) = self.remove_others(report, &wanted).await
        {
            failures.push(self.told(&refused));
        }
        let others = failures.len().saturating_sub(1);
        match failures.into_iter().next() {
            None => Ok(wanted.len()),
            Some(why) => {
                let why = if others > 0 { format!("{why}; and {others} more") } else { why };
                Err(SinkError::PolicyReport { plural: self.api.plural(), why })
            }
        }
    }

    /// Where the objects are.
    pub fn place(&self) -> String {
        format!("{} of {}", self.api.plural(), self.api.group_version())
    }

    fn told(&self, refused: &Refused) -> String {
        let fix = match refused.status {
            Some(StatusCode::FORBIDDEN) => {
                format!("; grant list, create, patch and delete on {}", self.api.plural())
            }
            Some(StatusCode::NOT_FOUND) => format!(
                "; install the CustomResourceDefinitions of {}, or choose the other API (--policy-report-api)",
                self.api.group_version()
            ),
            _ => String::new(),
        };
        format!("{}{fix}", refused.why)
    }

    async fn apply(&self, object: &Value) -> Result<(), Refused> {
        let (namespace, name) = place(object);
        let path = self.path(Some(namespace), &format!("/{name}?fieldManager={MANAGER}&force=true"));
        let mut attempt = 1;
        loop {
            let applied =
                ask(&self.client, Method::PATCH, &path, "application/apply-patch+yaml", object, None).await;
            match applied {
                Err(refused) if refused.may_pass() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
                    attempt += 1;
                }
                applied => return applied.map(drop),
            }
        }
    }

    /// Removes our objects that are not wanted any more.
    async fn remove_others(&self, report: &Report, wanted: &[Value]) -> Result<(), Refused> {
        let kept: BTreeSet<_> = wanted.iter().map(place).collect();
        let across = match self.ours(None, report).await {
            Ok(ours) => ours,
            // Only named namespaces may be read.
            Err(refused) if refused.is(StatusCode::FORBIDDEN) => {
                let mut ours = Vec::new();
                for namespace in &report.metadata.namespaces_scanned {
                    ours.extend(self.ours(Some(namespace), report).await?);
                }
                ours
            }
            Err(refused) => return Err(refused),
        };
        for Named { namespace, name } in across {
            if kept.contains(&(namespace.as_str(), name.as_str())) {
                continue;
            }
            let path = self.path(Some(&namespace), &format!("/{name}"));
            match ask(&self.client, Method::DELETE, &path, "application/json", &Value::Null, None).await {
                Err(refused) if !refused.is(StatusCode::NOT_FOUND) => return Err(refused),
                _ => {}
            }
        }
        Ok(())
    }

    /// Our objects of this share, by place.
    async fn ours(&self, namespace: Option<&str>, report: &Report) -> Result<Vec<Named>, Refused> {
        #[derive(Deserialize)]
        struct Item {
            metadata: Named,
        }
        let path =
            self.path(namespace, &format!("?labelSelector={MANAGED_BY}%3D{NAME},{PART}%3D{}", part(report)));
        let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let found =
            ask(&self.client, Method::GET, &path, "application/json", &Value::Null, Some(accept)).await?;
        let items = found["items"].as_array().cloned().unwrap_or_default();
        let item = |item| serde_json::from_value::<Item>(item).map(|item| item.metadata);
        Ok(items.into_iter().filter_map(|one| item(one).ok()).collect())
    }

    fn path(&self, namespace: Option<&str>, rest: &str) -> String {
        let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        format!("/apis/{}{within}/{}{rest}", self.api.group_version(), self.api.plural())
    }
}

#[derive(Deserialize)]
struct Named {
    namespace: String,
    name: String,
}

fn place(object: &Value) -> (&str, &str) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    (text("namespace"), text("name"))
}

/// Which share of a run a report is, as a label's value.
fn part(report: &Report) -> String {
    let part = report.run.as_ref().and_then(|run| run.part.as_ref());
    part.map_or_else(|| "whole".to_owned(), |part| part.index.to_string())
}

/// The objects of a report, by namespace.
fn objects(report: &Report, api: PolicyApi) -> Vec<Value> {
    let fail_on = report.run.as_ref().map(|run| run.fail_on.as_slice()).unwrap_or_default();
    let seconds = report.metadata.generated_at.as_second();
    let timestamp = json!({"seconds": seconds, "nanos": 0});
    let mut by_namespace: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for row in report.images.iter().filter(|row| !row.namespace.is_empty()) {
        by_namespace.entry(&row.namespace).or_default().extend(of_row(row, fail_on, &timestamp));
    }
    for release in &report.helm_releases {
        by_namespace.entry(&release.namespace).or_default().extend(of_release(release, fail_on, &timestamp));
    }
    let part = part(report);
    let name = if part == "whole" { NAME.to_owned() } else { format!("{NAME}-part-{part}") };
    let mut objects = Vec::new();
    for (namespace, results) in by_namespace {
        for (at, results) in chunks(results).into_iter().enumerate() {
            let name = if at == 0 { name.clone() } else { format!("{name}-{}", at + 1) };
            objects.push(object(api, namespace, &name, &part, &results));
        }
    }
    objects
}

fn object(api: PolicyApi, namespace: &str, name: &str, part: &str, results: &[Value]) -> Value {
    let count = |word: &str| results.iter().filter(|result| result["result"] == word).count();
    let words = ["pass", "fail", "warn", "error", "skip"];
    let summary: Map<String, Value> =
        words.iter().map(|word| ((*word).to_owned(), count(word).into())).collect();
    json!({
        "apiVersion": api.group_version(),
        "kind": api.kind(),
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: NAME, "app.kubernetes.io/name": NAME, PART: part},
        },
        "summary": summary,
        "results": results,
    })
}

/// Parts that fit into an object each.
fn chunks(results: Vec<Value>) -> Vec<Vec<Value>> {
    let mut chunks = Vec::new();
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for result in results {
        let size = result.to_string().len() + 1;
        if bytes + size > OBJECT_BYTES && !chunk.is_empty() {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += size;
        chunk.push(result);
    }
    chunks.push(chunk);
    chunks
}

fn of_row(row: &ImageRecord, fail_on: &[Rule], timestamp: &Value) -> Vec<Value> {
    let mut properties = Map::new();
    properties.insert("image".into(), row.image.clone().into());
    if let Some(digest) = &row.digest {
        properties.insert("digest".into(), digest.clone().into());
    }
    let resource = resource(&row.workload.kind, &row.namespace, &row.workload.name);
    let result = |rule: Option<Broken>, message: String| {
        result(rule, format!("{}: {message}", row.image), &resource, &properties, timestamp)
    };
    let broken = judged(row.findings.as_deref(), fail_on);
    if broken.is_empty() {
        return vec![result(None, "no rule is broken".into())];
    }
    broken.into_iter().map(|broken| result(Some(broken), said(row, broken.rule))).collect()
}

fn of_release(release: &HelmRelease, fail_on: &[Rule], timestamp: &Value) -> Vec<Value> {
    let mut properties = Map::new();
    properties.insert("release".into(), release.release_name.clone().into());
    properties.insert("chart".into(), format!("{} {}", release.chart, release.version).into());
    let named = release.storage.as_ref().map(|storage| {
        let kind = format!("{:?}", storage.kind);
        resource(&kind, &storage.namespace, &storage.name)
    });
    let resource =
        named.unwrap_or_else(|| resource("HelmRelease", &release.namespace, &release.release_name));
    let results = judged(release.findings.as_deref(), fail_on).into_iter().map(|broken| {
        let message = format!("release {}: {}", release.release_name, said_of_release(release, broken.rule));
        result(Some(broken), message, &resource, &properties, timestamp)
    });
    results.collect()
}

fn result(
    broken: Option<Broken>,
    mut message: String,
    resource: &Value,
    properties: &Map<String, Value>,
    timestamp: &Value,
) -> Value {
    let (rule, word, severity) = match broken {
        None => ("all".to_owned(), "pass", "info"),
        Some(Broken { rule, fails }) => {
            let word = match (rule, fails) {
                (_, true) => "fail",
                (Rule::Failed, false) => "error",
                (_, false) => "warn",
            };
            let severity = match rule {
                Rule::Refused => "critical",
                Rule::Failed | Rule::Gone | Rule::Drift | Rule::Unsigned => "high",
                Rule::Unverified | Rule::Unhealthy | Rule::Deprecated => "medium",
                Rule::Outdated(_) | Rule::NoProvenance | Rule::NoSbom => "low",
            };
            (rule.to_string(), word, severity)
        }
    };
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
        message.truncate(end);
        message.push('…');
    }
    json!({
        "source": NAME,
        "policy": NAME,
        "rule": rule,
        "category": "Supply chain",
        "severity": severity,
        "result": word,
        "scored": true,
        "message": message,
        "resources": [resource],
        "properties": properties,
        "timestamp": timestamp,
    })
}

/// The object that a result is about. Of kinds that are not Kubernetes' own only the name is known.
fn resource(kind: &str, namespace: &str, name: &str) -> Value {
    let api = match kind {
        "Pod" | "ReplicationController" | "Secret" | "ConfigMap" | "Node" => Some("v1"),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" => Some("apps/v1"),
        "Job" | "CronJob" => Some("batch/v1"),
        _ => None,
    };
    let mut resource = Map::new();
    if let Some(api) = api {
        resource.insert("apiVersion".into(), api.into());
    }
    resource.insert("kind".into(), kind.into());
    if kind != "Node" {
        resource.insert("namespace".into(), namespace.into());
    }
    resource.insert("name".into(), name.into());
    resource.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_results_make_several_objects_and_none_is_lost() {
        let results: Vec<_> = (0..3000).map(|at| json!({"at": at, "message": "x".repeat(900)})).collect();
        let chunks = chunks(results.clone());
        assert!(chunks.len() > 1);
        assert!(chunks.iter().all(|chunk| Value::from(chunk.clone()).to_string().len() <= OBJECT_BYTES + 2));
        assert_eq!(chunks.concat(), results);
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let long = "ä".repeat(MESSAGE_BYTES);
        let told = result(None, long, &Value::Null, &Map::new(), &Value::Null);
        let message = told["message"].as_str().expect("it is text");
        assert!(message.len() <= MESSAGE_BYTES + 4 && message.ends_with('…'));
    }
}
