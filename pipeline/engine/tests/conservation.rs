//! Nothing that enters a line is lost, whatever its stages do and whenever it is stopped.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise and says why"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use provenance_engine::{
    Crew, Failure, FailureKind, Item, Knobs, LaneLimit, Ledger, Line, Outcome, Stage, Stop, collate,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What one stage does with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Find,
    Miss,
    Skip,
    Fail,
    Panic,
    Hang,
    Delay(u16),
}

#[derive(Debug, Clone)]
struct Work {
    lane: u8,
    deeds: Vec<Deed>,
    slots: Vec<Outcome<u32>>,
}

impl Item for Work {
    type Lane = u8;

    fn lane(&self) -> u8 {
        self.lane
    }
}

struct Doing {
    index: usize,
    in_flight: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Doing {
    fn new(index: usize) -> Self {
        Self { index, in_flight: Arc::default(), most: Arc::default() }
    }
}

/// Counts a question under way, also when it is dropped in the middle.
struct AtWork<'a>(&'a AtomicUsize);

impl<'a> AtWork<'a> {
    fn begin(in_flight: &'a AtomicUsize, most: &AtomicUsize) -> Self {
        most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(in_flight)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];
const LIMIT: Duration = Duration::from_secs(2);

impl Stage<Work> for Doing {
    type Found = u32;

    fn name(&self) -> &'static str {
        NAMES[self.index]
    }

    fn slot<'a>(&self, item: &'a mut Work) -> &'a mut Outcome<u32> {
        &mut item.slots[self.index]
    }

    async fn examine(&self, item: &Work) -> Result<Outcome<u32>, Failure> {
        let _at_work = AtWork::begin(&self.in_flight, &self.most);
        let deed = item.deeds[self.index];
        if let Deed::Delay(ms) = deed {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
        }
        match deed {
            Deed::Find | Deed::Delay(_) => Ok(Outcome::Found(7)),
            Deed::Miss => Ok(Outcome::Absent),
            Deed::Skip => Ok(Outcome::Skipped("told to".into())),
            Deed::Fail => Err(Failure::new(FailureKind::Connection, "cut")),
            Deed::Panic => panic!("told to"),
            Deed::Hang => std::future::pending().await,
        }
    }
}

fn expected(deed: Deed) -> Outcome<u32> {
    match deed {
        Deed::Find | Deed::Delay(_) => Outcome::Found(7),
        Deed::Miss => Outcome::Absent,
        Deed::Skip => Outcome::Skipped("told to".into()),
        Deed::Fail => Outcome::Failed(Failure::new(FailureKind::Connection, "cut")),
        Deed::Panic | Deed::Hang => Outcome::NotReached, // compared by kind below
    }
}

/// One sighting: which item it is of, and which row it makes.
#[derive(Debug, Clone)]
struct Sighted {
    key: u16,
    row: u16,
}

struct World {
    stages: usize,
    knobs: Vec<Knobs>,
    limit: LaneLimit,
    works: Vec<Work>,
    sightings: Vec<Sighted>,
    stop_after: Option<Duration>,
}

struct Ran {
    items: Vec<Work>,
    rows: BTreeMap<(u16, usize), usize>,
    open: usize,
    took: Duration,
    most: Vec<usize>,
}

