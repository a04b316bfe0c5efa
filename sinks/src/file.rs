//! The file sink: `provenance-YYYYMMDD-HHMMSS.json` and `provenance-latest.json` in one folder.
//!
//! Each is written to a temporary file, synced, and renamed into place, and the folder is synced: a reader
//! never sees half a file, and a crash leaves the old one or the new one. Old reports are removed when they
//! are past their retention, the newest never.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use provenance_model::report::Draft;

const PREFIX: &str = "provenance-";
const SUFFIX: &str = ".json";
/// The copy of the newest report.
pub const LATEST: &str = "provenance-latest.json";
const TIME: &str = "%Y%m%d-%H%M%S";
/// The prefix of files that are being written.
const UNFINISHED: &str = ".provenance-unfinished-";
/// After this long, an unfinished file is the remains of a crash.
const UNFINISHED_LIFE: Duration = Duration::from_hours(1);
/// Names tried for one report: a second apart each.
const NAMES: i64 = 120;

/// The folder reports are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSink {
    folder: PathBuf,
    /// How long reports are kept; none for ever.
    retention: Option<Duration>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The report's own file.
    pub path: PathBuf,
    /// Reports removed because they were past their retention.
    pub removed: usize,
}

/// Why a report is not in its folder. The message names the path and the fix.
#[derive(Debug, thiserror::Error)]
#[error("the report is not written: {doing} {path}: {source}{fix}", path = path.display(), fix = fix(source))]
pub struct FileError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> FileError {
    FileError { doing, path: path.to_owned(), source }
}

fn fix(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; free space there, or keep reports for a shorter time (--report-retention)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; mount a writable volume there, or write elsewhere (--report-path)"
        }
        io::ErrorKind::PermissionDenied => {
            "; give the account the right to write there (in a pod: fsGroup), or write elsewhere (--report-path)"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; name a folder (--report-path)",
        _ => "",
    }
}

impl FileSink {
    /// A sink that writes to this folder and keeps reports for so long; none for ever.
    pub fn new(folder: impl Into<PathBuf>, retention: Option<Duration>) -> Self {
        Self { folder: folder.into(), retention }
    }

    /// Makes sure that a report can be written, before hours are spent on making one.
    ///
    /// # Errors
    ///
    /// [`FileError`] where the folder cannot be made or written to.
    pub fn check(&self) -> Result<(), FileError> {
        fs::create_dir_all(&self.folder)
            .map_err(|source| failed("making the folder", &self.folder, source))?;
        self.unfinished().map(drop)
    }

    /// Writes a report. Blocks: call it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`FileError`] where the report is not whole in its folder.
    pub fn write(&self, report: &Draft) -> Result<Written, FileError> {
        let write =
            |out: &mut dyn io::Write| serde_json::to_writer_pretty(out, report).map_err(io::Error::from);
        self.write_with(&write, report.head().metadata.generated_at, true)
    }

    /// Writes a report that `write` writes, made at this time; `is_newest` where it is the latest from now on. Blocks.
    ///
    /// # Errors
    ///
    /// [`FileError`] where the report is not whole in its folder.
    pub fn write_with(
        &self,
        write: &dyn Fn(&mut dyn io::Write) -> io::Result<()>,
        now: Timestamp,
        is_newest: bool,
    ) -> Result<Written, FileError> {
        fs::create_dir_all(&self.folder)
            .map_err(|source| failed("making the folder", &self.folder, source))?;
        let path = match self.write_own(write, now) {
            Err(error) if error.source.kind() == io::ErrorKind::StorageFull && self.prune(now) > 0 => {
                self.write_own(write, now)?
            }
            written => written?,
        };
        if is_newest {
            self.write_latest(&path)?;
        }
        let removed = self.prune(now);
        Ok(Written { path, removed })
    }

