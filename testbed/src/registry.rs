//! An OCI registry in memory
//! ([distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)): pull, push,
//! tags in pages, referrers with and without the API, and three ways to ask for credentials.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::fault::Fault;
use crate::image::{BuiltImage, INDEX, digest};
use crate::log::Logged;
use crate::server::{Asked, Reply, Server, Service, Throttle};

/// Whom a registry answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// Who shows one of these user names and passwords.
    Basic(Vec<(String, String)>),
    /// Who shows a token from the registry's own token service.
    Bearer {
        /// Whom the token service knows.
        users: Vec<(String, String)>,
        /// Repositories that need no user; `*` for all.
        public: Vec<String>,
    },
}

/// How a registry behaves.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Whether it has the referrers API.
    pub referrers_api: bool,
    /// Whom it answers.
    pub auth: Auth,
    /// Tags in one page at the most, whatever is asked for.
    pub tag_page: usize,
    /// Whether its lists say which digests the tags name, as Google's do.
    pub lists_digests: bool,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        Self { referrers_api: true, auth: Auth::Open, tag_page: 1000, lists_digests: false }
    }
}

/// A running registry on loopback.
#[derive(Debug)]
pub struct Registry {
    server: Server,
    world: Arc<World>,
}

impl Registry {
    /// Starts a registry that everybody may ask and that has the referrers API.
    pub async fn start() -> std::io::Result<Self> {
        Self::with(RegistryOptions::default()).await
    }

    /// Starts a registry.
    pub async fn with(options: RegistryOptions) -> std::io::Result<Self> {
        let world = World {
            options,
            repositories: Mutex::default(),
            issued: Mutex::default(),
            identity_tokens: Mutex::default(),
        };
        let world = Arc::new(world);
        let server = Server::start(Arc::clone(&world) as Arc<dyn Service>).await?;
        Ok(Self { server, world })
    }

    /// Host and port, as images name it.
    pub fn host(&self) -> String {
        self.server.address.to_string()
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    /// Puts an image under a tag. Answers its digest.
    pub fn push(&self, repository: &str, tag: &str, image: &BuiltImage) -> String {
        self.attach(repository, Some(tag), image);
        image.digest()
    }

    /// Puts something attached into a repository: under a tag, or as a referrer without one.
    pub fn attach(&self, repository: &str, tag: Option<&str>, attached: &BuiltImage) {
        let mut repositories = self.world.repositories();
        let repository = repositories.entry(repository.to_owned()).or_default();
        for blob in &attached.blobs {
            repository.blobs.insert(digest(blob), blob.clone());
        }
        for (media_type, bytes) in &attached.manifests {
            repository.manifests.insert(digest(bytes), (media_type.clone(), bytes.clone()));
        }
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), attached.digest());
        }
    }

    /// Takes a tag away; what it named stays.
    pub fn delete_tag(&self, repository: &str, tag: &str) {
        if let Some(repository) = self.world.repositories().get_mut(repository) {
            repository.tags.remove(tag);
        }
    }

    /// Takes a manifest away, and every tag that names it.
    pub fn delete_manifest(&self, repository: &str, digest: &str) {
        if let Some(repository) = self.world.repositories().get_mut(repository) {
            repository.manifests.remove(digest);
            repository.tags.retain(|_, tagged| tagged != digest);
        }
    }

    /// Lets the token service take this refresh token.
    pub fn know_identity_token(&self, token: &str) {
        let mut known = self.world.identity_tokens.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(token.to_owned());
    }

    /// Takes every fault back.
    pub fn clear_faults(&self) {
        self.server.shared.faults.clear();
    }

    /// Orders a fault.
    pub fn fault(&self, fault: Fault) {
        self.server.shared.faults.add(fault);
    }

    /// Answers every request this much later.
    pub fn set_latency(&self, latency: Duration) {
        self.server.set_latency(latency);
    }

    /// Answers only so many requests in any second, and the others with 429 and `Retry-After`, in seconds.
    pub fn throttle(&self, per_second: usize, retry_after: u32) {
        let throttle = Throttle::new(per_second, retry_after);
        *self.server.shared.throttle.lock().unwrap_or_else(PoisonError::into_inner) = Some(throttle);
    }

    /// What was asked so far, in order.
    pub fn log(&self) -> Vec<Logged> {
        self.server.shared.log.all()
    }

    /// How many floods a client read to their end.
    pub fn floods_taken(&self) -> usize {
        self.server.shared.floods_taken.load(Ordering::Relaxed)
    }

    /// Forgets what was asked so far.
    pub fn clear_log(&self) {
        self.server.shared.log.clear();
    }

    /// Stops: connections are refused from now on.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

#[derive(Debug, Default)]
struct Repository {
    manifests: HashMap<String, (String, Bytes)>,
    tags: BTreeMap<String, String>,
    blobs: HashMap<String, Bytes>,
    uploads: HashMap<String, Vec<u8>>,
}

