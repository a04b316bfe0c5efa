//! What all roots, keys and policies together say of one signature. Pure computation, and costly: call it where
//! blocking is allowed.

use std::collections::BTreeMap;

use provenance_model::Digest;
use provenance_model::trust::{Checked, Refusal, RefusalKind, Signer, Verdict};

use crate::certificate::by_certificate;
use crate::evidence::Signed;
use crate::key::by_key;
use crate::policy::{Authority, AuthorityKind, Policy, authorised};
use crate::roots::{Root, Without};

/// What was said of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is reported of it.
    pub checked: Checked,
    /// What each authority of each policy said, by the position of both.
    pub by_authority: BTreeMap<(usize, usize), Result<(), Refusal>>,
}

/// Judges a signature, or an attestation, by these policies and roots.
pub fn judge(signed: &Signed, target: &Digest, policies: &[&Policy], roots: &[&Root]) -> Judgement {
    let mut by_authority = BTreeMap::new();
    let mut satisfied = Vec::new();
    let mut who: Option<Signer> = None;
    let mut checks = Checks { signed, target, roots, by_certificate: Vec::new() };
    for (policy_at, policy) in policies.iter().enumerate() {
        let mut accepted = false;
        for (authority_at, authority) in policy.authorities.iter().enumerate() {
            let Some(said) = checks.authority(authority) else { continue };
            // Keys that were not asked of this image say nothing of what was signed without one.
            if said.is_err() && !policy.is_required && signed.has_certificate() {
                continue;
            }
            accepted |= said.is_ok();
            if let (None, Ok(found)) = (&who, &said) {
                who = Some(found.clone());
            }
            by_authority.insert((policy_at, authority_at), said.map(drop));
        }
        if accepted {
            satisfied.push(policy.name.clone());
        }
    }
    let mut checked = match who {
        Some(who) => Checked { verdict: Verdict::Verified, policies: satisfied, ..Checked::valid(who) },
        None => checks.by_itself(),
    };
    // What holds in itself, and is refused by every authority that was asked, is refused.
    if checked.verdict != Verdict::Verified && !by_authority.is_empty() {
        let reason = by_authority.values().find_map(|said| said.as_ref().err()).cloned();
        checked = Checked { verdict: Verdict::Invalid, reason, ..checked };
    }
    Judgement { checked, by_authority }
}

/// The checks of one signature, none done twice.
struct Checks<'a> {
    signed: &'a Signed,
    target: &'a Digest,
    roots: &'a [&'a Root],
    by_certificate: Vec<(Without, Result<Signer, Refusal>)>,
}

impl Checks<'_> {
    /// What the signature says where no policy says anything.
    fn by_itself(&mut self) -> Checked {
        if !self.signed.has_certificate() {
            let why = "it was made with a key, and no key to check it with is given";
            return Checked::not_checked(Refusal::new(RefusalKind::NothingGiven, why));
        }
        match self.certificate(Without::default()) {
            Ok(signer) => Checked::valid(signer),
            Err(refusal) => Checked::invalid(refusal),
        }
    }

    /// What an authority says; nothing where it asks nobody or wants another form or predicate.
    fn authority(&mut self, authority: &Authority) -> Option<Result<Signer, Refusal>> {
        if authority.format.is_some_and(|format| !format.fits(self.signed.form)) {
            return None;
        }
        let wanted = &authority.attestations;
        if self.signed.is_signature() {
            // An authority that wants attestations says nothing of signatures.
            if !wanted.is_empty() {
                return None;
            }
        } else if !wanted.is_empty() {
            let predicate = self.signed.predicate_type();
            wanted.iter().find(|wanted| predicate == Some(wanted.as_str()))?;
        }
        match &authority.kind {
            AuthorityKind::Pass | AuthorityKind::Fail(_) => None,
            AuthorityKind::Key(keys) => {
                let mut reason = None;
                for key in keys {
                    match by_key(self.signed, self.target, key, self.roots, !authority.without.log) {
                        Ok(signer) => return Some(Ok(signer)),
                        Err(refusal) => reason = reason.or(Some(refusal)),
                    }
                }
                reason.map(Err)
            }
            AuthorityKind::Keyless { identities, root } => {
                if !self.signed.has_certificate() {
                    let why = "it was made with a key, and the policy wants a certificate";
                    return Some(Err(Refusal::new(RefusalKind::Certificate, why)));
                }
                let verified = match root {
                    Some(root) => by_certificate(self.signed, self.target, &[root], authority.without),
                    None => self.certificate(authority.without),
                };
                Some(verified.and_then(|signer| authorised(identities, &signer).map(|()| signer)))
            }
        }
    }

    fn certificate(&mut self, without: Without) -> Result<Signer, Refusal> {
        if let Some((_, known)) = self.by_certificate.iter().find(|(known, _)| *known == without) {
            return known.clone();
        }
        let verified = by_certificate(self.signed, self.target, self.roots, without);
        self.by_certificate.push((without, verified.clone()));
        verified
    }
}
