//! The waiting room before the first stage: one lane per host, admitted in turn.
//!
//! Items come in faster than a slow host answers. If they all stood in one queue, the items of one slow host
//! would fill every pool and the others would wait behind them. So each lane may have only so many items in
//! the line, never more than its share of the smallest pool, and the rest wait here. The room keeps what waits in memory: it holds no more than the ledger,
//! which must know every item anyway. Per-host pacing itself is not done here but at the host's gate.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::ledger::{Admitted, Ticket};
use crate::watch::{StageCounts, Stop};

/// What the engine must know of an item.
pub trait Item: Send + Sync + 'static {
    /// The name of what is shared and can be slow: for us, the host that is asked.
    type Lane: Clone + Eq + Hash + Send + Sync + 'static;

    /// The lane of this item.
    fn lane(&self) -> Self::Lane;

    /// The span under which the item is worked on.
    fn span(&self) -> tracing::Span {
        tracing::Span::none()
    }

    /// It is through the line: gives back what it needs no more.
    fn settled(&mut self) {}
}

/// Who decides which items are worked on, where not all may be.
pub trait Admission<I: Item>: Send + Sync + 'static {
    /// Whether the items of a lane are put into order. They then wait until all of them are known.
    fn is_ordered(&self, lane: &I::Lane) -> bool;

    /// The item's place in that order: the lowest comes first.
    fn rank(&self, item: &I) -> u64;

    /// Whether the item is worked on. Of one that is not every slot is filled here, and it goes through untouched.
    fn admit(&self, item: &mut I) -> bool;
}

/// How many items of one lane may be in the line at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneLimit(pub usize);

impl Default for LaneLimit {
    fn default() -> Self {
        Self(16)
    }
}

/// An item on its way, with its place in its lane: dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Parcel<I> {
    pub(crate) ticket: Ticket,
    pub(crate) item: Box<I>,
    pub(crate) span: tracing::Span,
    /// When it was put into the queue that it is in.
    pub(crate) queued_at: Instant,
    /// Whether it is worked on.
    pub(crate) is_admitted: bool,
    /// Held, not read: it frees the lane's place when the parcel ends.
    pub(crate) _place: Place,
}

/// A place in a lane. Freed when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<AtomicUsize>,
    freed: Arc<Notify>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
        self.freed.notify_one();
    }
}

struct Lane<I> {
    /// Put into order, once all are known.
    is_ordered: bool,
    waiting: VecDeque<Admitted<I>>,
    taken: Arc<AtomicUsize>,
}

impl<I: Item> Lane<I> {
    fn sort(&mut self, admission: Option<&dyn Admission<I>>) {
        if let Some(admission) = admission {
            self.waiting.make_contiguous().sort_by_cached_key(|admitted| admission.rank(&admitted.item));
        }
    }

    fn is_active(&self) -> bool {
        !self.waiting.is_empty() || self.taken.load(Ordering::Acquire) > 0
    }

    fn is_ready(&self, limit: usize, may_grow: bool) -> bool {
        let waits_for_all = self.is_ordered && may_grow;
        !self.waiting.is_empty() && !waits_for_all && self.taken.load(Ordering::Acquire) < limit
    }
}

/// Runs the waiting room until the input closes and nothing waits.
///
/// After an order to stop the limits no longer count: everything goes through at once, untouched.
pub(crate) async fn waiting_room<I: Item>(
    mut input: mpsc::Receiver<Admitted<I>>,
    output: mpsc::Sender<Parcel<I>>,
    limit: LaneLimit,
    smallest_pool: usize,
    admission: Option<Arc<dyn Admission<I>>>,
    first: Arc<StageCounts>,
    stop: Stop,
) {
    let freed = Arc::new(Notify::new());
    let mut lanes: HashMap<I::Lane, usize> = HashMap::new();
    let mut queues: Vec<Lane<I>> = Vec::new();
    let mut turn = 0;
    let mut waiting = 0;
    let mut open = true;

    while open || waiting > 0 {
        // However many lanes are slow, together they leave room for one more.
        let active = queues.iter().filter(|lane| lane.is_active()).count();
        let share = smallest_pool / (active + 1);
        let limit_now = if stop.is_ordered() { usize::MAX } else { limit.0.min(share).max(1) };
        let ready = (0..queues.len())
            .map(|step| (turn + step) % queues.len())
            .find(|&lane| queues[lane].is_ready(limit_now, open && !stop.is_ordered()));

        tokio::select! {
            biased;
            admitted = input.recv(), if open => match admitted {
                None => {
                    open = false;
                    queues.iter_mut().filter(|lane| lane.is_ordered).for_each(|lane| lane.sort(admission.as_deref()));
                }
                Some(admitted) => {
                    let lane = *lanes.entry(admitted.item.lane()).or_insert_with_key(|lane| {
                        let is_ordered = admission.as_ref().is_some_and(|admission| admission.is_ordered(lane));
                        queues.push(Lane { is_ordered, waiting: VecDeque::new(), taken: Arc::default() });
                        queues.len() - 1
                    });
                    queues[lane].waiting.push_back(admitted);
                    waiting += 1;
                }
            },
            permit = output.reserve(), if ready.is_some() => {
                let Ok(permit) = permit else { return };
                let index = ready.expect("the branch runs only when a lane is ready");
                let lane = &mut queues[index];
                let Admitted { ticket, mut item } = lane.waiting.pop_front().expect("a ready lane holds an item");
                lane.taken.fetch_add(1, Ordering::AcqRel);
                let place = Place { taken: Arc::clone(&lane.taken), freed: Arc::clone(&freed) };
                let span = item.span();
                let is_admitted =
                    stop.is_ordered() || admission.as_ref().is_none_or(|admission| admission.admit(&mut item));
                first.queued.fetch_add(1, Ordering::Relaxed);
                permit.send(Parcel { ticket, item, span, queued_at: Instant::now(), is_admitted, _place: place });
                waiting -= 1;
                turn = index + 1;
            }
            () = freed.notified() => {}
            () = stop.ordered(), if limit_now != usize::MAX => {}
        }
    }
}
