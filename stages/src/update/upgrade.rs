//! What an upgrade would lose: the newest tag is examined as what runs was, and the two are compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use provenance_engine::{Failure, Outcome, Stage};
use provenance_model::trust::Verdict;
use provenance_model::update::{Loss, Lost, Upgrade};
use provenance_model::{Digest, Dossier, ImageReference, Platform, Running, SignatureFinding, Subject, Tag};
use serde::Deserialize;

use super::age::CONFIG_BYTES;
use crate::registry::{Asking, Name, RegistryClient};
use crate::{DigestStage, ProvenanceStage, SbomStage, SignatureStage};

/// The stages that what runs goes through, for the newest tag.
#[derive(Debug)]
pub struct Examination {
    /// The way to registries.
    pub client: Arc<RegistryClient>,
    /// What the tag names.
    pub digest: DigestStage,
    /// Who signed it.
    pub signature: SignatureStage,
    /// How it was built.
    pub provenance: ProvenanceStage,
    /// What is in it.
    pub sbom: SbomStage,
}

impl Examination {
    /// Compares the newest tag with what runs.
    pub(super) async fn compare(&self, running: &Dossier, reference: &ImageReference, tag: &Tag) -> Upgrade {
        let subject = Subject {
            reference: Ok(ImageReference { tag: Some(tag.clone()), digest: None, ..reference.clone() }),
            running: Running::Unknown,
            ..running.subject.clone()
        };
        let mut newest = Dossier::new(subject);
        newest.digest = fill(&self.digest, &newest).await;
        newest.signature = fill(&self.signature, &newest).await;
        newest.provenance = fill(&self.provenance, &newest).await;
        newest.sbom = fill(&self.sbom, &newest).await;
        for noted in
            ["digest", "signature", "provenance", "sbom"].iter().flat_map(|stage| newest.trail.kept(stage))
        {
            running.trail.share(noted.by(super::UpdateStage::NAME));
        }
        let mut upgrade = compared(running, &newest, tag);
        if let (Some(of_running), Some(of_newest)) =
            (self.platforms(running, running).await, self.platforms(&newest, running).await)
        {
            platforms(&of_running, &of_newest, &mut upgrade);
        }
        upgrade
    }

    /// The platform that runs, or where it is not known which of an index runs, all of its platforms. An image that is no
    /// index says its platform in its configuration.
    async fn platforms(&self, dossier: &Dossier, evidence: &Dossier) -> Option<Vec<Platform>> {
        #[derive(Deserialize)]
        struct Config {
            os: String,
            architecture: String,
            variant: Option<String>,
        }
        let finding = dossier.digest.found()?;
        if let Some(platform) = &finding.platform {
            return Some(vec![platform.clone()]);
        }
        if !finding.platforms.is_empty() {
            return Some(finding.platforms.clone());
        }
        let reference = dossier.subject.reference.as_ref().ok()?;
        let asking = Asking {
            stage: super::UpdateStage::NAME,
            registry: &reference.registry,
            repository: &reference.repository,
            scope: &dossier.subject.scope,
            trail: &evidence.trail,
        };
        let manifest = self.client.manifest(&asking, Name::Digest(finding.digest.as_ref()?)).await.ok()??;
        let config = self.client.blob(&asking, &manifest.config_digest()?, CONFIG_BYTES).await.ok()??;
        let Config { os, architecture, variant } = serde_json::from_slice(&config).ok()?;
        Some(vec![Platform::new(&os, &architecture, variant.as_deref())])
    }
}

/// What is made for fewer platforms may lack the one that runs.
fn platforms(running: &[Platform], newest: &[Platform], upgrade: &mut Upgrade) {
    // All 64-bit ARM is of variant 8, written or not.
    let plain = |platform: &Platform| platform.to_string().replace("/arm64/v8", "/arm64");
    let made_for: BTreeSet<_> = newest.iter().map(plain).collect();
    let lost: Vec<_> = running.iter().map(plain).filter(|platform| !made_for.contains(platform)).collect();
    upgrade.has_platform = Some(lost.is_empty());
    if !lost.is_empty() {
        let message = format!("{} is not made for {}, what runs is", upgrade.tag, lost.join(", "));
        upgrade.loses.insert(0, Loss { what: Lost::Platform, message });
    }
}

async fn fill<S: Stage<Dossier>>(stage: &S, dossier: &Dossier) -> Outcome<S::Found> {
    stage.examine(dossier).await.unwrap_or_else(Outcome::Failed)
}

