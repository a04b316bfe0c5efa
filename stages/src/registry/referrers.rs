//! What refers to a digest
//! ([listing referrers](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers)).

use http::Method;
use jiff::Timestamp;
use oci_spec::image::ImageIndex;
use provenance_engine::{Failure, FailureKind};
use provenance_model::Digest;

use super::asking::{Asking, Referrers};
use super::cache::{KeptReferrers, referrers_of};
use super::client::{RegistryClient, expect_success, get, in_turn, note, note_since};
use super::paging::next_page;

impl RegistryClient {
    /// The referrers of a digest, all pages. A mirror that has none may not have copied them: that settles nothing.
    pub async fn referrers(&self, asking: &Asking<'_>, digest: &Digest) -> Result<Referrers, Failure> {
        in_turn!(
            self.places(asking),
            asking,
            |place| self.referrers_at(&place, digest).await,
            Referrers::Listed(listed) if !listed.is_empty()
        )
    }

    async fn referrers_at(&self, asking: &Asking<'_>, digest: &Digest) -> Result<Referrers, Failure> {
        let url = self.url(asking, &format!("referrers/{digest}"))?;
        let place = self.session.transport.place(&Method::GET, &url);
        let list = referrers_of(digest);
        if let Some(cache) = &self.cache {
            let kept: Option<KeptReferrers> = cache.list(asking, list.clone()).await;
            let fresh = kept.filter(|kept| cache.is_fresh(kept.at));
            cache.count_list(fresh.is_some());
            if let Some(KeptReferrers { at, listed }) = fresh {
                let referrers = listed.map_or(Referrers::NoApi, Referrers::Listed);
                note_since(asking, &place, &told(&referrers), at);
                return Ok(referrers);
            }
        }
        let answered = async {
            let mut referrers = Vec::new();
            let mut next = Some(url);
            let mut pages = 0;
            while let Some(url) = next {
                self.count_page(&mut pages, &place)?;
                let accept = "application/vnd.oci.image.index.v1+json";
                let answer = self.session.ask(asking, get(url.clone(), accept, self.caps.page_bytes)).await?;
                // The spec: a registry with the API answers 200 and an empty index, never 404. Some that lack it say so
                // with another status.
                let lacks_it = [404, 400, 405, 406].contains(&answer.status.as_u16());
                if lacks_it && pages == 1 {
                    return Ok(Referrers::NoApi);
                }
                expect_success(&answer, &place)?;
                let index: ImageIndex = serde_json::from_slice(&answer.body).map_err(|error| {
                    Failure::new(FailureKind::Malformed, format!("{place}: no referrers index: {error}"))
                })?;
                referrers.extend(index.manifests().iter().cloned());
                next = next_page(&answer.headers, &url)?;
            }
            Ok(Referrers::Listed(referrers))
        }
        .await;
        note(asking, &place, &answered, told);
        if let (Ok(referrers), Some(cache)) = (&answered, &self.cache) {
            let listed = match referrers {
                Referrers::Listed(listed) => Some(listed.clone()),
                Referrers::NoApi => None,
            };
            cache.keep_list(asking, list, &KeptReferrers { at: Timestamp::now(), listed }).await;
        }
        answered
    }
}

fn told(referrers: &Referrers) -> String {
    match referrers {
        Referrers::Listed(listed) => format!("200 {} referrers", listed.len()),
        Referrers::NoApi => "no referrers API".into(),
    }
}
