//! A tag, taken apart.

mod lex;
mod number;
mod words;

use std::cmp::Ordering;
use std::fmt;

use self::lex::{Kind, Piece, pieces};
pub(crate) use self::number::{Magnitude, Number};
use self::words::Meaning;

/// How a repository counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Three parts, as <https://semver.org> has them.
    Semver,
    /// A version of one, two, four or more parts.
    Parts(usize),
    /// A version that begins with a year.
    Calendar,
    /// A date, with or without a time of day.
    DateStamp,
    /// A single number that only grows.
    Counter,
    /// A commit; commits have no order.
    Commit,
    /// A name that moves from image to image.
    Floating,
    /// A number, because a rule says so.
    Numerical,
    /// Text, because a rule says so.
    Alphabetical,
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Semver => out.write_str("semver"),
            Self::Parts(1) => out.write_str("version of one part"),
            Self::Parts(2) => out.write_str("version of two parts"),
            Self::Parts(4) => out.write_str("version of four parts"),
            Self::Parts(parts) => write!(out, "version of {parts} parts"),
            Self::Calendar => out.write_str("calendar version"),
            Self::DateStamp => out.write_str("date stamp"),
            Self::Counter => out.write_str("counter"),
            Self::Commit => out.write_str("commit hash"),
            Self::Floating => out.write_str("floating tag"),
            Self::Numerical => out.write_str("numerical"),
            Self::Alphabetical => out.write_str("alphabetical"),
        }
    }
}

/// A tag, taken apart into its version and what stands before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    text: String,
    /// Where the version begins, in bytes.
    start: usize,
    /// Where the version and its pre-release end.
    end: usize,
    before: Vec<Element>,
    version: Version,
    /// Whether the only version there is, is the variant's: `alpine3.20`.
    is_of_variant: bool,
    pre_release: Option<PreRelease>,
    behind: Vec<Element>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    None,
    Commit,
    Numbers { numbers: Vec<Number>, pattern: String },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PreRelease {
    rank: u8,
    numbers: Vec<Number>,
}

/// A part of a tag that is no version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Element {
    /// Must be the same.
    Literal(String),
    /// A distribution or a program with its own version.
    Versioned { word: String, meaning: Meaning, numbers: Vec<Number> },
    /// A number that grows with every build.
    Revision { word: String, numbers: Vec<Number> },
    /// A commit, which may be any.
    Hash { word: String, digits: usize },
}

impl Tag {
    /// Takes a tag apart. Every text is a tag of some kind.
    pub fn parse(text: &str) -> Self {
        let pieces = pieces(text);
        let at = version_at(&pieces).unwrap_or(pieces.len());
        let mut tag = Self {
            text: text.to_owned(),
            start: 0,
            end: text.len(),
            before: pieces[..at].iter().map(Element::of).collect(),
            version: Version::None,
            is_of_variant: false,
            pre_release: None,
            behind: Vec::new(),
        };
        let Some((version, rest)) = pieces[at..].split_first() else { return tag };
        let pattern_of = |numbers: &[Number]| vec!["N"; numbers.len()].join(".");
        let (named, kind) = match &version.kind {
            Kind::Numbers { numbers, pattern } => {
                ("", Version::Numbers { numbers: numbers.clone(), pattern: pattern.clone() })
            }
            Kind::Named { word, meaning, numbers } => {
                tag.is_of_variant = matches!(meaning, Meaning::Base | Meaning::Runtime);
                (*word, Version::Numbers { numbers: numbers.clone(), pattern: pattern_of(numbers) })
            }
            _ => ("", Version::Commit),
        };
        tag.version = kind;
        tag.before.push(Element::Literal(format!("{}{named}", version.separator)));
        tag.start = version.start + named.len();
        tag.end = version.start + version.text.len();
        for piece in rest {
            let found = PreRelease::of(piece).filter(|_| tag.pre_release.is_none());
            let is_build = matches!(piece.separator, "_" | "+") && matches!(piece.kind, Kind::Numbers { .. });
            let only_says_release = piece.kind == Kind::Word && words::only_says_release(piece.text);
            if tag.behind.is_empty() && (is_build || found.is_some() || only_says_release) {
                tag.end = piece.start + piece.text.len();
            }
            if found.is_some() {
                tag.pre_release = found;
            } else if !only_says_release {
                tag.behind.push(Element::of(piece));
            }
        }
        tag
    }

    /// The tag as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it says that it comes before a release.
    pub fn is_pre_release(&self) -> bool {
        self.pre_release.is_some()
    }

