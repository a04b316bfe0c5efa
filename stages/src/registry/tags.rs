//! Lists of tags, page by page
//! ([listing tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).

use std::collections::BTreeMap;

use http::header::ETAG;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use url::{Position, Url};

use super::asking::Asking;
use super::cache::{KeptPage, KeptTags, TAGS};
use super::client::{RegistryClient, get, in_turn, note, note_since, present};
use super::manifests::NONE;
use super::paging::next_page;
use super::tag_list::{Named, TagList};
use super::transport::Question;

#[derive(Deserialize)]
pub(super) struct Page {
    /// Null for a repository without tags; without this field it is no list.
    #[serde(deserialize_with = "Option::deserialize")]
    tags: Option<Vec<String>>,
    /// Google's registries say which digests the tags name
    /// ([Container Registry](https://cloud.google.com/container-registry/docs/reference)).
    #[serde(default)]
    manifest: BTreeMap<String, Described>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    tag: Vec<String>,
    /// Milliseconds since 1970, as text.
    time_uploaded_ms: Option<String>,
}

impl Described {
    fn pushed_at(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.time_uploaded_ms.as_ref()?.parse().ok()?).ok()
    }
}

impl RegistryClient {
    /// Every tag of a repository, all pages, in the registry's order; none where it knows no such repository. A
    /// mirror lists only what it has copied, so it is asked only where the registry itself does not answer.
    pub async fn tags(&self, asking: &Asking<'_>) -> Result<Option<TagList>, Failure> {
        let places: Vec<_> = self.places(asking).into_iter().rev().collect();
        in_turn!(places, asking, |place| self.tags_at(&place, self.caps.pages).await, Some(_))
    }

    /// The first page of a repository's tags, which may be all of them; none where it knows no such repository.
    pub async fn first_page_of_tags(&self, asking: &Asking<'_>) -> Result<Option<TagList>, Failure> {
        self.tags_at(asking, 1).await
    }

    /// Whether this repository's list of tags is its own: a mirror, or a cache that pulls through, lists only what it
    /// has copied.
    pub fn lists_its_own_tags(&self, asking: &Asking<'_>) -> bool {
        // ECR's pull-through caches look like any other repository of theirs.
        let may_be_a_cache = asking.registry.as_str().contains(".dkr.ecr.");
        let itself = (asking.registry.clone(), asking.repository.clone());
        !may_be_a_cache && self.places(asking) == [itself]
    }

    /// The tags of at most so many pages. More pages than the cap are a failure where all were wanted.
    pub(super) async fn tags_at(&self, asking: &Asking<'_>, most: usize) -> Result<Option<TagList>, Failure> {
        let mut url = self.url(asking, "tags/list")?;
        url.set_query(Some(&format!("n={}", self.caps.page_tags)));
        let place = self.session.transport.place(&Method::GET, &url);
        let kept = self.kept_tags(asking).await;
        if let Some(kept) = &kept
            && let Some(list) = self.fresh_list(kept, most)
        {
            note_since(asking, &place, &told(Some(&list)), kept.at);
            return Ok(Some(list));
        }
        let answered = self.ask_for_tags(asking, url, &place, most, kept).await;
        note(asking, &place, &answered, |list| told(list.as_ref()));
        answered
    }

    async fn ask_for_tags(
        &self,
        asking: &Asking<'_>,
        first: Url,
        place: &str,
        most: usize,
        kept: Option<KeptTags>,
    ) -> Result<Option<TagList>, Failure> {
        let mut list = TagList::default();
        let mut to_keep = Vec::new();
        let mut next = Some(first);
        let mut pages = 0;
        let mut has_links = false;
        while let Some(url) = next {
            if pages == most && most < self.caps.pages {
                self.keep_tags(asking, to_keep, false).await;
                return Ok(Some(list));
            }
            self.count_page(&mut pages, place)?;
            let known =
                kept.as_ref().and_then(|kept| kept.pages.iter().find(|page| page.url == of_host(&url)));
            let Some(page) = self.page(asking, &url, place, known).await? else { return Ok(None) };
            // Some registries cut a page off without a link to the next, and then without any. One that does not know
            // `last` answers the same page again.
            let is_full = page.tags.len() >= self.caps.page_tags;
            let is_new = page.tags.last().map(String::as_str) != list.last();
            next = match (&page.link, page.tags.last()) {
                (Some(link), _) => {
                    has_links = true;
                    Some(url.join(link).expect("a link of this host was checked"))
                }
                (None, Some(final_tag)) if is_full && is_new && !has_links => {
                    Some(after(&url, self.caps.page_tags, final_tag))
                }
                (None, _) => None,
            };
            if is_new {
                add(&mut list, &page);
            }
            if list.bytes() > self.caps.list_bytes {
                let why = format!(
                    "{place}: the list has more than {} bytes after {} tags",
                    self.caps.list_bytes,
                    list.len()
                );
                return Err(Failure::new(FailureKind::TooLarge, why));
            }
            if self.cache.is_some() {
                to_keep.push(page);
            }
        }
        self.keep_tags(asking, to_keep, true).await;
        Ok(Some(list.complete()))
    }

