//! The records of releases, and their links with images: which release brought an image, which images a release runs.

use std::collections::{BTreeMap, BTreeSet};

use super::helm::{HelmRelease, LinkedBy, ManagerRecord, ReleaseLink, ReleaseStages, Storage};
use super::parts::WorkloadRecord;
use super::rules::broken_by_release;
use super::stages::stage_record;
use super::types::ImageRecord;
use crate::release::{Managed, ReleaseDossier, ReleaseFacts, ReleaseHint, ReleaseSubject, Stored};

/// Makes the records, in the order of namespace and name, and links them with the rows. `hints` are the rows' own, in
/// their order.
pub(super) fn records<'a>(
    dossiers: &[ReleaseDossier],
    images: &mut [ImageRecord],
    hints: impl Iterator<Item = Option<&'a ReleaseHint>>,
) -> Vec<HelmRelease> {
    let mut releases: Vec<_> = dossiers.iter().map(record).collect();
    let objects: BTreeMap<(&str, &str, &str), usize> = dossiers
        .iter()
        .enumerate()
        .flat_map(|(at, dossier)| {
            let objects = dossier.release.found().into_iter().flat_map(|facts| &facts.objects);
            objects.map(move |object| {
                ((object.namespace.as_str(), object.kind.as_str(), object.name.as_str()), at)
            })
        })
        .collect();
    let by_name: BTreeMap<(String, String), usize> = releases
        .iter()
        .enumerate()
        .map(|(at, release)| ((release.namespace.clone(), release.release_name.clone()), at))
        .collect();
    let mut images_of: Vec<BTreeSet<String>> = vec![BTreeSet::new(); releases.len()];
    let mut workloads_of: Vec<BTreeSet<(String, String)>> = vec![BTreeSet::new(); releases.len()];
    for (row, hint) in images.iter_mut().zip(hints) {
        let of_manifest =
            std::iter::once(&row.workload).chain(row.owners.iter().flatten()).find_map(|workload| {
                objects.get(&(row.namespace.as_str(), workload.kind.as_str(), workload.name.as_str()))
            });
        let of_labels = hint.and_then(|hint| {
            let namespace = hint.namespace.as_deref().unwrap_or(&row.namespace);
            by_name.get(&(namespace.to_owned(), hint.name.to_string()))
        });
        let found = of_manifest.map(|at| (*at, LinkedBy::Manifest));
        let Some((at, by)) = found.or_else(|| of_labels.map(|at| (*at, LinkedBy::Labels))) else { continue };
        let release = &releases[at];
        row.helm_release = Some(ReleaseLink {
            namespace: release.namespace.clone(),
            name: release.release_name.clone(),
            by,
        });
        images_of[at].insert(row.image.clone());
        workloads_of[at].insert((row.workload.kind.clone(), row.workload.name.clone()));
    }
    for (release, (images, workloads)) in releases.iter_mut().zip(images_of.into_iter().zip(workloads_of)) {
        let workloads = workloads.into_iter().map(|(kind, name)| WorkloadRecord { kind, name }).collect();
        release.images = Some(images.into_iter().collect()).filter(|images: &Vec<_>| !images.is_empty());
        release.workloads = Some(workloads).filter(|workloads: &Vec<_>| !workloads.is_empty());
    }
    for release in &mut releases {
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
