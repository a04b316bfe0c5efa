//! Sightings in are rows out, from the collator to the report: with stages that fail, panic and hang, and with
//! the order to stop at any moment.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use provenance_engine::{
    Crew, Failure, FailureKind, Knobs, LaneLimit, Ledger, Line, Outcome, Stage, Stop, collate,
};
use provenance_model::report::{Closing, Discovery, Draft, OutcomeWord, Report};
use provenance_model::{
    ContainerKind, CredentialScope, DigestFinding, Dossier, DriftState, Image, RowBook, Running, Sighting,
    Subject, Workload,
};
use tokio::sync::mpsc;

/// What becomes of the images whose number is this, modulo the list's length.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Find,
    Miss,
    Fail,
    Panic,
    Hang,
    Delay(u16),
}

struct Doing {
    name: &'static str,
    deeds: Vec<Deed>,
}

impl Stage<Dossier> for Doing {
    type Found = DigestFinding;

    fn name(&self) -> &'static str {
        self.name
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<DigestFinding> {
        &mut dossier.digest
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<DigestFinding>, Failure> {
        let number = dossier.subject.reference.as_ref().map_or(0, |reference| reference.to_string().len());
        let found = DigestFinding {
            state: DriftState::NotAsked,
            digest: None,
            tag_digest: None,
            platform: None,
            platforms: vec![],
            media_type: None,
            created_at: None,
        };
        match self.deeds[number % self.deeds.len()] {
            Deed::Find => Ok(Outcome::Found(found)),
            Deed::Miss => Ok(Outcome::Absent),
            Deed::Fail => Err(Failure::new(FailureKind::Connection, "cut")),
            Deed::Panic => panic!("told to"),
            Deed::Hang => std::future::pending().await,
            Deed::Delay(ms) => {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                Ok(Outcome::Found(found))
            }
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        Just(Deed::Find),
        Just(Deed::Miss),
        Just(Deed::Fail),
        Just(Deed::Panic),
        Just(Deed::Hang),
        (0..2000_u16).prop_map(Deed::Delay),
    ]
}

/// One pod: namespace, workload, and its containers' images and digests.
type Pod = (u8, u8, Vec<(u8, Option<u8>)>);

fn sightings(pods: &[Pod]) -> Vec<Sighting> {
    let mut all = Vec::new();
    for (number, (namespace, workload, containers)) in pods.iter().enumerate() {
        for (index, (image, digest)) in containers.iter().enumerate() {
            // Every fifth name is none; the others differ in length and registry.
            let written = match image % 5 {
                0 => format!("Not A Name {image}"),
                n => format!("registry{n}.example/{}:1", "a".repeat(usize::from(*image) + 1)),
            };
            let running = digest.map_or(Running::Unknown, |digit| {
                Running::Manifest(format!("sha256:{}", format!("{digit:x}").repeat(64)).parse().unwrap())
            });
            all.push(Sighting {
                namespace: format!("ns{namespace}").as_str().into(),
                workload: Workload::new("Deployment", &format!("w{workload}")),
                owners: Arc::new([]),
                container: format!("c{index}").as_str().into(),
                container_kind: ContainerKind::Container,
                image: Arc::new(Image::parse(&written)),
                running,
                pod: Some(number as u128),
                scope: CredentialScope::default(),
                wishes: None,
                release: None,
            });
        }
    }
    all
}

/// Only the digest's slot is filled here.
fn dossier(subject: &Subject) -> Dossier {
    let skipped = || "no part of this test".to_owned();
    Dossier {
        signature: Outcome::Skipped(skipped()),
        provenance: Outcome::Skipped(skipped()),
        sbom: Outcome::Skipped(skipped()),
        update: Outcome::Skipped(skipped()),
        ..Dossier::new(subject.clone())
    }
}

async fn run(
    seen: Vec<Sighting>,
    deeds: Vec<Vec<Deed>>,
    knobs: Knobs,
    stop_after: Option<u64>,
) -> (Report, usize) {
    let stop = Stop::new(Duration::from_millis(100));
    let mut crew = Crew::new();
    let names = ["one", "two", "three"];
    let mut line = Line::new(LaneLimit(2));
    for (name, deeds) in names.into_iter().zip(deeds) {
        line = line.stage(Doing { name, deeds }, knobs);
    }
    let running = line.start(&mut crew, &stop);
    let (tx, rx) = mpsc::channel(4);
    crew.spawn("source", async move {
        for sighting in seen {
            tx.send(sighting).await.expect("the collator reads until the source ends");
        }
    });
    if let Some(ms) = stop_after {
        let stop = stop.clone();
        crew.spawn("stop", async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            stop.order();
        });
    }
    let mut rows = RowBook::default();
    let ledger = collate(rx, running, |sighting: Sighting, ledger: &mut Ledger<Subject, Dossier>| {
        let (ticket, new) = ledger.admit(Subject::of(&sighting), dossier);
        rows.enter(sighting, ticket);
        new.map(|dossier| (ticket, dossier))
    })
    .await;
    assert_eq!(crew.join().await, vec![]);
    let open = ledger.open();
    let closing = Closing {
        cache: None,
        stages: Vec::new(),
        peak_memory_bytes: None,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        ended_at: jiff::Timestamp::UNIX_EPOCH,
        took: Duration::ZERO,
        version: "test".into(),
        cluster_name: None,
        discovery: Discovery::default(),
        cut_short: None,
        registries: vec![],
        turned_off: vec![],
        fail_on: vec![],
        part: None,
    };
    let draft = Draft::new(rows, ledger.close(), &[], closing);
    let whole = draft.whole();
    // Written a row at a time it is the same.
    assert_eq!(serde_json::to_string(&draft).unwrap(), serde_json::to_string(&whole).unwrap());
    (whole, open)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sighting_has_its_row_whatever_the_stages_do(
        pods in prop::collection::vec(
            (0..4_u8, 0..4_u8, prop::collection::vec((0..12_u8, prop::option::of(0..4_u8)), 1..4)),
            0..60,
        ),
        deeds in prop::collection::vec(prop::collection::vec(deed(), 1..6), 1..=3),
        workers in 1..5_usize,
        queue in 1..4_usize,
        stop_after in prop::option::of(0..4000_u64),
    ) {
        std::panic::set_hook(Box::new(|_| {}));
        let seen = sightings(&pods);
        // What the report must say, reckoned without the pipeline: rows by key, with the pods that run them.
        let mut expected: BTreeMap<(String, String, String, Option<String>), BTreeSet<u128>> = BTreeMap::new();
        for sighting in &seen {
            let key = (
                sighting.namespace.to_string(),
                sighting.workload.to_string(),
                sighting.image.written.clone(),
                sighting.running.manifest().map(ToString::to_string),
            );
            expected.entry(key).or_default().extend(sighting.pod);
        }
        let subjects: BTreeSet<_> = seen.iter().map(|s| format!("{:?}", Subject::of(s))).collect();
        let count = seen.len();

        let knobs = Knobs { workers, queue, timeout: Duration::from_secs(1) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (report, open) = runtime.block_on(run(seen, deeds, knobs, stop_after));

        prop_assert_eq!(open, 0);
        let told: BTreeMap<_, _> = report
            .images
            .iter()
            .map(|row| {
                let workload = format!("{}/{}", row.workload.kind, row.workload.name);
                let running = row.digest.clone();
                ((row.namespace.clone(), workload, row.image.clone(), running), row.pods.unwrap())
            })
            .collect();
        prop_assert_eq!(told.len(), report.images.len(), "no row comes twice");
        let expected: BTreeMap<_, _> = expected.into_iter().map(|(key, pods)| (key, pods.len())).collect();
        prop_assert_eq!(told, expected);
        let run = report.run.as_ref().unwrap();
        prop_assert_eq!((run.sightings, run.subjects), (count, subjects.len()));
        let not_reached = report.images.iter().filter(|row| {
            row.stages.as_ref().unwrap().digest.as_ref().unwrap().outcome == OutcomeWord::NotReached
        });
        let not_reached = not_reached.count();
        prop_assert!(not_reached == 0 || stop_after.is_some());
        prop_assert_eq!(run.partial, not_reached > 0, "a row that was not reached makes the report partial");
    }
}
