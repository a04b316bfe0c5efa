//! The system, put together. Read from top to bottom: sources, stages in order, sinks.
//!
//! ```text
//! source ─▶ ledger ─▶ waiting room ─▶ digest ─▶ signature ─▶ provenance ─▶ sbom ─▶ update ─▶ ledger ─▶ report ─▶ sinks
//! ```
//!
//! `provenance-collector graph` prints what stands here.

use std::fmt::Write as _;
use std::sync::Arc;

use provenance_engine::{Line, StageInfo, Stop};
use provenance_model::report::{Discovery, Report};
use provenance_model::{Dossier, Sighting};
use provenance_sinks::{FileSink, SinkError, Written};
use provenance_stages::discovery::{ClusterSource, DiscoveryError};
use provenance_stages::registry::RegistryClient;
use provenance_stages::update::Examination;
use provenance_stages::{
    Attachments, DigestStage, ProvenanceStage, SbomStage, SignatureStage, TagLists, Trust, UpdateStage,
    Verification,
};
use tokio::sync::mpsc;

use crate::config::{Tuning, UpdateSettings};

/// Where sightings come from.
pub enum Source {
    /// The pods of a cluster.
    Cluster(ClusterSource),
    /// Images and manifests given on the command line.
    Given(Vec<Sighting>),
}

impl Source {
    /// What the diagram calls the sources.
    const NAMES: [&str; 2] = ["cluster: pods and their owners", "scan: image names and manifests"];

    /// Sends every sighting, then says how it went.
    pub(crate) async fn run(
        self,
        out: mpsc::Sender<Sighting>,
        stop: Stop,
    ) -> Result<Discovery, DiscoveryError> {
        match self {
            Self::Cluster(cluster) => cluster.discover(out, stop).await,
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

/// What the stages ask and verify with.
#[derive(Debug, Clone)]
pub struct Means {
    /// The one way to registries.
    pub client: Arc<RegistryClient>,
    /// What signatures are verified by.
    pub verification: Arc<Verification>,
    /// What counts as an update.
    pub updates: UpdateSettings,
}

impl Means {
    /// Asks through this client, and trusts this. Looks for no updates.
    pub fn new(client: RegistryClient, trust: Trust) -> Self {
        Self {
            client: Arc::new(client),
            verification: Arc::new(Verification::new(trust)),
            updates: UpdateSettings::default(),
        }
    }

    /// Looks for these updates.
    #[must_use]
    pub fn updates(mut self, updates: UpdateSettings) -> Self {
        self.updates = updates;
        self
    }
}

/// The stages, in order.
pub fn line(means: &Means, tuning: &Tuning) -> Line<Dossier> {
    let Means { client, verification, updates } = means;
    let lists = Arc::new(TagLists::new(Arc::clone(client), updates.rules.is_some()));
    let attachments = Arc::new(Attachments::new(Arc::clone(client), Arc::clone(&lists)));
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
        digest: digest(),
        signature: signature(),
        provenance: provenance(),
        sbom: sbom(),
    });
    let update = UpdateStage::new(Arc::clone(client), lists, updates.rules.clone())
        .reads_age(updates.age)
        .examines(examination);
    Line::new(tuning.lane)
        .stage(digest(), tuning.digest)
        .stage(signature(), tuning.signature)
        .stage(provenance(), tuning.provenance)
        .stage(sbom(), tuning.sbom)
        .stage(update, tuning.update)
}

/// Where the report goes.
pub enum Sink {
    /// A folder of files.
    File(FileSink),
}

impl Sink {
    /// What the diagram calls the sinks.
    const NAMES: [&str; 2] = ["pvc: a folder of reports", "stdout: table, json, csv, markdown"];

    /// Makes sure that the report can be written, before it is made.
    pub(crate) fn check(&self) -> Result<(), SinkError> {
        match self {
            Self::File(file) => file.check(),
        }
    }

    /// Writes the report. Blocks.
    pub(crate) fn write(&self, report: &Report) -> Result<Written, SinkError> {
        match self {
            Self::File(file) => file.write(report),
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
    for (index, name) in Sink::NAMES.iter().enumerate() {
        push(format!("report --> sink{index}[(\"{name}\")]"));
    }
    push("gate{{\"gate: rate, concurrency, cool-down per registry host\"}}".into());
    for stage in stages {
        push(format!("{} -. requests .-> gate", stage.name));
    }
    out
}
