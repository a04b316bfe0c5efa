//! Lists of tags, page by page
//! ([listing tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).

use http::Method;
use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use url::Url;

use super::asking::Asking;
use super::client::{RegistryClient, get, note, present};
use super::paging::next_page;

/// The tags of a repository.
#[derive(Debug)]
pub(super) struct TagList {
    pub(super) tags: Vec<String>,
    pub(super) is_all: bool,
}

impl RegistryClient {
    /// The tags of at most so many pages. More pages than the cap are a failure where all were wanted.
    pub(super) async fn tags_at(&self, asking: &Asking<'_>, most: usize) -> Result<Option<TagList>, Failure> {
        #[derive(Deserialize)]
        struct Page {
            /// Null for a repository without tags; without this field it is no list.
            #[serde(deserialize_with = "Option::deserialize")]
            tags: Option<Vec<String>>,
        }
        let mut url = self.url(asking, "tags/list")?;
        url.set_query(Some(&format!("n={}", self.caps.page_tags)));
        let place = self.session.transport.place(&Method::GET, &url);
        let answered = async {
            let mut tags: Vec<String> = Vec::new();
            let mut next = Some(url);
            let mut pages = 0;
            while let Some(url) = next {
                if pages == most && most < self.caps.pages {
                    return Ok(Some(TagList { tags, is_all: false }));
                }
                self.count_page(&mut pages, &place)?;
                let answer = self
                    .session
                    .ask(asking, get(url.clone(), "application/json", self.caps.page_bytes))
                    .await?;
                if !present(&answer, &place)? {
                    return Ok(None);
                }
                let page: Page = serde_json::from_slice(&answer.body).map_err(|error| {
                    Failure::new(FailureKind::Malformed, format!("{place}: no tag list: {error}"))
                })?;
                let page = page.tags.unwrap_or_default();
                // Some registries cut a page off without a link to the next. One that does not know `last`
                // answers the same page again.
                let is_full = page.len() >= self.caps.page_tags;
                let is_new = page.last() != tags.last();
                next = match (next_page(&answer.headers, &url)?, page.last()) {
                    (Some(next), _) => Some(next),
                    (None, Some(last)) if is_full && is_new => Some(after(&url, self.caps.page_tags, last)),
                    (None, _) => None,
                };
                if is_new {
                    tags.extend(page);
                }
            }
            Ok(Some(TagList { tags, is_all: true }))
        }
        .await;
        note(asking, &place, &answered, |list| match list {
            Some(list) if list.is_all => format!("200 {} tags", list.tags.len()),
            Some(list) => format!("200 {} tags, and there are more", list.tags.len()),
            None => "404, the registry has none".into(),
        });
        answered
    }
}

/// The page of tags that follows this one.
fn after(url: &Url, tags: usize, last: &str) -> Url {
    let mut next = url.clone();
    next.query_pairs_mut().clear().append_pair("n", &tags.to_string()).append_pair("last", last);
    next
}
