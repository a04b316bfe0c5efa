//! Taking reports in, whole or in parts.

use std::fmt;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use provenance_model::report::{HelmRelease, ImageRecord, Metadata, Part, Run, Summary, Truncated};
use provenance_sinks::file::LATEST;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};

use super::{Refused, Store};
use crate::parts::{self, Joined, Parts};

impl Store {
    /// Takes a report in, as it came: when this returns it is on disk and synced. The same bytes make one report, however
    /// often they come. Blocks. Answers the file's name.
    ///
    /// # Errors
    ///
    /// [`Refused`] where it is no report, or cannot be kept.
    pub fn accept(&self, bytes: &[u8]) -> Result<String, Refused> {
        let report: Whole = serde_json::from_slice(bytes).map_err(|error| {
            Refused::NoReport(format!(
                "the body is no report: line {}, column {}: {}",
                error.line(),
                error.column(),
                kind(&error)
            ))
        })?;
        if let Some(part) = report.run.and_then(|run| run.part) {
            return self.accept_part(&part, bytes);
        }
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = hex::encode(Sha256::digest(bytes));
        // What another hand has put there meanwhile is seen later; a crash between writing and this look is not missed.
        if self.state.read().unwrap_or_else(PoisonError::into_inner).looked.is_none() {
            drop(self.look());
        }
        let twin = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.known.iter().find(|(_, known)| known.digest == digest).map(|(name, _)| name.clone())
        };
        if let Some(twin) = twin.filter(|name| self.folder.join(name).is_file()) {
            return Ok(twin);
        }
        let made = report.metadata.generated_at;
        let write = |out: &mut dyn Write| out.write_all(bytes);
        self.take(&write, made)
    }

    /// Takes a part of a report in; with the last of them the report. Blocks.
    fn accept_part(&self, part: &Part, bytes: &[u8]) -> Result<String, Refused> {
        if let Some(why) = parts::refused(part) {
            return Err(Refused::NoReport(why));
        }
        let Part { run, index, count } = part;
        let name = format!("part {} of {count} of the run {run}", index + 1);
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = Parts::of(&self.folder, run);
        if !parts.are_done() {
            parts.keep(part, bytes)?;
            // A long wait: only all of them are enough here.
            if parts.are_due(Duration::MAX) {
                self.join(&parts)?;
            }
        }
        Ok(name)
    }

    /// Joins the parts of runs of which no more came for so long, and forgets old ones. Blocks.
    pub fn join_parts(&self, wait: Duration) {
        for parts in Parts::all(&self.folder) {
            let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            if parts.are_due(wait)
                && let Err(error) = self.join(&parts)
            {
                tracing::error!("parts of a report could not be joined: {error}");
            }
            parts.forget_old();
        }
    }

    fn join(&self, parts: &Parts) -> Result<(), Refused> {
        parts.join(|joined: &Joined| -> Result<(), Refused> {
            // A crash after the report was written leaves parts that are joined once more.
            let is_known = {
                let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
                state.known.values().filter_map(|known| known.says.as_ref().ok()).any(|header| {
                    header.metadata == joined.report.metadata && header.summary == joined.report.summary
                })
            };
            if !is_known {
                let name = self.take(&|out: &mut dyn Write| joined.write(out), joined.made())?;
                tracing::info!(name, "the parts of a report were joined");
            }
            Ok(())
        })
    }

    /// Writes a report, and sees it.
    fn take(
        &self,
        write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
        made: Timestamp,
    ) -> Result<String, Refused> {
        let newest = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state
                .known
                .values()
                .filter_map(|known| Some(known.says.as_ref().ok()?.metadata.generated_at))
                .max()
        };
        let is_newest = newest.is_none_or(|newest| made >= newest) || !self.folder.join(LATEST).is_file();
        let written = self.sink.write_with(write, made, is_newest)?;
        // Whoever asks for the newest report next does not wait for it.
        let name = written.path.file_name().and_then(|name| name.to_str());
        if let Some(found) = name.and_then(|name| self.find(name)) {
            drop(self.load(&found));
        }
        if let Err(error) = self.look() {
            tracing::warn!(%error, "the folder of reports could not be read");
        }
        Ok(written.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
    }
}

/// A report that is checked row by row, and not kept.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Whole {
    metadata: Metadata,
    #[serde(rename = "images")]
    _images: Sound<ImageRecord>,
    #[serde(default, rename = "helmReleases")]
    _releases: Sound<HelmRelease>,
    #[serde(rename = "summary")]
    _summary: Summary,
    run: Option<Run>,
    #[serde(rename = "truncated")]
    _truncated: Option<Truncated>,
}

/// A list of these, or null, as the older collector writes an empty one.
struct Sound<T>(PhantomData<T>);

impl<T> Default for Sound<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sound<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Sound<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<T>()?.is_some() {}
        Ok(self)
    }
}

/// What went wrong, without quoting the text.
pub(super) fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Syntax => "no JSON",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "JSON of another shape",
    }
}
