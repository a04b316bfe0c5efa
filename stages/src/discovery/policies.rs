//! The cluster's own trust policies, and keys kept in its Secrets.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_engine::Stop;
use provenance_model::report::DiscoveryProblem;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reader::{Detail, ReadError, Reader};

/// Lists of policies and roots are short; one page mostly holds them all.
const PAGE_SIZE: usize = 500;

/// The group of both kinds.
const GROUP: &str = "/apis/policy.sigstore.dev";

/// The kinds that are read, by their plural; and their versions, newest first.
const KINDS: [(&str, &str); 2] =
    [("ClusterImagePolicy", "clusterimagepolicies"), ("TrustRoot", "trustroots")];
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];

/// What a cluster says of trust.
#[derive(Debug, Default)]
pub struct ClusterPolicies {
    /// `ClusterImagePolicy` and `TrustRoot` objects.
    pub documents: Vec<Value>,
    /// What could not be read.
    pub problems: Vec<DiscoveryProblem>,
}

/// Reads the cluster's policies and roots. A cluster without these kinds has none; so has an account that may not
/// list them, since the API then does not say whether there are any.
pub async fn cluster_policies(client: &kube::Client) -> ClusterPolicies {
    let reader = Reader::new(client.clone(), PAGE_SIZE, Stop::new(std::time::Duration::ZERO));
    let mut found = ClusterPolicies::default();
    let served = match versions(&reader).await {
        Ok(served) => served,
        Err(error) => {
            found.problems.push(not_applied("ClusterImagePolicy", &error));
            return found;
        }
    };
    for (kind, plural) in KINDS {
        for version in &served {
            match list(&reader, &format!("{GROUP}/{version}/{plural}"), kind, version).await {
                Ok(documents) => {
                    found.documents.extend(documents);
                    break;
                }
                Err(ReadError::NotFound(_)) => {}
                Err(ReadError::Forbidden(why)) => {
                    tracing::info!(kind, %why, "the cluster's trust policies are not read");
                    break;
                }
                Err(error) => {
                    found.problems.push(not_applied(kind, &error));
                    break;
                }
            }
        }
    }
    found
}

/// The versions of the group that are served; none where the cluster has no such group.
async fn versions(reader: &Reader) -> Result<Vec<&'static str>, ReadError> {
    #[derive(Deserialize)]
    struct Group {
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    match reader.get::<Group>(GROUP).await {
        Ok(group) => {
            let served = |version: &&str| group.versions.iter().any(|one| one.version == **version);
            Ok(VERSIONS.into_iter().filter(served).collect())
        }
        Err(ReadError::NotFound(_) | ReadError::Forbidden(_)) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn not_applied(kind: &str, error: &ReadError) -> DiscoveryProblem {
    DiscoveryProblem {
        rows_missing: false,
        reason: error.reason(),
        namespace: None,
        kind: Some(kind.to_owned()),
        message: format!("the cluster's own policies are not applied: {error}"),
    }
}

async fn list(reader: &Reader, path: &str, kind: &str, version: &str) -> Result<Vec<Value>, ReadError> {
    let mut documents = Vec::new();
    let mut pages = reader.list(path, Detail::Whole);
    while let Some(page) = pages.next::<Value>().await? {
        for mut document in page {
            // The items of a list do not say what they are.
            document["kind"] = json!(kind);
            document["apiVersion"] = json!(format!("policy.sigstore.dev/{version}"));
            documents.push(document);
        }
    }
    Ok(documents)
}

/// The public key in a Secret, in PEM: `cosign.pub`, as `cosign generate-key-pair k8s://…` writes it, or the only
/// entry there is.
pub async fn public_key(client: &kube::Client, namespace: &str, name: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Secret {
        data: Option<HashMap<String, String>>,
    }
    let reader = Reader::new(client.clone(), PAGE_SIZE, Stop::new(std::time::Duration::ZERO));
    let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
    let secret: Secret = reader.get(&path).await.map_err(|error| match error {
        ReadError::NotFound(_) => format!("there is no Secret {namespace}/{name}"),
        error => error.to_string(),
    })?;
    let data = secret.data.unwrap_or_default();
    let only = || data.values().next().filter(|_| data.len() == 1);
    let Some(encoded) = data.get("cosign.pub").or_else(only) else {
        return Err(format!("the Secret {namespace}/{name} has no cosign.pub"));
    };
    let pem = STANDARD.decode(encoded).map_err(|_| format!("the Secret {namespace}/{name} is no base64"))?;
    String::from_utf8(pem).map_err(|_| format!("the Secret {namespace}/{name} holds no PEM"))
}
