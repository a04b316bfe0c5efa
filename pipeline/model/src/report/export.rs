//! The report as CSV and Markdown, in the older collector's columns.
//!
//! A fact that was not asked for, or could not be found out, is an empty cell (`-` in Markdown), never a
//! "no". A report of the older collector leaves facts out to say "no", so there an absent fact is "no".

use super::types::{ImageRecord, Report};

const COLUMNS: [&str; 13] = [
    "Image",
    "Namespace",
    "Workload Kind",
    "Workload Name",
    "Digest",
    "Signed",
    "Verified",
    "SLSA Provenance",
    "SBOM",
    "SBOM Format",
    "Update Available",
    "Current Tag",
    "Latest In Major",
];

/// The report's rows as CSV (RFC 4180, lines end with a line feed). A cell that a spreadsheet would run as
/// a formula is quoted with an apostrophe.
///
/// # Panics
///
/// Never: writing to memory does not fail.
pub fn csv(report: &Report) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).expect("writing to memory does not fail");
    for row in &report.images {
        writer.write_record(cells(row).map(defused)).expect("writing to memory does not fail");
    }
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    String::from_utf8(bytes).expect("text in is text out")
}

fn cells(row: &ImageRecord) -> [String; 13] {
    let signed = row.signature.as_ref();
    let update = row.update.as_ref();
    [
        row.image.clone(),
        row.namespace.clone(),
        row.workload.kind.clone(),
        row.workload.name.clone(),
        row.digest.clone().unwrap_or_default(),
        fact(row, signed.map(|signature| signature.signed)),
        fact(row, signed.map(|signature| signature.verified)),
        fact(row, row.provenance.as_ref().map(|found| found.has_provenance)),
        fact(row, row.sbom.as_ref().map(|sbom| sbom.has_sbom)),
        row.sbom.as_ref().and_then(|sbom| sbom.format.clone()).unwrap_or_default(),
        fact(row, update.map(|update| update.update_available)),
        update.map(|update| update.current_tag.clone()).unwrap_or_default(),
        update.and_then(|update| update.latest_in_major.clone()).unwrap_or_default(),
    ]
}

fn fact(row: &ImageRecord, fact: Option<bool>) -> String {
    match fact {
        Some(fact) => fact.to_string(),
        None if row.stages.is_none() => "false".into(),
        None => String::new(),
    }
}

/// Spreadsheets run a cell that starts with one of these
/// ([OWASP, CSV injection](https://owasp.org/www-community/attacks/CSV_Injection)).
fn defused(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell }
}

/// The report as Markdown: header, summary, images and Helm releases.
pub fn markdown(report: &Report) -> String {
    let mut out = String::from("# Provenance Report\n\n");
    let metadata = &report.metadata;
    let generated = metadata.generated_at.strftime("%Y-%m-%d %H:%M:%S UTC");
    push(&mut out, &[&format!("**Generated:** {generated}"), ""]);
    if let Some(cluster) = &metadata.cluster_name {
        push(&mut out, &[&format!("**Cluster:** {}", text(cluster)), ""]);
    }
    if !metadata.namespaces_scanned.is_empty() {
        push(&mut out, &[&format!("**Namespaces:** {}", text(&metadata.namespaces_scanned.join(", "))), ""]);
    }
    if let Some(run) = report.run.as_ref().filter(|run| run.partial) {
        push(&mut out, &[&format!("**Partial:** {}", text(&run.partial_reasons.join("; "))), ""]);
    }
    summary(&mut out, report);
    if !report.images.is_empty() {
        images(&mut out, report);
    }
    if !report.helm_releases.is_empty() {
        helm_releases(&mut out, report);
    }
    out
}

pub(super) fn push(out: &mut String, lines: &[&str]) {
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
}

fn summary(out: &mut String, report: &Report) {
    let summary = &report.summary;
    push(out, &["## Summary", "", "| Metric | Count |", "|---|---|"]);
    let counts = [
        ("Unique Images", Some(summary.unique_images)),
        ("Signed", Some(summary.signed_images)),
        ("Verified", Some(summary.verified_images)),
        ("SLSA Provenance", Some(summary.images_with_provenance)),
        ("With SBOM", Some(summary.images_with_sbom)),
        ("Updates Available", Some(summary.images_with_updates)),
        ("Helm Releases", Some(summary.total_helm_releases)),
        ("Drifted", summary.drifted_images),
        ("Digest Gone", summary.digest_gone_images),
        ("Tag Gone", summary.tag_gone_images),
        ("Failed", summary.failed_images),
        ("Not Reached", summary.not_reached_images.filter(|count| *count > 0)),
    ];
    for (name, count) in counts {
        if let Some(count) = count {
            push(out, &[&format!("| {name} | {count} |")]);
        }
    }
    out.push('\n');
}

pub(super) fn images(out: &mut String, report: &Report) {
    push(
        out,
        &[
            "## Container Images",
            "",
            "| Image | Namespace | Workload | Signed | SLSA | SBOM | Update |",
            "|---|---|---|---|---|---|---|",
        ],
    );
    for row in &report.images {
        let signed = match &row.signature {
            Some(signature) if signature.verified => "Verified",
            Some(signature) if signature.signed => "Signed",
            Some(_) => "No",
            None => "-",
        };
        let provenance =
            if row.provenance.as_ref().is_some_and(|found| found.has_provenance) { "Yes" } else { "-" };
        let sbom = match &row.sbom {
            Some(sbom) if sbom.has_sbom => sbom.format.as_deref().unwrap_or("yes").to_uppercase(),
            _ => "-".into(),
        };
        let update = row.update.as_ref().filter(|update| update.update_available);
        let update = update
            .and_then(|update| update.latest_in_major.as_deref().or(update.newest_available.as_deref()))
            .unwrap_or("-");
        push(
            out,
            &[&format!(
                "| `{}` | {} | {}/{} | {signed} | {provenance} | {} | {} |",
                code(&row.image),
                text(&row.namespace),
                text(&row.workload.kind),
                text(&row.workload.name),
                text(&sbom),
                text(update),
            )],
        );
    }
    out.push('\n');
}

fn helm_releases(out: &mut String, report: &Report) {
    push(
        out,
        &[
            "## Helm Releases",
            "",
            "| Release | Namespace | Chart | Version | App Version | Status |",
            "|---|---|---|---|---|---|",
        ],
    );
    for release in &report.helm_releases {
        push(
            out,
            &[&format!(
                "| {} | {} | {} | {} | {} | {} |",
                text(&release.release_name),
                text(&release.namespace),
                text(&release.chart),
                text(&release.version),
                text(release.app_version.as_deref().unwrap_or("-")),
                text(release.status.as_deref().unwrap_or("-")),
            )],
        );
    }
}

/// Text in a Markdown table cell: one line, no markup, no column of its own.
pub(super) fn text(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '|' | '<' | '>' | '`' | '[' | ']' | '*' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Text between backticks in a table cell.
pub(super) fn code(cell: &str) -> String {
    cell.replace(['`', '\n', '\r'], " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_would_run_as_a_formula_is_defused() {
        for cell in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx"] {
            assert_eq!(defused(cell.to_owned()), format!("'{cell}"));
        }
        assert_eq!(defused("nginx:1.27".to_owned()), "nginx:1.27");
    }

    #[test]
    fn a_markdown_cell_cannot_break_out_of_its_table() {
        assert_eq!(text("a|b<script>\nc"), "a\\|b\\<script\\> c");
        assert_eq!(code("a`|b"), "a \\|b");
    }
}
