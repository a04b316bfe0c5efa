//! The system, put together. Read from top to bottom: sources, stages in order, sinks.
//!
//! ```text
//! source ─▶ ledger ─▶ waiting room ─▶ digest ─▶ ledger ─▶ report ─▶ sinks
//! ```
//!
//! `provenance-collector graph` prints what stands here.

use std::fmt::Write as _;
use std::sync::Arc;

use provenance_engine::{Line, StageInfo, Stop};
use provenance_model::report::{Discovery, Report};
use provenance_model::{Dossier, Sighting};
use provenance_sinks::{FileSink, SinkError, Written};
use provenance_stages::DigestStage;
use provenance_stages::discovery::{ClusterSource, DiscoveryError};
use provenance_stages::registry::RegistryClient;
use tokio::sync::mpsc;

use crate::config::Tuning;

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

/// The stages, in order.
pub fn line(client: &Arc<RegistryClient>, tuning: &Tuning) -> Line<Dossier> {
    Line::new(tuning.lane).stage(DigestStage::new(Arc::clone(client)), tuning.digest)
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
