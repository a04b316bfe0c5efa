//! What a registry answers: manifests, indexes, and challenges.
#![no_main]

use bytes::Bytes;
use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use libfuzzer_sys::fuzz_target;
use provenance_stages::registry::Manifest;
use provenance_stages::registry::challenge::challenge;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::parse(&Bytes::copy_from_slice(bytes), None, None) {
        let _ = (manifest.children(), manifest.config_digest());
    }
    if let Ok(value) = http::HeaderValue::from_bytes(bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, value);
        let _ = challenge(&headers);
    }
});
