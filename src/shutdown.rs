//! SIGTERM and SIGINT: the first ends the run with a partial report, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::run::Order;

/// The exit status of a process that is told to leave twice: there is no report.
const LEFT: i32 = 1;

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub struct Signals(tokio::task::JoinHandle<()>);

impl Signals {
    /// Starts to listen; the first signal gives the order.
    ///
    /// # Errors
    ///
    /// Where the process may not listen for signals.
    pub fn listen(order: Order) -> std::io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(Self(tokio::spawn(async move {
            let first = either(&mut terminate, &mut interrupt).await;
            order.give(format!("the run was stopped by {first}"));
            let second = either(&mut terminate, &mut interrupt).await;
            tracing::error!("{second} came a second time: leaving at once, without a report");
            std::process::exit(LEFT);
        })))
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.0.abort();
    }
}
