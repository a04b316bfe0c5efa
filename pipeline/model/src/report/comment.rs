//! The report as a Markdown comment for a pull request: what fails first, then what else was found, all images folded away.

use super::export::{self, code, push, text};
use super::rule::Rule;
use super::rules::{Broken, judged, said, said_of_release};
use super::types::Report;

/// Findings in the comment at the most.
const MOST: usize = 100;
/// Bytes at the most: a comment on GitHub holds 65,536 characters, and is refused whole when it has more.
const CHARACTERS: usize = 60_000;

struct Line {
    fails: bool,
    rule: Rule,
    what: String,
    place: String,
    why: String,
}

/// The report as a comment.
pub fn markdown(report: &Report) -> String {
    let fail_on = report.run.as_ref().map(|run| run.fail_on.as_slice()).unwrap_or_default();
    let mut lines = lines(report, fail_on);
    // What fails comes first; the rules are in the order of their weight.
    lines.sort_by_key(|line| (!line.fails, line.rule));
    let failing = report.run.as_ref().and_then(|run| run.failing).unwrap_or_default();
    let total = report.images.len() + report.helm_releases.len();
    let mut out = String::new();
    let title = match (failing, fail_on.is_empty()) {
        (0, true) => format!("### Provenance: {total} examined"),
        (0, false) => format!("### ✅ Provenance: none of {total} fails"),
        (failing, _) => format!("### ❌ Provenance: {failing} of {total} fail"),
    };
    push(&mut out, &[&title, ""]);
    if !fail_on.is_empty() {
        let rules: Vec<_> = fail_on.iter().map(|rule| format!("`{rule}`")).collect();
        push(&mut out, &[&format!("Fails on {}.", rules.join(", ")), ""]);
    }
    if let Some(run) = report.run.as_ref().filter(|run| run.partial) {
        push(&mut out, &[&format!("**Partial:** {}", text(&run.partial_reasons.join("; "))), ""]);
    }
    if lines.is_empty() {
        push(&mut out, &["No rule is broken.", ""]);
    } else {
        push(&mut out, &["| | Rule | What | Run by | Why |", "|---|---|---|---|---|"]);
        for line in lines.iter().take(MOST) {
            let sign = if line.fails { "❌" } else { "⚠️" };
            let Line { rule, what, place, why, .. } = line;
            push(
                &mut out,
                &[&format!("| {sign} | `{rule}` | `{}` | {} | {} |", code(what), text(place), text(why))],
            );
        }
        if lines.len() > MOST {
            push(&mut out, &["", &format!("And {} more.", lines.len() - MOST)]);
        }
        out.push('\n');
    }
    push(&mut out, &["<details><summary>All images</summary>", ""]);
    let mut all = String::new();
    export::images(&mut all, report);
    for line in all.lines() {
        if out.len() + line.len() > CHARACTERS {
            push(&mut out, &["", "The rest is left out; `--format markdown` has all."]);
            break;
        }
        push(&mut out, &[line]);
    }
    push(&mut out, &["", "</details>"]);
    out
}

fn lines(report: &Report, fail_on: &[Rule]) -> Vec<Line> {
    let rows = report.images.iter().flat_map(|row| {
        let place = if row.namespace.is_empty() {
            String::new()
        } else {
            format!("{}: {}/{}", row.namespace, row.workload.kind, row.workload.name)
        };
        judged(row.findings.as_deref(), fail_on).into_iter().map(move |Broken { rule, fails }| Line {
            fails,
            rule,
            what: row.image.clone(),
            place: place.clone(),
            why: said(row, rule),
        })
    });
    let releases = report.helm_releases.iter().flat_map(|release| {
        judged(release.findings.as_deref(), fail_on).into_iter().map(move |Broken { rule, fails }| Line {
            fails,
            rule,
            what: format!("{} {}", release.chart, release.version),
            place: format!("{}: release {}", release.namespace, release.release_name),
            why: said_of_release(release, rule),
        })
    });
    rows.chain(releases).collect()
}
