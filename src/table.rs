//! The report as a table for people: what needs a look comes first.

mod releases;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};
use provenance_model::DriftState;
use provenance_model::report::stages::stages;
use provenance_model::report::{Finding, ImageRecord, Report, SignatureVerdict, StageRecord};
use provenance_model::trust::Verdict;
use provenance_model::update::Floating;

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

/// How a finding is drawn.
trait Drawn {
    fn meaning(self) -> Option<&'static str>;
    fn colour(self) -> Color;
}

impl Drawn for Finding {
    /// What the word means, where a reader may wonder.
    fn meaning(self) -> Option<&'static str> {
        match self {
            Self::Failed => Some("it could not be found out:"),
            Self::Refused => Some("the signature does not hold, or a policy wants another:"),
            Self::Gone => Some("what runs is no longer in the registry, a restart elsewhere would fail"),
            Self::TagGone => Some("the registry has no such tag"),
            Self::Drifted => Some("the tag names something else by now than what runs"),
            Self::NotReached => Some("the run ended first"),
            Self::Deferred => Some("left to the next run, since the registry's budget was used up"),
            Self::Outdated => Some("there is a newer tag"),
            Self::Same | Self::Found => None,
        }
    }

    fn colour(self) -> Color {
        match self {
            Self::Failed | Self::Refused | Self::Gone => Color::Red,
            Self::TagGone | Self::Drifted | Self::NotReached | Self::Deferred | Self::Outdated => {
                Color::Yellow
            }
            Self::Same | Self::Found => Color::Green,
        }
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
        let of_finding = rows.iter().filter(|(of, _)| of == finding).map(|(_, row)| *row);
        match finding {
            Finding::Failed => reasons(of_finding.flat_map(failures), &mut line),
            Finding::Refused => reasons(of_finding.flat_map(refusals), &mut line),
            _ => {}
        }
    }

    let told_of_releases = releases::write(report, style, &mut line);

    let summary = &report.summary;
    let told: Vec<_> =
        counts.iter().map(|(finding, count)| format!("{count} {}", finding.word().to_lowercase())).collect();
    let told = if told.is_empty() { "nothing runs".to_owned() } else { told.join(", ") };
    let rows = plural(summary.total_images, "row");
    line(format!("{rows}, {}: {told}", plural(summary.unique_images, "different image")));
    told_of_releases.into_iter().for_each(&mut line);
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

/// Takes one line.
type Line<'a> = dyn FnMut(String) + 'a;

/// Reasons told one by one at the most.
const REASONS: usize = 20;

/// A reason, the stage it struck, and the image.
type Reason<'a> = (String, &'static str, &'a str);

/// Why a row's stages failed.
fn failures(row: &ImageRecord) -> Vec<Reason<'_>> {
    let failed = |(name, stage)| {
        let stage: &StageRecord = stage;
        let reason = stage.reason.as_ref().filter(|reason| reason.kind.is_some())?;
        Some((printable(&reason.message), name, row.image.as_str()))
    };
    stages(row).filter_map(failed).collect()
}

/// Why a row's signature is refused.
fn refusals(row: &ImageRecord) -> Vec<Reason<'_>> {
    let refusal = row.signature.as_ref().and_then(|signature| signature.reason.as_ref());
    refusal
        .map(|refusal| (printable(&refusal.message), "signature", row.image.as_str()))
        .into_iter()
        .collect()
}

