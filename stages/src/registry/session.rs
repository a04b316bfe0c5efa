//! A session with registries: asks each with what its host wants to see.
//!
//! ```text
//!   nothing known ─ first request, alone ─▶ open ─ 401 ─▶ challenged: token or password with every request
//!         │                                                   ▲
//!         └──────────────────── 401 ──────────────────────────┘
//! ```
//!
//! A 401 to what was shown is answered once more with a fresh token; the second is a failure.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method, StatusCode};
use provenance_engine::{Failure, FailureKind};
use provenance_model::{CredentialScope, Registry, Repository};
use url::Url;

use super::asking::Asking;
use super::auth::{HostAuth, SCOUT_PATIENCE, Scheme, TokenKey, Tokens, shown};
use super::challenge::{Challenge, challenge};
use super::transport::{Answer, Question, Transport};
use crate::credentials::{Credential, CredentialBook};

/// Bytes of the answer to a ping.
const PING_BYTES: usize = 64 * 1024;

/// What is known of hosts and tokens, and the way to them.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: Transport,
    credentials: Arc<CredentialBook>,
    hosts: Mutex<HashMap<String, Arc<HostAuth>>>,
    tokens: Tokens,
    /// Which of several credentials was taken, so that the others are tried once only.
    taken: Mutex<HashMap<(CredentialScope, Registry, Repository), Credential>>,
}

impl Session {
    pub(super) fn new(transport: Transport, credentials: Arc<CredentialBook>) -> Self {
        Self {
            transport,
            credentials,
            hosts: Mutex::default(),
            tokens: Tokens::new(),
            taken: Mutex::default(),
        }
    }

    /// Asks with each credential that matches, in order, until one is taken (boxed: one request's state is large,
    /// and a stage may hold several). Without any it asks anonymously.
    pub(super) async fn ask(&self, asking: &Asking<'_>, question: Question) -> Result<Answer, Failure> {
        let key = (asking.scope.clone(), asking.registry.clone(), asking.repository.clone());
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(credential) = taken {
            return Box::pin(self.ask_with(asking, question, Some(&credential))).await;
        }
        let (candidates, unhelped) =
            self.credentials.candidates(asking.scope, asking.registry, asking.repository).await;
        let Some((last, others)) = candidates.split_last() else {
            let answered = Box::pin(self.ask_with(asking, question, None)).await;
            return match (answered, unhelped) {
                (Err(refused), Some(unhelped)) if refused.kind == FailureKind::Unauthorized => Err(unhelped),
                (answered, _) => answered,
            };
        };
        for credential in others {
            match Box::pin(self.ask_with(asking, question.clone(), Some(credential))).await {
                Err(failure)
                    if matches!(failure.kind, FailureKind::Unauthorized | FailureKind::Forbidden) => {}
                Ok(answer) if answer.status == StatusCode::FORBIDDEN => {}
                Ok(answer) => {
                    self.remember(key, credential);
                    return Ok(answer);
                }
                Err(failure) => return Err(failure),
            }
        }
        let answered = Box::pin(self.ask_with(asking, question, Some(last))).await;
        if answered.is_ok() {
            self.remember(key, last);
        }
        answered
    }

