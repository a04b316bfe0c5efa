//! The collator: many sightings in, each item through the line once, all of them in one ledger.

use std::hash::Hash;

use tokio::sync::mpsc;

use crate::lanes::Item;
use crate::ledger::{Admitted, Ledger, Ticket};
use crate::runner::Running;

/// Reads sightings until their channel closes, sends each new item down the line, and settles what comes
/// out. Ends when the line is empty; then the ledger knows every item that any sighting named.
///
/// `enter` books one sighting and answers the item to work on if it is a new one.
pub async fn collate<S, K, I>(
    mut sightings: mpsc::Receiver<S>,
    line: Running<I>,
    mut enter: impl FnMut(S, &mut Ledger<K, I>) -> Option<(Ticket, Box<I>)>,
) -> Ledger<K, I>
where
    K: Eq + Hash,
    I: Clone + Item,
{
    let Running { input, mut output } = line;
    let mut ledger = Ledger::new();
    let mut input = Some(input);
    loop {
        tokio::select! {
            biased;
            settled = output.recv() => match settled {
                Some(Admitted { ticket, mut item }) => {
                    item.settled();
                    ledger.settle(ticket, item);
                }
                None => break,
            },
            sighting = sightings.recv(), if input.is_some() => match (sighting, &input) {
                (Some(sighting), Some(line)) => {
                    if let Some((ticket, item)) = enter(sighting, &mut ledger) {
                        // The waiting room always takes in, so this wait is short. Should the room be gone,
                        // the ledger keeps the item and reports it as not reached.
                        if line.send(Admitted { ticket, item }).await.is_err() {
                            tracing::error!("the line is closed; an item stays as it was admitted");
                        }
                    }
                }
                _ => input = None,
            },
        }
    }
    // The line ended. If it fell before the sightings did, they are still booked.
    while let Some(sighting) = sightings.recv().await {
        if enter(sighting, &mut ledger).is_some() {
            tracing::error!("the line is closed; an item stays as it was admitted");
        }
    }
    ledger
}
