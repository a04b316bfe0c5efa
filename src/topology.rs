//! The system, put together. Read from top to bottom: sources, stages in order, sinks.
//!
//! ```text
//! source ─▶ ledger ─▶ waiting room ─▶ digest ─▶ signature ─▶ provenance ─▶ sbom ─▶ update ─▶ ledger ─▶ report ─▶ sinks
//! releases ─▶ ledger ─▶ waiting room ─▶ release ─▶ chart ─▶ ledger ─▶ report
//! ```
//!
//! `provenance-collector graph` prints what stands here.

use std::fmt::Write as _;
use std::sync::Arc;

use provenance_engine::{Line, StageInfo, Stop};
use provenance_model::release::{ReleaseDossier, ReleaseSubject};
use provenance_model::report::{Discovery, Draft};
use provenance_model::{Dossier, Shard, Sighting};
use provenance_sinks::{ConfigMapSink, FileSink, PolicyReportSink, SinkError, UploadSink, Written};
use provenance_stages::charts::{ChartRules, Repositories};
use provenance_stages::discovery::{ClusterSource, DiscoveryError, Namespaces};
use provenance_stages::registry::{Questions, RegistryClient};
use provenance_stages::update::Examination;
use provenance_stages::{
    Attachments, ChartStage, DigestStage, ProvenanceStage, ReleaseSource, ReleaseStage, SbomStage,
    SignatureStage, TagLists, Trust, UpdateStage, Verification,
};
use tokio::sync::mpsc;

use crate::budget::Budgets;
use crate::config::{Checks, HelmSettings, Tuning, UpdateSettings};
use crate::telemetry::traceparent;

/// Where sightings come from.
#[expect(clippy::large_enum_variant, reason = "a run has one source")]
pub enum Source {
    /// The pods of a cluster, and its Helm releases where these are looked for.
    Cluster(ClusterSource, Option<Helm>),
    /// Images and manifests given on the command line.
    Given(Vec<Sighting>),
}

impl Source {
    /// What the diagram calls the sources.
    const NAMES: [&str; 2] = ["cluster: pods and their owners", "scan: image names and manifests"];
    /// What the diagram calls the source of releases.
    const RELEASES: &str = "cluster: Helm's records, Flux, Argo CD";

    /// Sends every sighting, then every release, then says how it went.
    pub(crate) async fn run(
        self,
        out: mpsc::Sender<Sighting>,
        releases: mpsc::Sender<ReleaseSubject>,
        stop: Stop,
    ) -> Result<Discovery, DiscoveryError> {
        match self {
            Self::Cluster(cluster, helm) => {
                let mut discovery = cluster.discover(out, stop.clone()).await?;
                if let Some(helm) = helm {
                    let problems = helm.source().discover(&discovery.namespaces, releases, stop).await;
                    discovery.problems.extend(problems);
                }
                Ok(discovery)
            }
            Self::Given(sightings) => {
                for sighting in sightings {
                    // The collator reads to the end, so this fails only when the run has fallen.
                    if out.send(sighting).await.is_err() {
                        break;
                    }
                }
                Ok(Discovery::default())
            }
        }
    }
}

/// How the Helm releases of a cluster are looked for.
#[derive(Clone)]
pub struct Helm {
    /// The cluster.
    pub client: kube::Client,
    /// Which namespaces are read.
    pub namespaces: Namespaces,
    /// Objects in one page of a listing.
    pub page_size: usize,
    /// Where their charts are looked for.
    pub settings: HelmSettings,
    /// The share of them whose updates are looked for.
    pub shard: Shard,
}

impl Helm {
    fn source(self) -> ReleaseSource {
        ReleaseSource::new(self.client, self.namespaces, self.page_size)
    }

    /// The stages of releases, in order.
    pub fn line(&self, means: &Means, tuning: &Tuning) -> Line<ReleaseDossier> {
        let HelmSettings { repositories, cache } = self.settings.clone();
        let Means { client, lists, updates, .. } = means;
        let rules = updates
            .rules
            .as_ref()
            .map(|rules| ChartRules { level: rules.level, skip_pre_releases: rules.skip_pre_releases });
        let repositories = Repositories::new(Arc::clone(client), Arc::clone(lists), repositories, cache);
        Line::new(tuning.lane)
            .stage(ReleaseStage::new(self.client.clone()), tuning.release)
            .stage(ChartStage::new(repositories, rules, self.client.clone()).shard(self.shard), tuning.chart)
    }
}

/// What the stages ask and verify with.
#[derive(Debug, Clone)]
pub struct Means {
    /// The one way to registries.
    pub client: Arc<RegistryClient>,
    /// What signatures are verified by.
    pub verification: Arc<Verification>,
    /// What counts as an update.
    pub updates: UpdateSettings,
    /// The lists of tags, shared by all.
    pub lists: Arc<TagLists>,
    /// Whether any registry has a budget.
    pub has_budgets: bool,
}

impl Means {
    /// Asks through this client, and trusts this. Looks for no updates.
    pub fn new(client: RegistryClient, trust: Trust) -> Self {
        let client = Arc::new(client);
        Self {
            lists: Arc::new(TagLists::new(Arc::clone(&client), false)),
            client,
            verification: Arc::new(Verification::new(trust)),
            updates: UpdateSettings::default(),
            has_budgets: false,
        }
    }

    /// Examines only what fits into the registries' budgets.
    #[must_use]
    pub fn budgets(self, has_budgets: bool) -> Self {
        Self { has_budgets, ..self }
    }

