//! Which repository a chart is from, and its versions there: the index of a repository, or the tags of an OCI registry
//! ([registries](https://helm.sh/docs/topics/registries/)). Each is asked once a run.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderValue;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use provenance_currency::ChartVersion;
use provenance_engine::{Failure, FailureKind};
use provenance_model::{CredentialScope, Image, ImageReference, Tag, Trail};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::index::Index;
use crate::registry::{Asking, Document, DocumentRequest, Name, RegistryClient};
use crate::tag_lists::TagLists;

/// Bytes of an index.
const INDEX_BYTES: usize = 128 << 20;
/// Bytes of indexes kept in memory.
const MEMO_BYTES: u64 = 64 << 20;
/// Bytes of the configuration of a chart's manifest, which is its `Chart.yaml`.
const CHART_BYTES: usize = 1 << 20;

/// A repository of charts, as the configuration names it.
#[derive(Debug, Clone)]
pub struct ChartRepository {
    /// Where it is.
    pub address: Address,
    /// The charts that are looked for in it; all where empty.
    pub charts: Vec<String>,
    /// User and password, for an index.
    pub credential: Option<HeaderValue>,
}

/// Where a repository of charts is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An index below this URL.
    Index(Url),
    /// Charts below this part of a registry, as in `ghcr.io/acme/charts`.
    Oci(String),
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// Where it is no URL, or of a scheme that is not `http`, `https` or `oci`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("oci://") {
            let rest = rest.trim_matches('/');
            return if rest.is_empty() {
                Err(format!("{text:?} names no registry"))
            } else {
                Ok(Self::Oci(rest.to_owned()))
            };
        }
        let mut url = Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("{text:?} is none of: http://…, https://…, oci://…"));
        }
        url.set_fragment(None);
        if let Some(path) = url.path().strip_suffix("/index.yaml").map(str::to_owned) {
            url.set_path(&path);
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self::Index(url))
    }

    /// The repository in an address that a chart itself names: only where that can be no web page.
    pub(super) fn of_chart(text: &str, chart: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("oci://") {
            let rest = rest.trim_end_matches('/');
            let below = rest.strip_suffix(chart).and_then(|rest| rest.strip_suffix('/')).unwrap_or(rest);
            return Self::parse(&format!("oci://{below}")).ok();
        }
        text.ends_with("/index.yaml").then(|| Self::parse(text).ok()).flatten()
    }

    /// Whether charts are asked of a registry.
    pub fn is_oci(&self) -> bool {
        matches!(self, Self::Oci(_))
    }
}

impl fmt::Display for Address {
    /// Without what may be secret in a URL.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(url) => {
                let mut shown = url.clone();
                shown.set_query(None);
                // A URL with a host takes both.
                shown.set_username("").ok();
                shown.set_password(None).ok();
                out.write_str(shown.as_str().trim_end_matches('/'))
            }
            Self::Oci(path) => write!(out, "oci://{path}"),
        }
    }
}

/// Who asks, and where the evidence goes.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The stage.
    pub stage: &'static str,
    /// The evidence.
    pub trail: &'a Trail,
}

/// What an index says, and how it was come by.
type KnownIndex = Result<(Option<Arc<Index>>, String), Failure>;

/// The way to repositories of charts. One for a run.
#[derive(Debug)]
pub struct Repositories {
    client: Arc<RegistryClient>,
    lists: Arc<TagLists>,
    configured: Vec<ChartRepository>,
    folder: Option<PathBuf>,
    indexes: Cache<Url, Arc<KnownIndex>>,
}

/// An index as it is kept on disk.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    url: String,
    tag: String,
    index: Index,
}

