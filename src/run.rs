//! One run: starts the topology, waits for its end, and makes the report. Whatever happens on the way, every
//! sighting that was read has its row.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use provenance_engine::{Crew, Ledger, Line, Running, StageCount, Stop, collate};
use provenance_model::release::{ReleaseDossier, ReleaseSubject};
use provenance_model::report::{
    Closing, Discovery, DiscoveryProblem, Draft, Part, ProblemReason, Report, Rule, StageUse,
};
use provenance_model::{Dossier, RowBook, Shard, Sighting, Subject};
use provenance_stages::discovery::DiscoveryError;
use provenance_stages::registry::DiskCache;
use tokio::sync::mpsc;
use tracing::{Instrument as _, info_span};

use crate::config::Tuning;
use crate::telemetry::metrics;
use crate::topology::{self, Means, Source};

/// The order to stop, and why it was given.
#[derive(Debug, Clone)]
pub struct Order {
    stop: Stop,
    why: Arc<OnceLock<String>>,
}

impl Order {
    /// An order not yet given.
    pub fn new(tuning: &Tuning) -> Self {
        Self { stop: Stop::new(tuning.stop_grace), why: Arc::default() }
    }

    /// What those who work watch.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Gives the order. The first reason stands.
    pub fn give(&self, why: impl Into<String>) {
        let why = why.into();
        if self.why.set(why.clone()).is_ok() {
            tracing::warn!(reason = %why, "stopping: what is known is reported");
        }
        self.stop.order();
    }
}

/// What can be watched of a run while it goes on.
pub struct Watch {
    /// The counts of every stage.
    pub stages: Arc<dyn Fn() -> Vec<StageCount> + Send + Sync>,
    /// What was seen so far.
    pub seen: Arc<Mutex<Seen>>,
}

/// What was seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Containers.
    pub sightings: usize,
    /// Different subjects among them.
    pub subjects: usize,
    /// Whether there will be no more.
    pub is_all: bool,
}

/// What a run is told about itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The cluster's name.
    pub cluster_name: Option<String>,
    /// What could not be read before the run began.
    pub problems: Vec<DiscoveryProblem>,
    /// What is not read on purpose, a sentence each.
    pub turned_off: Vec<String>,
    /// The rules that it fails on.
    pub fail_on: Vec<Rule>,
    /// Which share of a run it is, and of which run.
    pub shard: Option<(Shard, String)>,
}

/// Runs, and makes the report a row at a time. `watch` is called once, when everything is started.
///
/// # Errors
///
/// Where discovery could read nothing at all.
#[tracing::instrument(name = "run", skip_all, fields(cluster = about.cluster_name))]
pub async fn examine(
    source: Source,
    means: &Means,
    tuning: &Tuning,
    about: About,
    order: &Order,
    watch: impl FnOnce(Watch),
) -> Result<Draft, DiscoveryError> {
    let (started_at, began) = (Timestamp::now(), Instant::now());
    tracing::info!(version = crate::VERSION, "run started");
    let stop = &order.stop;
    let mut crew = Crew::new();

    let (sightings_in, sightings) = mpsc::channel(tuning.discovery_queue);
    let (releases_in, releases) = mpsc::channel(tuning.discovery_queue);
    let helm = match &source {
        Source::Cluster(_, helm) => helm.as_ref().map(|helm| helm.line(means, tuning)),
        Source::Given(_) => None,
    };
    let discovered = Arc::new(Mutex::new(None));
    let seen = Arc::new(Mutex::new(Seen::default()));
    crew.spawn("discovery", {
        let (discovered, stop, seen) = (Arc::clone(&discovered), stop.clone(), Arc::clone(&seen));
        async move {
            let result =
                source.run(sightings_in, releases_in, stop).instrument(info_span!("discovery")).await;
            seen.lock().unwrap_or_else(PoisonError::into_inner).is_all = true;
            *discovered.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    });
    let line = topology::line(means, tuning);
    let counts: Arc<dyn Fn() -> Vec<StageCount> + Send + Sync> = {
        let (of_images, of_releases) = (line.counts(), helm.as_ref().map(Line::counts));
        Arc::new(move || {
            of_images().into_iter().chain(of_releases.iter().flat_map(|counts| counts())).collect()
        })
    };
    watch(Watch { stages: Arc::clone(&counts), seen: Arc::clone(&seen) });
    let examination = info_span!("examination");
    let running = examination.in_scope(|| line.start(&mut crew, stop));

    let mut rows = RowBook::default();
    let enter = |sighting: Sighting, ledger: &mut Ledger<Subject, Dossier>| {
        let (ticket, new) = ledger.admit(Subject::of(&sighting), |subject| Dossier::new(subject.clone()));
        rows.enter(sighting, ticket);
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            (seen.sightings, seen.subjects) = (rows.sightings(), ledger.admitted());
        }
        new.map(|dossier| (ticket, dossier))
    };
    let release_line = helm.map(|line| examination.in_scope(|| line.start(&mut crew, stop)));
    let both =
        async { tokio::join!(collate(sightings, running, enter), collect_releases(releases, release_line)) };
    // Boxed: the state of both is large.
    let (ledger, release_ledger) = deadline(tuning, order, Box::pin(both.instrument(examination))).await;
    let fallen = crew.join().await;
    for task in &fallen {
        tracing::error!(task = task.name, "{task}");
    }

    let lost = ledger.open() + release_ledger.open();
    let mut discovery = match discovered.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(result) => result?,
        None => Discovery::default(),
    };
    discovery.problems.extend(about.problems);
    for task in fallen {
        discovery.problems.push(DiscoveryProblem {
            rows_missing: task.name == "discovery" || lost > 0,
            reason: ProblemReason::CutShort,
            namespace: None,
            kind: None,
            message: format!("{task}; please report this defect"),
        });
    }
    let dossiers = ledger.close();
    if let Some(cache) = means.client.cache() {
        note_examined(cache.clone(), &dossiers).await;
    }
    let closing = Closing {
        stages: counts().into_iter().map(used).collect(),
        peak_memory_bytes: metrics::memory().map(|(_, peak)| peak),
        started_at,
        ended_at: Timestamp::now(),
        took: began.elapsed(),
        version: crate::VERSION.to_owned(),
        cluster_name: about.cluster_name,
        discovery,
        cut_short: order.why.get().cloned(),
        registries: means.client.tallies(),
        cache: means.client.cache().map(DiskCache::tally),
        turned_off: about.turned_off,
        fail_on: about.fail_on,
        part: about.shard.map(|(shard, run)| Part { run, index: shard.index, count: shard.count }),
    };
    let releases: Vec<_> = release_ledger.close().into_iter().map(|release| *release).collect();
    let report = info_span!("report").in_scope(|| Draft::new(rows, dossiers, &releases, closing));
    tell(report.head());
    Ok(report)
}

