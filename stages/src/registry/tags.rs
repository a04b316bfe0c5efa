//! Lists of tags, page by page
//! ([listing tags](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-tags)).

use std::collections::BTreeMap;

use http::Method;
use jiff::Timestamp;
use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use url::Url;

use super::asking::Asking;
use super::client::{RegistryClient, get, note, present};
use super::paging::next_page;
use super::tag_list::{Named, TagList};

#[derive(Deserialize)]
struct Page {
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
    /// The tags of at most so many pages. More pages than the cap are a failure where all were wanted.
    pub(super) async fn tags_at(&self, asking: &Asking<'_>, most: usize) -> Result<Option<TagList>, Failure> {
        let mut url = self.url(asking, "tags/list")?;
        url.set_query(Some(&format!("n={}", self.caps.page_tags)));
        let place = self.session.transport.place(&Method::GET, &url);
        let answered = async {
            let mut list = TagList::default();
            let mut next = Some(url);
            let mut pages = 0;
            let mut has_links = false;
            while let Some(url) = next {
                if pages == most && most < self.caps.pages {
                    return Ok(Some(list));
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
                let tags = page.tags.unwrap_or_default();
                // Some registries cut a page off without a link to the next, and then without any. One that does not know
                // `last` answers the same page again.
                let is_full = tags.len() >= self.caps.page_tags;
                let is_new = tags.last().map(String::as_str) != list.last();
                next = match (next_page(&answer.headers, &url)?, tags.last()) {
                    (Some(next), _) => {
                        has_links = true;
                        Some(next)
                    }
                    (None, Some(final_tag)) if is_full && is_new && !has_links => {
                        Some(after(&url, self.caps.page_tags, final_tag))
                    }
                    (None, _) => None,
                };
                if is_new {
                    // A tag with a line break is none, and would pass for two.
                    tags.iter().filter(|tag| !tag.contains(['\n', '\r'])).for_each(|tag| list.push(tag));
                    for (digest, described) in page.manifest {
                        if let Ok(digest) = digest.parse()
                            && !described.tag.is_empty()
                        {
                            let pushed_at = described.pushed_at();
                            list.name(digest, Named { tags: described.tag, pushed_at });
                        }
                    }
                }
                if list.bytes() > self.caps.list_bytes {
                    let why = format!(
                        "{place}: the list has more than {} bytes after {} tags",
                        self.caps.list_bytes,
                        list.len()
                    );
                    return Err(Failure::new(FailureKind::TooLarge, why));
                }
            }
            Ok(Some(list.complete()))
        }
        .await;
        note(asking, &place, &answered, |list| match list {
            Some(list) if list.is_all() => format!("200 {} tags", list.len()),
            Some(list) => format!("200 {} tags, and there are more", list.len()),
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
