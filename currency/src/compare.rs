//! Which tags of a list are newer than the one that runs.

use std::cmp::Ordering;
use std::fmt;

use crate::rule::{Key, Rule, TagOrder};
use crate::tag::{Magnitude, Number, Scheme, Tag};

/// The first part of a version that an update changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// The third part or a later one, or what is built of the same version.
    Patch,
    /// The second part.
    Minor,
    /// The first part.
    Major,
}

/// What a tag list says of the tag that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// How the tag that runs counts.
    pub scheme: Scheme,
    /// What stands before the version; empty where nothing does.
    pub prefix: String,
    /// What stands behind the version; empty where nothing does.
    pub variant: String,
    /// How many tags the list has, those of signatures and attestations aside.
    pub listed: usize,
    /// How many of them are of the running tag's shape, itself included.
    pub compared: usize,
    /// Whether what the running tag names moves: it is a name, or the list has versions of its line.
    pub is_floating: bool,
    /// The newest of the running major and minor version, where it is newer.
    pub latest_in_minor: Option<String>,
    /// The newest of the running major version, where it is newer.
    pub latest_in_major: Option<String>,
    /// The newest of all, where it is newer.
    pub newest: Option<String>,
    /// How far the newest is from the one that runs.
    pub bump: Option<Bump>,
    /// How many versions are newer; builds of one version count once.
    pub versions_behind: usize,
}

impl Comparison {
    /// Nothing is newer.
    fn none(scheme: Scheme, listed: usize) -> Self {
        Self {
            scheme,
            prefix: String::new(),
            variant: String::new(),
            listed,
            compared: 0,
            is_floating: false,
            latest_in_minor: None,
            latest_in_major: None,
            newest: None,
            bump: None,
            versions_behind: 0,
        }
    }
}

impl fmt::Display for Comparison {
    /// `semver, variant alpine; 41 of 212 tags compared`
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.scheme)?;
        if !self.prefix.is_empty() {
            write!(out, ", prefix {}", self.prefix)?;
        }
        if !self.variant.is_empty() {
            write!(out, ", variant {}", self.variant)?;
        }
        write!(out, "; {} of {} tags compared", self.compared, self.listed)
    }
}

/// Compares the tag that runs with every tag of its repository.
pub fn compare<'a>(running: &str, tags: impl IntoIterator<Item = &'a str>, rule: &Rule) -> Comparison {
    let tags = tags.into_iter().filter(|tag| !is_attachment(tag));
    match rule.order {
        Some(order) => compare_by(order, running, &tags.collect::<Vec<_>>(), rule),
        None => compare_inferred(&Tag::parse(running), &tags.map(Tag::parse).collect::<Vec<_>>(), rule),
    }
}

fn compare_inferred(running: &Tag, tags: &[Tag], rule: &Rule) -> Comparison {
    let is_commit = is_commit_among(running, tags);
    let names_line = tags.iter().any(|tag| running.is_line_of(tag));
    let own = running.numbers().len();
    // The candidate of a line is followed by the line's releases; the line's own name moves.
    let is_candidate_of_line = !names_line && tags.iter().any(|tag| running.begins(tag));
    let lengths = match (names_line, is_candidate_of_line) {
        (true, _) => vec![own],
        (false, true) => vec![own, own + 1],
        (false, false) => lengths(running, tags),
    };
    let mut comparison = Comparison {
        prefix: running.prefix().to_owned(),
        variant: running.variant().to_owned(),
        is_floating: names_line || running.is_moving(),
        ..Comparison::none(if is_commit { Scheme::Commit } else { running.scheme() }, tags.len())
    };
    if is_commit {
        return comparison;
    }
    let names_a_line =
        |tag: &Tag| is_candidate_of_line && !tag.is_pre_release() && tag.numbers().len() == own;
    let is_like = |tag: &&Tag| {
        lengths.contains(&tag.numbers().len()) && running.is_family_of(tag) && !names_a_line(tag)
    };
    let mut alike: Vec<&Tag> = tags.iter().filter(is_like).collect();
    comparison.compared = alike.len();
    alike.retain(|tag| !rule.skip_pre_releases || may_follow(running, tag));
    alike.retain(|tag| running.order(tag, running) == Ordering::Greater);
    alike.sort_by(|a, b| running.order(a, b).then_with(|| b.as_str().cmp(a.as_str())));
    within_reach(running, &mut alike);
    alike.retain(|tag| rule.admits(tag.as_str()) && rule.keeps_pins(tag));
    let newest_with = |same: usize| {
        let is_in_line = |tag: &&&Tag| has_in_common(running, tag, same);
        alike.iter().rev().find(is_in_line).map(|tag| tag.as_str().to_owned())
    };
    comparison.latest_in_minor = newest_with(2);
    comparison.latest_in_major = newest_with(1);
    comparison.newest = newest_with(0);
    comparison.bump = alike.last().map(|newest| bump(running, newest));
    let mut versions: Vec<&[Number]> =
        alike.iter().map(|tag| tag.numbers()).filter(|numbers| *numbers != running.numbers()).collect();
    versions.dedup();
    comparison.versions_behind = versions.len();
    comparison
}

