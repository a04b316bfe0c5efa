//! The parts of a run that several processes share: kept beside the reports until all are there, then joined into one. What
//! does not come in time is told to be missing.
//!
//! ```text
//! parts/RUN/0.json      a part, as it was uploaded
//! parts/RUN/lock        somebody joins them now
//! parts/RUN/joined      how many parts the report that was made of them has
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use provenance_model::report::join::{PartReport, join};
use provenance_model::report::rules::judged;
use provenance_model::report::{Part, Report, Rule};
use provenance_sinks::{FileError, FileSink};
use serde::Deserialize;

use crate::loaded::parted;

const LOCK: &str = "lock";
const JOINED: &str = "joined";
/// A lock this old is of a process that died.
const LOCK_LIFE: Duration = Duration::from_mins(10);
/// How long what came of a run is remembered: a part that is sent twice must not begin another report.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Parts of one run at the most.
const MOST: u32 = 1000;

/// Why a part is not taken.
pub(crate) fn refused(part: &Part) -> Option<String> {
    let is_name = part.run.len() <= 128
        && part.run.starts_with(|c: char| c.is_ascii_alphanumeric())
        && part.run.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if !is_name {
        return Some("run.part.run is no name: letters, digits, '-', '_' and '.', at most 128".into());
    }
    let fits = (1..=MOST).contains(&part.count) && part.index < part.count;
    (!fits).then(|| format!("run.part: {} is no part of {} (at most {MOST})", part.index, part.count))
}

/// The parts of one run.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    folder: PathBuf,
}

/// Parts that were joined.
pub(crate) struct Joined {
    /// The report without its rows.
    pub(crate) report: Report,
    /// Each row's key, in order, with the file it is in and its place there.
    rows: Vec<(Key, usize, (u64, usize))>,
    files: Vec<fs::File>,
    /// How many parts it is made of, and of how many it would be whole.
    parts: (usize, u32),
}

/// What rows are sorted by.
type Key = (String, String, String, String);

impl Parts {
    /// Those of this run, in a folder of reports.
    pub(crate) fn of(reports: &Path, run: &str) -> Self {
        Self { folder: reports.join("parts").join(run) }
    }

    /// Those of all runs.
    pub(crate) fn all(reports: &Path) -> Vec<Self> {
        let entries = fs::read_dir(reports.join("parts")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().is_dir()).map(|entry| Self { folder: entry.path() }).collect()
    }

    /// Keeps a part: when this returns it is on disk and synced.
    pub(crate) fn keep(&self, part: &Part, bytes: &[u8]) -> Result<(), FileError> {
        FileSink::new(&self.folder, None).write_named(&format!("{}.json", part.index), bytes)
    }

    /// Whether a report was made of all of them already.
    pub(crate) fn are_done(&self) -> bool {
        self.joined().is_some() && self.files().is_empty()
    }

    /// How many parts the report has that was made last.
    fn joined(&self) -> Option<usize> {
        fs::read_to_string(self.folder.join(JOINED)).ok()?.trim().parse().ok()
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let is_part = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(is_part).collect();
        files.sort();
        files
    }

    /// How long ago the last part came.
    fn age(&self) -> Duration {
        let times = self.files().into_iter().chain([self.folder.join(JOINED)]);
        let newest = times.filter_map(|path| fs::metadata(path).ok()?.modified().ok()).max();
        let newest = newest.or_else(|| fs::metadata(&self.folder).ok()?.modified().ok());
        newest.and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default()
    }

    /// Whether a report is to be made of what is there: all parts are, or no more has come for so long.
    pub(crate) fn are_due(&self, wait: Duration) -> bool {
        let files = self.files();
        let Some(first) = files.first() else { return false };
        if self.joined() == Some(files.len()) {
            return false;
        }
        let count = part_of(first).map_or(u32::MAX, |part| part.count);
        files.len() >= count as usize || self.age() >= wait
    }

