//! A Kubernetes API in memory: lists in pages, as whole objects or as metadata only, with rights to take
//! away and continue tokens that expire. Read-only; a world is built with [`KubeApi::add`] and its helpers.

mod objects;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use objects::{controller, pod, pull_secret};

use crate::fault::Fault;
use crate::log::Logged;
use crate::server::{Asked, Reply, Server, Service};

/// What becomes of a continue token that has expired
/// ([API concepts](https://kubernetes.io/docs/reference/using-api/api-concepts/#retrieving-large-results-sets-in-chunks)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The 410 holds a token with which the rest can be read.
    WithFreshToken,
    /// The 410 holds none: the list must be read again from its start.
    Bare,
}

/// A running API on loopback.
#[derive(Debug)]
pub struct KubeApi {
    server: Server,
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct World {
    state: Mutex<State>,
    uids: AtomicU64,
}

/// Objects by group and version, plural, namespace and name.
type Objects = BTreeMap<(String, String), BTreeMap<(String, String), Value>>;

#[derive(Debug, Default)]
struct State {
    objects: Objects,
    kinds: BTreeMap<(String, String), (String, bool)>,
    /// What the watch cache holds since it fell behind.
    behind: Option<Objects>,
    denied: BTreeSet<(String, Option<String>)>,
    expire: Option<(usize, Expiry)>,
}

impl KubeApi {
    /// Starts an API with no objects in which everything may be read.
    pub async fn start() -> std::io::Result<Self> {
        let world = Arc::new(World::default());
        let server = Server::start(Arc::clone(&world) as Arc<dyn Service>).await?;
        Ok(Self { server, world })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    /// Adds an object; gives it a uid if it has none. Its namespace is added as well. Answers the uid.
    ///
    /// # Panics
    ///
    /// When the object has no `apiVersion`, `kind` or name.
    pub fn add(&self, mut object: Value) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let version = text(&object["apiVersion"]).expect("an object has an apiVersion");
        let kind = text(&object["kind"]).expect("an object has a kind");
        let name = text(&object["metadata"]["name"]).expect("an object has a name");
        let namespace = text(&object["metadata"]["namespace"]);
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = self.new_uid().into();
        }
        let uid = text(&object["metadata"]["uid"]).expect("every object has a uid by now");
        if let Some(namespace) = &namespace {
            self.add_namespace(namespace);
        }
        let plural = plural(&kind);
        let mut state = self.world.state();
        state.kinds.insert((version.clone(), plural.clone()), (kind, namespace.is_some()));
        let objects = state.objects.entry((version, plural)).or_default();
        objects.insert((namespace.unwrap_or_default(), name), object);
        uid
    }

    /// Adds a namespace, if it is not there.
    pub fn add_namespace(&self, name: &str) {
        let uid = self.new_uid();
        let mut state = self.world.state();
        let key = ("v1".to_owned(), "namespaces".to_owned());
        state.kinds.insert(key.clone(), ("Namespace".into(), false));
        state.objects.entry(key).or_default().entry((String::new(), name.to_owned())).or_insert_with(
            || json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": uid}}),
        );
    }

    /// Takes an object away.
    pub fn remove(&self, version: &str, plural: &str, namespace: &str, name: &str) {
        let mut state = self.world.state();
        if let Some(objects) = state.objects.get_mut(&(version.to_owned(), plural.to_owned())) {
            objects.remove(&(namespace.to_owned(), name.to_owned()));
        }
    }

