//! Real servers for the end-to-end tests: started on loopback, stopped when dropped. `tests/e2e/install`
//! installs them; a server that is missing fails the test with that line.

pub mod cgroup;
pub mod chart;
pub mod cluster;
pub mod dashboard;
pub mod issuer;
pub mod log;
pub mod nginx;
pub mod otelcol;
pub mod pod;
pub mod process;
pub mod registry;
pub mod scan;
pub mod sigstore;
pub mod token;

pub use cluster::Cluster;
pub use dashboard::Dashboard;
pub use issuer::{Keycloak, Provider};
pub use log::Log;
pub use nginx::Nginx;
pub use process::{collector, tool};
pub use registry::{Kind, RealRegistry};
pub use sigstore::Sigstore;
pub use token::TokenServer;
