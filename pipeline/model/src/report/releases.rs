//! The records of releases, and their links with images: which release brought an image, which images a release runs.

use std::collections::{BTreeMap, BTreeSet};

use super::helm::{HelmRelease, LinkedBy, ManagerRecord, ReleaseLink, ReleaseStages, Storage};
use super::parts::WorkloadRecord;
use super::rules::broken_by_release;
use super::stages::stage_record;
use super::types::ImageRecord;
use crate::release::{Managed, ReleaseDossier, ReleaseFacts, ReleaseHint, ReleaseSubject, Stored};

/// Which release brought which row: by the objects of its manifest, or by what pods say.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// By namespace, kind and name.
    objects: BTreeMap<(String, String, String), usize>,
    by_name: BTreeMap<(String, String), usize>,
    /// Namespace and name, by number.
    names: Vec<(String, String)>,
}

/// What each release brought.
#[derive(Debug)]
pub(super) struct Linked {
    images: Vec<BTreeSet<String>>,
    workloads: Vec<BTreeSet<(String, String)>>,
}

impl Linked {
    /// Release `at` brought this row.
    pub(super) fn add(&mut self, at: usize, row: &ImageRecord) {
        if !self.images[at].contains(&row.image) {
            self.images[at].insert(row.image.clone());
        }
        self.workloads[at].insert((row.workload.kind.clone(), row.workload.name.clone()));
    }
}

impl Links {
    pub(super) fn new(dossiers: &[ReleaseDossier]) -> Self {
        let mut links = Self::default();
        for (at, dossier) in dossiers.iter().enumerate() {
            let facts = dossier.release.found();
            for object in facts.into_iter().flat_map(|facts| &facts.objects) {
                let key = (object.namespace.clone(), object.kind.clone(), object.name.clone());
                links.objects.insert(key, at);
            }
            let release = record(dossier);
            let name = (release.namespace, release.release_name);
            links.by_name.insert(name.clone(), at);
            links.names.push(name);
        }
        links
    }

    /// Nothing collected yet.
    pub(super) fn collect(&self) -> Linked {
        let count = self.names.len();
        Linked { images: vec![BTreeSet::new(); count], workloads: vec![BTreeSet::new(); count] }
    }

    /// The number of the release that brought a row, and how that is known.
    pub(super) fn of(&self, row: &ImageRecord, hint: Option<&ReleaseHint>) -> Option<(usize, LinkedBy)> {
        if self.names.is_empty() {
            return None;
        }
        let of_manifest =
            std::iter::once(&row.workload).chain(row.owners.iter().flatten()).find_map(|workload| {
                let key = (row.namespace.clone(), workload.kind.clone(), workload.name.clone());
                self.objects.get(&key)
            });
        let of_labels = hint.and_then(|hint| {
            let namespace = hint.namespace.as_deref().unwrap_or(&row.namespace);
            self.by_name.get(&(namespace.to_owned(), hint.name.to_string()))
        });
        let found = of_manifest.map(|at| (*at, LinkedBy::Manifest));
        found.or_else(|| of_labels.map(|at| (*at, LinkedBy::Labels)))
    }

    /// The link to a release, as a row has it.
    pub(super) fn link(&self, at: usize, by: LinkedBy) -> ReleaseLink {
        let (namespace, name) = self.names[at].clone();
        ReleaseLink { namespace, name, by }
    }
}

/// Makes the records, in the order of namespace and name, with what each brought.
pub(super) fn records(dossiers: &[ReleaseDossier], linked: Linked) -> Vec<HelmRelease> {
    let mut releases: Vec<_> = dossiers.iter().map(record).collect();
    for (release, (images, workloads)) in
        releases.iter_mut().zip(linked.images.into_iter().zip(linked.workloads))
    {
        let workloads = workloads.into_iter().map(|(kind, name)| WorkloadRecord { kind, name }).collect();
        release.images = Some(images.into_iter().collect()).filter(|images: &Vec<_>| !images.is_empty());
        release.workloads = Some(workloads).filter(|workloads: &Vec<_>| !workloads.is_empty());
        release.findings = Some(broken_by_release(release));
    }
    releases.sort_by(|a, b| (&a.namespace, &a.release_name).cmp(&(&b.namespace, &b.release_name)));
    releases
}

fn record(dossier: &ReleaseDossier) -> HelmRelease {
    let ReleaseSubject { namespace, name, stored, managed } = &dossier.subject;
    let unread = ReleaseFacts { namespace: namespace.to_string(), ..ReleaseFacts::default() };
    let facts = dossier.release.found().unwrap_or(&unread);
    let update = dossier.chart.found();
    let is_read = dossier.release.found().is_some();
    let other_deployed = |stored: &Stored| stored.deployed.filter(|deployed| *deployed != stored.revision);
    HelmRelease {
        release_name: name.to_string(),
        namespace: facts.namespace.clone(),
        chart: facts.chart.clone(),
        version: facts.version.clone(),
        app_version: facts.app_version.clone(),
        status: facts.status.clone(),
        description: facts.description.clone(),
        revision: stored.as_ref().map(|stored| stored.revision),
        deployed_revision: stored.as_ref().and_then(other_deployed),
        revisions: stored.as_ref().map(|stored| stored.revisions),
        updated_at: facts.updated_at.clone(),
        deprecated: is_read.then(|| facts.deprecated || update.is_some_and(|update| update.deprecated)),
        kube_version: facts.kube_version.clone(),
        storage: stored.as_ref().map(|stored| Storage {
            kind: stored.kind,
            namespace: namespace.to_string(),
            name: stored.object.clone(),
        }),
        manager: managed.as_ref().map(|Managed { by, namespace, name, status, .. }| ManagerRecord {
            by: *by,
            namespace: namespace.clone(),
            name: name.clone(),
            status: status.clone(),
        }),
        update: update.cloned(),
        images: None,
        workloads: None,
        findings: None,
        stages: Some(ReleaseStages {
            release: Some(stage_record("release", &dossier.release, None, &dossier.trail)),
            chart: Some(stage_record("chart", &dossier.chart, None, &dossier.trail)),
        }),
    }
}
