//! The clusters whose reports are here: each by its newest report, all of them together, and where an image runs among them.

use askama::Template;
use provenance_model::report::{Finding, Summary};

use super::cells::{self, Mark};
use super::image::link_to;
use super::link::Params;
use super::shell::{Shell, age_of, bare};
use super::visit::{NoReports, Page, Visit, shown};
use crate::api::{listed, loaded};

/// Rows shown at the most.
const MOST: usize = 200;

struct Cluster {
    name: String,
    href: String,
    age: String,
    counts: Vec<String>,
}

struct Row {
    cluster: String,
    mark: Mark,
    image: String,
    place: String,
    href: String,
}

#[derive(Template)]
#[template(path = "clusters.html")]
struct Clusters {
    shell: Shell,
    columns: [&'static str; 9],
    each: Vec<Cluster>,
    total: Vec<String>,
    q: String,
    rows: Vec<Row>,
    rows_total: usize,
}

const COLUMNS: [&str; 9] =
    ["Rows", "Images", "Signed", "Verified", "Provenance", "SBOM", "Updates", "Drifted", "Failed"];

fn counts(summary: &Summary) -> [Option<usize>; 9] {
    [
        Some(summary.total_images),
        Some(summary.unique_images),
        Some(summary.signed_images),
        Some(summary.verified_images),
        Some(summary.images_with_provenance),
        Some(summary.images_with_sbom),
        Some(summary.images_with_updates),
        summary.drifted_images,
        summary.failed_images,
    ]
}

fn written(counts: impl IntoIterator<Item = Option<usize>>) -> Vec<String> {
    counts.into_iter().map(|count| count.map_or("–".into(), |count| count.to_string())).collect()
}

pub(super) async fn page(visit: Visit) -> Page {
    let params = Params::of(visit.query.as_deref());
    let listing = listed(&visit.api).await?;
    let newest = listing.newest();
    if newest.is_empty() {
        return Err(NoReports.into());
    }
    let q = params.get("q").to_owned();
    let (mut rows, mut rows_total) = (Vec::new(), 0);
    for report in newest.iter().filter(|_| !q.trim().is_empty()) {
        // A report that went away or broke meanwhile has no rows.
        let Ok((_, read)) = loaded(&visit.api, Some(&report.filename)).await else { continue };
        let found = read.holding(q.trim());
        rows_total += found.len();
        let room = MOST.saturating_sub(rows.len());
        rows.extend(found.into_iter().take(room).map(|at| &read.images[at]).map(|row| Row {
            cluster: report.cluster().to_owned(),
            mark: cells::finding(Finding::of(row)),
            image: row.image.clone(),
            place: format!("{} · {}/{}", row.namespace, row.workload.kind, row.workload.name),
            href: link_to(&report.filename, row),
        }));
    }
    let mut total = [Some(0); 9];
    for report in &newest {
        for (sum, count) in total.iter_mut().zip(counts(&report.summary)) {
            *sum = sum.zip(count).map(|(sum, count)| sum + count);
        }
    }
    // An image that runs in two clusters is one image: their counts do not add up.
    total[1] = None;
    let clusters = newest.iter().map(|report| Cluster {
        name: report.cluster().to_owned(),
        href: Params::new([("cluster", report.cluster())]).to("./"),
        age: age_of(&report.generated_at),
        counts: written(counts(&report.summary)),
    });
    shown(&Clusters {
        shell: bare(visit.frame(), "clusters", "Clusters", &listing),
        columns: COLUMNS,
        each: clusters.collect(),
        total: written(total),
        q,
        rows,
        rows_total,
    })
}
