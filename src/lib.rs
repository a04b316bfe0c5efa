//! The `provenance-collector` binary, as a library so that tests and benches can put its parts together.
//!
//! [`topology`] is the system's diagram in code; [`mod@run`] starts it and makes the report. [`options`] is the
//! one definition of every option; [`config`] reads them; [`trust`] puts
//! together what they name.

pub mod budget;
pub mod cli;
pub mod config;
pub mod demo;
pub mod explain;
mod failing;
pub mod given;
pub mod options;
pub mod plan;
pub mod progress;
pub mod reference;
pub mod refused;
pub mod run;
pub mod serve;
pub mod shutdown;
pub mod table;
pub mod telemetry;
pub mod terminal;
pub mod topology;
pub mod trust;

/// The version, as `--version` and reports show it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
