//! Faults to order: which requests they strike, how often, and what they do.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a fault does to the request it strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Answers with this status, these headers and this body.
    Answer {
        /// The status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
    /// Answers late.
    Delay(Duration),
    /// Never answers.
    Hang,
    /// The server goes down: every connection is cut, and none is taken for so long.
    Restart(Duration),
    /// Sends half of the answer and then cuts the connection.
    Cut,
    /// Flips a byte of the answer's body, length and headers as they were.
    Corrupt,
    /// Answers 200 with a body of this many bytes, without saying how many.
    Flood(usize),
    /// Redirects to this URL, the request's path and query appended.
    Redirect(String),
    /// Answers every page of a list with a link to one more.
    EndlessPages,
    /// Lists what there was when the API's watch cache fell behind, whatever was asked for.
    Stale,
}

impl Effect {
    /// A bare status, with a body that no registry would send.
    pub fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: "ordered by the test".into() }
    }

    /// A status with a `Retry-After` in seconds.
    pub fn retry_after(status: u16, seconds: u32) -> Self {
        Self::Answer {
            status,
            headers: vec![("retry-after".into(), seconds.to_string())],
            body: String::new(),
        }
    }
}

/// When a fault strikes, of the requests that it fits.
#[derive(Debug, Clone)]
pub struct When {
    /// How likely.
    pub probability: f64,
    /// What decides.
    pub random: Arc<Mutex<fastrand::Rng>>,
    /// From then on.
    pub from: Instant,
    /// Until then.
    pub until: Option<Instant>,
}

impl When {
    fn is_now(&self) -> bool {
        let now = Instant::now();
        let is_in_time = now >= self.from && self.until.is_none_or(|until| now < until);
        let decides = || self.random.lock().unwrap_or_else(PoisonError::into_inner).f64() < self.probability;
        is_in_time && decides()
    }
}

/// A fault: strikes requests whose method, path and query together contain a text.
#[derive(Debug, Clone)]
pub struct Fault {
    contains: String,
    at_end: bool,
    times: Option<usize>,
    skip: usize,
    effect: Effect,
    when: Option<When>,
}

impl Fault {
    /// Strikes every request whose `METHOD /path?query` contains `contains`.
    pub fn on(contains: &str, effect: Effect) -> Self {
        Self { contains: contains.to_owned(), at_end: false, times: None, skip: 0, effect, when: None }
    }

    /// Strikes every request whose `METHOD /path?query` ends with `end`.
    pub fn at_end(end: &str, effect: Effect) -> Self {
        Self { at_end: true, ..Self::on(end, effect) }
    }

    fn fits(&self, line: &str) -> bool {
        if self.at_end { line.ends_with(&self.contains) } else { line.contains(&self.contains) }
    }

    /// Strikes only so many times.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = Some(times);
        self
    }

    /// Strikes only then.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = Some(when);
        self
    }

    /// Lets so many matching requests pass first.
    #[must_use]
    pub fn after(mut self, passed: usize) -> Self {
        self.skip = passed;
        self
    }
}

/// The faults of one server.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The effect of the first fault that strikes this request.
    pub(crate) fn strike(&self, line: &str) -> Option<Effect> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter_mut().filter(|fault| fault.fits(line)) {
            if fault.when.as_ref().is_some_and(|when| !when.is_now()) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            return Some(fault.effect.clone());
        }
        None
    }
}
