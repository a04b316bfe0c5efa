//! One image of one workload: every finding with its evidence; and what it was in earlier reports.

use askama::Template;
use provenance_model::report::stages::stages;
use provenance_model::report::{Finding, ImageRecord};
use provenance_model::trust::{Attached, Checked, SbomFormat, Verdict};

use super::cells::{self, Mark, short, unanswered};
use super::link::Params;
use super::shell::{Opened, Shell, open};
use super::visit::{Page, Visit, shown};
use crate::api::loaded;
use crate::problem::Problem;

/// Reports of the history at the most.
const REPORTS: usize = 30;

/// The page of a row.
pub(super) fn link_to(report: &str, row: &ImageRecord) -> String {
    Params::new([
        ("report", report),
        ("image", &row.image),
        ("namespace", &row.namespace),
        ("kind", &row.workload.kind),
        ("workload", &row.workload.name),
        ("digest", row.digest.as_deref().unwrap_or_default()),
    ])
    .to("image")
}

/// A name and its value; a link where it leads to a page.
struct Fact {
    name: &'static str,
    value: String,
    href: String,
}

/// Something attached, and what checking it said.
struct Item {
    mark: Mark,
    title: String,
    facts: Vec<Fact>,
}

/// One finding, with what it rests on.
struct Section {
    id: &'static str,
    title: &'static str,
    mark: Mark,
    facts: Vec<Fact>,
    items: Vec<Item>,
    asked: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "image.html")]
struct Image {
    shell: Shell,
    name: String,
    finding: Mark,
    facts: Vec<Fact>,
    sections: Vec<Section>,
    others: Vec<(String, String)>,
    workloads: Vec<(String, String)>,
    history: String,
    back: String,
}

/// Gathers facts that there are.
#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn add(&mut self, name: &'static str, value: Option<impl Into<String>>) -> &mut Self {
        self.0.extend(value.map(|value| Fact { name, value: value.into(), href: String::new() }));
        self
    }

    fn link(&mut self, name: &'static str, value: Option<&str>, href: Option<String>) -> &mut Self {
        let href = href.unwrap_or_default();
        self.0.extend(value.map(|value| Fact { name, value: value.to_owned(), href }));
        self
    }
}

/// Whether a row is the one that a page was asked for.
fn is_it(row: &ImageRecord, params: &Params) -> bool {
    let is = |name: &str, value: &str| params.get(name).is_empty() || params.get(name) == value;
    row.image == params.get("image")
        && is("namespace", &row.namespace)
        && is("kind", &row.workload.kind)
        && is("workload", &row.workload.name)
        && is("digest", row.digest.as_deref().unwrap_or_default())
}

pub(super) async fn page(visit: Visit) -> Page {
    let Opened { mut shell, params, report, .. } = open(&visit, "image", "Image").await?;
    // In another report the same workload may run another digest.
    let any = params.without(&["digest"]);
    let at = report.images.iter().position(|row| is_it(row, &params));
    let at = at.or_else(|| report.images.iter().position(|row| is_it(row, &any)));
    let at = at.ok_or_else(|| {
        let image = params.get("image");
        Problem::not_found(format!("{image:?} does not run in this report; choose another one"))
    })?;
    let row =
        report.row(at).map_err(|error| Problem::unreadable(format!("the row cannot be read: {error}")))?;
    let row = &row;
    row.image.clone_into(&mut shell.title);
    let chosen = params.get("report");
    let same = |other: &&ImageRecord| is_it(other, &any) && other.digest != row.digest;
    let others = report.images.iter().filter(same).map(|other| {
        (other.digest.clone().unwrap_or_else(|| "without a digest".into()), link_to(chosen, other))
    });
    let elsewhere = report.images.iter().filter(|other| {
        let here = other.namespace == row.namespace && other.workload == row.workload;
        other.image == row.image && !here
    });
    let workloads = elsewhere.take(100).map(|other| {
        let place = format!("{} · {}/{}", other.namespace, other.workload.kind, other.workload.name);
        (place, link_to(chosen, other))
    });
    shown(&Image {
        name: row.image.clone(),
        finding: cells::finding(Finding::of(row)),
        facts: about(row, chosen),
        sections: vec![runs(row), signature(row), provenance(row), sbom(row), update(row)],
        others: others.collect(),
        workloads: workloads.collect(),
        history: Params::new([
            ("report", chosen),
            ("image", &row.image),
            ("namespace", &row.namespace),
            ("kind", &row.workload.kind),
            ("workload", &row.workload.name),
        ])
        .to("history"),
        back: Params::new([("report", chosen)]).to("images"),
        shell,
    })
}

