//! Sinks: where a report goes. A report once written is whole, or it is not there.

pub mod file;

pub use file::{FileSink, SinkError, Written};
