//! The crew: every task of a run, spawned in one place and joined in one place.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};
use tracing::Instrument;

use crate::stage::panic_text;

/// The tasks of one run. Dropping it aborts what still runs.
#[derive(Debug, Default)]
pub struct Crew {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

/// A task that ended by a panic, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {name} task panicked: {message}")]
pub struct Fallen {
    /// The task's name.
    pub name: &'static str,
    /// The panic's text.
    pub message: String,
}

impl Crew {
    /// A crew with no tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns a task under a name, inside the current span.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let handle = self.tasks.spawn(task.in_current_span());
        self.names.insert(handle.id(), name);
    }

    /// Waits for every task; answers those that panicked.
    pub async fn join(mut self) -> Vec<Fallen> {
        let mut fallen = Vec::new();
        while let Some(joined) = self.tasks.join_next_with_id().await {
            if let Err(error) = joined {
                let name = self.names.get(&error.id()).copied().unwrap_or("unnamed");
                let message = match error.try_into_panic() {
                    Ok(payload) => panic_text(payload.as_ref()).to_owned(),
                    Err(error) => error.to_string(),
                };
                fallen.push(Fallen { name, message });
            }
        }
        fallen
    }
}