fn about(row: &ImageRecord, report: &str) -> Vec<Fact> {
    let mut facts = Facts::default();
    let release = row.helm_release.as_ref().map(|link| format!("{}/{}", link.namespace, link.name));
    let releases = Params::new([("report", report)]).to("releases");
    let owners = row.owners.as_ref().map(|owners| {
        owners.iter().map(|owner| format!("{}/{}", owner.kind, owner.name)).collect::<Vec<_>>().join(" → ")
    });
    let containers = row.containers.as_ref().map(|containers| {
        containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ")
    });
    facts
        .add("Namespace", Some(row.namespace.as_str()).filter(|namespace| !namespace.is_empty()))
        .add("Workload", Some(format!("{}/{}", row.workload.kind, row.workload.name)))
        .add("Owners", owners.filter(|owners| !owners.is_empty()))
        .add("Pods", row.pods.map(|pods| pods.to_string()))
        .add("Containers", containers)
        .link("Helm release", release.as_deref(), Some(releases))
        .add("Registry", row.reference.as_ref().map(|reference| reference.registry.as_str()))
        .add("Repository", row.reference.as_ref().map(|reference| reference.repository.as_str()))
        .add("Platform", row.platform.as_deref())
        .add("Platforms", row.platforms.as_ref().map(|platforms| platforms.join(", ")));
    facts.0
}

/// What was asked for a section, and what came back.
fn asked(row: &ImageRecord, stage: &str) -> Vec<(String, String)> {
    let stage = stages(row).find(|(name, _)| *name == stage);
    let asked = stage.map(|(_, stage)| stage.asked.as_slice()).unwrap_or_default();
    asked.iter().map(|asked| (asked.place.clone(), asked.answer.clone())).collect()
}

/// Why a stage gave no answer.
fn reason(row: &ImageRecord, stage: &str) -> Option<String> {
    let (_, stage) = stages(row).find(|(name, _)| *name == stage)?;
    unanswered(Some(stage)).map(|mark| mark.more).filter(|more| !more.is_empty())
}

fn runs(row: &ImageRecord) -> Section {
    let mut facts = Facts::default();
    let drift = row.drift.as_ref();
    facts
        .add("Why", reason(row, "digest"))
        .add("Digest", row.digest.as_deref())
        .add("The tag names", drift.and_then(|drift| drift.tag_digest.as_deref()))
        .add("The runtime says", drift.and_then(|drift| drift.running_digest.as_deref()))
        .add("Image id", drift.and_then(|drift| drift.running_image_id.as_deref()))
        .add("Media type", row.media_type.as_deref());
    Section {
        id: "runs",
        title: "What runs",
        mark: cells::drift(row),
        facts: facts.0,
        items: Vec::new(),
        asked: asked(row, "digest"),
    }
}

fn verdict(checked: &Checked) -> Mark {
    let mark = |class, sign, word: &str| Mark { class, sign, word: word.into(), more: String::new() };
    match checked.verdict {
        Verdict::Verified => mark("good", "✓", "verified"),
        Verdict::Valid => mark("good", "✓", "valid"),
        Verdict::NotChecked => mark("plain", "·", "not checked"),
        Verdict::Invalid => mark("bad", "✕", "refused"),
    }
}

/// A word of the report, as JSON writes it.
fn word(value: &impl serde::Serialize) -> Option<String> {
    Some(serde_json::to_value(value).ok()?.as_str()?.to_owned())
}

fn checked(facts: &mut Facts, checked: &Checked) {
    facts.add("Why", checked.reason.as_ref().map(|reason| reason.message.as_str()));
    if let Some(signer) = &checked.signer {
        facts
            .add("Signer", Some(signer.to_string()))
            .add("Signed at", signer.signed_at.map(super::shell::written))
            .add("Built from", signer.source_repository.as_deref())
            .add("Commit", signer.source_commit.as_deref())
            .add("Ref", signer.source_ref.as_deref())
            .add("Transparency log", signer.log_checked.then_some("checked"));
    }
    facts
        .add("Claims", (!checked.claimed.is_empty()).then(|| checked.claimed.join(" ← ")))
        .add("Policies", (!checked.policies.is_empty()).then(|| checked.policies.join(", ")));
}

