//! See `provenance_fuzz_targets::attestations`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| provenance_fuzz_targets::attestations(bytes));
