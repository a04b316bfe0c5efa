//! `/metrics` for Prometheus, of the newest report of each cluster.
//!
//! Cardinality: a series for every finding, stage and failure kind of a cluster, and one for every container of a workload
//! that [version-checker](https://github.com/jetstack/version-checker) would have, of these at most [`CONTAINERS`] a cluster,
//! the outdated first.

use std::collections::BTreeMap;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use provenance_model::ContainerKind;
use provenance_model::report::{Finding, ImageRecord, Report};

/// Containers of one cluster that have a series at the most.
pub const CONTAINERS: usize = 20_000;

type Labels = Vec<(&'static str, String)>;
type Gauges = Family<Labels, Gauge>;

/// The families, in the order in which they are written.
#[derive(Default)]
struct Families {
    images: Gauges,
    unique: Gauges,
    facts: Gauges,
    failures: Gauges,
    findings: Gauges,
    failing: Gauges,
    releases: Gauges,
    releases_outdated: Gauges,
    releases_unhealthy: Gauges,
    made: Gauges,
    partial: Gauges,
    latest: Gauges,
    left_out: Gauges,
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        let all: [(&str, &str, &Gauges); 13] = [
            ("provenance_images", "Rows by what they have to say", &self.images),
            ("provenance_unique_images", "Different image names", &self.unique),
            ("provenance_images_with", "Rows with a fact", &self.facts),
            ("provenance_failures", "Rows that failed in a stage, by the kind of reason", &self.failures),
            ("provenance_findings", "Rows and releases that break a rule", &self.findings),
            (
                "provenance_failing",
                "Rows and releases that break a rule which the run was told to fail on",
                &self.failing,
            ),
            ("provenance_helm_releases", "Helm releases", &self.releases),
            (
                "provenance_helm_releases_outdated",
                "Helm releases whose chart has an update",
                &self.releases_outdated,
            ),
            (
                "provenance_helm_releases_unhealthy",
                "Helm releases that failed or hang",
                &self.releases_unhealthy,
            ),
            ("provenance_report_timestamp_seconds", "When the newest report was made", &self.made),
            ("provenance_report_partial", "Whether the newest report is partial", &self.partial),
            (
                "version_checker_is_latest_version",
                "Whether a container's image is the newest, in version-checker's labels; pod is the workload",
                &self.latest,
            ),
            ("provenance_containers_left_out", "Containers without a series, beyond the cap", &self.left_out),
        ];
        for (name, help, family) in all {
            registry.register(name, help, family.clone());
        }
    }

    fn set(family: &Gauges, labels: &Labels, value: usize) {
        family.get_or_create(labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn report(&self, cluster: &str, report: &Report) {
        let of = |more: &[(&'static str, &str)]| labels(cluster, more);
        let mut findings: BTreeMap<Finding, usize> =
            Finding::ALL.iter().map(|finding| (*finding, 0)).collect();
        for row in &report.images {
            *findings.entry(Finding::of(row)).or_default() += 1;
        }
        for (finding, count) in findings {
            let word = finding.word().to_lowercase().replace(' ', "_");
            Self::set(&self.images, &of(&[("finding", &word)]), count);
        }
        let summary = &report.summary;
        Self::set(&self.unique, &of(&[]), summary.unique_images);
        for (fact, count) in [
            ("signature", summary.signed_images),
            ("verified_signature", summary.verified_images),
            ("provenance", summary.images_with_provenance),
            ("sbom", summary.images_with_sbom),
            ("update", summary.images_with_updates),
        ] {
            Self::set(&self.facts, &of(&[("fact", fact)]), count);
        }
        for failure in summary.failures.iter().flatten() {
            let labels = of(&[("stage", &failure.stage), ("kind", failure.kind.word())]);
            Self::set(&self.failures, &labels, failure.images);
        }
        for count in summary.findings.iter().flatten() {
            let labels = of(&[("rule", &count.rule.to_string())]);
            Self::set(&self.findings, &labels, count.images + count.helm_releases);
        }
        if let Some(failing) = report.run.as_ref().and_then(|run| run.failing) {
            Self::set(&self.failing, &of(&[]), failing);
        }
        Self::set(&self.releases, &of(&[]), summary.total_helm_releases);
        Self::set(&self.releases_outdated, &of(&[]), summary.helm_releases_with_updates);
        Self::set(&self.releases_unhealthy, &of(&[]), summary.unhealthy_helm_releases.unwrap_or_default());
        self.made.get_or_create(&of(&[])).set(report.metadata.generated_at.as_second());
        let partial = report.run.as_ref().is_some_and(|run| run.partial);
        Self::set(&self.partial, &of(&[]), usize::from(partial));
        self.containers(report, cluster);
    }

    fn containers(&self, report: &Report, cluster: &str) {
        let of = |more: &[(&'static str, &str)]| labels(cluster, more);
        let is_latest = |row: &ImageRecord| row.update.as_ref().map(|update| !update.update_available);
        let mut containers: Vec<_> = report
            .images
            .iter()
            .filter_map(|row| Some((is_latest(row)?, row)))
            .flat_map(|(latest, row)| row.containers.iter().flatten().map(move |one| (latest, row, one)))
            .collect();
        containers.sort_by_key(|(latest, ..)| *latest);
        let left_out = containers.len().saturating_sub(CONTAINERS);
        Self::set(&self.left_out, &of(&[]), left_out);
        for (latest, row, container) in containers.into_iter().take(CONTAINERS) {
            let update = row.update.as_ref();
            let current = update.map_or("", |update| update.current_tag.as_str());
            let newest = update.and_then(|update| update.newest_available.as_deref()).unwrap_or(current);
            let repository = row.reference.as_ref().map_or_else(
                || row.image.clone(),
                |reference| format!("{}/{}", reference.registry, reference.repository),
            );
            let kind = match container.kind {
                ContainerKind::Init => "init",
                ContainerKind::Container => "container",
                ContainerKind::Ephemeral => "ephemeral",
            };
            let labels = of(&[
                ("namespace", &row.namespace),
                ("pod", &row.workload.name),
                ("container", &container.name),
                ("container_type", kind),
                ("image", &repository),
                ("current_version", current),
                ("latest_version", newest),
            ]);
            Self::set(&self.latest, &labels, usize::from(latest));
        }
    }
}

/// The labels of a series of a cluster.
fn labels(cluster: &str, more: &[(&'static str, &str)]) -> Labels {
    let cluster = std::iter::once(("cluster", cluster.to_owned()));
    cluster.chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect()
}

/// The metrics of the newest report of each cluster, as text.
///
/// # Errors
///
/// Where they cannot be written, which is a defect.
pub fn text<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    let families = Families::default();
    families.register(&mut registry);
    for report in reports {
        families.report(report.metadata.cluster_name.as_deref().unwrap_or_default(), report);
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
