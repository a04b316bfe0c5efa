//! A cluster's sightings: which namespaces are read, and what becomes of those that cannot be.
//!
//! Across the cluster in one listing where the account may; else namespace by namespace. Whatever could not
//! be read is named in the report: a missing row is the one error a reader cannot see.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provenance_engine::Stop;
use provenance_model::report::{Discovery, DiscoveryProblem, ProblemReason};
use provenance_model::{CredentialScope, Shard, Sighting, Workload};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::intern::{Interner, uid};
use super::owners::{Owners, Scope};
use super::pods::{ObjectMeta, Pod};
use super::pull_secrets::PullSecrets;
use super::reader::{Detail, ReadError, Reader, chain};
use crate::credentials::CredentialBook;

/// Which namespaces are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// Only these; all where empty.
    pub include: Vec<String>,
    /// But not these.
    pub exclude: Vec<String>,
}

/// Why there is nothing to report on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// No cluster is configured, or its configuration cannot be read.
    #[error("{0}")]
    Config(String),
    /// The cluster's API did not answer, or does not know us.
    #[error("the Kubernetes API cannot be read: {0}")]
    Api(String),
}

/// A client for the cluster: the given kubeconfig files, else the account of the pod we run in, else
/// `~/.kube/config`. Several files are merged as kubectl merges them: one that does not exist is passed over.
///
/// # Errors
///
/// [`DiscoveryError::Config`], naming the file and what is wrong with it.
pub async fn connect(kubeconfig: &[PathBuf]) -> Result<kube::Client, DiscoveryError> {
    crate::choose_crypto();
    let config = if kubeconfig.is_empty() {
        kube::Config::infer().await.map_err(|error| {
            DiscoveryError::Config(format!(
                "no cluster is configured: run inside one, or name a kubeconfig file with --kubeconfig or KUBECONFIG ({})",
                chain(&error)
            ))
        })?
    } else {
        let names: Vec<_> = kubeconfig.iter().map(|path| path.display().to_string()).collect();
        kube::Config::from_custom_kubeconfig(merged(kubeconfig)?, &kube::config::KubeConfigOptions::default())
            .await
            .map_err(|error| {
                DiscoveryError::Config(format!("kubeconfig {}: {}", names.join(", "), chain(&error)))
            })?
    };
    kube::Client::try_from(config).map_err(|error| {
        DiscoveryError::Config(format!("the cluster's configuration cannot be used: {}", chain(&error)))
    })
}

fn merged(files: &[PathBuf]) -> Result<kube::config::Kubeconfig, DiscoveryError> {
    let refuse =
        |path: &Path, why: String| DiscoveryError::Config(format!("kubeconfig {}: {why}", path.display()));
    let mut merged: Option<kube::config::Kubeconfig> = None;
    for path in files {
        if files.len() > 1 && !path.exists() {
            continue;
        }
        let file = kube::config::Kubeconfig::read_from(path).map_err(|error| refuse(path, chain(&error)))?;
        merged = Some(match merged {
            Some(first) => first.merge(file).map_err(|error| refuse(path, chain(&error)))?,
            None => file,
        });
    }
    merged.ok_or_else(|| DiscoveryError::Config("none of the files that KUBECONFIG names exists".into()))
}

/// A cluster to read sightings from.
pub struct ClusterSource {
    client: kube::Client,
    namespaces: Namespaces,
    page_size: usize,
    credentials: Option<Arc<CredentialBook>>,
    shard: Shard,
}

impl ClusterSource {
    /// Pods in one page.
    pub const PAGE_SIZE: usize = 500;

    /// A source that reads these namespaces through this client.
    pub fn new(client: kube::Client, namespaces: Namespaces) -> Self {
        Self { client, namespaces, page_size: Self::PAGE_SIZE, credentials: None, shard: Shard::default() }
    }

    /// Reads the pull secrets of pods and their service accounts into this book.
    #[must_use]
    pub fn pull_secrets(mut self, book: Arc<CredentialBook>) -> Self {
        self.credentials = Some(book);
        self
    }

