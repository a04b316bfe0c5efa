//! How many requests a host takes at once: found out while asking.
//!
//! The limit doubles with every round of answers until the host shows a sign of trouble, and from then on grows by one
//! a round. It grows only while it is used up, so that a host that is asked little is not found to bear much. It is
//! halved when the host throttles, fails with 503, gets no answer out in time, or answers clearly later than it used to
//! ([additive increase, multiplicative decrease](https://www.rfc-editor.org/rfc/rfc5681#section-3.1)).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Answers over which the time of an answer is judged, at the least.
const ROUND: usize = 8;
/// Answers that take this many times as long as usual are late.
const LATE: f64 = 2.0;
/// And only if they are this much later: a host that is asked over loopback may well take twice a millisecond.
const CLEARLY: f64 = 0.05;
/// A host that is slow keeps so many places.
const SLOWEST: usize = 4;
/// Requests that were in flight together meet the same trouble: the limit is halved once for all of them.
const ONCE_IN: Duration = Duration::from_secs(1);
/// How much of a new round goes into what is usual, where it is slower. What is faster counts at once.
const FORGETS: f64 = 0.05;

/// The places of one host.
#[derive(Debug)]
pub(super) struct Concurrency {
    places: Semaphore,
    most: usize,
    taken: AtomicUsize,
    found: Mutex<Found>,
}

#[derive(Debug)]
struct Found {
    limit: usize,
    /// Places to take away as soon as they are left.
    debt: usize,
    /// No sign of trouble so far.
    is_new: bool,
    /// Seconds that an answer usually takes.
    usual: Option<f64>,
    round: Round,
    cut_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Round {
    answers: usize,
    seconds: f64,
    /// Whether somebody took the last place.
    was_full: bool,
}

/// A place at a host. Dropping it leaves it.
#[derive(Debug)]
pub(in crate::registry) struct Place<'a> {
    of: &'a Concurrency,
    permit: Option<SemaphorePermit<'a>>,
}

impl Concurrency {
    /// Places for at most so many requests, half of them to begin with.
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        let limit = most.div_ceil(2);
        let found =
            Found { limit, debt: 0, is_new: true, usual: None, round: Round::default(), cut_at: None };
        Self { places: Semaphore::new(limit), most, taken: AtomicUsize::new(0), found: Mutex::new(found) }
    }

    /// Waits for a place; who came first gets it first.
    pub(super) async fn enter(&self) -> Place<'_> {
        let permit = self.places.acquire().await.expect("a gate's places are never closed");
        self.taken.fetch_add(1, Ordering::Relaxed);
        if self.places.available_permits() == 0 {
            self.found().round.was_full = true;
        }
        Place { of: self, permit: Some(permit) }
    }

    /// An answer came after so long.
    pub(super) fn answered(&self, took: Duration) {
        let mut found = self.found();
        found.round.answers += 1;
        found.round.seconds += took.as_secs_f64();
        if found.is_new && found.round.was_full {
            self.grow(&mut found);
        }
        if found.round.answers < ROUND.max(found.limit) {
            return;
        }
        let Round { answers, seconds, was_full } = std::mem::take(&mut found.round);
        #[expect(clippy::cast_precision_loss, reason = "a round has few answers")]
        let mean = seconds / answers as f64;
        let usual = found.usual.unwrap_or(mean);
        found.usual = Some(if mean < usual { mean } else { usual + (mean - usual) * FORGETS });
        if mean > usual * LATE && mean > usual + CLEARLY {
            self.halve(&mut found, SLOWEST);
        } else if was_full && !found.is_new {
            self.grow(&mut found);
        }
    }

    /// The host says that it is asked too much.
    pub(super) fn cut(&self) {
        self.halve(&mut self.found(), 1);
    }

    /// The host gave no answer in time. One that is dead is found out by several requests at once, or it would take long.
    pub(super) fn slow(&self) {
        self.halve(&mut self.found(), SLOWEST);
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// The limit as it stands.
    pub(super) fn limit(&self) -> usize {
        self.found().limit
    }

    fn grow(&self, found: &mut Found) {
        if found.limit >= self.most {
            return;
        }
        found.limit += 1;
        if found.debt > 0 {
            found.debt -= 1;
        } else {
            self.places.add_permits(1);
        }
    }

    fn halve(&self, found: &mut Found, least: usize) {
        let now = Instant::now();
        if found.cut_at.is_some_and(|at| now - at < ONCE_IN) {
            return;
        }
        found.cut_at = Some(now);
        found.is_new = false;
        found.round = Round::default();
        let fewer = found.limit - (found.limit / 2).max(least).min(found.limit);
        found.limit -= fewer;
        found.debt += fewer - self.places.forget_permits(fewer);
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self { of, permit } = self;
        of.taken.fetch_sub(1, Ordering::Relaxed);
        let mut found = of.found();
        if found.debt > 0
            && let Some(permit) = permit.take()
        {
            found.debt -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(20);

    /// Rounds in which every place is taken and answered after so long.
    async fn rounds(concurrency: &Concurrency, rounds: usize, took: Duration) {
        for _ in 0..rounds {
            let mut places = Vec::new();
            for _ in 0..concurrency.limit() {
                places.push(concurrency.enter().await);
            }
            tokio::time::sleep(took).await;
            for _ in &places {
                concurrency.answered(took);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_to_its_most_while_the_host_answers_as_usual() {
        let concurrency = Concurrency::new(16);
        assert_eq!(concurrency.limit(), 8);
        rounds(&concurrency, 1, QUICK).await;
        assert_eq!(concurrency.limit(), 16);
        rounds(&concurrency, 50, QUICK).await;
        assert_eq!((concurrency.limit(), concurrency.in_flight()), (16, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_while_nobody_waits() {
        let concurrency = Concurrency::new(16);
        for _ in 0..100 {
            let _place = concurrency.enter().await;
            concurrency.answered(QUICK);
        }
        assert_eq!(concurrency.limit(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_halves_it_once_for_all_in_flight_and_then_it_grows_by_one_a_round() {
        let concurrency = Concurrency::new(16);
        rounds(&concurrency, 2, QUICK).await;
        for _ in 0..16 {
            concurrency.cut();
        }
        assert_eq!(concurrency.limit(), 8);
        rounds(&concurrency, 1, QUICK).await;
        assert_eq!(concurrency.limit(), 9);
        for _ in 0..10 {
            tokio::time::advance(ONCE_IN).await;
            concurrency.cut();
        }
        assert_eq!(concurrency.limit(), 1, "never less than one");
        assert!(tokio::time::timeout(QUICK, concurrency.enter()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_answers_ever_later_is_asked_less_at_once() {
        let concurrency = Concurrency::new(16);
        rounds(&concurrency, 5, QUICK).await;
        assert_eq!(concurrency.limit(), 16);
        tokio::time::advance(ONCE_IN).await;
        rounds(&concurrency, 2, Duration::from_millis(120)).await;
        assert_eq!(concurrency.limit(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn places_in_use_are_taken_away_when_they_are_left() {
        let concurrency = Concurrency::new(8);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(concurrency.enter().await);
        }
        concurrency.cut();
        assert_eq!((concurrency.limit(), concurrency.in_flight()), (2, 4));
        places.pop();
        places.pop();
        assert!(tokio::time::timeout(QUICK, concurrency.enter()).await.is_err(), "both are full");
        places.pop();
        assert!(tokio::time::timeout(QUICK, concurrency.enter()).await.is_ok());
    }
}