    /// How it counts.
    pub fn scheme(&self) -> Scheme {
        match &self.version {
            Version::None => Scheme::Floating,
            Version::Commit => Scheme::Commit,
            Version::Numbers { numbers, pattern } => match numbers.as_slice() {
                _ if pattern.contains("N-N") => Scheme::DateStamp,
                [only] if only.magnitude() != Magnitude::Date && only.digits > 3 => Scheme::Counter,
                [first, ..] if first.magnitude() == Magnitude::Date => Scheme::DateStamp,
                [first, ..] if first.is_year() || is_two_digit_year(numbers) => Scheme::Calendar,
                numbers if numbers.len() == 3 => Scheme::Semver,
                numbers => Scheme::Parts(numbers.len()),
            },
        }
    }

    /// What stands behind the version, pre-release aside, as it is written; empty where nothing does.
    pub fn variant(&self) -> &str {
        self.text.get(self.end..).unwrap_or_default().trim_start_matches(lex::is_separator)
    }

    /// What stands before the version, as it is written; empty where nothing does, or where there is no version.
    pub fn prefix(&self) -> &str {
        self.text.get(..self.start).unwrap_or_default()
    }

    pub(crate) fn numbers(&self) -> &[Number] {
        match &self.version {
            Version::Numbers { numbers, .. } => numbers,
            _ => &[],
        }
    }

    /// Whether what it names moves whatever the list says: a name, or a variant's version alone.
    pub(crate) fn is_moving(&self) -> bool {
        self.is_of_variant || self.version == Version::None
    }

