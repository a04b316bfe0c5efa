//! How many requests a second are begun at one host: no more than it is configured for, and where the host throttles
//! no more than it was seen to answer.
//!
//! A host that throttles tells how much it allows by what it let pass: the answers since it throttled last, over the
//! time since. That is kept to, a little below, and only slowly left again; so a storm of 429s is met once, and not
//! after each pause anew.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::registry::clock::{Moment, TokioClock};

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Moment>>;

/// What was seen to pass is kept to by this much.
const BELOW: f64 = 0.95;
/// The shortest time over which what passes is judged: limits are told by the second at the least.
const SHORTEST: Duration = Duration::from_secs(1);
/// For so long a pace that was learnt stands, and each of its growths.
const STANDS: Duration = Duration::from_secs(30);
/// By this much it then grows.
const GROWS: f64 = 1.1;
/// The slowest pace that is learnt: slower hosts are left to their pauses.
const SLOWEST: f64 = 0.05;

/// The pace of one host.
#[derive(Debug)]
pub(super) struct Pace {
    configured: Option<(f64, Limiter)>,
    learnt: Option<Learnt>,
    /// Answers since the host last throttled.
    answers: u32,
    since: Option<Instant>,
}

#[derive(Debug)]
struct Learnt {
    /// Requests a second.
    rate: f64,
    limiter: Limiter,
    /// From when on it stands: the end of the pause.
    at: Instant,
    /// What it was learnt from: so many answers in this time.
    answers: u32,
    over: Duration,
}

impl Pace {
    /// At most so many requests a second, and so many at once after a rest.
    pub(super) fn new(rate: Option<NonZeroU32>, burst: NonZeroU32) -> Self {
        let configured = rate.map(|rate| {
            let quota = Quota::per_second(rate).allow_burst(burst);
            (f64::from(rate.get()), RateLimiter::direct_with_clock(quota, TokioClock))
        });
        Self { configured, learnt: None, answers: 0, since: None }
    }

    /// For how long to wait before the next request; none where it may begin now, and then it counts as begun.
    pub(super) fn wait(&mut self) -> Option<Duration> {
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.relax(now);
        let wait = |limiter: &Limiter| {
            limiter.check().err().map(|not_until| not_until.wait_time_from(TokioClock.now()))
        };
        match (&self.learnt, &self.configured) {
            (Some(learnt), _) => wait(&learnt.limiter),
            (None, Some((_, configured))) => wait(configured),
            (None, None) => None,
        }
    }

    /// The host answered.
    pub(super) fn answered(&mut self) {
        let configured = self.configured();
        match &mut self.learnt {
            // What was on its way when the host throttled was let pass, too.
            Some(learnt) if Instant::now() < learnt.at => {
                learnt.answers += 1;
                learnt.rate = rate_of(learnt.answers, learnt.over).min(configured);
                learnt.limiter = smooth(learnt.rate);
            }
            _ => self.answers = self.answers.saturating_add(1),
        }
    }

    /// The host throttles until then: from then on no more is asked than passed so far.
    pub(super) fn throttled(&mut self, until: Instant) {
        let now = Instant::now();
        let over = self.since.map_or(SHORTEST, |since| (now - since).max(SHORTEST));
        let answers = std::mem::take(&mut self.answers);
        self.since = Some(now);
        if answers == 0 {
            return;
        }
        let rate = rate_of(answers, over).min(self.configured());
        self.learnt = Some(Learnt { rate, limiter: smooth(rate), at: until, answers, over });
    }

    /// Requests a second, where there is a limit.
    pub(super) fn rate(&self) -> Option<f64> {
        let learnt = self.learnt.as_ref().map(|learnt| learnt.rate);
        learnt.or(self.configured.as_ref().map(|(rate, _)| *rate))
    }

    fn configured(&self) -> f64 {
        self.configured.as_ref().map_or(f64::MAX, |(rate, _)| *rate)
    }

    /// A pace that was learnt is tried a little faster after a while.
    fn relax(&mut self, now: Instant) {
        let Some(learnt) = &mut self.learnt else { return };
        if now.saturating_duration_since(learnt.at) < STANDS {
            return;
        }
        let rate = learnt.rate * GROWS;
        if self.configured.as_ref().is_some_and(|(configured, _)| rate >= *configured) {
            self.learnt = None;
            return;
        }
        learnt.rate = rate;
        learnt.limiter = smooth(rate);
        learnt.at = now;
    }
}

fn rate_of(answers: u32, over: Duration) -> f64 {
    (f64::from(answers) / over.as_secs_f64() * BELOW).max(SLOWEST)
}

/// One request after another, evenly.
fn smooth(rate: f64) -> Limiter {
    let quota =
        Quota::with_period(Duration::from_secs_f64(1.0 / rate)).expect("a period is longer than nothing");
    RateLimiter::direct_with_clock(quota.allow_burst(NonZeroU32::MIN), TokioClock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    async fn begin(pace: &mut Pace) {
        while let Some(wait) = pace.wait() {
            tokio::time::sleep(wait).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_configured_rate_is_kept_after_a_burst() {
        let mut pace = Pace::new(Some(number(10)), number(10));
        let began = Instant::now();
        for _ in 0..30 {
            begin(&mut pace).await;
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1900) && took <= Duration::from_millis(2200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_lets_twenty_a_second_pass_is_met_by_one_storm_only() {
        let mut pace = Pace::new(None, number(1));
        let began = Instant::now();
        let (mut throttled, mut answered) = (0, 0);
        let mut passed: Vec<Instant> = Vec::new();
        let mut closed = began;
        while answered < 400 {
            tokio::time::sleep_until(closed).await;
            begin(&mut pace).await;
            let now = Instant::now();
            passed.retain(|at| now - *at < Duration::from_secs(1));
            if passed.len() < 20 {
                passed.push(now);
                answered += 1;
                pace.answered();
            } else {
                throttled += 1;
                closed = now + Duration::from_secs(1);
                pace.throttled(closed);
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let took = began.elapsed().as_secs_f64();
        assert!(throttled <= 2, "{throttled}");
        assert!(took < 400.0 / 20.0 * 1.2, "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_that_was_learnt_grows_back_slowly_to_the_configured_one() {
        let mut pace = Pace::new(Some(number(12)), number(1));
        begin(&mut pace).await;
        for _ in 0..10 {
            pace.answered();
        }
        pace.throttled(Instant::now());
        let rate = pace.rate().unwrap();
        assert!((9.4..9.6).contains(&rate), "{rate}");
        for grown in [10.45, 11.495, 12.0] {
            tokio::time::advance(STANDS).await;
            pace.wait();
            let rate = pace.rate().unwrap();
            assert!((rate - grown).abs() < 0.01, "{rate} {grown}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_lets_nothing_pass_teaches_no_pace() {
        let mut pace = Pace::new(None, number(1));
        begin(&mut pace).await;
        pace.throttled(Instant::now());
        assert_eq!(pace.rate(), None);
    }
}
