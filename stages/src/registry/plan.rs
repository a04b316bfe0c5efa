//! What an image is expected to take, before anything is asked.

use std::collections::HashSet;

use provenance_model::{Digest, Subject, Trail};

use super::asking::Asking;
use super::client::RegistryClient;

/// Requests for what is attached to an image that was never examined, on average: some have nothing, others much.
const ATTACHED: u64 = 2;

/// What is asked of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Questions {
    /// Signatures, provenance or SBOMs.
    pub attached: bool,
    /// Newer tags.
    pub tags: bool,
    /// Its configuration.
    pub age: bool,
}

impl RegistryClient {
    /// Requests that a subject is expected to take of its registry. A repository's tags are asked once: `listed` knows of
    /// which.
    pub fn expected(&self, subject: &Subject, questions: Questions, listed: &mut HashSet<String>) -> u64 {
        let Ok(reference) = &subject.reference else { return 0 };
        let trail = Trail::default();
        let asking = Asking {
            stage: "plan",
            registry: &reference.registry,
            repository: &reference.repository,
            scope: &subject.scope,
            trail: &trail,
        };
        let digest: Option<&Digest> = subject.running.manifest().or(reference.digest.as_ref());
        let examined = self.cache().and_then(|cache| cache.examined(&subject.key()));
        let asks_what_is_attached = match (self.cache(), digest) {
            (Some(cache), Some(digest)) => cache.referrer_requests(&asking, digest) > 0,
            _ => true,
        };
        let repository = format!("{}/{} {}", reference.registry, reference.repository, subject.scope);
        let lists = if (questions.attached || questions.tags) && listed.insert(repository) {
            self.cache().map_or(1, |cache| cache.tag_requests(&asking))
        } else {
            0
        };
        match examined {
            // As many as last time: what is attached may be attached by tags.
            Some((_, last)) if questions.attached && asks_what_is_attached => last.max(1 + lists),
            Some(_) => 1 + lists,
            None => {
                let attached = if questions.attached { 1 + ATTACHED } else { 0 };
                1 + lists + attached + u64::from(questions.age)
            }
        }
    }
}
