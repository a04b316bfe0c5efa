//! Images in Kubernetes YAML or JSON: any kind with a pod template, Pods, Lists, many documents in one file.
//!
//! A pod template is known by its `containers`, wherever in the object it stands, so that a CronJob, a
//! Knative Service or an operator's own kind is read alike. A Pod that came from a cluster also says what runs.

use std::sync::Arc;

use provenance_model::{ContainerKind, CredentialScope, Image, Running, Sighting, UpdateWishes, Workload};
use serde_json::Value;

use super::pods::Pod;

/// Bytes of one file.
pub const FILE_BYTES: usize = 64 << 20;

/// The kinds whose containers must name an image; elsewhere containers without one are overlays.
const CORE_KINDS: [&str; 9] = [
    "Pod",
    "PodTemplate",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "ReplicationController",
];

/// A file that cannot be read as manifests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct ManifestError {
    file: String,
    why: String,
}

/// The sightings in one file's text.
///
/// # Errors
///
/// Where the text is no YAML, naming the file and the line.
pub fn read_manifests(file: &str, text: &str) -> Result<Vec<Sighting>, ManifestError> {
    let refuse = |why: String| ManifestError { file: file.to_owned(), why };
    if text.len() > FILE_BYTES {
        return Err(refuse(format!("larger than {FILE_BYTES} bytes")));
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options())
        .map_err(|error| refuse(explain(&error, text)))?;
    let mut sightings = Vec::new();
    for document in documents {
        object(document, &mut sightings);
    }
    Ok(sightings)
}

fn options() -> serde_saphyr::Options {
    let mut options = serde_saphyr::Options::default();
    // kubectl and helm take the last of doubled keys, too.
    options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::LastWins;
    // YAML 1.2: a namespace may be called `n` or `on`.
    options.strict_booleans = true;
    options.with_snippet = false;
    if let Some(budget) = &mut options.budget {
        budget.max_events = 20_000_000;
        budget.max_nodes = 20_000_000;
        budget.max_documents = 100_000;
    }
    options
}

fn explain(error: &serde_saphyr::Error, text: &str) -> String {
    let told = error.to_string();
    let line = told.lines().next().unwrap_or_default();
    let hint = if text.contains("{{") {
        "; a chart's templates must be rendered first, as with helm template"
    } else {
        ""
    };
    format!("no valid YAML: {line}{hint}")
}

fn object(document: Value, sightings: &mut Vec<Sighting>) {
    let Value::Object(mut map) = document else { return };
    let kind = map.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (true, Some(Value::Array(items))) = (kind.ends_with("List"), map.get_mut("items")) {
        for item in std::mem::take(items) {
            // The items of a typed list need not name their kind again.
            object(with_kind(item, kind.trim_end_matches("List")), sightings);
        }
        return;
    }
    if kind.is_empty() || kind == "CustomResourceDefinition" {
        return;
    }
    let document = Value::Object(map);
    if kind == "Pod"
        && let Ok(pod) = serde_json::from_value::<Pod>(document.clone())
    {
        return seen_pod(&pod, sightings);
    }
    let metadata = &document["metadata"];
    let text = |name: &str| metadata[name].as_str().unwrap_or_default();
    let name = if text("name").is_empty() { text("generateName") } else { text("name") };
    let found = Found {
        namespace: text("namespace").into(),
        workload: Workload::new(&kind, name),
        must_name_an_image: CORE_KINDS.contains(&kind.as_str()),
    };
    found.pod_specs(&document, None, 0, sightings);
}

fn with_kind(item: Value, kind: &str) -> Value {
    match item {
        Value::Object(mut map) => {
            if !kind.is_empty() {
                map.entry("kind").or_insert_with(|| kind.into());
            }
            Value::Object(map)
        }
        other => other,
    }
}

fn seen_pod(pod: &Pod, sightings: &mut Vec<Sighting>) {
    let metadata = &pod.metadata;
    let owner = metadata.controller().map(|owner| Workload::new(&owner.kind, &owner.name));
    let workload = owner.clone().unwrap_or_else(|| Workload::new("Pod", &metadata.name));
    let owners: Arc<[Workload]> = owner.into_iter().collect();
    let number = (!metadata.uid.is_empty()).then(|| super::intern::uid(&metadata.uid));
    sightings.extend(pod.containers().map(|seen| Sighting {
        namespace: metadata.namespace.as_str().into(),
        workload: workload.clone(),
        owners: Arc::clone(&owners),
        container: seen.name.into(),
        container_kind: seen.kind,
        image: Arc::new(Image::parse(seen.image)),
        running: seen.running,
        pod: number,
        scope: CredentialScope::default(),
        wishes: pod.wishes(seen.name),
        release: None,
    }));
}

/// The object whose pod templates are looked for.
struct Found {
    namespace: Arc<str>,
    workload: Workload,
    must_name_an_image: bool,
}

