//! The collector, run as its users run it.

use std::ffi::OsStr;
use std::process::{Command, Output};

use provenance_model::report::{ImageRecord, Report};

use crate::process::collector;

/// What `scan` reports of these images, with these further arguments and no other configuration.
///
/// # Panics
///
/// Where it ends with another status than 0, with what it said.
pub fn scan<S: AsRef<OsStr>>(images: &[&str], arguments: &[S]) -> Report {
    let (status, out, err) = try_scan(images, arguments);
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).expect("scan prints a report")
}

/// The one row of one image.
///
/// # Panics
///
/// As [`scan`].
pub fn scan_one<S: AsRef<OsStr>>(image: &str, arguments: &[S]) -> ImageRecord {
    scan(&[image], arguments).images.remove(0)
}

/// Exit status, stdout and stderr of `scan`.
///
/// # Panics
///
/// Where it cannot be started.
pub fn try_scan<S: AsRef<OsStr>>(images: &[&str], arguments: &[S]) -> (i32, String, String) {
    let mut command = Command::new(collector());
    command.arg("scan").args(images).args(["--format", "json"]).args(arguments);
    command.env_clear().env("HOME", "/nonexistent");
    let Output { status, stdout, stderr } = command.output().expect("the collector can be started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
