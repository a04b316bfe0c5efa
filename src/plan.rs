//! `--plan`: what a run would ask of each registry, before any is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use provenance_engine::Ledger;
use provenance_model::{Dossier, Subject};
use provenance_stages::discovery::DiscoveryError;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::budget::{Budgets, Verdict};
use crate::config::Tuning;
use crate::run::Order;
use crate::table::{Style, plain, printable};
use crate::topology::{Means, Source};

/// What a run would ask.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// By registry.
    registries: Vec<Planned>,
    /// Sentences on what discovery could not read.
    notes: Vec<String>,
}

/// What a run would ask of one registry.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    registry: String,
    /// Images that are examined.
    images: usize,
    /// Requests that they are expected to take. An image that was never examined is taken for an average one.
    requests: u64,
    /// Seconds that these take at the least, where there is a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    /// Images that are left to the next run.
    deferred: usize,
}

impl Plan {
    /// Reads the source to its end, and plans with what the cache knows.
    ///
    /// # Errors
    ///
    /// Where discovery could read nothing at all.
    pub async fn make(
        source: Source,
        means: &Means,
        tuning: &Tuning,
        order: &Order,
    ) -> Result<Self, DiscoveryError> {
        let (sightings_in, mut sightings) = mpsc::channel(tuning.discovery_queue);
        // Releases are planned with nothing: their charts share the lists of a few repositories.
        let (releases_in, mut releases) = mpsc::channel(tuning.discovery_queue);
        let gather = async {
            let mut ledger: Ledger<Subject, Dossier> = Ledger::new();
            while let Some(sighting) = sightings.recv().await {
                ledger.admit(Subject::of(&sighting), |subject| Dossier::new(subject.clone()));
            }
            ledger.close()
        };
        let ignore = async { while releases.recv().await.is_some() {} };
        let read = source.run(sightings_in, releases_in, order.stop());
        let (discovered, dossiers, ()) = tokio::join!(read, gather, ignore);
        let discovery = discovered?;

        let budgets = Budgets::new(Arc::clone(&means.client), means.questions(tuning));
        let mut subjects: Vec<_> = dossiers.into_iter().map(|dossier| dossier.subject).collect();
        // Those of a registry with a budget in the order of the run; the others in any.
        subjects.sort_by_cached_key(|subject| budgets.last_examined(subject));
        let mut registries: BTreeMap<String, Planned> = BTreeMap::new();
        for subject in subjects {
            let Ok(reference) = &subject.reference else { continue };
            let name = reference.registry.to_string();
            let planned = registries
                .entry(name)
                .or_insert_with_key(|name| Planned { registry: name.clone(), ..Planned::default() });
            match budgets.plan(&subject) {
                Verdict::Fits(requests) => {
                    planned.images += 1;
                    planned.requests += requests;
                }
                Verdict::Deferred(_) => planned.deferred += 1,
            }
            let limits = means.client.limits(&reference.registry);
            planned.budget = limits.budget;
            planned.at_least_seconds = limits.requests_per_second.map(|rate| {
                let beyond = planned.requests.saturating_sub(u64::from(limits.burst.get()));
                #[expect(clippy::cast_precision_loss, reason = "a plan is rounded anyway")]
                let seconds = beyond as f64 / f64::from(rate.get());
                seconds
            });
        }
        let notes = discovery.problems.into_iter().map(|problem| problem.message);
        Ok(Self { registries: registries.into_values().collect(), notes: notes.collect() })
    }

    /// For programs.
    ///
    /// # Panics
    ///
    /// Never: a plan is JSON.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan is JSON");
        text.push('\n');
        text
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = plain(Style { width: None, colour: false, most_without_finding: usize::MAX });
        table.set_header(["REGISTRY", "IMAGES", "REQUESTS", "AT LEAST", "BUDGET", "DEFERRED"]);
        for planned in &self.registries {
            table.add_row([
                planned.registry.clone(),
                planned.images.to_string(),
                format!("about {}", planned.requests),
                planned.at_least_seconds.map_or_else(|| "-".into(), |seconds| format!("{seconds:.0}s")),
                planned.budget.map_or_else(|| "-".into(), |budget| budget.to_string()),
                if planned.deferred > 0 { planned.deferred.to_string() } else { "-".into() },
            ]);
        }
        let mut text = if self.registries.is_empty() {
            "nothing would be asked: no image was found\n".to_owned()
        } else {
            let images: usize = self.registries.iter().map(|planned| planned.images).sum();
            let requests: u64 = self.registries.iter().map(|planned| planned.requests).sum();
            format!(
                "{}\n\n{images} images, about {requests} requests; tokens and retries come on top\n",
                table.trim_fmt()
            )
        };
        for note in &self.notes {
            writeln!(text, "note: {}", printable(note)).expect("writing to a string does not fail");
        }
        text
    }
}
