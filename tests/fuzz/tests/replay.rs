//! The targets on stable: on every seed, on what is made of seeds, and on anything.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use provenance_fuzz_targets::{ALL, Target};

fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// A change to some bytes.
#[derive(Debug, Clone)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
    CutAt(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    // What parsers stumble over, beside anything.
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\"", "{", "[", "}", "]", ":", ",", "\\u0000", "null", "-1", "1e999", "\n", "%", "="
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..12),
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (at(), 1_usize..40).prop_map(|(at, length)| Edit::Remove(at, length)),
        (at(), 1_usize..200).prop_map(|(at, length)| Edit::Repeat(at, length)),
        at().prop_map(Edit::CutAt),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    if bytes.is_empty() {
        return;
    }
    let within = |at: &prop::sample::Index, length: usize, bytes: &[u8]| {
        let from = at.index(bytes.len());
        from..(from + length).min(bytes.len())
    };
    match edit {
        Edit::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Edit::Insert(at, piece) => {
            let at = at.index(bytes.len());
            bytes.splice(at..at, piece.iter().copied());
        }
        Edit::Remove(at, length) => drop(bytes.drain(within(at, *length, bytes))),
        Edit::Repeat(at, length) => {
            let piece = bytes[within(at, *length, bytes)].to_vec();
            bytes.extend(piece);
        }
        Edit::CutAt(at) => bytes.truncate(at.index(bytes.len())),
    }
}

fn holds(name: &str, target: Target) {
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for (_, seed) in &seeds {
        target(seed);
    }
    let bytes: Vec<_> =
        seeds.into_iter().map(|(_, seed)| seed).filter(|seed| seed.len() < 64 << 10).collect();
    let made =
        (prop::sample::select(bytes), prop::collection::vec(edit(), 1..6)).prop_map(|(mut seed, edits)| {
            for edit in &edits {
                apply(&mut seed, edit);
            }
            seed
        });
    let anything = prop::collection::vec(any::<u8>(), 0..300);
    let input = prop_oneof![4 => made, 1 => anything];
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&input, |bytes| {
            target(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_target_holds_on_its_seeds_and_on_what_is_made_of_them() {
    for (name, target) in ALL {
        holds(name, target);
    }
}

#[test]
fn every_folder_of_seeds_has_a_target_and_every_target_is_fuzzed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned())
            .collect()
    };
    let all: BTreeSet<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("seeds"), all);
    assert_eq!(names("fuzz_targets"), all);
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for name in &all {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
    }
}
