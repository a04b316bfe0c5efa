//! What changed between two reports.

use std::collections::BTreeMap;

use provenance_model::report::{ImageRecord, Report};
use serde::Serialize;
use utoipa::ToSchema;

/// One row that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// The image as the pod names it.
    pub image: String,
    /// The namespace.
    pub namespace: String,
    /// The workload, as `Deployment/web`.
    pub workload: String,
    /// What it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What changed, by kind. A fact that one of the reports does not know has not changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// The earlier report's file.
    pub from: String,
    /// The later report's file.
    pub to: String,
    /// Rows that are new.
    pub appeared: Vec<Changed>,
    /// Rows that are no longer there.
    pub gone: Vec<Changed>,
    /// Another digest runs.
    pub changed_digest: Vec<Changed>,
    /// It was signed, and is not.
    pub lost_signature: Vec<Changed>,
    /// It is signed, and was not.
    pub gained_signature: Vec<Changed>,
    /// It was verified, and is not.
    pub lost_verification: Vec<Changed>,
    /// It is verified, and was not.
    pub gained_verification: Vec<Changed>,
    /// It had provenance, and has none.
    pub lost_provenance: Vec<Changed>,
    /// It has provenance, and had none.
    pub gained_provenance: Vec<Changed>,
    /// It had an SBOM, and has none.
    #[serde(rename = "lostSBOM")]
    pub lost_sbom: Vec<Changed>,
    /// It has an SBOM, and had none.
    #[serde(rename = "gainedSBOM")]
    pub gained_sbom: Vec<Changed>,
    /// There is an update that was not there, or a newer one.
    pub new_updates: Vec<Changed>,
}

/// Rows of one namespace, workload and image; replicas may run several digests.
type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

fn rows(report: &Report) -> BTreeMap<Key<'_>, Vec<&ImageRecord>> {
    let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &report.images {
        let key = (
            row.namespace.as_str(),
            row.workload.kind.as_str(),
            row.workload.name.as_str(),
            row.image.as_str(),
        );
        rows.entry(key).or_default().push(row);
    }
    rows
}

/// Compares two reports.
pub fn changes((from, earlier): (&str, &Report), (to, later): (&str, &Report)) -> Changes {
    let mut changes = Changes { from: from.to_owned(), to: to.to_owned(), ..Changes::default() };
    let (before, after) = (rows(earlier), rows(later));
    for (key, old) in &before {
        match after.get(key) {
            None => changes.gone.push(told(old[0], None, None)),
            Some(new) => compare(old, new, &mut changes),
        }
    }
    let new = after.iter().filter(|(key, _)| !before.contains_key(*key));
    changes.appeared.extend(new.map(|(_, rows)| told(rows[0], None, rows[0].digest.clone())));
    changes
}

fn told(row: &ImageRecord, before: Option<String>, after: Option<String>) -> Changed {
    Changed {
        image: row.image.clone(),
        namespace: row.namespace.clone(),
        workload: format!("{}/{}", row.workload.kind, row.workload.name),
        before,
        after,
    }
}

fn compare(old: &[&ImageRecord], new: &[&ImageRecord], changes: &mut Changes) {
    let digests = |rows: &[&ImageRecord]| {
        let mut digests: Vec<_> = rows.iter().filter_map(|row| row.digest.clone()).collect();
        digests.sort();
        digests.join(", ")
    };
    let (was, is) = (digests(old), digests(new));
    if was != is && !was.is_empty() && !is.is_empty() {
        changes.changed_digest.push(told(new[0], Some(was), Some(is)));
    }
    // Of several digests the worst counts: a fact is there only where all have it.
    let all = |rows: &[&ImageRecord], fact: &dyn Fn(&ImageRecord) -> Option<bool>| {
        rows.iter().map(|row| fact(row)).reduce(|a, b| Some(a? && b?)).flatten()
    };
    let mut fact = |fact: &dyn Fn(&ImageRecord) -> Option<bool>,
                    lost: fn(&mut Changes) -> &mut Vec<Changed>,
                    gained: fn(&mut Changes) -> &mut Vec<Changed>| {
        match (all(old, fact), all(new, fact)) {
            (Some(true), Some(false)) => lost(changes).push(told(new[0], None, None)),
            (Some(false), Some(true)) => gained(changes).push(told(new[0], None, None)),
            _ => {}
        }
    };
    fact(
        &|row| row.signature.as_ref().map(|found| found.signed),
        |changes| &mut changes.lost_signature,
        |changes| &mut changes.gained_signature,
    );
    fact(
        &|row| row.signature.as_ref().map(|found| found.verified),
        |changes| &mut changes.lost_verification,
        |changes| &mut changes.gained_verification,
    );
    fact(
        &|row| row.provenance.as_ref().map(|found| found.has_provenance),
        |changes| &mut changes.lost_provenance,
        |changes| &mut changes.gained_provenance,
    );
    fact(
        &|row| row.sbom.as_ref().map(|found| found.has_sbom),
        |changes| &mut changes.lost_sbom,
        |changes| &mut changes.gained_sbom,
    );
    let newest = |rows: &[&ImageRecord]| {
        let update = rows.iter().find_map(|row| row.update.as_ref());
        update.filter(|update| update.update_available).and_then(|update| update.newest_available.clone())
    };
    let (was, is) = (newest(old), newest(new));
    if is.is_some() && was != is {
        changes.new_updates.push(told(new[0], was, is));
    }
}
