//! The update stage: what is newer than what runs, by its repository's list of tags.
//!
//! | file | job |
//! | --- | --- |
//! | [`rules`] | which rule is for an image |
//! | `age` | when what runs was made |
//! | [`upgrade`] | what an upgrade would lose |

mod age;
pub mod rules;
pub mod upgrade;

use std::sync::Arc;

use provenance_currency::{Bump, Comparison, Scheme, compare};
use provenance_engine::{Failure, FailureKind, Outcome, Stage};
use provenance_model::update::Floating;
use provenance_model::{Digest, Dossier, DriftState, Update, UpdateLevel};

pub use rules::{ImageRule, UpdateRules};
pub use upgrade::Examination;

use crate::attached::{Targets, asking};
use crate::registry::{Asking, RegistryClient, TagList};
use crate::shared::Kept;
use crate::tag_lists::TagLists;
use rules::Chosen;

/// Tags that are compared without going aside: more would hold up what else the thread has to do.
const COMPARED_AT_ONCE: usize = 1000;

/// The stage. See the module's description.
#[derive(Debug)]
pub struct UpdateStage {
    client: Arc<RegistryClient>,
    lists: Arc<TagLists>,
    rules: Option<UpdateRules>,
    reads_age: bool,
    examination: Option<Examination>,
}

impl UpdateStage {
    /// The stage's name.
    pub const NAME: &str = "update";

    /// A stage that compares by these rules; without rules it asks nothing.
    pub fn new(client: Arc<RegistryClient>, lists: Arc<TagLists>, rules: Option<UpdateRules>) -> Self {
        Self { client, lists, rules, reads_age: false, examination: None }
    }

    /// Reads when what runs was made in its configuration, where nothing else tells.
    #[must_use]
    pub fn reads_age(mut self, reads_age: bool) -> Self {
        self.reads_age = reads_age;
        self
    }

    /// Examines the newest tag too, and says what an upgrade would lose.
    #[must_use]
    pub fn examines(mut self, examination: Option<Examination>) -> Self {
        self.examination = examination;
        self
    }
}

impl Stage<Dossier> for UpdateStage {
    type Found = Box<Update>;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut Dossier) -> &'a mut Outcome<Box<Update>> {
        &mut dossier.update
    }

    async fn examine(&self, dossier: &Dossier) -> Result<Outcome<Box<Update>>, Failure> {
        let Some(rules) = &self.rules else {
            return Ok(Outcome::Skipped("updates are not asked for (--check-updates=false)".into()));
        };
        let asking = asking(Self::NAME, dossier)?;
        let reference = dossier.subject.reference.as_ref().expect("whoever asks has a reference");
        let chosen = rules.choose(reference, dossier.subject.wishes.as_deref())?;
        if let Some(why) = &chosen.off {
            return Ok(Outcome::Skipped(format!("updates are not looked for: {why}")));
        }
        if let Targets::None(Outcome::Failed(failure)) = Targets::of(dossier) {
            return Err(failure);
        }
        let moves = reference.tag.as_ref().filter(|tag| chosen.is_name(tag.as_str()));
        let kept = match moves {
            // No list says what is newer than a name.
            Some(_) => None,
            None => Some(self.list(&asking, &chosen).await),
        };
        let list = match &kept {
            Some(kept) => kept.tell(&asking)?.as_ref(),
            None => None,
        };
        let mut update = match (&reference.tag, &kept, list) {
            (Some(tag), None, _) => of_name(tag.as_str()),
            (_, _, None) if dossier.digest == Outcome::Absent => return Ok(Outcome::Absent),
            (_, _, None) => return Err(no_list(&asking, &chosen)),
            (Some(tag), Some(kept), Some(list)) => of_tag(tag.as_str(), kept, list, &chosen).await?,
            (None, _, Some(list)) => of_digest(reference.digest.as_ref(), list),
        };
        if update.floating.is_some() {
            update.floating = Some(floating(dossier));
        }
        update.rule.clone_from(&chosen.named);
        // When it was made is worth a word, and not worth failing for: the evidence has what went wrong.
        if let Ok(Some((at, from))) = age::created(&self.client, &asking, dossier, list, self.reads_age).await
        {
            (update.created_at, update.created_from) = (Some(at), Some(from));
        }
        let newest = update.newest_available.as_deref().filter(|_| chosen.elsewhere.is_none());
        if let (Some(examination), Some(newest)) = (&self.examination, newest.and_then(upgrade::tag)) {
            let upgrade = Box::pin(examination.compare(dossier, reference, &newest)).await;
            update.upgrade = Some(Box::new(upgrade));
        }
        Ok(Outcome::Found(Box::new(update)))
    }
}

