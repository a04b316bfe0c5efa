//! The row book: every sighting is entered into the row of its namespace, workload, image and running
//! digest. Replicas that run different digests of one tag make two rows.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use provenance_engine::Ticket;

use crate::name::Image;
use crate::release::ReleaseHint;
use crate::sighting::{ContainerKind, Running, Sighting, Workload};

/// One row: what makes it a row, who runs it, and under which ticket its dossier is.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The kind of the top-level workload.
    pub kind: &'a str,
    /// The name of the top-level workload.
    pub workload: &'a str,
    /// The image as written.
    pub image: &'a Image,
    /// What runs.
    pub running: &'a Running,
    /// The containers, sorted.
    pub containers: &'a [Container],
    /// What the first pod says of the release that made it.
    pub release: Option<&'a ReleaseHint>,
    /// How many pods; zero where none was seen.
    pub pods: u32,
    /// The dossier's ticket.
    pub ticket: Ticket,
    /// The controllers below the workload, packed; none where the workload is the pod itself.
    below: Option<&'a str>,
}

impl<'a> Row<'a> {
    /// Kind and name of the controllers from the pod up, the workload last. None for a pod with no owner.
    pub fn owners(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let below = self.below.into_iter().flat_map(|packed| packed.split_terminator(END));
        let below = below.filter_map(|one| one.split_once(AND));
        below.chain(self.below.map(|_| (self.kind, self.workload)))
    }
}

/// Between a controller's kind and its name, and after it. Neither is in any name of Kubernetes.
const AND: &str = "\t";
const END: &str = "\n";

/// The controllers below the workload, which is the last of them, as one text: a row of a large cluster has two, and a hundred
/// thousand rows have others each.
fn packed(owners: &[Workload]) -> Option<Box<str>> {
    let (_, below) = owners.split_last()?;
    let mut packed = String::new();
    for owner in below {
        packed.extend([&*owner.kind, AND, &*owner.name, END]);
    }
    Some(packed.into())
}

/// A container of a row, by kind and name.
pub type Container = (ContainerKind, Arc<str>);

/// All rows so far. A large cluster has a hundred thousand: what rows have in common is kept once, and they have its number.
#[derive(Debug, Clone, Default)]
pub struct RowBook {
    rows: IndexMap<Key, Entry>,
    namespaces: IndexSet<Arc<str>>,
    kinds: IndexSet<Arc<str>>,
    images: IndexSet<Written>,
    running: IndexSet<Running>,
    containers: IndexSet<Arc<[Container]>>,
    releases: IndexSet<Option<Arc<ReleaseHint>>>,
    sightings: usize,
    /// The pod whose sightings come now, and the images of it that were entered.
    pod: Option<u128>,
    of_pod: Vec<(u32, u32)>,
}

/// What makes a row a row, most of it as numbers in the book's sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    namespace: u32,
    kind: u32,
    name: Arc<str>,
    image: u32,
    running: u32,
}

#[derive(Debug, Clone)]
struct Entry {
    below: Option<Box<str>>,
    containers: u32,
    release: u32,
    pods: u32,
    ticket: Ticket,
}

/// An image, the same where it is written the same.
#[derive(Debug, Clone)]
struct Written(Arc<Image>);

impl PartialEq for Written {
    fn eq(&self, other: &Self) -> bool {
        self.0.written == other.0.written
    }
}

impl Eq for Written {}

impl Hash for Written {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.written.hash(state);
    }
}

/// The number of a value in its set.
fn number<T: Hash + Eq>(set: &mut IndexSet<T>, value: T) -> u32 {
    u32::try_from(set.insert_full(value).0).expect("a run has fewer than 2^32 sightings")
}

/// The value of a number.
fn value<T>(set: &IndexSet<T>, number: u32) -> &T {
    &set[number as usize]
}

