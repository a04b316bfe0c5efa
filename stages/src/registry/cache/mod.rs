//! What earlier runs fetched, on disk: an OCI image layout
//! ([spec](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)) that others can read, and beside it
//! the lists that registries gave.
//!
//! ```text
//! oci-layout, index.json     the layout, and the manifests by the names of their images
//! blobs/sha256/…             manifests and blobs, by digest
//! answers-1/…/               a drawer for each repository and credential scope:
//!     about.json             whose it is
//!     content/sha256-…       which blobs this scope was given there; its media type, for a manifest
//!     referrers-…, tags      lists, each with its checksum and when it was given
//! subjects-1/…               when each image was last examined to the end
//! ```
//!
//! Content is never asked for again, and checked against its digest whenever it is read. A list is used while it is
//! younger than the configured age, and then asked for with what is known of it. What a scope was not given itself it is
//! not given here either. Files are written aside and renamed, so that any number of runs may share the folder and any may
//! be killed; what is torn or damaged is as if it were not there. Writing never fails a run.

mod layout;
mod list;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;
use provenance_model::Digest;
use provenance_model::report::CacheUse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

pub(super) use list::{KeptPage, KeptReferrers, KeptTag, KeptTags, TAGS, referrers_of};

use super::asking::Asking;
use super::content::{Sum, digest_of};
use layout::Named;

/// How a cache is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The folder.
    pub folder: PathBuf,
    /// Bytes of files at the most, after a run.
    pub most: u64,
    /// How old a list may be.
    pub max_age: Duration,
}

/// A clock that was set back makes answers come from the future; so much is no reason to ask again.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);
/// A blob that takes more than this share of the cache is not kept.
const SHARE: u64 = 4;

/// The cache. One for a run; several processes may share its folder.
#[derive(Debug, Clone)]
pub struct DiskCache(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: CacheSettings,
    counts: Counts,
    /// What the tags named that this run asked for.
    named: Mutex<std::collections::BTreeMap<String, Named>>,
    has_complained: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    bytes: AtomicU64,
    damaged: AtomicU64,
    unwritten: AtomicU64,
}

/// Something that is kept, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Since<T> {
    pub(super) value: T,
    pub(super) since: Timestamp,
}

/// Content on its way into the cache: it is there once it is complete.
#[derive(Debug)]
pub(super) struct Filling {
    file: File,
    aside: PathBuf,
    bytes: u64,
    is_whole: bool,
}

impl DiskCache {
    /// Opens a folder, or makes it.
    ///
    /// # Errors
    ///
    /// One line that names the folder, where it cannot be made or written to.
    pub fn open(settings: CacheSettings) -> Result<Self, String> {
        let folder = settings.folder.clone();
        let refuse = |error: std::io::Error| format!("the cache {}: {error}", folder.display());
        layout::begin(&folder).map_err(refuse)?;
        Ok(Self(Arc::new(Inner {
            settings,
            counts: Counts::default(),
            named: Mutex::default(),
            has_complained: AtomicBool::new(false),
        })))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0.settings.folder
    }

    /// How much use it was.
    pub fn tally(&self) -> CacheUse {
        let Counts { hits, misses, bytes, damaged, unwritten } = &self.0.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheUse {
            hits: read(hits),
            misses: read(misses),
            bytes: read(bytes),
            damaged: read(damaged),
            unwritten: read(unwritten),
        }
    }

    /// Content that the one who asks was given in an earlier run: its media type where it is a manifest, and its bytes.
    pub(super) async fn content(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
    ) -> Option<Since<(Option<String>, Bytes)>> {
        let (drawer, digest) = (self.drawer(asking), digest.clone());
        self.run(move |inner| {
            let given = inner.given(&drawer, &digest)?;
            let path = inner.blob(&digest);
            let bytes = fs::read(&path).ok()?;
            if digest_of(&bytes, Some(&digest)) != digest {
                inner.throw_away(&path);
                return None;
            }
            inner.use_of(&path, bytes.len());
            Some(Since { value: (given.value, Bytes::from(bytes)), since: given.since })
        })
        .await
    }

