//! Joins the parts of a run that several processes shared into the report that one process would have made.
//!
//! Every part has read the whole cluster and examined its share of the repositories, so that a row is in one part only. Rows
//! may be large and many: whoever joins writes them from where they are, and only what stands beside them is joined here.

use std::collections::{BTreeMap, BTreeSet};

use super::counting::summarise;
use super::helm::HelmRelease;
use super::parts::WorkloadRecord;
use super::rule::Rule;
use super::rules::judged;
use super::types::{CacheUse, FailureCount, RegistryUse, Report, RuleCount, Run, StageUse, Summary};
use crate::shard::Shard;

/// One part, its rows left out.
#[derive(Debug, Clone)]
pub struct PartReport {
    /// Which part it is.
    pub index: u32,
    /// The report, without rows.
    pub report: Report,
    /// How many of its rows break a rule that the run was told to fail on.
    pub failing_rows: usize,
}

/// Joins all but the rows of these parts of a run that has so many. None where there are none.
pub fn join(mut parts: Vec<PartReport>, count: u32) -> Option<Report> {
    parts.sort_by_key(|part| part.index);
    let first = parts.first()?.report.clone();
    let mut metadata = first.metadata;
    metadata.generated_at = parts.iter().map(|part| part.report.metadata.generated_at).max()?;
    let namespaces: BTreeSet<_> =
        parts.iter().flat_map(|part| part.report.metadata.namespaces_scanned.iter().cloned()).collect();
    metadata.namespaces_scanned = namespaces.into_iter().collect();
    let helm_releases = releases(&parts, count);
    let summary = summary(&parts, &helm_releases);
    let fail_on = first.run.map(|run| run.fail_on).unwrap_or_default();
    let failing = (!fail_on.is_empty()).then(|| {
        let rows: usize = parts.iter().map(|part| part.failing_rows).sum();
        rows + failing_releases(&helm_releases, &fail_on)
    });
    let run = run(&parts, count, fail_on, failing)?;
    Some(Report { metadata, images: Vec::new(), helm_releases, summary, run: Some(run), truncated: None })
}

fn failing_releases(releases: &[HelmRelease], fail_on: &[Rule]) -> usize {
    let fails = |release: &&HelmRelease| {
        judged(release.findings.as_deref(), fail_on).iter().any(|broken| broken.fails)
    };
    releases.iter().filter(fails).count()
}

/// Every part knows every release, and looked for the updates of its share of them; each links its own rows.
fn releases(parts: &[PartReport], count: u32) -> Vec<HelmRelease> {
    let mut joined: BTreeMap<(String, String), (bool, HelmRelease)> = BTreeMap::new();
    for part in parts {
        for release in &part.report.helm_releases {
            // Shards go by where the release is stored, which is not always where it is installed.
            let stored = release.storage.as_ref().map_or(&release.namespace, |storage| &storage.namespace);
            let is_own = Shard::of(count, stored, &release.release_name) == part.index;
            let key = (release.namespace.clone(), release.release_name.clone());
            let Some((has_own, known)) = joined.get_mut(&key) else {
                joined.insert(key, (is_own, release.clone()));
                continue;
            };
            let images = union(known.images.take(), release.images.clone());
            let workloads = union_by(known.workloads.take(), release.workloads.clone());
            if is_own && !*has_own {
                *known = release.clone();
                *has_own = true;
            }
            (known.images, known.workloads) = (images, workloads);
        }
    }
    joined.into_values().map(|(_, release)| release).collect()
}

fn union(one: Option<Vec<String>>, other: Option<Vec<String>>) -> Option<Vec<String>> {
    let all: BTreeSet<_> = one.into_iter().chain(other).flatten().collect();
    (!all.is_empty()).then(|| all.into_iter().collect())
}

fn union_by(
    one: Option<Vec<WorkloadRecord>>,
    other: Option<Vec<WorkloadRecord>>,
) -> Option<Vec<WorkloadRecord>> {
    let pairs = one.into_iter().chain(other).flatten().map(|workload| (workload.kind, workload.name));
    let all: BTreeSet<_> = pairs.collect();
    let workload = |(kind, name)| WorkloadRecord { kind, name };
    (!all.is_empty()).then(|| all.into_iter().map(workload).collect())
}

