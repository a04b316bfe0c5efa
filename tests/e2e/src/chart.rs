//! The chart, rendered by Helm, and held against the schemas of a real API server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::Request;
use serde_json::{Map, Value, json};

use crate::cluster::Cluster;
use crate::process::{run, tool};

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this crate is two folders deep")
        .to_owned()
}

/// The documents of a YAML text, without empty ones.
///
/// # Panics
///
/// Where it is no YAML.
pub fn documents(text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("no YAML: {error}\n{text}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// `helm template` with these values, by Helm 3 or 4; what it says where it refuses.
///
/// # Errors
///
/// What Helm says.
pub fn template(helm: u8, release: &str, namespace: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tool(&format!("helm-{helm}")));
    command.args(["template", release]).arg(root().join("chart"));
    command.args(["--namespace", namespace, "--kube-version", "1.34.0"]).args(arguments);
    let output = command.output().expect("helm starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("helm writes UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// The object of this kind and name.
///
/// # Panics
///
/// Where there is none.
pub fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let names = || -> Vec<_> {
        objects.iter().map(|one| format!("{}/{}", one["kind"], one["metadata"]["name"])).collect()
    };
    let found = objects.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind}/{name} among {:?}", names()))
}

impl Cluster {
    /// Installs the `CustomResourceDefinition`s of everything the chart and the examples make or read.
    ///
    /// # Panics
    ///
    /// Where one is refused.
    pub async fn install_crds(&self) {
        let folder = tool("crds/application-crd.yaml").parent().expect("it is in a folder").to_owned();
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("it is there")
            .map(|entry| entry.expect("it is read").path())
            .collect();
        files.push(root().join("tests/e2e/data/nebariapp-crd.yaml"));
        for file in files {
            let text = std::fs::read_to_string(&file).expect("it is read");
            for mut crd in documents(&text) {
                // A webhook that nobody runs would refuse everything.
                crd["spec"].as_object_mut().expect("it has a spec").remove("conversion");
                let name = crd["metadata"]["name"].as_str().expect("it has a name").to_owned();
                let group = crd["spec"]["group"].as_str().expect("it has a group").to_owned();
                let plural = crd["spec"]["names"]["plural"].as_str().expect("it has a plural").to_owned();
                self.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &name, &crd, "")
                    .await
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                for version in crd["spec"]["versions"].as_array().expect("it has versions") {
                    let version = version["name"].as_str().expect("a version has a name");
                    self.until_served(&format!("/apis/{group}/{version}/{plural}")).await;
                }
            }
        }
    }

    /// Server-side apply of one object into a collection; `query` is added, such as `&dryRun=All`.
    ///
    /// # Errors
    ///
    /// What the API server says.
    pub async fn apply(
        &self,
        collection: &str,
        name: &str,
        object: &Value,
        query: &str,
    ) -> Result<Value, String> {
        let path = format!("{collection}/{name}?fieldManager=test&force=true&fieldValidation=Strict{query}");
        let request = Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let request = request.body(object.to_string().into_bytes()).expect("the request is valid");
        self.admin.request(request).await.map_err(|error| format!("{error}\n{object}"))
    }

    /// The path of an object's collection, as the API's discovery names it.
    ///
    /// # Panics
    ///
    /// Where its kind is not served.
    pub async fn collection(&self, object: &Value, namespace: &str) -> String {
        let version = object["apiVersion"].as_str().expect("an object has a version");
        let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
        let asked = Request::get(&base).body(Vec::new()).expect("the request is valid");
        let served: Value =
            self.admin.request(asked).await.unwrap_or_else(|error| panic!("{base}: {error}\n{object}"));
        let resources = served["resources"].as_array().expect("a version has resources");
        let of_kind = |resource: &&Value| {
            resource["kind"] == object["kind"] && !resource["name"].as_str().unwrap_or_default().contains('/')
        };
        let resource =
            resources.iter().find(of_kind).unwrap_or_else(|| panic!("{} is not served", object["kind"]));
        let plural = resource["name"].as_str().expect("a resource has a name");
        if resource["namespaced"] == true {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or(namespace);
            format!("{base}/namespaces/{namespace}/{plural}")
        } else {
            format!("{base}/{plural}")
        }
    }

    /// Whether the API server would take these objects, told strictly and without keeping them.
    ///
    /// # Panics
    ///
    /// Where it would not, with what it says.
    pub async fn would_take(&self, what: &str, objects: &[Value], namespace: &str) {
        for object in objects {
            let collection = self.collection(object, namespace).await;
            let name = object["metadata"]["name"].as_str().expect("an object has a name");
            let taken = self.apply(&collection, name, object, "&dryRun=All").await;
            taken.unwrap_or_else(|error| panic!("{what}: {collection}/{name}: {error}"));
        }
    }

    /// Writes the API server's own `OpenAPI` as schemas for kubeconform; answers the folder.
    ///
    /// # Panics
    ///
    /// Where it cannot be read.
    pub async fn write_schemas(&self, folder: &Path) {
        let asked = Request::get("/openapi/v2").header("accept", "application/json").body(Vec::new());
        let document: Value = self
            .admin
            .request(asked.expect("the request is valid"))
            .await
            .expect("the API server describes itself");
        let mut definitions = document["definitions"].clone();
        definitions.as_object_mut().expect("it has definitions").values_mut().for_each(strict);
        let mut by_kind: BTreeMap<String, String> = BTreeMap::new();
        for (name, definition) in definitions.as_object().expect("it has definitions") {
            for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
                let text = |field: &str| kind[field].as_str().unwrap_or_default().to_lowercase();
                let group = text("group");
                // As kubeconform names them: the kind, the group's first word, the version.
                let group = group.split('.').next().unwrap_or_default().to_owned();
                let group = if group.is_empty() { String::new() } else { format!("-{group}") };
                by_kind.insert(format!("{}{group}-{}", text("kind"), text("version")), name.clone());
            }
        }
        let all = json!({"definitions": definitions}).to_string();
        std::fs::write(folder.join("definitions.json"), all).expect("the folder is writable");
        for (file, name) in by_kind {
            let schema = json!({"$ref": format!("definitions.json#/definitions/{name}")});
            std::fs::write(folder.join(format!("{file}.json")), schema.to_string())
                .expect("the folder is writable");
        }
    }
}

