//! What every page has around it: the navigation, and the choice of a report.

use std::sync::Arc;

use jiff::Timestamp;
use provenance_model::report::Report;

use super::link::Params;
use super::visit::{NoReports, Oops, Visit};
use crate::api::{Api, listed, loaded};
use crate::auth::Who;
use crate::loaded::Loaded;
use crate::problem::Problem;
use crate::store::{Listed, Listing, UNNAMED};

/// Reports to choose from at the most.
const CHOICES: usize = 200;

/// A link of the navigation.
pub(super) struct Nav {
    pub label: &'static str,
    pub href: String,
    pub is_current: bool,
}

/// A value to choose.
pub(super) struct Choice {
    pub value: String,
    pub label: String,
    pub is_chosen: bool,
}

/// What is around every page, whatever it shows: the brand, and who looks at it.
pub(super) struct Frame {
    pub brand: String,
    /// The logos of light and of dark ground, and the icon.
    pub pictures: [String; 3],
    pub has_style: bool,
    /// The name of who signed in; empty where nobody did.
    pub person: String,
    /// Whether there is a session to end.
    pub has_session: bool,
    /// Whether who looks may start a scan here.
    pub may_scan: bool,
}

impl Frame {
    pub(super) fn of(api: &Api, who: &Who) -> Self {
        let person = match who {
            Who::Known(person) => Some(person),
            _ => None,
        };
        let named = person.map(|person| &person.identity);
        let name = named.and_then(|who| who.name.as_ref().or(who.email.as_ref()).or(Some(&who.subject)));
        Self {
            brand: api.brand.title.clone(),
            pictures: api.brand.pictures().map(str::to_owned),
            has_style: !api.brand.style().is_empty(),
            person: name.cloned().unwrap_or_default(),
            has_session: person.is_some_and(|person| person.session.is_some()),
            may_scan: api.jobs.is_some() && person.is_some_and(|person| person.may_scan),
        }
    }
}

impl Visit {
    /// What is around the page.
    pub(super) fn frame(&self) -> Frame {
        Frame::of(&self.api, &self.who)
    }
}

/// What is around a page.
pub(super) struct Shell {
    pub frame: Frame,
    pub title: String,
    /// The page's own path.
    pub page: &'static str,
    pub nav: Vec<Nav>,
    pub reports: Vec<Choice>,
    /// What to keep when another report is chosen.
    pub kept: Vec<(String, String)>,
    pub cluster: String,
    /// The clusters to choose from, where there are several.
    pub clusters: Vec<Choice>,
    pub generated: String,
    pub age: String,
    pub partial: Vec<String>,
    pub truncated: Option<String>,
}

const PAGES: [(&str, &str); 5] = [
    ("./", "Overview"),
    ("images", "Images"),
    ("releases", "Helm releases"),
    ("compare", "Compare"),
    ("run", "About this run"),
];

impl Shell {
    /// Around a page that has no report.
    pub(super) fn bare(frame: Frame, title: &str) -> Self {
        let nav = PAGES.iter();
        let nav = nav.map(|(path, label)| Nav { label, href: (*path).to_owned(), is_current: false });
        Self {
            frame,
            title: title.to_owned(),
            page: "./",
            nav: nav.collect(),
            reports: Vec::new(),
            kept: Vec::new(),
            cluster: String::new(),
            clusters: Vec::new(),
            generated: String::new(),
            age: String::new(),
            partial: Vec::new(),
            truncated: None,
        }
    }