    /// Content to read as a stream, checked already.
    pub(super) async fn open_content(&self, asking: &Asking<'_>, digest: &Digest) -> Option<Since<File>> {
        let (drawer, digest) = (self.drawer(asking), digest.clone());
        self.run(move |inner| {
            let given = inner.given(&drawer, &digest)?;
            let path = inner.blob(&digest);
            let mut file = File::open(&path).ok()?;
            let mut sum = Sum::like(&digest);
            let length = std::io::copy(&mut file, &mut sum).ok()?;
            if sum.digest() != digest {
                inner.throw_away(&path);
                return None;
            }
            std::io::Seek::rewind(&mut file).ok()?;
            inner.use_of(&path, usize::try_from(length).unwrap_or(usize::MAX));
            Some(Since { value: file, since: given.since })
        })
        .await
    }

    /// Keeps content that has this digest.
    pub(super) async fn keep_content(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        media_type: Option<&str>,
        bytes: &Bytes,
    ) {
        if bytes.len() as u64 > self.0.settings.most / SHARE {
            return;
        }
        let (drawer, digest, bytes) = (self.drawer(asking), digest.clone(), bytes.clone());
        let media_type = media_type.map(str::to_owned);
        self.run(move |inner| {
            let path = inner.blob(&digest);
            let written = if path.is_file() { Ok(()) } else { write_whole(&path, &bytes) };
            inner.noted(written.and_then(|()| drawer.give(&digest, media_type.as_deref())))
        })
        .await;
    }

    /// What a tag names, for the layout's index.
    pub(super) fn name(&self, image: String, digest: &Digest, media_type: &str, bytes: usize) {
        let named = Named { digest: digest.to_string(), media_type: media_type.to_owned(), bytes };
        self.0.named.lock().unwrap_or_else(PoisonError::into_inner).insert(image, named);
    }

    /// Begins to keep content that comes as a stream.
    pub(super) fn fill(&self) -> Option<Filling> {
        let aside = self.folder().join("blobs").join(format!("{:016x}.tmp", fastrand::u64(..)));
        let file = self.0.noted(File::create(&aside))?;
        Some(Filling { file, aside, bytes: 0, is_whole: true })
    }

    /// Keeps what came, which has this digest.
    pub(super) async fn complete(&self, asking: &Asking<'_>, digest: &Digest, filling: Filling) {
        let is_wanted = filling.is_whole && filling.bytes <= self.0.settings.most / SHARE;
        if !is_wanted {
            return;
        }
        let (drawer, digest) = (self.drawer(asking), digest.clone());
        self.run(move |inner| {
            let path = inner.blob(&digest);
            let moved = path
                .parent()
                .map_or(Ok(()), fs::create_dir_all)
                .and_then(|()| fs::rename(&filling.aside, &path));
            inner.noted(moved.and_then(|()| drawer.give(&digest, None)))
        })
        .await;
    }