fn compared(running: &Dossier, newest: &Dossier, tag: &Tag) -> Upgrade {
    let mut upgrade = Upgrade { tag: tag.to_string(), ..Upgrade::default() };
    match &newest.digest {
        Outcome::Found(finding) => upgrade.digest = finding.digest.as_ref().map(Digest::to_string),
        Outcome::Absent => {
            let message = format!("{tag} is listed, and the registry has no such image");
            lose(&mut upgrade, Lost::Image, message);
            return upgrade;
        }
        Outcome::Failed(failure) => upgrade.unknown.push(format!("what it names: {failure}")),
        Outcome::Skipped(_) | Outcome::NotReached => {}
    }
    signature(running, newest, tag, &mut upgrade);
    let provenance = |dossier: &Dossier| {
        let found = |finding: &provenance_model::ProvenanceFinding| {
            (finding.provenance().is_some(), finding.unanswered.clone())
        };
        has(&dossier.provenance, found)
    };
    let (of_running, of_newest) = (provenance(running), provenance(newest));
    upgrade.has_provenance = attached(&mut upgrade, Lost::Provenance, "provenance", &of_running, &of_newest);
    let sbom = |dossier: &Dossier| {
        let found = |finding: &provenance_model::SbomFinding| {
            (!finding.documents.is_empty(), finding.unanswered.clone())
        };
        has(&dossier.sbom, found)
    };
    upgrade.has_sbom = attached(&mut upgrade, Lost::Sbom, "SBOM", &sbom(running), &sbom(newest));
    upgrade
}

fn signature(running: &Dossier, newest: &Dossier, tag: &Tag, upgrade: &mut Upgrade) {
    let is_signed = |finding: &SignatureFinding| !finding.signatures.is_empty();
    let (signed, unanswered) = match &newest.signature {
        Outcome::Found(finding) => (Some(is_signed(finding)), finding.unanswered.as_ref()),
        Outcome::Absent => (Some(false), None),
        Outcome::Failed(failure) => (None, Some(failure)),
        Outcome::Skipped(_) | Outcome::NotReached => (None, None),
    };
    if let Some(failure) = unanswered {
        upgrade.unknown.push(format!("its signatures: {failure}"));
    }
    upgrade.signed = signed;
    let is_verified = |dossier: &Dossier| {
        dossier.signature.found().is_some_and(|finding| finding.verdict == Some(Verdict::Verified))
    };
    upgrade.verified = signed.map(|_| is_verified(newest));
    let signers = |dossier: &Dossier| -> BTreeSet<String> {
        let all = dossier.signature.found().into_iter().flat_map(|finding| &finding.signatures);
        all.filter_map(|signature| signature.checked.signer.as_ref()).map(ToString::to_string).collect()
    };
    let (of_running, of_newest) = (signers(running), signers(newest));
    upgrade.signers = of_newest.iter().cloned().collect();
    if unanswered.is_some() || !running.signature.found().is_some_and(is_signed) {
        return;
    }
    match signed {
        Some(false) => lose(upgrade, Lost::Signature, format!("{tag} is not signed, what runs is")),
        Some(true) if is_verified(running) && !is_verified(newest) => {
            let message = format!("the signature of {tag} is not verified, that of what runs is");
            lose(upgrade, Lost::Verification, message);
        }
        Some(true) if !of_running.is_empty() && of_running.is_disjoint(&of_newest) => {
            let names = of_running.into_iter().collect::<Vec<_>>().join(", ");
            lose(upgrade, Lost::Signer, format!("{tag} is not signed by {names}"));
        }
        _ => {}
    }
}

/// Whether something is attached, and what did not answer.
type Has = (Option<bool>, Option<Failure>);

fn has<T>(outcome: &Outcome<T>, found: impl Fn(&T) -> (bool, Option<Failure>)) -> Has {
    match outcome {
        Outcome::Found(finding) => {
            let (has, unanswered) = found(finding);
            (Some(has), unanswered)
        }
        Outcome::Absent => (Some(false), None),
        Outcome::Failed(failure) => (None, Some(failure.clone())),
        Outcome::Skipped(_) | Outcome::NotReached => (None, None),
    }
}

/// The tag of this name, if it is one.
pub(super) fn tag(name: &str) -> Option<Tag> {
    name.parse().ok()
}

fn lose(upgrade: &mut Upgrade, what: Lost, message: String) {
    upgrade.loses.push(Loss { what, message });
}

/// Compares what may be attached. Answers whether the newest tag has it.
fn attached(upgrade: &mut Upgrade, what: Lost, noun: &str, running: &Has, newest: &Has) -> Option<bool> {
    let (has, unanswered) = newest;
    if let Some(failure) = unanswered {
        upgrade.unknown.push(format!("whether it has {noun}: {failure}"));
    }
    if running.0 == Some(true) && *has == Some(false) && unanswered.is_none() {
        let message = format!("{} has no {noun}, what runs has", upgrade.tag);
        lose(upgrade, what, message);
    }
    *has
}
