//! `explain`: the story of one image, for people: what was asked, what came back, and what follows from it.

use std::fmt::Write as _;

use provenance_model::DriftState;
use provenance_model::report::build::stages;
use provenance_model::report::{ImageRecord, OutcomeWord, Report, StageRecord};

use crate::table::printable;

/// The story of every image of a report.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn story(report: &Report) -> String {
    let mut out = String::new();
    for row in &report.images {
        image(row, &mut |text: String| writeln!(out, "{text}").expect("writing to a string does not fail"));
    }
    out
}

fn image(row: &ImageRecord, line: &mut impl FnMut(String)) {
    line(printable(&row.image));
    if let Some(reference) = &row.reference {
        let tag = reference.tag.as_ref().map(|tag| format!(", tag {tag}")).unwrap_or_default();
        let digest =
            reference.digest.as_ref().map(|digest| format!(", pinned to {digest}")).unwrap_or_default();
        line(format!("  is {}/{}{tag}{digest}", reference.registry, reference.repository));
    }
    for (name, stage) in stages(row) {
        line(String::new());
        line(name.to_owned());
        for asked in &stage.asked {
            line(format!("  asked   {}", printable(&asked.place)));
            line(format!("  answer  {}", printable(&asked.answer)));
        }
        line(format!("  so      {}", verdict(row, stage)));
    }
    if let Some(platforms) = &row.platforms {
        line(format!("  made for {}", platforms.join(", ")));
    }
    if row.reference.is_some() {
        line(String::new());
        line(format!(
            "Ask the registry yourself: crane digest {0}; crane manifest {0}",
            printable(&row.image)
        ));
    }
}

/// What follows from a stage's answers, in one sentence.
fn verdict(row: &ImageRecord, stage: &StageRecord) -> String {
    let reason = || stage.reason.as_ref().map(|reason| printable(&reason.message)).unwrap_or_default();
    let digest = row.digest.as_deref().unwrap_or("an unknown digest");
    match stage.outcome {
        OutcomeWord::Failed => format!("it could not be found out: {}", reason()),
        OutcomeWord::Skipped => format!("it was not asked: {}", reason()),
        OutcomeWord::NotReached => "the run ended first".into(),
        OutcomeWord::Absent => "the registry says that it has no such image".into(),
        OutcomeWord::Found => match row.drift.as_ref().map(|drift| drift.state) {
            Some(DriftState::Drifted) => format!("the tag names something else by now than {digest}"),
            Some(DriftState::DigestGone) => format!("the registry no longer has {digest}"),
            Some(DriftState::TagGone) => {
                format!("the registry has no such tag any more; {digest} is still there")
            }
            Some(DriftState::Same) => format!("what runs is what the tag names: {digest}"),
            Some(DriftState::NotAsked) | None => format!("the image is {digest}"),
        },
    }
}