/// Compares in an order that a rule gives.
fn compare_by(order: TagOrder, running: &str, tags: &[&str], rule: &Rule) -> Comparison {
    let is_floating = order == TagOrder::Floating;
    let mut comparison = Comparison { is_floating, ..Comparison::none(order.into(), tags.len()) };
    let Some(running) = Key::of(running, order, rule) else { return comparison };
    let keyed = tags.iter().filter(|tag| rule.admits(tag));
    let mut keyed: Vec<_> = keyed.filter_map(|tag| Some((Key::of(tag, order, rule)?, *tag))).collect();
    comparison.compared = keyed.len();
    let may_follow = |key: &Key<'_>| {
        !rule.skip_pre_releases
            || !key.is_pre_release()
            || running.is_pre_release() && running.in_common(key) == 3
    };
    keyed.retain(|(key, tag)| {
        may_follow(key) && key.order(&running) == Ordering::Greater && rule.keeps_pins(&Tag::parse(tag))
    });
    keyed.sort_by(|(a, tag_a), (b, tag_b)| a.order(b).then_with(|| tag_b.cmp(tag_a)));
    let newest_with = |same: usize| {
        let found = keyed.iter().rev().find(|(key, _)| same == 0 || running.in_common(key) >= same);
        found.map(|(_, tag)| (*tag).to_owned())
    };
    let (in_minor, in_major) = if order == TagOrder::Semver { (2, 1) } else { (0, 0) };
    comparison.latest_in_minor = newest_with(in_minor);
    comparison.latest_in_major = newest_with(in_major);
    comparison.newest = newest_with(0);
    comparison.bump = keyed.last().map(|(newest, _)| match running.in_common(newest) {
        0 => Bump::Major,
        1 => Bump::Minor,
        _ => Bump::Patch,
    });
    keyed.dedup_by(|(a, _), (b, _)| a.order(b) == Ordering::Equal);
    comparison.versions_behind = keyed.len();
    comparison
}

/// `sha256-<hex>`, with or without `.sig`, `.att` or `.sbom`: what is attached to an image, not an image.
fn is_attachment(tag: &str) -> bool {
    tag.strip_prefix("sha256-")
        .and_then(|rest| rest.get(..64))
        .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// How many parts the versions have that follow the running one: as many as it has, and where few of its repository's releases have so
/// many (`17.0.8.1` among `17.0.8` and `17.0.9`), as many as most of them.
fn lengths(running: &Tag, tags: &[Tag]) -> Vec<usize> {
    const MOST: usize = 5;
    let own = running.numbers().len();
    let mut family: Vec<&[Number]> =
        tags.iter().filter(|tag| running.is_family_of(tag)).map(Tag::numbers).collect();
    family.sort_unstable();
    family.dedup();
    // In this order the versions of a line stand right behind it; the line itself is no release.
    let is_release = |at: &usize| !family.get(at + 1).is_some_and(|next| next.starts_with(family[*at]));
    let mut releases = [0_usize; 5];
    for at in (0..family.len()).filter(is_release) {
        if let Some(count) = releases.get_mut(family[at].len()) {
            *count += 1;
        }
    }
    let most = MOST * releases.get(own).copied().unwrap_or_default();
    let other = (2..releases.len()).find(|length| *length != own && most > 0 && releases[*length] >= most);
    std::iter::once(own).chain(other.filter(|_| own > 1)).collect()
}

/// Whether a number is a commit hash that happens to have no letter: the list has others of its length.
fn is_commit_among(running: &Tag, tags: &[Tag]) -> bool {
    match running.numbers() {
        [only] if only.digits >= 7 && only.magnitude() != Magnitude::Date => tags
            .iter()
            .any(|tag| tag.scheme() == Scheme::Commit && tag.as_str().len() == running.as_str().len()),
        _ => running.scheme() == Scheme::Commit,
    }
}

/// A pre-release follows only a pre-release of the same version.
fn may_follow(running: &Tag, tag: &Tag) -> bool {
    !tag.is_pre_release() || running.is_pre_release() && tag.numbers() == running.numbers()
}

/// Drops what no release leads to: a first number far beyond the others is the number of something else.
fn within_reach(running: &Tag, sorted: &mut Vec<&Tag>) {
    const STEP: u64 = 20;
    let Some(first) = running.numbers().first().filter(|first| first.magnitude() == Magnitude::Count) else {
        return;
    };
    let mut reached = first.value;
    let reachable = sorted.iter().take_while(|tag| {
        let next = tag.numbers()[0].value;
        let is_near = next - reached <= STEP.max(reached);
        reached = if is_near { next } else { reached };
        is_near
    });
    let reachable = reachable.count();
    sorted.truncate(reachable);
}

fn has_in_common(running: &Tag, tag: &Tag, parts: usize) -> bool {
    // The year of a date is no line of versions.
    let parts = if running.scheme() == Scheme::DateStamp { 0 } else { parts };
    running.numbers().iter().zip(tag.numbers()).take(parts).all(|(ours, theirs)| ours == theirs)
}

fn bump(running: &Tag, newest: &Tag) -> Bump {
    let changed = running.numbers().iter().zip(newest.numbers()).position(|(ours, theirs)| ours != theirs);
    match changed {
        // A date does not tell how much changed.
        Some(_) if running.scheme() == Scheme::DateStamp => Bump::Major,
        Some(0) => Bump::Major,
        Some(1) => Bump::Minor,
        _ => Bump::Patch,
    }
}
