//! Discovery and the stages: everything that asks clusters and registries.
//!
//! [`discovery`] makes sightings of pods, manifests and names. [`registry`] is the one way to a registry.
//! [`attached`] finds
//! what is attached to an image, for all stages that want it. Each stage is a file of its own.

pub mod attached;
pub mod charts;
pub mod credentials;
pub mod digest;
pub mod discovery;
pub mod keys;
pub mod provenance;
pub mod registry;
pub mod releases;
pub mod sbom;
mod shared;
pub mod signature;
pub mod tag_lists;
pub mod update;
pub mod verification;

pub use attached::Attachments;
pub use charts::ChartStage;
pub use digest::DigestStage;
pub use provenance::ProvenanceStage;
pub use releases::{ReleaseSource, ReleaseStage};
pub use sbom::{Documents, SbomStage};
pub use signature::SignatureStage;
pub use tag_lists::TagLists;
pub use update::{UpdateRules, UpdateStage};
pub use verification::{Trust, Verification};

/// Chooses the cryptography of TLS for the whole process. Whoever makes a TLS client calls it first.
pub fn choose_crypto() {
    // An error only says that a provider is there already.
    drop(rustls::crypto::ring::default_provider().install_default());
}