    /// Adds an owned object: `apiVersion`, kind, namespace and name, and its controller's kind, name and uid.
    pub fn add_owned(
        &self,
        (version, kind): (&str, &str),
        namespace: &str,
        name: &str,
        owner: &Value,
    ) -> String {
        let owners = if owner.is_null() { json!([]) } else { json!([owner]) };
        self.add(json!({
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace, "ownerReferences": owners},
        }))
    }

    /// Denies reading a plural (`*` for all) in a namespace, or across the cluster where none is given.
    pub fn deny(&self, plural: &str, namespace: Option<&str>) {
        self.world.state().denied.insert((plural.to_owned(), namespace.map(str::to_owned)));
    }

    /// Denies reading a plural in every namespace and across the cluster.
    pub fn deny_everywhere(&self, plural: &str) {
        let mut state = self.world.state();
        state.denied.insert((plural.to_owned(), None));
        state.denied.insert((plural.to_owned(), Some("*".into())));
    }

    /// Lets the next continue token expire, after so many that are good.
    pub fn expire_continue_token(&self, after: usize, expiry: Expiry) {
        self.world.state().expire = Some((after, expiry));
    }

    /// Lets the watch cache stand still: lists that may come from it (those with a `resourceVersion`, see
    /// [the semantics](https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list)) show
    /// what there is now, whatever is added and removed from now on; so does every list that is struck by [`Effect::Stale`].
    ///
    /// [`Effect::Stale`]: crate::Effect::Stale
    pub fn fall_behind(&self) {
        let mut state = self.world.state();
        state.behind = Some(state.objects.clone());
    }

    /// Takes every fault back.
    pub fn clear_faults(&self) {
        self.server.shared.faults.clear();
    }

    /// Orders a fault.
    pub fn fault(&self, fault: Fault) {
        self.server.shared.faults.add(fault);
    }

    /// Answers every request this much later.
    pub fn set_latency(&self, latency: Duration) {
        self.server.set_latency(latency);
    }

    /// What was asked so far, in order.
    pub fn log(&self) -> Vec<Logged> {
        self.server.shared.log.all()
    }

    /// Forgets what was asked so far.
    pub fn clear_log(&self) {
        self.server.shared.log.clear();
    }

    /// Stops: connections are refused from now on.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    fn new_uid(&self) -> String {
        let number = self.world.uids.fetch_add(1, Ordering::Relaxed);
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}

fn plural(kind: &str) -> String {
    let lower = kind.to_ascii_lowercase();
    match lower.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if lower.ends_with('s') => format!("{lower}es"),
        None => format!("{lower}s"),
    }
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn reply(&self, asked: &Asked, may_be_behind: bool) -> Reply {
        if asked.method != "GET" {
            return status(405, "MethodNotAllowed", "the testbed's API is read-only", &Value::Null);
        }
        let mut state = self.state();
        let parts: Vec<_> = asked.path.trim_matches('/').split('/').collect();
        match parts[..] {
            ["version"] => Reply::json(200, &json!({"major": "1", "minor": "34", "gitVersion": "v1.34.3"})),
            ["apis"] => state.groups(),
            ["api", version, ref rest @ ..] => state.serve(version, rest, asked, may_be_behind),
            ["apis", group, version, ref rest @ ..] => {
                state.serve(&format!("{group}/{version}"), rest, asked, may_be_behind)
            }
            _ => not_found(&asked.path),
        }
    }
}

impl Service for World {
    fn answer(&self, asked: &Asked, _own: &str) -> Reply {
        self.reply(asked, asked.query("resourceVersion").is_some_and(|version| !version.is_empty()))
    }

    fn stale(&self, asked: &Asked, _own: &str) -> Reply {
        self.reply(asked, true)
    }

