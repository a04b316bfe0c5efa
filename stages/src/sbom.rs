//! The SBOM stage: whether a list of what is in the image is attached, in which format, and whether it is signed.
//!
//! Small documents are read; the others only where that is asked for, a few at a time.

use std::sync::Arc;

use provenance_engine::{Failure, Outcome, Stage};
use provenance_model::trust::{Checked, Refusal, RefusalKind, SbomFacts, SbomRecord};
use provenance_model::{Digest, Dossier, SbomFinding};
use provenance_trust::sbom;
use tokio::sync::Semaphore;

use crate::attached::{Attachments, Item, Kind, Target, Targets, Wanted, asking};
use crate::provenance::AttestationReader;
use crate::verification::Verification;

/// Bytes of a document that is read unasked.
const SMALL_BYTES: u64 = 64 << 10;
/// Bytes of a document that is read where documents are asked for.
const DOCUMENT_BYTES: usize = 64 << 20;
/// Large documents in memory at once.
const DOCUMENTS_AT_ONCE: usize = 2;

/// The stage. See the module's description.
#[derive(Debug)]
pub struct SbomStage {
    attachments: Arc<Attachments>,
    verification: Arc<Verification>,
    at_once: Semaphore,
    wanted: Option<Documents>,
}

/// Which documents are read, and not only known by what their manifests tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documents {
    /// Small ones.
    Small,
    /// Those of any size, up to a cap.
    All,
}

impl SbomStage {
    /// The stage's name.
    pub const NAME: &str = "sbom";

    /// A stage that finds and verifies with these; none wanted turns it off.
    pub fn new(
        attachments: Arc<Attachments>,
        verification: Arc<Verification>,
        wanted: Option<Documents>,
    ) -> Self {
        let at_once = Semaphore::new(DOCUMENTS_AT_ONCE);
        Self { attachments, verification, at_once, wanted }
    }
}

impl Stage<Dossier> for SbomStage {
    type Found = SbomFinding;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<SbomFinding> {
        &mut dossier.sbom
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<SbomFinding>, Failure> {
        if self.wanted.is_none() {
            return Ok(Outcome::Skipped("SBOMs are not asked for (--check-sbom=false)".into()));
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

impl SbomStage {
    async fn gather(
        &self,
        reader: &AttestationReader<'_>,
        dossier: &Dossier,
        digest: &Digest,
    ) -> Result<Outcome<SbomFinding>, Failure> {
        let mut documents = Vec::new();
        let mut failures = Vec::new();
        let mut targets = self.attachments.in_turn(reader.asking, dossier, digest);
        while documents.is_empty() {
            match targets.next().await {
                Some(Ok(target)) => self.of_target(reader, &target, &mut documents, &mut failures).await,
                Some(Err(failure)) => failures.push(failure),
                None => break,
            }
        }
        let unanswered = failures.into_iter().next();
        Ok(match (documents.is_empty(), unanswered) {
            (true, None) => Outcome::Absent,
            (true, Some(failure)) => Outcome::Failed(failure),
            // What is there is there; another place could only add to it.
            (false, _) => Outcome::Found(SbomFinding { documents, unanswered: None }),
        })
    }

    async fn of_target(
        &self,
        reader: &AttestationReader<'_>,
        target: &Target,
        documents: &mut Vec<SbomRecord>,
        failures: &mut Vec<Failure>,
    ) {
        let found = self.attachments.find(&reader.asking, target, Wanted::Sboms).await;
        failures.extend(found.failures);
        for item in found.items {
            match Box::pin(self.of_item(reader, &item)).await {
                Ok(record) => documents.extend(record),
                Err(failure) => failures.push(failure),
            }
        }
    }

    /// The record of one document; none where it turns out to be something else.
    async fn of_item(
        &self,
        reader: &AttestationReader<'_>,
        item: &Item,
    ) -> Result<Option<SbomRecord>, Failure> {
        let told = match &item.kind {
            Kind::Sbom(format) => Some(*format),
            kind => kind.predicate().and_then(sbom::format_of),
        };
        let signed = matches!(item.kind, Kind::Bundle { .. } | Kind::Dsse { .. });
        let record = SbomRecord {
            attached: item.attached.clone(),
            facts: SbomFacts { format: told, ..SbomFacts::default() },
            bytes: Some(item.bytes),
            read: false,
            unreadable: None,
            signed,
            checked: Checked::not_signed(),
        };
        // What does not say what it is must be read to know.
        let is_small = item.bytes <= SMALL_BYTES;
        if !is_small && self.wanted != Some(Documents::All) && told.is_some() {
            let why = format!(
                "it has {} bytes, and documents of more than {SMALL_BYTES} are read only with --sbom-documents",
                item.bytes
            );
            let reason = Refusal::new(RefusalKind::TooLarge, why);
            let checked = if signed { Checked::not_checked(reason) } else { Checked::not_signed() };
            return Ok(Some(SbomRecord { checked, ..record }));
        }
        let _turn = if is_small { None } else { self.at_once.acquire().await.ok() };
        if let Kind::Sbom(_) = item.kind {
            let facts = self.attachments.read(&reader.asking, item, DOCUMENT_BYTES, sbom::read).await?;
            return Ok(Some(with_facts(record, facts)));
        }
        let read = reader.read(item, DOCUMENT_BYTES).await?;
        let Some(statement) = read.statement else {
            // It says that it is an SBOM, and cannot be read.
            let record = told.map(|_| SbomRecord { checked: read.checked, ..record });
            return Ok(record);
        };
        if sbom::format_of(&statement.predicate_type).is_none() {
            return Ok(None);
        }
        let told = sbom::format_of(&statement.predicate_type);
        let facts = self.verification.aside(move || sbom::of_predicate(&statement.predicate)).await;
        let record = SbomRecord {
            checked: read.checked,
            facts: SbomFacts { format: told, ..SbomFacts::default() },
            ..record
        };
        Ok(Some(with_facts(record, facts)))
    }
}

fn with_facts(record: SbomRecord, facts: Result<SbomFacts, String>) -> SbomRecord {
    match facts {
        Ok(facts) => SbomRecord { facts, read: true, ..record },
        Err(why) => SbomRecord { unreadable: Some(why), ..record },
    }
}
