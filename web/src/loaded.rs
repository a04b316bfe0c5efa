//! A report in memory: what tables, counts and comparisons need of its rows. What takes most of a row, the places that were
//! asked, stays in the file and is read where somebody looks at that row.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Deref;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;

use provenance_model::report::stages::forget_evidence;
use provenance_model::report::{ImageRecord, Report};
use serde_json::value::RawValue;

/// Bytes of one row, and of everything that is no row, at the most. A file that other hands put there may be anything.
const LARGEST: usize = 64 << 20;

/// A report, with its rows' places in the file.
#[derive(Debug)]
pub struct Loaded {
    report: Report,
    /// Of each row, the byte it begins at and its length.
    places: Vec<(u64, usize)>,
    /// The file as it was loaded, also where another has its name by now.
    file: File,
    haystack: Haystack,
    namespaces: OnceLock<BTreeSet<String>>,
    registries: OnceLock<BTreeSet<String>>,
}

impl Deref for Loaded {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.report
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl Loaded {
    /// Loads a report, a row at a time.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or is no report.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut images = Vec::new();
        let mut places = Vec::new();
        let mut haystack = Haystack::default();
        let rest = parted(&file, |place, bytes| {
            let mut row: ImageRecord = serde_json::from_slice(bytes)?;
            haystack.add(&row);
            slim(&mut row);
            images.push(row);
            places.push(place);
            Ok(())
        })?;
        let mut report: Report = serde_json::from_slice(&rest)?;
        images.shrink_to_fit();
        places.shrink_to_fit();
        haystack.text.shrink_to_fit();
        report.images = images;
        Ok(Self { report, places, file, haystack, namespaces: OnceLock::new(), registries: OnceLock::new() })
    }

    /// The rows in which one of the fields that are searched holds this text, in any case.
    pub fn holding(&self, text: &str) -> Vec<usize> {
        self.haystack.find(&text.to_lowercase())
    }

    /// Its rows' namespaces.
    pub fn namespaces(&self) -> &BTreeSet<String> {
        self.namespaces.get_or_init(|| self.images.iter().map(|row| row.namespace.clone()).collect())
    }

    /// Its rows' registries.
    pub fn registries(&self) -> &BTreeSet<String> {
        let of = |row: &ImageRecord| Some(row.reference.as_ref()?.registry.clone());
        self.registries.get_or_init(|| self.images.iter().filter_map(of).collect())
    }

    /// A row as the file has it.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or there is no such row.
    pub fn whole(&self, at: usize) -> io::Result<Box<RawValue>> {
        let (begin, length) = *self.places.get(at).ok_or_else(|| invalid("there is no such row"))?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, begin)?;
        RawValue::from_string(String::from_utf8(bytes).map_err(invalid)?).map_err(io::Error::from)
    }

    /// A row with all that it says.
    ///
    /// # Errors
    ///
    /// As [`Self::whole`].
    pub fn row(&self, at: usize) -> io::Result<ImageRecord> {
        serde_json::from_str(self.whole(at)?.get()).map_err(io::Error::from)
    }
}

/// What is searched of all rows, as one text in lower case: a line for each field.
#[derive(Debug, Default)]
struct Haystack {
    text: String,
    /// Where each row's lines end.
    ends: Vec<usize>,
}

impl Haystack {
    fn add(&mut self, row: &ImageRecord) {
        let build = row.provenance.as_ref().and_then(|found| found.build.as_ref());
        let release = row.helm_release.as_ref().map(|link| format!("{}/{}", link.namespace, link.name));
        let workload = format!("{}/{}", row.workload.kind, row.workload.name);
        let fields = [
            Some(row.image.as_str()),
            row.digest.as_deref(),
            Some(&row.namespace),
            Some(&workload),
            release.as_deref(),
            build.and_then(|build| build.builder.as_deref()),
            build.and_then(|build| build.source_repository.as_deref()),
            build.and_then(|build| build.source_commit.as_deref()),
        ];
        let signers: Vec<_> = signers(row).collect();
        for field in fields.into_iter().flatten().chain(signers.iter().map(String::as_str)) {
            self.text.push_str(&field.to_lowercase());
            self.text.push('\n');
        }
        self.ends.push(self.text.len());
    }

    fn find(&self, wanted: &str) -> Vec<usize> {
        let mut rows = Vec::new();
        let finder = memchr::memmem::Finder::new(wanted);
        let mut from = 0;
        while let Some(at) = finder.find(&self.text.as_bytes()[from..]) {
            let row = self.ends.partition_point(|end| *end <= from + at);
            rows.push(row);
            // The rest of the row's lines would find it again.
            from = self.ends.get(row).copied().unwrap_or(self.text.len());
            if from >= self.text.len() {
                break;
            }
        }
        rows
    }
}

