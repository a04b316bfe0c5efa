//! What the manifests that are attached hold. Media types are believed of a manifest itself before those that a
//! list of referrers gives: registries type a sigstore bundle as an empty configuration.

use std::collections::BTreeMap;

use oci_spec::image::ImageManifest;
use provenance_model::Digest;
use provenance_model::trust::SbomFormat;
use provenance_trust::evidence::COSIGN_SIGN;
use provenance_trust::sbom::format_of;

use super::survey::Listed;
use crate::registry::{Content, Manifest};

/// What a stage looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Signatures of the image.
    Signatures,
    /// Statements about the image, SBOMs aside.
    Attestations,
    /// SBOMs, attested or not.
    Sboms,
}

/// What kind of thing is attached. The predicate type is known where an annotation tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A simple signing payload.
    SimpleSigning,
    /// A sigstore bundle.
    Bundle {
        /// What it states.
        predicate: Option<String>,
    },
    /// A DSSE envelope.
    Dsse {
        /// What it states.
        predicate: Option<String>,
    },
    /// A bare in-toto statement.
    Statement {
        /// What it states.
        predicate: Option<String>,
    },
    /// A Notary Project signature.
    Notation,
    /// An SBOM as it is.
    Sbom(SbomFormat),
}

impl Kind {
    /// The type of its predicate, where that is known without reading it.
    pub fn predicate(&self) -> Option<&str> {
        match self {
            Self::Bundle { predicate } | Self::Dsse { predicate } | Self::Statement { predicate } => {
                predicate.as_deref()
            }
            Self::SimpleSigning | Self::Notation | Self::Sbom(_) => None,
        }
    }

    /// Whether it is, or may turn out to be, what is wanted.
    pub fn is(&self, wanted: Wanted) -> bool {
        match self {
            Self::SimpleSigning | Self::Notation => wanted == Wanted::Signatures,
            Self::Sbom(_) => wanted == Wanted::Sboms,
            Self::Bundle { .. } => self.predicate().is_none_or(|predicate| states(predicate, wanted)),
            Self::Dsse { .. } | Self::Statement { .. } => {
                wanted != Wanted::Signatures
                    && self.predicate().is_none_or(|predicate| states(predicate, wanted))
            }
        }
    }
}

/// Whether a predicate type is of the kind that is wanted.
pub fn states(predicate: &str, wanted: Wanted) -> bool {
    let is_signature = predicate == COSIGN_SIGN;
    let is_sbom = !is_signature && format_of(predicate).is_some();
    match wanted {
        Wanted::Signatures => is_signature,
        Wanted::Sboms => is_sbom,
        Wanted::Attestations => !is_signature && !is_sbom,
    }
}

/// One layer that is understood.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: Kind,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) media_type: String,
}

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const NOTATION: &str = "application/vnd.cncf.notary.signature";
/// The envelopes of Notation.
const NOTATION_ENVELOPES: [&str; 2] = ["application/jose+json", "application/cose"];
/// cosign 2's types for what it attaches as referrers.
const COSIGN_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.";

/// Annotations that tell a predicate type: sigstore's, `BuildKit`'s, cosign's.
const PREDICATES: [&str; 3] =
    ["dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type", "predicateType"];
/// The annotation that tells what a bundle holds.
const BUNDLE_CONTENT: &str = "dev.sigstore.bundle.content";

fn predicate_in(annotations: &BTreeMap<String, String>) -> Option<String> {
    if annotations.get(BUNDLE_CONTENT).is_some_and(|content| content == "message-signature") {
        return Some(COSIGN_SIGN.to_owned());
    }
    PREDICATES.iter().find_map(|name| annotations.get(*name)).filter(|kind| !kind.is_empty()).cloned()
}

/// Whether a manifest may hold what is wanted. Only a type that surely says otherwise spares looking.
pub(super) fn is_relevant(listed: &Listed, wanted: Wanted) -> bool {
    if listed.manifest.is_some() {
        return true;
    }
    let Some(kind) = listed.artifact_type.as_deref() else { return true };
    if kind == NOTATION {
        return wanted == Wanted::Signatures;
    }
    if let Some(rest) = kind.strip_prefix(COSIGN_ARTIFACT) {
        return match rest.split('.').next() {
            Some("sig") => wanted == Wanted::Signatures,
            Some("att") => wanted != Wanted::Signatures,
            Some("sbom") => wanted == Wanted::Sboms,
            _ => true,
        };
    }
    if kind.starts_with(BUNDLE) {
        return predicate_in(&listed.annotations).is_none_or(|predicate| states(&predicate, wanted));
    }
    if kind == DSSE || kind == IN_TOTO {
        return wanted != Wanted::Signatures;
    }
    if format_of(kind).is_some() {
        return wanted == Wanted::Sboms;
    }
    true
}

/// The layers of a manifest that are understood.
pub(super) fn layers(listed: &Listed, manifest: &Manifest) -> Vec<Layer> {
    let Content::Image(image) = manifest.content() else { return Vec::new() };
    let of_manifest: BTreeMap<String, String> = image
        .annotations()
        .iter()
        .flatten()
        .chain(&listed.annotations)
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let artifact_type = artifact_type(&image);
    image
        .layers()
        .iter()
        .filter_map(|layer| {
            let mut annotations: BTreeMap<String, String> =
                layer.annotations().clone().unwrap_or_default().into_iter().collect();
            let media_type = layer.media_type().to_string();
            let predicate = predicate_in(&annotations).or_else(|| predicate_in(&of_manifest));
            let kind = kind(&media_type, artifact_type.as_deref(), predicate)?;
            for (name, value) in &of_manifest {
                annotations.entry(name.clone()).or_insert_with(|| value.clone());
            }
            Some(Layer {
                kind,
                digest: layer.digest().to_string().parse().ok()?,
                bytes: layer.size(),
                annotations,
                media_type,
            })
        })
        .collect()
}

/// What the manifest says that it is
/// ([image spec](https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidelines-for-artifact-usage)).
fn artifact_type(image: &ImageManifest) -> Option<String> {
    image
        .artifact_type()
        .as_ref()
        .map(ToString::to_string)
        .or_else(|| Some(image.config().media_type().to_string()))
}

fn kind(media_type: &str, artifact_type: Option<&str>, predicate: Option<String>) -> Option<Kind> {
    let plain = media_type.split(';').next().unwrap_or(media_type).trim();
    let of_artifact = |wanted: &str| artifact_type.is_some_and(|kind| kind.starts_with(wanted));
    if plain == SIMPLE_SIGNING {
        return Some(Kind::SimpleSigning);
    }
    if plain.starts_with(BUNDLE) || of_artifact(BUNDLE) {
        return Some(Kind::Bundle { predicate });
    }
    if plain == DSSE {
        return Some(Kind::Dsse { predicate });
    }
    if plain == IN_TOTO {
        return Some(Kind::Statement { predicate });
    }
    if NOTATION_ENVELOPES.contains(&plain) || of_artifact(NOTATION) {
        return Some(Kind::Notation);
    }
    format_of(plain).or_else(|| artifact_type.and_then(format_of)).map(Kind::Sbom)
}
