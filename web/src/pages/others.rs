//! Helm releases, and how the run went.

use askama::Template;
use provenance_model::report::stages::release_stages;
use provenance_model::report::{CacheUse, HelmRelease, RegistryUse};

use super::cells::{Mark, unanswered};
use super::link::Params;
use super::shell::{Opened, Shell, open, written};
use super::visit::{Page, Visit, shown};

struct Release {
    name: String,
    namespace: String,
    chart: String,
    version: String,
    app: String,
    status: Mark,
    revision: String,
    updated: String,
    update: Mark,
    manager: String,
    images: String,
    images_href: String,
}

#[derive(Template)]
#[template(path = "releases.html")]
struct Releases {
    shell: Shell,
    q: String,
    rows: Vec<Release>,
    all: usize,
}

fn mark(class: &'static str, sign: &'static str, word: &str, more: &str) -> Mark {
    Mark { class, sign, word: word.to_owned(), more: more.to_owned() }
}

fn status(release: &HelmRelease) -> Mark {
    let mut stages = release_stages(release);
    if let Some(mark) =
        stages.find(|(name, _)| *name == "release").and_then(|(_, stage)| unanswered(Some(stage)))
    {
        return mark;
    }
    let more = release.description.as_deref().unwrap_or_default();
    match release.status.as_deref() {
        Some("deployed") => mark("good", "✓", "deployed", more),
        Some(word) if release.is_unhealthy() => mark("bad", "✕", word, more),
        Some(word) => mark("plain", "·", word, more),
        None => mark("plain", "·", "installed", ""),
    }
}

fn update(release: &HelmRelease) -> Mark {
    let mut stages = release_stages(release);
    if let Some(mark) =
        stages.find(|(name, _)| *name == "chart").and_then(|(_, stage)| unanswered(Some(stage)))
    {
        return mark;
    }
    match &release.update {
        Some(update) if update.update_available => {
            let newest = update.newest_available.as_ref().or(update.latest_in_major.as_ref());
            mark("warn", "↑", newest.map_or("newer", String::as_str), &update.reason)
        }
        Some(update) => mark("good", "✓", "current", &update.reason),
        None => mark("skipped", "–", "not known", ""),
    }
}

pub(super) async fn releases(visit: Visit) -> Page {
    let Opened { shell, params, report, .. } = open(&visit, "releases", "Helm releases").await?;
    let q = params.get("q").to_lowercase();
    let is_wanted = |release: &&HelmRelease| {
        let name =
            format!("{}/{} {} {}", release.namespace, release.release_name, release.chart, release.version);
        name.to_lowercase().contains(&q)
    };
    let rows = report.helm_releases.iter().filter(is_wanted).map(|release| {
        let link = format!("{}/{}", release.namespace, release.release_name);
        let manager = release.manager.as_ref();
        let by =
            manager.and_then(|manager| Some(serde_json::to_value(manager.by).ok()?.as_str()?.to_owned()));
        Release {
            name: release.release_name.clone(),
            namespace: release.namespace.clone(),
            chart: if release.chart.is_empty() { "unknown".into() } else { release.chart.clone() },
            version: release.version.clone(),
            app: release.app_version.clone().unwrap_or_default(),
            status: status(release),
            revision: release.revision.map(|revision| revision.to_string()).unwrap_or_default(),
            updated: release
                .updated_at
                .as_deref()
                .map(|time| time.chars().take(10).collect())
                .unwrap_or_default(),
            update: update(release),
            manager: by.unwrap_or_default(),
            images: release.images.as_ref().map(|images| images.len().to_string()).unwrap_or_default(),
            images_href: Params::new([("report", params.get("report")), ("release", &link)]).to("images"),
        }
    });
    shown(&Releases {
        q: params.get("q").to_owned(),
        rows: rows.collect(),
        all: report.helm_releases.len(),
        shell,
    })
}

struct Failure {
    stage: String,
    kind: String,
    images: usize,
}

struct RuleRow {
    rule: String,
    images: usize,
    releases: usize,
    fails: bool,
    href: String,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Run {
    shell: Shell,
    facts: Vec<(&'static str, String)>,
    registries: Vec<RegistryUse>,
    failures: Vec<Failure>,
    problems: Vec<(String, String)>,
    turned_off: Vec<String>,
    /// How often each rule is broken, and whether the run fails on it.
    rules: Vec<RuleRow>,
    broken: Vec<(String, String)>,
    failed_href: String,
    is_older: bool,
}

pub(super) async fn run(visit: Visit) -> Page {
    let Opened { shell, params, listing, name, report, .. } = open(&visit, "run", "About this run").await?;
    let metadata = &report.metadata;
    let mut facts = vec![
        ("File", name),
        ("Made", written(metadata.generated_at)),
        ("Collector", metadata.collector_version.clone()),
        ("Cluster", metadata.cluster_name.clone().unwrap_or_else(|| "not named".into())),
        ("Namespaces", metadata.namespaces_scanned.join(", ")),
        ("Rows", report.images.len().to_string()),
    ];
    if let Some(run) = &report.run {
        facts.extend([
            ("Began", written(run.started_at)),
            ("Took", format!("{:.1} s", run.duration_seconds)),
            ("Containers seen", run.sightings.to_string()),
            ("Images examined", run.subjects.to_string()),
            ("Requests", run.registries.iter().map(|registry| registry.requests).sum::<u64>().to_string()),
        ]);
        if let Some(bytes) = run.peak_memory_bytes {
            facts.push(("Most memory", format!("{} MiB", bytes >> 20)));
        }
        if let Some(CacheUse { hits, misses, .. }) = run.cache {
            facts.push(("From the cache", format!("{hits} answers, {misses} were not there or too old")));
        }
        if let Some(deferred) = report.summary.deferred_images.filter(|deferred| *deferred > 0) {
            facts.push((
                "Left to the next run",
                format!("{deferred} rows, since a registry's budget was used up"),
            ));
        }
    }
    facts.retain(|(_, value)| !value.is_empty());
    let failures = report.summary.failures.iter().flatten().map(|failure| Failure {
        stage: failure.stage.clone(),
        kind: serde_json::to_value(failure.kind)
            .ok()
            .and_then(|kind| kind.as_str().map(str::to_owned))
            .unwrap_or_default(),
        images: failure.images,
    });
    let run = report.run.as_ref();
    let problems = run.iter().flat_map(|run| &run.problems).map(|problem| {
        let what = [problem.kind.as_deref(), problem.namespace.as_deref()];
        (what.into_iter().flatten().collect::<Vec<_>>().join(" in "), problem.message.clone())
    });
    let fail_on = run.map(|run| run.fail_on.clone()).unwrap_or_default();
    let rules = report.summary.findings.iter().flatten().map(|count| {
        let fails = fail_on.iter().any(|on| on.covers(count.rule));
        let rule = count.rule.to_string();
        let href = Params::new([("report", params.get("report")), ("rule", &rule)]).to("images");
        RuleRow { rule, images: count.images, releases: count.helm_releases, fails, href }
    });
    shown(&Run {
        facts,
        registries: run.map(|run| run.registries.clone()).unwrap_or_default(),
        failures: failures.collect(),
        problems: problems.collect(),
        turned_off: run.map(|run| run.turned_off.clone()).unwrap_or_default(),
        rules: rules.collect(),
        broken: listing.broken.clone(),
        failed_href: Params::new([("report", params.get("report")), ("failed", "true")]).to("images"),
        is_older: run.is_none(),
        shell,
    })
}
