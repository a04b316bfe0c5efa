//! `explain`: the story of one image, for people: what was asked, what came back, and what follows from it.

use std::fmt::Write as _;

use provenance_model::DriftState;
use provenance_model::report::stages::stages;
use provenance_model::report::{ImageRecord, OutcomeWord, Report, SignatureVerdict, StageRecord};
use provenance_model::trust::{Attached, Checked, SbomFormat};
use provenance_model::update::Floating;

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
        match name {
            "digest" => {}
            "signature" => signatures(row, line),
            "provenance" => attestations(row, line),
            "update" => update(row, line),
            _ => documents(row, line),
        }
        line(format!("  so      {}", verdict(name, row, stage)));
        if let (Some(platforms), "digest") = (&row.platforms, name) {
            line(format!("  made for {}", platforms.join(", ")));
        }
    }
    let Some(reference) = &row.reference else { return };
    line(String::new());
    line("Ask the registry yourself:".to_owned());
    line(format!("  crane manifest {}", printable(&row.image)));
    let repository = format!("{}/{}", reference.registry, reference.repository);
    if row.update.is_some() {
        line(format!("  crane ls {repository}"));
    }
    for attached in attached(row) {
        line(format!("  crane manifest {repository}@{}", printable(&attached.manifest)));
        if let Some(blob) = &attached.blob {
            line(format!("  crane blob {repository}@{}", printable(blob)));
        }
    }
}

/// Everything that was found attached, each manifest once.
fn attached(row: &ImageRecord) -> Vec<&Attached> {
    let signatures = row.signature.iter().flat_map(|found| found.signatures.iter().flatten());
    let attestations = row.attestations.iter().flatten();
    let documents = row.sbom.iter().flat_map(|found| found.documents.iter().flatten());
    let mut all: Vec<_> = signatures
        .map(|one| &one.attached)
        .chain(attestations.map(|one| &one.attached))
        .chain(documents.map(|one| &one.attached))
        .collect();
    all.sort_by(|a, b| (&a.manifest, &a.blob).cmp(&(&b.manifest, &b.blob)));
    all.dedup_by(|a, b| (&a.manifest, &a.blob) == (&b.manifest, &b.blob));
    all
}

/// A word of the report, as it is written there.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What is attached, where, and to what.
fn found(attached: &Attached, line: &mut impl FnMut(String)) {
    let platform = attached.platform.as_ref().map(|platform| format!(", {platform} of what runs"));
    line(format!(
        "  found   {} in place {}: {}",
        word(&attached.form),
        word(&attached.place),
        printable(&attached.manifest)
    ));
    line(format!("          attached to {}{}", printable(&attached.subject), platform.unwrap_or_default()));
}

/// What checking one of them said, and why.
fn checked(checked: &Checked, line: &mut impl FnMut(String)) {
    if let Some(signer) = &checked.signer {
        let time = signer.signed_at.map(|time| format!(", at {time}")).unwrap_or_default();
        let logged = if signer.log_checked { "log entry checked" } else { "no log entry checked" };
        line(format!("          by {}{time}; {logged}", printable(&signer.to_string())));
    }
    for subject in &checked.claimed {
        line(format!("          its certificate names {}", printable(subject)));
    }
    let policies = if checked.policies.is_empty() {
        String::new()
    } else {
        format!(", as {} wants it", checked.policies.join(", "))
    };
    let reason = checked.reason.as_ref().map(|reason| format!(": {}", printable(&reason.message)));
    line(format!("  checked {}{policies}{}", checked.verdict.word(), reason.unwrap_or_default()));
}

fn signatures(row: &ImageRecord, line: &mut impl FnMut(String)) {
    let Some(signature) = &row.signature else { return };
    for one in signature.signatures.iter().flatten() {
        found(&one.attached, line);
        checked(&one.checked, line);
    }
    for policy in signature.policies.iter().flatten() {
        let said = match (&policy.authority, &policy.reason) {
            (Some(authority), _) => format!("satisfied, by its authority {}", printable(authority)),
            (None, Some(reason)) => format!("not satisfied: {}", printable(&reason.message)),
            (None, None) => "not satisfied".to_owned(),
        };
        line(format!("  policy  {}: {said}", printable(&policy.name)));
    }
}

fn attestations(row: &ImageRecord, line: &mut impl FnMut(String)) {
    for one in row.attestations.iter().flatten() {
        found(&one.attached, line);
        let kind = one.predicate_type.as_deref().unwrap_or("something that cannot be read");
        line(format!("          states {}", printable(kind)));
        if let Some(build) = &one.build {
            for (what, value) in [
                ("built by", &build.builder),
                ("from", &build.source_repository),
                ("commit", &build.source_commit),
                ("ref", &build.source_ref),
                ("by way of", &build.entry_point),
                ("in run", &build.invocation),
            ] {
                if let Some(value) = value {
                    line(format!("          {what} {}", printable(value)));
                }
            }
        }
        checked(&one.checked, line);
    }
}

fn documents(row: &ImageRecord, line: &mut impl FnMut(String)) {
    for one in row.sbom.iter().flat_map(|found| found.documents.iter().flatten()) {
        found(&one.attached, line);
        let facts = &one.facts;
        let format = facts.format.map_or("an unknown format", SbomFormat::word);
        let version = facts.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let packages = facts.packages.map(|packages| format!(", {packages} packages")).unwrap_or_default();
        let tools = facts.tools.join(", ");
        let tools = if tools.is_empty() { tools } else { format!(", made by {tools}") };
        line(format!("          {format}{}{packages}{}", printable(&version), printable(&tools)));
        if let Some(why) = &one.unreadable {
            line(format!("          it cannot be read: {}", printable(why)));
        }
        if one.signed {
            checked(&one.checked, line);
        }
    }
}

