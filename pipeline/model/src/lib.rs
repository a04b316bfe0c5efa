//! The model: what is seen, what is examined, what is found, and the report made of it. No I/O.
//!
//! Words: a [`Sighting`] is one container of one pod; a [`Subject`] is what is examined once for all the
//! sightings it has; a [`Dossier`] is the work item of one subject, with a slot for every stage; the
//! [`report::Report`] has a row for every namespace, workload, image and running digest.

pub mod digest_finding;
pub mod dossier;
pub mod evidence;
pub mod findings;
pub mod name;
pub mod release;
pub mod report;
pub mod rows;
pub mod shard;
pub mod sighting;
pub mod trust;
pub mod update;

pub use digest_finding::{DigestFinding, DriftState};
pub use dossier::{Dossier, Subject};
pub use evidence::{Asked, Noted, Trail};
pub use findings::{PolicyRecord, ProvenanceFinding, SbomFinding, SignatureFinding};
pub use name::{Digest, Image, ImageReference, InvalidReference, Platform, Registry, Repository, Tag};
pub use rows::RowBook;
pub use shard::Shard;
pub use sighting::{ContainerKind, CredentialScope, Running, Sighting, Workload};
pub use update::{Update, UpdateLevel, UpdateWishes};
