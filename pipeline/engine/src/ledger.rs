//! The ledger: who was admitted, who came back, and what stands for those who did not.

use std::collections::HashMap;
use std::hash::Hash;

/// The number of an admitted item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u32);

impl Ticket {
    /// The number as an index into [`Ledger::close`]'s answer.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An item with the ticket the ledger gave it.
#[derive(Debug)]
pub struct Admitted<I> {
    /// The item's number in the ledger.
    pub ticket: Ticket,
    /// The item. Queues move it about, and are mostly empty: they have the pointer.
    pub item: Box<I>,
}

/// Every item once, by key. For an item that never comes back its first copy stands, so that nothing that
/// was admitted can be missing at the end.
#[derive(Debug)]
pub struct Ledger<K, I> {
    tickets: HashMap<K, Ticket>,
    entries: Vec<Entry<I>>,
}

#[derive(Debug)]
struct Entry<I> {
    item: Box<I>,
    settled: bool,
}

impl<K: Eq + Hash, I: Clone> Ledger<K, I> {
    /// An empty ledger.
    pub fn new() -> Self {
        Self { tickets: HashMap::new(), entries: Vec::new() }
    }

    /// The ticket of `key`, and the item to work on if the key is new.
    ///
    /// # Panics
    ///
    /// Past 2³² items.
    pub fn admit(&mut self, key: K, make: impl FnOnce(&K) -> I) -> (Ticket, Option<Box<I>>) {
        if let Some(&ticket) = self.tickets.get(&key) {
            return (ticket, None);
        }
        let ticket = Ticket(u32::try_from(self.entries.len()).expect("a run has fewer than 2^32 items"));
        let item = Box::new(make(&key));
        self.entries.push(Entry { item: item.clone(), settled: false });
        self.tickets.insert(key, ticket);
        (ticket, Some(item))
    }

    /// Takes an item back.
    pub fn settle(&mut self, ticket: Ticket, item: Box<I>) {
        self.entries[ticket.index()] = Entry { item, settled: true };
    }

    /// How many items were admitted.
    pub fn admitted(&self) -> usize {
        self.entries.len()
    }

    /// How many of them have not come back.
    pub fn open(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.settled).count()
    }

    /// Every item, by ticket: as it came back, or as it was admitted.
    pub fn close(self) -> Box<[Box<I>]> {
        self.entries.into_iter().map(|entry| entry.item).collect()
    }
}

impl<K: Eq + Hash, I: Clone> Default for Ledger<K, I> {
    fn default() -> Self {
        Self::new()
    }
}
