//! The table of images, and its export.

use std::collections::BTreeSet;

use askama::Template;
use axum::http::header;
use axum::response::IntoResponse;
use provenance_model::report::counting::summarise;
use provenance_model::report::{Finding, ImageRecord, Report, export};

use super::cells::{self, Mark, short};
use super::image::link_to;
use super::link::Params;
use super::shell::{Choice, Opened, Shell, open};
use super::visit::{Page, Visit, shown};
use crate::images::{Asked, Flat, VERDICTS};
use crate::loaded::Loaded;
use crate::problem::Problem;

/// Rows in a page.
const PAGE: usize = 50;
/// What the page asks with that no filter is.
const NO_FILTERS: [&str; 4] = ["cols", "page", "format", "report"];

/// Columns by key, label, the name to sort by where there is one, and whether they are shown unless others are chosen.
const COLUMNS: [(&str, &str, &str, bool); 14] = [
    ("finding", "Finding", "finding", true),
    ("image", "Image", "image", true),
    ("namespace", "Namespace", "namespace", true),
    ("workload", "Workload", "workload", true),
    ("signature", "Signature", "", true),
    ("provenance", "Provenance", "", true),
    ("sbom", "SBOM", "", true),
    ("update", "Update", "update", true),
    ("pods", "Pods", "pods", false),
    ("digest", "Digest", "digest", false),
    ("registry", "Registry", "registry", false),
    ("release", "Helm release", "", false),
    ("signer", "Signer", "", false),
    ("builder", "Builder", "", false),
];

/// What a row can be asked for with yes or no.
const FACTS: [(&str, &str); 7] = [
    ("signed", "Signed"),
    ("verified", "Verified"),
    ("provenance", "Provenance"),
    ("sbom", "SBOM"),
    ("update", "Update"),
    ("drifted", "Drifted"),
    ("failed", "Failed"),
];
/// What a row can be searched by beside the box for everything.
const TEXTS: [(&str, &str); 6] = [
    ("image", "Image"),
    ("workload", "Workload"),
    ("release", "Helm release"),
    ("digest", "Digest"),
    ("signer", "Signer"),
    ("builder", "Builder"),
];

struct Column {
    key: &'static str,
    label: &'static str,
    /// Empty where it is not sorted by.
    href: String,
    /// `ascending`, `descending`, or empty.
    sorted: &'static str,
}

enum Cell {
    Mark(Mark),
    Link { text: String, href: String },
    Text { text: String, full: String },
}

struct Field {
    name: &'static str,
    label: &'static str,
    value: String,
}

struct Select {
    name: &'static str,
    label: &'static str,
    any: &'static str,
    choices: Vec<Choice>,
}

struct Filter {
    label: String,
    without: String,
}

/// The filters, as they are set.
struct Form {
    q: String,
    selects: Vec<Select>,
    facts: Vec<Select>,
    texts: Vec<Field>,
    /// Whether one of the filters below the first line is set.
    has_more: bool,
}

#[derive(Template)]
#[template(path = "images.html")]
struct Images {
    shell: Shell,
    form: Form,
    filters: Vec<Filter>,
    shown: Vec<Choice>,
    columns: Vec<Column>,
    rows: Vec<Vec<(&'static str, Cell)>>,
    total: usize,
    all: usize,
    first: usize,
    last: usize,
    previous: String,
    next: String,
    clear: String,
    csv: String,
    markdown: String,
    json: String,
}

/// What is asked for, of a page's parameters.
fn asked(params: &Params) -> Result<Asked, Problem> {
    let query = params.without(&NO_FILTERS).query();
    serde_urlencoded::from_str(&query).map_err(|error| Problem::asked(error.to_string()))
}

fn choices<'a>(values: impl Iterator<Item = (&'a str, String)>, chosen: &str) -> Vec<Choice> {
    values
        .map(|(value, label)| Choice { value: value.to_owned(), label, is_chosen: value == chosen })
        .collect()
}

