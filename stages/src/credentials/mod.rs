//! Credentials: which of them are tried for an image, and whose they are.
//!
//! The collector's own come from a docker `config.json`; a pod's from its pull secrets. Every set has a
//! scope, and the scope is part of what is examined once: one team's secret never answers for another's row.
//!
//! | file | job |
//! | --- | --- |
//! | [`config`] | docker `config.json`, `dockerconfigjson` and `dockercfg` |
//! | [`matching`] | which entries match an image, as Kubernetes decides it |
//! | [`helper`] | the docker credential helper protocol |

pub mod config;
pub mod helper;
pub mod matching;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use provenance_engine::Failure;
use provenance_model::{CredentialScope, Registry, Repository};

pub use config::{ConfigError, DockerConfig};

/// A secret text. It never appears in debug output.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for where it must be shown.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A credential for a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A user name and a password or access token.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, to be changed for access tokens at the registry's token service
    /// ([OAuth2 token authentication](https://distribution.github.io/distribution/spec/auth/oauth/)).
    IdentityToken(Secret),
    /// An access token to be shown as it is.
    RegistryToken(Secret),
}

/// What a helper answered.
type Helped = Result<Option<Credential>, Failure>;

/// All credentials, by scope. Discovery adds pods' scopes while the registry client already reads.
#[derive(Debug, Default)]
pub struct CredentialBook {
    /// The collector's own, tried after a pod's.
    own: DockerConfig,
    scopes: Mutex<BTreeMap<CredentialScope, Arc<DockerConfig>>>,
    helped: Mutex<HashMap<(String, String), Helped>>,
}

impl CredentialBook {
    /// A book that holds the collector's own credentials.
    pub fn new(own: DockerConfig) -> Self {
        Self { own, ..Self::default() }
    }

    /// Adds a scope's credentials.
    pub fn add(&self, scope: CredentialScope, config: Arc<DockerConfig>) {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner).insert(scope, config);
    }

    /// The credentials to try for an image, in order; empty for an image that none matches. A helper that is
    /// named for the registry but fails is told beside them: it matters only where the registry refuses.
    pub async fn candidates(
        &self,
        scope: &CredentialScope,
        registry: &Registry,
        repository: &Repository,
    ) -> (Vec<Credential>, Option<Failure>) {
        let of_scope = self.scopes.lock().unwrap_or_else(PoisonError::into_inner).get(scope).cloned();
        let mut candidates: Vec<Credential> = Vec::new();
        let mut failed = None;
        for config in of_scope.iter().map(Arc::as_ref).chain([&self.own]) {
            let mut found: Vec<_> = config.matching(registry, repository).cloned().collect();
            if let Some((program, server)) = config.helper(registry) {
                match self.helped(program, server).await {
                    Ok(credential) => found.extend(credential),
                    Err(failure) => failed = Some(failure),
                }
            }
            for credential in found {
                if !candidates.contains(&credential) {
                    candidates.push(credential);
                }
            }
        }
        (candidates, failed)
    }

    /// A helper's answer, asked for once.
    async fn helped(&self, program: String, server: String) -> Helped {
        let key = (program, server);
        let known = self.helped.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let answered = helper::get(&key.0, &key.1).await;
        self.helped.lock().unwrap_or_else(PoisonError::into_inner).insert(key, answered.clone());
        answered
    }
}
