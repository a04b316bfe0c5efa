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
    if !rows.is_empty() {
        writeln!(out, "{}", table(&rows, style).trim_fmt()).expect("writing to a string does not fail");
    }
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string does not fail");
    if hidden > 0 {
        line(format!("… and {hidden} rows more without a finding; --format table shows them all"));
    }
    let told: Vec<_> =
        counts.iter().map(|(finding, count)| format!("{count} {}", finding.word().to_lowercase())).collect();
    let summary = &report.summary;
    let told = if told.is_empty() { "no images".to_owned() } else { told.join(", ") };
    line(format!("{} rows, {} different images: {told}", summary.total_images, summary.unique_images));
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
            line(format!("note: {}", problem.message));
        }
        if run.partial {
            line(format!("PARTIAL: {}", run.partial_reasons.join("; ")));
        }
    }
    out
}

fn table(rows: &[(Finding, &ImageRecord)], style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["FINDING", "IMAGE", "RUN BY", "PODS", "RUNS", "TAG NAMES", "WHY"]);
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
            Cell::new(printable(&why(*finding, row))),
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

fn why(finding: Finding, row: &ImageRecord) -> String {
    match finding {
        Finding::Failed => stages(row)
            .filter_map(|(name, stage)| Some((name, stage.reason.as_ref()?)))
            .map(|(name, reason)| format!("{name}: {}", reason.message))
            .collect::<Vec<_>>()
            .join("; "),
        Finding::Gone => "what runs is no longer in the registry: a restart would fail".into(),
        Finding::TagGone => "the registry has no such tag".into(),
        Finding::Drifted => "the tag names something else by now".into(),
        Finding::NotReached => "the run ended first".into(),
        Finding::Same | Finding::Found => String::new(),
    }
}

fn short(digest: Option<&str>) -> String {
    let hex = digest.map(|digest| digest.split_once(':').map_or(digest, |(_, hex)| hex));
    hex.map_or_else(|| "-".to_owned(), |hex| hex.chars().take(12).collect())
}

/// Text from outside, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
