//! Evidence: which places were asked for one subject, and what each answered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// One question and its answer, as they are kept: many dossiers and stages share the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    stage: &'static str,
    place: Arc<str>,
    answer: Arc<str>,
    since: Option<Timestamp>,
}

impl Noted {
    /// The same for another stage.
    #[must_use]
    pub fn by(&self, stage: &'static str) -> Self {
        Self { stage, ..self.clone() }
    }
}

/// The evidence of one dossier, kept while its stages ask. It outlives a stage that is cut off.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<Vec<Noted>>>);

impl Trail {
    /// Notes one question and its answer, once for each stage.
    pub fn note(&self, stage: &'static str, place: impl AsRef<str>, answer: impl AsRef<str>) {
        self.note_since(stage, place, answer, None);
    }

    /// Notes a question that an earlier run asked then, or this one now.
    pub fn note_since(
        &self,
        stage: &'static str,
        place: impl AsRef<str>,
        answer: impl AsRef<str>,
        since: Option<Timestamp>,
    ) {
        let mut known = self.noted();
        // Another stage that asked the same has the same texts.
        let shared = |text: &str| {
            let texts = known.iter().flat_map(|noted| [&noted.place, &noted.answer]);
            texts.into_iter().find(|known| &***known == text).map_or_else(|| text.into(), Arc::clone)
        };
        let noted = Noted { stage, place: shared(place.as_ref()), answer: shared(answer.as_ref()), since };
        if !known.contains(&noted) {
            known.push(noted);
        }
    }

    /// Notes what was noted elsewhere.
    pub fn share(&self, noted: Noted) {
        let mut known = self.noted();
        if !known.contains(&noted) {
            known.push(noted);
        }
    }

    /// Nothing more will be noted: gives back what room is left.
    pub fn close(&self) {
        self.noted().shrink_to_fit();
    }

    /// How many of the questions can have another answer tomorrow: all but those for content by its digest.
    pub fn open_questions(&self) -> usize {
        let asked = self.noted();
        let is_open = |place: &&str| {
            let is_request = place.starts_with("GET ") || place.starts_with("HEAD ");
            is_request && !place.contains("/blobs/") && !place.contains("/manifests/sha256:")
        };
        asked.iter().map(|asked| &*asked.place).filter(is_open).collect::<BTreeSet<_>>().len()
    }

    /// All that one stage noted, in order, as it is kept.
    pub fn kept(&self, stage: &str) -> Vec<Noted> {
        self.noted().iter().filter(|noted| noted.stage == stage).cloned().collect()
    }

    /// All that one stage noted, in order.
    pub fn of(&self, stage: &str) -> Vec<Asked> {
        let told = |noted: &Noted| Asked {
            stage: noted.stage.to_owned(),
            place: noted.place.to_string(),
            answer: noted.answer.to_string(),
            since: noted.since,
        };
        self.noted().iter().filter(|noted| noted.stage == stage).map(told).collect()
    }

    fn noted(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
