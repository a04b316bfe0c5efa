//! Manifests and indexes, by tag and by digest.
//!
//! What a digest names never changes, so its content may come from the cache; whether the registry still has it, and what
//! a tag names, is asked for anew in each run. Both are asked once in a run for all who want it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use jiff::Timestamp;
use provenance_engine::{Failure, FailureKind};
use provenance_model::{Digest, Tag};
use url::Url;

use super::asking::{Asking, HeadAnswer, ManifestHead, Name};
use super::cache::{KeptTag, Since};
use super::client::{
    DISTRIBUTION_API_VERSION, DOCKER_CONTENT_DIGEST, RegistryClient, get, in_turn, note, note_since, present,
};
use super::content::{ACCEPT_MANIFESTS, Manifest, check_digest};
use super::memo::{Key, Memo};
use super::transport::Question;

impl RegistryClient {
    /// A manifest or index, or none where the registry says it has none. By digest it may be known from an earlier run.
    pub async fn manifest(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let places = self.places(asking);
        if let Name::Digest(digest) = name {
            for (registry, repository) in &places {
                let place = Asking { registry, repository, ..*asking };
                if let Some((known, since)) = self.kept_manifest(&place, digest).await {
                    let url = self.manifest_url(&place, name)?;
                    let told_of = self.session.transport.place(&Method::GET, &url);
                    note_since(&place, &told_of, &told(&known), since);
                    return Ok(Some(known));
                }
            }
        }
        in_turn!(places, asking, |place| self.manifest_at(&place, name).await, Some(_))
    }

    /// A manifest or index as the registry has it today, or none where it says it has none.
    pub async fn manifest_today(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        in_turn!(self.places(asking), asking, |place| self.manifest_today_at(&place, name).await, Some(_))
    }

    /// The digest of a manifest by HEAD, which Docker Hub does not count as a pull.
    pub async fn manifest_head(&self, asking: &Asking<'_>, name: Name<'_>) -> Result<HeadAnswer, Failure> {
        in_turn!(
            self.places(asking),
            asking,
            |place| self.manifest_head_at(&place, name).await,
            HeadAnswer::There(_)
        )
    }

    /// What a tag names that is attached to an image by its name. Like any list of what is attached it may be known from
    /// an earlier run.
    pub async fn attached_manifest(
        &self,
        asking: &Asking<'_>,
        tag: &Tag,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let Some(cache) = &self.cache else { return self.manifest(asking, Name::Tag(tag)).await };
        let list = format!("tag-{tag}");
        let kept: Option<KeptTag> = cache.list(asking, list.clone()).await;
        let fresh = kept.filter(|kept| cache.is_fresh(kept.at));
        cache.count_list(fresh.is_some());
        if let Some(KeptTag { at, digest }) = fresh {
            let place =
                self.session.transport.place(&Method::GET, &self.manifest_url(asking, Name::Tag(tag))?);
            let Some(digest) = digest else {
                note_since(asking, &place, NONE, at);
                return Ok(None);
            };
            if let Ok(digest) = digest.parse()
                && let Some((manifest, _)) = self.kept_manifest(asking, &digest).await
            {
                note_since(asking, &place, &told(&manifest), at);
                return Ok(Some(manifest));
            }
        }
        let manifest = self.manifest(asking, Name::Tag(tag)).await?;
        let digest = manifest.as_ref().map(|manifest| manifest.digest.to_string());
        cache.keep_list(asking, list, &KeptTag { at: Timestamp::now(), digest }).await;
        Ok(manifest)
    }

    async fn manifest_at(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let url = self.manifest_url(asking, name)?;
        let place = self.session.transport.place(&Method::GET, &url);
        let fetch = self.fetch_manifest(asking, name, url);
        let content = &self.memo.content;
        let answered = content.try_get_with_by_ref(&Key::new(asking, &name.to_string()), fetch).await;
        let answered = answered.map_err(|failure: Arc<Failure>| (*failure).clone());
        note(asking, &place, &answered, |manifest| {
            manifest.as_ref().map_or_else(|| NONE.to_owned(), |manifest| told(manifest))
        });
        if let Ok(Some(manifest)) = &answered
            && matches!(name, Name::Tag(_))
        {
            // The registry has what its tag names.
            let key = Key::new(asking, manifest.digest.as_str());
            content.insert(key, Some(Arc::clone(manifest))).await;
        }
        answered
    }

    /// By tag there is only today. By digest a HEAD tells, where the content is known.
    async fn manifest_today_at(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let Name::Digest(digest) = name else { return self.manifest_at(asking, name).await };
        let key = Key::new(asking, digest.as_str());
        // What this run fetched, whoever wanted it, is of today.
        if let Some(fetched) = self.memo.content.get(&key).await
            && fetched.as_ref().is_none_or(|manifest| manifest.since.is_none())
        {
            self.memo.today.insert(key.clone(), fetched).await;
        }
        let known = match &self.cache {
            Some(_) if !self.memo.today.contains_key(&key) => self.kept_manifest(asking, digest).await,
            _ => None,
        };
        if let Some(known) = known {
            match self.manifest_head_at(asking, name).await? {
                HeadAnswer::There(_) => return Ok(Some(known.0)),
                HeadAnswer::Absent => return Ok(None),
                HeadAnswer::Untold => {}
            }
        }
        let url = self.manifest_url(asking, name)?;
        let place = self.session.transport.place(&Method::GET, &url);
        let fetch = self.fetch_manifest(asking, name, url);
        let answered = self.memo.today.try_get_with_by_ref(&key, fetch).await;
        let answered = answered.map_err(|failure: Arc<Failure>| (*failure).clone());
        note(asking, &place, &answered, |manifest| {
            manifest.as_ref().map_or_else(|| NONE.to_owned(), |manifest| told(manifest))
        });
        if let Ok(manifest) = &answered {
            self.memo.content.insert(key, manifest.clone()).await;
        }
        answered
    }