#[derive(Debug)]
struct World {
    options: RegistryOptions,
    repositories: Mutex<BTreeMap<String, Repository>>,
    issued: Mutex<BTreeSet<String>>,
    identity_tokens: Mutex<BTreeSet<String>>,
}

impl Service for World {
    fn answer(&self, asked: &Asked, own: &str) -> Reply {
        let reply = if asked.path == "/token" {
            self.token(asked)
        } else if let Some(refusal) = self.refuse(asked, own) {
            refusal
        } else {
            self.serve(asked)
        };
        reply.with("docker-distribution-api-version", "registry/2.0")
    }

    fn endless(&self, asked: &Asked, page: usize) -> Reply {
        let next = format!("<{}?n=1000&last=t{page}>; rel=\"next\"", asked.path);
        Reply::json(200, &json!({"name": "endless", "tags": [format!("t{page}")]})).with("link", next)
    }
}

impl World {
    fn repositories(&self) -> MutexGuard<'_, BTreeMap<String, Repository>> {
        self.repositories.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, asked: &Asked) -> Reply {
        let Auth::Bearer { users, public } = &self.options.auth else {
            return Reply::new(404, "no tokens here");
        };
        // OAuth2 sends a form, the older protocol a query.
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
        let of_form = |name: &str| form.get(name).map(String::as_str);
        let scope = asked.query("scope").or_else(|| of_form("scope")).unwrap_or_default().to_owned();
        let repository = scope.split(':').nth(1).unwrap_or_default();
        let may = match asked.header("authorization") {
            _ if asked.method == "POST" => {
                let known = self.identity_tokens.lock().unwrap_or_else(PoisonError::into_inner);
                of_form("refresh_token").is_some_and(|token| known.contains(token))
            }
            Some(header) => users.iter().any(|user| *header == basic(user)),
            None => public.iter().any(|name| name == "*" || name == repository),
        };
        if !may {
            return error(401, "UNAUTHORIZED", "authentication required");
        }
        let token =
            STANDARD.encode(format!("{scope} for {}", asked.header("authorization").unwrap_or("anyone")));
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone());
        let name = if asked.method == "POST" { "access_token" } else { "token" };
        Reply::json(200, &json!({name: token, "expires_in": 300}))
    }

    /// A refusal with a challenge, where the request lacks what it must show.
    fn refuse(&self, asked: &Asked, own: &str) -> Option<Reply> {
        let shown = asked.header("authorization");
        let refusal = error(401, "UNAUTHORIZED", "authentication required");
        match &self.options.auth {
            Auth::Open => None,
            Auth::Basic(users) => {
                let known = shown.is_some_and(|header| users.iter().any(|user| *header == basic(user)));
                (!known).then(|| refusal.with("www-authenticate", "Basic realm=\"testbed\""))
            }
            Auth::Bearer { .. } => {
                let scope = Route::of(&asked.path)
                    .map(|route| format!("repository:{}:pull", route.repository))
                    .unwrap_or_default();
                let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
                let known = shown.and_then(|header| header.strip_prefix("Bearer ")).is_some_and(|token| {
                    let told = STANDARD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                    issued.contains(token) && told.is_some_and(|told| told.starts_with(&scope))
                });
                let challenge = format!("Bearer realm=\"{own}/token\",service=\"testbed\",scope=\"{scope}\"");
                (!known).then(|| refusal.with("www-authenticate", challenge))
            }
        }
    }

    fn serve(&self, asked: &Asked) -> Reply {
        if matches!(asked.path.as_str(), "/v2" | "/v2/") {
            return Reply::json(200, &json!({}));
        }
        let Some(route) = Route::of(&asked.path) else { return Reply::new(404, "404 page not found\n") };
        let mut repositories = self.repositories();
        if matches!(asked.method.as_str(), "POST" | "PUT" | "PATCH") {
            let repository = repositories.entry(route.repository.to_owned()).or_default();
            return push(repository, &route, asked);
        }
        let Some(repository) = repositories.get(route.repository) else {
            return error(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        match route.kind {
            "manifests" => manifest(repository, route.name),
            "blobs" => match repository.blobs.get(route.name) {
                Some(blob) => Reply::new(200, blob.clone()).with("docker-content-digest", route.name),
                None => error(404, "BLOB_UNKNOWN", "blob unknown to registry"),
            },
            "tags" => self.tags(repository, &route, asked),
            "referrers" if self.options.referrers_api => referrers(repository, route.name),
            _ => Reply::new(404, "404 page not found\n"),
        }
    }

    fn tags(&self, repository: &Repository, route: &Route<'_>, asked: &Asked) -> Reply {
        let wanted = asked.query("n").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX);
        let size = wanted.min(self.options.tag_page);
        let last = asked.query("last").unwrap_or_default();
        let mut rest = repository.tags.keys().filter(|tag| last.is_empty() || tag.as_str() > last).peekable();
        let page: Vec<_> = rest.by_ref().take(size).collect();
        let mut answer = json!({"name": route.repository, "tags": page});
        if self.options.lists_digests {
            let mut described: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for tag in &page {
                described.entry(&repository.tags[*tag]).or_default().push(tag);
            }
            let described: BTreeMap<_, _> = described
                .into_iter()
                .map(|(digest, tags)| (digest, json!({"tag": tags, "timeUploadedMs": "1717243200000"})))
                .collect();
            answer["manifest"] = json!(described);
        }
        let reply = Reply::json(200, &answer);
        let entity_tag = format!("\"{}\"", digest(&reply.body));
        if asked.header("if-none-match") == Some(entity_tag.as_str()) {
            return Reply::new(304, "").with("etag", entity_tag);
        }
        let reply = reply.with("etag", entity_tag);
        match (rest.peek(), page.last()) {
            (Some(_), Some(last)) => reply.with(
                "link",
                format!("</v2/{}/tags/list?last={last}&n={size}>; rel=\"next\"", route.repository),
            ),
            _ => reply,
        }
    }
}

