//! What somebody wants of the tags of an image, beyond what is inferred.

use std::cmp::Ordering;
use std::fmt;

use regex::Regex;
use semver::Version;

use crate::tag::{Scheme, Tag};

/// How tags are ordered where that is not inferred; the words are Flux's
/// ([image policies](https://fluxcd.io/flux/components/image/imagepolicies/)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagOrder {
    /// As <https://semver.org> has it, with or without a `v`.
    Semver,
    /// As a number.
    Numerical,
    /// As text.
    Alphabetical,
    /// Not at all: the tag moves.
    Floating,
}

impl TagOrder {
    /// Every order, by the word that names it.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("semver", Self::Semver),
        ("numerical", Self::Numerical),
        ("alphabetical", Self::Alphabetical),
        ("floating", Self::Floating),
    ];
}

/// The parts of a version that must stay as they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Pins {
    /// The first part.
    pub major: Option<u64>,
    /// The second.
    pub minor: Option<u64>,
    /// The third.
    pub patch: Option<u64>,
}

/// A regular expression that is equal to another of the same text.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads an expression, in the syntax of the `regex` crate.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn new(text: &str) -> Result<Self, String> {
        let whole = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().to_owned();
        Regex::new(text)
            .map(Self)
            .map_err(|error| format!("{text:?} is no regular expression: {}", whole(error)))
    }

    /// Whether it occurs in this text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// What its group `version` holds; all of the text where it has no such group; nothing where it does not occur.
    fn version<'a>(&self, text: &'a str) -> Option<&'a str> {
        let found = self.0.captures(text)?;
        Some(found.name("version").map_or(text, |version| version.as_str()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.as_str())
    }
}

/// Which tags may be suggested, and how they are ordered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Leaves pre-releases out, but for the later ones of a pre-release that runs.
    pub skip_pre_releases: bool,
    /// Only tags in which this occurs. Its group `version`, where it has one, is what an order compares.
    pub allow: Option<Pattern>,
    /// No tags in which this occurs.
    pub ignore: Option<Pattern>,
    /// The order, where it is not to be inferred.
    pub order: Option<TagOrder>,
    /// Parts of the version that stay.
    pub pins: Pins,
}

impl Rule {
    /// Whether a tag may be suggested as far as its text goes.
    pub(crate) fn admits(&self, tag: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.is_in(tag))
            && !self.ignore.as_ref().is_some_and(|ignore| ignore.is_in(tag))
    }

    /// Whether a version's parts are those that are pinned.
    pub(crate) fn keeps_pins(&self, tag: &Tag) -> bool {
        let Pins { major, minor, patch } = self.pins;
        [major, minor, patch].into_iter().enumerate().all(|(at, pinned)| {
            pinned.is_none_or(|pinned| tag.numbers().get(at).is_some_and(|number| number.value == pinned))
        })
    }
}

/// What an order compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Semver(Version),
    Number(&'a str),
    Text(&'a str),
}

impl<'a> Key<'a> {
    pub(crate) fn of(tag: &'a str, order: TagOrder, rule: &Rule) -> Option<Self> {
        let text = rule.allow.as_ref().map_or(Some(tag), |allow| allow.version(tag))?;
        match order {
            TagOrder::Semver => Version::parse(text.strip_prefix('v').unwrap_or(text)).ok().map(Self::Semver),
            TagOrder::Numerical => {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| Self::Number(text.trim_start_matches('0')))
            }
            TagOrder::Alphabetical => Some(Self::Text(text)),
            TagOrder::Floating => None,
        }
    }

    pub(crate) fn is_pre_release(&self) -> bool {
        matches!(self, Self::Semver(version) if !version.pre.is_empty())
    }

    /// The order of two keys of one kind.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Semver(a), Self::Semver(b)) => a.cmp_precedence(b),
            (Self::Number(a), Self::Number(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    /// How many leading parts of a version are the same as another's.
    pub(crate) fn in_common(&self, other: &Self) -> usize {
        match (self, other) {
            (Self::Semver(a), Self::Semver(b)) => {
                let parts = |version: &Version| [version.major, version.minor, version.patch];
                parts(a).iter().zip(parts(b)).take_while(|(a, b)| **a == *b).count()
            }
            // A number alone does not tell how much changed.
            _ => 0,
        }
    }
}

impl From<TagOrder> for Scheme {
    fn from(order: TagOrder) -> Self {
        match order {
            TagOrder::Semver => Self::Semver,
            TagOrder::Numerical => Self::Numerical,
            TagOrder::Alphabetical => Self::Alphabetical,
            TagOrder::Floating => Self::Floating,
        }
    }
}