/// Leaves only what tables, counts and comparisons need.
fn slim(row: &mut ImageRecord) {
    forget_evidence(row);
    row.attestations = None;
    row.owners = None;
    row.platforms = None;
    row.media_type = None;
    if let Some(drift) = &mut row.drift {
        (drift.tag_digest, drift.running_digest, drift.running_image_id) = (None, None, None);
    }
    if let Some(update) = &mut row.update {
        (update.scheme, update.variant, update.rule, update.tags, update.upgrade) =
            (None, None, None, None, None);
    }
    if let Some(sbom) = &mut row.sbom {
        sbom.documents = None;
    }
    if let Some(signature) = &mut row.signature {
        signature.policies = None;
        // Of the signatures only who made them.
        if let Some(signatures) = &mut signature.signatures {
            signatures.retain(|one| one.checked.signer.is_some());
            signatures.shrink_to_fit();
        }
    }
}

/// Takes a report's JSON apart without having all of it in memory. It finds where values end; what they are is for whoever
/// parses them.
struct Scanner<R> {
    input: R,
    /// Bytes read.
    at: u64,
}

impl<R: BufRead> Scanner<R> {
    /// Gives every row of `images` to `take`, with its place; answers the document without them.
    fn rows(&mut self, mut take: impl FnMut((u64, usize), &[u8]) -> io::Result<()>) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        let mut value = Vec::new();
        self.expect(b'{')?;
        rest.push(b'{');
        let mut is_first = true;
        while self.peek()? != Some(b'}') {
            if !is_first {
                self.expect(b',')?;
                rest.push(b',');
            }
            is_first = false;
            self.value(&mut value)?;
            let is_images = value == b"\"images\"";
            rest.extend_from_slice(&value);
            self.expect(b':')?;
            rest.push(b':');
            if is_images && self.peek()? == Some(b'[') {
                rest.extend_from_slice(b"[]");
                self.expect(b'[')?;
                while self.peek()? != Some(b']') {
                    let place = self.value(&mut value)?;
                    take(place, &value)?;
                    if self.peek()? == Some(b',') {
                        self.expect(b',')?;
                        // What follows is a row, or an error.
                        if self.peek()? == Some(b']') {
                            return Err(invalid("a row is missing"));
                        }
                    }
                }
                self.expect(b']')?;
            } else {
                self.value(&mut value)?;
                rest.extend_from_slice(&value);
            }
            if rest.len() > LARGEST {
                return Err(invalid("what it says beside its rows is too large"));
            }
        }
        self.expect(b'}')?;
        rest.push(b'}');
        match self.peek()? {
            None => Ok(rest),
            Some(_) => Err(invalid("something stands behind the report")),
        }
    }

    /// The next byte that is no blank; none at the end.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(&byte) = self.input.fill_buf()?.first() else { return Ok(None) };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip(1);
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.at += bytes as u64;
    }

    fn expect(&mut self, wanted: u8) -> io::Result<()> {
        match self.peek()? {
            Some(byte) if byte == wanted => {
                self.skip(1);
                Ok(())
            }
            _ => Err(invalid(format!("{:?} is missing at byte {}", char::from(wanted), self.at))),
        }
    }

    /// Reads the next value, and where it stands.
    fn value(&mut self, into: &mut Vec<u8>) -> io::Result<(u64, usize)> {
        into.clear();
        self.peek()?;
        let begin = self.at;
        let mut state = State::default();
        loop {
            let part = self.input.fill_buf()?;
            if part.is_empty() {
                return Err(invalid("it ends too early"));
            }
            let end = part.iter().position(|&byte| state.ends_before(byte));
            let taken = end.unwrap_or(part.len());
            into.extend_from_slice(&part[..taken]);
            self.skip(taken);
            if end.is_some() {
                let length = into.trim_ascii_end().len();
                into.truncate(length);
                return if length == 0 { Err(invalid("a value is missing")) } else { Ok((begin, length)) };
            }
            if into.len() > LARGEST {
                return Err(invalid("a value of it is too large"));
            }
        }
    }
}

/// Gives every row of a report's file to `take`, with its place; answers the document without them.
///
/// # Errors
///
/// Where the file cannot be read, is no report, or `take` fails.
pub(crate) fn parted(
    file: &File,
    take: impl FnMut((u64, usize), &[u8]) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    Scanner { input: BufReader::with_capacity(64 << 10, file), at: 0 }.rows(take)
}

