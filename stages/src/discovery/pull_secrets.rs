//! Whose credentials a pod's images are pulled with: its pull secrets, or its ServiceAccount's where it names
//! none, as the API server's admission fills them in.
//!
//! Each secret that is referenced is read once, and only where one of its entries matches the image do the
//! image's rows get a scope of their own: public images are examined once for all namespaces.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_model::report::{DiscoveryProblem, ProblemReason};
use provenance_model::{CredentialScope, Image};
use serde::Deserialize;

use super::owners::Scope;
use super::pods::{LocalReference, ObjectMeta};
use super::reader::{Detail, ReadError, Reader};
use crate::credentials::{ConfigError, CredentialBook, DockerConfig};

/// A namespace and the secrets used in it, in order.
type SecretNames = (Arc<str>, Vec<String>);

/// Service accounts' pull secrets by namespace and name.
type Accounts = HashMap<(String, String), Vec<String>>;

/// Pull secrets read so far.
pub(super) struct PullSecrets {
    reader: Reader,
    book: Arc<CredentialBook>,
    /// Secrets by namespace and name; none for one that could not be used.
    secrets: HashMap<(Arc<str>, String), Option<Arc<DockerConfig>>>,
    /// The joined content of all secrets of a pod, and the scope they have.
    joined: HashMap<SecretNames, (CredentialScope, Arc<DockerConfig>)>,
    /// None where accounts may not be listed.
    accounts: HashMap<Scope, Option<Accounts>>,
    problems: Vec<DiscoveryProblem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceAccount {
    metadata: ObjectMeta,
    image_pull_secrets: Option<Vec<LocalReference>>,
}

#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "type", default)]
    kind: String,
    data: Option<HashMap<String, String>>,
}

impl PullSecrets {
    pub(super) fn new(reader: Reader, book: Arc<CredentialBook>) -> Self {
        Self {
            reader,
            book,
            secrets: HashMap::new(),
            joined: HashMap::new(),
            accounts: HashMap::new(),
            problems: Vec::new(),
        }
    }

    /// The secrets of a pod: its own, or its account's where it names none.
    pub(super) async fn names(
        &mut self,
        namespace: &Arc<str>,
        own: Vec<String>,
        account: &str,
        scope: &Scope,
    ) -> Result<SecretNames, ReadError> {
        if !own.is_empty() {
            return Ok((Arc::clone(namespace), own));
        }
        if !self.accounts.contains_key(scope) {
            let listed = match self.list_accounts(scope).await {
                Ok(listed) => Some(listed),
                Err(ReadError::Stopped) => return Err(ReadError::Stopped),
                Err(error) => {
                    // The API server has filled them in already when it admitted the pod, as a rule.
                    tracing::debug!(%error, "service accounts may not be listed");
                    None
                }
            };
            self.accounts.insert(scope.clone(), listed);
        }
        let listed = self.accounts[scope].as_ref();
        let of_account = listed.and_then(|listed| listed.get(&(namespace.to_string(), account.to_owned())));
        Ok((Arc::clone(namespace), of_account.cloned().unwrap_or_default()))
    }

    /// The scope under which an image is asked for with these secrets.
    pub(super) async fn scope(
        &mut self,
        names: &SecretNames,
        image: &Image,
    ) -> Result<CredentialScope, ReadError> {
        let (Ok(reference), false) = (&image.reference, names.1.is_empty()) else {
            return Ok(CredentialScope::default());
        };
        if !self.joined.contains_key(names) {
            let mut configs = Vec::new();
            for name in &names.1 {
                configs.extend(self.read(&names.0, name).await?);
            }
            let config = Arc::new(DockerConfig::joined(configs.iter().map(Arc::as_ref)));
            let scope = CredentialScope::of_secrets(&names.0, &names.1);
            self.book.add(scope.clone(), Arc::clone(&config));
            self.joined.insert(names.clone(), (scope, config));
        }
        let (scope, config) = &self.joined[names];
        let is_matched = config.matching(&reference.registry, &reference.repository).next().is_some();
        Ok(if is_matched { scope.clone() } else { CredentialScope::default() })
    }

    pub(super) fn into_problems(self) -> Vec<DiscoveryProblem> {
        self.problems
    }

    async fn list_accounts(&self, scope: &Scope) -> Result<Accounts, ReadError> {
        let path = match scope {
            Scope::Cluster => "/api/v1/serviceaccounts".to_owned(),
            Scope::Namespace(namespace) => format!("/api/v1/namespaces/{namespace}/serviceaccounts"),
        };
        let mut accounts = Accounts::new();
        let mut pages = self.reader.list(&path, Detail::Whole);
        while let Some(page) = pages.next::<ServiceAccount>().await? {
            for account in page {
                let names: Vec<_> =
                    account.image_pull_secrets.into_iter().flatten().map(|secret| secret.name).collect();
                if !names.is_empty() {
                    accounts.insert((account.metadata.namespace, account.metadata.name), names);
                }
            }
        }
        Ok(accounts)
    }

    /// Reads one secret, once. What cannot be used is a problem in the report, and its images are asked for
    /// without it.
    async fn read(
        &mut self,
        namespace: &Arc<str>,
        name: &str,
    ) -> Result<Option<Arc<DockerConfig>>, ReadError> {
        let key = (Arc::clone(namespace), name.to_owned());
        if let Some(known) = self.secrets.get(&key) {
            return Ok(known.clone());
        }
        let read = self.reader.get::<Secret>(&format!("/api/v1/namespaces/{namespace}/secrets/{name}")).await;
        let (config, problem) = match read {
            Ok(secret) => match parse(&secret) {
                Ok(config) => (Some(Arc::new(config)), None),
                Err(error) => (None, Some((ProblemReason::Malformed, error.to_string()))),
            },
            Err(ReadError::Stopped) => return Err(ReadError::Stopped),
            Err(error @ ReadError::NotFound(_)) => (None, Some((error.reason(), "it does not exist".into()))),
            Err(error) => (None, Some((error.reason(), error.to_string()))),
        };
        if let Some((reason, why)) = problem {
            self.problems.push(DiscoveryProblem {
                rows_missing: false,
                reason,
                namespace: Some(namespace.to_string()),
                kind: Some("Secret".into()),
                message: format!(
                    "pull secret {namespace}/{name} is not used, its images are asked for without it: {why}"
                ),
            });
        }
        self.secrets.insert(key, config.clone());
        Ok(config)
    }
}

/// The docker configuration in a secret of either kind.
fn parse(secret: &Secret) -> Result<DockerConfig, ConfigError> {
    let malformed = |why: &str| ConfigError::Malformed(why.to_owned());
    let decode = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        let data =
            data.ok_or_else(|| malformed(&format!("its type is {:?} but it has no {key}", secret.kind)))?;
        STANDARD.decode(data).map_err(|_| malformed("its data is no base64"))
    };
    match secret.kind.as_str() {
        "kubernetes.io/dockerconfigjson" => DockerConfig::parse(&decode(".dockerconfigjson")?),
        "kubernetes.io/dockercfg" => DockerConfig::parse_dockercfg(&decode(".dockercfg")?),
        other => Err(malformed(&format!("its type {other:?} is none of pull secrets"))),
    }
}
