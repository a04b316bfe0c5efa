//! The report: the document that is written, served and read back.
//!
//! Its fields are those of the older collector's report, each with its name, place and meaning; new facts
//! stand beside them. [`types`] is the document, [`draft`] makes it of rows and dossiers with [`build`] and [`counting`], [`export`] writes
//! it as CSV and Markdown, [`comment`] as a comment on a pull request, [`sarif`] for code scanning. [`rules`] says what
//! is wrong with a row.

mod attached;
pub mod build;
pub mod comment;
pub mod counting;
pub mod discovery;
pub mod draft;
pub mod export;
pub mod finding;
pub mod helm;
pub mod join;
pub mod parts;
mod releases;
pub mod rule;
pub mod rules;
pub mod sarif;
pub mod stages;
pub mod types;

pub use build::Closing;
pub use discovery::{Discovery, DiscoveryProblem, ProblemReason};
pub use draft::Draft;
pub use finding::Finding;
pub use helm::*;
pub use parts::*;
pub use rule::Rule;
pub use types::*;