    fn remember(&self, key: (CredentialScope, Registry, Repository), credential: &Credential) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(key, credential.clone());
    }

    /// Asks with what the host wants to see.
    async fn ask_with(
        &self,
        asking: &Asking<'_>,
        question: Question,
        credential: Option<&Credential>,
    ) -> Result<Answer, Failure> {
        let host = self.host(&question.url);
        let mut scheme = host.scheme();
        let mut scouting = None;
        if scheme.is_none() {
            // Only the first request to a host goes without knowing what the host wants. The others wait for
            // it, but not for long: a host that is slow must not be asked one request at a time.
            scouting =
                tokio::time::timeout(SCOUT_PATIENCE, host.scout.acquire()).await.ok().and_then(Result::ok);
            scheme = host.scheme();
            if scheme.is_some() {
                scouting = None;
            }
        }
        let is_challenged = matches!(scheme, Some(Scheme::Challenged(_)));
        if credential.is_some() && !is_challenged && !host.was_pinged.swap(true, Ordering::AcqRel) {
            // A host that answers everybody may still hide what only some may see: it then says 404, which
            // must not pass for "absent" where we have a credential to show.
            self.ping(&host, &question.url).await?;
            scheme = host.scheme();
        }
        let known = match &scheme {
            Some(Scheme::Challenged(challenge)) => Some(challenge.clone()),
            Some(Scheme::Open) | None => None,
        };
        let (header, key) = self.authorization(known.as_ref(), asking, credential, &question.url).await?;
        let was_shown = header.is_some();
        let answer = self.transport.ask(Question { authorization: header, ..question.clone() }).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            if scheme.is_none() && !answer.elsewhere {
                host.learn(Scheme::Open);
            }
            drop(scouting);
            return Ok(answer);
        }
        if answer.elsewhere {
            return Err(unauthorized(
                &self.transport.place(&question.method, &question.url),
                &answer,
                "after a redirect, where no credential is shown",
            ));
        }
        let Some(wanted) = challenge(&answer.headers) else {
            return Err(unauthorized(
                &self.transport.place(&question.method, &question.url),
                &answer,
                "and does not say what it wants to see",
            ));
        };
        host.learn(Scheme::Challenged(wanted.clone()));
        drop(scouting);
        if let Some(key) = &key {
            self.tokens.forget(key).await;
        }
        if was_shown && known.as_ref() == Some(&wanted) && wanted == Challenge::Basic {
            return Err(unauthorized(
                &self.transport.place(&question.method, &question.url),
                &answer,
                "to the credential we have",
            ));
        }
        let (header, key) = self.authorization(Some(&wanted), asking, credential, &question.url).await?;
        if header.is_none() {
            return Err(unauthorized(
                &self.transport.place(&question.method, &question.url),
                &answer,
                "and we have no credential for it",
            ));
        }
        let place = self.transport.place(&question.method, &question.url);
        let answer = self.transport.ask(Question { authorization: header, ..question }).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            if let Some(key) = &key {
                self.tokens.forget(key).await;
            }
            let who =
                if credential.is_some() { "to the credential we have" } else { "to an anonymous token" };
            return Err(unauthorized(&place, &answer, who));
        }
        Ok(answer)
    }

    /// The header for a challenge, and the key of its token where it is one.
    async fn authorization(
        &self,
        challenge: Option<&Challenge>,
        asking: &Asking<'_>,
        credential: Option<&Credential>,
        url: &Url,
    ) -> Result<(Option<HeaderValue>, Option<TokenKey>), Failure> {
        match challenge {
            None => Ok((None, None)),
            Some(Challenge::Basic) => Ok((credential.and_then(shown), None)),
            Some(Challenge::Bearer { realm, service }) => {
                let key = TokenKey {
                    realm: realm.clone(),
                    service: service.clone(),
                    scope: format!("repository:{}:pull", asking.repository),
                    credential: credential.cloned(),
                };
                let plain = url.scheme() == "http";
                let header = self.tokens.get(&self.transport, key.clone(), plain).await?;
                Ok((Some(header), Some(key)))
            }
        }
    }

    /// Asks the API's root, whose 401 tells what the host wants to see.
    async fn ping(&self, host: &HostAuth, url: &Url) -> Result<(), Failure> {
        let mut root = url.clone();
        root.set_path("/v2/");
        root.set_query(None);
        let question = Question {
            method: Method::GET,
            url: root,
            accept: "*/*",
            authorization: None,
            known: None,
            form: None,
            cap: PING_BYTES,
            sink: None,
        };
        let answer = self.transport.ask(question).await?;
        let wanted = (answer.status == StatusCode::UNAUTHORIZED && !answer.elsewhere)
            .then(|| challenge(&answer.headers))
            .flatten();
        host.learn(wanted.map_or(Scheme::Open, Scheme::Challenged));
        Ok(())
    }

    fn host(&self, url: &Url) -> Arc<HostAuth> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = url.origin().ascii_serialization();
        Arc::clone(hosts.entry(origin).or_insert_with(|| Arc::new(HostAuth::new())))
    }
}

fn unauthorized(place: &str, answer: &Answer, how: &str) -> Failure {
    let from = if answer.elsewhere {
        format!(" from {}", answer.url.host_str().unwrap_or("elsewhere"))
    } else {
        String::new()
    };
    Failure::new(FailureKind::Unauthorized, format!("{place} answered {}{from} {how}", answer.told()))
}
