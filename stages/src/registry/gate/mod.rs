//! The gate: admission to one registry host.
//!
//! A request enters when the host has a free place (`concurrency.rs`), its pace allows (`pace.rs`), the run's budget for
//! it is not used up, nor the allowance that the host tells of (`allowance.rs`), and it is neither cooling down nor given
//! up:
//!
//! ```text
//!            429 or 503 with Retry-After            waited long enough
//!   open ───────────────────────────────▶ cooling ────────────────────▶ open
//!    │  n failures in a row                  │ would wait longer than we have patience for
//!    ▼                                       ▼
//!   down: every request is answered at once, with the reason, until the pause is over;
//!         then one failure more closes it again
//! ```
//!
//! A request that would have to wait too long is answered at once: a row that fails with its reason is
//! worth more than a run that hangs. How each host is treated is told by [`HostLimits`].

mod allowance;
mod concurrency;
pub(super) mod limits;
mod pace;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use provenance_engine::{Failure, FailureKind};
use provenance_model::report::RegistryUse;
use tokio::time::Instant;

pub(super) use allowance::Allowance;
use concurrency::{Concurrency, Place};
use limits::{Counted, GateLimits};
use pace::Pace;

use super::profile::HostLimits;

/// A host that throttles without saying for how long is left alone for this long the first time.
const FIRST_COOL_DOWN: Duration = Duration::from_secs(1);
/// And for this long at the most.
const LONGEST_COOL_DOWN: Duration = Duration::from_secs(30);
/// A host that throttles is left alone for at least this long, so that `Retry-After: 0` makes no storm.
const SHORTEST_COOL_DOWN: Duration = Duration::from_millis(500);

/// One host's gate at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct GateView {
    /// The host.
    pub host: String,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests that may be in flight, as far as is known.
    pub concurrency: usize,
    /// Requests that wait to enter.
    pub waiting: usize,
    /// Requests that are begun in a second at the most, as far as is known.
    pub rate: Option<f64>,
    /// For how long the host cools down or stays given up.
    pub closed_for: Option<Duration>,
}

/// Admission to one host.
#[derive(Debug)]
pub(super) struct Gate {
    host: String,
    pub(super) limits: GateLimits,
    concurrency: Concurrency,
    state: Mutex<State>,
    pace: Mutex<Pace>,
    waiting: AtomicUsize,
    statuses: Mutex<BTreeMap<u16, u64>>,
    pub(super) counts: Counts,
}

/// What was asked of a host so far.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    retries: AtomicU64,
    throttled: AtomicU64,
    failed: AtomicU64,
    deferred: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    cool_until: Option<Instant>,
    throttled_since: Option<Instant>,
    asked_wait: Duration,
    throttles: u32,
    unanswered: u32,
    failed: u32,
    down: Option<Down>,
    /// What is left, and until when that stands.
    left: Option<(u64, Instant)>,
}

#[derive(Debug, Clone)]
struct Down {
    until: Instant,
    why: String,
}

/// How one exchange ended, as far as the gate minds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended<'a> {
    /// The host answered after so long, and is well.
    Answered { bytes: usize, took: Duration },
    /// The host failed an attempt, or left it without an answer.
    Failed { how: Trouble },
    /// The host throttles pulls, and nothing else: what it says is left tells for how long.
    NoPullsLeft,
    /// The host asked us to slow down: for this long, where it said so.
    Throttled { wait: Option<Duration> },
    /// A request failed for good, all its attempts used up: by the host's own failures, or without an answer.
    GivenUp { server_failed: bool, why: &'a str },
}

/// What an attempt that failed says of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is asked too much (HTTP 503).
    Overloaded,
    /// It did not answer in time.
    Slow,
    /// Nothing of how much it takes.
    Other,
}

