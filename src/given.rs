//! What `scan` is given: image names, and manifests in files, folders or stdin.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use provenance_model::Sighting;
use provenance_stages::discovery::{manifests::FILE_BYTES, named_image, read_manifests};

use crate::refused::ConfigErrors;

/// The sightings in these images and files. Every error is told.
///
/// # Errors
///
/// Where nothing was given, a file cannot be read, or no image is in it.
pub fn sightings(images: &[String], files: &[String]) -> Result<Vec<Sighting>, ConfigErrors> {
    let mut sightings: Vec<_> = images.iter().map(|image| named_image(image)).collect();
    let mut errors = Vec::new();
    for file in files {
        read(file, &mut sightings, &mut errors);
    }
    if errors.is_empty() && sightings.is_empty() {
        errors.push(if files.is_empty() {
            "nothing to scan: name an image, or manifests with -f FILE, -f DIR or -f -".to_owned()
        } else {
            format!("{}: no container images in it", files.join(", "))
        });
    }
    if errors.is_empty() { Ok(sightings) } else { Err(ConfigErrors(errors)) }
}

/// Reads the manifests of a file, a folder or stdin; every error is kept.
fn read(file: &str, sightings: &mut Vec<Sighting>, errors: &mut Vec<String>) {
    if file == "-" {
        let mut text = String::new();
        let cap = FILE_BYTES as u64 + 1;
        match std::io::stdin().take(cap).read_to_string(&mut text) {
            Ok(_) => parse("stdin", &text, sightings, errors),
            Err(error) => errors.push(format!("stdin: {error}")),
        }
        return;
    }
    let path = Path::new(file);
    if !path.is_dir() {
        return read_file(path, sightings, errors);
    }
    let mut files = Vec::new();
    if let Err(why) = manifests_below(path, 0, &mut files) {
        errors.push(why);
    }
    if files.is_empty() && errors.is_empty() {
        errors.push(format!("{file}: no .yaml, .yml or .json file in this folder"));
    }
    for file in files {
        read_file(&file, sightings, errors);
    }
}

/// Folders deep.
const DEPTH: usize = 32;

fn manifests_below(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).map_err(named)?.collect::<Result<_, _>>().map_err(named)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(named)?;
        if kind.is_dir() && depth < DEPTH {
            manifests_below(&path, depth + 1, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, sightings: &mut Vec<Sighting>, errors: &mut Vec<String>) {
    let shown = path.display().to_string();
    let opened = std::fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE_BYTES as u64 + 1).read_to_string(&mut text).map(|_| text)
    });
    match opened {
        Ok(text) => parse(&shown, &text, sightings, errors),
        Err(error) => errors.push(format!("{shown}: {error}")),
    }
}

fn parse(name: &str, text: &str, sightings: &mut Vec<Sighting>, errors: &mut Vec<String>) {
    match read_manifests(name, text) {
        Ok(found) => sightings.extend(found),
        Err(error) => errors.push(error.to_string()),
    }
}
