//! The testbed: an OCI registry, a Kubernetes API and a chart repository in process, with latency, faults and a request log to
//! order. It serves tests, benches and `demo`; nothing of it runs in a collector that examines a cluster.
//!
//! It must not flatter: a contract test asks it and real servers the same questions.

pub mod attach;
pub mod charts;
pub mod fault;
pub mod fleet;
pub mod helm;
pub mod image;
pub mod kube;
pub mod log;
pub mod registry;
pub mod scenario;
mod server;

pub use charts::ChartRepository;
pub use fault::{Effect, Fault, When};
pub use fleet::Fleet;
pub use image::BuiltImage;
pub use kube::KubeApi;
pub use log::Logged;
pub use registry::{Auth, Registry, RegistryOptions};
pub use scenario::Scenario;
