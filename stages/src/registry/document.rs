//! Documents of hosts that are no registries, such as the index of a chart repository. They pass the host's gate all the
//! same, and are read as they come.

use http::header::{ETAG, HeaderMap};
use http::{HeaderValue, Method, StatusCode};
use provenance_engine::{Failure, FailureKind};
use tokio::sync::mpsc;
use url::Url;

use super::client::{RegistryClient, get};
use super::stream::{BodyReader, Whole, finish, follow};
use super::transport::Question;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct DocumentRequest {
    /// Where it is.
    pub url: Url,
    /// Bytes of it at the most.
    pub cap: usize,
    /// The entity tag of what is known already.
    pub known: Option<String>,
    /// A credential, as the `Authorization` header has it.
    pub authorization: Option<HeaderValue>,
}

/// What came back.
#[derive(Debug)]
pub enum Document<T> {
    /// What is known already stands.
    Unchanged,
    /// What was read, with its entity tag.
    Read {
        /// What the reader made of it.
        content: T,
        /// The entity tag.
        tag: Option<String>,
        /// Bytes of it.
        bytes: usize,
    },
    /// There is none.
    Absent,
}

impl RegistryClient {
    /// Reads a document as it comes. What was read of an attempt that broke off is thrown away.
    pub async fn document<T: Send + 'static>(
        &self,
        request: DocumentRequest,
        read: impl Fn(BodyReader) -> T + Clone + Send + Sync + 'static,
    ) -> Result<Document<T>, Failure> {
        let transport = &self.session.transport;
        let known = request.known.and_then(|tag| HeaderValue::from_str(&tag).ok());
        let (parts_in, parts) = mpsc::channel(4);
        let question = Question {
            authorization: request.authorization,
            known,
            sink: Some(parts_in),
            ..get(request.url, "application/yaml, text/yaml, application/json;q=0.9, */*;q=0.5", request.cap)
        };
        let place = transport.place(&Method::GET, &question.url);
        let (answer, last) = tokio::join!(transport.ask(question), follow(parts, None, None, read));
        let answer = answer?;
        match answer.status {
            StatusCode::NOT_MODIFIED => Ok(Document::Unchanged),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Document::Absent),
            status if status.is_success() => {
                let Whole { bytes, content, .. } = finish(last, None, &place).await?;
                Ok(Document::Read { content, tag: entity_tag(&answer.headers), bytes })
            }
            status => {
                let kind = match status {
                    StatusCode::UNAUTHORIZED => FailureKind::Unauthorized,
                    StatusCode::FORBIDDEN => FailureKind::Forbidden,
                    _ => FailureKind::UnexpectedStatus,
                };
                Err(Failure::new(kind, format!("{place} answered {}", status.as_u16())))
            }
        }
    }
}

fn entity_tag(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(str::to_owned)
}
