//! The timeline's chart, as SVG.

use provenance_model::report::Summary;

use crate::store::Listed;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;

/// One line of the chart.
pub(super) struct Series {
    pub label: &'static str,
    /// The style's class: colour and dashes.
    pub class: &'static str,
    /// The points of an SVG polyline.
    pub points: String,
    /// The last value, in per cent.
    pub last: usize,
}

/// One report in the table under the chart.
pub(super) struct Row {
    pub time: String,
    pub filename: String,
    pub rows: usize,
    pub values: Vec<usize>,
}

/// The shares of rows over the reports, the oldest first.
pub(super) struct Chart {
    pub series: Vec<Series>,
    pub rows: Vec<Row>,
    pub first: String,
    pub last: String,
}

type Count = fn(&Summary) -> usize;

const SERIES: [(&str, &str, Count); 5] = [
    ("Signed", "s1", |summary| summary.signed_images),
    ("Verified", "s2", |summary| summary.verified_images),
    ("Provenance", "s3", |summary| summary.images_with_provenance),
    ("SBOM", "s4", |summary| summary.images_with_sbom),
    ("Updates", "s5", |summary| summary.images_with_updates),
];

/// `of` in per cent, rounded.
pub(super) fn percent(count: usize, of: usize) -> usize {
    (count * 100 + of / 2).checked_div(of).unwrap_or(0)
}

impl Chart {
    /// Of these reports, the newest first. None of fewer than two: a point is no line.
    pub(super) fn of<'a>(reports: impl Iterator<Item = &'a Listed>) -> Option<Self> {
        let mut reports: Vec<_> = reports.collect();
        reports.reverse();
        if reports.len() < 2 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a chart has at most some hundred points")]
        let across = |at: usize| at as f64 / (reports.len() - 1) as f64 * WIDTH;
        let series = SERIES.iter().map(|(label, class, count)| {
            let shares: Vec<usize> = reports
                .iter()
                .map(|report| percent(count(&report.summary), report.summary.total_images))
                .collect();
            let points: Vec<String> = shares
                .iter()
                .enumerate()
                .map(|(at, share)| {
                    #[expect(clippy::cast_precision_loss, reason = "per cent")]
                    let down = HEIGHT - (*share).min(100) as f64 / 100.0 * HEIGHT;
                    format!("{:.1},{down:.1}", across(at))
                })
                .collect();
            let (points, last) = (points.join(" "), shares[shares.len() - 1]);
            Series { label, class, points, last }
        });
        let rows = reports.iter().rev().map(|report| Row {
            time: report.generated_at.replace('T', " ").replace('Z', ""),
            filename: report.filename.clone(),
            rows: report.summary.total_images,
            values: SERIES.iter().map(|(_, _, count)| count(&report.summary)).collect(),
        });
        let day = |report: &Listed| report.generated_at.replace('T', " ").chars().take(16).collect();
        Some(Self {
            series: series.collect(),
            rows: rows.collect(),
            first: day(reports[0]),
            last: day(reports[reports.len() - 1]),
        })
    }
}
