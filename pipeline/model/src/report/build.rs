//! Makes the report of what was seen and what was found.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use provenance_engine::Outcome;

use super::attached;
use super::discovery::{Discovery, ProblemReason};
use super::helm::HelmRelease;
use super::parts::{OutcomeWord, WorkloadRecord};
use super::rule::Rule;
use super::stages::{release_stages, stage_record};
use super::types::{
    CacheUse, ContainerRecord, Drift, ImageRecord, Metadata, Part, ReferenceRecord, RegistryUse, Report, Run,
    StageUse, Stages, Summary,
};
use crate::digest_finding::{DigestFinding, DriftState};
use crate::dossier::Dossier;
use crate::name::Digest;
use crate::rows::Row;
use crate::sighting::Running;

/// What is known at the end of a run besides rows and dossiers.
#[derive(Debug, Clone)]
pub struct Closing {
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// How long it took. The clock can have been set meanwhile.
    pub took: Duration,
    /// The collector's version.
    pub version: String,
    /// The cluster's name, as configured.
    pub cluster_name: Option<String>,
    /// How discovery went.
    pub discovery: Discovery,
    /// Why the run was cut short, if it was.
    pub cut_short: Option<String>,
    /// What was asked of each registry host.
    pub registries: Vec<RegistryUse>,
    /// What each stage took.
    pub stages: Vec<StageUse>,
    /// The most memory that the collector took, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// How much use the cache was, where there is one.
    pub cache: Option<CacheUse>,
    /// What was not read on purpose, a sentence each.
    pub turned_off: Vec<String>,
    /// The rules that the run was told to fail on.
    pub fail_on: Vec<Rule>,
    /// Which part of a run this is, where several processes share it.
    pub part: Option<Part>,
}

/// Everything of a report but its rows: of so many sightings and subjects, these counts and releases, the namespaces that
/// rows are of, and how many rows and releases a check fails on.
pub(super) fn head(
    (sightings, subjects): (usize, usize),
    (summary, helm_releases): (Summary, Vec<HelmRelease>),
    namespaces: Vec<String>,
    failing: usize,
    closing: Closing,
) -> Report {
    let mut run = run((sightings, subjects), (&summary, &helm_releases), &closing);
    run.failing = (!closing.fail_on.is_empty()).then_some(failing);
    let namespaces: BTreeSet<_> = closing.discovery.namespaces.into_iter().chain(namespaces).collect();
    let metadata = Metadata {
        generated_at: closing.ended_at,
        collector_version: closing.version,
        cluster_name: closing.cluster_name,
        namespaces_scanned: namespaces.into_iter().collect(),
    };
    Report { metadata, images: Vec::new(), helm_releases, summary, run: Some(run), truncated: None }
}

fn run(
    (sightings, subjects): (usize, usize),
    (summary, releases): (&Summary, &[HelmRelease]),
    closing: &Closing,
) -> Run {
    let mut problems = closing.discovery.problems.clone();
    problems.sort();
    problems.dedup();
    let mut partial_reasons: Vec<_> = closing.cut_short.iter().cloned().collect();
    let not_reached_releases = releases
        .iter()
        .filter(|release| release_stages(release).any(|(_, stage)| stage.outcome == OutcomeWord::NotReached))
        .count();
    if not_reached_releases > 0 {
        partial_reasons.push(format!(
            "{not_reached_releases} of {} Helm releases were not examined to the end",
            releases.len()
        ));
    }
    let not_reached = summary.not_reached_images.unwrap_or_default();
    if not_reached > 0 {
        partial_reasons
            .push(format!("{not_reached} of {} rows were not examined to the end", summary.total_images));
    }
    partial_reasons.extend(problems.iter().filter(|problem| problem.is_partial()).map(|p| p.message.clone()));

    let forbidden =
        problems.iter().filter(|problem| problem.is_partial() && problem.reason == ProblemReason::Forbidden);
    let forbidden_namespaces: BTreeSet<_> =
        forbidden.filter_map(|problem| problem.namespace.clone()).collect();
    let forbidden_namespaces = forbidden_namespaces.into_iter().collect();

    let mut registries = closing.registries.clone();
    registries.sort_by(|a, b| a.host.cmp(&b.host));
    Run {
        started_at: closing.started_at,
        duration_seconds: closing.took.as_secs_f64(),
        partial: !partial_reasons.is_empty(),
        partial_reasons,
        sightings,
        subjects,
        registries,
        stages: closing.stages.clone(),
        peak_memory_bytes: closing.peak_memory_bytes,
        cache: closing.cache.clone(),
        forbidden_namespaces,
        problems,
        turned_off: closing.turned_off.clone(),
        fail_on: closing.fail_on.clone(),
        failing: None,
        part: closing.part.clone(),
    }
}

