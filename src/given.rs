//! What `scan` is given: image names, and manifests in files, folders or stdin.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use provenance_model::Sighting;
use provenance_model::report::sarif::Place;
use provenance_stages::discovery::{manifests::FILE_BYTES, named_image, read_manifests};

use crate::refused::ConfigErrors;

/// The sightings in these images and files. Every error is told.
///
/// # Errors
///
/// Where nothing was given, a file cannot be read, or no image is in it.
pub fn sightings(images: &[String], files: &[String]) -> Result<(Vec<Sighting>, Written), ConfigErrors> {
    let mut given = Given::default();
    given.sightings.extend(images.iter().map(|image| named_image(image)));
    for file in files {
        given.read(file);
    }
    let Given { sightings, written, mut errors } = given;
    if errors.is_empty() && sightings.is_empty() {
        errors.push(if files.is_empty() {
            "nothing to scan: name an image, or manifests with -f FILE, -f DIR or -f -".to_owned()
        } else {
            format!("{}: no container images in it", files.join(", "))
        });
    }
    if errors.is_empty() { Ok((sightings, written)) } else { Err(ConfigErrors(errors)) }
}

/// Where images are written.
#[derive(Debug, Clone, Default)]
pub struct Written(BTreeMap<String, BTreeSet<Place>>);

impl Written {
    /// The places of an image.
    pub fn of(&self, image: &str) -> Vec<Place> {
        self.0.get(image).into_iter().flatten().cloned().collect()
    }
}

#[derive(Default)]
struct Given {
    sightings: Vec<Sighting>,
    written: Written,
    errors: Vec<String>,
}

impl Given {
    /// Reads the manifests of a file, a folder or stdin; every error is kept.
    fn read(&mut self, file: &str) {
        if file == "-" {
            let mut text = String::new();
            let cap = FILE_BYTES as u64 + 1;
            match std::io::stdin().take(cap).read_to_string(&mut text) {
                Ok(_) => self.parse("stdin", &text),
                Err(error) => self.errors.push(format!("stdin: {error}")),
            }
            return;
        }
        let path = Path::new(file);
        if !path.is_dir() {
            return self.read_file(path);
        }
        let mut files = Vec::new();
        let before = self.errors.len();
        if let Err(why) = manifests_below(path, 0, &mut files) {
            self.errors.push(why);
        }
        if files.is_empty() && self.errors.len() == before {
            self.errors.push(format!("{file}: no .yaml, .yml or .json file in this folder"));
        }
        for file in files {
            self.read_file(&file);
        }
    }

    fn read_file(&mut self, path: &Path) {
        let shown = path.display().to_string();
        let opened = std::fs::File::open(path).and_then(|file| {
            let mut text = String::new();
            file.take(FILE_BYTES as u64 + 1).read_to_string(&mut text).map(|_| text)
        });
        match opened {
            Ok(text) => self.parse(&shown, &text),
            Err(error) => self.errors.push(format!("{shown}: {error}")),
        }
    }

    fn parse(&mut self, name: &str, text: &str) {
        let found = match read_manifests(name, text) {
            Ok(found) => found,
            Err(error) => return self.errors.push(error.to_string()),
        };
        for sighting in &found {
            let image = &sighting.image.written;
            let places = self.written.0.entry(image.clone()).or_default();
            if places.iter().any(|place| place.file == name) {
                continue;
            }
            let lines = text.lines().enumerate().filter(|(_, line)| names(line, image));
            places.extend(lines.map(|(at, _)| Place { file: name.to_owned(), line: at + 1 }));
            // An anchor or a block of text can write it in another way.
            if !places.iter().any(|place| place.file == name) {
                places.insert(Place { file: name.to_owned(), line: 1 });
            }
        }
        self.sightings.extend(found);
    }
}

/// Whether a line writes this image, and not one whose name only begins or ends like it.
fn names(line: &str, image: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '/' | ':' | '.' | '-' | '_' | '@');
    line.match_indices(image).any(|(at, _)| {
        // The colon before may be the key's own.
        let before = line[..at].chars().next_back();
        !image.is_empty()
            && before.is_none_or(|c| c == ':' || !is_part(c))
            && line[at + image.len()..].chars().next().is_none_or(|c| !is_part(c))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_found_where_it_is_written_and_not_where_another_is() {
        assert!(names("  - image: nginx:1.27", "nginx:1.27"));
        assert!(names("  - image: \"nginx:1.27\"", "nginx:1.27"));
        assert!(names("{image: nginx:1.27}", "nginx:1.27"));
        assert!(!names("  - image: nginx:1.27-alpine", "nginx:1.27"));
        assert!(!names("  - image: acme/nginx:1.27", "nginx:1.27"));
    }
}