    fn endless(&self, asked: &Asked, page: usize) -> Reply {
        let metadata = json!({"continue": format!("page-{page}"), "resourceVersion": "1"});
        let kind = if asked.path.ends_with("/pods") { "PodList" } else { "List" };
        Reply::json(200, &json!({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": []}))
    }
}

impl State {
    fn serve(&mut self, version: &str, rest: &[&str], asked: &Asked, may_be_behind: bool) -> Reply {
        match *rest {
            [] => self.resources(version),
            ["namespaces", namespace] if version == "v1" => self.one_namespace(namespace),
            [plural] => self.list((version, plural), None, asked, may_be_behind),
            ["namespaces", namespace, plural] => {
                self.list((version, plural), Some(namespace), asked, may_be_behind)
            }
            ["namespaces", namespace, plural, name] => self.one(version, plural, namespace, name),
            _ => not_found(&asked.path),
        }
    }

    /// The groups that are served, each in the last of its versions.
    fn groups(&self) -> Reply {
        let own = ["apps/v1", "batch/v1"].map(str::to_owned);
        let versions = self.kinds.keys().map(|(version, _)| version.clone()).chain(own);
        let groups: BTreeMap<String, String> = versions
            .filter_map(|version| {
                version.split_once('/').map(|(group, _)| (group.to_owned(), version.clone()))
            })
            .collect();
        let groups: Vec<_> = groups
            .iter()
            .map(|(group, version)| {
                let version = json!({"groupVersion": version, "version": version.rsplit('/').next()});
                json!({"name": group, "versions": [version], "preferredVersion": version})
            })
            .collect();
        Reply::json(200, &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
    }

    /// What a group version serves: the resource list of discovery.
    fn resources(&self, version: &str) -> Reply {
        let resources: Vec<_> = self
            .kinds
            .iter()
            .filter(|((own, _), _)| own == version)
            .map(|((_, plural), (kind, namespaced))| {
                json!({"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get", "list"]})
            })
            .collect();
        if resources.is_empty() {
            return no_such_page();
        }
        let list = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources});
        Reply::json(200, &list)
    }

    fn one_namespace(&self, name: &str) -> Reply {
        if self.is_denied("namespaces", None) && self.is_denied("namespaces", Some(name)) {
            return forbidden("namespaces", Some(name));
        }
        let namespaces = self.objects.get(&("v1".into(), "namespaces".into()));
        match namespaces.and_then(|all| all.get(&(String::new(), name.to_owned()))) {
            Some(namespace) => Reply::json(200, namespace),
            None => status(404, "NotFound", &format!("namespaces \"{name}\" not found"), &Value::Null),
        }
    }

    fn one(&self, version: &str, plural: &str, namespace: &str, name: &str) -> Reply {
        if self.is_denied(plural, None) && self.is_denied(plural, Some(namespace)) {
            return forbidden(plural, Some(namespace));
        }
        let objects = self.objects.get(&(version.to_owned(), plural.to_owned()));
        match objects.and_then(|all| all.get(&(namespace.to_owned(), name.to_owned()))) {
            Some(object) => Reply::json(200, object),
            None => status(404, "NotFound", &format!("{plural} \"{name}\" not found"), &Value::Null),
        }
    }

    fn is_denied(&self, plural: &str, namespace: Option<&str>) -> bool {
        self.denied.iter().any(|(denied, place)| {
            (denied == plural || denied == "*")
                && match (place.as_deref(), namespace) {
                    (None, None) | (Some("*"), Some(_)) => true,
                    (Some(place), Some(namespace)) => place == namespace,
                    _ => false,
                }
        })
    }

    fn list(
        &mut self,
        (version, plural): (&str, &str),
        namespace: Option<&str>,
        asked: &Asked,
        may_be_behind: bool,
    ) -> Reply {
        let key = (version.to_owned(), plural.to_owned());
        let Some((kind, _)) = self.kinds.get(&key).cloned().or_else(|| well_known(version, plural)) else {
            let is_served = self.kinds.keys().any(|(own, _)| own == version);
            return if is_served { not_found(&asked.path) } else { no_such_page() };
        };
        if self.is_denied(plural, namespace) {
            return forbidden(plural, namespace);
        }
        let start = match asked.query("continue") {
            None | Some("") => None,
            Some(token) => match self.resume(token) {
                Ok(start) => Some(start),
                Err(expired) => return expired,
            },
        };
        let limit = asked.query("limit").and_then(|limit| limit.parse().ok()).filter(|limit| *limit > 0);
        let selected: Vec<(String, String)> = asked
            .query("labelSelector")
            .into_iter()
            .flat_map(|selector| selector.split(','))
            .filter_map(|one| one.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let is_selected = |object: &Value| {
            selected.iter().all(|(key, value)| object["metadata"]["labels"][key].as_str() == Some(value))
        };
        let metadata_only =
            asked.header("accept").is_some_and(|accept| accept.contains("as=PartialObjectMetadataList"));

        let empty = BTreeMap::new();
        let objects = self.behind.as_ref().filter(|_| may_be_behind).unwrap_or(&self.objects);
        let all = objects.get(&key).unwrap_or(&empty);
        let after = start.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = all
            .range((after, Bound::Unbounded))
            .filter(|((own, _), _)| namespace.is_none_or(|namespace| namespace == own))
            .filter(|(_, object)| is_selected(object))
            .peekable();
        let page: Vec<_> = rest.by_ref().take(limit.unwrap_or(usize::MAX)).collect();
        let token = match (rest.peek(), page.last()) {
            (Some(_), Some(((namespace, name), _))) => format!("good/{namespace}/{name}"),
            _ => String::new(),
        };
        let items: Vec<_> = page
            .iter()
            .map(|(_, object)| {
                if metadata_only {
                    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
                } else {
                    (*object).clone()
                }
            })
            .collect();
        let (kind, version) = if metadata_only {
            ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1")
        } else {
            (format!("{kind}List"), version)
        };
        let mut metadata = json!({"resourceVersion": "1"});
        if !token.is_empty() {
            metadata["continue"] = token.into();
        }
        Reply::json(200, &json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items}))
    }

