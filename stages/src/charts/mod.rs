//! The chart stage: what is newer than the chart of a release.
//!
//! | file | job |
//! | --- | --- |
//! | [`index`] | the index of a chart repository, read as it comes |
//! | [`repository`] | which repository a chart is from, and its versions |

pub mod index;
pub mod repository;

use provenance_currency::{Bump, ChartComparison, ChartVersion, cluster_version, compare_chart};
use provenance_engine::{Failure, FailureKind, Outcome, Stage, Stop};
use provenance_model::release::{Manager, ReleaseDossier, ReleaseFacts};
use provenance_model::report::{ChartUpdate, RepositoryFrom};
use provenance_model::{Shard, UpdateLevel};
use semver::Version;
use serde::Deserialize;
use tokio::sync::OnceCell;

use repository::{Address, Asked};
pub use repository::{ChartRepository, Repositories};

use crate::discovery::reader::Reader;

/// Newer versions of an OCI chart whose own words are read, before the list is taken as it is.
const LOOKED_INTO: usize = 10;

/// What counts as an update of a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartRules {
    /// The smallest change that counts.
    pub level: UpdateLevel,
    /// Leaves pre-releases out.
    pub skip_pre_releases: bool,
}

/// The stage. See the module's description.
pub struct ChartStage {
    repositories: Repositories,
    rules: Option<ChartRules>,
    kube: Reader,
    /// The cluster's version, and what it answered.
    cluster: OnceCell<(Option<Version>, String)>,
    shard: Shard,
}

impl ChartStage {
    /// The stage's name.
    pub const NAME: &str = "chart";

    /// A stage that compares by these rules; without rules it asks nothing. The cluster says which Kubernetes it is.
    pub fn new(repositories: Repositories, rules: Option<ChartRules>, kube: kube::Client) -> Self {
        let kube = Reader::new(kube, 1, Stop::default());
        Self { repositories, rules, kube, cluster: OnceCell::new(), shard: Shard::default() }
    }

    /// Asks only about the releases of this share.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }
}

impl Stage<ReleaseDossier> for ChartStage {
    type Found = ChartUpdate;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut ReleaseDossier) -> &'a mut Outcome<ChartUpdate> {
        &mut dossier.chart
    }

    async fn examine(&self, dossier: &ReleaseDossier) -> Result<Outcome<ChartUpdate>, Failure> {
        let Some(rules) = &self.rules else {
            return Ok(Outcome::Skipped("updates are not asked for (--check-updates=false)".into()));
        };
        if !self.shard.has(&dossier.subject.namespace, &dossier.subject.name) {
            return Ok(Outcome::Skipped("another part of the run looks for its updates".into()));
        }
        let facts = match &dossier.release {
            Outcome::Found(facts) => facts,
            Outcome::Failed(failure) => return Err(failure.clone()),
            Outcome::Absent => return Ok(Outcome::Absent),
            Outcome::Skipped(_) | Outcome::NotReached => return Ok(Outcome::NotReached),
        };
        let asked = Asked { stage: Self::NAME, trail: &dossier.trail };
        let Some((address, from)) = named(dossier, facts) else {
            return self.configured(&asked, facts, *rules).await;
        };
        let versions = self.repositories.versions(&asked, &address, &facts.chart).await?;
        let Some(versions) = versions else {
            let why = format!("{address} does not list the chart {}", facts.chart);
            return Err(Failure::new(FailureKind::UnexpectedStatus, why));
        };
        self.compare(&asked, facts, *rules, (&address, from), versions).await.map(Outcome::Found)
    }
}