fn place(facts: &mut Facts, attached: &Attached) {
    let found = [word(&attached.form), word(&attached.place)].into_iter().flatten().collect::<Vec<_>>();
    facts
        .add("Found as", Some(found.join(", ")))
        .add("Manifest", Some(attached.manifest.as_str()))
        .add("For", Some(attached.subject.as_str()))
        .add("Platform", attached.platform.as_deref());
}

fn signature(row: &ImageRecord) -> Section {
    let mut facts = Facts::default();
    let found = row.signature.as_ref();
    facts.add("Why", found.and_then(|found| found.error.clone()).or_else(|| reason(row, "signature")));
    for policy in found.iter().flat_map(|found| found.policies.iter().flatten()) {
        let why = policy.reason.as_ref().map(|reason| format!(": {}", reason.message)).unwrap_or_default();
        let told = if policy.satisfied { "satisfied" } else { "not satisfied" };
        facts.add("Policy", Some(format!("{} {told}{why}", policy.name)));
    }
    let records = found.iter().flat_map(|found| found.signatures.iter().flatten());
    let items = records.map(|record| {
        let mut facts = Facts::default();
        checked(&mut facts, &record.checked);
        place(&mut facts, &record.attached);
        Item { mark: verdict(&record.checked), title: "Signature".into(), facts: facts.0 }
    });
    Section {
        id: "signature",
        title: "Signatures",
        mark: cells::signature(row),
        facts: facts.0,
        items: items.collect(),
        asked: asked(row, "signature"),
    }
}

/// Where a commit can be looked at, on the hosts whose pages are known.
fn commit_page(repository: Option<&str>, commit: Option<&str>) -> Option<String> {
    let (repository, commit) = (repository?, commit?);
    let path = repository.trim_start_matches("git+").trim_end_matches(".git");
    let path = path.split(['@', '#', '?']).next()?;
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
    let (host, rest) = path.strip_prefix("https://")?.split_once('/')?;
    let middle = match host {
        "github.com" => "commit",
        "gitlab.com" => "-/commit",
        _ => return None,
    };
    (is_plain(rest) && is_plain(commit)).then(|| format!("https://{host}/{rest}/{middle}/{commit}"))
}

fn provenance(row: &ImageRecord) -> Section {
    let mut facts = Facts::default();
    let found = row.provenance.as_ref();
    facts
        .add("Why", reason(row, "provenance"))
        .add("Predicate", found.and_then(|found| found.predicate_type.clone()));
    if let Some(build) = found.and_then(|found| found.build.as_ref()) {
        let (repository, commit) = (build.source_repository.as_deref(), build.source_commit.as_deref());
        facts
            .add("Builder", build.builder.as_deref())
            .add("Build type", build.build_type.as_deref())
            .add("Source", repository)
            .link("Commit", commit, commit_page(repository, commit))
            .add("Ref", build.source_ref.as_deref())
            .add("Entry point", build.entry_point.as_deref())
            .add("Run", build.invocation.as_deref())
            .add("Started", build.started_at.as_deref())
            .add("Finished", build.finished_at.as_deref())
            .add("Materials", build.materials.map(|materials| materials.to_string()));
    }
    if let Some(found) = found.and_then(|found| found.checked.as_ref()) {
        checked(&mut facts, found);
    }
    let items = row.attestations.iter().flatten().map(|record| {
        let mut facts = Facts::default();
        checked(&mut facts, &record.checked);
        place(&mut facts, &record.attached);
        let title = record.predicate_type.clone().unwrap_or_else(|| "Attestation".into());
        Item { mark: verdict(&record.checked), title, facts: facts.0 }
    });
    Section {
        id: "provenance",
        title: "Provenance and attestations",
        mark: cells::provenance(row),
        facts: facts.0,
        items: items.collect(),
        asked: asked(row, "provenance"),
    }
}