    /// One page, which may be as it is known; none where the registry knows no such repository.
    async fn page(
        &self,
        asking: &Asking<'_>,
        url: &Url,
        place: &str,
        known: Option<&KeptPage>,
    ) -> Result<Option<KeptPage>, Failure> {
        let entity_tag = known.and_then(|page| HeaderValue::from_str(page.entity_tag.as_deref()?).ok());
        let question =
            Question { known: entity_tag, ..get(url.clone(), "application/json", self.caps.page_bytes) };
        let answer = self.session.ask(asking, question).await?;
        if answer.status == StatusCode::NOT_MODIFIED
            && let Some(known) = known
        {
            return Ok(Some(known.clone()));
        }
        if !present(&answer, place)? {
            return Ok(None);
        }
        let page: Page = serde_json::from_slice(&answer.body).map_err(|error| {
            Failure::new(FailureKind::Malformed, format!("{place}: no tag list: {error}"))
        })?;
        let link = next_page(&answer.headers, url)?.map(|next| of_host(&next));
        let entity_tag = answer.header(ETAG).map(str::to_owned);
        Ok(Some(KeptPage { url: of_host(url), entity_tag, link, ..kept(page) }))
    }

    /// What an earlier run was told, if it is young enough and tells as much as is wanted.
    fn fresh_list(&self, kept: &KeptTags, most: usize) -> Option<TagList> {
        let cache = self.cache.as_ref()?;
        let is_enough = kept.is_all || (most < self.caps.pages && kept.pages.len() >= most);
        let serves = is_enough && cache.is_fresh(kept.at);
        cache.count_list(serves);
        if !serves {
            return None;
        }
        let mut list = TagList::default();
        let pages = if kept.is_all { kept.pages.len() } else { most };
        for page in kept.pages.iter().take(pages) {
            if page.tags.last().map(String::as_str) != list.last() {
                add(&mut list, page);
            }
        }
        // Where only the first page is wanted there may be more, as the registry itself would have it.
        Some(if kept.is_all { list.complete() } else { list })
    }

    async fn kept_tags(&self, asking: &Asking<'_>) -> Option<KeptTags> {
        self.cache.as_ref()?.list(asking, TAGS.to_owned()).await
    }

    async fn keep_tags(&self, asking: &Asking<'_>, pages: Vec<KeptPage>, is_all: bool) {
        if let Some(cache) = &self.cache {
            cache.keep_list(asking, TAGS.to_owned(), &KeptTags { at: Timestamp::now(), pages, is_all }).await;
        }
    }
}

/// What a page says, without where it is from.
pub(super) fn kept(page: Page) -> KeptPage {
    let digests = page.manifest.into_iter().filter(|(_, described)| !described.tag.is_empty());
    KeptPage {
        // A tag with a line break is none, and would pass for two.
        tags: page.tags.unwrap_or_default().into_iter().filter(|tag| !tag.contains(['\n', '\r'])).collect(),
        digests: digests
            .map(|(digest, described)| {
                let pushed_at = described.pushed_at();
                (digest, (described.tag, pushed_at))
            })
            .collect(),
        ..KeptPage::default()
    }
}

fn told(list: Option<&TagList>) -> String {
    match list {
        Some(list) if list.is_all() => format!("200 {} tags", list.len()),
        Some(list) => format!("200 {} tags, and there are more", list.len()),
        None => NONE.into(),
    }
}

fn add(list: &mut TagList, page: &KeptPage) {
    page.tags.iter().for_each(|tag| list.push(tag));
    for (digest, (tags, pushed_at)) in &page.digests {
        if let Ok(digest) = digest.parse() {
            list.name(digest, Named { tags: tags.clone(), pushed_at: *pushed_at });
        }
    }
}

/// Path and query: where a registry is asked may change from run to run.
fn of_host(url: &Url) -> String {
    url[Position::BeforePath..Position::AfterQuery].to_owned()
}

/// The page of tags that follows this one.
fn after(url: &Url, tags: usize, last: &str) -> Url {
    let mut next = url.clone();
    next.query_pairs_mut().clear().append_pair("n", &tags.to_string()).append_pair("last", last);
    next
}