    /// A list that is kept; its age is for the one who asks to judge.
    pub(super) async fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        asking: &Asking<'_>,
        name: String,
    ) -> Option<T> {
        let path = self.drawer(asking).path.join(name);
        self.run(move |inner| inner.read_list(&path)).await
    }

    /// Keeps a list.
    pub(super) async fn keep_list<T: Serialize>(&self, asking: &Asking<'_>, name: String, list: &T) {
        let drawer = self.drawer(asking);
        let text = serde_json::to_vec(list).expect("a list is JSON");
        self.run(move |inner| {
            let written = drawer.begin();
            inner.noted(written.and_then(|()| write_whole(&drawer.path.join(name), &with_sum(&text))))
        })
        .await;
    }

    /// Requests that a list of tags takes: none while it is fresh, else as many as it last had pages.
    pub(super) fn tag_requests(&self, asking: &Asking<'_>) -> u64 {
        let kept: Option<KeptTags> = self.0.read_list(&self.drawer(asking).path.join(TAGS));
        kept.map_or(1, |kept| if self.is_fresh(kept.at) { 0 } else { kept.pages.len().max(1) as u64 })
    }

    /// Requests that asking what refers to a digest takes: none while that is fresh.
    pub(super) fn referrer_requests(&self, asking: &Asking<'_>, digest: &Digest) -> u64 {
        let path = self.drawer(asking).path.join(referrers_of(digest));
        let kept: Option<KeptReferrers> = self.0.read_list(&path);
        u64::from(!kept.is_some_and(|kept| self.is_fresh(kept.at)))
    }

    /// Whether a list of this time may be used as it is.
    pub(super) fn is_fresh(&self, at: Timestamp) -> bool {
        let age = Timestamp::now().duration_since(at);
        match Duration::try_from(age) {
            Ok(age) => age < self.0.settings.max_age,
            // From the future: clocks differ a little, or one was set back.
            Err(_) => age.unsigned_abs() < CLOCKS_DIFFER && !self.0.settings.max_age.is_zero(),
        }
    }

    /// Counts a list that was used, or was not there to be used.
    pub(super) fn count_list(&self, was_used: bool) {
        let count = if was_used { &self.0.counts.hits } else { &self.0.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// When a subject was last examined to the end, and how many questions it takes whose answers can change; none where
    /// it never was.
    pub fn examined(&self, subject: &str) -> Option<(SystemTime, u64)> {
        let path = self.0.subject(subject);
        let at = fs::metadata(&path).ok()?.modified().ok()?;
        Some((at, fs::read_to_string(&path).ok()?.trim().parse().ok()?))
    }

    /// A subject was examined to the end, with so many questions whose answers can change.
    pub fn note_examined(&self, subject: &str, questions: usize) {
        let path = self.0.subject(subject);
        self.0.noted(write_whole(&path, questions.to_string().as_bytes()));
    }

    /// Ends a run: writes the layout's index, and throws away what was not used for longest where there is too much.
    pub async fn close(&self) {
        let named = std::mem::take(&mut *self.0.named.lock().unwrap_or_else(PoisonError::into_inner));
        self.run(move |inner| {
            let CacheSettings { folder, most, .. } = &inner.settings;
            inner.noted(layout::close(folder, named, *most))
        })
        .await;
    }

    fn drawer(&self, asking: &Asking<'_>) -> Drawer {
        let (registry, repository, scope) = (asking.registry, asking.repository, asking.scope);
        let about = serde_json::json!({
            "registry": registry.to_string(),
            "repository": repository.to_string(),
            "scope": scope.to_string(),
        });
        Drawer { path: sorted_in(&self.folder().join(layout::ANSWERS), &about.to_string()), about }
    }

    /// Does what blocks aside.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let inner = Arc::clone(&self.0);
        match tokio::task::spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => None,
            },
        }
    }
}

impl Filling {
    /// The next bytes. What cannot be written makes the content unkept, and nothing else.
    pub(super) fn write(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        // Straight into the page cache: the threads for what blocks may all be reading what comes.
        self.is_whole &= self.file.write_all(chunk).is_ok();
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        // Gone already where it was moved to its place.
        fs::remove_file(&self.aside).ok();
    }
}

/// What is kept of one repository for one scope.
#[derive(Debug, Clone)]
struct Drawer {
    path: PathBuf,
    /// Whose it is, for people who look.
    about: serde_json::Value,
}

impl Drawer {
    fn begin(&self) -> std::io::Result<()> {
        let about = self.path.join("about.json");
        if about.is_file() { Ok(()) } else { write_whole(&about, self.about.to_string().as_bytes()) }
    }

