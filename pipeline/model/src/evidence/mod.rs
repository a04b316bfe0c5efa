//! Evidence: which places were asked for one subject, and what each answered.

mod closed;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use closed::{Closed, Read};

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
pub struct Trail(Arc<Mutex<Notes>>);

/// What was noted.
#[derive(Debug, Clone)]
enum Notes {
    Open(Vec<Noted>),
    Closed(Closed),
}

impl Default for Notes {
    fn default() -> Self {
        Self::Open(Vec::new())
    }
}

impl Notes {
    /// Shows every question and its answer, in order.
    fn each(&self, mut show: impl FnMut(Read<'_>)) {
        match self {
            Self::Open(noted) => noted.iter().for_each(|noted| {
                let Noted { stage, place, answer, since } = noted;
                show(Read { stage, place, answer, since: *since });
            }),
            Self::Closed(closed) => closed.each(show),
        }
    }

    /// The notes of one stage, each made into something.
    fn of<T>(&self, stage: &str, mut make: impl FnMut(Read<'_>) -> T) -> Vec<T> {
        let mut all = Vec::new();
        self.each(|read| {
            if read.stage == stage {
                all.push(make(read));
            }
        });
        all
    }

    /// The list to add to. Who is late opens it again.
    fn open(&mut self) -> &mut Vec<Noted> {
        if let Self::Closed(closed) = self {
            let mut noted = Vec::new();
            closed.each(|read| noted.push(kept(read)));
            *self = Self::Open(noted);
        }
        match self {
            Self::Open(noted) => noted,
            Self::Closed(_) => unreachable!("it was opened"),
        }
    }
}

/// A question and its answer, to be kept.
fn kept(read: Read<'_>) -> Noted {
    let Read { stage, place, answer, since } = read;
    Noted { stage, place: place.into(), answer: answer.into(), since }
}

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
        let mut trail = self.notes();
        let known = trail.open();
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
        let mut trail = self.notes();
        let known = trail.open();
        if !known.contains(&noted) {
            known.push(noted);
        }
    }

    /// Nothing more will be noted: from now on it takes little room.
    pub fn close(&self) {
        let mut notes = self.notes();
        if let Notes::Open(noted) = &*notes
            && let Some(closed) = Closed::pack(noted)
        {
            *notes = Notes::Closed(closed);
        }
    }

    /// How many of the questions can have another answer tomorrow: all but those for content by its digest.
    pub fn open_questions(&self) -> usize {
        let is_open = |place: &str| {
            let is_request = place.starts_with("GET ") || place.starts_with("HEAD ");
            is_request && !place.contains("/blobs/") && !place.contains("/manifests/sha256:")
        };
        let mut open = BTreeSet::new();
        self.notes().each(|read| {
            if is_open(read.place) {
                open.insert(read.place.to_owned());
            }
        });
        open.len()
    }

    /// All that one stage noted, in order, as it is kept.
    pub fn kept(&self, stage: &str) -> Vec<Noted> {
        self.notes().of(stage, kept)
    }

    /// All that one stage noted, in order.
    pub fn of(&self, stage: &str) -> Vec<Asked> {
        self.notes().of(stage, |Read { stage, place, answer, since }| Asked {
            stage: stage.to_owned(),
            place: place.to_owned(),
            answer: answer.to_owned(),
            since,
        })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_noted_is_read_the_same_when_it_is_closed_and_more_can_be_noted(
            notes in prop::collection::vec((0..3_usize, "[aä/🦀]{0,6}", "[aä/🦀]{0,6}", prop::option::of(0..9_i64)), 0..30)
        ) {
            let stages = ["digest", "signature", "sbom"];
            let trail = Trail::default();
            for (stage, place, answer, since) in &notes {
                let since = since.map(|second| Timestamp::from_second(second).unwrap());
                trail.note_since(stages[*stage], place, answer, since);
            }
            let of = |trail: &Trail| stages.map(|stage| (trail.of(stage), trail.kept(stage)));
            let open = of(&trail);
            let same = trail.clone();
            trail.close();
            prop_assert_eq!(of(&trail), open.clone());
            // Who is late is heard, and what is known is not noted twice.
            same.note("late", "b", "c");
            if let Some((stage, place, answer, None)) = notes.first() {
                same.note(stages[*stage], place, answer);
            }
            prop_assert_eq!(of(&trail), open);
            prop_assert_eq!(trail.of("late").len(), 1);
        }
    }
}
