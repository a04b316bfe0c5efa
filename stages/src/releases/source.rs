//! Finds releases. Of Helm's own records only the metadata are listed: a release may keep hundreds of old revisions, and
//! the payload of one can be a megabyte.

use std::collections::{BTreeMap, BTreeSet};

use provenance_engine::Stop;
use provenance_model::release::{Managed, ReleaseSubject, Stored};
use provenance_model::report::{DiscoveryProblem, ProblemReason, StoredIn};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::managers::{Application, FluxSource, FluxSources, Found, HelmRelease, Named};
use crate::discovery::Namespaces;
use crate::discovery::reader::{Detail, ReadError, Reader};

/// A cluster to find releases in.
pub struct ReleaseSource {
    reader: Reader,
    namespaces: Namespaces,
}

/// Releases by the namespace and name under which Helm stores them.
type Seen = BTreeMap<(String, String), Sight>;

#[derive(Default)]
struct Sight {
    stored: Option<Stored>,
    managed: Option<Managed>,
}

#[derive(Deserialize)]
struct Object {
    metadata: Meta,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    labels: Labels,
}

/// The labels that Helm puts on its records.
#[derive(Default, Deserialize)]
struct Labels {
    name: Option<String>,
    version: Option<String>,
    status: Option<String>,
}

impl ReleaseSource {
    /// A source that reads these namespaces through this client.
    pub fn new(client: kube::Client, namespaces: Namespaces, page_size: usize) -> Self {
        // The order to stop comes with the run.
        Self { reader: Reader::new(client, page_size, Stop::default()), namespaces }
    }

    /// Sends every release into `out`, each once. `read` are the namespaces to fall back on where the account may not
    /// list across the cluster. Answers what could not be read.
    pub async fn discover(
        self,
        read: &[String],
        out: mpsc::Sender<ReleaseSubject>,
        stop: Stop,
    ) -> Vec<DiscoveryProblem> {
        let Self { reader, namespaces } = self;
        let mut search = Search {
            reader: reader.stopped_by(stop),
            is_wanted: Wanted {
                include: namespaces.include.into_iter().collect(),
                exclude: namespaces.exclude.into_iter().collect(),
            },
            read,
            seen: Seen::new(),
            problems: Vec::new(),
        };
        search.records(StoredIn::Secret).await;
        search.records(StoredIn::ConfigMap).await;
        search.managed().await;
        let Search { seen, problems, .. } = search;
        tracing::info!(releases = seen.len(), "releases found");
        for ((namespace, name), Sight { stored, managed }) in seen {
            let subject = ReleaseSubject { namespace: namespace.into(), name: name.into(), stored, managed };
            // The collator reads to the end, so this fails only when the run has fallen.
            if out.send(subject).await.is_err() {
                break;
            }
        }
        problems
    }
}

struct Wanted {
    include: BTreeSet<String>,
    exclude: BTreeSet<String>,
}

impl Wanted {
    fn is(&self, namespace: &str) -> bool {
        (self.include.is_empty() || self.include.contains(namespace)) && !self.exclude.contains(namespace)
    }
}

struct Search<'a> {
    reader: Reader,
    is_wanted: Wanted,
    read: &'a [String],
    seen: Seen,
    problems: Vec<DiscoveryProblem>,
}

