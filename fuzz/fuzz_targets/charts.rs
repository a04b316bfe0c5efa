//! Indexes of chart repositories, and the versions of Kubernetes that charts are for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_currency::{Constraint, compare_chart};
use provenance_stages::charts::index::Index;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(index) = Index::read(bytes) {
        let cluster = "1.34.3".parse().expect("a version");
        for chart in index.charts.keys() {
            let versions = index.versions(chart).unwrap_or_default();
            let _ = compare_chart("1.0.0", &versions, Some(&cluster), true);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Constraint::parse(text);
    }
});
