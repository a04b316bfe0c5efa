//! Discovery: sightings of a cluster's pods, of Kubernetes manifests, and of images named by hand.
//!
//! | file | job |
//! | --- | --- |
//! | [`cluster`] | the plan: which namespaces, what to do where rights are missing |
//! | `reader` | lists from the Kubernetes API, in pages, with retries and expired continue tokens |
//! | [`pods`] | the few fields of a pod that are read |
//! | `owners` | from a pod's controller to the top-level workload |
//! | `pull_secrets` | whose credentials a pod's images are pulled with |
//! | `policies` | the cluster's own trust policies, and keys in its Secrets |
//! | [`manifests`] | images in Kubernetes YAML |

pub mod cluster;
mod intern;
pub mod manifests;
mod owners;
pub mod pods;
mod policies;
mod pull_secrets;
pub(crate) mod reader;

use std::sync::Arc;

use provenance_model::{CredentialScope, Image, Running, Sighting, Workload};

pub use cluster::{ClusterSource, DiscoveryError, Namespaces, connect};
pub use manifests::{ManifestError, read_manifests};
pub use policies::{ClusterPolicies, cluster_policies, public_key};
pub(crate) use reader::chain;

/// The sighting of an image that was named by hand.
pub fn named_image(written: &str) -> Sighting {
    Sighting {
        namespace: "".into(),
        workload: Workload::new("Image", written),
        owners: Arc::new([]),
        container: "".into(),
        container_kind: provenance_model::ContainerKind::Container,
        image: Arc::new(Image::parse(written)),
        running: Running::Unknown,
        pod: None,
        scope: CredentialScope::default(),
        wishes: None,
        release: None,
    }
}
