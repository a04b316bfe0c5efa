//! A stage: one question, asked of one item at a time.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::outcome::{Failure, FailureKind, Outcome};
use crate::watch::Stop;

/// One question, asked of items of type `I`.
///
/// A stage returns errors and never logs them; it need not mind time limits, panics or the end of the run:
/// the runner turns those into outcomes.
pub trait Stage<I>: Send + Sync + 'static {
    /// What the stage finds.
    type Found: Send + 'static;

    /// The stage's name: short, lower case, unique in its line.
    fn name(&self) -> &'static str;

    /// The slot of the item that this stage fills.
    fn slot<'a>(&self, item: &'a mut I) -> &'a mut Outcome<Self::Found>;

    /// Asks. The item is only read; what it says of other stages can be relied on.
    fn examine(&self, item: &I) -> impl Future<Output = Result<Outcome<Self::Found>, Failure>> + Send;
}

/// What can be turned on one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knobs {
    /// Items worked on at once, at least one.
    pub workers: usize,
    /// Items that may wait in front of the stage, at least one.
    pub queue: usize,
    /// The longest one item may take here.
    pub timeout: Duration,
}

impl Default for Knobs {
    fn default() -> Self {
        Self { workers: 64, queue: 64, timeout: Duration::from_mins(5) }
    }
}

/// A stage whose finding type is forgotten, so that a line can hold stages of every kind.
pub(crate) trait AnyStage<I>: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    /// Asks, and fills the slot whatever happens. Answers the outcome's failure kind if there was one.
    fn run<'a>(
        &'a self,
        item: &'a mut I,
        timeout: Duration,
        stop: &'a Stop,
    ) -> BoxFuture<'a, Option<FailureKind>>;
}

impl<I: Send + Sync + 'static, S: Stage<I>> AnyStage<I> for S {
    fn name(&self) -> &'static str {
        Stage::name(self)
    }

    fn run<'a>(
        &'a self,
        item: &'a mut I,
        timeout: Duration,
        stop: &'a Stop,
    ) -> BoxFuture<'a, Option<FailureKind>> {
        async move {
            let name = Stage::name(self);
            // The one place where errors, time limits and panics become outcomes.
            let asked = AssertUnwindSafe(async { self.examine(item).await }).catch_unwind();
            let outcome = tokio::select! {
                biased;
                answer = tokio::time::timeout(timeout, asked) => match answer {
                    Ok(Ok(Ok(outcome))) => outcome,
                    Ok(Ok(Err(failure))) => Outcome::Failed(failure),
                    Ok(Err(panic)) => Outcome::Failed(Failure::new(
                        FailureKind::Panicked,
                        format!("the {name} stage panicked: {}", panic_text(panic.as_ref())),
                    )),
                    Err(_) => Outcome::Failed(Failure::new(
                        FailureKind::Timeout,
                        format!("the {name} stage took longer than {timeout:?}"),
                    )),
                },
                () = stop.grace_over() => Outcome::NotReached,
            };
            let kind =
                outcome.failure().map(|failure| failure.kind).filter(|kind| *kind != FailureKind::Deferred);
            *self.slot(item) = outcome;
            kind
        }
        .boxed()
    }
}

/// The text of a panic's payload, where it is text.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
