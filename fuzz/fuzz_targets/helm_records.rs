//! Helm's records of releases: base64, gzip, JSON.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use provenance_stages::releases::record;

fuzz_target!(|bytes: &[u8]| {
    let _ = record::read(&STANDARD.encode(bytes), false, "ConfigMap a/b");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = record::read(text, true, "Secret a/b");
    }
});