pub(super) fn record(row: &Row<'_>, dossier: &Dossier) -> ImageRecord {
    let image = row.image;
    let finding = dossier.digest.found();
    let running = row.running.manifest();
    let digest = running.or_else(|| finding.and_then(|finding| finding.digest.as_ref()));
    let containers: Vec<_> = row
        .containers
        .iter()
        .map(|(kind, name)| ContainerRecord { name: name.to_string(), kind: *kind })
        .collect();
    ImageRecord {
        image: image.written.clone(),
        digest: digest.map(Digest::to_string),
        namespace: row.namespace.to_owned(),
        workload: workload((row.kind, row.workload)),
        signature: attached::signature(&dossier.signature),
        sbom: attached::sbom(&dossier.sbom),
        provenance: attached::provenance(&dossier.provenance),
        attestations: attached::attestations(&dossier.provenance),
        update: dossier.update.found().map(|update| (**update).clone()),
        helm_release: None,
        findings: None,
        reference: image.reference.as_ref().ok().map(|reference| ReferenceRecord {
            registry: reference.registry.to_string(),
            repository: reference.repository.to_string(),
            tag: reference.tag.as_ref().map(ToString::to_string),
            digest: reference.digest.as_ref().map(ToString::to_string),
        }),
        containers: some_unless_empty(containers),
        pods: (row.pods > 0).then_some(row.pods as usize),
        owners: some_unless_empty(row.owners().map(workload).collect()),
        drift: drift(&dossier.digest, row.running),
        platform: finding.and_then(|finding| finding.platform.as_ref()).map(ToString::to_string),
        platforms: finding
            .map(|finding| finding.platforms.iter().map(ToString::to_string).collect())
            .and_then(some_unless_empty),
        media_type: finding.and_then(|finding| finding.media_type.clone()),
        stages: Some(Box::new(Stages {
            digest: Some(stage_record("digest", &dossier.digest, None, &dossier.trail)),
            signature: Some(attached::stage(
                stage_record(
                    "signature",
                    &dossier.signature,
                    dossier.signature.found().and_then(|found| found.unanswered.as_ref()),
                    &dossier.trail,
                ),
                &dossier.signature,
            )),
            provenance: Some(stage_record(
                "provenance",
                &dossier.provenance,
                dossier.provenance.found().and_then(|found| found.unanswered.as_ref()),
                &dossier.trail,
            )),
            sbom: Some(stage_record(
                "sbom",
                &dossier.sbom,
                dossier.sbom.found().and_then(|found| found.unanswered.as_ref()),
                &dossier.trail,
            )),
            update: Some(stage_record("update", &dossier.update, None, &dossier.trail)),
        })),
    }
}

fn workload((kind, name): (&str, &str)) -> WorkloadRecord {
    WorkloadRecord { kind: kind.to_owned(), name: name.to_owned() }
}

fn some_unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// A tag that is gone while nothing runs is an absence, and still worth its word.
fn drift(outcome: &Outcome<DigestFinding>, running: &Running) -> Option<Drift> {
    let (state, tag_digest) = match outcome {
        Outcome::Found(finding) => (finding.state, finding.tag_digest.as_ref().map(ToString::to_string)),
        Outcome::Absent => (DriftState::TagGone, None),
        Outcome::Failed(_) | Outcome::Skipped(_) | Outcome::NotReached => return None,
    };
    let (running_digest, running_image_id) = match running {
        Running::Manifest(digest) => (Some(digest.to_string()), None),
        Running::ImageId(id) => (None, Some(id.to_string())),
        Running::Unknown => (None, None),
    };
    Some(Drift { state, tag_digest, running_digest, running_image_id })
}