/// Where in a value a byte stands.
#[derive(Default)]
struct State {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
}

impl State {
    /// Whether the value has ended before this byte.
    fn ends_before(&mut self, byte: u8) -> bool {
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' | b',' | b':' if self.depth == 0 => return true,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
        false
    }
}

/// Who signed a row's image, as verified.
pub(crate) fn signers(row: &ImageRecord) -> impl Iterator<Item = String> {
    let signatures = row.signature.iter().flat_map(|found| found.signatures.iter().flatten());
    signatures.filter_map(|one| one.checked.signer.as_ref()).map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn scanned(text: &str, buffer: usize) -> io::Result<(Vec<Value>, Value)> {
        let mut rows = Vec::new();
        let input = BufReader::with_capacity(buffer, text.as_bytes());
        let rest = Scanner { input, at: 0 }.rows(|(begin, length), bytes| {
            let begin = usize::try_from(begin).expect("the text is short");
            assert_eq!(&text.as_bytes()[begin..begin + length], bytes);
            rows.push(serde_json::from_slice(bytes)?);
            Ok(())
        })?;
        Ok((rows, serde_json::from_slice(&rest)?))
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_the_rows_are_they_are_found_whole_and_the_rest_is_left(
            rows in prop::collection::vec(json_value(), 0..6),
            before in json_value(), after in json_value(), buffer in 1_usize..40, is_pretty in any::<bool>(),
        ) {
            let document = json!({"a": before, "images": rows, "z": after});
            let text = if is_pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
            let (found, rest) = scanned(&text.expect("it is JSON"), buffer).expect("it is a document");
            prop_assert_eq!(found, rows);
            prop_assert_eq!(rest, json!({"a": before, "images": [], "z": after}));
        }

        #[test]
        fn no_bytes_make_it_panic(text in ".{0,80}", buffer in 1_usize..9) {
            drop(scanned(&text, buffer));
            drop(scanned(&format!("{{\"images\":[{text}"), buffer));
        }
    }

    #[test]
    fn what_is_broken_is_an_error() {
        for text in [
            "",
            "[]",
            "{",
            "{\"images\":[",
            "{\"images\":[1,]}",
            "{\"images\":[1 2]}",
            "{\"images\":[]} x",
            "{\"images\":[{\"a\":]}",
            "{,}",
        ] {
            assert!(scanned(text, 16).is_err(), "{text}");
        }
        assert_eq!(
            scanned("{\"images\":null}", 16).expect("the older collector writes so").0,
            Vec::<Value>::new()
        );
    }

    #[test]
    fn a_row_is_slim_in_memory_and_whole_in_the_file_even_after_another_took_its_place() {
        let row = json!({
            "image": "web:1", "namespace": "shop", "workload": {"kind": "Deployment", "name": "web"},
            "stages": {"digest": {"outcome": "found", "asked": [{"stage": "digest", "place": "GET x", "answer": "200"}]}},
        });
        let summary = json!({
            "totalImages": 1, "uniqueImages": 1, "signedImages": 0, "verifiedImages": 0, "imagesWithSBOM": 0,
            "imagesWithProvenance": 0, "imagesWithUpdates": 0, "totalHelmReleases": 0, "helmReleasesWithUpdates": 0,
        });
        let report = json!({
            "metadata": {"generatedAt": "2026-01-01T00:00:00Z", "collectorVersion": "1", "namespacesScanned": []},
            "images": [row], "helmReleases": null, "summary": summary,
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("report.json");
        std::fs::write(&path, report.to_string()).expect("it is writable");
        let loaded = Loaded::open(&path).expect("it is a report");
        let mut other = tempfile::NamedTempFile::new_in(folder.path()).expect("a temporary file");
        other.write_all(b"{}").expect("it is writable");
        other.persist(&path).expect("it can be renamed");
        let asked = |row: &ImageRecord| {
            row.stages.as_ref().and_then(|stages| Some(stages.digest.as_ref()?.asked.len()))
        };
        assert_eq!(asked(&loaded.images[0]), Some(0));
        assert_eq!(asked(&loaded.row(0).expect("it is there")), Some(1));
        assert_eq!(
            serde_json::from_str::<Value>(loaded.whole(0).expect("it is there").get()).expect("it is JSON"),
            row
        );
        assert!(loaded.row(1).is_err() && Loaded::open(&path).is_err());
    }
}
