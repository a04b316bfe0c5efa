//! Rows of images, filtered, sorted and in pages.

use std::cmp::Ordering;

use provenance_model::DriftState;
use provenance_model::report::{Finding, ImageRecord, Rule, SignatureVerdict};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::loaded::{Loaded, signers};
use crate::problem::Problem;
use crate::schemas;

/// Rows in a page at the most.
const MOST: usize = 1000;

/// What is asked for. A filter that is not given lets every row through; text is found anywhere in its field, in any
/// case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Asked {
    /// The report's file; the latest where not given.
    #[param(pattern = r"^$|^(latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    pub report: Option<String>,
    /// The cluster whose newest report is asked, where no report is named.
    pub cluster: Option<String>,
    /// In image, digest, namespace, workload, release, signer, builder or source.
    q: Option<String>,
    /// Found anywhere in the image's name, in any case; likewise the next ones.
    image: Option<String>,
    /// In the namespace.
    namespace: Option<String>,
    /// In the workload: `Kind/name`.
    workload: Option<String>,
    /// In the registry's host.
    registry: Option<String>,
    /// In the Helm release: `namespace/name`.
    release: Option<String>,
    /// In the digest that runs.
    digest: Option<String>,
    /// In who signed, as verified.
    signer: Option<String>,
    /// In what built it.
    builder: Option<String>,
    /// A finding's word, or several separated by commas.
    #[param(
        pattern = "^(failed|refused|gone|tag gone|drifted|not reached|deferred|outdated|same|found)(,(failed|refused|gone|tag gone|drifted|not reached|deferred|outdated|same|found))*$"
    )]
    finding: Option<String>,
    /// A rule that the row breaks, as `--fail-on` names it: `unsigned`, `outdated:minor`.
    #[param(
        pattern = "^$|^(failed|refused|unsigned|unverified|gone|drift|outdated(:(patch|minor|major))?|no-provenance|no-sbom|unhealthy|deprecated)$"
    )]
    rule: Option<String>,
    /// A verdict's word.
    #[param(pattern = "^$|^(unsigned|notChecked|valid|verified|invalid|failed)$")]
    verdict: Option<String>,
    /// Whether it has a signature; a row that does not know is neither.
    signed: Option<bool>,
    /// Whether a signature was verified.
    verified: Option<bool>,
    /// Whether it has provenance.
    provenance: Option<bool>,
    /// Whether it has an SBOM.
    sbom: Option<bool>,
    /// Whether there is an update.
    update: Option<bool>,
    /// Whether the tag names something else by now.
    drifted: Option<bool>,
    /// Whether something could not be found out.
    failed: Option<bool>,
    /// A column, with `-` before it for the other direction.
    #[param(pattern = "^$|^-?(finding|image|namespace|workload|registry|pods|update|digest)$")]
    sort: Option<String>,
    /// The page, from 1.
    #[param(minimum = 1)]
    page: Option<usize>,
    /// Rows in a page: 1 to 1000, 100 where not given.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<usize>,
    /// `1` or `true`: one level of columns.
    #[param(pattern = "^$|^(0|1|false|true)$")]
    flat: Option<String>,
}

/// One row in one level of columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flat<'a> {
    /// As the pod names it.
    pub image: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The kind of the workload that runs it.
    pub workload_kind: &'a str,
    /// The workload's name.
    pub workload_name: &'a str,
    /// The registry's host.
    pub registry: Option<&'a str>,
    /// The repository in the registry.
    pub repository: Option<&'a str>,
    /// What runs.
    pub digest: Option<&'a str>,
    /// The row's finding, in a word.
    pub finding: &'static str,
    /// How many pods run it.
    pub pods: Option<usize>,
    /// The signatures' verdict, in a word.
    pub verdict: Option<&'static str>,
    /// Whether it has a signature.
    pub signed: Option<bool>,
    /// Whether a signature was verified.
    pub verified: Option<bool>,
    /// The first signer, as verified.
    pub signer: Option<String>,
    /// Whether it has provenance.
    pub provenance: Option<bool>,
    /// The provenance's predicate type.
    pub predicate_type: Option<&'a str>,
    /// What built it.
    pub builder: Option<&'a str>,
    /// The repository it was built from.
    pub source_repository: Option<&'a str>,
    /// The commit it was built from.
    pub source_commit: Option<&'a str>,
    /// Whether it has an SBOM.
    pub sbom: Option<bool>,
    /// The SBOM's format.
    pub sbom_format: Option<&'a str>,
    /// Whether there is an update at the level asked for.
    pub update_available: Option<bool>,
    /// The tag that runs.
    pub current_tag: Option<&'a str>,
    /// The newest tag of its major version, when newer.
    pub latest_in_major: Option<&'a str>,
    /// The newest tag, when newer.
    pub newest_available: Option<&'a str>,
    /// The first part of the version that the newest changes.
    pub update_level: Option<&'static str>,
    /// Whether the tag still names what runs.
    #[schema(schema_with = schemas::drift)]
    pub drift: Option<DriftState>,
    /// The Helm release that brought it: `namespace/name`.
    pub helm_release: Option<String>,
}

