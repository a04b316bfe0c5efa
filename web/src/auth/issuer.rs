//! The issuer: its discovery document and keys
//! ([OpenID Connect Discovery 1.0](https://openid.net/specs/openid-connect-discovery-1_0.html)), and its userinfo endpoint.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::{
    AsyncHttpClient, DiscoveryError, HttpRequest, HttpResponse, IssuerUrl, ProviderMetadataWithLogout,
};
use reqwest::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

/// How long a discovery document is good.
const FRESH: Duration = Duration::from_hours(1);
/// The least time between two requests for it: somebody with made-up key ids must not have us ask all the time.
const PAUSE: Duration = Duration::from_secs(10);
/// Bytes of an answer at the most.
const LARGEST: usize = 1 << 20;
/// The longest an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where Keycloak has its userinfo endpoint, below the issuer.
const KEYCLOAKS_USERINFO: &str = "protocol/openid-connect/userinfo";

/// Why the issuer did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(pub String);

/// An HTTP client for the issuer: bounded in time and bytes, and without redirects.
#[derive(Debug, Clone)]
pub(crate) struct Http(reqwest::Client);

impl Http {
    fn new(authorities: &[reqwest::Certificate]) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("provenance-collector/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .tls_certs_merge(authorities.iter().cloned())
            .build()?;
        Ok(Self(client))
    }

    /// Sends a request; the answer's status and body.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(StatusCode, http::HeaderMap, Vec<u8>), Unanswered> {
        let unanswered = |error: reqwest::Error| Unanswered(chain(&error));
        let mut answer = request.send().await.map_err(unanswered)?;
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unanswered)? {
            if body.len() + part.len() > LARGEST {
                return Err(Unanswered(format!("the answer is larger than {LARGEST} bytes")));
            }
            body.extend_from_slice(&part);
        }
        Ok((answer.status(), answer.headers().clone(), body))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let request =
                self.0.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
            let (status, headers, body) = self.send(request).await?;
            let mut response = http::Response::new(body);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        })
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What is known of the issuer.
#[derive(Debug)]
pub(crate) struct Provider {
    /// Its discovery document with its keys; none where it has none for us.
    pub metadata: Option<ProviderMetadataWithLogout>,
    /// Where it tells who a token is of.
    pub userinfo: Option<Url>,
}

#[derive(Debug, Default)]
struct Known {
    provider: Option<Arc<Provider>>,
    asked: Option<Instant>,
    failed: Option<String>,
}

/// What userinfo says of a token.
pub(crate) enum Said {
    /// The claims.
    Claims(Map<String, Value>),
    /// The token is not taken.
    Refused,
    /// The token is good, and not for this question.
    NotForThis,
}

/// The issuer.
#[derive(Debug)]
pub(crate) struct Issuer {
    url: Url,
    pub http: Http,
    known: Mutex<Known>,
}

impl Issuer {
    pub(crate) fn new(url: Url, authorities: &[reqwest::Certificate]) -> Result<Self, reqwest::Error> {
        Ok(Self { url, http: Http::new(authorities)?, known: Mutex::default() })
    }

    /// What is known of the issuer, asked for where it is old or not known yet.
    pub(crate) async fn provider(&self) -> Result<Arc<Provider>, Unanswered> {
        self.asked_within(FRESH).await
    }

    /// The same, asked for anew unless it was just asked for: for a key that is not among those known.
    pub(crate) async fn newer_provider(&self) -> Result<Arc<Provider>, Unanswered> {
        self.asked_within(PAUSE).await
    }

    async fn asked_within(&self, age: Duration) -> Result<Arc<Provider>, Unanswered> {
        let mut known = self.known.lock().await;
        let passed = known.asked.map(|asked| asked.elapsed());
        let is_fresh = passed.is_some_and(|passed| passed < if known.failed.is_some() { PAUSE } else { age });
        if !is_fresh {
            match self.discover().await {
                Ok(provider) => *known = Known { provider: Some(Arc::new(provider)), ..Known::default() },
                Err(Unanswered(why)) => {
                    tracing::warn!(issuer = %self.url, "the issuer cannot be asked: {why}");
                    known.failed = Some(why);
                }
            }
            known.asked = Some(Instant::now());
        }
        match (&known.provider, &known.failed) {
            // An issuer that is away for a moment has the keys it had.
            (Some(provider), _) => Ok(Arc::clone(provider)),
            (None, why) => Err(Unanswered(why.clone().unwrap_or_default())),
        }
    }

    async fn discover(&self) -> Result<Provider, Unanswered> {
        let written = self.url.as_str();
        let mut why = match self.document(written.trim_end_matches('/')).await {
            // Some issuers' names end with a slash.
            Err(DiscoveryError::Validation(_)) => {
                self.document(&format!("{}/", written.trim_end_matches('/'))).await
            }
            other => other,
        };
        if let Ok(metadata) = &mut why {
            let userinfo = metadata.userinfo_endpoint().map(|endpoint| endpoint.url().clone());
            return Ok(Provider { metadata: why.ok(), userinfo });
        }
        let error = why.expect_err("the document was looked at above");
        let why = match &error {
            DiscoveryError::Response(
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE,
                ..,
            ) => "it has no discovery document".to_owned(),
            DiscoveryError::Validation(why) => why.clone(),
            other => return Err(Unanswered(chain(other))),
        };
        let userinfo = format!("{}/{KEYCLOAKS_USERINFO}", written.trim_end_matches('/'));
        tracing::warn!(issuer = %self.url, "{why}; tokens are shown to {userinfo}, and nobody can sign in with a browser");
        Ok(Provider { metadata: None, userinfo: Url::parse(&userinfo).ok() })
    }

    async fn document(&self, issuer: &str) -> Result<ProviderMetadataWithLogout, DiscoveryError<Unanswered>> {
        let issuer = IssuerUrl::new(issuer.to_owned()).map_err(DiscoveryError::UrlParse)?;
        ProviderMetadataWithLogout::discover_async(issuer, &self.http).await
    }

    /// Asks who a token is of ([OpenID Connect Core 1.0 §5.3](https://openid.net/specs/openid-connect-core-1_0.html#UserInfo)).
    pub(crate) async fn userinfo(&self, endpoint: &Url, token: &str) -> Result<Said, Unanswered> {
        let request =
            self.http.0.get(endpoint.clone()).bearer_auth(token).header("accept", "application/json");
        let (status, _, body) = self.http.send(request).await?;
        match status {
            StatusCode::OK => match serde_json::from_slice(&body) {
                Ok(Value::Object(claims)) => Ok(Said::Claims(claims)),
                _ => Err(Unanswered("its userinfo is no JSON object".into())),
            },
            StatusCode::FORBIDDEN => Ok(Said::NotForThis),
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                Ok(Said::Refused)
            }
            status => Err(Unanswered(format!("its userinfo answered {}", status.as_u16()))),
        }
    }
}
