//! The signature stage: who signed what runs, and whether a policy wants that.
//!
//! "Unsigned" is said only after every place answered. A place that did not answer leaves the verdict open, unless
//! what was found elsewhere satisfies every policy.

use std::collections::BTreeSet;
use std::sync::Arc;

use provenance_engine::{Failure, Outcome, Stage};
use provenance_model::trust::{Checked, Refusal, RefusalKind, SignatureRecord, Verdict};
use provenance_model::{Digest, Dossier, PolicyRecord, SignatureFinding};
use provenance_trust::evidence::COSIGN_SIGN;
use provenance_trust::notation::Envelope;
use provenance_trust::policy::AuthorityKind;
use provenance_trust::{Judgement, Policy, Signed};

use crate::attached::{
    ATTESTATION_BYTES, Attachments, Found, Item, Kind, SIGNATURE_BYTES, Targets, Wanted, asking,
};
use crate::registry::Asking;
use crate::verification::Verification;

/// The stage. See the module's description.
#[derive(Debug)]
pub struct SignatureStage {
    attachments: Arc<Attachments>,
    verification: Arc<Verification>,
    is_on: bool,
}

impl SignatureStage {
    /// The stage's name.
    pub const NAME: &str = "signature";

    /// A stage that finds and verifies with these.
    pub fn new(attachments: Arc<Attachments>, verification: Arc<Verification>, is_on: bool) -> Self {
        Self { attachments, verification, is_on }
    }
}

impl Stage<Dossier> for SignatureStage {
    type Found = SignatureFinding;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<SignatureFinding> {
        &mut dossier.signature
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<SignatureFinding>, Failure> {
        if !self.is_on {
            return Ok(Outcome::Skipped("signatures are not asked for (--verify-signatures=false)".into()));
        }
        let digest = match Targets::of(dossier) {
            Targets::Of(digest) => digest,
            Targets::None(outcome) => return Ok(outcome.without_finding()),
        };
        let asking = asking(Self::NAME, dossier)?;
        let image = dossier.subject.reference.as_ref().expect("a digest is known of valid references only");
        let policies = self.verification.trust().policies_for(image);
        let examination = Examination { stage: self, asking, dossier, policies };
        Box::pin(examination.examine(&digest)).await
    }
}

/// One subject's examination.
struct Examination<'a> {
    stage: &'a SignatureStage,
    asking: Asking<'a>,
    dossier: &'a Dossier,
    policies: Vec<&'a Policy>,
}

/// What is known so far.
#[derive(Default)]
struct Known {
    signatures: Vec<SignatureRecord>,
    /// What was judged, signatures and attestations, with the predicate type of the latter.
    judged: Vec<(Option<String>, Arc<Judgement>)>,
    failures: Vec<Failure>,
}

