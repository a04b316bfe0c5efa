//! Which of a repository's tags is newer than the one that runs, and why. No I/O.
//!
//! Tags follow no standard. A [`Tag`] is taken apart into a version and what stands around it; only tags of the same shape, prefix and
//! variant are ordered, and [`Comparison`] says how many those were.

mod chart;
mod compare;
mod constraint;
mod rule;
mod tag;

pub use chart::{ChartComparison, ChartVersion, compare_chart};
pub use compare::{Bump, Comparison, compare};
pub use constraint::{Constraint, cluster_version};
pub use rule::{Pattern, Pins, Rule, TagOrder};
pub use tag::{Scheme, Tag};
