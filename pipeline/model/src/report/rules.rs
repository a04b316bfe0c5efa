//! Rules: what may be wrong with a row or a release, in the words in which a check is told what to fail on. The report names
//! those that hold, so that a check in CI and the cluster's own report say the same.
//!
//! A rule says only what is known. What could not be found out breaks [`Rule::Failed`], and no other rule for it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::is_refused;
use super::helm::HelmRelease;
use super::parts::OutcomeWord;
use super::stages::{release_stages, stages};
use super::types::{ImageRecord, Report, SignatureVerdict};
use crate::digest_finding::DriftState;
use crate::update::UpdateLevel;

/// One rule that a row or a release can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Rule {
    /// Something could not be found out.
    Failed,
    /// A signature does not hold, or a policy wants another.
    Refused,
    /// Every place answered, and no signature is attached.
    Unsigned,
    /// No signature was verified: there is none, none was wanted by a policy or key, or it does not hold.
    Unverified,
    /// What runs, or its tag, is no longer in the registry.
    Gone,
    /// The tag names something else by now than what runs.
    Drift,
    /// There is a newer version that changes this part, or one before it; any that is flagged where none is named.
    Outdated(Option<UpdateLevel>),
    /// Every place answered, and no provenance is attached.
    NoProvenance,
    /// Every place answered, and no SBOM is attached.
    NoSbom,
    /// A Helm release failed, or hangs in an action.
    Unhealthy,
    /// A Helm release's chart is deprecated.
    Deprecated,
}

/// Every rule's word, in their order; that of updates may have a level.
const WORDS: [(&str, Rule); 11] = [
    ("failed", Rule::Failed),
    ("refused", Rule::Refused),
    ("unsigned", Rule::Unsigned),
    ("unverified", Rule::Unverified),
    ("gone", Rule::Gone),
    ("drift", Rule::Drift),
    ("outdated", Rule::Outdated(None)),
    ("no-provenance", Rule::NoProvenance),
    ("no-sbom", Rule::NoSbom),
    ("unhealthy", Rule::Unhealthy),
    ("deprecated", Rule::Deprecated),
];

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())?;
        match self {
            Self::Outdated(Some(level)) => write!(out, ":{}", level.word()),
            _ => Ok(()),
        }
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        if let Some(level) = written.strip_prefix("outdated:") {
            return UpdateLevel::of_word(level)
                .map(|level| Self::Outdated(Some(level)))
                .ok_or_else(|| format!("{level:?} is no level: patch, minor or major"));
        }
        let known = WORDS.iter().find(|(word, _)| *word == written);
        known.map(|(_, rule)| *rule).ok_or_else(|| {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
            format!("{written:?} is no rule; these are: {}, outdated:minor, outdated:major", words.join(", "))
        })
    }
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        written.parse()
    }
}

impl Rule {
    /// Every rule, once.
    pub fn all() -> impl Iterator<Item = Self> {
        WORDS.iter().map(|(_, rule)| *rule)
    }

    /// The rule's word, without a level.
    pub fn name(self) -> &'static str {
        let plain = if let Self::Outdated(_) = self { Self::Outdated(None) } else { self };
        WORDS.iter().find(|(_, rule)| *rule == plain).map(|(word, _)| *word).unwrap_or_default()
    }

    /// What the rule asks for, in one sentence.
    pub fn wants(self) -> &'static str {
        match self {
            Self::Failed => "Every question about an image or a release is answered.",
            Self::Refused => "Signatures hold, and every policy for the image is satisfied.",
            Self::Unsigned => "Images are signed.",
            Self::Unverified => "Images have a signature that a key or a policy verifies.",
            Self::Gone => "What runs, and its tag, are in the registry.",
            Self::Drift => "What runs is what its tag names.",
            Self::Outdated(_) => "What runs is current.",
            Self::NoProvenance => "Images have provenance.",
            Self::NoSbom => "Images have an SBOM.",
            Self::Unhealthy => "Helm releases are deployed.",
            Self::Deprecated => "Charts are not deprecated.",
        }
    }

    /// Whether a check that is told this rule fails on what was found.
    pub fn covers(self, found: Self) -> bool {
        match (self, found) {
            (Self::Outdated(None), Self::Outdated(_)) => true,
            (Self::Outdated(Some(wanted)), Self::Outdated(level)) => {
                level.is_some_and(|level| level >= wanted)
            }
            _ => self == found,
        }
    }
}

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
            let reasons: Vec<_> = stages(row)
                .filter(|(_, stage)| stage.outcome == OutcomeWord::Failed)
                .map(|(name, stage)| match &stage.reason {
                    Some(reason) => format!("{name}: {}", reason.message),
                    None => name.to_owned(),
                })
                .collect();
            format!("could not be found out: {}", reasons.join("; "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_read_as_it_is_written() {
        let levels = [UpdateLevel::Patch, UpdateLevel::Minor, UpdateLevel::Major];
        let levels = levels.into_iter().map(|level| Rule::Outdated(Some(level)));
        for rule in Rule::all().chain(levels) {
            assert_eq!(rule.to_string().parse(), Ok(rule));
            assert!(rule.covers(rule) && !rule.wants().is_empty());
        }
        let told = "unsinged".parse::<Rule>().expect_err("it is misspelt");
        assert!(told.contains("\"unsinged\" is no rule") && told.contains("unsigned"), "{told}");
        assert!("outdated:huge".parse::<Rule>().is_err());
    }

    #[test]
    fn a_level_covers_what_changes_as_much_or_more() {
        let at = |level| Rule::Outdated(Some(level));
        assert!(at(UpdateLevel::Minor).covers(at(UpdateLevel::Major)));
        assert!(!at(UpdateLevel::Major).covers(at(UpdateLevel::Minor)));
        assert!(
            !at(UpdateLevel::Patch).covers(Rule::Outdated(None)),
            "a tag that is no version has no level"
        );
        assert!(Rule::Outdated(None).covers(at(UpdateLevel::Patch)));
        assert!(!Rule::Unverified.covers(Rule::Unsigned));
    }
}
