//! The provenance stage: how what runs was built, and what else is attested of it, SBOMs aside.

use std::sync::Arc;

use provenance_engine::{Failure, Outcome, Stage};
use provenance_model::trust::{AttestationRecord, Checked, Refusal, RefusalKind};
use provenance_model::{Digest, Dossier, ProvenanceFinding};
use provenance_trust::statement::Statement;
use provenance_trust::{Signed, slsa};

use crate::attached::{ATTESTATION_BYTES, Attachments, Item, Kind, Target, Targets, Wanted, asking, states};
use crate::registry::Asking;
use crate::verification::Verification;

/// Bytes of an attestation that is read although its type says that it is no provenance.
const OTHER_BYTES: u64 = 1 << 20;

/// The stage. See the module's description.
#[derive(Debug)]
pub struct ProvenanceStage {
    attachments: Arc<Attachments>,
    verification: Arc<Verification>,
    is_on: bool,
}

impl ProvenanceStage {
    /// The stage's name.
    pub const NAME: &str = "provenance";

    /// A stage that finds and verifies with these.
    pub fn new(attachments: Arc<Attachments>, verification: Arc<Verification>, is_on: bool) -> Self {
        Self { attachments, verification, is_on }
    }
}

impl Stage<Dossier> for ProvenanceStage {
    type Found = ProvenanceFinding;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<ProvenanceFinding> {
        &mut dossier.provenance
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<ProvenanceFinding>, Failure> {
        if !self.is_on {
            return Ok(Outcome::Skipped("provenance is not asked for (--check-provenance=false)".into()));
        }
        let digest = match Targets::of(dossier) {
            Targets::Of(digest) => digest,
            Targets::None(outcome) => return Ok(outcome.without_finding()),
        };
        let asking = asking(Self::NAME, dossier)?;
        let reader = AttestationReader::new(&self.attachments, &self.verification, asking, dossier);
        Box::pin(self.gather(&reader, dossier, &digest)).await
    }
}

impl ProvenanceStage {
    async fn gather(
        &self,
        reader: &AttestationReader<'_>,
        dossier: &Dossier,
        digest: &Digest,
    ) -> Result<Outcome<ProvenanceFinding>, Failure> {
        let mut attestations = Vec::new();
        let mut failures = Vec::new();
        let mut targets = self.attachments.in_turn(reader.asking, dossier, digest);
        while !attestations.iter().any(AttestationRecord::is_provenance) {
            match targets.next().await {
                Some(Ok(target)) => self.of_target(reader, &target, &mut attestations, &mut failures).await,
                Some(Err(failure)) => failures.push(failure),
                None => break,
            }
        }
        attestations.sort_by_key(|attestation: &AttestationRecord| !attestation.is_provenance());
        let is_settled = attestations.iter().any(AttestationRecord::is_provenance);
        let unanswered = failures.into_iter().next().filter(|_| !is_settled);
        Ok(match (attestations.is_empty(), unanswered) {
            (true, None) => Outcome::Absent,
            (true, Some(failure)) => Outcome::Failed(failure),
            (false, unanswered) => Outcome::Found(ProvenanceFinding { attestations, unanswered }),
        })
    }

    async fn of_target(
        &self,
        reader: &AttestationReader<'_>,
        target: &Target,
        attestations: &mut Vec<AttestationRecord>,
        failures: &mut Vec<Failure>,
    ) {
        let found = self.attachments.find(&reader.asking, target, Wanted::Attestations).await;
        failures.extend(found.failures);
        for item in found.items {
            let known = item.kind.predicate().map(str::to_owned);
            let is_other = known.as_deref().is_some_and(|kind| !kind.starts_with("https://slsa.dev/"));
            if is_other && item.bytes > OTHER_BYTES {
                let why = format!("it has {} bytes; up to {OTHER_BYTES} are read", item.bytes);
                let checked = Checked::not_checked(Refusal::new(RefusalKind::TooLarge, why));
                attestations.push(AttestationRecord {
                    attached: item.attached,
                    predicate_type: known,
                    checked,
                    build: None,
                });
                continue;
            }
            match reader.read(&item, ATTESTATION_BYTES).await {
                Ok(read) => {
                    let predicate_type =
                        read.statement.as_ref().map(|statement| statement.predicate_type.clone()).or(known);
                    let is_wanted =
                        predicate_type.as_deref().is_none_or(|kind| states(kind, Wanted::Attestations));
                    if is_wanted {
                        attestations.push(AttestationRecord {
                            attached: item.attached,
                            build: read.statement.as_ref().and_then(slsa::build),
                            predicate_type,
                            checked: read.checked,
                        });
                    }
                }
                Err(failure) => failures.push(failure),
            }
        }
    }
}

/// An attestation, read and checked.
pub(crate) struct Read {
    /// The statement, where it could be read.
    pub(crate) statement: Option<Statement>,
    /// What checking said.
    pub(crate) checked: Checked,
}

/// Reads and checks attestations in every form.
pub(crate) struct AttestationReader<'a> {
    attachments: &'a Attachments,
    verification: &'a Verification,
    /// Who asks.
    pub(crate) asking: Asking<'a>,
    policies: Vec<String>,
}

impl<'a> AttestationReader<'a> {
    pub(crate) fn new(
        attachments: &'a Attachments,
        verification: &'a Verification,
        asking: Asking<'a>,
        dossier: &Dossier,
    ) -> Self {
        let image = dossier.subject.reference.as_ref();
        let policies = image.map(|image| verification.trust().policies_for(image)).unwrap_or_default();
        let policies = policies.into_iter().map(|policy| policy.name.clone()).collect();
        Self { attachments, verification, asking, policies }
    }

    pub(crate) async fn read(&self, item: &Item, cap: usize) -> Result<Read, Failure> {
        let bytes = self.attachments.load(&self.asking, item, cap).await?;
        let (kind, annotations) = (item.kind.clone(), item.annotations.clone());
        if let Kind::Statement { .. } = kind {
            let parsed = self.verification.aside(move || Statement::parse(&bytes)).await;
            return Ok(bare(parsed, &item.subject));
        }
        let parsed = self.verification.aside(move || match kind {
            Kind::Dsse { .. } => Signed::dsse(&bytes, &annotations),
            _ => Signed::bundle(&bytes),
        });
        let signed = match parsed.await {
            Ok(signed) => signed,
            Err(refusal) => return Ok(Read { statement: None, checked: Checked::invalid(refusal) }),
        };
        let statement = signed.statement.clone();
        let judged = self.verification.judge(signed, &item.subject, &self.policies).await;
        Ok(Read { statement, checked: judged.checked.clone() })
    }
}

/// A bare statement carries no signature; it must still be about the image.
fn bare(parsed: Result<Statement, String>, subject: &Digest) -> Read {
    match parsed {
        Err(why) => {
            Read { statement: None, checked: Checked::invalid(Refusal::new(RefusalKind::Malformed, why)) }
        }
        Ok(statement) if !statement.is_about(subject) => {
            let why = format!("it is about another image, not about {subject}");
            let checked = Checked::invalid(Refusal::new(RefusalKind::Subject, why));
            Read { statement: Some(statement), checked }
        }
        Ok(statement) => Read { statement: Some(statement), checked: Checked::not_signed() },
    }
}