pub(super) async fn page(visit: Visit) -> Page {
    let Opened { shell, params, report, .. } = open(&visit, "images", "Images").await?;
    let rows = asked(&params)?.rows(&report)?;
    let total = rows.len();
    let page = params.get("page").parse::<usize>().unwrap_or(1).clamp(1, total.div_ceil(PAGE).max(1));
    let first = (page - 1) * PAGE;
    let chosen: Vec<_> = params.all("cols").collect();
    let is_shown = |key: &str, by_default: bool| {
        if chosen.is_empty() { by_default } else { key == "image" || chosen.contains(&key) }
    };
    let sort = params.get("sort");
    let columns: Vec<_> = COLUMNS
        .iter()
        .filter(|(key, .., by_default)| is_shown(key, *by_default))
        .map(|(key, label, by, _)| {
            let (is_up, is_down) = (sort == *by, sort.strip_prefix('-') == Some(by));
            let next = if is_up { format!("-{by}") } else { (*by).to_owned() };
            Column {
                key,
                label,
                href: if by.is_empty() {
                    String::new()
                } else {
                    params.without(&["page"]).with("sort", &next).to("images")
                },
                sorted: match (by.is_empty(), is_up, is_down) {
                    (false, true, _) => "ascending",
                    (false, _, true) => "descending",
                    _ => "",
                },
            }
        })
        .collect();
    let chosen_report = params.get("report");
    let cells = rows.iter().skip(first).take(PAGE).map(|at| &report.images[*at]).map(|row| {
        let flat = Flat::of(row);
        columns.iter().map(|column| (column.label, cell(column.key, row, &flat, chosen_report))).collect()
    });
    let filters = params.without(&["report", "page", "cols", "sort", "format"]);
    let told = filters.pairs().iter().map(|(name, value)| Filter {
        label: if name == "q" { format!("“{value}”") } else { format!("{name}: {value}") },
        without: params.without(&[name, "page"]).to("images"),
    });
    let to_page = |page: usize| params.with("page", &page.to_string()).to("images");
    let to_file = |format: &str| params.without(&["page", "cols"]).with("format", format).to("export");
    let last = (first + PAGE).min(total);
    shown(&Images {
        form: form(&params, &report),
        filters: told.collect(),
        shown: COLUMNS
            .iter()
            .map(|(key, label, _, by_default)| Choice {
                value: (*key).to_owned(),
                label: (*label).to_owned(),
                is_chosen: is_shown(key, *by_default),
            })
            .collect(),
        rows: cells.collect(),
        columns,
        total,
        all: report.images.len(),
        first: if total == 0 { 0 } else { first + 1 },
        last,
        previous: if page > 1 { to_page(page - 1) } else { String::new() },
        next: if last < total { to_page(page + 1) } else { String::new() },
        clear: Params::new([("report", chosen_report)]).to("images"),
        csv: to_file("csv"),
        markdown: to_file("markdown"),
        json: to_file("json"),
        shell,
    })
}

fn form(params: &Params, report: &Loaded) -> Form {
    let of = |name: &'static str, label, any, values: &BTreeSet<String>| Select {
        name,
        label,
        any,
        choices: choices(values.iter().map(|value| (value.as_str(), value.clone())), params.get(name)),
    };
    let (namespaces, registries) = (report.namespaces(), report.registries());
    let findings: Vec<_> = Finding::ALL.iter().map(|finding| finding.word().to_lowercase()).collect();
    let mut finding =
        choices(findings.iter().map(|word| (word.as_str(), word.clone())), params.get("finding"));
    if !params.get("finding").is_empty() && finding.iter().all(|choice| !choice.is_chosen) {
        let value = params.get("finding").to_owned();
        finding.push(Choice { label: value.replace(',', ", "), value, is_chosen: true });
    }
    let yes_or_no = |(name, label): &(&'static str, &'static str)| Select {
        name,
        label,
        any: "any",
        choices: choices(
            [("true", "yes".to_owned()), ("false", "no".to_owned())].into_iter(),
            params.get(name),
        ),
    };
    let texts: Vec<_> =
        TEXTS.iter().map(|(name, label)| Field { name, label, value: params.get(name).to_owned() }).collect();
    let verdict = choices(VERDICTS.iter().map(|word| (*word, (*word).to_owned())), params.get("verdict"));
    let facts: Vec<_> = FACTS.iter().map(yes_or_no).collect();
    let has_more = texts.iter().any(|field| !field.value.is_empty())
        || facts.iter().any(|fact| fact.choices.iter().any(|choice| choice.is_chosen))
        || !params.get("verdict").is_empty();
    Form {
        q: params.get("q").to_owned(),
        selects: vec![
            of("namespace", "Namespace", "all namespaces", namespaces),
            Select { name: "finding", label: "Finding", any: "any finding", choices: finding },
            of("registry", "Registry", "all registries", registries),
        ],
        facts: facts
            .into_iter()
            .chain([Select { name: "verdict", label: "Verdict", any: "any", choices: verdict }])
            .collect(),
        texts,
        has_more,
    }
}