/// Refuses fields that are none, and takes what `OpenAPI` 2 cannot say: numbers for quantities, either for ports.
fn strict(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let format = object.get("format").and_then(Value::as_str).unwrap_or_default().to_owned();
    if format == "int-or-string" || object.contains_key("x-kubernetes-int-or-string") {
        object.insert("type".into(), json!(["string", "integer"]));
        object.remove("format");
    }
    if object.get("description").and_then(Value::as_str).is_some_and(|text| text.starts_with("Quantity is a"))
    {
        object.insert("type".into(), json!(["string", "number"]));
    }
    if object.contains_key("properties")
        && !object.contains_key("additionalProperties")
        && object.get("x-kubernetes-preserve-unknown-fields") != Some(&Value::Bool(true))
    {
        object.insert("additionalProperties".into(), false.into());
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(strict);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(inner) {
            strict(inner);
        }
    }
}

/// Holds manifests against the schemas with kubeconform.
///
/// # Panics
///
/// Where it finds something.
pub fn conform(schemas: &Path, what: &str, manifests: &str) {
    let file = schemas.join("manifests.yaml");
    std::fs::write(&file, manifests).expect("the folder is writable");
    let mut command = Command::new(tool("kubeconform"));
    let location = format!("{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json", schemas.display());
    command.args(["-strict", "-summary", "-schema-location", &location]).arg(&file);
    let output = command.output().expect("kubeconform starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{what}: {told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!told.contains("Valid: 0,") && told.contains("Skipped: 0"), "{what}: {told}");
}

/// Runs Helm against a cluster; answers what it writes.
pub fn helm(version: u8, kubeconfig: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(tool(&format!("helm-{version}")));
    command.env("KUBECONFIG", kubeconfig).args(arguments);
    run(command)
}

/// An object's data, as text.
pub fn data(object: &Value) -> Map<String, Value> {
    object["data"].as_object().cloned().unwrap_or_default()
}
