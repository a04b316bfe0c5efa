//! Bodies that are read as they come: never in memory as a whole, and checked against their digest all the same.
//!
//! A transport that tries again begins anew, and so does whoever reads.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use http::Method;
use provenance_engine::{Failure, FailureKind};
use provenance_model::Digest;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::asking::Asking;
use super::cache::{DiskCache, Filling};
use super::client::{RegistryClient, get, note, note_since, present};
use super::content::Sum;
use super::manifests::NONE;
use super::transport::{Part, Question};

/// Chunks on their way to whoever reads them.
const CHUNKS: usize = 4;

/// A body as it comes, for code that may block.
#[derive(Debug)]
pub struct BodyReader(From);

#[derive(Debug)]
enum From {
    Network {
        chunks: mpsc::Receiver<Bytes>,
        chunk: Bytes,
    },
    /// What an earlier run fetched.
    Cache(File),
}

impl Read for BodyReader {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let (chunks, chunk) = match &mut self.0 {
            From::Network { chunks, chunk } => (chunks, chunk),
            From::Cache(file) => return file.read(into),
        };
        while chunk.is_empty() {
            match chunks.blocking_recv() {
                Some(next) => *chunk = next,
                None => return Ok(0),
            }
        }
        let length = into.len().min(chunk.len());
        into[..length].copy_from_slice(&chunk.split_to(length));
        Ok(length)
    }
}

/// One attempt's body, being read.
pub(super) struct Reading<T> {
    /// The digest on its way, where the content has one.
    sum: Option<Sum>,
    bytes: usize,
    chunks: mpsc::Sender<Bytes>,
    reader: JoinHandle<T>,
    /// Where it is kept.
    filling: Option<Filling>,
}

/// A body that was read to its end.
pub(super) struct Whole<T> {
    pub(super) content: T,
    pub(super) bytes: usize,
    filling: Option<Filling>,
}

impl RegistryClient {
    /// Reads a blob of at most `cap` bytes as it comes; none where the registry has none. What was read of a blob that
    /// turns out not to have its digest is thrown away.
    pub async fn read_blob<T: Send + 'static>(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
        read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
    ) -> Result<Option<T>, Failure> {
        let places = self.places(asking);
        if let Some(cache) = &self.cache {
            for (registry, repository) in &places {
                let place = Asking { registry, repository, ..*asking };
                if let Some(known) = self.read_kept(cache, &place, digest, cap, read.clone()).await {
                    return Ok(Some(known));
                }
            }
        }
        let mut answer = Ok(None);
        for (registry, repository) in &places {
            let place = Asking { registry, repository, ..*asking };
            answer = self.read_blob_at(&place, digest, cap, read.clone()).await;
            if matches!(answer, Ok(Some(_))) {
                break;
            }
        }
        answer
    }

    /// Reads what an earlier run fetched, if it did.
    async fn read_kept<T: Send + 'static>(
        &self,
        cache: &DiskCache,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
        read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
    ) -> Option<T> {
        let known = cache.open_content(asking, digest).await?;
        let bytes = known.value.metadata().ok()?.len();
        if bytes > cap as u64 {
            return None;
        }
        let url = self.url(asking, &format!("blobs/{digest}")).ok()?;
        let place = self.session.transport.place(&Method::GET, &url);
        note_since(asking, &place, &format!("200 {bytes} bytes"), known.since);
        Some(joined(tokio::task::spawn_blocking(move || read(BodyReader(From::Cache(known.value))))).await)
    }

    async fn read_blob_at<T: Send + 'static>(
        &self,
        asking: &Asking<'_>,
        digest: &Digest,
        cap: usize,
        read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
    ) -> Result<Option<T>, Failure> {
        let (parts_in, parts) = mpsc::channel(CHUNKS);
        let question = get(self.url(asking, &format!("blobs/{digest}"))?, "*/*", cap);
        let question = Question { sink: Some(parts_in), ..question };
        let place = self.session.transport.place(&Method::GET, &question.url);
        let (answer, last) = tokio::join!(
            self.session.ask(asking, question),
            follow(parts, Some(digest), self.cache.as_ref(), read)
        );
        let answered = match answer.and_then(|answer| present(&answer, &place)) {
            Ok(true) => finish(last, Some(digest), &place).await.map(Some),
            Ok(false) => Ok(None),
            Err(failure) => Err(failure),
        };
        note(asking, &place, &answered, |read| match read {
            Some(Whole { bytes, .. }) => format!("200 {bytes} bytes"),
            None => NONE.into(),
        });
        let Some(Whole { content, filling, .. }) = answered? else { return Ok(None) };
        if let (Some(cache), Some(filling)) = (&self.cache, filling) {
            cache.complete(asking, digest, filling).await;
        }
        Ok(Some(content))
    }
}

/// Hands the parts of the last attempt to whoever reads.
pub(super) async fn follow<T: Send + 'static>(
    mut parts: mpsc::Receiver<Part>,
    digest: Option<&Digest>,
    cache: Option<&DiskCache>,
    read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
) -> Option<Reading<T>> {
    let mut last: Option<Reading<T>> = None;
    while let Some(part) = parts.recv().await {
        match (part, &mut last) {
            (Part::Begin, _) => {
                let (chunks, receiver) = mpsc::channel(CHUNKS);
                let read = read.clone();
                let body = BodyReader(From::Network { chunks: receiver, chunk: Bytes::new() });
                let reader = tokio::task::spawn_blocking(move || read(body));
                let filling = cache.and_then(DiskCache::fill);
                last = Some(Reading { sum: digest.map(Sum::like), bytes: 0, chunks, reader, filling });
            }
            (Part::Chunk(chunk), Some(reading)) => {
                if let Some(sum) = &mut reading.sum {
                    sum.update(&chunk);
                }
                reading.bytes += chunk.len();
                if let Some(filling) = &mut reading.filling {
                    filling.write(&chunk);
                }
                // Who has read enough has gone; the digest still wants the rest.
                reading.chunks.send(chunk).await.ok();
            }
            (Part::Chunk(_), None) => {}
        }
    }
    last
}

/// What was read, and of how many bytes.
pub(super) async fn finish<T>(
    last: Option<Reading<T>>,
    digest: Option<&Digest>,
    place: &str,
) -> Result<Whole<T>, Failure> {
    let Some(Reading { sum, bytes, chunks, reader, filling }) = last else {
        return Err(Failure::new(FailureKind::Connection, format!("{place}: the answer has no body")));
    };
    drop(chunks);
    let content = joined(reader).await;
    if let (Some(sum), Some(digest)) = (sum, digest) {
        let actual = sum.digest();
        if actual != *digest {
            let why = format!("{place}: the content has digest {actual}, not {digest}");
            return Err(Failure::new(FailureKind::DigestMismatch, why));
        }
    }
    Ok(Whole { content, bytes, filling })
}

async fn joined<T>(reader: JoinHandle<T>) -> T {
    match reader.await {
        Ok(content) => content,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
