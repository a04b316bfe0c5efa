//! Whose token an upload shows: a projected ServiceAccount token, checked by the API server
//! ([TokenReview](https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/)).

use std::time::Duration;

use http::Request;
use kube::Client;
use moka::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long an answer is believed.
const BELIEVED: Duration = Duration::from_mins(1);
/// The longest the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The accounts that may upload.
#[derive(Clone)]
pub struct Accounts {
    client: Client,
    audience: Option<String>,
    /// As `namespace/name`.
    names: Vec<String>,
    believed: Cache<[u8; 32], ()>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts")
            .field("names", &self.names)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

impl Accounts {
    /// These accounts, as `namespace/name`, with tokens for this audience, or for the API server's own.
    pub fn new(client: Client, audience: Option<String>, names: Vec<String>) -> Self {
        let believed = Cache::builder().max_capacity(1000).time_to_live(BELIEVED).build();
        Self { client, audience, names, believed }
    }

    /// Whether a token is of one of the accounts.
    ///
    /// # Errors
    ///
    /// Why the API server cannot tell.
    pub async fn knows(&self, token: &str) -> Result<bool, String> {
        if token.is_empty() {
            return Ok(false);
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        if self.believed.contains_key(&digest) {
            return Ok(true);
        }
        let audiences: Vec<_> = self.audience.iter().collect();
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": audiences},
        });
        let request = Request::post("/apis/authentication.k8s.io/v1/tokenreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .map_err(|error| error.to_string())?;
        let review: Value = match tokio::time::timeout(PATIENCE, self.client.request(request)).await {
            Ok(Ok(review)) => review,
            Ok(Err(error)) => return Err(format!("TokenReview: {error}")),
            Err(_) => return Err("TokenReview: no answer in time".into()),
        };
        let is_known = self.is_known(&review["status"]);
        if is_known {
            self.believed.insert(digest, ());
        }
        Ok(is_known)
    }

    fn is_known(&self, status: &Value) -> bool {
        let user = status["user"]["username"].as_str().unwrap_or_default();
        let account = user.strip_prefix("system:serviceaccount:").map(|account| account.replace(':', "/"));
        // An API server that does not know of audiences answers none, and then the token may be for anybody.
        let is_for_us = self.audience.as_ref().is_none_or(|wanted| {
            status["audiences"].as_array().into_iter().flatten().any(|audience| audience == wanted.as_str())
        });
        status["authenticated"] == true
            && is_for_us
            && account.is_some_and(|account| self.names.contains(&account))
    }
}