/// Rows are in one part each, so that their counts add up; releases are counted anew.
fn summary(parts: &[PartReport], releases: &[HelmRelease]) -> Summary {
    let all = || parts.iter().map(|part| &part.report.summary);
    let sum = |of: fn(&Summary) -> usize| all().map(of).sum::<usize>();
    let sum_known = |of: fn(&Summary) -> Option<usize>| all().map(of).sum::<Option<usize>>();
    let mut failures: BTreeMap<_, usize> = BTreeMap::new();
    for count in all().flat_map(|summary| summary.failures.iter().flatten()) {
        *failures.entry((count.stage.clone(), count.kind)).or_default() += count.images;
    }
    let of_releases = summarise(&[], releases);
    let mut findings: BTreeMap<Rule, (usize, usize)> = BTreeMap::new();
    for count in all().flat_map(|summary| summary.findings.iter().flatten()) {
        findings.entry(count.rule).or_default().0 += count.images;
    }
    for count in of_releases.findings.iter().flatten() {
        findings.entry(count.rule).or_default().1 += count.helm_releases;
    }
    findings.retain(|_, counts| *counts != (0, 0));
    Summary {
        total_images: sum(|summary| summary.total_images),
        // An image's name falls to one part.
        unique_images: sum(|summary| summary.unique_images),
        signed_images: sum(|summary| summary.signed_images),
        verified_images: sum(|summary| summary.verified_images),
        images_with_sbom: sum(|summary| summary.images_with_sbom),
        images_with_provenance: sum(|summary| summary.images_with_provenance),
        images_with_updates: sum(|summary| summary.images_with_updates),
        drifted_images: sum_known(|summary| summary.drifted_images),
        digest_gone_images: sum_known(|summary| summary.digest_gone_images),
        tag_gone_images: sum_known(|summary| summary.tag_gone_images),
        unsigned_images: sum_known(|summary| summary.unsigned_images),
        invalid_images: sum_known(|summary| summary.invalid_images),
        failed_images: sum_known(|summary| summary.failed_images),
        not_reached_images: sum_known(|summary| summary.not_reached_images),
        failures: Some(
            failures
                .into_iter()
                .map(|((stage, kind), images)| FailureCount { stage, kind, images })
                .collect(),
        ),
        findings: Some(
            findings
                .into_iter()
                .map(|(rule, (images, helm_releases))| RuleCount { rule, images, helm_releases })
                .collect(),
        ),
        ..of_releases
    }
}

/// What each stage took in all parts, in the order of the pipeline.
fn stages(runs: &[(u32, &Run)]) -> Vec<StageUse> {
    let mut all: Vec<StageUse> = Vec::new();
    for one in runs.iter().flat_map(|(_, run)| &run.stages) {
        match all.iter_mut().find(|known| known.stage == one.stage) {
            Some(known) => {
                known.items += one.items;
                known.failed += one.failed;
                known.wait_seconds += one.wait_seconds;
                known.work_seconds += one.work_seconds;
                known.blocked_seconds += one.blocked_seconds;
            }
            None => all.push(one.clone()),
        }
    }
    all
}

/// The sum of what is known.
fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().reduce(|one, other| one + other)
}

fn run(parts: &[PartReport], count: u32, fail_on: Vec<Rule>, failing: Option<usize>) -> Option<Run> {
    let runs: Vec<_> =
        parts.iter().filter_map(|part| Some((part.index, part.report.run.as_ref()?))).collect();
    let started_at = runs.iter().map(|(_, run)| run.started_at).min()?;
    let ends = runs
        .iter()
        .map(|(_, run)| run.started_at.duration_since(started_at).as_secs_f64() + run.duration_seconds);
    let duration_seconds = ends.fold(0.0, f64::max);
    let mut registries: BTreeMap<&str, RegistryUse> = BTreeMap::new();
    for used in runs.iter().flat_map(|(_, run)| &run.registries) {
        let all = registries.entry(&used.host).or_default();
        all.host.clone_from(&used.host);
        all.requests += used.requests;
        all.retries += used.retries;
        all.throttled += used.throttled;
        all.failed += used.failed;
        all.bytes += used.bytes;
        all.budget = sum(all.budget, used.budget);
        all.deferred = sum(all.deferred, used.deferred);
    }
    let problems: BTreeSet<_> = runs.iter().flat_map(|(_, run)| run.problems.iter().cloned()).collect();
    let forbidden: BTreeSet<_> =
        runs.iter().flat_map(|(_, run)| run.forbidden_namespaces.iter().cloned()).collect();
    let partial_reasons = reasons(&runs, count);
    Some(Run {
        started_at,
        duration_seconds,
        partial: !partial_reasons.is_empty(),
        partial_reasons,
        sightings: runs.iter().map(|(_, run)| run.sightings).sum(),
        subjects: runs.iter().map(|(_, run)| run.subjects).sum(),
        registries: registries.into_values().collect(),
        stages: stages(&runs),
        peak_memory_bytes: runs.iter().filter_map(|(_, run)| run.peak_memory_bytes).max(),
        cache: runs.iter().filter_map(|(_, run)| run.cache.clone()).reduce(|all, one| CacheUse {
            hits: all.hits + one.hits,
            misses: all.misses + one.misses,
            bytes: all.bytes + one.bytes,
            damaged: all.damaged + one.damaged,
            unwritten: all.unwritten + one.unwritten,
        }),
        forbidden_namespaces: forbidden.into_iter().collect(),
        problems: problems.into_iter().collect(),
        turned_off: runs.first().map(|(_, run)| run.turned_off.clone()).unwrap_or_default(),
        fail_on,
        failing,
        part: None,
    })
}

/// Why the whole is partial: parts that are missing, what every part says, and what single ones say.
fn reasons(runs: &[(u32, &Run)], count: u32) -> Vec<String> {
    let mut reasons: Vec<_> = (0..count)
        .filter(|index| runs.iter().all(|(known, _)| known != index))
        .map(|index| {
            format!(
                "part {} of {count} is missing: rows of the registries and repositories that fall to it are not here",
                index + 1
            )
        })
        .collect();
    let mut told: BTreeMap<&String, BTreeSet<u32>> = BTreeMap::new();
    for (index, run) in runs {
        for reason in &run.partial_reasons {
            told.entry(reason).or_default().insert(*index);
        }
    }
    for (reason, by) in told {
        if by.len() == runs.len() && runs.len() > 1 {
            reasons.push(reason.clone());
        } else {
            reasons.extend(by.into_iter().map(|index| format!("part {} of {count}: {reason}", index + 1)));
        }
    }
    reasons
}