    /// Only the images of this share.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// Another page size.
    #[must_use]
    pub fn page_size(mut self, pods: usize) -> Self {
        self.page_size = pods;
        self
    }

    /// Sends every sighting into `out` while later pages still load.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Api`] where not even the first page could be read. A listing that fails later is
    /// not an error but a problem in the [`Discovery`].
    pub async fn discover(
        self,
        out: mpsc::Sender<Sighting>,
        stop: Stop,
    ) -> Result<Discovery, DiscoveryError> {
        let own_namespace = self.client.default_namespace().to_owned();
        let reader = Reader::new(self.client, self.page_size, stop);
        let mut scan = Scan {
            nobody: Arc::new([]),
            reader: reader.clone(),
            pull_secrets: self.credentials.map(|book| PullSecrets::new(reader.clone(), book)),
            owners: Owners::new(reader),
            interner: Interner::default(),
            exclude: self.namespaces.exclude.into_iter().collect(),
            out,
            seen: HashSet::new(),
            unsure: Vec::new(),
            namespaces: BTreeSet::new(),
            problems: Vec::new(),
            pods: 0,
            reads_by_namespace: false,
            shard: self.shard,
        };
        if self.namespaces.include.is_empty() {
            scan.everything(&own_namespace).await;
        } else {
            let wanted: BTreeSet<_> = self.namespaces.include.into_iter().collect();
            scan.each(wanted, true).await;
        }
        scan.nothing_read()?;
        Ok(scan.finish().await)
    }
}

struct Scan {
    /// The owners of a pod that has none.
    nobody: Arc<[Workload]>,
    reader: Reader,
    owners: Owners,
    pull_secrets: Option<PullSecrets>,
    interner: Interner,
    exclude: HashSet<String>,
    out: mpsc::Sender<Sighting>,
    /// Pods by uid: an expired continue token can bring a pod twice.
    seen: HashSet<u128>,
    /// Pods whose owner was not in its kind's list.
    unsure: Vec<(Pod, Scope)>,
    namespaces: BTreeSet<String>,
    problems: Vec<DiscoveryProblem>,
    pods: usize,
    reads_by_namespace: bool,
    shard: Shard,
}

impl Scan {
    /// All namespaces: in one listing, or one by one where only that is allowed.
    async fn everything(&mut self, own_namespace: &str) {
        match self.pods("/api/v1/pods", &Scope::Cluster).await {
            Ok(()) => return,
            Err(ReadError::Forbidden(_)) => {}
            Err(error) => return self.cut_short(&error, None),
        }
        match self.namespace_names().await {
            Ok(names) => self.each(names, false).await,
            Err(ReadError::Forbidden(why)) => {
                let own_namespace = home_of(own_namespace, &why);
                self.problems.push(DiscoveryProblem {
                    rows_missing: true,
                    reason: ProblemReason::Forbidden,
                    namespace: None,
                    kind: Some("Pod".into()),
                    message: format!(
                        "the account may list neither pods nor namespaces across the cluster, so only its own namespace \
                         {own_namespace:?} was read; name namespaces with --namespaces, or grant the right ({why})"
                    ),
                });
                self.each(BTreeSet::from([own_namespace.to_owned()]), false).await;
            }
            Err(error) => self.cut_short(&error, None),
        }
    }

    async fn namespace_names(&self) -> Result<BTreeSet<String>, ReadError> {
        let mut names = BTreeSet::new();
        let mut pages = self.reader.list("/api/v1/namespaces", Detail::Metadata);
        while let Some(page) = pages.next::<Named>().await? {
            names.extend(page.into_iter().map(|namespace| namespace.metadata.name));
        }
        Ok(names)
    }

