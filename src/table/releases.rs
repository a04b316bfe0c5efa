//! The Helm releases of a report as a table.

use comfy_table::{Attribute, Cell, Color, Table};
use provenance_model::report::stages::release_stages;
use provenance_model::report::{HelmRelease, OutcomeWord, Report};

use super::{Line, Style, plain, plural, printable};

/// What a release has to say, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    Failed,
    Unhealthy,
    NotReached,
    Deprecated,
    Outdated,
    Unknown,
    Current,
}

impl Finding {
    fn of(release: &HelmRelease) -> Self {
        let any = |word: OutcomeWord| release_stages(release).any(|(_, stage)| stage.outcome == word);
        match &release.update {
            _ if any(OutcomeWord::Failed) => Self::Failed,
            _ if release.is_unhealthy() => Self::Unhealthy,
            _ if any(OutcomeWord::NotReached) => Self::NotReached,
            _ if release.deprecated == Some(true) => Self::Deprecated,
            Some(update) if update.update_available => Self::Outdated,
            Some(_) => Self::Current,
            None => Self::Unknown,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Unhealthy => "UNHEALTHY",
            Self::NotReached => "NOT REACHED",
            Self::Deprecated => "DEPRECATED",
            Self::Outdated => "OUTDATED",
            Self::Unknown => "unknown",
            Self::Current => "current",
        }
    }

    fn colour(self) -> Color {
        match self {
            Self::Failed | Self::Unhealthy => Color::Red,
            Self::NotReached | Self::Deprecated | Self::Outdated => Color::Yellow,
            Self::Unknown => Color::Grey,
            Self::Current => Color::Green,
        }
    }

    fn is_fine(self) -> bool {
        matches!(self, Self::Unknown | Self::Current)
    }
}

/// Writes the table and its reasons, and answers the line of counts; nothing where there are no releases.
pub(super) fn write(report: &Report, style: Style, line: &mut Line<'_>) -> Option<String> {
    if report.helm_releases.is_empty() {
        return None;
    }
    line(String::new());
    let mut rows: Vec<_> =
        report.helm_releases.iter().map(|release| (Finding::of(release), release)).collect();
    rows.sort_by_key(|(finding, _)| *finding);
    let fine = rows.iter().filter(|(finding, _)| finding.is_fine()).count();
    let hidden = fine.saturating_sub(style.most_without_finding);
    let shown = rows.len() - hidden;
    line(table(&rows[..shown], style).trim_fmt());
    if hidden > 0 {
        line(format!(
            "… and {} more without a finding; --format table shows them all",
            plural(hidden, "release")
        ));
    }
    line(String::new());
    for (_, release) in rows.iter().filter(|(finding, _)| *finding == Finding::Failed) {
        for (stage, record) in release_stages(release) {
            if let Some(reason) = record.reason.as_ref().filter(|reason| reason.kind.is_some()) {
                line(format!("  {}\n    {stage}: {}", name(release), printable(&reason.message)));
                break;
            }
        }
    }
    let mut counts: Vec<(Finding, usize)> = Vec::new();
    for (finding, _) in &rows {
        match counts.last_mut() {
            Some((last, count)) if last == finding => *count += 1,
            _ => counts.push((*finding, 1)),
        }
    }
    let told: Vec<_> =
        counts.iter().map(|(finding, count)| format!("{count} {}", finding.word().to_lowercase())).collect();
    Some(format!("{}: {}", plural(rows.len(), "Helm release"), told.join(", ")))
}

fn name(release: &HelmRelease) -> String {
    printable(&format!("{}/{}", release.namespace, release.release_name))
}

fn table(rows: &[(Finding, &HelmRelease)], style: Style) -> Table {
    let mut table = plain(style);
    table.set_header(["RELEASE", "NAME", "CHART", "STATUS", "REV", "UPDATE", "MANAGED BY"]);
    for (finding, release) in rows {
        let mut word = Cell::new(finding.word());
        if style.colour {
            word = word.fg(finding.colour());
            if !finding.is_fine() {
                word = word.add_attribute(Attribute::Bold);
            }
        }
        let chart = match (release.chart.as_str(), release.version.as_str()) {
            ("", _) => "?".to_owned(),
            (chart, version) => printable(&format!("{chart} {version}")),
        };
        table.add_row([
            word,
            Cell::new(name(release)),
            Cell::new(chart),
            Cell::new(status(release)),
            Cell::new(release.revision.map_or_else(|| "-".to_owned(), |revision| revision.to_string())),
            Cell::new(update(release)),
            Cell::new(
                release.manager.as_ref().map_or_else(|| "-".to_owned(), |manager| manager.by.to_string()),
            ),
        ]);
    }
    table
}

fn status(release: &HelmRelease) -> String {
    let status = printable(release.status.as_deref().unwrap_or("?"));
    match release.deployed_revision.filter(|_| release.is_unhealthy()) {
        Some(deployed) => format!("{status}; {deployed} runs"),
        None => status,
    }
}

fn update(release: &HelmRelease) -> String {
    let Some(update) = &release.update else {
        let chart = release.stages.as_ref().and_then(|stages| stages.chart.as_ref());
        let is_unknown = chart
            .and_then(|chart| chart.reason.as_ref())
            .is_some_and(|reason| reason.message.starts_with("no repository known"));
        return if is_unknown { "no repository known" } else { "?" }.to_owned();
    };
    match (&update.newest_available, update.level) {
        (Some(newest), Some(level)) => format!("{} ({})", printable(newest), level.word()),
        (Some(newest), None) => printable(newest),
        (None, _) => "no".to_owned(),
    }
}
