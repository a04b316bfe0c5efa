//! Kubernetes YAML and JSON, and pods as the API answers them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_stages::discovery::pods::Pod;
use provenance_stages::discovery::read_manifests;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Pod>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = read_manifests("fuzz", text);
    }
});
