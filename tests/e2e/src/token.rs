//! A token server for the distribution project's registry
//! ([token authentication](https://distribution.github.io/distribution/spec/auth/token/)), as Harbor, GitLab and Docker
//! Hub have one: who shows a user's name and password gets a token for the repositories that user may ask for.

use std::path::Path;

use axum::extract::RawQuery;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::sigstore::TokenKey;

/// A user: name, password, and the repositories it may pull from and push to.
pub type User = (&'static str, &'static str, &'static [&'static str]);

/// A running token server.
#[derive(Debug)]
pub struct TokenServer {
    configuration: String,
    serving: JoinHandle<()>,
}

impl TokenServer {
    /// Starts a token server that knows these users; its certificate is kept in the folder.
    ///
    /// # Panics
    ///
    /// Where no port of loopback can be listened on.
    pub async fn start(folder: &Path, users: &'static [User]) -> Self {
        let key = rcgen::KeyPair::generate().expect("the system has randomness");
        let certificate = rcgen::CertificateParams::new(["token-server".to_owned()])
            .and_then(|params| params.self_signed(&key))
            .expect("a certificate can be made");
        let bundle = folder.join("token-server.pem");
        std::fs::write(&bundle, certificate.pem()).expect("the temporary folder is writable");
        let header = json!({"alg": "ES256", "typ": "JWT", "x5c": [STANDARD.encode(certificate.der())]});
        let key = std::sync::Arc::new(TokenKey::from_pkcs8(&key.serialize_der()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}/token", listener.local_addr().expect("a listener has an address"));
        let answer = move |RawQuery(query): RawQuery, headers: HeaderMap| async move {
            let shown =
                headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let is_of = |user: &&User| {
                shown == format!("Basic {}", STANDARD.encode(format!("{}:{}", user.0, user.1)))
            };
            let Some((name, _, repositories)) = users.iter().find(is_of) else {
                let error = json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]});
                return (StatusCode::UNAUTHORIZED, Json(error));
            };
            let query = query.unwrap_or_default().replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
            let scopes = query.split('&').filter_map(|pair| pair.strip_prefix("scope="));
            let access: Vec<Value> = scopes
                .filter_map(|scope| match scope.split(':').collect::<Vec<_>>().as_slice() {
                    ["repository", repository, actions] if repositories.contains(repository) => {
                        let actions: Vec<_> = actions.split(',').collect();
                        Some(json!({"type": "repository", "name": repository, "actions": actions}))
                    }
                    _ => None,
                })
                .collect();
            let now = jiff::Timestamp::now().as_second();
            let claims = json!({
                "iss": "token-server", "sub": name, "aud": "registry", "exp": now + 300, "nbf": now - 5,
                "iat": now, "jti": format!("{now}"), "access": access,
            });
            (StatusCode::OK, Json(json!({"token": key.token(&header, &claims), "expires_in": 300})))
        };
        let router = Router::new().route("/token", get(answer));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        let configuration = format!(
            "auth:\n  token: {{realm: '{url}', service: registry, issuer: token-server, rootcertbundle: '{}'}}\n",
            bundle.display()
        );
        Self { configuration, serving }
    }

    /// What the registry's configuration must say.
    pub fn configuration(&self) -> &str {
        &self.configuration
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
