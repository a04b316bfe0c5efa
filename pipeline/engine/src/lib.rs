//! The engine: typed stages, bounded channels, one pool per stage, nothing lost.
//!
//! It moves items of any type through a line of stages and knows nothing of what they are. Its promises:
//! every item that enters the line leaves it, whatever a stage does (return an error, hang, panic) and
//! whenever the run is stopped; a full channel is backpressure; a closed channel is the end; every task
//! that is spawned is joined.
//!
//! Read in this order: [`outcome`], [`stage`], [`runner`], [`lanes`], [`ledger`], [`mod@collate`], [`crew`].

pub mod collate;
pub mod crew;
pub mod lanes;
pub mod ledger;
pub mod outcome;
pub mod runner;
pub mod stage;
mod watch;

pub use collate::collate;
pub use crew::Crew;
pub use lanes::{Admission, Item, LaneLimit};
pub use ledger::{Admitted, Ledger, Ticket};
pub use outcome::{Failure, FailureKind, Outcome};
pub use runner::{Line, Running, StageInfo};
pub use stage::{Knobs, Stage};
pub use watch::{StageCount, StageCounts, Stop};
