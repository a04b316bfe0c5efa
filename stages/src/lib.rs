//! Discovery and the stages: everything that asks clusters and registries.
//!
//! [`discovery`] makes sightings of pods, manifests and names. [`registry`] is the one way to a registry.
//! Each stage is a file of its own.

pub mod credentials;
pub mod digest;
pub mod discovery;
pub mod registry;

pub use digest::DigestStage;