    /// What is asked of each image.
    pub fn questions(&self, tuning: &Tuning) -> Questions {
        let Checks { signatures, provenance, sboms } = tuning.checks;
        Questions {
            attached: signatures || provenance || sboms.is_some(),
            tags: self.updates.rules.is_some(),
            age: self.updates.age,
        }
    }

    /// Looks for these updates.
    #[must_use]
    pub fn updates(mut self, updates: UpdateSettings) -> Self {
        self.lists = Arc::new(TagLists::new(Arc::clone(&self.client), updates.rules.is_some()));
        self.updates = updates;
        self
    }
}

/// The stages, in order.
pub fn line(means: &Means, tuning: &Tuning) -> Line<Dossier> {
    let Means { client, verification, updates, lists, .. } = means;
    let attachments = Arc::new(Attachments::new(Arc::clone(client), Arc::clone(lists)));
    let both = || (Arc::clone(&attachments), Arc::clone(verification));
    let checks = tuning.checks;
    let digest = || DigestStage::new(Arc::clone(client));
    let signature = || {
        let (attachments, verification) = both();
        SignatureStage::new(attachments, verification, checks.signatures)
    };
    let provenance = || {
        let (attachments, verification) = both();
        ProvenanceStage::new(attachments, verification, checks.provenance)
    };
    let sbom = || {
        let (attachments, verification) = both();
        SbomStage::new(attachments, verification, checks.sboms)
    };
    let examination = updates.upgrades.then(|| Examination {
        client: Arc::clone(client),
        digest: digest(),
        signature: signature(),
        provenance: provenance(),
        sbom: sbom(),
    });
    let update = UpdateStage::new(Arc::clone(client), Arc::clone(lists), updates.rules.clone())
        .reads_age(updates.age)
        .examines(examination);
    let mut line = Line::new(tuning.lane);
    if means.has_budgets {
        line = line.admission(Arc::new(Budgets::new(Arc::clone(client), means.questions(tuning))));
    }
    line.stage(digest(), tuning.digest)
        .stage(signature(), tuning.signature)
        .stage(provenance(), tuning.provenance)
        .stage(sbom(), tuning.sbom)
        .stage(update, tuning.update)
}

/// Where the report goes.
pub enum Sink {
    /// A folder of files.
    File(FileSink),
    /// A `ConfigMap`.
    ConfigMap(ConfigMapSink),
    /// A dashboard.
    Upload(UploadSink),
    /// An object in each namespace.
    PolicyReport(PolicyReportSink),
}

impl Sink {
    /// What the diagram calls the sinks.
    const NAMES: [&str; 5] = [
        "pvc: a folder of reports",
        "configmap: report.json",
        "http: upload to a dashboard",
        "policyreport: an object in each namespace",
        "stdout: table, json, csv, markdown",
    ];

    /// The sink's name, as options have it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "pvc",
            Self::ConfigMap(_) => "configmap",
            Self::Upload(_) => "http",
            Self::PolicyReport(_) => "policyreport",
        }
    }

    /// Makes sure that the report can be written, before it is made.
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        match self {
            Self::File(file) => Ok(file.check()?),
            // Asking would cost what writing costs.
            Self::ConfigMap(_) | Self::Upload(_) | Self::PolicyReport(_) => Ok(()),
        }
    }

    /// Writes the report. Answers where it is, and how, where that is not plain.
    pub(crate) async fn write(&self, report: &Arc<Draft>) -> Result<String, SinkError> {
        match self {
            Self::File(file) => {
                let (file, report) = (file.clone(), Arc::clone(report));
                let written = tokio::task::spawn_blocking(move || file.write(&report)).await;
                let Written { path, removed } = match written {
                    Ok(written) => written?,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                };
                if removed > 0 {
                    tracing::info!(removed, "old reports were removed");
                }
                Ok(path.display().to_string())
            }
            Self::ConfigMap(map) => {
                let fitted = map.write(&report.whole()).await?;
                let how = fitted.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
                Ok(format!("ConfigMap {}{how}", map.place()))
            }
            Self::Upload(upload) => {
                upload.write(report, traceparent().as_deref()).await.map(|()| upload.place())
            }
            Self::PolicyReport(reports) => {
                let written = reports.write(&report.whole()).await?;
                Ok(format!("{written} {}", reports.place()))
            }
        }
    }
}

/// The diagram as a Mermaid flowchart.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn mermaid(stages: &[StageInfo]) -> String {
    let mut out = String::from("flowchart LR\n");
    let mut push = |line: String| writeln!(out, "    {line}").expect("writing to a string does not fail");
    for (index, name) in Source::NAMES.iter().enumerate() {
        push(format!("source{index}([\"{name}\"]) -- sightings --> ledger"));
    }
    push(
        "ledger[\"ledger: every subject once\"] -- dossiers --> room[\"waiting room: a lane per registry\"]"
            .into(),
    );
    let mut last = "room".to_owned();
    for stage in stages {
        push(format!("{last} --> {0}[\"{0}\"]", stage.name));
        stage.name.clone_into(&mut last);
    }
    push(format!("{last} -- settled --> report[\"report: a row for every sighting\"]"));
    push(format!("releases([\"{}\"]) -- releases --> book", Source::RELEASES));
    push("book[\"ledger: every release once\"] -- dossiers --> release[\"release\"]".into());
    push("release --> chart[\"chart\"]".into());
    push("chart -- settled --> report".into());
    for (index, name) in Sink::NAMES.iter().enumerate() {
        push(format!("report --> sink{index}[(\"{name}\")]"));
    }
    push("gate{{\"gate: pace, concurrency, budget, cool-down per registry host\"}}".into());
    for stage in stages {
        push(format!("{} -. requests .-> gate", stage.name));
    }
    push("chart -. requests .-> gate".into());
    out
}
