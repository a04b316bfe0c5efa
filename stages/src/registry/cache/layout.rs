//! The folder as a whole: an OCI image layout, and what is thrown away of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::write_whole;

/// Where lists are kept. The number is that of their form.
pub(super) const ANSWERS: &str = "answers-1";
/// Where it is kept when subjects were examined.
pub(super) const SUBJECTS: &str = "subjects-1";

const INDEX: &str = "index.json";
/// The annotation by which a layout names its images
/// ([annotations](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What was written aside by a run that was killed is left by now.
const LEFT: Duration = Duration::from_hours(1);
/// What nobody used for so long is thrown away, however much room there is.
const UNUSED: Duration = Duration::from_hours(24 * 60);

/// What a tag names.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) digest: String,
    pub(super) media_type: String,
    pub(super) bytes: usize,
}

/// Makes a layout of a folder that may be one already.
pub(super) fn begin(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("blobs").join("sha256"))?;
    write_whole(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = folder.join(INDEX);
    if index.is_file() { Ok(()) } else { write_whole(&index, written(&[]).as_bytes()) }
}

/// Writes the index, and makes room. One run at a time does.
pub(super) fn close(folder: &Path, named: BTreeMap<String, Named>, most: u64) -> io::Result<()> {
    let lock = File::create(folder.join(".lock"))?;
    lock.lock()?;
    make_room(folder, most);
    index(folder, named)
}

/// What the tags named that this run or an earlier one asked for, as far as it is still kept.
fn index(folder: &Path, named: BTreeMap<String, Named>) -> io::Result<()> {
    let path = folder.join(INDEX);
    let known: Option<Value> = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let known = known.as_ref().and_then(|index| index["manifests"].as_array());
    let name_of = |descriptor: &Value| descriptor["annotations"][REF_NAME].as_str().map(str::to_owned);
    let mut all: BTreeMap<String, Value> = known
        .into_iter()
        .flatten()
        .filter_map(|descriptor| Some((name_of(descriptor)?, descriptor.clone())))
        .collect();
    for (image, Named { digest, media_type, bytes }) in named {
        let descriptor = json!({
            "mediaType": media_type,
            "digest": digest,
            "size": bytes,
            "annotations": {REF_NAME: &image},
        });
        all.insert(image, descriptor);
    }
    let is_kept = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().and_then(|digest| digest.split_once(':'));
        digest.is_some_and(|(algorithm, hex)| folder.join("blobs").join(algorithm).join(hex).is_file())
    };
    let manifests: Vec<_> = all.into_values().filter(is_kept).collect();
    write_whole(&path, written(&manifests).as_bytes())
}

fn written(manifests: &[Value]) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
    .to_string()
}

/// A file that is kept.
struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Throws away what is left of runs that were killed, what nobody used for long, and what was not used for longest where
/// there is too much. What another run throws away at the same time is no matter.
fn make_room(folder: &Path, most: u64) {
    let mut kept = Vec::new();
    for part in ["blobs", ANSWERS, SUBJECTS] {
        walk(&folder.join(part), &mut kept);
    }
    let now = SystemTime::now();
    let age = |file: &Kept| now.duration_since(file.used).unwrap_or_default();
    let is_aside = |file: &Kept| file.path.extension().is_some_and(|end| end == "tmp");
    let mut bytes = 0;
    kept.retain(|file| {
        let is_over = if is_aside(file) { age(file) > LEFT } else { age(file) > UNUSED };
        if is_over {
            fs::remove_file(&file.path).ok();
        } else {
            bytes += file.bytes;
        }
        !is_over
    });
    if bytes <= most {
        return;
    }
    // Some more than has to be, so that not every run has to.
    let goal = most - most / 10;
    kept.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    for file in kept.iter().filter(|file| file.bytes > 0 && !is_aside(file)) {
        if bytes <= goal {
            break;
        }
        if fs::remove_file(&file.path).is_ok() {
            bytes = bytes.saturating_sub(file.bytes);
        }
    }
}

fn walk(folder: &Path, files: &mut Vec<Kept>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        // Never through a link: what it leads to is not ours.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            walk(&entry.path(), files);
        } else if metadata.is_file() {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Kept { path: entry.path(), bytes: metadata.len(), used });
        }
    }
}