    /// Notes that this content was given.
    fn give(&self, digest: &Digest, media_type: Option<&str>) -> std::io::Result<()> {
        let path = self.given(digest);
        if path.is_file() && media_type.is_none() {
            return Ok(());
        }
        self.begin()?;
        write_whole(&path, media_type.unwrap_or_default().as_bytes())
    }

    fn given(&self, digest: &Digest) -> PathBuf {
        self.path.join("content").join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }
}

impl Inner {
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.settings.folder.join("blobs").join(digest.algorithm()).join(digest.hex())
    }

    fn subject(&self, subject: &str) -> PathBuf {
        sorted_in(&self.settings.folder.join(layout::SUBJECTS), subject)
    }

    /// Whether this content was given to this scope, since when, and as which media type.
    fn given(&self, drawer: &Drawer, digest: &Digest) -> Option<Since<Option<String>>> {
        let path = drawer.given(digest);
        let read = || {
            let since = Timestamp::try_from(fs::metadata(&path).ok()?.modified().ok()?).ok()?;
            let media_type = fs::read_to_string(&path).ok().filter(|text| !text.is_empty());
            Some(Since { value: media_type, since })
        };
        let given = read();
        if given.is_none() {
            self.counts.misses.fetch_add(1, Ordering::Relaxed);
        }
        given
    }

    fn read_list<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let bytes = fs::read(path).ok()?;
        let list = checked(&bytes).and_then(|text| serde_json::from_slice(text).ok());
        if list.is_none() {
            self.throw_away(path);
        }
        list
    }

    /// Counts a use, and notes that the file was used.
    fn use_of(&self, path: &Path, bytes: usize) {
        self.counts.hits.fetch_add(1, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // Only the order of eviction suffers where that fails.
        File::open(path).and_then(|file| file.set_modified(SystemTime::now())).ok();
    }

    fn throw_away(&self, path: &Path) {
        self.counts.damaged.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(path = %path.display(), "what the cache kept is damaged; it is asked for again");
        fs::remove_file(path).ok();
    }

    /// Counts what could not be written, and says so once.
    fn noted<T>(&self, written: std::io::Result<T>) -> Option<T> {
        written
            .inspect_err(|error| {
                self.counts.unwritten.fetch_add(1, Ordering::Relaxed);
                if !self.has_complained.swap(true, Ordering::Relaxed) {
                    let folder = self.settings.folder.display();
                    tracing::warn!(%error, "the cache {folder} cannot be written; the next run asks again");
                }
            })
            .ok()
    }
}

/// Where something of this name is, in a folder that does not grow too wide.
fn sorted_in(folder: &Path, name: &str) -> PathBuf {
    let hash = hex::encode(Sha256::digest(name));
    folder.join(&hash[..2]).join(&hash[2..])
}

/// Writes a file whole or not at all, whoever else writes it. It is not flushed to the disk: who reads it checks it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let aside = path.with_extension(format!("{:016x}.tmp", fastrand::u64(..)));
    let written = File::create(&aside)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        fs::remove_file(&aside).ok();
    }
    written
}

/// A text with its checksum before it.
fn with_sum(text: &[u8]) -> Vec<u8> {
    let mut all = hex::encode(Sha256::digest(text)).into_bytes();
    all.push(b'\n');
    all.extend_from_slice(text);
    all
}

/// The text after its checksum; none where they do not match.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (sum, text) = bytes.split_at_checked(64)?;
    let text = text.strip_prefix(b"\n")?;
    (sum == hex::encode(Sha256::digest(text)).as_bytes()).then_some(text)
}

/// Reads these bytes as a file of the cache, for fuzzing.
pub(super) fn read_anything(bytes: &[u8]) {
    for text in [checked(bytes), Some(bytes)].into_iter().flatten() {
        drop(serde_json::from_slice::<KeptTags>(text));
        drop(serde_json::from_slice::<KeptReferrers>(text));
        drop(serde_json::from_slice::<KeptTag>(text));
    }
}