impl Examination<'_> {
    async fn examine(&self, digest: &Digest) -> Result<Outcome<SignatureFinding>, Failure> {
        let mut known = Known::default();
        let first = Attachments::first(digest);
        let found = self.stage.attachments.find(&self.asking, &first, Wanted::Signatures).await;
        self.judge_signatures(found, &mut known).await;
        if known.signatures.is_empty() {
            match self.stage.attachments.second(&self.asking, self.dossier, digest).await {
                Ok(Some(second)) => {
                    let found = self.stage.attachments.find(&self.asking, &second, Wanted::Signatures).await;
                    self.judge_signatures(found, &mut known).await;
                }
                Ok(None) => {}
                Err(failure) => known.failures.push(failure),
            }
        }
        if self.wanted_predicates().next().is_some() {
            self.judge_attestations(digest, &mut known).await;
        }
        Ok(self.conclude(known))
    }

    fn policy_names(&self) -> Vec<String> {
        self.policies.iter().map(|policy| policy.name.clone()).collect()
    }

    /// Predicate types that the policies want attested.
    fn wanted_predicates(&self) -> impl Iterator<Item = &str> {
        let authorities = self.policies.iter().flat_map(|policy| &policy.authorities);
        authorities.flat_map(|authority| authority.attestations.iter().map(String::as_str))
    }

    async fn judge_signatures(&self, found: Found, known: &mut Known) {
        known.failures.extend(found.failures);
        for item in found.items {
            let bytes = match self.stage.attachments.load(&self.asking, &item, SIGNATURE_BYTES).await {
                Ok(bytes) => bytes,
                Err(failure) => {
                    known.failures.push(failure);
                    continue;
                }
            };
            let read = match &item.kind {
                Kind::Notation => {
                    let checked = match Envelope::read(&bytes, &item.media_type) {
                        Ok(envelope) => self.stage.verification.check_notation(envelope, &item.subject).await,
                        Err(refusal) => Checked::invalid(refusal),
                    };
                    known.signatures.push(SignatureRecord { attached: item.attached, checked });
                    continue;
                }
                Kind::SimpleSigning => Signed::simple_signing(&bytes, &item.annotations),
                _ => Signed::bundle(&bytes),
            };
            let signed = match read {
                Ok(signed) if is_statement(&item, &signed) => continue,
                Ok(signed) => signed,
                Err(refusal) => {
                    let checked = Checked::invalid(refusal);
                    known.signatures.push(SignatureRecord { attached: item.attached, checked });
                    continue;
                }
            };
            let names = self.policy_names();
            let judged = self.stage.verification.judge(signed, &item.subject, &names).await;
            let checked = judged.checked.clone();
            known.signatures.push(SignatureRecord { attached: item.attached, checked });
            known.judged.push((None, judged));
        }
    }

    /// Judges the attestations that a policy wants, on what runs and on the index or platform beside it.
    async fn judge_attestations(&self, digest: &Digest, known: &mut Known) {
        let wanted: BTreeSet<&str> = self.wanted_predicates().collect();
        let mut targets = vec![Attachments::first(digest)];
        match self.stage.attachments.second(&self.asking, self.dossier, digest).await {
            Ok(second) => targets.extend(second),
            Err(failure) => known.failures.push(failure),
        }
        for target in targets {
            for kinds in [Wanted::Attestations, Wanted::Sboms] {
                let found = self.stage.attachments.find(&self.asking, &target, kinds).await;
                known.failures.extend(found.failures);
                let may_be = |item: &Item| item.kind.predicate().is_none_or(|kind| wanted.contains(kind));
                for item in found.items.into_iter().filter(may_be) {
                    self.judge_attestation(&item, &wanted, known).await;
                }
            }
        }
    }

    async fn judge_attestation(&self, item: &Item, wanted: &BTreeSet<&str>, known: &mut Known) {
        if !matches!(item.kind, Kind::Bundle { .. } | Kind::Dsse { .. }) {
            return;
        }
        let bytes = match self.stage.attachments.load(&self.asking, item, ATTESTATION_BYTES).await {
            Ok(bytes) => bytes,
            Err(failure) => return known.failures.push(failure),
        };
        let signed = match item.kind {
            Kind::Dsse { .. } => Signed::dsse(&bytes, &item.annotations),
            _ => Signed::bundle(&bytes),
        };
        let Ok(signed) = signed else { return };
        let Some(predicate) = signed.predicate_type().map(str::to_owned) else { return };
        if !wanted.contains(predicate.as_str()) {
            return;
        }
        let judged = self.stage.verification.judge(signed, &item.subject, &self.policy_names()).await;
        known.judged.push((Some(predicate), judged));
    }

    fn conclude(&self, known: Known) -> Outcome<SignatureFinding> {
        let said =
            self.policies.iter().enumerate().map(|(at, policy)| (policy, self.policy_says(at, &known)));
        // What is not required of the image is told where it is satisfied.
        let said: Vec<_> = said.filter(|(policy, said)| policy.is_required || said.satisfied).collect();
        // A policy that lets everything pass has checked nothing.
        let checks = |policy: &Policy| {
            policy.authorities.iter().any(|authority| !matches!(authority.kind, AuthorityKind::Pass))
        };
        let counting = said.iter().filter(|(policy, said)| checks(policy) || !said.satisfied);
        let counting: Vec<_> = counting.map(|(_, said)| said.clone()).collect();
        let policies: Vec<_> = said.into_iter().map(|(_, said)| said).collect();
        let best = known.signatures.iter().map(|signature| signature.checked.verdict).max();
        let mut reason = None;
        let verdict = if counting.is_empty() {
            best
        } else if counting.iter().all(|said| said.satisfied) {
            Some(Verdict::Verified)
        } else if known.signatures.is_empty() && known.judged.is_empty() {
            None
        } else {
            reason = counting.iter().find(|said| !said.satisfied).and_then(|said| {
                let why = said.reason.as_ref()?;
                Some(Refusal::new(why.kind, format!("policy {}: {}", said.name, why.message)))
            });
            Some(Verdict::Invalid)
        };
        let is_settled = verdict == Some(Verdict::Verified);
        let unanswered = known.failures.into_iter().next().filter(|_| !is_settled);
        if known.signatures.is_empty() && verdict.is_none() {
            return match unanswered {
                Some(failure) => Outcome::Failed(failure),
                None if policies.is_empty() => Outcome::Absent,
                // Unsigned, and what each policy makes of that.
                None => Outcome::Found(finding(None, None, Vec::new(), policies, None)),
            };
        }
        let refused = || {
            let mut of_that =
                known.signatures.iter().filter(|signature| Some(signature.checked.verdict) == verdict);
            of_that.find_map(|signature| signature.checked.reason.clone())
        };
        let reason = reason.or_else(|| if is_settled { None } else { refused() });
        Outcome::Found(finding(verdict, reason, known.signatures.clone(), policies, unanswered))
    }

    /// What one policy says: one of its authorities suffices.
    fn policy_says(&self, at: usize, known: &Known) -> PolicyRecord {
        let policy = self.policies[at];
        let mut reason = None;
        for (authority_at, authority) in policy.authorities.iter().enumerate() {
            let said = match &authority.kind {
                AuthorityKind::Pass => Ok(()),
                AuthorityKind::Fail(message) => {
                    let message =
                        if message.is_empty() { "it refuses every image it names" } else { message };
                    Err(Refusal::new(RefusalKind::Policy, message))
                }
                _ if authority.attestations.is_empty() => said_of(known, None, (at, authority_at)),
                _ => authority
                    .attestations
                    .iter()
                    .try_for_each(|predicate| said_of(known, Some(predicate), (at, authority_at))),
            };
            match said {
                Ok(()) => {
                    let authority = Some(authority.name.clone());
                    return PolicyRecord {
                        name: policy.name.clone(),
                        satisfied: true,
                        authority,
                        reason: None,
                    };
                }
                Err(refusal) => reason = reason.or(Some(refusal)),
            }
        }
        PolicyRecord { name: policy.name.clone(), satisfied: false, authority: None, reason }
    }
}

