//! A list of tags, held compactly.

use std::collections::BTreeMap;

use jiff::Timestamp;
use provenance_model::Digest;

/// The tags of a repository, in the registry's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagList {
    /// One tag a line: no tag holds a line break, and a list can be long.
    lines: String,
    length: usize,
    is_all: bool,
    named: BTreeMap<Digest, Named>,
}

/// What the list says of a digest that tags name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The tags.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Option<Timestamp>,
}

impl TagList {
    /// Every tag.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.lines()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the registry has no others.
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// Whether this tag is among them.
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|known| known == tag)
    }

    /// What the list says of a digest; most registries' lists say nothing of digests.
    pub fn named(&self, digest: &Digest) -> Option<&Named> {
        self.named.get(digest)
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        let named: usize = self.named.values().map(|named| 200 + 40 * named.tags.len()).sum();
        self.lines.len() + named
    }

    /// Adds a tag.
    pub(super) fn push(&mut self, tag: &str) {
        self.lines.push_str(tag);
        self.lines.push('\n');
        self.length += 1;
    }

    /// Adds what the registry says of a digest.
    pub(super) fn name(&mut self, digest: Digest, named: Named) {
        self.named.insert(digest, named);
    }

    /// The registry has no others.
    pub(super) fn complete(self) -> Self {
        Self { is_all: true, ..self }
    }

    /// The last tag so far.
    pub(super) fn last(&self) -> Option<&str> {
        self.lines.lines().next_back()
    }
}
