//! Sinks: where a report goes. A report once written is whole, or it is not there; a copy that cannot be whole says so.

pub mod configmap;
pub mod file;
mod fit;
mod objects;
pub mod policy_report;
pub mod upload;

pub use configmap::ConfigMapSink;
pub use file::{FileError, FileSink, Written};
pub use fit::{Fitted, Form, fit};
pub use policy_report::{PolicyApi, PolicyReportSink};
pub use upload::UploadSink;

/// Why a report is not where it should be. The message names the place and the fix.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// It is not in its folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not in its `ConfigMap`.
    #[error("the report is not in the ConfigMap {name}: {why}")]
    ConfigMap {
        /// Namespace and name.
        name: String,
        /// Why, and what to do.
        why: String,
    },
    /// Its `PolicyReport`s are not all there.
    #[error("the report is not in the cluster's {plural}: {why}")]
    PolicyReport {
        /// The kind of objects, as the API writes it.
        plural: &'static str,
        /// Why, and what to do.
        why: String,
    },
    /// It is not uploaded.
    #[error("the report is not uploaded to {url}: {why}")]
    Upload {
        /// Where to.
        url: String,
        /// Why, and what to do.
        why: String,
    },
}
