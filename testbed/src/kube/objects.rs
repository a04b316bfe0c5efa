//! Objects to add to a world.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A controller reference to an object.
pub fn controller(version: &str, kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": true})
}

/// A pull secret for one registry and user.
pub fn pull_secret(namespace: &str, name: &str, registry: &str, user: &str, password: &str) -> Value {
    let config = json!({"auths": {registry: {"username": user, "password": password}}}).to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": {"name": name, "namespace": namespace},
        "data": {".dockerconfigjson": STANDARD.encode(config)},
    })
}

/// A pod that runs these containers: name, image and image id each.
pub fn pod(namespace: &str, name: &str, owner: &Value, containers: &[(&str, &str, &str)]) -> Value {
    let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
    let specs: Vec<_> =
        containers.iter().map(|(name, image, _)| json!({"name": name, "image": image})).collect();
    let statuses: Vec<_> = containers
        .iter()
        .map(|(name, image, id)| json!({"name": name, "image": image, "imageID": id, "ready": true, "restartCount": 0}))
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "ownerReferences": owners,
            "labels": {"app.kubernetes.io/name": name},
        },
        "spec": {"containers": specs, "serviceAccountName": "default", "nodeName": "node-1"},
        "status": {"phase": "Running", "containerStatuses": statuses},
    })
}