    fn around(
        frame: Frame,
        (page, title): (&'static str, &str),
        params: &Params,
        seen: &Listing,
        report: &Report,
    ) -> Self {
        let chosen = params.get("report");
        let nav = nav(seen, page, chosen);
        let run = report.run.as_ref();
        Self {
            frame,
            title: title.to_owned(),
            page,
            nav,
            reports: choices(seen, chosen),
            clusters: clusters(seen, report.metadata.cluster_name.as_deref().unwrap_or(UNNAMED)),
            kept: params.without(&["report", "cluster", "page"]).pairs().to_vec(),
            cluster: report.metadata.cluster_name.clone().unwrap_or_default(),
            generated: written(report.metadata.generated_at),
            age: age(report.metadata.generated_at),
            partial: run.filter(|run| run.partial).map(|run| run.partial_reasons.clone()).unwrap_or_default(),
            truncated: report.truncated.as_ref().map(|truncated| truncated.reason.clone()),
        }
    }
}

/// The navigation; with the clusters where there are several.
fn nav(seen: &Listing, page: &str, report: &str) -> Vec<Nav> {
    let clusters = (seen.newest().len() > 1).then_some(&("clusters", "Clusters"));
    let nav = PAGES.iter().chain(clusters).map(|(path, label)| Nav {
        label,
        href: Params::new([("report", report)]).to(path),
        is_current: *path == page,
    });
    nav.collect()
}

/// Around a page that is about no single report.
pub(super) fn bare(frame: Frame, page: &'static str, title: &str, seen: &Listing) -> Shell {
    Shell { page, nav: nav(seen, page, ""), ..Shell::bare(frame, title) }
}

/// The clusters to choose from, where there are several.
fn clusters(seen: &Listing, chosen: &str) -> Vec<Choice> {
    let newest = seen.newest();
    if newest.len() < 2 {
        return Vec::new();
    }
    let names = newest.into_iter().map(Listed::cluster);
    let choice =
        |name: &str| Choice { value: name.to_owned(), label: name.to_owned(), is_chosen: name == chosen };
    names.map(choice).collect()
}

/// The reports to choose from; with their clusters where there are several.
pub(super) fn choices(seen: &Listing, chosen: &str) -> Vec<Choice> {
    let has_clusters = seen.reports.windows(2).any(|pair| pair[0].cluster_name != pair[1].cluster_name);
    let choice = |report: &Listed| Choice {
        value: report.filename.clone(),
        label: match report.cluster_name.as_deref().filter(|_| has_clusters) {
            Some(cluster) => format!("{} · {cluster}", report.time()),
            None => report.time(),
        },
        is_chosen: report.filename == chosen,
    };
    seen.reports.iter().take(CHOICES).map(choice).collect()
}

/// A report and what is around its page.
pub(super) struct Opened {
    pub shell: Shell,
    pub params: Params,
    pub listing: Arc<Listing>,
    /// The report's place in the listing.
    pub at: usize,
    /// The report's file.
    pub name: String,
    pub report: Arc<Loaded>,
}

/// Opens the report that a page was asked for.
pub(super) async fn open(visit: &Visit, page: &'static str, title: &str) -> Result<Opened, Oops> {
    let mut params = Params::of(visit.query.as_deref());
    let listing = listed(&visit.api).await?;
    let cluster = params.get("cluster").to_owned();
    if !cluster.is_empty() {
        let newest = listing.newest().into_iter().find(|report| report.cluster() == cluster);
        let newest = newest.ok_or_else(|| Problem::not_found(format!("there is no cluster {cluster:?}")))?;
        params = params.without(&["cluster"]).with("report", &newest.filename);
    }
    let chosen = params.get("report");
    let at = if chosen.is_empty() || chosen == "latest" {
        if listing.reports.is_empty() {
            return Err(NoReports.into());
        }
        Some(0)
    } else {
        listing.reports.iter().position(|report| report.filename == chosen)
    };
    let at = at.ok_or_else(|| Problem::not_found(format!("there is no report {chosen:?}")))?;
    let name = listing.reports[at].filename.clone();
    let (_, report) = loaded(&visit.api, Some(&name)).await?;
    let shell = Shell::around(visit.frame(), (page, title), &params, &listing, &report);
    Ok(Opened { shell, params, listing, at, name, report })
}

/// A time, as people read it.
pub(super) fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long ago that was, as a listing writes it.
pub(super) fn age_of(generated_at: &str) -> String {
    generated_at.parse().map(age).unwrap_or_default()
}

/// How long ago that was, in one unit.
fn age(time: Timestamp) -> String {
    let passed = Timestamp::now().duration_since(time);
    let minutes = passed.as_mins();
    let told = |count: i64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    match minutes {
        ..1 => "just now".into(),
        1..120 => told(minutes, "minute"),
        120..2880 => told(minutes / 60, "hour"),
        _ => told(minutes / 1440, "day"),
    }
}
