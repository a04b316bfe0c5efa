//! The few fields of a pod that are read. Parsing whole typed pods takes twelve times as long.

use std::fmt;
use std::sync::Arc;

use provenance_model::release::ReleaseHint;
use provenance_model::{ContainerKind, Running, UpdateWishes};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A pod, as far as it is read.
#[derive(Debug, Deserialize)]
pub struct Pod {
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectMeta {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) uid: String,
    pub(super) owner_references: Option<Vec<OwnerReference>>,
    #[serde(default)]
    annotations: Notes,
    #[serde(default)]
    labels: Notes,
}

/// The annotations or labels that are read; most objects have few of them, and some of the others are large.
#[derive(Debug, Default)]
struct Notes(Vec<(String, String)>);

impl Notes {
    fn get(&self, key: &str) -> Option<&str> {
        let Self(notes) = self;
        notes
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// What Helm and those who use it write on what they make
/// ([labels](https://helm.sh/docs/chart_best_practices/labels/)).
mod release {
    pub(super) const NAME: &str = "meta.helm.sh/release-name";
    pub(super) const NAMESPACE: &str = "meta.helm.sh/release-namespace";
    pub(super) const INSTANCE: &str = "app.kubernetes.io/instance";
    pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
    pub(super) const CHART: &str = "helm.sh/chart";
    /// Charts of before 2019.
    pub(super) const OLD_NAME: &str = "release";
    pub(super) const HERITAGE: &str = "heritage";
    pub(super) const KEYS: [&str; 7] = [NAME, NAMESPACE, INSTANCE, MANAGED_BY, CHART, OLD_NAME, HERITAGE];
}

impl<'de> Deserialize<'de> for Notes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep;
        impl<'de> Visitor<'de> for Keep {
            type Value = Notes;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("annotations or labels")
            }

            fn visit_unit<E>(self) -> Result<Notes, E> {
                Ok(Notes::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Notes, A::Error> {
                let mut kept = Vec::new();
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    if key.contains(UpdateWishes::DOMAIN) || release::KEYS.contains(&key.as_ref()) {
                        kept.push((key.into_owned(), map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Notes(kept))
            }
        }
        deserializer.deserialize_any(Keep)
    }
}

impl ObjectMeta {
    /// The owner that controls the object; at most one does.
    pub(super) fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) controller: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
    ephemeral_containers: Option<Vec<Container>>,
    image_pull_secrets: Option<Vec<LocalReference>>,
    #[serde(default)]
    service_account_name: String,
}

/// A reference to an object of the same namespace.
#[derive(Debug, Deserialize)]
pub(super) struct LocalReference {
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(rename = "containerStatuses")]
    containers: Option<Vec<ContainerStatus>>,
    #[serde(rename = "initContainerStatuses")]
    init_containers: Option<Vec<ContainerStatus>>,
    #[serde(rename = "ephemeralContainerStatuses")]
    ephemeral_containers: Option<Vec<ContainerStatus>>,
}

#[derive(Debug, Deserialize)]
struct ContainerStatus {
    #[serde(default)]
    name: String,
    #[serde(rename = "imageID", default)]
    image_id: String,
}

/// One container of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen<'a> {
    pub(super) kind: ContainerKind,
    pub(super) name: &'a str,
    pub(super) image: &'a str,
    pub(super) running: Running,
}

impl Pod {
    /// The pull secrets that the pod names itself.
    pub(super) fn pull_secrets(&self) -> Vec<String> {
        let named = self.spec.image_pull_secrets.iter().flatten();
        named.map(|secret| secret.name.clone()).filter(|name| !name.is_empty()).collect()
    }

    /// What its annotations want of updates for one container.
    pub(super) fn wishes(&self, container: &str) -> Option<Arc<UpdateWishes>> {
        let Notes(annotations) = &self.metadata.annotations;
        if annotations.is_empty() {
            return None;
        }
        let annotations = annotations.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        UpdateWishes::of(annotations, container).map(Arc::new)
    }

    /// The release that its annotations or labels name. A label counts only beside a sign of Helm: others use the same.
    pub(super) fn release(&self) -> Option<Arc<ReleaseHint>> {
        let ObjectMeta { annotations, labels, .. } = &self.metadata;
        let name = annotations.get(release::NAME).or_else(|| {
            let is_helms = labels.get(release::MANAGED_BY).is_some_and(|by| by.eq_ignore_ascii_case("helm"))
                || labels.get(release::CHART).is_some()
                || labels.get(release::HERITAGE).is_some();
            labels.get(release::INSTANCE).or_else(|| labels.get(release::OLD_NAME)).filter(|_| is_helms)
        });
        let namespace = annotations.get(release::NAMESPACE).map(Into::into);
        name.map(|name| Arc::new(ReleaseHint { name: name.into(), namespace }))
    }

    /// Its service account.
    pub(super) fn service_account(&self) -> &str {
        match self.spec.service_account_name.as_str() {
            "" => "default",
            name => name,
        }
    }

    /// All its containers: init, regular and ephemeral.
    pub(super) fn containers(&self) -> impl Iterator<Item = Seen<'_>> {
        let (spec, status) = (&self.spec, &self.status);
        let init = (ContainerKind::Init, &spec.init_containers, &status.init_containers);
        let regular = (ContainerKind::Container, &spec.containers, &status.containers);
        let ephemeral = (ContainerKind::Ephemeral, &spec.ephemeral_containers, &status.ephemeral_containers);
        [init, regular, ephemeral].into_iter().flat_map(|(kind, containers, statuses)| {
            containers.iter().flatten().map(move |container| {
                let status = statuses.iter().flatten().find(|status| status.name == container.name);
                let running =
                    status.map_or(Running::Unknown, |status| Running::from_image_id(&status.image_id));
                Seen { kind, name: &container.name, image: &container.image, running }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(serde_json::from_slice::<Pod>(&body));
        }
    }

    #[test]
    fn containers_of_every_kind_are_seen_with_what_they_run() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "ownerReferences": null},
            "spec": {
                "containers": [{"name": "app", "image": "web:1"}, {"name": "side", "image": "proxy:2"}],
                "initContainers": [{"name": "init", "image": "init:1"}],
                "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
            },
            "status": {
                "containerStatuses": [
                    {"name": "side", "imageID": "", "state": {"waiting": {}}},
                    {"name": "app", "imageID": format!("docker.io/library/web@{digest}")},
                ],
                "initContainerStatuses": null,
            },
        }))
        .unwrap();
        let seen: Vec<_> = pod.containers().map(|seen| (seen.kind, seen.name, seen.running)).collect();
        let running = Running::Manifest(digest.parse().unwrap());
        assert_eq!(
            seen,
            [
                (ContainerKind::Init, "init", Running::Unknown),
                (ContainerKind::Container, "app", running),
                (ContainerKind::Container, "side", Running::Unknown),
                (ContainerKind::Ephemeral, "debug", Running::Unknown),
            ]
        );
    }
}
