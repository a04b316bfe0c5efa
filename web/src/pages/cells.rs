//! How facts are shown. A mark and a word say what colour says too; failed, absent and not asked differ in all three.

use provenance_model::DriftState;
use provenance_model::report::{Finding, ImageRecord, OutcomeWord, SignatureVerdict, StageRecord};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The style's class.
    pub class: &'static str,
    /// The sign before the word.
    pub sign: &'static str,
    /// The word.
    pub word: String,
    /// More, where there is more to say.
    pub more: String,
}

impl Mark {
    fn new(class: &'static str, sign: &'static str, word: impl Into<String>) -> Self {
        Self { class, sign, word: word.into(), more: String::new() }
    }

    fn good(word: impl Into<String>) -> Self {
        Self::new("good", "✓", word)
    }

    fn none(word: impl Into<String>) -> Self {
        Self::new("none", "○", word)
    }

    fn bad(word: impl Into<String>) -> Self {
        Self::new("bad", "✕", word)
    }

    fn failed() -> Self {
        Self::new("failed", "!", "failed")
    }

    fn with(mut self, more: impl Into<String>) -> Self {
        self.more = more.into();
        self
    }
}

/// A stage that gave no answer: failed, skipped or not reached. None where it answered.
pub(super) fn unanswered(stage: Option<&StageRecord>) -> Option<Mark> {
    let stage = stage?;
    let why = stage.reason.as_ref().map(|reason| reason.message.clone()).unwrap_or_default();
    match stage.outcome {
        OutcomeWord::Failed => Some(Mark::failed().with(why)),
        OutcomeWord::Skipped => Some(Mark::new("skipped", "–", "not asked").with(why)),
        OutcomeWord::NotReached => Some(Mark::new("skipped", "…", "not reached")),
        OutcomeWord::Found | OutcomeWord::Absent => None,
    }
}

/// A fact that is simply there or not. One that nobody knows of is "not asked", but in the older collector's reports,
/// which leave a fact out to say no.
fn fact(row: &ImageRecord, stage: Option<&StageRecord>, found: Option<bool>, yes: &str, no: &str) -> Mark {
    if let Some(mark) = unanswered(stage) {
        return mark;
    }
    match found {
        Some(true) => Mark::good(yes),
        Some(false) => Mark::none(no),
        None if row.stages.is_none() => Mark::none(no),
        None => Mark::new("skipped", "–", "not asked"),
    }
}

/// What a row has to say.
pub(super) fn finding(finding: Finding) -> Mark {
    let word = finding.word().to_lowercase();
    match finding {
        Finding::Failed => Mark::failed(),
        Finding::Refused => Mark::bad(word),
        Finding::Gone | Finding::TagGone => Mark::new("bad", "⌀", word),
        Finding::Drifted => Mark::new("warn", "≠", word),
        Finding::NotReached | Finding::Deferred => Mark::new("skipped", "…", word),
        Finding::Outdated => Mark::new("warn", "↑", word),
        Finding::Same => Mark::good("up to date"),
        Finding::Found => Mark::new("plain", "·", word),
    }
}

/// A row's signature.
pub(super) fn signature(row: &ImageRecord) -> Mark {
    let stage = row.stages.as_ref().and_then(|stages| stages.signature.as_ref());
    let found = row.signature.as_ref();
    let why = found.and_then(|found| found.error.clone()).unwrap_or_default();
    match found.and_then(|found| found.verdict) {
        Some(SignatureVerdict::Invalid) => return Mark::bad("refused").with(why),
        _ if unanswered(stage).is_some() => return unanswered(stage).unwrap_or_else(Mark::failed),
        Some(SignatureVerdict::Failed) => return Mark::failed().with(why),
        Some(SignatureVerdict::Verified) => return Mark::good("verified"),
        Some(SignatureVerdict::Valid) => return Mark::good("valid").with("signed; no policy says by whom"),
        Some(SignatureVerdict::NotChecked) => {
            return Mark::new("plain", "·", "signed").with("not checked: no key or policy was given");
        }
        Some(SignatureVerdict::Unsigned) => return Mark::none("unsigned"),
        None => {}
    }
    match found {
        Some(found) if found.verified => Mark::good("verified"),
        Some(found) if found.signed => Mark::new("plain", "·", "signed").with(why),
        _ => fact(row, stage, found.map(|found| found.signed), "signed", "unsigned"),
    }
}

/// A row's provenance.
pub(super) fn provenance(row: &ImageRecord) -> Mark {
    let stage = row.stages.as_ref().and_then(|stages| stages.provenance.as_ref());
    fact(row, stage, row.provenance.as_ref().map(|found| found.has_provenance), "present", "none")
}

/// A row's SBOM.
pub(super) fn sbom(row: &ImageRecord) -> Mark {
    let stage = row.stages.as_ref().and_then(|stages| stages.sbom.as_ref());
    let format = row.sbom.as_ref().and_then(|found| found.format.as_deref());
    let yes = match format {
        Some("spdx") => "SPDX",
        Some("cyclonedx") => "CycloneDX",
        Some("syft") => "Syft",
        _ => "present",
    };
    fact(row, stage, row.sbom.as_ref().map(|found| found.has_sbom), yes, "none")
}

/// A row's update.
pub(super) fn update(row: &ImageRecord) -> Mark {
    let stage = row.stages.as_ref().and_then(|stages| stages.update.as_ref());
    if let Some(mark) = unanswered(stage) {
        return mark;
    }
    let Some(update) = &row.update else {
        return fact(row, stage, None, "", "none");
    };
    let why = update.reason.clone().unwrap_or_default();
    let newest = update.newest_available.as_ref().or(update.latest_in_major.as_ref());
    match newest {
        Some(newest) if update.update_available => Mark::new("warn", "↑", newest.clone()).with(why),
        Some(newest) => Mark::new("plain", "·", newest.clone()).with(why),
        None => Mark::good("current").with(why),
    }
}

/// What runs against what the tag names.
pub(super) fn drift(row: &ImageRecord) -> Mark {
    let stage = row.stages.as_ref().and_then(|stages| stages.digest.as_ref());
    if let Some(mark) = unanswered(stage) {
        return mark;
    }
    match row.drift.as_ref().map(|drift| drift.state) {
        Some(DriftState::Same) => Mark::good("what the tag names"),
        Some(DriftState::Drifted) => Mark::new("warn", "≠", "the tag names another"),
        Some(DriftState::DigestGone) => Mark::new("bad", "⌀", "gone from the registry"),
        Some(DriftState::TagGone) => Mark::new("bad", "⌀", "the tag is gone"),
        Some(DriftState::NotAsked) | None => Mark::new("skipped", "–", "not compared"),
    }
}

/// A digest, shortened.
pub(super) fn short(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) if hex.len() > 12 => {
            format!("{algorithm}:{}", &hex[..hex.floor_char_boundary(12)])
        }
        _ => digest.to_owned(),
    }
}
