//! Rules: what may be wrong with a row or a release, in the words in which a check is told what to fail on. The report names
//! those that hold, so that a check in CI and the cluster's own report say the same.
//!
//! A rule says only what is known. What could not be found out breaks [`Rule::Failed`], and no other rule for it.

use super::finding::is_refused;
use super::helm::HelmRelease;
use super::parts::OutcomeWord;
use super::rule::Rule;
use super::stages::{release_stages, stages};
use super::types::{ImageRecord, Report, SignatureVerdict};
use crate::digest_finding::DriftState;

/// The rules that a row breaks.
pub fn broken_by(row: &ImageRecord) -> Vec<Rule> {
    let drift = row.drift.as_ref().map(|drift| drift.state);
    // A place that did not answer may have the signature that is wanted.
    let signature = row.signature.as_ref().filter(|found| found.verdict != Some(SignatureVerdict::Failed));
    let holds = [
        (Rule::Failed, stages(row).any(|(_, stage)| stage.outcome == OutcomeWord::Failed)),
        (Rule::Refused, is_refused(row)),
        (Rule::Unsigned, signature.is_some_and(|found| !found.signed)),
        (Rule::Unverified, signature.is_some_and(|found| !found.verified)),
        (Rule::Gone, matches!(drift, Some(DriftState::DigestGone | DriftState::TagGone))),
        (Rule::Drift, drift == Some(DriftState::Drifted)),
        (
            Rule::Outdated(row.update.as_ref().and_then(|update| update.level)),
            row.update.as_ref().is_some_and(|update| update.update_available),
        ),
        (Rule::NoProvenance, row.provenance.as_ref().is_some_and(|found| !found.has_provenance)),
        (Rule::NoSbom, row.sbom.as_ref().is_some_and(|found| !found.has_sbom)),
    ];
    holds.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule).collect()
}

/// The rules that a release breaks.
pub fn broken_by_release(release: &HelmRelease) -> Vec<Rule> {
    let update = release.update.as_ref();
    let holds = [
        (Rule::Failed, release_stages(release).any(|(_, stage)| stage.outcome == OutcomeWord::Failed)),
        (
            Rule::Outdated(update.and_then(|update| update.level)),
            update.is_some_and(|update| update.update_available),
        ),
        (Rule::Unhealthy, release.is_unhealthy()),
        (Rule::Deprecated, release.deprecated == Some(true)),
    ];
    holds.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule).collect()
}

/// A rule, and whether a check fails on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// Whether the run was told to fail on it.
    pub fails: bool,
}

/// What was found, each with whether a check that is told `fail_on` fails on it.
pub fn judged(found: Option<&[Rule]>, fail_on: &[Rule]) -> Vec<Broken> {
    let judge = |rule: &Rule| Broken { rule: *rule, fails: fail_on.iter().any(|on| on.covers(*rule)) };
    found.unwrap_or_default().iter().map(judge).collect()
}

/// How many rows and releases a check fails on.
pub fn failing(report: &Report, fail_on: &[Rule]) -> usize {
    let rows = report.images.iter().map(|row| row.findings.as_deref());
    let releases = report.helm_releases.iter().map(|release| release.findings.as_deref());
    rows.chain(releases).filter(|found| judged(*found, fail_on).iter().any(|broken| broken.fails)).count()
}

/// What a row has to say of a rule that it breaks, in one sentence.
pub fn said(row: &ImageRecord, rule: Rule) -> String {
    let update = row.update.as_ref();
    match rule {
        Rule::Failed => {
            // One failure often ends all stages: it is told once.
            let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
            for (name, stage) in stages(row).filter(|(_, stage)| stage.outcome == OutcomeWord::Failed) {
                let why = stage.reason.as_ref().map_or("", |reason| reason.message.as_str());
                match reasons.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, names)) => names.push(name),
                    None => reasons.push((why, vec![name])),
                }
            }
            let told = reasons.iter().map(|(why, names)| format!("{}: {why}", names.join(", ")));
            format!("could not be found out: {}", told.collect::<Vec<_>>().join("; "))
        }
        Rule::Refused | Rule::Unverified => {
            let signature = row.signature.as_ref();
            let refused =
                signature.and_then(|found| found.reason.as_ref()).map(|reason| reason.message.as_str());
            let error = signature.and_then(|found| found.error.as_deref());
            let signed = signature.is_some_and(|found| found.signed);
            match refused.or(error) {
                Some(why) => format!("the signature is not verified: {why}"),
                None if signed => "signed, and nothing says whose signature is wanted".into(),
                None => "no signature is attached".into(),
            }
        }
        Rule::Unsigned => "no signature is attached".into(),
        Rule::Gone => match row.drift.as_ref().map(|drift| drift.state) {
            Some(DriftState::DigestGone) => "what runs is no longer in the registry".into(),
            _ => "the registry has no such tag any more".into(),
        },
        Rule::Drift => {
            let now =
                row.drift.as_ref().and_then(|drift| drift.tag_digest.as_deref()).unwrap_or("something else");
            format!("the tag names {now} by now, which is not what runs")
        }
        Rule::Outdated(_) => {
            let newer = update
                .and_then(|update| update.newest_available.as_deref().or(update.latest_in_major.as_deref()));
            match newer {
                Some(newer) => format!("{newer} is newer"),
                None => "the tag has moved on".into(),
            }
        }
        Rule::NoProvenance => "no provenance is attached".into(),
        Rule::NoSbom => "no SBOM is attached".into(),
        Rule::Unhealthy | Rule::Deprecated => rule.wants().into(),
    }
}

/// What a release has to say of a rule that it breaks, in one sentence.
pub fn said_of_release(release: &HelmRelease, rule: Rule) -> String {
    match rule {
        Rule::Failed => {
            let reasons = release_stages(release).filter(|(_, stage)| stage.outcome == OutcomeWord::Failed);
            let reasons: Vec<_> = reasons
                .filter_map(|(name, stage)| Some(format!("{name}: {}", stage.reason.as_ref()?.message)))
                .collect();
            format!("could not be found out: {}", reasons.join("; "))
        }
        Rule::Outdated(_) => {
            let newer = release
                .update
                .as_ref()
                .and_then(|update| update.newest_available.as_deref().or(update.latest_in_major.as_deref()));
            format!("chart version {} is newer", newer.unwrap_or("another"))
        }
        Rule::Unhealthy => format!("its status is {}", release.status.as_deref().unwrap_or("unknown")),
        Rule::Deprecated => format!("the chart {} is deprecated", release.chart),
        other => other.wants().into(),
    }
}
