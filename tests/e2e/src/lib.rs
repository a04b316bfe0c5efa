//! Real servers for the end-to-end tests: started on loopback, stopped when dropped. `tests/e2e/install`
//! installs them; a server that is missing fails the test with that line.

pub mod cluster;
pub mod log;
pub mod process;
pub mod registry;
pub mod scan;
pub mod sigstore;
pub mod token;

pub use cluster::Cluster;
pub use log::Log;
pub use process::{collector, tool};
pub use registry::{Kind, RealRegistry};
pub use sigstore::Sigstore;
pub use token::TokenServer;