/// Each reason once, with the stages and images it struck.
fn reasons<'a>(all: impl Iterator<Item = Reason<'a>>, line: &mut impl FnMut(String)) {
    let mut reasons: Vec<(String, Vec<&'static str>, Vec<&str>)> = Vec::new();
    for (told, stage, image) in all {
        match reasons.iter_mut().find(|known| known.0 == told) {
            Some((_, stages, images)) => {
                if !stages.contains(&stage) {
                    stages.push(stage);
                }
                if !images.contains(&image) {
                    images.push(image);
                }
            }
            None => reasons.push((told, vec![stage], vec![image])),
        }
    }
    for (reason, stages, images) in reasons.iter().take(REASONS) {
        let more = if images.len() > 1 { format!(" and {} more", images.len() - 1) } else { String::new() };
        line(format!("  {}{more}\n    {}: {reason}", printable(images[0]), stages.join(", ")));
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
    let mut table = plain(style);
    table.set_header([
        "FINDING",
        "IMAGE",
        "RUN BY",
        "PODS",
        "SIGNED",
        "PROVENANCE",
        "SBOM",
        "UPDATE",
        "RUNS",
    ]);
    for (finding, row) in rows {
        let mut word = Cell::new(finding.word());
        if style.colour {
            word = word.fg(finding.colour());
            if !finding.is_fine() {
                word = word.add_attribute(Attribute::Bold);
            }
        }
        table.add_row([
            word,
            Cell::new(printable(&row.image)),
            Cell::new(printable(&run_by(row))),
            Cell::new(row.pods.map_or_else(|| "-".to_owned(), |pods| pods.to_string())),
            Cell::new(signed(row)),
            Cell::new(provenance(row)),
            Cell::new(sbom(row)),
            Cell::new(update(row)),
            Cell::new(runs(row)),
        ]);
    }
    table
}

/// A table without lines, fit to the style.
pub(crate) fn plain(style: Style) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if style.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match style.width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
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

/// What runs, and what the tag names by now where that is something else.
fn runs(row: &ImageRecord) -> String {
    let Some(drift) = &row.drift else { return short(row.digest.as_deref()) };
    let running = drift.running_digest.as_deref().or(drift.running_image_id.as_deref());
    let running = running.or(row.digest.as_deref());
    match (&drift.state, &drift.tag_digest) {
        (DriftState::Drifted | DriftState::DigestGone, Some(tagged)) => {
            format!("{}, not {}", short(running), short(Some(tagged)))
        }
        _ => short(running),
    }
}

fn signed(row: &ImageRecord) -> &'static str {
    match row.signature.as_ref().and_then(|signature| signature.verdict) {
        None => "?",
        Some(SignatureVerdict::Unsigned) => "no",
        Some(SignatureVerdict::NotChecked) => "not checked",
        Some(SignatureVerdict::Valid) => "valid",
        Some(SignatureVerdict::Verified) => "verified",
        Some(SignatureVerdict::Invalid) => "INVALID",
        Some(SignatureVerdict::Failed) => "yes, ?",
    }
}

fn provenance(row: &ImageRecord) -> String {
    let Some(provenance) = &row.provenance else { return "?".to_owned() };
    if !provenance.has_provenance {
        return "no".to_owned();
    }
    let version = provenance.predicate_type.as_deref().and_then(|kind| kind.rsplit('/').next());
    let version = format!("SLSA {}", printable(version.unwrap_or_default()));
    match provenance.checked.as_ref().map(|checked| checked.verdict) {
        Some(Verdict::NotChecked) | None => version,
        Some(verdict) => format!("{version}, {}", verdict.word()),
    }
}

fn sbom(row: &ImageRecord) -> String {
    match &row.sbom {
        None => "?".to_owned(),
        Some(sbom) if !sbom.has_sbom => "no".to_owned(),
        Some(sbom) => printable(sbom.format.as_deref().unwrap_or("yes")),
    }
}

/// What is newer, and how far away. A tag that moves is told by whether it moved.
fn update(row: &ImageRecord) -> String {
    let Some(update) = &row.update else { return "?".to_owned() };
    let moved = match update.floating {
        Some(Floating::Moved) => Some("moved"),
        Some(Floating::Gone) => Some("gone"),
        Some(Floating::Current | Floating::Unknown) | None => None,
    };
    match (&update.newest_available, update.level, moved) {
        (Some(newest), Some(level), None) => format!("{} ({})", printable(newest), level.word()),
        (Some(newest), _, Some(moved)) => format!("{moved}; {}", printable(newest)),
        (Some(newest), None, None) => printable(newest),
        (None, _, Some(moved)) => moved.to_owned(),
        (None, _, None) if update.current_tag.is_empty() => "pinned".to_owned(),
        (None, _, None) => "no".to_owned(),
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
