//! The payload of cosign's signatures: a
//! [simple signing](https://github.com/containers/image/blob/main/docs/containers-signature.5.md) document.

use provenance_model::Digest;
use provenance_model::trust::{Refusal, RefusalKind};
use serde::Deserialize;

use crate::refusals::refuse;
use crate::subject;

/// The types that cosign writes, older versions included.
const TYPES: [&str; 2] = ["cosign container image signature", "atomic container signature"];

/// Makes sure that the payload is about this digest.
pub(crate) fn names(payload: &[u8], target: &Digest) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    struct Document {
        critical: Critical,
    }
    #[derive(Deserialize)]
    struct Critical {
        image: Image,
        #[serde(rename = "type")]
        kind: String,
    }
    #[derive(Deserialize)]
    struct Image {
        #[serde(rename = "docker-manifest-digest")]
        digest: String,
    }
    let document: Document = serde_json::from_slice(payload).or_else(|error| {
        refuse(RefusalKind::Malformed, format!("the payload is no simple signing document: {error}"))
    })?;
    let Critical { image, kind } = document.critical;
    if !TYPES.contains(&kind.as_str()) {
        return refuse(
            RefusalKind::Malformed,
            format!("the payload is of type {kind:?}, not an image signature"),
        );
    }
    if image.digest != target.as_str() {
        return Err(subject::other(target, &image.digest));
    }
    Ok(())
}