impl Search<'_> {
    /// Helm's records in objects of one kind.
    async fn records(&mut self, kind: StoredIn) {
        let plural = plural(kind);
        let query = "labelSelector=owner%3Dhelm";
        let is_everywhere = self.is_wanted.include.is_empty();
        if is_everywhere {
            match self.list_records(&format!("/api/v1/{plural}?{query}"), kind).await {
                Ok(()) => return,
                Err(ReadError::Forbidden(_)) => {}
                Err(error) => return self.problem(kind, &error, None),
            }
        }
        for namespace in self.namespaces() {
            let path = format!("/api/v1/namespaces/{namespace}/{plural}?{query}");
            if let Err(error) = self.list_records(&path, kind).await {
                let is_over = error == ReadError::Stopped;
                self.problem(kind, &error, Some(namespace));
                if is_over {
                    break;
                }
            }
        }
    }

    async fn list_records(&mut self, path: &str, kind: StoredIn) -> Result<(), ReadError> {
        let reader = self.reader.clone();
        let mut pages = reader.list(path, Detail::Metadata);
        while let Some(page) = pages.next::<Object>().await? {
            for object in page {
                if self.is_wanted.is(&object.metadata.namespace) {
                    self.enter(object.metadata, kind);
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, meta: Meta, kind: StoredIn) {
        let (from_name, of_name) = parts_of(&meta.name);
        let name = meta.labels.name.unwrap_or(from_name);
        let revision = meta.labels.version.and_then(|version| version.parse().ok()).or(of_name).unwrap_or(0);
        let is_deployed = meta.labels.status.as_deref() == Some("deployed");
        let sight = self.seen.entry((meta.namespace, name)).or_default();
        let stored = sight.stored.get_or_insert_with(|| Stored {
            kind,
            object: meta.name.clone(),
            revision,
            revisions: 0,
            deployed: None,
        });
        stored.revisions += 1;
        if is_deployed {
            stored.deployed = stored.deployed.max(Some(revision));
        }
        if revision > stored.revision {
            (stored.kind, stored.object, stored.revision) = (kind, meta.name, revision);
        }
    }

    /// What Flux and Argo CD manage, where their kinds are served.
    async fn managed(&mut self) {
        let served = match self.served().await {
            Ok(served) => served,
            // Told already.
            Err(ReadError::Stopped) => return,
            Err(error) => {
                let message = format!("whether Flux or Argo CD manage releases could not be asked: {error}");
                return self.note("APIGroup", &error, message);
            }
        };
        let version = |group: &str| served.iter().find(|version| version.starts_with(&format!("{group}/")));
        let mut sources = FluxSources::default();
        if let Some(version) = version("source.toolkit.fluxcd.io") {
            for (kind, plural) in
                [("HelmRepository", "helmrepositories"), ("OCIRepository", "ocirepositories")]
            {
                for source in self.kind::<FluxSource>(version, kind, plural).await {
                    sources.add(kind, source);
                }
            }
        }
        let mut found: Vec<Found> = Vec::new();
        if let Some(version) = version("helm.toolkit.fluxcd.io") {
            let releases = self.kind::<HelmRelease>(version, "HelmRelease", "helmreleases").await;
            found.extend(releases.into_iter().map(|release| release.found(&sources)));
        }
        if let Some(version) = version("argoproj.io") {
            let applications = self.kind::<Application>(version, "Application", "applications").await;
            found.extend(applications.into_iter().flat_map(Application::found));
        }
        for Found { namespace, name, managed } in found {
            if self.is_wanted.is(&namespace) {
                self.seen.entry((namespace, name)).or_default().managed.get_or_insert(managed);
            }
        }
    }

    /// The preferred version of every group the API serves.
    async fn served(&self) -> Result<Vec<String>, ReadError> {
        #[derive(Deserialize)]
        struct Groups {
            groups: Vec<Group>,
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
        let groups: Groups = self.reader.get("/apis").await?;
        Ok(groups.groups.into_iter().map(|group| group.preferred_version.group_version).collect())
    }

    /// Whether a group's version has this kind: Argo's group is there without Argo CD.
    async fn serves(&self, version: &str, plural: &str) -> Result<bool, ReadError> {
        #[derive(Deserialize)]
        struct Resources {
            resources: Vec<Resource>,
        }
        #[derive(Deserialize)]
        struct Resource {
            name: String,
        }
        let resources: Resources = self.reader.get(&format!("/apis/{version}")).await?;
        Ok(resources.resources.iter().any(|resource| resource.name == plural))
    }

    /// All objects of a kind; one that cannot be read is told and left out.
    async fn kind<T: DeserializeOwned>(&mut self, version: &str, kind: &str, plural: &str) -> Vec<T> {
        match self.serves(version, plural).await {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(error) => {
                let message = format!("whether {kind} objects manage releases is not known: {error}");
                self.note(kind, &error, message);
                return Vec::new();
            }
        }
        let mut found = Vec::new();
        let mut error = match self.objects(&format!("/apis/{version}/{plural}"), kind, &mut found).await {
            Ok(()) => return found,
            Err(error) => error,
        };
        if matches!(error, ReadError::Forbidden(_)) && !self.is_wanted.include.is_empty() {
            // Only these namespaces are asked about: a manager elsewhere is nothing that is missing.
            let mut refused = None;
            for namespace in self.namespaces() {
                let path = format!("/apis/{version}/namespaces/{namespace}/{plural}");
                refused = self.objects(&path, kind, &mut found).await.err().or(refused);
            }
            match refused {
                Some(last) => error = last,
                None => return found,
            }
        }
        let message = format!("what {kind} objects manage is not known: {error}{}", fix(&error, plural));
        self.note(kind, &error, message);
        found
    }

    /// The namespaces to read one by one.
    fn namespaces(&self) -> Vec<String> {
        let include = &self.is_wanted.include;
        let names: Vec<_> =
            if include.is_empty() { self.read.to_vec() } else { include.iter().cloned().collect() };
        names.into_iter().filter(|name| self.is_wanted.is(name)).collect()
    }

    /// The objects below a path; one that cannot be read is told and left out.
    async fn objects<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &str,
        found: &mut Vec<T>,
    ) -> Result<(), ReadError> {
        let reader = self.reader.clone();
        let mut pages = reader.list(path, Detail::Whole);
        while let Some(page) = pages.next::<serde_json::Value>().await? {
            for object in page {
                let named: Named = serde_json::from_value(object["metadata"].clone()).unwrap_or_default();
                match serde_json::from_value(object) {
                    Ok(read) => found.push(read),
                    Err(error) => {
                        let message =
                            format!("{kind} {}/{} could not be read: {error}", named.namespace, named.name);
                        let error = ReadError::Failed(message.clone());
                        self.note(kind, &error, message);
                    }
                }
            }
        }
        Ok(())
    }

    /// Something without which rows say less.
    fn note(&mut self, kind: &str, error: &ReadError, message: String) {
        self.problems.push(DiscoveryProblem {
            rows_missing: false,
            reason: error.reason(),
            namespace: None,
            kind: Some(kind.to_owned()),
            message,
        });
    }

    /// Records that could not be listed.
    fn problem(&mut self, kind: StoredIn, error: &ReadError, namespace: Option<String>) {
        let plural = plural(kind);
        let place = namespace
            .as_ref()
            .map_or_else(|| "the cluster".to_owned(), |namespace| format!("namespace {namespace:?}"));
        if *error == ReadError::Stopped {
            // Once for both kinds: the report tells equal problems once.
            return self.problems.push(DiscoveryProblem {
                rows_missing: true,
                reason: ProblemReason::Stopped,
                namespace: None,
                kind: Some(DiscoveryProblem::RELEASE.to_owned()),
                message: "Helm releases are missing: the run was stopped before they were listed".to_owned(),
            });
        }
        let fix = match error {
            ReadError::Forbidden(_) => {
                format!("; grant get and list on {plural}, or turn it off with --helm-enabled=false")
            }
            _ => String::new(),
        };
        self.problems.push(DiscoveryProblem {
            rows_missing: true,
            reason: error.reason(),
            namespace,
            kind: Some(DiscoveryProblem::RELEASE.to_owned()),
            message: format!(
                "Helm releases of {place} are missing, as far as {plural} hold them: {error}{fix}"
            ),
        });
    }
}

fn plural(kind: StoredIn) -> &'static str {
    match kind {
        StoredIn::Secret => "secrets",
        StoredIn::ConfigMap => "configmaps",
    }
}

fn fix(error: &ReadError, plural: &str) -> String {
    match error {
        ReadError::Forbidden(_) => format!("; grant get and list on {plural}"),
        _ => String::new(),
    }
}

/// Release and revision in the name of a record: `sh.helm.release.v1.<name>.v<revision>`.
fn parts_of(object: &str) -> (String, Option<u64>) {
    let rest = object.strip_prefix("sh.helm.release.v1.").unwrap_or(object);
    match rest.rsplit_once(".v") {
        Some((name, revision)) => (name.to_owned(), revision.parse().ok()),
        None => (rest.to_owned(), None),
    }
}