/// Whether a bundle states something about the image and so is none of this stage's business. What it says of itself
/// is believed only where its annotations say the same, or its signature holds.
fn is_statement(item: &Item, signed: &Signed) -> bool {
    match item.kind.predicate() {
        Some(told) => told != COSIGN_SIGN,
        None => !signed.is_signature() && signed.fits_its_certificate(&item.subject),
    }
}

/// Whether anything that was judged satisfies this authority; if not, why.
fn said_of(known: &Known, predicate: Option<&String>, authority: (usize, usize)) -> Result<(), Refusal> {
    let mut reason = None;
    for (stated, judged) in &known.judged {
        if stated.as_ref() != predicate {
            continue;
        }
        match judged.by_authority.get(&authority) {
            Some(Ok(())) => return Ok(()),
            Some(Err(refusal)) => reason = reason.or_else(|| Some(refusal.clone())),
            None => {}
        }
    }
    Err(reason.unwrap_or_else(|| {
        let why = match predicate {
            Some(predicate) => format!("no signed attestation of type {predicate} is attached"),
            None => "no signature of the form it wants is attached".to_owned(),
        };
        Refusal::new(RefusalKind::Policy, why)
    }))
}

fn finding(
    verdict: Option<Verdict>,
    reason: Option<Refusal>,
    signatures: Vec<SignatureRecord>,
    policies: Vec<PolicyRecord>,
    unanswered: Option<Failure>,
) -> SignatureFinding {
    SignatureFinding { verdict, reason, signatures, policies, unanswered }
}
