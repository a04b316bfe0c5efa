//! Serving: a folder of reports, the API over it, and the listener that takes reports in.

pub mod api;
pub mod intake;
pub mod store;

pub use api::{Settings, public};
pub use intake::{Intake, internal};
pub use store::Store;
