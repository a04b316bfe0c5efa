//! What is attached as a document: in-toto statements with SLSA provenance, and SBOMs of every format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_trust::statement::Statement;
use provenance_trust::{sbom, slsa};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(statement) = Statement::parse(bytes) {
        let _ = slsa::build(&statement);
        let _ = sbom::of_predicate(&statement.predicate);
    }
    let _ = sbom::read(bytes);
});
