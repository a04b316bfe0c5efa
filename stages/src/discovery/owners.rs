//! From a pod's controller to the top-level workload.
//!
//! Whatever kind a controller is, its own owner is in its metadata: a ReplicaSet names its Deployment or its
//! Argo Rollout, a Job its CronJob, a StrimziPodSet its Kafka. So each kind that is met is listed once, as
//! metadata only, and pods are resolved in memory: never a request per pod. A kind that cannot be listed
//! ends the climb, and the report says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use provenance_model::Workload;
use provenance_model::report::DiscoveryProblem;
use serde::Deserialize;

use super::intern::{Interner, uid};
use super::pods::{ObjectMeta, OwnerReference};
use super::reader::{Detail, ReadError, Reader};

/// Owners above a pod at the most; a chain beyond is a loop.
const LONGEST_CHAIN: usize = 10;

/// A kind, as owner references name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Kind {
    version: Arc<str>,
    kind: Arc<str>,
}

/// A controller, as its dependant names it.
#[derive(Debug, Clone)]
pub(super) struct Controller {
    kind: Kind,
    name: Arc<str>,
    uid: u128,
}

/// Who controls whom. A large cluster has a hundred thousand controllers, and ten times as many `ReplicaSets` that name them:
/// each is kept once, and those below have its number.
#[derive(Debug, Default)]
struct Controllers {
    /// The number of the controller of each object that was listed; none for an object that has none.
    above: HashMap<Key, Option<NonZeroU32>>,
    /// Every controller that an object names: the number of its kind, and its name.
    named: IndexMap<Key, (usize, Arc<str>)>,
    kinds: IndexSet<Kind>,
}

/// An object that is in no list that was read.
struct NotListed;

impl Controllers {
    /// Notes an object that was listed, and who controls it.
    fn note(&mut self, object: u128, controller: Option<Controller>) {
        let number = controller.map(|Controller { kind, name, uid }| {
            let kind = self.kinds.insert_full(kind).0;
            let entry = self.named.entry(key(uid));
            let at = entry.index();
            entry.or_insert((kind, name));
            let number = u32::try_from(at + 1).ok().and_then(NonZeroU32::new);
            number.expect("a cluster has fewer than 2^32 controllers")
        });
        self.above.insert(key(object), number);
    }

    /// The controller of an object, if it has one.
    fn of(&self, object: u128) -> Result<Option<Controller>, NotListed> {
        let number = self.above.get(&key(object)).ok_or(NotListed)?;
        Ok(number.and_then(|number| {
            let (uid, (kind, name)) = self.named.get_index(number.get() as usize - 1)?;
            let kind = self.kinds[*kind].clone();
            Some(Controller { kind, name: Arc::clone(name), uid: u128::from_ne_bytes(*uid) })
        }))
    }
}

/// A uid's number, without the alignment of one.
type Key = [u8; 16];

fn key(uid: u128) -> Key {
    uid.to_ne_bytes()
}

/// Where lists are read: across the cluster, or in one namespace at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Scope {
    Cluster,
    Namespace(Arc<str>),
}

/// How a kind is served.
#[derive(Debug, Clone)]
struct Served {
    /// Group and version.
    version: String,
    plural: String,
    is_namespaced: bool,
}

/// Where the climb ended.
#[derive(Debug, Clone)]
pub(super) struct Climbed {
    /// The owners met, the topmost last.
    pub(super) owners: Arc<[Workload]>,
    /// Whether an owner was not in its kind's list, so that a later list may know more.
    pub(super) is_unsure: bool,
}

/// All that is known of owners so far.
pub(super) struct Owners {
    reader: Reader,
    controllers: Controllers,
    listed: HashSet<(Kind, Scope)>,
    unlisted: HashSet<(Kind, Scope)>,
    /// Kinds in whose list an owner was missing.
    outdated: HashSet<(Kind, Scope)>,
    served: BTreeMap<Kind, Result<Served, ReadError>>,
    problems: Vec<DiscoveryProblem>,
}

impl Owners {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            controllers: Controllers::default(),
            listed: HashSet::new(),
            unlisted: HashSet::new(),
            outdated: HashSet::new(),
            served: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// The controller that a pod names, if it has one.
    pub(super) fn controller(meta: &ObjectMeta, interner: &mut Interner) -> Option<Controller> {
        meta.controller().map(|owner| named(owner, interner))
    }

    /// Climbs from a pod's controller to the top.
    pub(super) async fn climb(
        &mut self,
        start: &Controller,
        scope: &Scope,
        interner: &mut Interner,
    ) -> Climbed {
        let mut owners = Vec::new();
        let mut is_unsure = false;
        let mut next = Some(start.clone());
        while let Some(controller) = next.take() {
            owners.push(Workload {
                kind: Arc::clone(&controller.kind.kind),
                name: Arc::clone(&controller.name),
            });
            // The kubelet's own pods: a node has no owner, and reading nodes takes a right of its own.
            if owners.len() >= LONGEST_CHAIN || &*controller.kind.kind == "Node" {
                break;
            }
            let place = (controller.kind.clone(), scope.clone());
            self.list(&place, interner).await;
            match self.controllers.of(controller.uid) {
                Ok(above) => next = above,
                Err(NotListed) if self.listed.contains(&place) => {
                    is_unsure = true;
                    self.outdated.insert(place);
                }
                Err(NotListed) => {}
            }
        }
        Climbed { owners: owners.into(), is_unsure }
    }