    /// What an earlier run was given by this digest, and when.
    async fn kept_manifest(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
    ) -> Option<(Arc<Manifest>, Timestamp)> {
        let cache = self.cache.as_ref()?;
        let key = Key::new(asking, digest.as_str());
        if let Some(known) = self.memo.content.get(&key).await {
            // What this run fetched itself is told of where it is asked for.
            let known = known?;
            let since = known.since?;
            return Some((known, since));
        }
        let Since { value: (media_type, bytes), since } = cache.content(asking, digest).await?;
        let manifest = Manifest::parse(&bytes, media_type.as_deref(), Some(digest)).ok()?;
        let manifest = Arc::new(Manifest { since: Some(since), ..manifest });
        self.memo.content.insert(key, Some(Arc::clone(&manifest))).await;
        Some((manifest, since))
    }

    fn manifest_url(&self, asking: &Asking<'_>, name: Name<'_>) -> Result<Url, Failure> {
        self.url(asking, &format!("manifests/{name}"))
    }

    async fn fetch_manifest(
        &self,
        asking: &Asking<'_>,
        name: Name<'_>,
        url: Url,
    ) -> Result<Option<Arc<Manifest>>, Failure> {
        let question = get(url, ACCEPT_MANIFESTS, self.caps.manifest_bytes);
        let place = self.session.transport.place(&question.method, &question.url);
        let answer = self.session.ask(asking, question).await?;
        if !present(&answer, &place)? {
            return Ok(None);
        }
        let announced = answer.header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse::<Digest>().ok());
        let expected = match name {
            Name::Digest(digest) => Some(digest),
            Name::Tag(_) => announced.as_ref(),
        };
        let content_type = answer.header(CONTENT_TYPE);
        // Schema 1 signs itself: its digest is not that of its bytes, and parsing says what is wrong with it.
        let is_schema_1 =
            content_type.is_some_and(|media_type| media_type.contains("docker.distribution.manifest.v1+"));
        if let Some(expected) = expected.filter(|_| !is_schema_1) {
            check_digest(&answer.body, expected, &place)?;
        }
        let manifest = Manifest::parse(&answer.body, content_type, expected)
            .map_err(|why| Failure::new(FailureKind::Malformed, format!("{place}: {why}")))?;
        self.keep_manifest(asking, name, &manifest, &answer.body).await;
        Ok(Some(Arc::new(manifest)))
    }

    async fn keep_manifest(&self, asking: &Asking<'_>, name: Name<'_>, manifest: &Manifest, body: &Bytes) {
        let Some(cache) = &self.cache else { return };
        cache.keep_content(asking, &manifest.digest, Some(&manifest.media_type), body).await;
        if let Name::Tag(tag) = name {
            let image = format!("{}/{}:{tag}", asking.registry, asking.repository);
            cache.name(image, &manifest.digest, &manifest.media_type, manifest.bytes());
        }
    }

    async fn manifest_head_at(&self, asking: &Asking<'_>, name: Name<'_>) -> Result<HeadAnswer, Failure> {
        let key = Key::new(asking, &name.to_string());
        let Memo { content, today, heads } = &self.memo;
        // What an earlier run was given says nothing of today.
        let of_today =
            |manifest: &Option<Arc<Manifest>>| manifest.as_ref().is_none_or(|known| known.since.is_none());
        let known = match today.get(&key).await {
            Some(known) => Some(known),
            None => content.get(&key).await.filter(of_today),
        };
        if let Some(known) = known {
            let head = |manifest: Arc<Manifest>| ManifestHead {
                digest: manifest.digest.clone(),
                media_type: Some(manifest.media_type.clone()),
            };
            return Ok(known.map_or(HeadAnswer::Absent, |manifest| HeadAnswer::There(head(manifest))));
        }
        let url = self.manifest_url(asking, name)?;
        let place = self.session.transport.place(&Method::HEAD, &url);
        let answered = heads.try_get_with_by_ref(&key, self.fetch_head(asking, url, &place)).await;
        let answered = answered.map_err(|failure: Arc<Failure>| (*failure).clone());
        note(asking, &place, &answered, |head| match head {
            HeadAnswer::There(head) => format!("200 {}", head.digest),
            HeadAnswer::Absent => NONE.into(),
            HeadAnswer::Untold => "no digest in the answer".into(),
        });
        answered
    }

    async fn fetch_head(&self, asking: &Asking<'_>, url: Url, place: &str) -> Result<HeadAnswer, Failure> {
        let question = Question { method: Method::HEAD, ..get(url, ACCEPT_MANIFESTS, 0) };
        let answer = self.session.ask(asking, question).await?;
        if answer.status == StatusCode::NOT_FOUND && answer.header(DISTRIBUTION_API_VERSION).is_none() {
            // A HEAD has no body to tell a registry's 404 from a proxy's.
            return Ok(HeadAnswer::Untold);
        }
        if !present(&answer, place)? {
            return Ok(HeadAnswer::Absent);
        }
        let digest = answer.header(DOCKER_CONTENT_DIGEST).and_then(|digest| digest.parse().ok());
        let media_type = answer.header(CONTENT_TYPE).map(str::to_owned);
        Ok(digest.map_or(HeadAnswer::Untold, |digest| HeadAnswer::There(ManifestHead { digest, media_type })))
    }
}

/// The registry's own 404, as evidence shows it.
pub(super) const NONE: &str = "404, the registry has none";

fn told(manifest: &Manifest) -> String {
    format!("200 {} {}", manifest.media_type, manifest.digest)
}
