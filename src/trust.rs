//! What is trusted in a run, put together of files, the cluster and key management services.

use std::path::PathBuf;

use provenance_model::report::{DiscoveryProblem, ProblemReason};
use provenance_stages::Trust;
use provenance_stages::discovery::{ClusterPolicies, cluster_policies};
use provenance_stages::keys::KeySource;
use provenance_trust::notation::TrustStore;
use provenance_trust::policy::{Document, Found, KeyRef, Unresolved, from_json};
use provenance_trust::{Policy, Root};
use sigstore_verify::trust_root::{TrustedRoot, TufBootstrap, TufConfig};

use crate::refused::ConfigErrors;

/// What the configuration says of trust.
#[derive(Debug, Default)]
pub struct TrustSettings {
    /// Where the keys are that sign images no policy names.
    pub keys: Vec<KeySource>,
    /// The documents of policy files, each with its file.
    pub documents: Vec<(String, Document)>,
    /// Whether the cluster's own policies are read.
    pub cluster_policies: bool,
    /// The trusted roots.
    pub roots: Vec<RootSource>,
    /// Where `tuf` fetches from, and what is believed of it to begin with; the public instance where none is named.
    pub tuf: Option<(String, PathBuf)>,
    /// Authorities of Notation signatures.
    pub notation: Option<TrustStore>,
}

/// Where a trusted root is to be had.
#[derive(Debug)]
pub enum RootSource {
    /// The embedded ones.
    Embedded,
    /// A file, which was read.
    File(Box<Root>),
    /// Fetched over TUF.
    Tuf,
}

/// What is trusted, and what could not be read.
#[derive(Debug)]
pub struct Assembled {
    /// What is trusted.
    pub trust: Trust,
    /// Policies of the cluster that could not be used.
    pub problems: Vec<DiscoveryProblem>,
}

/// Why what is to be trusted could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Something that was configured cannot be used.
    #[error(transparent)]
    Refused(ConfigErrors),
    /// A key or root that is kept elsewhere could not be had: another run may fare better.
    #[error("{}", .0.join("\n"))]
    NotFetched(Vec<String>),
}

/// The name of the policy that the keys make, as the report shows it.
pub const KEYS: &str = "cosign-public-key";

impl TrustSettings {
    /// Puts it all together. What was configured by hand must be usable; a policy of the cluster that cannot be used
    /// is told in the report.
    ///
    /// # Errors
    ///
    /// Every policy, key and root that was configured and cannot be used.
    pub async fn assemble(self, cluster: Option<&kube::Client>) -> Result<Assembled, TrustError> {
        let mut errors = Vec::new();
        let mut not_fetched = Vec::new();
        let roots = roots(self.roots, self.tuf, &mut not_fetched).await;
        let mut keys = Vec::new();
        for source in &self.keys {
            match source.fetch(cluster).await {
                Ok(found) => keys.extend(found),
                Err(why) => not_fetched.push(format!("--cosign-public-key: {why}")),
            }
        }
        let mut found = Found::default();
        let mut unresolved = Vec::new();
        for (file, document) in self.documents {
            match document {
                Document::Policy(policy) => unresolved.push((Some(file), policy)),
                Document::TrustRoot(root) => {
                    if found.roots.insert(root.name.clone(), root).is_some() {
                        errors.push(format!("{file}: a TrustRoot of this name was given before"));
                    }
                }
            }
        }
        let mut problems = Vec::new();
        if let Some(cluster) = cluster.filter(|_| self.cluster_policies) {
            let ClusterPolicies { documents, problems: unread } = cluster_policies(cluster).await;
            problems.extend(unread);
            for document in documents {
                match from_json(&document) {
                    Ok(Document::Policy(policy)) => unresolved.push((None, policy)),
                    // A root that was given by hand stands.
                    Ok(Document::TrustRoot(root)) => {
                        found.roots.entry(root.name.clone()).or_insert(root);
                    }
                    Err(why) => problems.push(unusable(&why)),
                }
            }
        }
        let mut policies: Vec<Policy> = Vec::new();
        for (file, policy) in unresolved {
            let policy = match fetch_keys(&policy, &mut found, cluster).await {
                Ok(()) => policy.resolve(&found),
                Err(why) if file.is_some() => {
                    not_fetched.push(format!("{}: {why}", file.unwrap_or_default()));
                    continue;
                }
                Err(why) => Err(why),
            };
            match policy {
                Ok(policy) if policies.iter().any(|known| known.name == policy.name) => {
                    // One that was given by hand stands for the cluster's own.
                    if let Some(file) = file {
                        errors.push(format!("{file}: there are two policies named {}", policy.name));
                    }
                }
                Ok(policy) => policies.push(policy),
                Err(why) => match file {
                    Some(file) => errors.push(format!("{file}: {why}")),
                    None => problems.push(unusable(&why)),
                },
            }
        }
        if !errors.is_empty() {
            return Err(TrustError::Refused(ConfigErrors(errors)));
        }
        if !not_fetched.is_empty() {
            return Err(TrustError::NotFetched(not_fetched));
        }
        let otherwise = (!keys.is_empty()).then(|| Policy::of_keys(KEYS, keys));
        let trust = Trust { roots, policies, otherwise, notation: self.notation };
        Ok(Assembled { trust, problems })
    }
}