impl<'a> Flat<'a> {
    /// The columns of a row.
    pub fn of(row: &'a ImageRecord) -> Self {
        let (signature, provenance, update) =
            (row.signature.as_ref(), row.provenance.as_ref(), row.update.as_ref());
        let build = provenance.and_then(|found| found.build.as_ref());
        let reference = row.reference.as_ref();
        Self {
            image: &row.image,
            namespace: &row.namespace,
            workload_kind: &row.workload.kind,
            workload_name: &row.workload.name,
            registry: reference.map(|reference| reference.registry.as_str()),
            repository: reference.map(|reference| reference.repository.as_str()),
            digest: row.digest.as_deref(),
            finding: Finding::of(row).word(),
            pods: row.pods,
            verdict: signature.and_then(|found| found.verdict).map(SignatureVerdict::word),
            signed: signature.map(|found| found.signed),
            verified: signature.map(|found| found.verified),
            signer: signers(row).next(),
            provenance: provenance.map(|found| found.has_provenance),
            predicate_type: provenance.and_then(|found| found.predicate_type.as_deref()),
            builder: build.and_then(|build| build.builder.as_deref()),
            source_repository: build.and_then(|build| build.source_repository.as_deref()),
            source_commit: build.and_then(|build| build.source_commit.as_deref()),
            sbom: row.sbom.as_ref().map(|found| found.has_sbom),
            sbom_format: row.sbom.as_ref().and_then(|found| found.format.as_deref()),
            update_available: update.map(|update| update.update_available),
            current_tag: update.map(|update| update.current_tag.as_str()),
            latest_in_major: update.and_then(|update| update.latest_in_major.as_deref()),
            newest_available: update.and_then(|update| update.newest_available.as_deref()),
            update_level: update.and_then(|update| update.level).map(provenance_model::UpdateLevel::word),
            drift: row.drift.as_ref().map(|drift| drift.state),
            helm_release: row.helm_release.as_ref().map(|link| format!("{}/{}", link.namespace, link.name)),
        }
    }
}

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rows<'a> {
    /// The report's file.
    pub report: String,
    /// Rows that the filters let through.
    pub total: usize,
    /// The page, from 1.
    pub page: usize,
    /// Rows in a page.
    pub page_size: usize,
    /// The rows: whole, or in one level of columns.
    #[schema(schema_with = schemas::rows)]
    pub items: Vec<Row<'a>>,
}

/// Rows whole or in one level.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Row<'a> {
    /// As the report has it.
    Whole(Box<RawValue>),
    /// In one level of columns.
    Flat(Box<Flat<'a>>),
}

/// The words of verdicts.
pub const VERDICTS: [&str; 6] = ["unsigned", "notChecked", "valid", "verified", "invalid", "failed"];

/// The columns that rows are sorted by.
const COLUMNS: [&str; 8] =
    ["finding", "image", "namespace", "workload", "registry", "pods", "update", "digest"];