    /// Forgets a run whose last part came long ago.
    pub(crate) fn forget_old(&self) {
        if self.age() > REMEMBERED
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(folder = %self.folder.display(), %error, "old parts of a report could not be removed");
        }
    }

    /// Joins them and gives the report to `take`, unless another process does so now. Parts that were all there are removed.
    pub(crate) fn join<E: From<io::Error>>(
        &self,
        take: impl FnOnce(&Joined) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(_lock) = Lock::take(self.folder.join(LOCK))? else { return Ok(()) };
        let files = self.files();
        let Some(joined) = read(&files)? else { return Ok(()) };
        take(&joined)?;
        let (parts, count) = joined.parts;
        fs::write(self.folder.join(JOINED), parts.to_string())?;
        if parts >= count as usize {
            for file in files {
                fs::remove_file(file)?;
            }
        }
        Ok(())
    }
}

/// A file that one process at a time has.
struct Lock(PathBuf);

impl Lock {
    fn take(path: PathBuf) -> io::Result<Option<Self>> {
        let age = fs::metadata(&path).and_then(|metadata| metadata.modified());
        if age.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LOCK_LIFE)) {
            fs::remove_file(&path)?;
        }
        match fs::File::create_new(&path) {
            Ok(_) => Ok(Some(Self(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a lock could not be removed");
        }
    }
}

/// Which part a file is.
fn part_of(path: &Path) -> Option<Part> {
    #[derive(Deserialize)]
    struct Slim {
        run: Option<SlimRun>,
    }
    #[derive(Deserialize)]
    struct SlimRun {
        part: Option<Part>,
    }
    let file = io::BufReader::new(fs::File::open(path).ok()?);
    serde_json::from_reader::<_, Slim>(file).ok()?.run?.part
}

/// Reads parts, and joins all but their rows.
fn read(files: &[PathBuf]) -> io::Result<Option<Joined>> {
    #[derive(Deserialize)]
    struct Slim {
        namespace: String,
        workload: provenance_model::report::WorkloadRecord,
        image: String,
        findings: Option<Vec<Rule>>,
    }
    let (mut parts, mut rows, mut opened, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (at, path) in files.iter().enumerate() {
        let file = fs::File::open(path)?;
        let mut broken = Vec::new();
        let rest = parted(&file, |place, bytes| {
            let Slim { namespace, workload, image, findings } = serde_json::from_slice(bytes)?;
            broken.push(findings);
            rows.push(((namespace, workload.kind, workload.name, image), at, place));
            Ok(())
        })?;
        let report: Report = serde_json::from_slice(&rest)?;
        let part = report.run.as_ref().and_then(|run| run.part.clone());
        let part = part.ok_or_else(|| io::Error::other(format!("{} is no part", path.display())))?;
        let fail_on = report.run.as_ref().map(|run| run.fail_on.clone()).unwrap_or_default();
        let fails =
            |found: &&Option<Vec<Rule>>| judged(found.as_deref(), &fail_on).iter().any(|one| one.fails);
        let failing_rows = broken.iter().filter(fails).count();
        count = count.max(part.count);
        parts.push(PartReport { index: part.index, report, failing_rows });
        opened.push(file);
    }
    // Rows with one key are in one part, and stay in its order.
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let all = (parts.len(), count);
    Ok(join(parts, count).map(|report| Joined { report, rows, files: opened, parts: all }))
}

impl Joined {
    /// When the report was made.
    pub(crate) fn made(&self) -> Timestamp {
        self.report.metadata.generated_at
    }

    /// Writes the report, its rows from where they are.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Report { metadata, images: _, helm_releases, summary, run, truncated: _ } = &self.report;
        out.write_all(b"{\"metadata\":")?;
        serde_json::to_writer(&mut *out, metadata)?;
        out.write_all(b",\"images\":[")?;
        let mut bytes = Vec::new();
        for (at, (_, file, (begin, length))) in self.rows.iter().enumerate() {
            if at > 0 {
                out.write_all(b",\n")?;
            }
            bytes.resize(*length, 0);
            self.files[*file].read_exact_at(&mut bytes, *begin)?;
            out.write_all(&bytes)?;
        }
        out.write_all(b"],\"helmReleases\":")?;
        serde_json::to_writer(&mut *out, helm_releases)?;
        out.write_all(b",\"summary\":")?;
        serde_json::to_writer(&mut *out, summary)?;
        out.write_all(b",\"run\":")?;
        serde_json::to_writer(&mut *out, run)?;
        out.write_all(b"}\n")
    }
}