    fn write_own(
        &self,
        write: &dyn Fn(&mut dyn io::Write) -> io::Result<()>,
        now: Timestamp,
    ) -> Result<PathBuf, FileError> {
        let mut unfinished = self.unfinished()?;
        let doing = "writing";
        {
            let mut out = BufWriter::new(unfinished.as_file_mut());
            write(&mut out).map_err(|source| failed(doing, &self.folder, source))?;
            out.flush().map_err(|source| failed(doing, &self.folder, source))?;
        }
        self.sync(unfinished.as_file())?;
        // Two reports of one second: the later takes the next free name, so that none is lost.
        for second in 0..NAMES {
            let time = now.saturating_add(jiff::SignedDuration::from_secs(second)).unwrap_or(now);
            let path =
                self.folder.join(format!("{PREFIX}{}{SUFFIX}", time.to_zoned(TimeZone::UTC).strftime(TIME)));
            match unfinished.persist_noclobber(&path) {
                Ok(_) => {
                    self.sync_folder()?;
                    return Ok(path);
                }
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => unfinished = taken.file,
                Err(refused) => return Err(failed("naming", &path, refused.error)),
            }
        }
        let taken = io::Error::new(io::ErrorKind::ResourceBusy, format!("{NAMES} names in a row are taken"));
        Err(failed("naming", &self.folder, taken))
    }

    /// Writes a file that is no report under its name, whole or not at all. Blocks.
    ///
    /// # Errors
    ///
    /// [`FileError`] where it is not whole in its folder.
    pub fn write_named(&self, name: &str, bytes: &[u8]) -> Result<(), FileError> {
        fs::create_dir_all(&self.folder)
            .map_err(|source| failed("making the folder", &self.folder, source))?;
        let path = self.folder.join(name);
        let mut unfinished = self.unfinished()?;
        unfinished.write_all(bytes).map_err(|source| failed("writing", &path, source))?;
        self.sync(unfinished.as_file())?;
        unfinished.persist(&path).map_err(|refused| failed("naming", &path, refused.error))?;
        self.sync_folder()
    }

    fn write_latest(&self, own: &Path) -> Result<(), FileError> {
        let latest = self.folder.join(LATEST);
        let mut unfinished = self.unfinished()?;
        let mut from = File::open(own).map_err(|source| failed("reading", own, source))?;
        io::copy(&mut from, unfinished.as_file_mut()).map_err(|source| failed("writing", &latest, source))?;
        self.sync(unfinished.as_file())?;
        unfinished.persist(&latest).map_err(|refused| failed("naming", &latest, refused.error))?;
        self.sync_folder()
    }

    fn unfinished(&self) -> Result<tempfile::NamedTempFile, FileError> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .permissions(readable_by_all())
            .tempfile_in(&self.folder)
            .map_err(|source| failed("writing to", &self.folder, source))
    }

    fn sync(&self, file: &File) -> Result<(), FileError> {
        file.sync_all().map_err(|source| failed("syncing", &self.folder, source))
    }

    fn sync_folder(&self) -> Result<(), FileError> {
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| failed("syncing", &self.folder, source))
    }

    /// Removes what is past its time. What cannot be removed is told and stays: the report is written.
    fn prune(&self, now: Timestamp) -> usize {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let mut reports = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(time) = report_time(&name) {
                reports.push((time, entry.path()));
            } else if name.starts_with(UNFINISHED) && is_old(&entry) {
                remove(&entry.path());
            }
        }
        let Some(retention) = self.retention else { return 0 };
        // A report of a clock that runs ahead must not make all others old.
        let now = now.min(Timestamp::now());
        reports.sort();
        reports.pop();
        let oldest = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
        reports.into_iter().filter(|(time, path)| *time < oldest && remove(path)).count()
    }
}

/// The time in a report's file name; none for other files, the latest's copy among them.
pub fn report_time(name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let time = jiff::civil::DateTime::strptime(TIME, time).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNFINISHED_LIFE))
}

fn remove(path: &Path) -> bool {
    match fs::remove_file(path) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "an old report could not be removed");
            false
        }
    }
}