/// `/v2/<repository>/<kind>/<name>`.
struct Route<'a> {
    repository: &'a str,
    kind: &'a str,
    name: &'a str,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        for kind in ["manifests", "blobs", "tags", "referrers"] {
            if let Some(at) = rest.rfind(&format!("/{kind}/")) {
                return Some(Self { repository: &rest[..at], kind, name: &rest[at + kind.len() + 2..] });
            }
        }
        None
    }
}

fn manifest(repository: &Repository, name: &str) -> Reply {
    let digest = repository.tags.get(name).map_or(name, String::as_str);
    match repository.manifests.get(digest) {
        Some((media_type, bytes)) => Reply::new(200, bytes.clone())
            .with("content-type", media_type.as_str())
            .with("docker-content-digest", digest),
        None => error(404, "MANIFEST_UNKNOWN", "manifest unknown"),
    }
}

fn referrers(repository: &Repository, subject: &str) -> Reply {
    let mut found: Vec<_> = repository
        .manifests
        .iter()
        .filter_map(|(digest, (media_type, bytes))| {
            let manifest: Value = serde_json::from_slice(bytes).ok()?;
            (manifest["subject"]["digest"].as_str()? == subject).then(|| {
                let artifact_type =
                    manifest["artifactType"].as_str().or(manifest["config"]["mediaType"].as_str());
                json!({
                    "mediaType": media_type,
                    "digest": digest,
                    "size": bytes.len(),
                    "artifactType": artifact_type,
                    "annotations": manifest["annotations"],
                })
            })
        })
        .collect();
    found.sort_by_key(|entry| entry["digest"].to_string());
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": found});
    Reply::new(200, index.to_string()).with("content-type", INDEX)
}

/// Push: blobs in one or several requests, and manifests.
fn push(repository: &mut Repository, route: &Route<'_>, asked: &Asked) -> Reply {
    match (route.kind, asked.method.as_str()) {
        ("manifests", "PUT") => {
            let digest = digest(&asked.body);
            let media_type = asked.header("content-type").unwrap_or(crate::image::MANIFEST).to_owned();
            repository.manifests.insert(digest.clone(), (media_type, asked.body.clone()));
            if !route.name.starts_with("sha256:") {
                repository.tags.insert(route.name.to_owned(), digest.clone());
            }
            Reply::new(201, "")
                .with("location", format!("/v2/{}/manifests/{digest}", route.repository))
                .with("docker-content-digest", digest)
        }
        ("blobs", "POST") => {
            if let Some(named) = asked.query("digest") {
                store(repository, route, named, asked.body.to_vec())
            } else {
                let id = format!("upload-{}", repository.uploads.len());
                repository.uploads.insert(id.clone(), Vec::new());
                Reply::new(202, "").with("location", format!("/v2/{}/blobs/uploads/{id}", route.repository))
            }
        }
        ("blobs", method) => {
            let id = route.name.trim_start_matches("uploads/");
            let Some(upload) = repository.uploads.get_mut(id) else {
                return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
            };
            upload.extend_from_slice(&asked.body);
            if method == "PATCH" {
                let range = format!("0-{}", upload.len().saturating_sub(1));
                return Reply::new(202, "").with("location", asked.path.as_str()).with("range", range);
            }
            let bytes = std::mem::take(upload);
            store(repository, route, asked.query("digest").unwrap_or_default(), bytes)
        }
        _ => error(405, "UNSUPPORTED", "the operation is unsupported"),
    }
}

fn store(repository: &mut Repository, route: &Route<'_>, named: &str, bytes: Vec<u8>) -> Reply {
    if digest(&bytes) != named {
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    repository.blobs.insert(named.to_owned(), bytes.into());
    Reply::new(201, "")
        .with("location", format!("/v2/{}/blobs/{named}", route.repository))
        .with("docker-content-digest", named)
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"errors": [{"code": code, "message": message}]}))
}

fn basic((user, password): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
