//! One copy of every text that comes again and again: images, namespaces, kinds.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use provenance_model::{Image, Running};

#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    images: HashMap<String, Arc<Image>>,
    running: HashSet<Running>,
}

impl Interner {
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }

    /// What runs, as many pods run it.
    pub(super) fn running(&mut self, running: Running) -> Running {
        if let Some(known) = self.running.get(&running) {
            return known.clone();
        }
        self.running.insert(running.clone());
        running
    }

    /// An image name is parsed once, however many pods name it.
    pub(super) fn image(&mut self, written: &str) -> Arc<Image> {
        if let Some(known) = self.images.get(written) {
            return Arc::clone(known);
        }
        let new = Arc::new(Image::parse(written));
        self.images.insert(written.to_owned(), Arc::clone(&new));
        new
    }
}

/// A uid as a number: sixteen bytes instead of a string of 36. Kubernetes writes UUIDs; what is none is hashed.
pub(super) fn uid(text: &str) -> u128 {
    let digits = text.bytes().filter(|byte| *byte != b'-').count();
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    if digits == 32
        && let Ok(number) = u128::from_str_radix(&plain, 16)
    {
        return number;
    }
    let hash = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, text).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    hash(0) << 64 | hash(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_uids_are_different_numbers() {
        let uids = [
            "00000000-0000-4000-8000-00000000000a",
            "00000000-0000-4000-8000-00000000000b",
            "a",
            "b",
            "",
            "zzzzzzzz-0000-4000-8000-00000000000a",
        ];
        let numbers: HashSet<_> = uids.iter().map(|text| uid(text)).collect();
        assert_eq!(numbers.len(), uids.len());
    }
}
