//! The engine alone: items a second through five stages that do nothing. `cargo bench --bench engine`.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use provenance_engine::{Crew, Failure, Item, Knobs, LaneLimit, Ledger, Line, Outcome, Stage, Stop, collate};
use tokio::sync::mpsc;

const ITEMS: u32 = 200_000;

#[derive(Clone)]
struct Work {
    number: u32,
    slots: [Outcome<u32>; 5],
}

impl Item for Work {
    type Lane = u32;

    fn lane(&self) -> u32 {
        self.number % 12
    }
}

struct Nothing(usize);

impl Stage<Work> for Nothing {
    type Found = u32;

    fn name(&self) -> &'static str {
        ["one", "two", "three", "four", "five"][self.0]
    }

    fn slot<'a>(&self, work: &'a mut Work) -> &'a mut Outcome<u32> {
        &mut work.slots[self.0]
    }

    async fn examine(&self, work: &Work) -> Result<Outcome<u32>, Failure> {
        Ok(Outcome::Found(work.number))
    }
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    println!("| stages | items | items a second |\n| --- | --- | --- |");
    for _ in 0..3 {
        let took = runtime.block_on(run());
        println!("| 5 | {ITEMS} | {:.0} |", f64::from(ITEMS) / took.as_secs_f64());
    }
}

async fn run() -> std::time::Duration {
    let began = Instant::now();
    let stop = Stop::default();
    let mut crew = Crew::new();
    let line =
        (0..5).fold(Line::new(LaneLimit(64)), |line, index| line.stage(Nothing(index), Knobs::default()));
    let running = line.start(&mut crew, &stop);
    let (tx, rx) = mpsc::channel(256);
    crew.spawn("source", async move {
        for number in 0..ITEMS {
            if tx.send(number).await.is_err() {
                break;
            }
        }
    });
    let ledger = collate(rx, running, |number, ledger: &mut Ledger<u32, Work>| {
        let (ticket, new) = ledger.admit(number, |&number| Work { number, slots: Default::default() });
        new.map(|work| (ticket, work))
    })
    .await;
    assert_eq!(crew.join().await, vec![]);
    assert_eq!((ledger.admitted(), ledger.open()), (ITEMS as usize, 0));
    assert!(ledger.close().iter().all(|work| work.slots[4].found().is_some()));
    began.elapsed()
}
