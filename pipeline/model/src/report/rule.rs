//! One rule that a row or a release can break: its word, as a check is told it, and what it wants.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
