//! A report whose rows are made when they are wanted, one at a time: a hundred thousand of them are a gigabyte, and what they
//! are made of is not.

use std::borrow::Cow;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::build::{Closing, head, record};
use super::counting::Counting;
use super::releases::{Links, records};
use super::rules::broken_by;
use super::types::{ImageRecord, Report};
use crate::dossier::Dossier;
use crate::release::ReleaseDossier;
use crate::rows::RowBook;

/// A report, its rows not yet made. Written, it is what [`Report`] is.
#[derive(Debug)]
pub struct Draft {
    /// All but the rows.
    head: Report,
    rows: Rows,
}

/// Where rows come from.
#[derive(Debug)]
enum Rows {
    /// They are there.
    Made(Vec<ImageRecord>),
    /// They are made of what was seen and what was found.
    Of(Box<Material>),
}

/// What rows are made of.
#[derive(Debug)]
struct Material {
    seen: RowBook,
    found: Box<[Box<Dossier>]>,
    links: Links,
}

impl Draft {
    /// Makes a report of what was seen and found; `found` is by ticket. Every row is made once, for the counts.
    ///
    /// # Panics
    ///
    /// When a row's ticket is not of these dossiers, which the ledger excludes.
    pub fn new(
        mut seen: RowBook,
        found: Box<[Box<Dossier>]>,
        releases: &[ReleaseDossier],
        closing: Closing,
    ) -> Self {
        seen.sort();
        let links = Links::new(releases);
        let (sightings, subjects) = (seen.sightings(), found.len());
        let mut linked = links.collect();
        let fail_on = closing.fail_on.clone();
        let mut counting = Counting::new(&fail_on);
        let mut namespaces: Vec<String> = Vec::new();
        let rows = Rows::Of(Box::new(Material { seen, found, links }));
        for (at, row) in rows.iter() {
            if let Some(at) = at {
                linked.add(at, &row);
            }
            counting.row(&row);
            // Rows are in the order of namespaces.
            if !row.namespace.is_empty() && namespaces.last() != Some(&row.namespace) {
                namespaces.push(row.namespace.clone());
            }
        }
        let helm_releases = records(releases, linked);
        for release in &helm_releases {
            counting.release(release);
        }
        let (summary, failing) = counting.close();
        let head = head((sightings, subjects), (summary, helm_releases), namespaces, failing, closing);
        Self { head, rows }
    }

    /// Everything but the rows; its list of images is empty.
    pub fn head(&self) -> &Report {
        &self.head
    }

    /// The rows, in the report's order, each made when it is asked for.
    pub fn rows(&self) -> impl Iterator<Item = Cow<'_, ImageRecord>> {
        self.rows.iter().map(|(_, row)| row)
    }

    /// The report as a whole, in memory.
    pub fn whole(&self) -> Report {
        let images = self.rows().map(Cow::into_owned).collect();
        Report { images, ..self.head.clone() }
    }
}

impl From<Report> for Draft {
    fn from(report: Report) -> Self {
        let (images, head) = (report.images, Report { images: Vec::new(), ..report });
        Self { head, rows: Rows::Made(images) }
    }
}

impl Rows {
    /// Each row, and the number of the release that brought it.
    fn iter(&self) -> Box<dyn Iterator<Item = (Option<usize>, Cow<'_, ImageRecord>)> + '_> {
        match self {
            Self::Made(rows) => Box::new(rows.iter().map(|row| (None, Cow::Borrowed(row)))),
            Self::Of(material) => Box::new(material.seen.iter().map(move |row| {
                let Material { found, links, .. } = &**material;
                let mut record = record(&row, &found[row.ticket.index()]);
                record.findings = Some(broken_by(&record));
                let link = links.of(&record, row.release);
                record.helm_release = link.map(|(at, by)| links.link(at, by));
                (link.map(|(at, _)| at), Cow::Owned(record))
            })),
        }
    }
}

impl Serialize for Draft {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Each<'a>(&'a Draft);
        impl Serialize for Each<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.rows())
            }
        }
        let Report { metadata, images: _, helm_releases, summary, run, truncated } = &self.head;
        let fields = 4 + usize::from(run.is_some()) + usize::from(truncated.is_some());
        let mut out = serializer.serialize_struct("Report", fields)?;
        out.serialize_field("metadata", metadata)?;
        out.serialize_field("images", &Each(self))?;
        out.serialize_field("helmReleases", helm_releases)?;
        out.serialize_field("summary", summary)?;
        if let Some(run) = run {
            out.serialize_field("run", run)?;
        }
        if let Some(truncated) = truncated {
            out.serialize_field("truncated", truncated)?;
        }
        out.end()
    }
}