fn wishes(annotations: Option<&Value>, container: &str) -> Option<Arc<UpdateWishes>> {
    let annotations = annotations?.as_object()?.iter();
    let texts = annotations.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    UpdateWishes::of(texts, container).map(Arc::new)
}

/// Levels of an object that are searched.
const DEPTH: usize = 40;

impl Found {
    /// The pod templates in a value. The nearest metadata above containers are theirs.
    fn pod_specs(
        &self,
        value: &Value,
        annotations: Option<&Value>,
        depth: usize,
        sightings: &mut Vec<Sighting>,
    ) {
        if depth > DEPTH {
            return;
        }
        match value {
            Value::Object(map) => {
                let own = map.get("metadata").and_then(|metadata| metadata.get("annotations"));
                let annotations = own.or(annotations);
                for (key, kind) in [
                    ("initContainers", ContainerKind::Init),
                    ("containers", ContainerKind::Container),
                    ("ephemeralContainers", ContainerKind::Ephemeral),
                ] {
                    for container in map.get(key).and_then(Value::as_array).into_iter().flatten() {
                        self.container(container, kind, annotations, sightings);
                    }
                }
                for (key, inner) in map {
                    if !matches!(key.as_str(), "initContainers" | "containers" | "ephemeralContainers") {
                        self.pod_specs(inner, annotations, depth + 1, sightings);
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.pod_specs(item, annotations, depth + 1, sightings);
                }
            }
            _ => {}
        }
    }

    fn container(
        &self,
        container: &Value,
        kind: ContainerKind,
        annotations: Option<&Value>,
        sightings: &mut Vec<Sighting>,
    ) {
        let Value::Object(fields) = container else { return };
        let image = match fields.get("image") {
            Some(Value::String(image)) => image.clone(),
            None | Some(Value::Null) if !self.must_name_an_image => return,
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        sightings.push(Sighting {
            namespace: Arc::clone(&self.namespace),
            workload: self.workload.clone(),
            owners: Arc::new([]),
            container: name.into(),
            container_kind: kind,
            image: Arc::new(Image::parse(&image)),
            running: Running::Unknown,
            pod: None,
            scope: CredentialScope::default(),
            wishes: wishes(annotations, name),
            release: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(text: &str) -> Vec<String> {
        read_manifests("test.yaml", text)
            .unwrap()
            .into_iter()
            .map(|s| format!("{}/{} {} {}", s.namespace, s.workload, s.container, s.image.written))
            .collect()
    }

    #[test]
    fn every_kind_with_a_pod_template_is_read() {
        let text = r"
# Source: a chart
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      initContainers: [{name: migrate, image: 'migrate:1'}]
      containers: [{name: web, image: 'web:1'}, {name: side, image: 'proxy:2'}]
---
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: job, image: 'job:1'}]}}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: roll}
spec: {template: {spec: {containers: [{name: app, image: 'app:1'}]}}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: 'pod:1'}]}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {containers: 'image: no'}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: overlay}
spec: {containers: [{name: prometheus}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: x}
spec: {containers: [{name: x, image: 'no'}]}
---
just a string
";
        assert_eq!(
            rows(text),
            [
                "shop/Deployment/web migrate migrate:1",
                "shop/Deployment/web web web:1",
                "shop/Deployment/web side proxy:2",
                "/CronJob/nightly job job:1",
                "/Rollout/roll app app:1",
                "/Pod/p c pod:1",
            ]
        );
    }

    #[test]
    fn a_pod_from_a_cluster_says_what_runs() {
        let hex = "a".repeat(64);
        let text = format!(
            "kind: PodList\nitems:\n- metadata: {{name: p, namespace: n, uid: u}}\n  spec: {{containers: [{{name: c, image: 'web:1'}}]}}\n  \
             status: {{containerStatuses: [{{name: c, imageID: 'docker.io/library/web@sha256:{hex}'}}]}}\n"
        );
        let sightings = read_manifests("-", &text).unwrap();
        assert_eq!(sightings[0].running.manifest().unwrap().hex(), hex);
        assert_eq!(sightings[0].workload, Workload::new("Pod", "p"));
    }

    #[test]
    fn a_container_without_an_image_is_still_a_row() {
        let text = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}";
        assert_eq!(rows(text), ["/Pod/p c "]);
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_file_and_line() {
        let error = read_manifests("app.yaml", "kind: Pod\n  bad: [").unwrap_err().to_string();
        assert!(error.starts_with("app.yaml: no valid YAML") && !error.contains('\n'), "{error}");
        let error =
            read_manifests("t.yaml", "kind: {{ .Values.kind }}\nx: {{ y }}\n").unwrap_err().to_string();
        assert!(error.contains("helm template"), "{error}");
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let line =
            |n: usize| format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n.saturating_sub(1)); 10].join(", "));
        let lines: Vec<_> = std::iter::once("a0: &a0 [x]".to_owned()).chain((1..10).map(line)).collect();
        assert!(read_manifests("bomb.yaml", &lines.join("\n")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            drop(read_manifests("any", &text));
        }
    }
}
