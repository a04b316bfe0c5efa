//! The report as a table for people: what needs a look comes first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use provenance_model::DriftState;
use provenance_model::report::build::stages;
use provenance_model::report::{ImageRecord, OutcomeWord, Report};

/// How a table is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns to fit into; none for lines as long as they are.
    pub width: Option<u16>,
    /// Whether colours may be used. They never stand alone: every finding has its word.
    pub colour: bool,
    /// Rows without a finding that are shown at the most.
    pub most_without_finding: usize,
}

/// What a row has to say, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Failed,
    Gone,
    TagGone,
    Drifted,
    NotReached,
    Same,
    Found,
}

impl Finding {
    fn of(row: &ImageRecord) -> Self {
        let any = |word: OutcomeWord| stages(row).any(|(_, stage)| stage.outcome == word);
        let state = row.drift.as_ref().map(|drift| drift.state);
        if any(OutcomeWord::Failed) {
            return Self::Failed;
        }
        match state {
            Some(DriftState::DigestGone) => Self::Gone,
            Some(DriftState::TagGone) => Self::TagGone,
            Some(DriftState::Drifted) => Self::Drifted,
            _ if any(OutcomeWord::NotReached) => Self::NotReached,
            Some(DriftState::Same) => Self::Same,
            Some(DriftState::NotAsked) | None => Self::Found,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Gone => "GONE",
            Self::TagGone => "TAG GONE",
            Self::Drifted => "DRIFTED",
            Self::NotReached => "NOT REACHED",
            Self::Same => "same",
            Self::Found => "found",
        }
    }

    /// What the word means, where a reader may wonder.
    fn meaning(self) -> Option<&'static str> {
        match self {
            Self::Failed => Some("it could not be found out:"),
            Self::Gone => Some("what runs is no longer in the registry, a restart elsewhere would fail"),
            Self::TagGone => Some("the registry has no such tag"),
            Self::Drifted => Some("the tag names something else by now than what runs"),
            Self::NotReached => Some("the run ended first"),
            Self::Same | Self::Found => None,
        }
    }

    fn colour(self) -> Color {
        match self {
            Self::Failed | Self::Gone => Color::Red,
            Self::TagGone | Self::Drifted | Self::NotReached => Color::Yellow,
            Self::Same | Self::Found => Color::Green,
        }
    }

    fn is_fine(self) -> bool {
        matches!(self, Self::Same | Self::Found)
    }
}

/// The table, a line of counts, and what else a reader must know.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn render(report: &Report, style: Style) -> String {
    let mut rows: Vec<_> = report.images.iter().map(|row| (Finding::of(row), row)).collect();
    rows.sort_by_key(|(finding, _)| *finding);
    let mut counts: BTreeMap<Finding, usize> = BTreeMap::new();
    for (finding, _) in &rows {
        *counts.entry(*finding).or_default() += 1;
    }
    let fine = rows.iter().filter(|(finding, _)| finding.is_fine()).count();
    let hidden = fine.saturating_sub(style.most_without_finding);
    rows.truncate(rows.len() - hidden);

    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
    if !rows.is_empty() {
        line(table(&rows, style).trim_fmt());
    }
    if hidden > 0 {
        line(format!(
            "… and {} more without a finding; --format table shows them all",
            plural(hidden, "row")
        ));
    }
    line(String::new());
    // The worst last: its reasons follow.
    for finding in counts.keys().rev() {
        if let Some(meaning) = finding.meaning() {
            line(format!("{}: {meaning}", finding.word()));
        }
    }
    failures(&rows, &mut line);

    let summary = &report.summary;
    let told: Vec<_> =
        counts.iter().map(|(finding, count)| format!("{count} {}", finding.word().to_lowercase())).collect();
    let told = if told.is_empty() { "nothing runs".to_owned() } else { told.join(", ") };
    let rows = plural(summary.total_images, "row");
    line(format!("{rows}, {}: {told}", plural(summary.unique_images, "different image")));
    if let Some(run) = &report.run {
        let requests: u64 = run.registries.iter().map(|registry| registry.requests).sum();
        let hosts: Vec<_> = run
            .registries
            .iter()
            .map(|registry| format!("{} {}", registry.host, registry.requests))
            .collect();
        let hosts = if hosts.is_empty() { String::new() } else { format!(" ({})", hosts.join(", ")) };
        line(format!("{requests} registry requests{hosts} in {:.1}s", run.duration_seconds));
        for problem in &run.problems {
            line(format!("note: {}", printable(&problem.message)));
        }
        if run.partial {
            line(format!("PARTIAL: {}", printable(&run.partial_reasons.join("; "))));
        }
    }
    out
}

/// Failures told one by one at the most.
const REASONS: usize = 20;

/// Why rows failed: each reason once, with the images it struck.
fn failures(rows: &[(Finding, &ImageRecord)], line: &mut impl FnMut(String)) {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for (_, row) in rows {
        for (name, stage) in stages(row) {
            let Some(reason) = stage.reason.as_ref().filter(|reason| reason.kind.is_some()) else { continue };
            let told = format!("{name}: {}", printable(&reason.message));
            match reasons.iter_mut().find(|(known, _)| *known == told) {
                Some((_, images)) => images.push(&row.image),
                None => reasons.push((told, vec![&row.image])),
            }
        }
    }
    for (reason, images) in reasons.iter().take(REASONS) {
        let more = if images.len() > 1 { format!(" and {} more", images.len() - 1) } else { String::new() };
        line(format!("  {}{more}\n    {reason}", printable(images[0])));
    }
    if reasons.len() > REASONS {
        line(format!(
            "  … and {} more; --format json has them all",
            plural(reasons.len() - REASONS, "reason")
        ));
    }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("{count} {noun}") } else { format!("{count} {noun}s") }
}

fn table(rows: &[(Finding, &ImageRecord)], style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["FINDING", "IMAGE", "RUN BY", "PODS", "RUNS", "TAG NAMES"]);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match style.width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for (finding, row) in rows {
        let mut word = Cell::new(finding.word());
        if style.colour {
            word = word.fg(finding.colour());
            if !finding.is_fine() {
                word = word.add_attribute(Attribute::Bold);
            }
        }
        let drift = row.drift.as_ref();
        let runs = match drift {
            Some(drift) => drift.running_digest.as_deref().or(drift.running_image_id.as_deref()),
            None => row.digest.as_deref(),
        };
        table.add_row([
            word,
            Cell::new(printable(&row.image)),
            Cell::new(printable(&run_by(row))),
            Cell::new(row.pods.map_or_else(|| "-".to_owned(), |pods| pods.to_string())),
            Cell::new(short(runs)),
            Cell::new(short(drift.and_then(|drift| drift.tag_digest.as_deref()))),
        ]);
    }
    table
}

fn run_by(row: &ImageRecord) -> String {
    let workload = &row.workload;
    match (row.namespace.as_str(), workload.kind.as_str()) {
        ("", "Image") => "-".to_owned(),
        ("", kind) => format!("{kind}/{}", workload.name),
        (namespace, kind) => format!("{namespace}: {kind}/{}", workload.name),
    }
}

fn short(digest: Option<&str>) -> String {
    let hex = digest.map(|digest| digest.split_once(':').map_or(digest, |(_, hex)| hex));
    hex.map_or_else(|| "-".to_owned(), |hex| hex.chars().take(12).collect())
}

/// Text from outside, without what a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