impl UpdateStage {
    async fn list(&self, asking: &Asking<'_>, chosen: &Chosen) -> Arc<Kept<Option<TagList>>> {
        let (registry, repository) = chosen.repository(asking);
        self.lists.list(&Asking { registry, repository, ..*asking }).await
    }
}

/// A repository whose image was found, and of which the registry has no list.
fn no_list(asking: &Asking<'_>, chosen: &Chosen) -> Failure {
    let (registry, repository) = chosen.repository(asking);
    let why = format!("{registry}/{repository}: the registry has no list of its tags");
    Failure::new(FailureKind::UnexpectedStatus, why)
}

/// A tag that is a name.
fn of_name(tag: &str) -> Update {
    Update {
        current_tag: tag.to_owned(),
        scheme: Some(Scheme::Floating.to_string()),
        reason: Some("a name that moves: it is current while it names what runs".to_owned()),
        floating: Some(Floating::Unknown),
        ..Update::default()
    }
}

async fn of_tag(
    tag: &str,
    kept: &Arc<Kept<Option<TagList>>>,
    list: &TagList,
    chosen: &Chosen,
) -> Result<Update, Failure> {
    let comparison = if list.len() > COMPARED_AT_ONCE {
        let (kept, tag, rule) = (Arc::clone(kept), tag.to_owned(), chosen.rule.clone());
        let aside = tokio::task::spawn_blocking(move || {
            let list = kept.answer.as_ref().ok().and_then(Option::as_ref);
            compare(&tag, list.into_iter().flat_map(TagList::iter), &rule)
        });
        aside.await.map_err(|error| Failure::new(FailureKind::Panicked, error.to_string()))?
    } else {
        compare(tag, list.iter(), &chosen.rule)
    };
    Ok(told(tag, comparison, chosen.level))
}

/// An image without a tag: which tags name its digest, where the list tells.
fn of_digest(digest: Option<&Digest>, list: &TagList) -> Update {
    let named = digest.and_then(|digest| list.named(digest));
    let tags = named.map(|named| {
        let mut tags = named.tags.clone();
        tags.sort();
        tags
    });
    let reason = match &tags {
        Some(tags) => format!("pinned to a digest that {} names", tags.join(", ")),
        None => "pinned to a digest; the registry's list does not say which tags name it".to_owned(),
    };
    Update { reason: Some(reason), tags, ..Update::default() }
}

fn told(tag: &str, comparison: Comparison, level: UpdateLevel) -> Update {
    let reason = match &comparison.newest {
        Some(newest) => format!("{tag} -> {newest} ({comparison})"),
        None => comparison.to_string(),
    };
    let bump = comparison.bump.map(|bump| match bump {
        Bump::Patch => UpdateLevel::Patch,
        Bump::Minor => UpdateLevel::Minor,
        Bump::Major => UpdateLevel::Major,
    });
    Update {
        current_tag: tag.to_owned(),
        update_available: bump.is_some_and(|bump| bump >= level),
        scheme: Some(comparison.scheme.to_string()),
        variant: Some(comparison.variant).filter(|variant| !variant.is_empty()),
        reason: Some(reason),
        latest_in_minor: comparison.latest_in_minor,
        latest_in_major: comparison.latest_in_major,
        newest_available: comparison.newest,
        level: bump,
        versions_behind: Some(comparison.versions_behind),
        floating: comparison.is_floating.then_some(Floating::Unknown),
        ..Update::default()
    }
}

fn floating(dossier: &Dossier) -> Floating {
    match dossier.digest.found().map(|finding| finding.state) {
        Some(DriftState::Same) => Floating::Current,
        Some(DriftState::Drifted | DriftState::DigestGone) => Floating::Moved,
        Some(DriftState::TagGone) => Floating::Gone,
        Some(DriftState::NotAsked) | None => Floating::Unknown,
    }
}
