//! Where managed keys are to be had. Only the public key is ever fetched, once a run.

mod kms;

use std::fmt;

use provenance_trust::PublicKey;

use crate::discovery::public_key;
use kms::SCHEMES;

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// Keys that were read already: from files, or given as text.
    Read(Vec<PublicKey>),
    /// A Secret of the cluster.
    Secret {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A key management service.
    Kms(String),
}

impl KeySource {
    /// What `--cosign-public-key` names: PEM text, a file, a Secret or a key management service's URI. Files are
    /// read at once.
    pub fn parse(written: &str) -> Result<Self, String> {
        if written.contains("-----BEGIN ") {
            return PublicKey::all_from_pem("given as text", written).map(Self::Read);
        }
        if let Some(rest) = written.strip_prefix("k8s://") {
            return match rest.split_once('/') {
                Some((namespace, name))
                    if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
                {
                    Ok(Self::Secret { namespace: namespace.into(), name: name.into() })
                }
                _ => Err(format!("{written:?} is not of the form k8s://NAMESPACE/SECRET")),
            };
        }
        if SCHEMES.iter().any(|scheme| written.starts_with(scheme)) {
            return Ok(Self::Kms(written.to_owned()));
        }
        if let Some((scheme, _)) = written.split_once("://") {
            let known = SCHEMES.join(", ");
            return Err(format!("keys at {scheme}:// are not known; known are k8s://, {known} and files"));
        }
        let pem = std::fs::read_to_string(written).map_err(|error| format!("{written}: {error}"))?;
        PublicKey::all_from_pem(written, &pem).map(Self::Read).map_err(|why| format!("{written}: {why}"))
    }

    /// The keys. `cluster` is there where one is read from.
    pub async fn fetch(&self, cluster: Option<&kube::Client>) -> Result<Vec<PublicKey>, String> {
        match self {
            Self::Read(keys) => Ok(keys.clone()),
            Self::Secret { namespace, name } => {
                let Some(cluster) = cluster else {
                    return Err(format!("{self}: there is no cluster to read a Secret from"));
                };
                let pem = public_key(cluster, namespace, name).await?;
                PublicKey::all_from_pem(&self.to_string(), &pem).map_err(|why| format!("{self}: {why}"))
            }
            Self::Kms(uri) => kms::fetch(uri).await,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(keys) => f.write_str(keys.first().map_or("no key", |key| &key.name)),
            Self::Secret { namespace, name } => write!(f, "k8s://{namespace}/{name}"),
            Self::Kms(uri) => f.write_str(uri),
        }
    }
}
