//! A whole private sigstore on loopback: an OIDC issuer, Fulcio and a timestamp authority, with the trusted root
//! and signing configuration that cosign 3 signs by. And both generations of cosign.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use axum::Json;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::log::Log;
use crate::process::{Server, free_port, is_listening, run, tool};

/// A key that signs tokens (JWS, ES256).
#[derive(Debug)]
pub struct TokenKey {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenKey {
    /// A key from its PKCS#8 form.
    ///
    /// # Panics
    ///
    /// Where it is no key on P-256.
    pub fn from_pkcs8(der: &[u8]) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random);
        Self { key: key.expect("a key on P-256"), random }
    }

    /// A new key.
    ///
    /// # Panics
    ///
    /// Where the system has no randomness.
    pub fn generate() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        Self::from_pkcs8(der.expect("the system has randomness").as_ref())
    }

    /// A signed token.
    ///
    /// # Panics
    ///
    /// Where the system has no randomness.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&self.random, signed.as_bytes()).expect("the system has randomness");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    fn jwk(&self) -> Value {
        let point = &self.key.public_key().as_ref()[1..];
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one",
               "x": part(&point[..32]), "y": part(&point[32..])})
    }
}

/// An OIDC issuer: its discovery document and its key, and tokens for whom a test wants.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    key: Arc<TokenKey>,
    serving: JoinHandle<()>,
}

impl Issuer {
    /// Starts an issuer.
    ///
    /// # Panics
    ///
    /// Where no port of loopback can be listened on.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("a listener has an address"));
        let key = Arc::new(TokenKey::generate());
        let document = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/auth"), "token_endpoint": format!("{url}/token"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        let keys = json!({"keys": [key.jwk()]});
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { Json(document) }))
            .route("/keys", get(move || async move { Json(keys) }));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.ok();
        });
        Self { url, key, serving }
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token for this e-mail address, good for ten minutes.
    pub fn token(&self, email: &str) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({"iss": self.url, "sub": email, "aud": "sigstore", "email": email,
                            "email_verified": true, "iat": now, "exp": now + 600});
        self.key.token(&json!({"alg": "ES256", "typ": "JWT", "kid": "one"}), &claims)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A private sigstore: Fulcio and a timestamp authority, and a log where one is wanted.
#[derive(Debug)]
pub struct Sigstore {
    /// Who says who signs.
    pub issuer: Issuer,
    folder: TempDir,
    fulcio: String,
    stamps: String,
    log: Option<Log>,
    _servers: Vec<Server>,
}

impl Sigstore {
    /// Starts it without a log.
    ///
    /// # Panics
    ///
    /// Where something does not come up.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// Starts it with a transparency log.
    ///
    /// # Panics
    ///
    /// Where something does not come up.
    pub async fn start_with_log() -> Self {
        Self::with(Some(Log::start().await)).await
    }

    /// Starts everything, and makes the trusted root and the signing configuration.
    ///
    /// # Panics
    ///
    /// Where something does not come up.
    async fn with(log: Option<Log>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let issuer = Issuer::start().await;
        let (fulcio_port, grpc_port, metrics_port, stamp_port) =
            (free_port(), free_port(), free_port(), free_port());
        let config = folder.path().join("fulcio.yaml");
        let text = format!(
            "oidc-issuers:\n  {0}:\n    issuer-url: {0}\n    client-id: sigstore\n    type: email\n",
            issuer.url()
        );
        std::fs::write(&config, text).expect("the temporary folder is writable");
        let mut command = Command::new(tool("fulcio"));
        command.args(["serve", "--ca", "ephemeralca", "--ct-log-url=", "--host", "127.0.0.1"]);
        command.args(["--grpc-host", "127.0.0.1", "--metrics-port", &metrics_port.to_string()]);
        command.args(["--port", &fulcio_port.to_string(), "--grpc-port", &grpc_port.to_string()]);
        command.arg("--config-path").arg(&config);
        let mut fulcio = Server::start("fulcio", command, folder.path());
        fulcio.until_ready(async || is_listening(fulcio_port).await).await;
        let mut command = Command::new(tool("timestamp-server"));
        command.args(["-port", &stamp_port.to_string()]);
        let mut stamps = Server::start("timestamp-server", command, folder.path());
        stamps.until_ready(async || is_listening(stamp_port).await).await;
        let this = Self {
            issuer,
            folder,
            fulcio: format!("http://127.0.0.1:{fulcio_port}"),
            stamps: format!("http://127.0.0.1:{stamp_port}"),
            log,
            _servers: vec![fulcio, stamps],
        };
        this.configure().await;
        this
    }

