//! Cuts a tag into words, numbers and commit hashes.

use super::number::Number;
use super::words::{self, Meaning};

/// A piece of a tag, and what separates it from the piece before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) separator: &'a str,
    /// Where the text begins in the tag, in bytes.
    pub(super) start: usize,
    pub(super) text: &'a str,
    pub(super) kind: Kind<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A word, or a name with digits in it.
    Word,
    /// Numbers, and how they are written: `N.N.N`.
    Numbers { numbers: Vec<Number>, pattern: String },
    /// A word with the numbers that belong to it.
    Named { word: &'a str, meaning: Meaning, numbers: Vec<Number> },
    /// An abbreviated or whole commit hash.
    Hash,
}

pub(super) fn pieces(tag: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = tag;
    while !rest.is_empty() {
        let separator = &rest[..rest.len() - rest.trim_start_matches(is_separator).len()];
        rest = &rest[separator.len()..];
        let start = tag.len() - rest.len();
        let run = run(rest);
        if run.is_empty() {
            pieces.push(Piece { separator, start, text: rest, kind: Kind::Word });
            break;
        }
        let follows_host = pieces.last().is_some_and(|piece: &Piece<'_>| words::is_host_bound(piece.text));
        let (length, kind) = piece(rest, run, follows_host, pieces.is_empty());
        pieces.push(Piece { separator, start, text: &rest[..length], kind });
        rest = &rest[length..];
    }
    pieces
}

fn piece<'a>(rest: &'a str, run: &'a str, follows_host: bool, is_first: bool) -> (usize, Kind<'a>) {
    if rest.starts_with("x86_64") {
        return ("x86_64".len(), Kind::Word);
    }
    if words::is_name(run) || follows_host {
        return (run.len(), Kind::Word);
    }
    if is_hash(run) {
        return (run.len(), Kind::Hash);
    }
    if run.starts_with(|first: char| first.is_ascii_digit()) {
        return numbers(rest, run);
    }
    let letters = &run[..run.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(run.len())];
    let word = words::numbered_name(run).unwrap_or(letters);
    if word.eq_ignore_ascii_case("v") && word.len() < run.len() {
        return (word.len(), Kind::Word);
    }
    let meaning = words::meaning(word);
    let glued = word.len() < run.len();
    if glued && !run[word.len()..].bytes().all(|byte| byte.is_ascii_digit()) {
        return (run.len(), Kind::Word);
    }
    // The first word names what is counted: its number is the version itself.
    let is_joined = !glued && !is_first && rest[word.len()..].starts_with(is_separator);
    let joint = usize::from(is_joined);
    let behind = &rest[word.len() + joint..];
    let (length, numbers) = dotted(behind);
    // A word that means nothing here keeps the numbers behind a separator only where they are a version.
    let belongs = glued || is_joined && (meaning != Meaning::Other || numbers.len() > 1);
    if numbers.is_empty() || !belongs || words::is_moving(word) && !glued {
        return (word.len(), Kind::Word);
    }
    let meaning = if meaning == Meaning::Other && numbers.len() > 1 { Meaning::Runtime } else { meaning };
    let end = word.len() + joint;
    (end + length, Kind::Named { word: &rest[..end], meaning, numbers })
}

/// Numbers at the start of `rest`, whose first run of letters and digits is `run`.
fn numbers<'a>(rest: &'a str, run: &str) -> (usize, Kind<'a>) {
    if let Some((length, numbers, pattern)) = dashed_date(rest).or_else(|| java_update(run)) {
        return (length, Kind::Numbers { numbers, pattern });
    }
    let (length, numbers) = dotted(rest);
    if numbers.is_empty() {
        return (run.len(), Kind::Word);
    }
    let pattern = vec!["N"; numbers.len()].join(".");
    (length, Kind::Numbers { numbers, pattern })
}

/// `1.27.3`, up to what is no number.
fn dotted(rest: &str) -> (usize, Vec<Number>) {
    let mut numbers = Vec::new();
    let mut length = 0;
    loop {
        let start = length + usize::from(!numbers.is_empty());
        if !numbers.is_empty() && !rest[length..].starts_with('.') {
            break;
        }
        let run = run(&rest[start..]);
        if is_hash(run) {
            break;
        }
        let digits = &run[..run.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(run.len())];
        match Number::read(digits) {
            Some(number) => numbers.push(number),
            None => break,
        }
        length = start + digits.len();
        if digits.len() < run.len() {
            break;
        }
    }
    (length, numbers)
}

/// `2024-01-16` and `2024-01-16T16-07-38Z`.
fn dashed_date(rest: &str) -> Option<(usize, Vec<Number>, String)> {
    let shape = |length: usize| -> Option<String> {
        let text = rest.get(..length)?;
        Some(text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect())
    };
    let (length, whole) =
        ["0000-00-00T00-00-00Z", "0000-00-00T00-00-00", "0000-00-00"].iter().find_map(|pattern| {
            shape(pattern.len()).filter(|found| found == pattern).map(|found| (pattern.len(), found))
        })?;
    if rest[length..].starts_with(|next: char| next.is_ascii_alphanumeric()) {
        return None;
    }
    let numbers: Option<Vec<Number>> = rest[..length]
        .split(|letter: char| !letter.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(Number::read)
        .collect();
    let numbers = numbers?;
    numbers[0].is_year().then(|| (length, numbers, whole.replace("0000", "N").replace("00", "N")))
}

/// `8u392`, as Java 8 counts.
fn java_update(run: &str) -> Option<(usize, Vec<Number>, String)> {
    let (major, update) = run.split_once('u')?;
    let numbers = vec![whole(major)?, whole(update)?];
    Some((run.len(), numbers, "NuN".to_owned()))
}

fn whole(digits: &str) -> Option<Number> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| Number::read(digits))?
}

fn run(rest: &str) -> &str {
    &rest[..rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len())]
}

pub(super) fn is_separator(letter: char) -> bool {
    matches!(letter, '.' | '-' | '_' | '+')
}

/// Whether a run of letters and digits is a commit hash: hexadecimal, seven digits at least, and no plain number or word.
fn is_hash(run: &str) -> bool {
    let hex = run.strip_prefix('g').filter(|hex| hex.len() >= 6).unwrap_or(run);
    let is_hex =
        hex.len() >= 6 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let has_letter = hex.bytes().any(|byte| byte.is_ascii_alphabetic());
    let has_digit = hex.bytes().any(|byte| byte.is_ascii_digit());
    let is_git_describe = hex.len() < run.len();
    let starts_with_date = hex
        .get(..8)
        .and_then(Number::read)
        .is_some_and(|number| number.magnitude() == super::Magnitude::Date);
    is_hex && has_digit && (is_git_describe || has_letter && hex.len() >= 7) && !starts_with_date
}