impl Asked {
    /// The page that is asked for.
    ///
    /// # Errors
    ///
    /// [`Problem`] for a word that is none, with those that are.
    pub(crate) fn answer<'a>(&self, report: String, loaded: &'a Loaded) -> Result<Rows<'a>, Problem> {
        let flat = match self.flat.as_deref() {
            None | Some("0" | "false" | "") => false,
            Some("1" | "true") => true,
            Some(other) => {
                return Err(Problem::asked(format!("flat: {other:?} is none of: 0, 1, false, true")));
            }
        };
        let rows = self.rows(loaded)?;
        let page = self.page.unwrap_or(1);
        let page_size = self.page_size.unwrap_or(100);
        if page == 0 || !(1..=MOST).contains(&page_size) {
            return Err(Problem::asked(format!("page is 1 or more, pageSize 1 to {MOST}")));
        }
        let total = rows.len();
        let items = rows.into_iter().skip((page - 1).saturating_mul(page_size)).take(page_size);
        let whole = |at| loaded.whole(at).map(Row::Whole);
        let row =
            |at: usize| if flat { Ok(Row::Flat(Box::new(Flat::of(&loaded.images[at])))) } else { whole(at) };
        let items = items.map(row).collect::<Result<_, _>>();
        let items = items.map_err(|error| Problem::unreadable(format!("a row cannot be read: {error}")))?;
        Ok(Rows { report, total, page, page_size, items })
    }

    /// The rows that the filters let through, sorted: their places in the report.
    ///
    /// # Errors
    ///
    /// [`Problem`] for a word that is none, with those that are.
    pub(crate) fn rows(&self, loaded: &Loaded) -> Result<Vec<usize>, Problem> {
        let findings = self.findings()?;
        if let Some(verdict) = &self.verdict {
            one_of("verdict", verdict, &VERDICTS)?;
        }
        let rule = self.rule.as_deref().map(str::parse::<Rule>).transpose();
        let rule = rule.map_err(|why| Problem::asked(format!("rule: {why}")))?;
        let filter = Filter { asked: self, findings, rule, texts: self.texts() };
        let images = &loaded.images;
        let mut rows = match &self.q {
            Some(text) => loaded.holding(text),
            None => (0..images.len()).collect(),
        };
        rows.retain(|at| filter.lets_through(&images[*at]));
        self.sort(images, &mut rows)?;
        Ok(rows)
    }

    fn findings(&self) -> Result<Option<Vec<Finding>>, Problem> {
        let Some(written) = &self.finding else { return Ok(None) };
        let words = Finding::ALL.map(|finding| finding.word().to_lowercase());
        let names: Vec<_> = words.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        for word in written.split(',') {
            let word = word.trim().to_lowercase();
            one_of("finding", &word, &names)?;
            found.extend(
                Finding::ALL.into_iter().zip(&names).filter(|(_, known)| **known == word).map(|(one, _)| one),
            );
        }
        Ok(Some(found))
    }

    /// The texts that are asked for, in lower case, with where each is looked for.
    fn texts(&self) -> Vec<(Place, String)> {
        let all = [
            (Place::Image, &self.image),
            (Place::Namespace, &self.namespace),
            (Place::Workload, &self.workload),
            (Place::Registry, &self.registry),
            (Place::Release, &self.release),
            (Place::Digest, &self.digest),
            (Place::Builder, &self.builder),
            (Place::Signer, &self.signer),
        ];
        all.into_iter().filter_map(|(place, text)| Some((place, text.as_ref()?.to_lowercase()))).collect()
    }

    fn sort(&self, images: &[ImageRecord], rows: &mut [usize]) -> Result<(), Problem> {
        let Some(sort) = self.sort.as_deref() else { return Ok(()) };
        let (column, is_down) = sort.strip_prefix('-').map_or((sort, false), |column| (column, true));
        one_of("sort", column, &COLUMNS)?;
        let registry =
            |row: &'_ ImageRecord| row.reference.as_ref().map(|reference| reference.registry.clone());
        let newest =
            |row: &ImageRecord| row.update.as_ref().and_then(|update| update.newest_available.clone());
        let by = |rows: &mut [usize], compare: &dyn Fn(&ImageRecord, &ImageRecord) -> Ordering| {
            rows.sort_by(|a, b| {
                let order = compare(&images[*a], &images[*b]);
                if is_down { order.reverse() } else { order }
            });
        };
        match column {
            "finding" => by(rows, &|a, b| Finding::of(a).cmp(&Finding::of(b))),
            "namespace" => by(rows, &|a, b| a.namespace.cmp(&b.namespace)),
            "workload" => by(rows, &|a, b| {
                (&a.workload.kind, &a.workload.name).cmp(&(&b.workload.kind, &b.workload.name))
            }),
            "registry" => by(rows, &|a, b| registry(a).cmp(&registry(b))),
            "pods" => by(rows, &|a, b| a.pods.cmp(&b.pods)),
            "update" => by(rows, &|a, b| newest(a).cmp(&newest(b))),
            "digest" => by(rows, &|a, b| a.digest.cmp(&b.digest)),
            _ => by(rows, &|a, b| a.image.cmp(&b.image)),
        }
        Ok(())
    }
}

