//! Blobs: by digest, so that an earlier run may have fetched them.

use bytes::Bytes;
use http::Method;
use provenance_engine::Failure;
use provenance_model::Digest;

use super::asking::Asking;
use super::client::{RegistryClient, get, in_turn, note, note_since, present};
use super::content::check_digest;
use super::manifests::NONE;

impl RegistryClient {
    /// A blob of at most `cap` bytes, checked against its digest; none where the registry has none.
    pub async fn blob(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
    ) -> Result<Option<Bytes>, Failure> {
        let places = self.places(asking);
        if let Some(cache) = &self.cache {
            for (registry, repository) in &places {
                let place = Asking { registry, repository, ..*asking };
                let known = cache.content(&place, digest).await;
                if let Some(known) = known.filter(|known| known.value.1.len() <= cap) {
                    let (_, bytes) = known.value;
                    let url = self.url(&place, &format!("blobs/{digest}"))?;
                    let told = self.session.transport.place(&Method::GET, &url);
                    note_since(&place, &told, &format!("200 {} bytes", bytes.len()), known.since);
                    return Ok(Some(bytes));
                }
            }
        }
        in_turn!(places, asking, |place| self.blob_at(&place, digest, cap).await, Some(_))
    }

    async fn blob_at(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
    ) -> Result<Option<Bytes>, Failure> {
        let question = get(self.url(asking, &format!("blobs/{digest}"))?, "*/*", cap);
        let place = self.session.transport.place(&question.method, &question.url);
        let answered = async {
            let answer = self.session.ask(asking, question).await?;
            if !present(&answer, &place)? {
                return Ok(None);
            }
            check_digest(&answer.body, digest, &place)?;
            if let Some(cache) = &self.cache {
                cache.keep_content(asking, digest, None, &answer.body).await;
            }
            Ok(Some(answer.body))
        }
        .await;
        note(asking, &place, &answered, |blob| match blob {
            Some(blob) => format!("200 {} bytes", blob.len()),
            None => NONE.into(),
        });
        answered
    }
}
