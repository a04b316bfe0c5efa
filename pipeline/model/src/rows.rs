//! The row book: every sighting is entered into the row of its namespace, workload, image and running
//! digest. Replicas that run different digests of one tag make two rows.

use std::collections::{BTreeMap, BTreeSet};
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
    pub image: Arc<str>,
    /// What runs.
    pub running: Running,
}

/// One row: who runs it, and under which ticket its dossier is.
#[derive(Debug, Clone)]
pub struct Row {
    /// The image, parsed.
    pub image: Arc<Image>,
    /// The controllers from the pod up.
    pub owners: Arc<[Workload]>,
    /// The containers, by kind and name.
    pub containers: BTreeSet<(ContainerKind, Arc<str>)>,
    /// How many pods; zero where none was seen.
    pub pods: usize,
    /// What the first pod says of the release that made it.
    pub release: Option<Arc<ReleaseHint>>,
    /// The dossier's ticket.
    pub ticket: Ticket,
    last_pod: Option<u128>,
}

/// All rows so far.
#[derive(Debug, Clone, Default)]
pub struct RowBook {
    rows: BTreeMap<RowKey, Row>,
    sightings: usize,
}

impl RowBook {
    /// Enters one sighting. The sightings of one pod come one after another.
    pub fn enter(&mut self, sighting: Sighting, ticket: Ticket) {
        self.sightings += 1;
        let key = RowKey {
            namespace: sighting.namespace,
            workload: sighting.workload,
            image: sighting.image.written.as_str().into(),
            running: sighting.running,
        };
        let row = self.rows.entry(key).or_insert_with(|| Row {
            image: sighting.image,
            owners: sighting.owners,
            containers: BTreeSet::new(),
            pods: 0,
            release: sighting.release,
            ticket,
            last_pod: None,
        });
        if !sighting.container.is_empty() {
            row.containers.insert((sighting.container_kind, sighting.container));
        }
        if sighting.pod.is_some() && row.last_pod != sighting.pod {
            row.pods += 1;
            row.last_pod = sighting.pod;
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
