//! What is shared while a run goes on: the order to stop, and the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// The order to stop. Sources end and no new work is begun at once; work in flight has a grace, after
/// which it is left where it is and its slot says so.
#[derive(Debug, Clone)]
pub struct Stop {
    token: CancellationToken,
    grace: Duration,
}

impl Stop {
    /// An order not yet given, with this grace for work in flight.
    pub fn new(grace: Duration) -> Self {
        Self { token: CancellationToken::new(), grace }
    }

    /// Gives the order. Giving it again changes nothing.
    pub fn order(&self) {
        self.token.cancel();
    }

    /// Whether the order was given.
    pub fn is_ordered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits for the order.
    pub async fn ordered(&self) {
        self.token.cancelled().await;
    }

    /// Waits for the order and then for the grace.
    pub async fn grace_over(&self) {
        self.token.cancelled().await;
        tokio::time::sleep(self.grace).await;
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new(Duration::from_secs(5))
    }
}

/// Running counts of one stage, for progress and metrics.
#[derive(Debug, Default)]
pub struct StageCounts {
    pub(crate) entered: AtomicUsize,
    pub(crate) left: AtomicUsize,
    pub(crate) failed: AtomicUsize,
    pub(crate) queued: AtomicUsize,
    waited: AtomicU64,
    worked: AtomicU64,
    blocked: AtomicU64,
}

/// The counts of one stage at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageCount {
    /// The stage.
    pub name: &'static str,
    /// Items that were begun.
    pub entered: usize,
    /// Items that are through.
    pub left: usize,
    /// Of these, how many failed.
    pub failed: usize,
    /// Items that wait in front of the stage.
    pub queued: usize,
    /// How long items waited there, added up.
    pub waited: Duration,
    /// How long they were worked on, added up.
    pub worked: Duration,
    /// How long they could not go on, since the next stage's queue was full, added up.
    pub blocked: Duration,
}

impl StageCounts {
    /// An item is worked on after so long in the queue.
    pub(crate) fn enter(&self, waited: Duration) {
        self.entered.fetch_add(1, Ordering::Relaxed);
        add(&self.waited, waited);
    }

    /// It is through after so long.
    pub(crate) fn leave(&self, failed: bool, worked: Duration) {
        add(&self.worked, worked);
        self.left.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It could not go on for so long.
    pub(crate) fn block(&self, blocked: Duration) {
        add(&self.blocked, blocked);
    }

    pub(crate) fn read(self: &Arc<Self>, name: &'static str) -> StageCount {
        StageCount {
            name,
            entered: self.entered.load(Ordering::Relaxed),
            left: self.left.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            queued: self.queued.load(Ordering::Relaxed),
            waited: Duration::from_nanos(self.waited.load(Ordering::Relaxed)),
            worked: Duration::from_nanos(self.worked.load(Ordering::Relaxed)),
            blocked: Duration::from_nanos(self.blocked.load(Ordering::Relaxed)),
        }
    }
}

/// Adds a time in nanoseconds: enough for five hundred years.
fn add(sum: &AtomicU64, time: Duration) {
    sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}