impl Gate {
    fn new(host: String, limits: GateLimits) -> Self {
        Self {
            host,
            limits,
            concurrency: Concurrency::new(limits.concurrency),
            state: Mutex::default(),
            pace: Mutex::new(Pace::new(limits.requests_per_second, limits.burst)),
            waiting: AtomicUsize::new(0),
            statuses: Mutex::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Waits for admission of a request, which may be one that the host counts as a pull. The place is held until
    /// it is dropped.
    pub(super) async fn enter(&self, is_pull: bool) -> Result<Place<'_>, Failure> {
        let _waiting = Waiting::begin(&self.waiting);
        let place = self.concurrency.enter().await;
        loop {
            if let Some(until) = self.closed_until(is_pull)? {
                // Spread out, so that those who wait together do not all enter in the same instant.
                tokio::time::sleep_until(until + Duration::from_millis(fastrand::u64(0..50))).await;
                continue;
            }
            let wait = self.pace().wait();
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => break,
            }
        }
        self.spend()?;
        Ok(place)
    }

    /// Takes one request out of the budget.
    fn spend(&self) -> Result<(), Failure> {
        let Some(budget) = self.limits.budget else {
            self.counts.requests.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let within = |spent: u64| (spent < budget).then_some(spent + 1);
        if self.counts.requests.try_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok() {
            return Ok(());
        }
        self.counts.deferred.fetch_add(1, Ordering::Relaxed);
        Err(Failure::new(FailureKind::Deferred, deferred(&self.host, budget)))
    }

    /// Until when to wait; an error where waiting is pointless.
    fn closed_until(&self, is_pull: bool) -> Result<Option<Instant>, Failure> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(down) = state.down.clone() {
            if now < down.until {
                return Err(Failure::new(
                    FailureKind::HostDown,
                    format!(
                        "{} is not asked again for {}: {}",
                        self.host,
                        seconds(down.until - now),
                        down.why
                    ),
                ));
            }
            state.down = None;
        }
        let is_counted = is_pull || self.limits.counts == Counted::Everything;
        if let Some((left, until)) = state.left.filter(|_| is_counted)
            && now < until
            && left <= self.limits.reserve
        {
            return if until - now > self.limits.patience {
                let kept = match left {
                    0 => String::new(),
                    _ => ", which are left to others".to_owned(),
                };
                Err(Failure::new(
                    FailureKind::RateLimited,
                    format!(
                        "{} says that {left} requests are left to us for {}{kept}",
                        self.host,
                        seconds(until - now)
                    ),
                ))
            } else {
                Ok(Some(until))
            };
        }
        match state.cool_until {
            Some(until) if now < until => {
                let waited = state.throttled_since.map_or(Duration::ZERO, |since| now - since);
                let wait = until - now;
                if waited + wait > self.limits.patience {
                    return Err(Failure::new(
                        FailureKind::RateLimited,
                        format!(
                            "{} asks us to wait {} and is not asked meanwhile: our patience is {}",
                            self.host,
                            seconds(state.asked_wait),
                            seconds(self.limits.patience)
                        ),
                    ));
                }
                Ok(Some(until))
            }
            _ => Ok(None),
        }
    }

    /// What the host says is left of its allowance.
    pub(super) fn note_allowance(&self, allowance: Allowance) {
        // Without a word on when there is more, its next answer tells.
        let renewed = allowance.renewed_in.map(|wait| Instant::now() + wait.min(Duration::from_hours(24)));
        self.state().left = renewed.map(|at| (allowance.remaining, at));
    }

