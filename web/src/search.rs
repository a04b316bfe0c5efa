//! Search over what a report names.

use std::collections::BTreeMap;

use provenance_model::report::Report;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::images::Flat;
use crate::loaded::signers;
use crate::problem::Problem;

/// Hits at the most.
const MOST: usize = 500;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Searched {
    /// Found anywhere, in any case.
    #[serde(default)]
    #[param(pattern = r"\S", required = true)]
    q: String,
    /// The report's file; the latest where not given.
    #[param(pattern = r"^$|^(latest|[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*)$")]
    pub report: Option<String>,
    /// Hits at the most: 1 to 500, 50 where not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// What a hit is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An image, as the pod names it.
    Image,
    /// The digest that runs.
    Digest,
    /// A workload: `namespace/Kind/name`.
    Workload,
    /// A Helm release: `namespace/name`.
    Release,
    /// Who signed, as verified.
    Signer,
    /// What built it.
    Builder,
    /// The repository it was built from.
    SourceRepository,
    /// The commit it was built from.
    SourceCommit,
}

/// One name that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Hit {
    /// What it is the name of.
    pub kind: Kind,
    /// The name.
    pub value: String,
    /// Rows of images that it stands in.
    pub rows: usize,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Hits {
    /// The report's file.
    pub report: String,
    /// How many names match, whether shown or not.
    pub total: usize,
    /// The names: those that are what was asked for, those that begin with it, the others.
    pub items: Vec<Hit>,
}

impl Searched {
    /// Searches a report.
    ///
    /// # Errors
    ///
    /// [`Problem`] where nothing is searched for, or the limit is none.
    pub fn answer(&self, name: String, report: &Report) -> Result<Hits, Problem> {
        let wanted = self.q.trim().to_lowercase();
        if wanted.is_empty() {
            return Err(Problem::asked("q: say what to search for"));
        }
        let limit = self.limit.unwrap_or(50);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::asked(format!("limit is 1 to {MOST}")));
        }
        let mut rows: BTreeMap<(Kind, String), usize> = BTreeMap::new();
        let mut of_row = Vec::new();
        for row in &report.images {
            let flat = Flat::of(row);
            of_row.clear();
            of_row.extend(
                [
                    (Kind::Image, Some(flat.image)),
                    (Kind::Digest, flat.digest),
                    (Kind::Release, flat.helm_release.as_deref()),
                    (Kind::Builder, flat.builder),
                    (Kind::SourceRepository, flat.source_repository),
                    (Kind::SourceCommit, flat.source_commit),
                ]
                .into_iter()
                .filter_map(|(kind, value)| Some((kind, value?.to_owned()))),
            );
            let workload = format!("{}/{}/{}", flat.namespace, flat.workload_kind, flat.workload_name);
            of_row.push((Kind::Workload, workload));
            of_row.extend(signers(row).map(|signer| (Kind::Signer, signer)));
            // A signer of two signatures of a row stands in one row.
            of_row.sort_unstable();
            of_row.dedup();
            for (kind, value) in of_row.drain(..) {
                if value.to_lowercase().contains(&wanted) {
                    *rows.entry((kind, value)).or_default() += 1;
                }
            }
        }
        for release in &report.helm_releases {
            // One whose images are not among the rows is found too.
            let value = format!("{}/{}", release.namespace, release.release_name);
            if value.to_lowercase().contains(&wanted) {
                rows.entry((Kind::Release, value)).or_default();
            }
        }
        let total = rows.len();
        let mut items: Vec<Hit> =
            rows.into_iter().map(|((kind, value), rows)| Hit { kind, value, rows }).collect();
        items.sort_by_key(|hit| {
            let value = hit.value.to_lowercase();
            (value != wanted, !value.starts_with(&wanted))
        });
        items.truncate(limit);
        Ok(Hits { report: name, total, items })
    }
}