fn update(row: &ImageRecord, line: &mut impl FnMut(String)) {
    let Some(update) = &row.update else { return };
    if let Some(rule) = &update.rule {
        line(format!("  rule    {}", printable(rule)));
    }
    for (what, tag) in [
        ("same minor", &update.latest_in_minor),
        ("same major", &update.latest_in_major),
        ("of all", &update.newest_available),
    ] {
        if let Some(tag) = tag {
            line(format!("  newest  {what}: {}", printable(tag)));
        }
    }
    if let (Some(at), Some(from)) = (&update.created_at, &update.created_from) {
        line(format!("  made    {at}, says its {}", word(from)));
    }
    let Some(upgrade) = &update.upgrade else { return };
    for loss in &upgrade.loses {
        line(format!("  loses   {}: {}", word(&loss.what), printable(&loss.message)));
    }
    for unknown in &upgrade.unknown {
        line(format!("  unknown {}", printable(unknown)));
    }
    if upgrade.loses.is_empty() && upgrade.unknown.is_empty() {
        line(format!("  loses   nothing by an upgrade to {}", printable(&upgrade.tag)));
    }
}

/// Whether something is newer, and why that is so.
fn newer(row: &ImageRecord) -> String {
    let Some(update) = &row.update else { return "nothing is known".into() };
    let reason = printable(update.reason.as_deref().unwrap_or_default());
    let floating = match update.floating {
        Some(Floating::Moved) => "; the tag names something else by now than what runs",
        Some(Floating::Current) => "; what runs is what the tag names",
        Some(Floating::Gone) => "; the registry has no such tag any more",
        Some(Floating::Unknown) | None => "",
    };
    match (&update.newest_available, update.update_available) {
        (Some(_), true) => format!("there is an update: {reason}{floating}"),
        (Some(_), false) => format!("there is an update, below the level that counts: {reason}{floating}"),
        (None, _) if update.current_tag.is_empty() => reason,
        (None, _) => format!("nothing is newer ({reason}){floating}"),
    }
}

/// What follows from a stage's answers, in one sentence.
fn verdict(name: &str, row: &ImageRecord, stage: &StageRecord) -> String {
    let reason = || stage.reason.as_ref().map(|reason| printable(&reason.message)).unwrap_or_default();
    match (stage.outcome, name) {
        (OutcomeWord::Failed, _) => format!("it could not be found out: {}", reason()),
        (OutcomeWord::Skipped, _) => format!("it was not asked: {}", reason()),
        (OutcomeWord::NotReached, _) => "the run ended first".into(),
        (OutcomeWord::Absent, "digest") => "the registry says that it has no such image".into(),
        (OutcomeWord::Absent, "update") => "the registry has no such image, and no list of its tags".into(),
        (OutcomeWord::Absent, "signature") => "every place answered, and it is not signed".into(),
        (OutcomeWord::Absent, _) => "every place answered, and there is none".into(),
        (OutcomeWord::Found, "digest") => compared(row),
        (OutcomeWord::Found, "signature") => signed(row),
        (OutcomeWord::Found, "provenance") => match &row.provenance {
            Some(provenance) if provenance.has_provenance => {
                let checked =
                    provenance.checked.as_ref().map_or("not checked", |checked| checked.verdict.word());
                format!("how it was built is attested ({checked})")
            }
            _ => "something is attested, but not how it was built".into(),
        },
        (OutcomeWord::Found, "update") => newer(row),
        (OutcomeWord::Found, _) => "what is in it is listed".into(),
    }
}

fn compared(row: &ImageRecord) -> String {
    let digest = row.digest.as_deref().unwrap_or("an unknown digest");
    match row.drift.as_ref().map(|drift| drift.state) {
        Some(DriftState::Drifted) => format!("the tag names something else by now than {digest}"),
        Some(DriftState::DigestGone) => format!("the registry no longer has {digest}"),
        Some(DriftState::TagGone) => {
            format!("the registry has no such tag any more; {digest} is still there")
        }
        Some(DriftState::Same) => format!("what runs is what the tag names: {digest}"),
        Some(DriftState::NotAsked) | None => format!("the image is {digest}"),
    }
}

fn signed(row: &ImageRecord) -> String {
    let Some(signature) = &row.signature else { return "nothing is known".into() };
    let why = signature.reason.as_ref().map(|reason| format!(": {}", printable(&reason.message)));
    let why = why.unwrap_or_default();
    match signature.verdict {
        Some(SignatureVerdict::Verified) => "it is signed as every policy for it wants".into(),
        Some(SignatureVerdict::Valid) => {
            "it is signed by the identity above; no policy says whether that is wanted".into()
        }
        Some(SignatureVerdict::NotChecked) => format!("it is signed, and not checked{why}"),
        Some(SignatureVerdict::Invalid) => format!("its signature is refused{why}"),
        Some(SignatureVerdict::Unsigned) => format!("every place answered, and it is not signed{why}"),
        Some(SignatureVerdict::Failed) | None => "a place did not answer, so the verdict is open".into(),
    }
}