/// A dashboard may read the folder under another account.
fn readable_by_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    use provenance_model::RowBook;
    use provenance_model::report::{Closing, Discovery, Report};

    use super::*;

    fn report(time: &str) -> Draft {
        let time: Timestamp = time.parse().unwrap();
        let closing = Closing {
            cache: None,
            stages: Vec::new(),
            peak_memory_bytes: None,
            started_at: time,
            ended_at: time,
            took: std::time::Duration::ZERO,
            version: "test".into(),
            cluster_name: None,
            discovery: Discovery::default(),
            cut_short: None,
            registries: vec![],
            turned_off: vec![],
            fail_on: vec![],
            part: None,
        };
        Draft::new(RowBook::default(), Box::default(), &[], closing)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_report_is_written_under_its_time_and_as_the_latest() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink::new(folder.path().join("deep/reports"), None);
        let written = sink.write(&report("2026-01-15T06:00:07Z")).unwrap();
        let names = names(&folder.path().join("deep/reports"));
        assert_eq!(names, ["provenance-20260115-060007.json", "provenance-latest.json"]);
        let own = fs::read(&written.path).unwrap();
        assert_eq!(own, fs::read(folder.path().join("deep/reports/provenance-latest.json")).unwrap());
        let read: Report = serde_json::from_slice(&own).unwrap();
        assert_eq!(read, report("2026-01-15T06:00:07Z").whole());
    }

    #[test]
    fn two_reports_of_one_second_are_both_kept() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink::new(folder.path(), None);
        sink.write(&report("2026-01-15T23:59:59Z")).unwrap();
        sink.write(&report("2026-01-15T23:59:59Z")).unwrap();
        assert_eq!(
            names(folder.path()),
            ["provenance-20260115-235959.json", "provenance-20260116-000000.json", "provenance-latest.json"]
        );
    }

    #[test]
    fn only_reports_past_their_retention_are_removed_and_never_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let keep = FileSink::new(folder.path(), None);
        for time in ["2026-01-01T00:00:00Z", "2026-01-07T00:00:00Z", "2026-01-08T00:00:01Z"] {
            keep.write(&report(time)).unwrap();
        }
        fs::write(folder.path().join("notes.json"), "mine").unwrap();
        fs::write(folder.path().join("provenance-notes.json"), "mine").unwrap();
        let sink = FileSink::new(folder.path(), Some(Duration::from_hours(168)));
        let written = sink.write(&report("2026-01-15T00:00:00Z")).unwrap();
        assert_eq!(written.removed, 2);
        assert_eq!(
            names(folder.path()),
            [
                "notes.json",
                "provenance-20260108-000001.json",
                "provenance-20260115-000000.json",
                "provenance-latest.json",
                "provenance-notes.json",
            ]
        );
        // A clock that went backwards: the newest stays, though it is from the future.
        let sink = FileSink::new(folder.path(), Some(Duration::ZERO));
        sink.write(&report("2026-01-10T00:00:00Z")).unwrap();
        assert!(names(folder.path()).contains(&"provenance-20260115-000000.json".to_owned()));
    }

    #[test]
    fn a_crash_leaves_the_old_report_and_its_remains_are_swept_later() {
        let folder = tempfile::tempdir().unwrap();
        let sink = FileSink::new(folder.path(), None);
        let remains = folder.path().join(format!("{UNFINISHED}abc"));
        fs::write(&remains, "{half").unwrap();
        sink.write(&report("2026-01-15T00:00:00Z")).unwrap();
        assert!(remains.exists(), "it may belong to a writer that is at work");
        let old = std::time::SystemTime::now() - Duration::from_hours(2);
        File::options().write(true).open(&remains).unwrap().set_modified(old).unwrap();
        sink.write(&report("2026-01-16T00:00:00Z")).unwrap();
        assert!(!remains.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error =
            FileSink::new(file.join("reports"), None).write(&report("2026-01-15T00:00:00Z")).unwrap_err();
        assert!(error.to_string().contains("/file/reports: Not a directory"), "{error}");
        assert!(error.to_string().contains("--report-path"), "{error}");
    }
}
