//! What a check that fails has to say, for people: a line for each rule that is broken, and by what.

use provenance_model::report::rules::{judged, said, said_of_release};
use provenance_model::report::{Draft, Report, Rule};

use crate::table::printable;

/// Lines at the most.
const MOST: usize = 50;

/// The lines.
pub(crate) fn lines(report: &Draft) -> Vec<String> {
    let head = report.head();
    let fail_on = head.run.as_ref().map(|run| run.fail_on.as_slice()).unwrap_or_default();
    let failing = |found: Option<&[Rule]>| judged(found, fail_on).into_iter().filter(|broken| broken.fails);
    let rows = report.rows().flat_map(|row| {
        let place = if row.namespace.is_empty() {
            String::new()
        } else {
            format!(" ({}: {}/{})", row.namespace, row.workload.kind, row.workload.name)
        };
        let broken: Vec<_> = failing(row.findings.as_deref())
            .map(|broken| format!("{}: {}{place}: {}", broken.rule, row.image, said(&row, broken.rule)))
            .collect();
        broken
    });
    let releases = head.helm_releases.iter().flat_map(|release| {
        failing(release.findings.as_deref()).map(move |broken| {
            let said = said_of_release(release, broken.rule);
            format!("{}: release {}/{}: {said}", broken.rule, release.namespace, release.release_name)
        })
    });
    let mut lines: Vec<_> = rows.chain(releases).map(|line| printable(&line)).collect();
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("and {more} more; the report has all (findings)"));
    }
    lines
}

/// What a check that asks no rule of it should know: questions that got no answer.
pub(crate) fn unjudged(report: &Report) -> Option<String> {
    let run = report.run.as_ref()?;
    let failed = report.summary.failed_images.filter(|failed| *failed > 0)?;
    let is_asked = run.fail_on.is_empty() || run.fail_on.contains(&Rule::Failed);
    (!is_asked).then(|| {
        format!(
            "{failed} of {} rows could not be judged by every rule, since a question about them got no answer; add failed to \
             --fail-on to fail on that",
            report.summary.total_images
        )
    })
}
