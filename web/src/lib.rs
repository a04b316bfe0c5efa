//! Serving: a folder of reports, the API over it, and the listener that takes reports in.

pub mod api;
pub mod changes;
pub mod images;
pub mod intake;
pub mod listen;
pub mod metrics;
mod pages;
pub mod problem;
pub mod search;
pub mod store;

pub use api::{Settings, public};
pub use intake::{Intake, internal};
pub use listen::{Limits, listen};
pub use store::Store;
