//! The digest that a signature must be about.

use provenance_model::Digest;
use provenance_model::trust::{Refusal, RefusalKind};
use sigstore_verify::types::HashAlgorithm;
use sigstore_verify::types::artifact::ArtifactDigest;

/// The digest, as the sigstore family holds it.
pub(crate) fn artifact(target: &Digest) -> Result<ArtifactDigest, Refusal> {
    let algorithm = match target.algorithm() {
        "sha256" => HashAlgorithm::Sha2256,
        "sha384" => HashAlgorithm::Sha2384,
        "sha512" => HashAlgorithm::Sha2512,
        other => {
            let why = format!("digests by {other} are not understood");
            return Err(Refusal::new(RefusalKind::Unsupported, why));
        }
    };
    let bytes = hex::decode(target.hex()).expect("a digest is hex");
    ArtifactDigest::new(algorithm, sigstore_verify::types::DigestBytes::new(bytes))
        .map_err(|error| Refusal::new(RefusalKind::Unsupported, error.to_string()))
}

/// A signature that holds, and is about something else.
pub(crate) fn other(target: &Digest, found: &str) -> Refusal {
    Refusal::new(RefusalKind::Subject, format!("it is about {found}, not about {target}"))
}
