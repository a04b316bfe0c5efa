//! Trust policies: which signatures are wanted of which images. Their form is that of the sigstore
//! policy-controller's [ClusterImagePolicy](https://docs.sigstore.dev/policy-controller/overview/).

mod glob;
mod read;

use std::sync::Arc;

use provenance_model::ImageReference;
use provenance_model::trust::{Form, Refusal, RefusalKind, Signer};
use regex::Regex;

pub use glob::Glob;
pub use read::{Document, FILE_BYTES, Found, KeyRef, Unresolved, documents, from_json};

use crate::key::PublicKey;
use crate::refusals::refuse;
use crate::roots::{Root, Without};

/// One policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The images it is for.
    pub images: Vec<Glob>,
    /// Who may sign: one of them suffices.
    pub authorities: Vec<Authority>,
    /// Whether an image must satisfy it. Keys given by themselves only verify what was signed with a key.
    pub is_required: bool,
}

impl Policy {
    /// Keys that verify whatever image they signed, and refuse what another key signed.
    pub fn of_keys(name: &str, keys: Vec<PublicKey>) -> Self {
        let authority = Authority {
            name: name.to_owned(),
            kind: AuthorityKind::Key(keys),
            without: Without { log: true, certificate_timestamp: true },
            attestations: Vec::new(),
            format: None,
        };
        Self {
            name: name.to_owned(),
            images: vec![Glob::everything()],
            authorities: vec![authority],
            is_required: false,
        }
    }

    /// Whether the policy is for this image.
    pub fn matches(&self, image: &ImageReference) -> bool {
        self.images.iter().any(|glob| glob.is_for(image))
    }
}

/// Who may sign, and how that is checked.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its name.
    pub name: String,
    /// Who.
    pub kind: AuthorityKind,
    /// What the check does without.
    pub without: Without,
    /// Predicate types of the attestations that are wanted, instead of a signature.
    pub attestations: Vec<String>,
    /// The form that is accepted; any where none is named.
    pub format: Option<SignatureFormat>,
}

/// The forms that a policy can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFormat {
    /// cosign 2's tags.
    Legacy,
    /// Sigstore bundles.
    Bundle,
}

impl SignatureFormat {
    /// Whether something attached is of this form.
    pub fn fits(self, form: Form) -> bool {
        match self {
            Self::Legacy => matches!(form, Form::SimpleSigning | Form::Dsse),
            Self::Bundle => form == Form::SigstoreBundle,
        }
    }
}

/// The kinds of authority.
#[derive(Debug, Clone)]
pub enum AuthorityKind {
    /// Whoever has one of these keys.
    Key(Vec<PublicKey>),
    /// Whoever has one of these identities.
    Keyless {
        /// The identities; anybody's where there are none.
        identities: Vec<Identity>,
        /// The root that vouches for them; the configured ones where none is named.
        root: Option<Arc<Root>>,
    },
    /// Nobody is asked: every image passes.
    Pass,
    /// Nobody is asked: every image fails, for this reason.
    Fail(String),
}

/// An identity that is wanted.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The issuer.
    pub issuer: Wanted,
    /// The subject.
    pub subject: Wanted,
}

/// A text that is wanted.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Any.
    Any,
    /// Just this.
    Exactly(String),
    /// What this matches, anywhere in it.
    Matching(Regex),
}

impl Wanted {
    fn accepts(&self, text: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => text == Some(wanted),
            Self::Matching(regex) => text.is_some_and(|text| regex.is_match(text)),
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Exactly(wanted) => f.write_str(wanted),
            Self::Matching(regex) => write!(f, "what matches {regex}"),
        }
    }
}

/// Makes sure that the signer is one of these.
pub(crate) fn authorised(identities: &[Identity], signer: &Signer) -> Result<(), Refusal> {
    let (subject, issuer) = (signer.identity.as_deref(), signer.issuer.as_deref());
    let by_subject: Vec<_> = identities.iter().filter(|identity| identity.subject.accepts(subject)).collect();
    if identities.is_empty() || by_subject.iter().any(|identity| identity.issuer.accepts(issuer)) {
        return Ok(());
    }
    let told = |wanted: &mut dyn Iterator<Item = &Wanted>| {
        let mut all: Vec<_> = wanted.map(ToString::to_string).collect();
        all.sort();
        all.dedup();
        all.join(", or ")
    };
    if by_subject.is_empty() {
        let wanted = told(&mut identities.iter().map(|identity| &identity.subject));
        let found = subject.unwrap_or("a certificate without identity");
        return refuse(RefusalKind::Identity, format!("the identity is {found}; wanted is {wanted}"));
    }
    let wanted = told(&mut by_subject.iter().map(|identity| &identity.issuer));
    let found = issuer.unwrap_or("a certificate without issuer");
    refuse(RefusalKind::Issuer, format!("the issuer is {found}; wanted is {wanted}"))
}
