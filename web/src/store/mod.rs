//! The store: a folder of report files, ours or the older collector's, and an index of them.
//!
//! The index is in memory and, so that a restart parses nothing again, in a file of the folder. A file counts as known by
//! its name, size and time; whatever appears, changes or goes away, by whosever hand, is seen at the next look. A file
//! that is no report is named, and stands in nobody's way.

mod intake;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use provenance_model::report::{Metadata, Summary};
use provenance_sinks::file::{LATEST, report_time};
use provenance_sinks::{FileError, FileSink};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::loaded::Loaded;

/// What stands for the name of a cluster that has none.
pub const UNNAMED: &str = "(unnamed)";
/// The index's own file.
const INDEX: &str = ".provenance-index.json";
/// Rows of the reports that are kept in memory, beside those of the largest.
const KEPT_ROWS: usize = 4_000;
/// Reports that are kept in memory.
const KEPT: usize = 40;
/// How old a look at the folder may be when somebody asks.
const FRESH: Duration = Duration::from_secs(1);

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    size: u64,
    /// Nanoseconds since 1970 at which it was changed.
    changed: u64,
    /// The digest of its bytes, in hexadecimal.
    digest: String,
    /// What it says, or why it is no report.
    says: Result<Header, String>,
}

/// What is kept of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    metadata: Metadata,
    summary: Summary,
}

/// A report as the listing has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The file's name.
    pub filename: String,
    /// When the report was made, in whole seconds.
    pub generated_at: String,
    /// Its counts.
    #[schema(schema_with = crate::schemas::counts)]
    pub summary: Summary,
    /// The cluster's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
}

/// All reports at one look.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The reports, newest first.
    pub reports: Vec<Listed>,
    /// The same as JSON.
    pub json: Bytes,
    /// The same, packed, once somebody wanted it so.
    packed: OnceLock<Bytes>,
    /// Changes whenever the JSON does.
    pub etag: String,
    /// Files that are no reports, with the reason.
    pub broken: Vec<(String, String)>,
}

impl Listing {
    /// The JSON, packed with gzip. It is large, and many want it.
    pub fn packed(&self) -> Bytes {
        let pack = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            let packed = encoder.write_all(&self.json).and_then(|()| encoder.finish());
            Bytes::from(packed.expect("a vector takes everything"))
        };
        self.packed.get_or_init(pack).clone()
    }

    /// The report at this place and those of the same cluster before it, newest first.
    pub fn of_cluster(&self, at: usize) -> impl Iterator<Item = &Listed> {
        let from = self.reports.get(at..).unwrap_or_default();
        from.iter().filter(move |report| report.cluster_name == from[0].cluster_name)
    }

    /// The newest report of each cluster, by the clusters' names.
    pub fn newest(&self) -> Vec<&Listed> {
        let mut newest: BTreeMap<&str, &Listed> = BTreeMap::new();
        for report in &self.reports {
            newest.entry(report.cluster()).or_insert(report);
        }
        newest.into_values().collect()
    }

    /// The report of the same cluster before the one at this place.
    pub fn before(&self, at: usize) -> Option<&Listed> {
        self.of_cluster(at).nth(1)
    }
}

impl Listed {
    /// The cluster's name, or what stands for none.
    pub fn cluster(&self) -> &str {
        self.cluster_name.as_deref().unwrap_or(UNNAMED)
    }

    /// When the report was made, as people read it.
    pub fn time(&self) -> String {
        self.generated_at.replace('T', " ").replace('Z', " UTC")
    }
}

/// A file of the store, found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Changes whenever its content does.
    pub etag: String,
}

/// Why a report was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is no report.
    #[error("{0}")]
    NoReport(String),
    /// It could not be kept.
    #[error(transparent)]
    Kept(#[from] FileError),
    /// The parts of it could not be joined.
    #[error("the parts of the report could not be joined: {0}")]
    Joined(#[from] io::Error),
}

/// A report that is loaded, or being loaded by whoever holds the lock.
type Slot = Arc<Mutex<Option<Arc<Loaded>>>>;

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<String, Known>,
    listing: Arc<Listing>,
    looked: Option<Instant>,
}

/// A folder of reports.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    sink: FileSink,
    state: RwLock<State>,
    /// One look, and one report, at a time.
    busy: Mutex<()>,
    /// The reports asked for last, those asked for longest ago first.
    kept: Mutex<Vec<(Found, Slot)>>,
}

impl Store {
    /// The store of this folder; reports are kept for so long, or for ever.
    pub fn open(folder: impl Into<PathBuf>, retention: Option<Duration>) -> Self {
        let folder = folder.into();
        let known = fs::read(folder.join(INDEX)).ok();
        let known = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let state = State { known, ..State::default() };
        let sink = FileSink::new(&folder, retention);
        Self { folder, sink, state: RwLock::new(state), busy: Mutex::default(), kept: Mutex::default() }
    }

    /// Every report, as of a moment ago. Blocks.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be read.
    pub fn listing(&self) -> io::Result<Arc<Listing>> {
        let fresh = || {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.looked.filter(|looked| looked.elapsed() < FRESH).map(|_| Arc::clone(&state.listing))
        };
        if let Some(listing) = fresh() {
            return Ok(listing);
        }
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever waited finds what the other has seen.
        match fresh() {
            Some(listing) => Ok(listing),
            None => self.look(),
        }
    }