    /// Whether `other` is of this tag's prefix and variant, and counts the same things, in as many parts or not.
    pub(crate) fn is_family_of(&self, other: &Self) -> bool {
        let versions = match (&self.version, &other.version) {
            (
                Version::Numbers { numbers, pattern },
                Version::Numbers { numbers: others, pattern: other_pattern },
            ) => {
                let is_written_alike =
                    pattern == other_pattern || is_dotted(pattern) && is_dotted(other_pattern);
                is_written_alike && are_of_one_kind(numbers, others)
            }
            _ => false,
        };
        let like = |ours: &[Element], theirs: &[Element]| {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| ours.is_like(theirs))
        };
        versions && like(&self.before, &other.before) && like(&self.behind, &other.behind)
    }

    /// Whether `longer` is a version of the line that this tag names: `1.27.3-alpine` of `1.27-alpine`.
    pub(crate) fn is_line_of(&self, longer: &Self) -> bool {
        self.pre_release.is_none() && self.begins(longer)
    }

    /// Whether `longer` is a version of the line that this tag's version names, pre-releases aside: `1.27.0` of `1.27rc1`.
    pub(crate) fn begins(&self, longer: &Self) -> bool {
        let (ours, theirs) = (self.numbers(), longer.numbers());
        // The version may have a build that its line has not: `17.0.9_9-jre` of `17-jre`.
        let without_build = match longer.behind.split_first() {
            Some((Element::Revision { .. }, rest)) => rest,
            _ => &longer.behind,
        };
        !ours.is_empty()
            && ours.len() < theirs.len()
            && theirs.starts_with(ours)
            && self.before == longer.before
            && (self.behind == longer.behind || self.behind == without_build)
    }

    /// The order of two tags that are like `self`: by version, then part by part of the variant.
    pub(crate) fn order<'a>(&'a self, a: &'a Self, b: &'a Self) -> Ordering {
        let release = |tag: &Self| tag.pre_release.clone().map_or((1, None), |pre| (0, Some(pre)));
        a.numbers().cmp(b.numbers()).then_with(|| release(a).cmp(&release(b))).then_with(|| {
            let elements = |tag: &'a Self| tag.before.iter().chain(&tag.behind);
            elements(self)
                .zip(elements(a).zip(elements(b)))
                .map(|(ours, (a, b))| ours.order(a, b))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
    }
}

/// Where the version is: the first numbers that stand alone, else a commit, else the first word with numbers.
fn version_at(pieces: &[Piece<'_>]) -> Option<usize> {
    let stands_alone = |at: &usize| {
        let after_v = *at > 0 && pieces[at - 1].text.eq_ignore_ascii_case("v");
        matches!(pieces[*at].kind, Kind::Numbers { .. })
            && (*at == 0 || !pieces[*at].separator.is_empty() || after_v)
    };
    let moves = |word: &str| words::is_moving(word) || matches!(words::meaning(word), Meaning::PreRelease(_));
    let is_moving = pieces.iter().any(|piece| piece.kind == Kind::Word && moves(piece.text));
    (0..pieces.len())
        .find(stands_alone)
        .or_else(|| pieces.iter().position(|piece| piece.kind == Kind::Hash))
        .or_else(|| {
            let named = pieces.iter().position(|piece| matches!(piece.kind, Kind::Named { .. }));
            named.filter(|_| !is_moving)
        })
}

/// Whether both count the same things: no date is a successor of a version, and no year of a plain number.
fn are_of_one_kind(numbers: &[Number], others: &[Number]) -> bool {
    let by_years = |numbers: &[Number]| numbers.len() > 1 && numbers[0].is_year();
    let are_dates = |numbers: &[Number]| numbers.iter().any(|number| number.magnitude() == Magnitude::Date);
    if numbers.len() != others.len() && (are_dates(numbers) || are_dates(others)) {
        return false;
    }
    by_years(numbers) == by_years(others)
        && numbers.iter().zip(others).all(|(ours, theirs)| ours.magnitude() == theirs.magnitude())
}

fn is_dotted(pattern: &str) -> bool {
    pattern.bytes().all(|byte| matches!(byte, b'N' | b'.'))
}

/// Whether it begins with a month of this century, as in `24.04`.
fn is_two_digit_year(numbers: &[Number]) -> bool {
    match numbers {
        [year, month, ..] => year.digits == 2 && month.digits == 2 && month.value < 10,
        _ => false,
    }
}

impl PreRelease {
    fn of(piece: &Piece<'_>) -> Option<Self> {
        match &piece.kind {
            Kind::Named { meaning: Meaning::PreRelease(rank), numbers, .. } => {
                Some(Self { rank: *rank, numbers: numbers.clone() })
            }
            Kind::Named { word, numbers, .. }
                if piece.separator.is_empty() || word.eq_ignore_ascii_case("m") =>
            {
                words::letter(word).map(|rank| Self { rank, numbers: numbers.clone() })
            }
            Kind::Word if words::is_pre_release_alone(piece.text) => match words::meaning(piece.text) {
                Meaning::PreRelease(rank) => Some(Self { rank, numbers: Vec::new() }),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Element {
    fn of(piece: &Piece<'_>) -> Self {
        let written = |word: &str| format!("{}{word}", piece.separator);
        match &piece.kind {
            Kind::Word => Self::Literal(written(piece.text)),
            Kind::Hash => Self::Hash { word: piece.separator.to_owned(), digits: piece.text.len() },
            Kind::Numbers { numbers, .. } => Self::Revision { word: written(""), numbers: numbers.clone() },
            Kind::Named { word, meaning, numbers } => match meaning {
                Meaning::Base | Meaning::Runtime => {
                    Self::Versioned { word: written(word), meaning: *meaning, numbers: numbers.clone() }
                }
                _ => Self::Revision { word: written(word), numbers: numbers.clone() },
            },
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(ours), Self::Literal(theirs)) => ours == theirs,
            (
                Self::Versioned { word, meaning, numbers },
                Self::Versioned { word: other_word, numbers: others, .. },
            ) => {
                let is_same_line = *meaning == Meaning::Base || numbers.first() == others.first();
                word == other_word && numbers.len() == others.len() && is_same_line
            }
            (Self::Revision { word, .. }, Self::Revision { word: other_word, .. })
            | (Self::Hash { word, .. }, Self::Hash { word: other_word, .. }) => word == other_word,
            // A hash that happens to have no letter.
            (Self::Hash { word, digits }, Self::Revision { word: other_word, numbers }) => {
                word == other_word && matches!(numbers.as_slice(), [only] if only.digits == *digits)
            }
            _ => false,
        }
    }

    /// The order of two elements that are like this one: what is nearest to what runs is the greater, then the newer.
    fn order(&self, a: &Self, b: &Self) -> Ordering {
        match (self, a, b) {
            (_, Self::Revision { numbers: a, .. }, Self::Revision { numbers: b, .. }) => a.cmp(b),
            (
                Self::Versioned { meaning, numbers, .. },
                Self::Versioned { numbers: a, .. },
                Self::Versioned { numbers: b, .. },
            ) => {
                let is_near = |theirs: &[Number]| match meaning {
                    Meaning::Base => theirs.first() == numbers.first(),
                    _ => theirs == numbers.as_slice(),
                };
                is_near(a).cmp(&is_near(b)).then_with(|| a.cmp(b))
            }
            _ => Ordering::Equal,
        }
    }
}
