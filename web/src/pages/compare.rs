//! Two reports, compared.

use askama::Template;

use super::cells::short;
use super::link::Params;
use super::shell::{Choice, Opened, Shell, choices, open};
use super::visit::{Page, Visit, shown};
use crate::api::loaded;
use crate::changes::{Changed, Changes, changes};

/// Rows of one kind of change, shown at the most.
const MOST: usize = 200;

/// Changes of one kind.
pub(super) struct Group {
    pub label: &'static str,
    pub class: &'static str,
    pub sign: &'static str,
    pub total: usize,
    pub rows: Vec<Line>,
}

/// One row that changed.
pub(super) struct Line {
    pub image: String,
    pub place: String,
    pub before: String,
    pub after: String,
    pub href: String,
}

impl Group {
    /// Every kind of change that there is, the worst first.
    pub(super) fn all(changes: &Changes, report: &str) -> Vec<Self> {
        let group = |label, class, sign, rows: &[Changed]| Self {
            label,
            class,
            sign,
            total: rows.len(),
            rows: rows.iter().take(MOST).map(|row| Line::of(row, report)).collect(),
        };
        let mut groups = vec![
            group("Lost their signature", "bad", "✕", &changes.lost_signature),
            group("Lost their verification", "bad", "✕", &changes.lost_verification),
            group("Lost their provenance", "bad", "✕", &changes.lost_provenance),
            group("Lost their SBOM", "bad", "✕", &changes.lost_sbom),
            group("Changed digest", "warn", "≠", &changes.changed_digest),
            group("New updates", "warn", "↑", &changes.new_updates),
            group("Appeared", "plain", "+", &changes.appeared),
            group("Gone", "plain", "−", &changes.gone),
            group("Gained a signature", "good", "✓", &changes.gained_signature),
            group("Gained verification", "good", "✓", &changes.gained_verification),
            group("Gained provenance", "good", "✓", &changes.gained_provenance),
            group("Gained an SBOM", "good", "✓", &changes.gained_sbom),
        ];
        groups.retain(|group| group.total > 0);
        groups
    }
}

impl Line {
    fn of(row: &Changed, report: &str) -> Self {
        let (kind, workload) = row.workload.split_once('/').unwrap_or((&row.workload, ""));
        let shortened = |value: &Option<String>| {
            let value = value.as_deref().unwrap_or_default();
            value.split(", ").map(short).collect::<Vec<_>>().join(", ")
        };
        Self {
            image: row.image.clone(),
            place: format!("{} · {}", row.namespace, row.workload),
            before: shortened(&row.before),
            after: shortened(&row.after),
            href: Params::new([
                ("report", report),
                ("image", &row.image),
                ("namespace", &row.namespace),
                ("kind", kind),
                ("workload", workload),
            ])
            .to("image"),
        }
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct Compare {
    shell: Shell,
    from: Vec<Choice>,
    to: Vec<Choice>,
    /// None where there is nothing to compare with.
    groups: Option<Vec<Group>>,
}

pub(super) async fn page(visit: Visit) -> Page {
    let params = Params::of(visit.query.as_deref());
    // The later report is the page's own, unless another is named.
    let to = if params.get("to").is_empty() { params.get("report") } else { params.get("to") };
    let wanted = Some(params.with("report", to).query());
    let visit = Visit { query: wanted, ..visit };
    let Opened { mut shell, params, listing, at, name, report } = open(&visit, "compare", "Compare").await?;
    // Both reports are chosen on the page itself.
    shell.reports.clear();
    let from = match params.get("from") {
        "" => listing.before(at).map(|report| report.filename.clone()),
        from => Some(from.to_owned()),
    };
    let mut groups = None;
    if let Some(from) = &from {
        let (_, earlier) = loaded(&visit.api, Some(from)).await?;
        groups = Some(Group::all(&changes((from, &earlier), (&name, &report)), params.get("report")));
    }
    shown(&Compare {
        shell,
        from: choices(&listing, from.as_deref().unwrap_or_default()),
        to: choices(&listing, &name),
        groups,
    })
}
