//! See `provenance_fuzz_targets::image_reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| provenance_fuzz_targets::image_reference(bytes));