async fn run(world: &World) -> Ran {
    let began = Instant::now();
    let stop = Stop::new(Duration::from_millis(500));
    let mut crew = Crew::new();
    let mut line = Line::new(world.limit);
    let mut most = Vec::new();
    for index in 0..world.stages {
        let stage = Doing::new(index);
        most.push(Arc::clone(&stage.most));
        line = line.stage(stage, world.knobs[index]);
    }
    let running = line.start(&mut crew, &stop);
    let (tx, rx) = mpsc::channel(3);
    let sightings = world.sightings.clone();
    crew.spawn("source", async move {
        for sighting in sightings {
            tx.send(sighting).await.expect("the collator reads until the source ends");
        }
    });
    if let Some(after) = world.stop_after {
        let stop = stop.clone();
        crew.spawn("stop", async move {
            tokio::time::sleep(after).await;
            stop.order();
        });
    }
    let mut rows = BTreeMap::new();
    let ledger = collate(rx, running, |sighting: Sighted, ledger: &mut Ledger<u16, Work>| {
        let (ticket, new) = ledger.admit(sighting.key, |key| world.works[usize::from(*key)].clone());
        *rows.entry((sighting.row, ticket.index())).or_default() += 1;
        new.map(|item| (ticket, item))
    })
    .await;
    assert_eq!(crew.join().await, vec![], "no task of the crew may fall");
    let open = ledger.open();
    let most = most.iter().map(|most| most.load(Ordering::SeqCst)).collect();
    Ran {
        items: ledger.close().into_iter().map(|item| *item).collect(),
        rows,
        open,
        took: began.elapsed(),
        most,
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Find),
        2 => Just(Deed::Miss),
        1 => Just(Deed::Skip),
        2 => Just(Deed::Fail),
        1 => Just(Deed::Panic),
        1 => Just(Deed::Hang),
        3 => (0..3000_u16).prop_map(Deed::Delay),
    ]
}