    async fn configure(&self) {
        let (fulcio, stamps) = (&self.fulcio, &self.stamps);
        let bundle: Value = serde_json::from_slice(&http_get(&format!("{fulcio}/api/v2/trustBundle")).await)
            .expect("Fulcio answers JSON");
        let chain: Vec<_> = bundle["chains"][0]["certificates"]
            .as_array()
            .expect("Fulcio has a chain")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        self.write("fulcio.pem", chain.join("\n").as_bytes());
        let chain = http_get(&format!("{stamps}/api/v1/timestamp/certchain")).await;
        self.write("tsa.pem", &chain);
        let mut command = cosign(3);
        command.args(["trusted-root", "create"]);
        command.arg(format!("--fulcio=url={fulcio},certificate-chain={}", self.path("fulcio.pem").display()));
        command.arg(format!("--tsa=url={stamps},certificate-chain={}", self.path("tsa.pem").display()));
        if let Some(log) = &self.log {
            self.write("rekor.pub", log.key());
            let (url, key) = (log.url(), self.path("rekor.pub"));
            let since = "2020-01-01T00:00:00Z";
            command.arg(format!("--rekor=url={url},public-key={},start-time={since}", key.display()));
        }
        command.arg("--out").arg(self.trusted_root());
        run(command);
        let since = "2020-01-01T00:00:00Z";
        let service = |url: &str| json!([{"url": url, "majorApiVersion": 1, "validFor": {"start": since}, "operator": "test"}]);
        let logs = self.log.as_ref().map_or_else(|| json!([]), |log| service(&log.url()));
        let config = json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": service(fulcio), "oidcUrls": service(self.issuer.url()),
            "rekorTlogUrls": logs, "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": service(&format!("{stamps}/api/v1/timestamp")), "tsaConfig": {"selector": "ANY"},
        });
        self.write("signing.json", config.to_string().as_bytes());
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("the temporary folder is writable");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The trusted root's file.
    pub fn trusted_root(&self) -> PathBuf {
        self.path("trusted_root.json")
    }

    /// Where its log is.
    ///
    /// # Panics
    ///
    /// Where it was started without one.
    pub fn log_url(&self) -> String {
        self.log.as_ref().expect("it was started with a log").url()
    }

    /// A file with a token for this e-mail address.
    pub fn token_file(&self, email: &str) -> PathBuf {
        self.write("token", self.issuer.token(email).as_bytes());
        self.path("token")
    }

    /// Where Fulcio is.
    pub fn fulcio_url(&self) -> &str {
        &self.fulcio
    }

    /// Where timestamps are to be had.
    pub fn timestamp_url(&self) -> String {
        format!("{}/api/v1/timestamp", self.stamps)
    }

    /// The signing configuration's file.
    pub fn signing_config(&self) -> PathBuf {
        self.path("signing.json")
    }

    /// Fulcio's certificates, in PEM.
    pub fn authority(&self) -> PathBuf {
        self.path("fulcio.pem")
    }

    /// The timestamp authority's certificates, in PEM.
    pub fn timestamp_authority(&self) -> PathBuf {
        self.path("tsa.pem")
    }

    /// cosign 3, set to sign keyless as this e-mail address.
    pub fn keyless(&self, verb: &str, email: &str) -> Command {
        let mut command = cosign(3);
        command.args([verb, "--yes", "--identity-token"]).arg(self.token_file(email));
        command.arg("--signing-config").arg(self.signing_config());
        command.arg("--trusted-root").arg(self.trusted_root());
        command
    }
}

/// cosign of this major version, with a home of its own and no password.
pub fn cosign(version: u8) -> Command {
    let mut command = Command::new(tool(&format!("cosign-{version}")));
    command.env("COSIGN_PASSWORD", "").env("HOME", "/nonexistent");
    command
}

/// A key pair for cosign in this folder, on this curve or of this kind: `prefix.key` and `prefix.pub`.
///
/// # Panics
///
/// Where cosign or openssl fails.
pub fn key_pair(folder: &Path, prefix: &str, kind: &str) -> PathBuf {
    let algorithm: &[&str] = match kind {
        "p256" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        "p384" => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
        "rsa" => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        "ed25519" => &["ED25519"],
        other => panic!("no keys of kind {other}"),
    };
    let pem = folder.join(format!("{prefix}.pem"));
    let mut generate = Command::new("openssl");
    generate.args(["genpkey", "-algorithm"]).args(algorithm).arg("-out").arg(&pem);
    run(generate);
    let mut import = cosign(2);
    import.args(["import-key-pair", "--key"]).arg(&pem).arg("--output-key-prefix").arg(folder.join(prefix));
    run(import);
    folder.join(prefix)
}

/// GETs a URL of loopback.
///
/// # Panics
///
/// Where there is no answer.
pub async fn http_get(url: &str) -> Vec<u8> {
    let Output { stdout, status, stderr } = tokio::process::Command::new("curl")
        .args(["--silent", "--show-error", "--fail", url])
        .output()
        .await
        .expect("curl is installed");
    assert!(status.success(), "{url}: {}", String::from_utf8_lossy(&stderr));
    stdout
}
