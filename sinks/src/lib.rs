//! Sinks: where a report goes. A report once written is whole, or it is not there; a copy that cannot be whole says so.

pub mod configmap;
pub mod file;
mod fit;
pub mod upload;

pub use configmap::ConfigMapSink;
pub use file::{FileError, FileSink, Written};
pub use fit::{Fitted, Form, fit};
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
    /// It is not uploaded.
    #[error("the report is not uploaded to {url}: {why}")]
    Upload {
        /// Where to.
        url: String,
        /// Why, and what to do.
        why: String,
    },
}