/// Runs and makes the report, as a whole in memory.
///
/// # Errors
///
/// Where discovery could read nothing at all.
pub async fn run(
    source: Source,
    means: &Means,
    tuning: &Tuning,
    about: About,
    order: &Order,
    watch: impl FnOnce(Watch),
) -> Result<Report, DiscoveryError> {
    Ok(examine(source, means, tuning, about, order, watch).await?.whole())
}

fn used(count: StageCount) -> StageUse {
    // Milliseconds are enough to read.
    let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    StageUse {
        stage: count.name.to_owned(),
        items: count.left,
        failed: count.failed,
        wait_seconds: seconds(count.waited),
        work_seconds: seconds(count.worked),
        blocked_seconds: seconds(count.blocked),
    }
}

/// Keeps when these were examined, for the order of runs to come.
async fn note_examined(cache: DiskCache, dossiers: &[Box<Dossier>]) {
    let examined = dossiers.iter().filter(|dossier| dossier.is_examined());
    let examined: Vec<_> =
        examined.map(|dossier| (dossier.subject.key(), dossier.trail.open_questions())).collect();
    let noted = tokio::task::spawn_blocking(move || {
        for (key, questions) in &examined {
            cache.note_examined(key, *questions);
        }
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "the cache does not know what was examined");
    }
}

/// Sends every release down its line, if there is one.
async fn collect_releases(
    releases: mpsc::Receiver<ReleaseSubject>,
    line: Option<Running<ReleaseDossier>>,
) -> Ledger<ReleaseSubject, ReleaseDossier> {
    let Some(line) = line else { return Ledger::new() };
    let enter = |subject: ReleaseSubject, ledger: &mut Ledger<ReleaseSubject, ReleaseDossier>| {
        let (ticket, new) = ledger.admit(subject, |subject| ReleaseDossier::new(subject.clone()));
        new.map(|dossier| (ticket, dossier))
    };
    collate(releases, line, enter).await
}

/// Waits for `work`, and gives the order to stop when the run's time is over.
async fn deadline<T>(tuning: &Tuning, order: &Order, work: impl Future<Output = T>) -> T {
    let Some(limit) = tuning.deadline else { return work.await };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(limit) => {
            order.give(format!("the run's deadline of {limit:?} was reached"));
        }
    }
    work.await
}

fn tell(report: &Report) {
    let Some(run) = &report.run else { return };
    for problem in &run.problems {
        tracing::warn!(rows_missing = problem.rows_missing, "{}", problem.message);
    }
    let requests: u64 = run.registries.iter().map(|registry| registry.requests).sum();
    tracing::info!(
        rows = report.summary.total_images,
        subjects = run.subjects,
        requests,
        failed = report.summary.failed_images,
        partial = run.partial,
        seconds = run.duration_seconds,
        "run ended"
    );
}