    /// Looks at the folder; parses only what is new.
    fn look(&self) -> io::Result<Arc<Listing>> {
        let before = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.known.clone()
        };
        let mut known = BTreeMap::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            // It is made with the first report.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.keep(known, false)),
            Err(error) => return Err(error),
        };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            if report_time(&name).is_none() || !metadata.is_file() {
                continue;
            }
            let (size, changed) = (metadata.len(), changed(&metadata));
            let same = before.get(&name).filter(|known| known.size == size && known.changed == changed);
            let entry = match same {
                Some(same) => same.clone(),
                None => read(&entry.path(), size, changed),
            };
            known.insert(name, entry);
        }
        let is_new = known != before;
        Ok(self.keep(known, is_new))
    }

    /// Keeps what was seen, on disk too where it is new. What cannot be kept there is only read again.
    fn keep(&self, known: BTreeMap<String, Known>, is_new: bool) -> Arc<Listing> {
        if is_new {
            let written = serde_json::to_vec(&known).map_err(io::Error::from).and_then(|bytes| {
                let mut aside = tempfile::NamedTempFile::new_in(&self.folder)?;
                aside.write_all(&bytes)?;
                aside.persist(self.folder.join(INDEX)).map(drop).map_err(|error| error.error)
            });
            if let Err(error) = written {
                tracing::debug!(%error, "the index of reports could not be kept on disk");
            }
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if is_new || state.looked.is_none() {
            state.listing = Arc::new(listing(&known));
        }
        state.known = known;
        state.looked = Some(Instant::now());
        Arc::clone(&state.listing)
    }

    /// The file of this name, or the newest report's copy for `latest`; none where there is none. Blocks.
    pub fn find(&self, name: &str) -> Option<Found> {
        let name = if name == "latest" { LATEST } else { name };
        if name != LATEST && report_time(name).is_none() {
            return None;
        }
        let path = self.folder.join(name);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let etag = format!("\"{:x}-{:x}\"", metadata.len(), changed(&metadata));
        Some(Found { path, etag })
    }

    /// A report, loaded; those asked for last are kept, and one that several ask for at once is loaded once. Blocks.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is no report.
    pub fn load(&self, found: &Found) -> io::Result<Arc<Loaded>> {
        let slot = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kept.iter().position(|(known, _)| known == found).map(|at| kept.remove(at).1);
            let slot = known.unwrap_or_default();
            kept.push((found.clone(), Arc::clone(&slot)));
            slot
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = &*slot {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Loaded::open(&found.path).map(Arc::new);
        *slot = loaded.as_ref().ok().cloned();
        drop(slot);
        self.forget(loaded.is_err().then_some(found));
        loaded
    }

    /// Forgets a report that could not be loaded, and those that were asked for longest ago, until the rest has room.
    fn forget(&self, failed: Option<&Found>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| Some(known) != failed);
        // One that is being loaded is counted when it is.
        let rows = |slot: &Slot| {
            let loaded = slot.try_lock().ok();
            loaded.and_then(|loaded| Some(loaded.as_ref()?.images.len())).unwrap_or_default()
        };
        loop {
            let counts: Vec<_> = kept.iter().map(|(_, slot)| rows(slot)).collect();
            let beside = counts.iter().sum::<usize>() - counts.iter().max().copied().unwrap_or_default();
            if beside <= KEPT_ROWS && kept.len() <= KEPT {
                break;
            }
            kept.remove(0);
        }
    }

    /// Whether reports can be kept: the folder can be made and written to. Blocks.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self) -> Result<(), FileError> {
        self.sink.check()
    }
}

fn changed(metadata: &fs::Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// Reads one file: what it says, and the digest of its bytes. Rows are passed over.
fn read(path: &Path, size: u64, changed: u64) -> Known {
    #[derive(Deserialize)]
    struct Slim {
        metadata: Metadata,
        summary: Summary,
        #[serde(rename = "images")]
        _images: IgnoredAny,
    }
    struct Summed<R> {
        inner: R,
        sum: Sha256,
    }
    impl<R: Read> Read for Summed<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.inner.read(into)?;
            self.sum.update(&into[..read]);
            Ok(read)
        }
    }
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return Known { size, changed, digest: String::new(), says: Err(error.to_string()) },
    };
    let mut reader = BufReader::with_capacity(64 << 10, Summed { inner: file, sum: Sha256::new() });
    let slim: Result<Slim, _> = serde_json::from_reader(&mut reader);
    // What stands behind the report belongs to its bytes.
    let rest = io::copy(&mut reader, &mut io::sink());
    let digest = hex::encode(reader.into_inner().sum.finalize());
    let says = match (slim, rest) {
        (Ok(Slim { metadata, summary, .. }), Ok(_)) => Ok(Header { metadata, summary }),
        (Err(error), _) => {
            Err(format!("line {}, column {}: {}", error.line(), error.column(), intake::kind(&error)))
        }
        (_, Err(error)) => Err(error.to_string()),
    };
    Known { size, changed, digest, says }
}

fn listing(known: &BTreeMap<String, Known>) -> Listing {
    let mut reports: Vec<(Timestamp, Listed)> = Vec::new();
    let mut broken = Vec::new();
    for (name, known) in known {
        match &known.says {
            Ok(Header { metadata, summary }) => {
                let listed = Listed {
                    filename: name.clone(),
                    generated_at: metadata.generated_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                    summary: summary.clone(),
                    cluster_name: metadata.cluster_name.clone(),
                };
                reports.push((metadata.generated_at, listed));
            }
            Err(why) => broken.push((name.clone(), why.clone())),
        }
    }
    reports.sort_by(|(a, of_a), (b, of_b)| b.cmp(a).then_with(|| of_b.filename.cmp(&of_a.filename)));
    let reports: Vec<Listed> = reports.into_iter().map(|(_, listed)| listed).collect();
    let json = serde_json::to_vec(&reports).unwrap_or_default();
    let etag = format!("\"{}\"", &hex::encode(Sha256::digest(&json))[..32]);
    Listing { reports, json: json.into(), packed: OnceLock::new(), etag, broken }
}
