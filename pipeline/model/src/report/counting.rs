//! Counts over rows and releases, made while they pass: a large report is never in memory as a whole.

use std::collections::{BTreeMap, BTreeSet};

use provenance_engine::FailureKind;

use super::helm::HelmRelease;
use super::parts::OutcomeWord;
use super::rule::Rule;
use super::rules::judged;
use super::stages::{release_stages, stages};
use super::types::{FailureCount, ImageRecord, RuleCount, SignatureVerdict, Summary};
use crate::digest_finding::DriftState;

/// Counts so far.
#[derive(Debug)]
pub struct Counting<'a> {
    summary: Summary,
    images: BTreeSet<String>,
    failures: BTreeMap<(&'static str, FailureKind), usize>,
    rules: BTreeMap<Rule, (usize, usize)>,
    /// Whether every row and release says which rules it breaks.
    is_told: bool,
    fail_on: &'a [Rule],
    failing: usize,
}

impl<'a> Counting<'a> {
    /// Nothing counted yet; what breaks one of these rules is counted beside.
    pub fn new(fail_on: &'a [Rule]) -> Self {
        // Those that this version always tells.
        let zero = Some(0);
        let summary = Summary {
            drifted_images: zero,
            digest_gone_images: zero,
            tag_gone_images: zero,
            unsigned_images: zero,
            invalid_images: zero,
            failed_images: zero,
            not_reached_images: zero,
            deferred_images: zero,
            unhealthy_helm_releases: zero,
            failed_helm_releases: zero,
            ..Summary::default()
        };
        Self {
            summary,
            images: BTreeSet::new(),
            failures: BTreeMap::new(),
            rules: BTreeMap::new(),
            is_told: true,
            fail_on,
            failing: 0,
        }
    }

    /// One row more.
    pub fn row(&mut self, row: &ImageRecord) {
        let summary = &mut self.summary;
        summary.total_images += 1;
        if !self.images.contains(&row.image) {
            self.images.insert(row.image.clone());
        }
        let signature = row.signature.as_ref();
        let count = |number: &mut usize, holds: bool| *number += usize::from(holds);
        count(&mut summary.signed_images, signature.is_some_and(|signature| signature.signed));
        count(&mut summary.verified_images, signature.is_some_and(|signature| signature.verified));
        count(&mut summary.images_with_sbom, row.sbom.as_ref().is_some_and(|sbom| sbom.has_sbom));
        count(
            &mut summary.images_with_provenance,
            row.provenance.as_ref().is_some_and(|found| found.has_provenance),
        );
        count(
            &mut summary.images_with_updates,
            row.update.as_ref().is_some_and(|update| update.update_available),
        );
        let drift = row.drift.as_ref().map(|drift| drift.state);
        let verdict = signature.and_then(|signature| signature.verdict);
        let outcome = |word: OutcomeWord| stages(row).any(|(_, stage)| stage.outcome == word);
        let told = |number: &mut Option<usize>, holds: bool| {
            *number.get_or_insert(0) += usize::from(holds);
        };
        told(&mut summary.drifted_images, drift == Some(DriftState::Drifted));
        told(&mut summary.digest_gone_images, drift == Some(DriftState::DigestGone));
        told(&mut summary.tag_gone_images, drift == Some(DriftState::TagGone));
        told(&mut summary.unsigned_images, verdict == Some(SignatureVerdict::Unsigned));
        told(&mut summary.invalid_images, verdict == Some(SignatureVerdict::Invalid));
        told(&mut summary.failed_images, outcome(OutcomeWord::Failed));
        told(&mut summary.not_reached_images, outcome(OutcomeWord::NotReached));
        told(&mut summary.deferred_images, stages(row).any(|(_, stage)| stage.is_deferred()));
        for (name, stage) in stages(row) {
            let kind = stage.reason.as_ref().and_then(|reason| reason.kind);
            if let Some(kind) = kind.filter(|_| stage.outcome == OutcomeWord::Failed) {
                *self.failures.entry((name, kind)).or_default() += 1;
            }
        }
        for rule in row.findings.iter().flatten() {
            self.rules.entry(*rule).or_default().0 += 1;
        }
        self.judge(row.findings.as_deref());
    }

    /// One release more.
    pub fn release(&mut self, release: &HelmRelease) {
        let summary = &mut self.summary;
        summary.total_helm_releases += 1;
        let has_update = release.update.as_ref().is_some_and(|update| update.update_available);
        summary.helm_releases_with_updates += usize::from(has_update);
        *summary.unhealthy_helm_releases.get_or_insert(0) += usize::from(release.is_unhealthy());
        let has_failed = release_stages(release).any(|(_, stage)| stage.outcome == OutcomeWord::Failed);
        *summary.failed_helm_releases.get_or_insert(0) += usize::from(has_failed);
        for rule in release.findings.iter().flatten() {
            self.rules.entry(*rule).or_default().1 += 1;
        }
        self.judge(release.findings.as_deref());
    }

    fn judge(&mut self, findings: Option<&[Rule]>) {
        self.is_told &= findings.is_some();
        let fails = judged(findings, self.fail_on).iter().any(|broken| broken.fails);
        self.failing += usize::from(fails);
    }

    /// The counts, and how many rows and releases break a rule that was to be failed on.
    pub fn close(self) -> (Summary, usize) {
        let count = |(rule, (images, helm_releases))| RuleCount { rule, images, helm_releases };
        let is_empty = self.summary.total_images + self.summary.total_helm_releases == 0;
        let failures = self.failures.into_iter();
        let summary = Summary {
            unique_images: self.images.len(),
            failures: Some(
                failures
                    .map(|((stage, kind), images)| FailureCount { stage: stage.to_owned(), kind, images })
                    .collect(),
            ),
            findings: (self.is_told && !is_empty).then(|| self.rules.into_iter().map(count).collect()),
            ..self.summary
        };
        (summary, self.failing)
    }
}

/// Counts rows and releases.
pub fn summarise(images: &[ImageRecord], releases: &[HelmRelease]) -> Summary {
    let mut counting = Counting::new(&[]);
    for row in images {
        counting.row(row);
    }
    for release in releases {
        counting.release(release);
    }
    counting.close().0
}
