//! Which images a run examines where a registry has a budget: those that were examined longest ago, as many as fit.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use provenance_engine::{Admission, Failure, FailureKind};
use provenance_model::{Dossier, Subject};
use provenance_stages::registry::{Questions, RegistryClient, deferred};

/// The budgets of one run, and what is planned to be spent of them.
#[derive(Debug)]
pub struct Budgets {
    client: Arc<RegistryClient>,
    questions: Questions,
    planned: Mutex<Planned>,
}

#[derive(Debug, Default)]
struct Planned {
    requests: HashMap<String, u64>,
    listed: HashSet<String>,
}

/// What becomes of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is examined, and expected to take so many requests.
    Fits(u64),
    /// It is left to the next run.
    Deferred(Failure),
}

impl Budgets {
    /// Plans with what this client knows, for these questions.
    pub fn new(client: Arc<RegistryClient>, questions: Questions) -> Self {
        Self { client, questions, planned: Mutex::default() }
    }

    /// Plans one more image.
    pub fn plan(&self, subject: &Subject) -> Verdict {
        let Ok(reference) = &subject.reference else { return Verdict::Fits(0) };
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let Planned { requests, listed } = &mut *planned;
        let expected = self.client.expected(subject, self.questions, listed);
        let host = reference.registry.as_str();
        let spent = requests.entry(host.to_owned()).or_default();
        // What took more than was expected is spent, too.
        *spent = (*spent).max(self.client.requests_to(host));
        match self.client.limits(&reference.registry).budget {
            // One image is always tried, or one that takes more than the budget would never be.
            Some(budget) if *spent > 0 && *spent + expected > budget => {
                Verdict::Deferred(Failure::new(FailureKind::Deferred, deferred(host, budget)))
            }
            _ => {
                *spent += expected;
                Verdict::Fits(expected)
            }
        }
    }

    /// The moment a subject was last examined at, in seconds; 0 where it never was.
    pub fn last_examined(&self, subject: &Subject) -> u64 {
        let examined = self.client.cache().and_then(|cache| cache.examined(&subject.key()));
        let since = examined.and_then(|(time, _)| time.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }
}

impl Admission<Dossier> for Budgets {
    fn is_ordered(&self, registry: &Arc<str>) -> bool {
        self.client.has_budget(registry)
    }

    fn rank(&self, dossier: &Dossier) -> u64 {
        self.last_examined(&dossier.subject)
    }

    fn admit(&self, dossier: &mut Dossier) -> bool {
        match self.plan(&dossier.subject) {
            Verdict::Fits(_) => true,
            Verdict::Deferred(why) => {
                dossier.defer(&why);
                false
            }
        }
    }
}