    /// Notes how an exchange ended; opens or closes the gate accordingly.
    pub(super) fn note(&self, ended: Ended<'_>) {
        let now = Instant::now();
        let mut state = self.state();
        match ended {
            Ended::Answered { bytes, took } => {
                self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                *state = State { cool_until: state.cool_until, left: state.left, ..State::default() };
                drop(state);
                self.concurrency.answered(took);
                self.pace().answered();
            }
            Ended::Failed { how } => {
                self.counts.failed.fetch_add(1, Ordering::Relaxed);
                match how {
                    Trouble::Overloaded => self.concurrency.cut(),
                    Trouble::Slow => self.concurrency.slow(),
                    Trouble::Other => {}
                }
            }
            Ended::NoPullsLeft => {
                self.counts.throttled.fetch_add(1, Ordering::Relaxed);
            }
            Ended::Throttled { wait } => {
                self.counts.throttled.fetch_add(1, Ordering::Relaxed);
                state.unanswered = 0;
                state.throttled_since.get_or_insert(now);
                // Those who were in flight together are throttled together: that counts once.
                let is_first = state.cool_until.is_none_or(|until| until <= now);
                if is_first {
                    state.throttles += 1;
                }
                // Who does not say for how long is left alone for longer each time.
                let doublings = state.throttles.saturating_sub(1).min(10);
                let guess = FIRST_COOL_DOWN.saturating_mul(1 << doublings).min(LONGEST_COOL_DOWN);
                let wait = wait.map_or(guess, |asked| asked.max(SHORTEST_COOL_DOWN));
                state.asked_wait = wait;
                // The server's word is capped only against overflow: whether we wait so long is asked at entry.
                let until = now + wait.min(Duration::from_hours(24));
                state.cool_until = Some(state.cool_until.map_or(until, |old| old.max(until)));
                drop(state);
                if is_first {
                    self.concurrency.cut();
                    self.pace().throttled(until);
                }
            }
            Ended::GivenUp { server_failed, why } => {
                let (count, limit, how) = if server_failed {
                    (&mut state.failed, self.limits.failed_in_a_row, "failed there")
                } else {
                    (&mut state.unanswered, self.limits.unanswered_in_a_row, "got no answer")
                };
                *count += 1;
                if *count >= limit {
                    let why = format!("{count} requests in a row {how}, the last: {why}");
                    // After the pause one failure more is enough.
                    *count = limit.saturating_sub(1);
                    state.down = Some(Down { until: now + self.limits.pause, why });
                }
            }
        }
    }

    /// Counts an answer.
    pub(super) fn note_status(&self, status: u16) {
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
    }

    pub(super) fn note_retry(&self) {
        self.counts.retries.fetch_add(1, Ordering::Relaxed);
    }

    fn view(&self) -> GateView {
        let state = self.state();
        let now = Instant::now();
        let until = state.down.as_ref().map(|down| down.until).max(state.cool_until);
        GateView {
            host: self.host.clone(),
            in_flight: self.concurrency.in_flight(),
            concurrency: self.concurrency.limit(),
            waiting: self.waiting.load(Ordering::Relaxed),
            rate: self.pace().rate(),
            closed_for: until.filter(|until| *until > now).map(|until| until - now),
        }
    }

    fn tally(&self) -> RegistryUse {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        RegistryUse {
            host: self.host.clone(),
            requests: read(&self.counts.requests),
            retries: read(&self.counts.retries),
            throttled: read(&self.counts.throttled),
            failed: read(&self.counts.failed),
            bytes: read(&self.counts.bytes),
            budget: self.limits.budget,
            deferred: Some(read(&self.counts.deferred)).filter(|deferred| *deferred > 0),
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a request is left to the next run.
pub fn deferred(host: &str, budget: u64) -> String {
    format!("deferred to the next run: the budget of {budget} requests to {host} is used up")
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64().ceil())
}

/// The gates of all hosts met so far.
#[derive(Debug, Default)]
pub(super) struct Gates {
    limits: HostLimits,
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
}

impl Gates {
    pub(super) fn new(limits: HostLimits) -> Self {
        Self { limits, gates: Mutex::default() }
    }

    pub(super) fn gate(&self, host: String) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            gates
                .entry(host)
                .or_insert_with_key(|host| Arc::new(Gate::new(host.clone(), self.limits.of(host)))),
        )
    }

    pub(super) fn limits(&self, host: &str) -> GateLimits {
        self.limits.of(host)
    }

    pub(super) fn requests(&self, host: &str) -> u64 {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.get(host).map_or(0, |gate| gate.counts.requests.load(Ordering::Relaxed))
    }

    pub(super) fn views(&self) -> Vec<GateView> {
        self.all().iter().map(|gate| gate.view()).collect()
    }

    /// Answers of each host by their status.
    pub(super) fn statuses(&self) -> Vec<(String, u16, u64)> {
        let of_gate = |gate: Arc<Gate>| {
            let statuses = gate.statuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
            statuses
                .into_iter()
                .map(move |(status, count)| (gate.host.clone(), status, count))
                .collect::<Vec<_>>()
        };
        self.all().into_iter().flat_map(of_gate).collect()
    }

    pub(super) fn tallies(&self) -> Vec<RegistryUse> {
        self.all().iter().map(|gate| gate.tally()).collect()
    }

    fn all(&self) -> Vec<Arc<Gate>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