    /// These namespaces, one by one.
    async fn each(&mut self, names: BTreeSet<String>, are_asked_for: bool) {
        self.reads_by_namespace = true;
        for name in names {
            if self.exclude.contains(&name) {
                continue;
            }
            let before = self.pods;
            let scope = Scope::Namespace(self.interner.text(&name));
            match self.pods(&format!("/api/v1/namespaces/{name}/pods"), &scope).await {
                Ok(()) if self.pods == before && are_asked_for => self.is_it_there(&name).await,
                Ok(()) => {
                    self.namespaces.insert(name);
                }
                Err(error @ ReadError::Forbidden(_)) => self.problems.push(DiscoveryProblem {
                    rows_missing: true,
                    reason: error.reason(),
                    message: format!("namespace {name:?} could not be read, its rows are missing: {error}"),
                    namespace: Some(name),
                    kind: Some("Pod".into()),
                }),
                Err(error) => {
                    let is_over = error == ReadError::Stopped;
                    self.cut_short(&error, Some(name));
                    if is_over {
                        break;
                    }
                }
            }
        }
    }

    /// A namespace without pods, asked for by name: empty, or not there at all?
    async fn is_it_there(&mut self, name: &str) {
        let read: Result<Named, _> = self.reader.get(&format!("/api/v1/namespaces/{name}")).await;
        let (reason, message) = match read {
            Ok(_) => {
                self.namespaces.insert(name.to_owned());
                return;
            }
            Err(ReadError::NotFound(_)) => {
                (ProblemReason::NotFound, format!("namespace {name:?} does not exist"))
            }
            Err(error) => {
                self.namespaces.insert(name.to_owned());
                let message =
                    format!("namespace {name:?} has no pods; whether it exists could not be asked: {error}");
                (error.reason(), message)
            }
        };
        self.problems.push(DiscoveryProblem {
            rows_missing: false,
            reason,
            namespace: Some(name.to_owned()),
            kind: Some("Namespace".into()),
            message,
        });
    }

    /// A listing that ended early.
    fn cut_short(&mut self, error: &ReadError, namespace: Option<String>) {
        let reason = match error {
            ReadError::Stopped => ProblemReason::Stopped,
            _ => ProblemReason::CutShort,
        };
        let place =
            namespace.as_ref().map_or_else(|| "the cluster".to_owned(), |name| format!("namespace {name:?}"));
        self.problems.push(DiscoveryProblem {
            rows_missing: true,
            reason,
            message: format!(
                "listing the pods of {place} was cut short after {} pods, rows are missing: {error}",
                self.pods
            ),
            namespace,
            kind: Some("Pod".into()),
        });
    }

    /// Where nothing at all could be read there is nothing to report on.
    fn nothing_read(&self) -> Result<(), DiscoveryError> {
        let refusals: Vec<_> = self
            .problems
            .iter()
            .filter(|problem| problem.rows_missing && problem.reason != ProblemReason::Stopped)
            .map(|problem| problem.message.as_str())
            .collect();
        if self.pods > 0 || !self.namespaces.is_empty() || refusals.is_empty() {
            return Ok(());
        }
        Err(DiscoveryError::Api(refusals.join("; ")))
    }

    /// Lists pods and sends their sightings on, page by page.
    async fn pods(&mut self, path: &str, scope: &Scope) -> Result<(), ReadError> {
        let reader = self.reader.clone();
        let mut pages = reader.list(path, Detail::Whole);
        while let Some(page) = pages.next::<Pod>().await? {
            for pod in page {
                self.pod(pod, scope).await?;
            }
        }
        Ok(())
    }

    async fn pod(&mut self, pod: Pod, scope: &Scope) -> Result<(), ReadError> {
        if self.exclude.contains(&pod.metadata.namespace) || !self.seen.insert(identity(&pod.metadata)) {
            return Ok(());
        }
        self.pods += 1;
        if !self.namespaces.contains(&pod.metadata.namespace) {
            self.namespaces.insert(pod.metadata.namespace.clone());
        }
        let Some(controller) = Owners::controller(&pod.metadata, &mut self.interner) else {
            let none = Arc::clone(&self.nobody);
            return self.emit(&pod, &none).await;
        };
        let climbed = self.owners.climb(&controller, scope, &mut self.interner).await;
        if climbed.is_unsure {
            self.unsure.push((pod, scope.clone()));
            return Ok(());
        }
        self.emit(&pod, &climbed.owners).await
    }