impl ChartStage {
    /// Asks the configured repositories in turn for one that has the installed version: others may have another chart of
    /// the same name.
    async fn configured(
        &self,
        asked: &Asked<'_>,
        facts: &ReleaseFacts,
        rules: ChartRules,
    ) -> Result<Outcome<ChartUpdate>, Failure> {
        let mut others = Vec::new();
        let mut failures = Vec::new();
        for address in self.repositories.configured_for(&facts.chart) {
            match self.repositories.versions(asked, &address, &facts.chart).await {
                Ok(Some(versions)) if versions.iter().any(|one| is_version(&one.version, &facts.version)) => {
                    let of = (&address, RepositoryFrom::Configuration);
                    return self.compare(asked, facts, rules, of, versions).await.map(Outcome::Found);
                }
                Ok(Some(_)) => others.push(address.to_string()),
                Ok(None) => {}
                Err(failure) => failures.push(failure),
            }
        }
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure);
        }
        let others = if others.is_empty() {
            String::new()
        } else {
            format!("; {} has a chart of this name, but not version {}", others.join(", "), facts.version)
        };
        Ok(Outcome::Skipped(format!(
            "no repository known for the chart {}: name it in the configuration file under charts.repositories{others}",
            facts.chart
        )))
    }

    async fn compare(
        &self,
        asked: &Asked<'_>,
        facts: &ReleaseFacts,
        rules: ChartRules,
        (address, from): (&Address, RepositoryFrom),
        mut versions: Vec<ChartVersion>,
    ) -> Result<ChartUpdate, Failure> {
        let cluster = self.cluster(asked).await;
        let compare = |versions: &[ChartVersion]| {
            compare_chart(&facts.version, versions, cluster, rules.skip_pre_releases)
                .map_err(|why| Failure::new(FailureKind::Malformed, format!("chart {}: {why}", facts.chart)))
        };
        let mut comparison = compare(&versions)?;
        if address.is_oci() {
            // A list of tags says nothing of Kubernetes and deprecation: the newest chart itself does.
            let mut read: Vec<String> = Vec::new();
            while let Some(newest) = comparison.newest.clone().filter(|newest| !read.contains(newest)) {
                if read.len() == LOOKED_INTO {
                    break;
                }
                if let Some(own) = self.repositories.own_words(asked, address, &facts.chart, &newest).await?
                    && let Some(listed) = versions.iter_mut().find(|one| one.version == newest)
                {
                    *listed = ChartVersion { version: newest.clone(), ..own };
                }
                read.push(newest);
                comparison = compare(&versions)?;
            }
        }
        Ok(told(facts, comparison, rules.level, address, from))
    }

    /// The cluster's version of Kubernetes; nothing where it does not say.
    async fn cluster(&self, asked: &Asked<'_>) -> Option<&Version> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Told {
            git_version: String,
        }
        let ask = async {
            let told = self.kube.get::<Told>("/version").await;
            let answer = told.as_ref().map_or_else(ToString::to_string, |told| told.git_version.clone());
            (told.ok().and_then(|told| cluster_version(&told.git_version)), answer)
        };
        let (version, answer) = self.cluster.get_or_init(|| ask).await;
        asked.trail.note(asked.stage, "GET /version", answer);
        version.as_ref()
    }
}

/// The repository that a manager or the chart itself names.
fn named(dossier: &ReleaseDossier, facts: &ReleaseFacts) -> Option<(Address, RepositoryFrom)> {
    let managed = dossier.subject.managed.as_ref();
    let of_manager = managed.and_then(|managed| {
        let from = match managed.by {
            Manager::Flux => RepositoryFrom::Flux,
            Manager::ArgoCd => RepositoryFrom::ArgoCd,
        };
        Some((Address::parse(managed.repository.as_deref()?).ok()?, from))
    });
    of_manager.or_else(|| {
        let mut of_chart = facts.addresses.iter().filter_map(|text| Address::of_chart(text, &facts.chart));
        of_chart.next().map(|address| (address, RepositoryFrom::Chart))
    })
}

/// Whether a listed version is the installed one, however it is written.
fn is_version(listed: &str, installed: &str) -> bool {
    let plain = |text: &str| text.trim_start_matches('v').replace('_', "+");
    plain(listed) == plain(installed)
}

fn told(
    facts: &ReleaseFacts,
    comparison: ChartComparison,
    level: UpdateLevel,
    address: &Address,
    from: RepositoryFrom,
) -> ChartUpdate {
    let bump = comparison.bump.map(|bump| match bump {
        Bump::Patch => UpdateLevel::Patch,
        Bump::Minor => UpdateLevel::Minor,
        Bump::Major => UpdateLevel::Major,
    });
    let others = match comparison.other_kubernetes {
        0 => String::new(),
        count => format!("; {count} newer for another Kubernetes"),
    };
    let versions = if comparison.listed == 1 { "version" } else { "versions" };
    let listed = format!("{} {versions} listed{others}", comparison.listed);
    let reason = match &comparison.newest {
        Some(newest) => format!("{} -> {newest} ({listed})", facts.version),
        None => format!("nothing is newer ({listed})"),
    };
    ChartUpdate {
        update_available: bump.is_some_and(|bump| bump >= level),
        latest_in_major: comparison.latest_in_major,
        newest_available: comparison.newest,
        latest_in_minor: comparison.latest_in_minor,
        level: bump,
        versions_behind: comparison.versions_behind,
        other_kubernetes: Some(comparison.other_kubernetes).filter(|count| *count > 0),
        reason,
        repository: address.to_string(),
        repository_from: from,
        deprecated: comparison.deprecated,
    }
}
