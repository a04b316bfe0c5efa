//! Evidence: which places were asked for one subject, and what each answered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One question to one place, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The stage that asked.
    pub stage: String,
    /// What was asked, so that it can be asked again: method and URL.
    pub place: String,
    /// What came back: the status with the digest or error code, or why nothing did.
    pub answer: String,
    /// When it came back, where an earlier run asked and its answer was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// The evidence of one dossier, kept while its stages ask. It outlives a stage that is cut off.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<Vec<Asked>>>);

impl Trail {
    /// Notes one question and its answer, once for each stage.
    pub fn note(&self, stage: &str, place: impl Into<String>, answer: impl Into<String>) {
        self.note_since(stage, place, answer, None);
    }

    /// Notes a question that an earlier run asked then, or this one now.
    pub fn note_since(
        &self,
        stage: &str,
        place: impl Into<String>,
        answer: impl Into<String>,
        since: Option<Timestamp>,
    ) {
        let asked = Asked { stage: stage.to_owned(), place: place.into(), answer: answer.into(), since };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&asked) {
            known.push(asked);
        }
    }

    /// How many of the questions can have another answer tomorrow: all but those for content by its digest.
    pub fn open_questions(&self) -> usize {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |place: &&str| {
            let is_request = place.starts_with("GET ") || place.starts_with("HEAD ");
            is_request && !place.contains("/blobs/") && !place.contains("/manifests/sha256:")
        };
        asked.iter().map(|asked| asked.place.as_str()).filter(is_open).collect::<BTreeSet<_>>().len()
    }

    /// All that one stage noted, in order.
    pub fn of(&self, stage: &str) -> Vec<Asked> {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|asked| asked.stage == stage).cloned().collect()
    }
}