    async fn emit(&mut self, pod: &Pod, owners: &Arc<[Workload]>) -> Result<(), ReadError> {
        let namespace = self.interner.text(&pod.metadata.namespace);
        let workload = owners.last().cloned().unwrap_or_else(|| Workload {
            kind: self.interner.text("Pod"),
            name: pod.metadata.name.as_str().into(),
        });
        let place =
            if self.reads_by_namespace { Scope::Namespace(Arc::clone(&namespace)) } else { Scope::Cluster };
        let secrets = match &mut self.pull_secrets {
            Some(pull_secrets) => {
                let names =
                    pull_secrets.names(&namespace, pod.pull_secrets(), pod.service_account(), &place).await;
                // The run is being stopped: the rows stand, and nothing is asked for them any more.
                names.ok()
            }
            None => None,
        };
        let release = pod.release();
        for seen in pod.containers() {
            let image = self.interner.image(seen.image);
            if !self.shard.has_image(&image) {
                continue;
            }
            let scope = match (&mut self.pull_secrets, &secrets) {
                (Some(pull_secrets), Some(secrets)) => {
                    pull_secrets.scope(secrets, &image).await.unwrap_or_default()
                }
                _ => CredentialScope::default(),
            };
            let sighting = Sighting {
                namespace: Arc::clone(&namespace),
                workload: workload.clone(),
                owners: Arc::clone(owners),
                container: self.interner.text(seen.name),
                container_kind: seen.kind,
                image,
                running: self.interner.running(seen.running),
                pod: Some(identity(&pod.metadata)),
                scope,
                wishes: pod.wishes(seen.name),
                release: release.clone(),
            };
            if self.out.send(sighting).await.is_err() {
                return Err(ReadError::Failed("nobody takes the sightings any more".into()));
            }
        }
        Ok(())
    }

    /// Looks once more for owners that came after their kind was listed, and closes.
    async fn finish(mut self) -> Discovery {
        let unsure = std::mem::take(&mut self.unsure);
        if !unsure.is_empty() {
            self.owners.look_again();
        }
        for (pod, scope) in unsure {
            let owners = match Owners::controller(&pod.metadata, &mut self.interner) {
                Some(controller) => self.owners.climb(&controller, &scope, &mut self.interner).await.owners,
                None => Arc::new([]),
            };
            if self.emit(&pod, &owners).await.is_err() {
                break;
            }
        }
        tracing::info!(pods = self.pods, namespaces = self.namespaces.len(), "discovery ended");
        let mut problems = self.problems;
        problems.extend(self.owners.into_problems());
        problems.extend(self.pull_secrets.into_iter().flat_map(PullSecrets::into_problems));
        Discovery { namespaces: self.namespaces.into_iter().collect(), problems }
    }
}

#[derive(Debug, Deserialize)]
struct Named {
    metadata: ObjectMeta,
}

/// The namespace an account is at home in: that of the kubeconfig's context, or where it names none that of the
/// service account, which the API names when it refuses.
fn home_of<'a>(of_context: &'a str, refusal: &'a str) -> &'a str {
    let of_account = refusal.split("system:serviceaccount:").nth(1).and_then(|rest| rest.split(':').next());
    match of_account {
        Some(namespace) if of_context == "default" && !namespace.is_empty() => namespace,
        _ => of_context,
    }
}

/// A pod's number: its uid, or where it has none its place and name.
fn identity(meta: &ObjectMeta) -> u128 {
    if meta.uid.is_empty() { uid(&format!("{}/{}", meta.namespace, meta.name)) } else { uid(&meta.uid) }
}