    /// Where a continue token leads, or the 410 if it is the one to expire.
    fn resume(&mut self, token: &str) -> Result<(String, String), Reply> {
        let place = token.split_once('/').map_or(token, |(_, place)| place);
        if let Some((after, expiry)) = &mut self.expire {
            if *after == 0 {
                let metadata = match expiry {
                    Expiry::WithFreshToken => json!({"continue": format!("fresh/{place}")}),
                    Expiry::Bare => Value::Null,
                };
                self.expire = None;
                let message =
                    "The provided continue parameter is too old to display a consistent list result.";
                return Err(status(410, "Expired", message, &metadata));
            }
            *after -= 1;
        }
        let (namespace, name) = place.split_once('/').unwrap_or_default();
        Ok((namespace.to_owned(), name.to_owned()))
    }
}

/// Kinds that every cluster serves, also where no object of theirs was added.
fn well_known(version: &str, plural: &str) -> Option<(String, bool)> {
    let kind = match (version, plural) {
        ("v1", "pods") => "Pod",
        ("v1", "namespaces") => "Namespace",
        ("v1", "replicationcontrollers") => "ReplicationController",
        ("v1", "secrets") => "Secret",
        ("v1", "configmaps") => "ConfigMap",
        ("v1", "serviceaccounts") => "ServiceAccount",
        ("apps/v1", "deployments") => "Deployment",
        ("apps/v1", "replicasets") => "ReplicaSet",
        ("apps/v1", "statefulsets") => "StatefulSet",
        ("apps/v1", "daemonsets") => "DaemonSet",
        ("batch/v1", "jobs") => "Job",
        ("batch/v1", "cronjobs") => "CronJob",
        _ => return None,
    };
    Some((kind.into(), plural != "namespaces"))
}

fn status(code: u16, reason: &str, message: &str, metadata: &Value) -> Reply {
    let mut body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
    });
    body["metadata"] = if metadata.is_null() { json!({}) } else { metadata.clone() };
    Reply::json(code, &body)
}

fn forbidden(plural: &str, namespace: Option<&str>) -> Reply {
    let scope = namespace
        .map_or_else(|| "at the cluster scope".to_owned(), |name| format!("in the namespace {name:?}"));
    status(
        403,
        "Forbidden",
        &format!("{plural} is forbidden: User \"testbed\" cannot list resource {plural:?} {scope}"),
        &Value::Null,
    )
}

/// What a group version gets that is not served: no `Status`.
fn no_such_page() -> Reply {
    Reply::new(404, "404 page not found\n").with("content-type", "text/plain; charset=utf-8")
}

fn not_found(what: &str) -> Reply {
    status(
        404,
        "NotFound",
        &format!("the server could not find the requested resource ({what})"),
        &Value::Null,
    )
}
