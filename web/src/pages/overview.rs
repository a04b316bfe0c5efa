//! The overview.

use askama::Template;
use provenance_model::report::stages::stages;
use provenance_model::report::{Finding, ImageRecord, OutcomeWord};

use super::cells::{self, Mark};
use super::chart::{Chart, percent};
use super::compare::Group;
use super::image::link_to;
use super::link::Params;
use super::shell::{Opened, Shell, open};
use super::visit::{Page, Visit, shown};
use crate::api::loaded;
use crate::changes::changes;

/// Reports in the chart at the most.
const POINTS: usize = 60;
/// Rows that need a look, shown at the most.
const WORST: usize = 8;

struct Card {
    label: &'static str,
    class: &'static str,
    sign: &'static str,
    /// Empty where it was not counted.
    count: String,
    share: Option<usize>,
    href: String,
}

struct Worst {
    mark: Mark,
    image: String,
    place: String,
    why: String,
    href: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    total: usize,
    unique: usize,
    releases: usize,
    unhealthy: usize,
    releases_href: String,
    cards: Vec<Card>,
    worst: Vec<Worst>,
    worst_total: usize,
    worst_href: String,
    chart: Option<Chart>,
    changes: Option<Vec<Group>>,
    compare_href: String,
}

pub(super) async fn page(visit: Visit) -> Page {
    let Opened { shell, params, listing, at, name, report } = open(&visit, "./", "Overview").await?;
    let chosen = Params::new([("report", params.get("report"))]);
    let summary = &report.summary;
    let total = summary.total_images;
    let card = |label, class, sign, count: Option<usize>, filter: (&str, &str)| Card {
        label,
        class,
        sign,
        count: count.map(|count| count.to_string()).unwrap_or_default(),
        share: count.map(|count| percent(count, total)),
        href: chosen.with(filter.0, filter.1).to("images"),
    };
    let gone = match (summary.digest_gone_images, summary.tag_gone_images) {
        (None, None) => None,
        (digest, tag) => Some(digest.unwrap_or_default() + tag.unwrap_or_default()),
    };
    let cards = vec![
        card("Signed", "good", "✓", Some(summary.signed_images), ("signed", "true")),
        card("Verified", "good", "✓", Some(summary.verified_images), ("verified", "true")),
        card("Provenance", "good", "✓", Some(summary.images_with_provenance), ("provenance", "true")),
        card("SBOM", "good", "✓", Some(summary.images_with_sbom), ("sbom", "true")),
        card("Updates", "warn", "↑", Some(summary.images_with_updates), ("update", "true")),
        card("Drifted", "warn", "≠", summary.drifted_images, ("finding", "drifted")),
        card("Gone", "bad", "⌀", gone, ("finding", "gone,tag gone")),
        card("Failed", "failed", "!", summary.failed_images, ("failed", "true")),
    ];
    let mut worst: Vec<_> = report.images.iter().map(|row| (Finding::of(row), row)).collect();
    worst.retain(|(finding, _)| *finding <= Finding::Deferred);
    worst.sort_by_key(|(finding, _)| *finding);
    let worst_total = worst.len();
    let worst = worst.into_iter().take(WORST).map(|(finding, row)| Worst {
        mark: cells::finding(finding),
        image: row.image.clone(),
        place: format!("{} · {}/{}", row.namespace, row.workload.kind, row.workload.name),
        why: why(finding, row),
        href: link_to(params.get("report"), row),
    });
    let before = listing.before(at).map(|report| report.filename.clone());
    let (mut groups, mut compare_href) = (None, String::new());
    if let Some(before) = before {
        // A report that broke or went away meanwhile is compared with nothing.
        if let Ok((_, earlier)) = loaded(&visit.api, Some(&before)).await {
            groups = Some(Group::all(&changes((&before, &earlier), (&name, &report)), params.get("report")));
        }
        compare_href =
            Params::new([("from", &before), ("to", &name), ("report", params.get("report"))]).to("compare");
    }
    shown(&Overview {
        total,
        unique: summary.unique_images,
        releases: summary.total_helm_releases,
        unhealthy: summary.unhealthy_helm_releases.unwrap_or_default(),
        releases_href: chosen.to("releases"),
        cards,
        worst: worst.collect(),
        worst_total,
        worst_href: chosen
            .with("finding", "failed,refused,gone,tag gone,drifted,not reached,deferred")
            .to("images"),
        chart: Chart::of(listing.of_cluster(at).take(POINTS)),
        changes: groups,
        compare_href,
        shell,
    })
}

/// The reason for a finding, in one line.
fn why(finding: Finding, row: &ImageRecord) -> String {
    let failed = || {
        let stages = stages(row);
        let mut failed = stages.filter(|(_, stage)| stage.outcome == OutcomeWord::Failed);
        failed.find_map(|(name, stage)| Some(format!("{name}: {}", stage.reason.as_ref()?.message)))
    };
    match finding {
        Finding::Failed => failed().unwrap_or_default(),
        Finding::Refused => row.signature.as_ref().and_then(|found| found.error.clone()).unwrap_or_default(),
        Finding::Gone => "what runs is no longer in the registry".into(),
        Finding::TagGone => "the registry has no such tag any more".into(),
        Finding::Drifted => "the tag names something else than what runs".into(),
        _ => String::new(),
    }
}