    /// Forgets the lists in which an owner was missing: it may have come since. Done once, at the end.
    pub(super) fn look_again(&mut self) {
        for place in self.outdated.drain() {
            self.listed.remove(&place);
        }
    }

    pub(super) fn into_problems(self) -> Vec<DiscoveryProblem> {
        self.problems
    }

    /// Lists a kind, if it was not listed yet.
    async fn list(&mut self, place: &(Kind, Scope), interner: &mut Interner) {
        if self.listed.contains(place) || self.unlisted.contains(place) {
            return;
        }
        let (kind, scope) = place;
        let read = match self.path(kind, scope).await {
            Ok(path) => self.read(&path, interner).await,
            Err(error) => Err(error),
        };
        let Err(error) = read else {
            self.listed.insert(place.clone());
            return;
        };
        let fix = match error {
            ReadError::Forbidden(_) => "; grant get and list on it to see further",
            _ => "",
        };
        self.problems.push(DiscoveryProblem {
            rows_missing: false,
            reason: error.reason(),
            namespace: match scope {
                Scope::Cluster => None,
                Scope::Namespace(namespace) => Some(namespace.to_string()),
            },
            kind: Some(format!("{} ({})", kind.kind, kind.version)),
            message: format!(
                "owners of {} are not known, it stands as the workload itself: {error}{fix}",
                kind.kind
            ),
        });
        self.unlisted.insert(place.clone());
    }

    async fn read(&mut self, path: &str, interner: &mut Interner) -> Result<(), ReadError> {
        #[derive(Deserialize)]
        struct Object {
            metadata: ObjectMeta,
        }
        let mut pages = self.reader.list(path, Detail::Metadata);
        while let Some(page) = pages.next::<Object>().await? {
            for object in page {
                let controller = object.metadata.controller().map(|owner| named(owner, interner));
                self.controllers.note(uid(&object.metadata.uid), controller);
            }
        }
        Ok(())
    }

    /// The path under which a kind is listed; asked of the API's discovery for kinds that are not its own.
    async fn path(&mut self, kind: &Kind, scope: &Scope) -> Result<String, ReadError> {
        if !self.served.contains_key(kind) {
            let served = match built_in(kind) {
                Some(served) => Ok(served),
                None => match self.discover(kind).await {
                    Err(ReadError::Stopped) => return Err(ReadError::Stopped),
                    discovered => discovered,
                },
            };
            self.served.insert(kind.clone(), served);
        }
        let Served { version, plural, is_namespaced } = self.served[kind].as_ref().map_err(Clone::clone)?;
        let base = if version.contains('/') { "/apis" } else { "/api" };
        Ok(match scope {
            Scope::Namespace(namespace) if *is_namespaced => {
                format!("{base}/{version}/namespaces/{namespace}/{plural}")
            }
            _ => format!("{base}/{version}/{plural}"),
        })
    }

    /// Asks the API's discovery how a kind is served.
    async fn discover(&self, kind: &Kind) -> Result<Served, ReadError> {
        #[derive(Deserialize)]
        struct Resources {
            resources: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            name: String,
            kind: String,
            namespaced: bool,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Group {
            preferred_version: Version,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            group_version: String,
        }
        let mut version = kind.version.to_string();
        let base = if version.contains('/') { "/apis" } else { "/api" };
        let resources: Resources = match self.reader.get(&format!("{base}/{version}")).await {
            // The version may be gone while the kind lives on in another.
            Err(ReadError::NotFound(why)) => {
                let Some((group, _)) = version.split_once('/') else { return Err(ReadError::NotFound(why)) };
                let group: Group = self.reader.get(&format!("/apis/{group}")).await?;
                version = group.preferred_version.group_version;
                self.reader.get(&format!("/apis/{version}")).await?
            }
            answered => answered?,
        };
        let is_it = |resource: &&Resource| resource.kind == *kind.kind && !resource.name.contains('/');
        let Some(resource) = resources.resources.iter().find(is_it) else {
            return Err(ReadError::NotFound(format!("{version} does not serve the kind {}", kind.kind)));
        };
        Ok(Served { version, plural: resource.name.clone(), is_namespaced: resource.namespaced })
    }
}

fn named(owner: &OwnerReference, interner: &mut Interner) -> Controller {
    Controller {
        kind: Kind { version: interner.text(&owner.api_version), kind: interner.text(&owner.kind) },
        name: owner.name.as_str().into(),
        uid: uid(&owner.uid),
    }
}

/// The API's own workload kinds. Older versions of them live on in old owner references.
fn built_in(kind: &Kind) -> Option<Served> {
    let group = kind.version.split_once('/').map_or("", |(group, _)| group);
    let (version, plural) = match (group, &*kind.kind) {
        ("apps" | "extensions", "ReplicaSet") => ("apps/v1", "replicasets"),
        ("apps" | "extensions", "Deployment") => ("apps/v1", "deployments"),
        ("apps" | "extensions", "DaemonSet") => ("apps/v1", "daemonsets"),
        ("apps", "StatefulSet") => ("apps/v1", "statefulsets"),
        ("batch", "Job") => ("batch/v1", "jobs"),
        ("batch", "CronJob") => ("batch/v1", "cronjobs"),
        ("", "ReplicationController") => ("v1", "replicationcontrollers"),
        _ => return None,
    };
    Some(Served { version: version.to_owned(), plural: plural.to_owned(), is_namespaced: true })
}
