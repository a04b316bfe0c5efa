//! Lists of tags, compared: the first line runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_currency::{Rule, compare};

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let Some(running) = lines.next() else { return };
    let tags: Vec<&str> = lines.collect();
    let told = compare(running, tags.iter().copied(), &Rule { skip_pre_releases: true, ..Rule::default() });
    assert!(told.newest.as_deref().is_none_or(|newest| tags.contains(&newest) && newest != running));
    assert!(told.compared <= told.listed);
});