impl RowBook {
    /// Enters one sighting. The sightings of one pod come one after another.
    pub fn enter(&mut self, sighting: Sighting, ticket: Ticket) {
        self.sightings += 1;
        let key = Key {
            namespace: number(&mut self.namespaces, sighting.namespace),
            kind: number(&mut self.kinds, sighting.workload.kind),
            name: sighting.workload.name,
            image: number(&mut self.images, Written(sighting.image)),
            running: number(&mut self.running, sighting.running),
        };
        let is_another = sighting.pod.is_none() || self.pod != sighting.pod;
        if is_another {
            self.pod = sighting.pod;
            self.of_pod.clear();
        }
        let image = (key.image, key.running);
        let is_new_to_pod = sighting.pod.is_some() && !self.of_pod.contains(&image);
        if is_new_to_pod {
            self.of_pod.push(image);
        }
        let row = self.rows.entry(key).or_insert_with(|| Entry {
            below: packed(&sighting.owners),
            containers: number(&mut self.containers, Arc::new([])),
            release: number(&mut self.releases, sighting.release),
            pods: 0,
            ticket,
        });
        row.pods += u32::from(is_new_to_pod);
        let container = (sighting.container_kind, sighting.container);
        let containers = value(&self.containers, row.containers);
        if !container.1.is_empty()
            && let Err(at) = containers.binary_search(&container)
        {
            let mut all = containers.to_vec();
            all.insert(at, container);
            row.containers = number(&mut self.containers, all.into());
        }
    }

    /// How many sightings were entered.
    pub fn sightings(&self) -> usize {
        self.sightings
    }

    /// Puts the rows into the report's order: by namespace, workload, image as written, and what runs.
    pub fn sort(&mut self) {
        let Self { rows, namespaces, kinds, images, running, .. } = self;
        let by = |one: &Key, other: &Key| -> Ordering {
            let namespace = value(namespaces, one.namespace).cmp(value(namespaces, other.namespace));
            namespace
                .then_with(|| value(kinds, one.kind).cmp(value(kinds, other.kind)))
                .then_with(|| one.name.cmp(&other.name))
                .then_with(|| value(images, one.image).0.written.cmp(&value(images, other.image).0.written))
                .then_with(|| value(running, one.running).cmp(value(running, other.running)))
        };
        rows.sort_unstable_by(|one, _, other, _| by(one, other));
    }

    /// The rows, in the order in which they were seen or [sorted](Self::sort).
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(key, entry)| Row {
            namespace: value(&self.namespaces, key.namespace).as_ref(),
            kind: value(&self.kinds, key.kind).as_ref(),
            workload: &key.name,
            image: &value(&self.images, key.image).0,
            running: value(&self.running, key.running),
            below: entry.below.as_deref(),
            containers: value(&self.containers, entry.containers).as_ref(),
            release: value(&self.releases, entry.release).as_deref(),
            pods: entry.pods,
            ticket: entry.ticket,
        })
    }
}

#[cfg(test)]
mod tests {
    use provenance_engine::Ledger;

    use super::*;
    use crate::sighting::CredentialScope;

    #[test]
    fn owners_come_back_as_they_went_in() {
        let pairs = |owners: &[(&str, &str)]| -> Vec<Workload> {
            owners.iter().map(|(kind, name)| Workload::new(kind, name)).collect()
        };
        for owners in [
            &[][..],
            &[("StatefulSet", "db")],
            &[("ReplicaSet", "web-7c9d8"), ("Deployment", "web")],
            &[("StrimziPodSet", "a"), ("Kafka", "b"), ("Tenant", "c")],
        ] {
            let chain = pairs(owners);
            let workload = chain.last().cloned().unwrap_or_else(|| Workload::new("Pod", "web-0"));
            let mut book = RowBook::default();
            let sighting = Sighting {
                namespace: "shop".into(),
                workload,
                owners: chain.into(),
                container: "app".into(),
                container_kind: ContainerKind::Container,
                image: Arc::new(Image::parse("web:1")),
                running: Running::Unknown,
                pod: Some(1),
                scope: CredentialScope::default(),
                wishes: None,
                release: None,
            };
            let (ticket, _) = Ledger::new().admit(0, |number| *number);
            book.enter(sighting, ticket);
            let row = book.iter().next().unwrap();
            assert_eq!(row.owners().collect::<Vec<_>>(), owners);
        }
    }
}
