//! Trusted roots: whom a certificate, a log entry and a timestamp are believed of
//! ([trusted root](https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto)).
//!
//! Nothing here asks the network: a root is embedded, or was read before.

use provenance_model::trust::Refusal;
use sha2::{Digest as _, Sha256};
use sigstore_verify::Verifier;
use sigstore_verify::trust_root::{
    SIGSTORE_GITHUB_TRUSTED_ROOT, SIGSTORE_PRODUCTION_TRUSTED_ROOT, TrustedRoot,
};

use crate::refusals;

/// What a verification may do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Without {
    /// An entry in a transparency log; a timestamp must then say when it was signed.
    pub log: bool,
    /// The certificate's timestamp from a certificate log.
    pub certificate_timestamp: bool,
}

impl Without {
    /// What either may do without.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            log: self.log || other.log,
            certificate_timestamp: self.certificate_timestamp || other.certificate_timestamp,
        }
    }
}

/// Asks every root in turn until one accepts. Where none does, the one that came furthest tells why; none is told where
/// there is no root.
pub(crate) fn any<T>(
    roots: &[&Root],
    mut accepts: impl FnMut(&Root) -> Result<T, Refusal>,
) -> Result<T, Option<Refusal>> {
    let mut reason: Option<Refusal> = None;
    for root in roots {
        match accepts(root) {
            Ok(accepted) => return Ok(accepted),
            Err(refusal) => {
                let known = reason.as_ref().map(|reason| refusals::how_far(reason.kind));
                if known.is_none_or(|known| refusals::how_far(refusal.kind) > known) {
                    reason = Some(refusal);
                }
            }
        }
    }
    Err(reason)
}

/// One trusted root.
pub struct Root {
    /// What it is called in messages.
    pub name: String,
    /// SHA-256 of its JSON.
    pub fingerprint: [u8; 32],
    pub(crate) trusted: TrustedRoot,
    pub(crate) verifier: Verifier,
    pub(crate) without: Without,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Root {
    /// A root from its JSON form.
    pub fn from_json(name: &str, json: &str) -> Result<Self, String> {
        let root = TrustedRoot::from_json(json).map_err(|error| format!("it is no trusted root: {error}"))?;
        let verifier =
            Verifier::new(&root).map_err(|error| format!("the trusted root cannot be used: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            fingerprint: Sha256::digest(json).into(),
            trusted: root,
            verifier,
            without: Without::default(),
        })
    }

    /// The embedded roots: sigstore's public instance and GitHub's own. GitHub's has neither a transparency log
    /// nor a certificate log for its private instance; its signatures carry timestamps instead.
    pub fn embedded() -> Vec<Self> {
        let root = |name, json| Self::from_json(name, json).expect("the embedded roots are valid");
        let mut github = root("GitHub", SIGSTORE_GITHUB_TRUSTED_ROOT);
        github.without = Without { log: true, certificate_timestamp: true };
        vec![root("sigstore", SIGSTORE_PRODUCTION_TRUSTED_ROOT), github]
    }
}
