//! The lists of tags of repositories, each asked for once for every stage and subject that wants it.

use std::sync::Arc;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use provenance_engine::Failure;
use provenance_model::Trail;

use crate::registry::{Asking, RegistryClient, TagList};
use crate::shared::{Kept, Whereabouts};

/// Bytes of lists kept in memory.
const MEMO_BYTES: u64 = 32 << 20;

/// The lists. One for all stages of a run.
#[derive(Debug)]
pub struct TagLists {
    client: Arc<RegistryClient>,
    every_page: bool,
    lists: Cache<Whereabouts, Arc<Kept<Option<TagList>>>>,
}

impl TagLists {
    /// Lists asked for through this client: all pages, or the first only, where nobody compares tags.
    pub fn new(client: Arc<RegistryClient>, every_page: bool) -> Self {
        let lists = Cache::builder()
            .max_capacity(MEMO_BYTES)
            // What was used last is used next: by the stages to come.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, kept: &Arc<Kept<Option<TagList>>>| {
                let bytes = kept.answer.as_ref().ok().and_then(Option::as_ref).map_or(0, TagList::bytes);
                u32::try_from(bytes + 512).unwrap_or(u32::MAX)
            })
            .build();
        Self { client, every_page, lists }
    }

    /// The list of a repository; none where the registry knows no such repository.
    pub(crate) async fn list(&self, asking: &Asking<'_>) -> Arc<Kept<Option<TagList>>> {
        let whereabouts = Whereabouts::of(asking);
        let ask = async {
            let trail = Trail::default();
            let asking = whereabouts.asking(&trail);
            let answer = self.ask(&asking).await;
            Arc::new(Kept::new(answer, &trail))
        };
        self.lists.get_with(whereabouts.clone(), ask).await
    }

    async fn ask(&self, asking: &Asking<'_>) -> Result<Option<TagList>, Failure> {
        if self.every_page {
            self.client.tags(asking).await
        } else {
            self.client.first_page_of_tags(asking).await
        }
    }

    /// Whether the repository's own list is complete and has no such tag.
    pub(crate) async fn lacks(&self, asking: &Asking<'_>, tag: &str) -> bool {
        if !self.client.lists_its_own_tags(asking) {
            return false;
        }
        // A list that is not to be had, or that lacks even the image's own tag, answers nothing.
        match self.list(asking).await.tell(asking) {
            Ok(Some(list)) => list.is_all() && !list.is_empty() && !list.contains(tag),
            Ok(None) | Err(_) => false,
        }
    }
}