impl Repositories {
    /// Asks through this client and these lists; these repositories are looked through for charts of which nothing else
    /// says where they are from. Indexes with an entity tag are kept in `folder`, if there is one.
    pub fn new(
        client: Arc<RegistryClient>,
        lists: Arc<TagLists>,
        configured: Vec<ChartRepository>,
        folder: Option<PathBuf>,
    ) -> Self {
        let indexes = Cache::builder()
            .max_capacity(MEMO_BYTES)
            // What was used last is used next: by the stages to come.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, known: &Arc<KnownIndex>| {
                let index = known.as_ref().as_ref().ok().and_then(|(index, _)| index.as_ref());
                u32::try_from(index.map_or(0, |index| index.bytes()) + 512).unwrap_or(u32::MAX)
            })
            .build();
        Self { client, lists, configured, folder, indexes }
    }

    /// The configured repositories in which a chart is looked for.
    pub(super) fn configured_for<'a>(&'a self, chart: &'a str) -> impl Iterator<Item = Address> + 'a {
        self.configured
            .iter()
            .filter(move |repository| {
                repository.charts.is_empty() || repository.charts.iter().any(|name| name == chart)
            })
            .map(|repository| repository.address.clone())
    }

    /// The versions of a chart in a repository; none where it has no such chart.
    pub(super) async fn versions(
        &self,
        asked: &Asked<'_>,
        address: &Address,
        chart: &str,
    ) -> Result<Option<Vec<ChartVersion>>, Failure> {
        match address {
            Address::Index(url) => Ok(self.index(asked, url).await?.and_then(|index| index.versions(chart))),
            Address::Oci(path) => self.tags(asked, path, chart).await,
        }
    }

    async fn tags(
        &self,
        asked: &Asked<'_>,
        path: &str,
        chart: &str,
    ) -> Result<Option<Vec<ChartVersion>>, Failure> {
        let reference = chart_reference(path, chart)?;
        let scope = CredentialScope::default();
        let list = self.lists.list(&asking(asked, &reference, &scope)).await;
        let list = list.tell(&asking(asked, &reference, &scope))?.as_ref();
        Ok(list.map(|list| {
            let version = |tag: &str| ChartVersion { version: tag.to_owned(), ..ChartVersion::default() };
            list.iter().map(version).collect()
        }))
    }

    /// What one version of an OCI chart says of itself; nothing where it is no chart.
    pub(super) async fn own_words(
        &self,
        asked: &Asked<'_>,
        address: &Address,
        chart: &str,
        version: &str,
    ) -> Result<Option<ChartVersion>, Failure> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Words {
            kube_version: Option<String>,
            #[serde(default)]
            deprecated: bool,
        }
        let Address::Oci(path) = address else { return Ok(None) };
        let reference = chart_reference(path, chart)?;
        let scope = CredentialScope::default();
        let asking = asking(asked, &reference, &scope);
        let Ok(tag) = version.replace('+', "_").parse::<Tag>() else { return Ok(None) };
        let Some(manifest) = self.client.manifest(&asking, Name::Tag(&tag)).await? else { return Ok(None) };
        let Some(config) = manifest.config_digest() else { return Ok(None) };
        let Some(bytes) = self.client.blob(&asking, &config, CHART_BYTES).await? else { return Ok(None) };
        let Ok(Words { kube_version, deprecated }) = serde_json::from_slice(&bytes) else { return Ok(None) };
        Ok(Some(ChartVersion { version: version.to_owned(), kube_version, deprecated }))
    }

    async fn index(&self, asked: &Asked<'_>, url: &Url) -> Result<Option<Arc<Index>>, Failure> {
        let known = self.indexes.get_with(url.clone(), async { Arc::new(self.fetch(url).await) }).await;
        let place = format!("GET {}/index.yaml", Address::Index(url.clone()));
        match known.as_ref() {
            Ok((index, told)) => {
                asked.trail.note(asked.stage, place, told);
                Ok(index.clone())
            }
            Err(failure) => {
                asked.trail.note(asked.stage, place, format!("{}: {failure}", failure.kind));
                Err(failure.clone())
            }
        }
    }

    async fn fetch(&self, url: &Url) -> KnownIndex {
        let on_disk = self.on_disk(url).await;
        let credential = self.configured.iter().find(|one| one.address == Address::Index(url.clone()));
        let mut index_url = url.clone();
        index_url.set_path(&format!("{}index.yaml", url.path()));
        let request = DocumentRequest {
            url: index_url,
            cap: INDEX_BYTES,
            known: on_disk.as_ref().map(|known| known.tag.clone()),
            authorization: credential.and_then(|one| one.credential.clone()),
        };
        match self.client.document(request, Index::read).await? {
            Document::Unchanged => {
                let index = on_disk.map(|known| Arc::new(known.index));
                let told = "304, as it is known";
                index.map(|index| (Some(index), told.to_owned())).ok_or_else(|| {
                    let why = format!("{}: 304, though nothing is known", Address::Index(url.clone()));
                    Failure::new(FailureKind::UnexpectedStatus, why)
                })
            }
            Document::Absent => {
                let why =
                    format!("{}/index.yaml: 404, there is no chart repository", Address::Index(url.clone()));
                Err(Failure::new(FailureKind::UnexpectedStatus, why))
            }
            Document::Read { content, tag, bytes } => {
                let index = content.map_err(|why| {
                    let told = Address::Index(url.clone());
                    Failure::new(FailureKind::Malformed, format!("{told}/index.yaml: {why}"))
                })?;
                let told = format!("200 {bytes} bytes, {} charts", index.charts.len());
                if let Some(tag) = tag {
                    self.keep(url, tag, &index).await;
                }
                Ok((Some(Arc::new(index)), told))
            }
        }
    }

    fn file(&self, url: &Url) -> Option<PathBuf> {
        let name = hex::encode(Sha256::digest(url.as_str()));
        self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
    }

    /// What is kept of an index. What cannot be read is as if it were not there.
    async fn on_disk(&self, url: &Url) -> Option<OnDisk> {
        let bytes = tokio::fs::read(self.file(url)?).await.ok()?;
        let known: OnDisk = serde_json::from_slice(&bytes).ok()?;
        (known.url == url.as_str()).then_some(known)
    }

    /// Keeps an index. One that cannot be kept is only asked for again.
    async fn keep(&self, url: &Url, tag: String, index: &Index) {
        let Some(file) = self.file(url) else { return };
        let known = OnDisk { url: url.as_str().to_owned(), tag, index: index.clone() };
        let written = async {
            let bytes = serde_json::to_vec(&known)?;
            if let Some(folder) = file.parent() {
                tokio::fs::create_dir_all(folder).await?;
            }
            // Whole or not at all, whoever else writes.
            let aside = file.with_extension(format!("{}.tmp", fastrand::u64(..)));
            tokio::fs::write(&aside, bytes).await?;
            tokio::fs::rename(&aside, &file).await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, file = %file.display(), "an index of charts could not be kept");
        }
    }
}