fn sbom(row: &ImageRecord) -> Section {
    let mut facts = Facts::default();
    facts.add("Why", reason(row, "sbom"));
    let documents = row.sbom.iter().flat_map(|sbom| sbom.documents.iter().flatten());
    let items = documents.map(|document| {
        let mut facts = Facts::default();
        let known = &document.facts;
        facts
            .add("Version", known.version.as_deref())
            .add("Packages", known.packages.map(|packages| packages.to_string()))
            .add("Licences", known.licences.map(|licences| licences.to_string()))
            .add("Tools", (!known.tools.is_empty()).then(|| known.tools.join(", ")))
            .add("Created", known.created.as_deref())
            .add("Bytes", document.bytes.map(|bytes| bytes.to_string()))
            .add("Not read", document.unreadable.as_deref());
        if document.signed {
            checked(&mut facts, &document.checked);
        }
        place(&mut facts, &document.attached);
        let mark = if document.signed {
            verdict(&document.checked)
        } else {
            Mark { class: "plain", sign: "·", word: "not signed".into(), more: String::new() }
        };
        let title = known.format.map_or("SBOM", SbomFormat::word);
        Item { mark, title: title.into(), facts: facts.0 }
    });
    Section {
        id: "sbom",
        title: "SBOMs",
        mark: cells::sbom(row),
        facts: facts.0,
        items: items.collect(),
        asked: asked(row, "sbom"),
    }
}

fn update(row: &ImageRecord) -> Section {
    let mut facts = Facts::default();
    facts.add("Why", reason(row, "update"));
    if let Some(update) = &row.update {
        facts
            .add("Runs", Some(update.current_tag.as_str()).filter(|tag| !tag.is_empty()))
            .add("Newest", update.newest_available.as_deref())
            .add("Newest of its major", update.latest_in_major.as_deref())
            .add("Newest of its minor", update.latest_in_minor.as_deref())
            .add("Level", update.level.map(provenance_model::UpdateLevel::word))
            .add("Versions behind", update.versions_behind.map(|count| count.to_string()))
            .add("Made", update.created_at.map(super::shell::written))
            .add("Reason", update.reason.as_deref());
        if let Some(upgrade) = &update.upgrade {
            for loss in &upgrade.loses {
                facts.add("The update loses", Some(loss.message.as_str()));
            }
            for unknown in &upgrade.unknown {
                facts.add("Not known of the update", Some(unknown.as_str()));
            }
        }
    }
    Section {
        id: "update",
        title: "Update",
        mark: cells::update(row),
        facts: facts.0,
        items: Vec::new(),
        asked: asked(row, "update"),
    }
}

/// What an image was in one report.
struct Then {
    time: String,
    href: String,
    digest: String,
    has_moved: bool,
    marks: [Mark; 5],
}

#[derive(Template)]
#[template(path = "history.html")]
struct History {
    shell: Shell,
    image: String,
    back: String,
    rows: Vec<Then>,
    looked: usize,
}

pub(super) async fn history(visit: Visit) -> Page {
    let Opened { mut shell, params, listing, at, .. } = open(&visit, "history", "History").await?;
    let image = params.get("image").to_owned();
    if image.is_empty() {
        return Err(Problem::asked("image: name the image whose history is wanted").into());
    }
    let any = params.without(&["digest"]);
    let (mut rows, mut looked) = (Vec::<Then>::new(), 0);
    for listed in listing.of_cluster(at).take(REPORTS) {
        // A report that went away or broke meanwhile is a gap, as if it had never been.
        let Ok((_, report)) = loaded(&visit.api, Some(&listed.filename)).await else { continue };
        looked += 1;
        for row in report.images.iter().filter(|row| is_it(row, &any)) {
            let digest = row.digest.clone().unwrap_or_default();
            rows.push(Then {
                time: listed.time(),
                href: link_to(&listed.filename, row),
                digest: short(&digest),
                has_moved: false,
                marks: [
                    cells::finding(Finding::of(row)),
                    cells::signature(row),
                    cells::provenance(row),
                    cells::sbom(row),
                    cells::update(row),
                ],
            });
        }
    }
    for at in 1..rows.len() {
        rows[at - 1].has_moved = rows[at - 1].digest != rows[at].digest;
    }
    shell.title = format!("History of {image}");
    shown(&History { back: any.to("image"), image, rows, looked, shell })
}
