//! A sighting: one container of one pod, and what the runtime says it runs.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{Digest, Image};
use crate::release::ReleaseHint;
use crate::update::UpdateWishes;

/// A workload by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Workload {
    /// The kind, such as `Deployment`.
    pub kind: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Workload {
    /// A workload of this kind and name.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.into(), name: name.into() }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Which list of the pod a container stands in.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ContainerKind {
    /// `spec.containers`.
    #[default]
    Container,
    /// `spec.initContainers`.
    Init,
    /// `spec.ephemeralContainers`.
    Ephemeral,
}

/// What the runtime says a container runs: the pod status's `imageID`, understood.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Running {
    /// The digest of a manifest or an index, as a registry has it.
    Manifest(Digest),
    /// An image id: the digest of the image's configuration (or, with some stores, of its manifest). No
    /// registry can be asked for it; it is compared with what the tag's manifests name.
    ImageId(Digest),
    /// Nothing runs, or the runtime does not say.
    #[default]
    Unknown,
}

impl Running {
    /// Reads an `imageID` in every form runtimes write it:
    ///
    /// | runtime | form |
    /// | --- | --- |
    /// | dockershim, cri-dockerd | `docker-pullable://nginx@sha256:…`, `docker://sha256:…` (an image id) |
    /// | containerd, CRI-O | `docker.io/library/nginx@sha256:…` |
    /// | containerd, where the image has no repository digest | `sha256:…` (an image id) |
    /// | CRI-O, older | 64 hex digits (an image id) |
    /// | not started | empty |
    pub fn from_image_id(image_id: &str) -> Self {
        let id = image_id.trim();
        let id = id.split_once("://").map_or(id, |(_, rest)| rest);
        if let Some((_, digest)) = id.rsplit_once('@') {
            return digest.parse().map_or(Self::Unknown, Self::Manifest);
        }
        let digest = if id.contains(':') { id.parse() } else { format!("sha256:{id}").parse() };
        digest.map_or(Self::Unknown, Self::ImageId)
    }

    /// The digest, where it is one that a registry knows.
    pub fn manifest(&self) -> Option<&Digest> {
        match self {
            Self::Manifest(digest) => Some(digest),
            _ => None,
        }
    }
}

/// Whose credentials a registry is asked with. Answers got with one scope's are never given to another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialScope(Arc<str>);

impl CredentialScope {
    /// The scope of a namespace's secrets, used in this order.
    pub fn of_secrets(namespace: &str, secrets: &[String]) -> Self {
        Self(format!("{namespace}/{}", secrets.join("+")).into())
    }
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Default for CredentialScope {
    /// The collector's own.
    fn default() -> Self {
        Self("collector".into())
    }
}

/// One container of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The namespace; empty for an image that was named by hand.
    pub namespace: Arc<str>,
    /// The top-level workload.
    pub workload: Workload,
    /// The controllers from the pod up to the workload, the workload always the last. Empty for a pod with no owner.
    pub owners: Arc<[Workload]>,
    /// The container's name; empty for an image that was named by hand.
    pub container: Arc<str>,
    /// Which list it stands in.
    pub container_kind: ContainerKind,
    /// The image as written.
    pub image: Arc<Image>,
    /// What runs.
    pub running: Running,
    /// A number for the pod, the same for all its containers; none where no pod was seen.
    pub pod: Option<u128>,
    /// Whose credentials the image is pulled with.
    pub scope: CredentialScope,
    /// What the pod's annotations want of updates.
    pub wishes: Option<Arc<UpdateWishes>>,
    /// What the pod says of the release that made it.
    pub release: Option<Arc<ReleaseHint>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_image_id_makes_it_panic(id in "\\PC{0,80}") {
            drop(Running::from_image_id(&id));
        }
    }

    const HEX: &str = "489075c9ca37b7e08a7a71d30b69010cdf1b151396a5feeef7ca5b63134c887e";

    fn digest() -> Digest {
        format!("sha256:{HEX}").parse().unwrap()
    }

    #[test]
    fn every_form_of_image_id_is_understood() {
        for repo in [
            "docker-pullable://nginx@",
            "docker.io/library/nginx@",
            "127.0.0.1:5000/team/app@",
            "containerd://ghcr.io/acme/web@",
            "quay.io/acme/web:1.2@",
        ] {
            assert_eq!(
                Running::from_image_id(&format!("{repo}sha256:{HEX}")),
                Running::Manifest(digest()),
                "{repo}"
            );
        }
        for id in [format!("sha256:{HEX}"), format!("docker://sha256:{HEX}"), HEX.to_owned()] {
            assert_eq!(Running::from_image_id(&id), Running::ImageId(digest()), "{id}");
        }
        for id in
            ["", " ", "nginx", "docker://", "nginx@sha256:12", "sha256:", "docker-pullable://nginx:1.27"]
        {
            assert_eq!(Running::from_image_id(id), Running::Unknown, "{id:?}");
        }
    }
}