fn chart_reference(path: &str, chart: &str) -> Result<ImageReference, Failure> {
    Image::parse(&format!("{path}/{chart}"))
        .reference
        .map_err(|invalid| Failure::new(FailureKind::InvalidReference, format!("oci://{invalid}")))
}

fn asking<'a>(asked: &Asked<'a>, reference: &'a ImageReference, scope: &'a CredentialScope) -> Asking<'a> {
    Asking {
        stage: asked.stage,
        registry: &reference.registry,
        repository: &reference.repository,
        scope,
        trail: asked.trail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_what_is_secret() {
        for (text, shown) in [
            ("https://charts.example/stable", "https://charts.example/stable"),
            ("https://user:secret@charts.example/stable/?token=x#y", "https://charts.example/stable"),
            ("https://charts.example/index.yaml", "https://charts.example"),
            ("oci://ghcr.io/acme/charts/", "oci://ghcr.io/acme/charts"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for wrong in ["charts.example", "ftp://charts.example", "oci://", "file:///charts"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chart_names_its_repository_only_where_that_can_be_no_web_page() {
        let found = |text: &str| Address::of_chart(text, "nginx").map(|address| address.to_string());
        assert_eq!(found("oci://ghcr.io/acme/charts/nginx").as_deref(), Some("oci://ghcr.io/acme/charts"));
        assert_eq!(found("https://charts.example/index.yaml").as_deref(), Some("https://charts.example"));
        assert_eq!(found("https://github.com/acme/charts"), None);
    }
}