/// Where a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Image,
    Namespace,
    Workload,
    Registry,
    Release,
    Digest,
    Builder,
    Signer,
}

impl Place {
    /// Whether it holds a text, given in lower case.
    fn holds(self, row: &ImageRecord, wanted: &str) -> bool {
        let holds = |text: Option<&str>| text.is_some_and(|text| holds(text, wanted));
        let build = || row.provenance.as_ref().and_then(|found| found.build.as_ref());
        match self {
            Self::Image => holds(Some(&row.image)),
            Self::Namespace => holds(Some(&row.namespace)),
            Self::Workload if wanted.contains('/') => {
                holds(Some(&format!("{}/{}", row.workload.kind, row.workload.name)))
            }
            Self::Workload => holds(Some(&row.workload.kind)) || holds(Some(&row.workload.name)),
            Self::Registry => holds(row.reference.as_ref().map(|reference| reference.registry.as_str())),
            Self::Release => row.helm_release.as_ref().is_some_and(|link| {
                if wanted.contains('/') {
                    holds(Some(&format!("{}/{}", link.namespace, link.name)))
                } else {
                    holds(Some(&link.namespace)) || holds(Some(&link.name))
                }
            }),
            Self::Digest => holds(row.digest.as_deref()),
            Self::Builder => holds(build().and_then(|build| build.builder.as_deref())),
            Self::Signer => signers(row).any(|signer| holds(Some(&signer))),
        }
    }
}

/// Whether a text holds another, which is in lower case, in any case.
fn holds(text: &str, wanted: &str) -> bool {
    if !text.is_ascii() || !wanted.is_ascii() {
        return text.to_lowercase().contains(wanted);
    }
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    wanted.is_empty() || text.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
}

/// What is asked for, made ready to be held against many rows.
struct Filter<'a> {
    asked: &'a Asked,
    findings: Option<Vec<Finding>>,
    rule: Option<Rule>,
    texts: Vec<(Place, String)>,
}

impl Filter<'_> {
    fn lets_through(&self, row: &ImageRecord) -> bool {
        let asked = self.asked;
        let is =
            |wanted: Option<bool>, found: Option<bool>| wanted.is_none_or(|wanted| found == Some(wanted));
        let signature = row.signature.as_ref();
        let verdict = || signature.and_then(|found| found.verdict).map(SignatureVerdict::word);
        let is_drifted = || row.drift.as_ref().is_some_and(|drift| drift.state == DriftState::Drifted);
        is(asked.signed, signature.map(|found| found.signed))
            && is(asked.verified, signature.map(|found| found.verified))
            && is(asked.provenance, row.provenance.as_ref().map(|found| found.has_provenance))
            && is(asked.sbom, row.sbom.as_ref().map(|found| found.has_sbom))
            && is(asked.update, row.update.as_ref().map(|update| update.update_available))
            && asked.drifted.is_none_or(|wanted| is_drifted() == wanted)
            && asked.verdict.as_deref().is_none_or(|wanted| verdict() == Some(wanted))
            && asked.failed.is_none_or(|wanted| (Finding::of(row) == Finding::Failed) == wanted)
            && self.findings.as_ref().is_none_or(|wanted| wanted.contains(&Finding::of(row)))
            && self.rule.is_none_or(|rule| row.findings.iter().flatten().any(|found| rule.covers(*found)))
            && self.texts.iter().all(|(place, wanted)| place.holds(row, wanted))
    }
}

fn one_of(name: &str, word: &str, words: &[&str]) -> Result<(), Problem> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(Problem::asked(format!("{name}: {word:?} is none of: {}", words.join(", "))))
}
