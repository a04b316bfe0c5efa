//! ClusterImagePolicy and TrustRoot documents, as files and clusters hold them, and keys in PEM.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_trust::PublicKey;
use provenance_trust::policy::{Document, Found, documents};

fuzz_target!(|text: &str| {
    for document in documents(text).into_iter().flatten() {
        if let Document::Policy(policy) = document {
            let _ = policy.resolve(&Found::default());
        }
    }
    let _ = PublicKey::all_from_pem("key", text);
});
