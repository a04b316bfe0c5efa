//! The row book: every sighting is entered into the row of its namespace, workload, image and running
//! digest. Replicas that run different digests of one tag make two rows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use provenance_engine::Ticket;

use crate::name::Image;
use crate::release::ReleaseHint;
use crate::sighting::{ContainerKind, Running, Sighting, Workload};

/// What makes a row a row. The order is the report's order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The top-level workload.
    pub workload: Workload,
    /// The image as written.
    pub image: Written,
    /// What runs.
    pub running: Running,
}

/// An image, ordered and compared as it is written.
#[derive(Debug, Clone)]
pub struct Written(pub Arc<Image>);

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.0.written == other.0.written
    }
}

impl Eq for Written {}

impl PartialOrd for Written {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Written {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.written.cmp(&other.0.written)
    }
}

/// Containers of a row, by kind and name: sorted, and shared by rows that have the same.
pub type Containers = Arc<[(ContainerKind, Arc<str>)]>;

/// One row: who runs it, and under which ticket its dossier is.
#[derive(Debug, Clone)]
pub struct Row {
    /// The controllers from the pod up.
    pub owners: Arc<[Workload]>,
    /// The containers.
    pub containers: Containers,
    /// What the first pod says of the release that made it.
    pub release: Option<Arc<ReleaseHint>>,
    /// How many pods; zero where none was seen.
    pub pods: u32,
    /// The dossier's ticket.
    pub ticket: Ticket,
}

/// All rows so far. A large cluster has a hundred thousand: what rows have in common they share.
#[derive(Debug, Clone, Default)]
pub struct RowBook {
    rows: BTreeMap<RowKey, Row>,
    sightings: usize,
    /// The pod whose sightings come now, and the images of it that were entered.
    pod: Option<u128>,
    of_pod: Vec<(Written, Running)>,
    containers: HashSet<Containers>,
}

impl RowBook {
    /// Enters one sighting. The sightings of one pod come one after another.
    pub fn enter(&mut self, sighting: Sighting, ticket: Ticket) {
        self.sightings += 1;
        let key = RowKey {
            namespace: sighting.namespace,
            workload: sighting.workload,
            image: Written(sighting.image),
            running: sighting.running,
        };
        let is_another = sighting.pod.is_none() || self.pod != sighting.pod;
        if is_another {
            self.pod = sighting.pod;
            self.of_pod.clear();
        }
        let image = (key.image.clone(), key.running.clone());
        let is_new_to_pod = sighting.pod.is_some() && !self.of_pod.contains(&image);
        if is_new_to_pod {
            self.of_pod.push(image);
        }
        let row = self.rows.entry(key).or_insert_with(|| Row {
            owners: sighting.owners,
            containers: Arc::new([]),
            pods: 0,
            release: sighting.release,
            ticket,
        });
        row.pods += u32::from(is_new_to_pod);
        let container = (sighting.container_kind, sighting.container);
        if !container.1.is_empty()
            && let Err(at) = row.containers.binary_search(&container)
        {
            let mut all = row.containers.to_vec();
            all.insert(at, container);
            let all: Containers = all.into();
            let known = self.containers.get(&all).map(Arc::clone);
            row.containers = known.unwrap_or_else(|| {
                self.containers.insert(Arc::clone(&all));
                all
            });
        }
    }

    /// How many sightings were entered.
    pub fn sightings(&self) -> usize {
        self.sightings
    }

    /// The rows in the report's order.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, &Row)> {
        self.rows.iter()
    }
}
