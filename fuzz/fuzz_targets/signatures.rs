//! What is attached as a signature: bundles, envelopes, payloads with annotations, Notation's envelopes. Whatever can
//! be read is judged too; nothing made up is ever verified.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use provenance_model::Digest;
use provenance_model::trust::Verdict;
use provenance_trust::notation::Envelope;
use provenance_trust::{Root, Signed, judge};

static ROOTS: LazyLock<Vec<Root>> = LazyLock::new(Root::embedded);
static TARGET: LazyLock<Digest> = LazyLock::new(|| format!("sha256:{}", "5f".repeat(32)).parse().unwrap());

fuzz_target!(|input: (&[u8], BTreeMap<u8, String>)| {
    let (bytes, values) = (Bytes::copy_from_slice(input.0), input.1);
    let names = [
        "dev.cosignproject.cosign/signature",
        "dev.sigstore.cosign/certificate",
        "dev.sigstore.cosign/chain",
        "dev.sigstore.cosign/bundle",
        "dev.sigstore.cosign/rfc3161timestamp",
    ];
    let annotations: BTreeMap<String, String> = values
        .into_iter()
        .map(|(name, value)| (names[usize::from(name) % names.len()].to_owned(), value))
        .collect();
    let read = [
        Signed::bundle(&bytes),
        Signed::dsse(&bytes, &annotations),
        Signed::simple_signing(&bytes, &annotations),
    ];
    let roots: Vec<_> = ROOTS.iter().collect();
    for signed in read.into_iter().flatten() {
        let judged = judge(&signed, &TARGET, &[], &roots);
        assert!(judged.checked.verdict <= Verdict::NotChecked);
        assert!(judged.checked.signer.is_none());
    }
    for media_type in ["application/jose+json", "application/cose"] {
        if let Ok(envelope) = Envelope::read(&bytes, media_type) {
            assert!(envelope.check(&TARGET, None).signer.is_none());
        }
    }
});
