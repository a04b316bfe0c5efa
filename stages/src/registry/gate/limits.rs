//! What a gate holds to.

use std::num::NonZeroU32;
use std::time::Duration;

/// How a host is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateLimits {
    /// Requests in flight at once at the most, at least one. Fewer while the host shows signs of trouble.
    pub concurrency: usize,
    /// Requests begun in a second; none for no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests begun at once after a rest.
    pub burst: NonZeroU32,
    /// Requests in one run; none for no limit.
    pub budget: Option<u64>,
    /// Which requests the host's own allowance counts.
    pub counts: Counted,
    /// So many of the allowance are left to others, such as the cluster's nodes.
    pub reserve: u64,
    /// Whether a tag is asked by HEAD before its manifest is fetched.
    pub head_first: bool,
    /// The longest one request may take, its answer's last byte included.
    pub timeout: Duration,
    /// The longest a host may keep us waiting without one success.
    pub patience: Duration,
    /// Requests in a row that get no answer before the host is given up for a while.
    pub unanswered_in_a_row: u32,
    /// Requests in a row that the host fails (HTTP 5xx) before it is given up for a while.
    pub failed_in_a_row: u32,
    /// How long a host stays given up.
    pub pause: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            requests_per_second: None,
            burst: NonZeroU32::MIN,
            budget: None,
            counts: Counted::Everything,
            reserve: 0,
            head_first: false,
            timeout: Duration::from_secs(30),
            patience: Duration::from_mins(2),
            unanswered_in_a_row: 5,
            failed_in_a_row: 20,
            pause: Duration::from_secs(30),
        }
    }
}

/// Which requests an allowance counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All of them.
    Everything,
    /// Manifests that are fetched, as Docker Hub counts pulls.
    Pulls,
}