fn unusable(why: &str) -> DiscoveryProblem {
    DiscoveryProblem {
        rows_missing: false,
        reason: ProblemReason::Malformed,
        namespace: None,
        kind: Some("ClusterImagePolicy".into()),
        message: format!("a policy of the cluster is not applied: {why}"),
    }
}

/// Fetches the keys a policy names, each once.
async fn fetch_keys(
    policy: &Unresolved,
    found: &mut Found,
    cluster: Option<&kube::Client>,
) -> Result<(), String> {
    for reference in policy.key_refs() {
        if found.keys.contains_key(&reference) {
            continue;
        }
        let source = match &reference {
            KeyRef::Secret(namespace, name) => {
                KeySource::Secret { namespace: namespace.clone(), name: name.clone() }
            }
            KeyRef::Kms(uri) => KeySource::Kms(uri.clone()),
        };
        let keys = source.fetch(cluster).await;
        let keys = keys.map_err(|why| format!("ClusterImagePolicy {}: {why}", policy.name()))?;
        found.keys.insert(reference, keys);
    }
    Ok(())
}

async fn roots(
    sources: Vec<RootSource>,
    tuf: Option<(String, PathBuf)>,
    not_fetched: &mut Vec<String>,
) -> Vec<Root> {
    let mut roots = Vec::new();
    for source in sources {
        match source {
            RootSource::Embedded => roots.extend(Root::embedded()),
            RootSource::File(root) => roots.push(*root),
            RootSource::Tuf => match fetch(tuf.as_ref()).await {
                Ok(root) => roots.push(root),
                Err(why) => not_fetched.push(format!("--trusted-root=tuf: {why}")),
            },
        }
    }
    roots
}

/// Fetches the trusted root over TUF. Nothing is kept on disk: a run asks once.
async fn fetch(tuf: Option<&(String, PathBuf)>) -> Result<Root, String> {
    provenance_stages::choose_crypto();
    let config = match tuf {
        None => TufConfig::production(),
        Some((url, file)) => {
            let root = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            TufConfig::custom(url.clone(), TufBootstrap::trusted(root))
        }
    };
    let root = TrustedRoot::from_tuf(config.without_cache()).await.map_err(|error| error.to_string())?;
    let json = serde_json::to_string(&root).map_err(|error| error.to_string())?;
    Root::from_json("tuf", &json)
}

/// Files below these paths, themselves files or folders, sorted.
pub(crate) fn files_below(path: &std::path::Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let entries = std::fs::read_dir(path).map_err(told)?.collect::<Result<Vec<_>, _>>().map_err(told)?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path();
        // A mounted ConfigMap keeps its content behind names that begin with two dots.
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !is_hidden {
            files.extend(files_below(&path)?);
        } else if path.is_file() && !is_hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