fn cell(key: &str, row: &ImageRecord, flat: &Flat<'_>, report: &str) -> Cell {
    let text = |text: Option<&str>| {
        let full = text.unwrap_or("–").to_owned();
        Cell::Text { text: full.clone(), full }
    };
    match key {
        "finding" => Cell::Mark(cells::finding(Finding::of(row))),
        "image" => Cell::Link { text: row.image.clone(), href: link_to(report, row) },
        "namespace" => text(Some(flat.namespace)),
        "workload" => text(Some(&format!("{}/{}", flat.workload_kind, flat.workload_name))),
        "signature" => Cell::Mark(cells::signature(row)),
        "provenance" => Cell::Mark(cells::provenance(row)),
        "sbom" => Cell::Mark(cells::sbom(row)),
        "update" => Cell::Mark(cells::update(row)),
        "pods" => text(flat.pods.map(|pods| pods.to_string()).as_deref()),
        "digest" => {
            let full = flat.digest.unwrap_or("–").to_owned();
            Cell::Text { text: short(&full), full }
        }
        "registry" => text(flat.registry),
        "release" => text(flat.helm_release.as_deref()),
        "signer" => text(flat.signer.as_deref()),
        _ => text(flat.builder),
    }
}

/// What is filtered, as a file.
pub(super) async fn export(visit: Visit) -> Page {
    let Opened { params, report, name, .. } = open(&visit, "images", "Images").await?;
    let rows = asked(&params)?.rows(&report)?;
    let is_whole = rows.len() == report.images.len();
    let cut = || {
        let images: Vec<ImageRecord> = rows.iter().map(|at| report.images[*at].clone()).collect();
        Report {
            // Releases are not filtered by what images are.
            helm_releases: if is_whole { report.helm_releases.clone() } else { Vec::new() },
            metadata: report.metadata.clone(),
            // Counts of what is in the file, not of what was filtered out.
            summary: if is_whole { report.summary.clone() } else { summarise(&images, &[]) },
            images,
            run: report.run.clone(),
            truncated: report.truncated.clone(),
        }
    };
    let (kind, end, text) = match params.get("format") {
        "" | "csv" => ("text/csv; charset=utf-8", "csv", export::csv(&cut())),
        "markdown" | "md" => ("text/markdown; charset=utf-8", "md", export::markdown(&cut())),
        "json" => {
            let whole = rows.iter().map(|at| report.whole(*at)).collect::<Result<Vec<_>, _>>();
            let text = whole.and_then(|rows| serde_json::to_string(&rows).map_err(std::io::Error::from));
            ("application/json", "json", text.map_err(|error| Problem::unreadable(error.to_string()))?)
        }
        other => {
            return Err(Problem::asked(format!("format: {other:?} is none of: csv, markdown, json")).into());
        }
    };
    let stem = name.strip_suffix(".json").unwrap_or(&name);
    let file = format!("attachment; filename={stem}-images.{end}");
    Ok(([(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, file)], text).into_response())
}
