//! The request log: what was asked, in order.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// One request that a testbed server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Authorization` header, if there was one.
    pub authorization: Option<String>,
    /// The status it was answered with; 0 where it was not.
    pub status: u16,
    /// Whether a fault struck it.
    pub is_struck: bool,
    /// When.
    pub at: Instant,
}

impl Logged {
    /// `METHOD /path?query`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Logged>>);

impl Log {
    pub(crate) fn push(&self, logged: Logged) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(logged);
    }

    pub(crate) fn all(&self) -> Vec<Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