prop_compose! {
    fn world()(stages in 1..=5_usize, count in 1..40_usize)(
        stages in Just(stages),
        works in prop::collection::vec(
            (0..4_u8, prop::collection::vec(deed(), stages)),
            count,
        ),
        knobs in prop::collection::vec((1..6_usize, 1..6_usize), stages),
        limit in 1..6_usize,
        sightings in prop::collection::vec((0..count, 0..8_u16), 1..120),
        stop_after in prop::option::of(0..6000_u64),
    ) -> World {
        World {
            stages,
            knobs: knobs
                .into_iter()
                .map(|(workers, queue)| Knobs { workers, queue, timeout: LIMIT })
                .collect(),
            limit: LaneLimit(limit),
            works: works
                .into_iter()
                .map(|(lane, deeds)| Work { lane, slots: vec![Outcome::NotReached; deeds.len()], deeds })
                .collect(),
            sightings: sightings
                .into_iter()
                .map(|(key, row)| Sighted { key: u16::try_from(key).unwrap(), row })
                .collect(),
            stop_after: stop_after.map(Duration::from_millis),
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("knobs", &self.knobs)
            .field("limit", &self.limit)
            .field("works", &self.works)
            .field("sightings", &self.sightings.len())
            .field("stop_after", &self.stop_after)
            .finish_non_exhaustive()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let told = info.payload().downcast_ref::<&str>().is_some_and(|text| *text == "told to");
        if !told {
            eprintln!("{info}");
        }
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sightings_in_are_rows_out_across_failures_panics_hangs_and_stops(world in world()) {
        quiet_panics();
        let ran = runtime().block_on(run(&world));

        let sighted: usize = ran.rows.values().sum();
        prop_assert_eq!(sighted, world.sightings.len(), "every sighting is in a row");
        prop_assert_eq!(ran.open, 0, "every admitted item came back");
        let keys: std::collections::BTreeSet<_> = world.sightings.iter().map(|s| s.key).collect();
        prop_assert_eq!(ran.items.len(), keys.len(), "every key is worked on once");
        for (most, knobs) in ran.most.iter().zip(&world.knobs) {
            prop_assert!(*most <= knobs.workers, "{} at once in a pool of {}", most, knobs.workers);
        }
        for item in &ran.items {
            for (slot, deed) in item.slots.iter().zip(&item.deeds) {
                match (slot, deed) {
                    (Outcome::Failed(failure), Deed::Panic) => {
                        prop_assert_eq!(failure.kind, FailureKind::Panicked);
                    }
                    (Outcome::Failed(failure), Deed::Hang) => {
                        prop_assert_eq!(failure.kind, FailureKind::Timeout);
                    }
                    (Outcome::Failed(failure), Deed::Delay(ms)) => {
                        prop_assert_eq!(failure.kind, FailureKind::Timeout);
                        prop_assert!(Duration::from_millis((*ms).into()) >= LIMIT);
                    }
                    (Outcome::NotReached, _) => prop_assert!(world.stop_after.is_some()),
                    (slot, deed) => prop_assert_eq!(slot, &expected(*deed)),
                }
            }
        }
        if let Some(after) = world.stop_after {
            prop_assert!(ran.took <= after + Duration::from_millis(600), "took {:?}", ran.took);
        }
    }
}

#[test]
fn a_stop_at_each_stage_leaves_done_slots_done_and_the_rest_not_reached() {
    for stuck in 0..5 {
        let mut deeds = vec![Deed::Find; 5];
        deeds[stuck] = Deed::Hang;
        let knobs = Knobs { workers: 2, queue: 1, timeout: Duration::from_hours(1) };
        let world = World {
            stages: 5,
            knobs: vec![knobs; 5],
            limit: LaneLimit(16),
            works: vec![Work { lane: 0, deeds, slots: vec![Outcome::NotReached; 5] }; 20],
            sightings: (0..20).map(|key| Sighted { key, row: key }).collect(),
            stop_after: Some(Duration::from_secs(1)),
        };
        let ran = runtime().block_on(run(&world));
        assert_eq!((ran.items.len(), ran.open), (20, 0));
        for item in &ran.items {
            for slot in &item.slots[stuck..] {
                assert_eq!(*slot, Outcome::NotReached, "stuck at {stuck}");
            }
        }
        assert_eq!(ran.items[0].slots[..stuck], vec![Outcome::Found(7); stuck]);
    }
}

#[test]
fn a_slow_lane_leaves_the_pool_to_the_others() {
    let knobs = Knobs { workers: 8, queue: 8, timeout: Duration::from_hours(1) };
    let mut works =
        vec![Work { lane: 0, deeds: vec![Deed::Delay(60_000)], slots: vec![Outcome::NotReached] }; 500];
    works.push(Work { lane: 1, deeds: vec![Deed::Delay(10)], slots: vec![Outcome::NotReached] });
    let world = World {
        stages: 1,
        knobs: vec![knobs],
        limit: LaneLimit(4),
        sightings: (0..=500).map(|key| Sighted { key, row: key }).collect(),
        works,
        stop_after: Some(Duration::from_secs(30)),
    };
    let ran = runtime().block_on(run(&world));
    assert_eq!(ran.items[500].slots[0], Outcome::Found(7), "the fast lane is done long before the slow one");
    assert_eq!(ran.most[0], 5, "the slow lane has its four places, the fast one its own");
}

#[test]
fn many_slow_lanes_together_leave_room_for_a_fast_one() {
    let knobs = Knobs { workers: 12, queue: 12, timeout: Duration::from_hours(1) };
    let slow = |n: u16| Work {
        lane: u8::try_from(n % 4).unwrap(),
        deeds: vec![Deed::Delay(60_000)],
        slots: vec![Outcome::NotReached],
    };
    let mut works: Vec<_> = (0..400).map(slow).collect();
    works.push(Work { lane: 9, deeds: vec![Deed::Delay(10)], slots: vec![Outcome::NotReached] });
    let world = World {
        stages: 1,
        knobs: vec![knobs],
        limit: LaneLimit(16),
        // The slow lanes come in one after another, each before the next is known.
        sightings: (0..=400).map(|key| Sighted { key, row: key }).collect(),
        works,
        stop_after: Some(Duration::from_secs(30)),
    };
    let ran = runtime().block_on(run(&world));
    assert_eq!(ran.items[400].slots[0], Outcome::Found(7), "four slow lanes do not fill the pool");
}

#[test]
fn a_full_line_holds_its_source_back_at_the_waiting_room_only() {
    let knobs = Knobs { workers: 1, queue: 1, timeout: Duration::from_hours(1) };
    let world = World {
        stages: 2,
        knobs: vec![knobs; 2],
        limit: LaneLimit(1),
        works: vec![
            Work { lane: 0, deeds: vec![Deed::Delay(10); 2], slots: vec![Outcome::NotReached; 2] };
            50
        ],
        sightings: (0..50).map(|key| Sighted { key, row: key }).collect(),
        stop_after: None,
    };
    let ran = runtime().block_on(run(&world));
    assert_eq!(ran.took, Duration::from_secs(1), "one item of the lane in the line at a time");
}
