//! Real registries, and crane to fill them (and the testbed's).

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Server, free_port, is_listening, run, tool};

/// Which registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The distribution project's `docker-registry` 2.8: no referrers API.
    Distribution,
    /// go-containerregistry's `registry`: with the referrers API.
    GoContainerRegistry,
}

/// A running registry.
#[derive(Debug)]
pub struct RealRegistry {
    port: u16,
    _server: Server,
    _folder: TempDir,
}

impl RealRegistry {
    /// Starts a registry.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn start(kind: Kind) -> Self {
        Self::with(kind, "").await
    }

    /// Starts a registry; `extra` is added to a distribution registry's configuration, indented as it is.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn with(kind: Kind, extra: &str) -> Self {
        Self::with_http(kind, "", extra).await
    }

    /// Starts a registry; `http` is added to the `http` section of a distribution registry's configuration.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn with_http(kind: Kind, http: &str, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        Self::start_over(kind, &data, http, extra, folder).await
    }

    /// Starts a distribution registry over the content of one that was there before; `extra` as for [`Self::with`].
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn over(data: &Path, extra: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::start_over(Kind::Distribution, data, "", extra, folder).await
    }

    async fn start_over(kind: Kind, data: &Path, http: &str, extra: &str, folder: TempDir) -> Self {
        let port = free_port();
        let command = match kind {
            Kind::Distribution => {
                let config = folder.path().join("config.yml");
                let separator = if http.is_empty() { "" } else { ", " };
                let text = format!(
                    "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
                     delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{port}'{separator}{http}}}\n{extra}",
                    data.display()
                );
                std::fs::write(&config, text).expect("the temporary folder is writable");
                let mut command = Command::new(tool("docker-registry"));
                command.arg("serve").arg(config);
                command
            }
            Kind::GoContainerRegistry => {
                let mut command = Command::new(tool("registry"));
                command.args(["-port", &port.to_string()]);
                command
            }
        };
        let mut server = Server::start("registry", command, folder.path());
        server.until_ready(async || is_listening(port).await).await;
        Self { port, _server: server, _folder: folder }
    }

    /// Host and port, as images name it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// crane, with the credentials of `config` where one is given.
pub fn crane(config: Option<&Path>, arguments: &[&str]) -> String {
    let mut command = Command::new(tool("crane"));
    command.args(arguments);
    if let Some(config) = config {
        command.env("DOCKER_CONFIG", config);
    }
    run(command)
}

/// Pushes an image with one layer made of `seed`; answers its digest.
///
/// # Panics
///
/// Where crane fails.
pub fn push(folder: &Path, image: &str, seed: &str) -> String {
    let layer = folder.join("layer.tar");
    let content = folder.join("content");
    std::fs::write(&content, seed).expect("the temporary folder is writable");
    let mut tar = Command::new("tar");
    tar.arg("-cf").arg(&layer).arg("-C").arg(folder).args(["--mtime=2026-01-01", "content"]);
    run(tar);
    let pushed = crane(None, &["append", "--new_layer", &layer.display().to_string(), "--new_tag", image]);
    pushed.rsplit('@').next().unwrap_or_default().to_owned()
}

/// Pushes an index over two platforms' images; answers its digest and theirs.
///
/// # Panics
///
/// Where crane fails.
pub fn push_index(folder: &Path, image: &str, seed: &str) -> (String, Vec<String>) {
    let mut children = Vec::new();
    let repository = image.rsplit_once(':').map_or(image, |(repository, _)| repository);
    for platform in ["linux/amd64", "linux/arm64"] {
        let tag = format!("{repository}:{}", platform.replace('/', "-"));
        push(folder, &tag, &format!("{seed} {platform}"));
        let digest = crane(None, &["mutate", "--set-platform", platform, "--tag", &tag, &tag]);
        children.push(digest.rsplit('@').next().unwrap_or_default().to_owned());
    }
    let mut arguments = vec!["index".to_owned(), "append".into(), "--tag".into(), image.into()];
    for child in &children {
        arguments.extend(["--manifest".into(), format!("{repository}@{child}")]);
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    crane(None, &arguments);
    (crane(None, &["digest", image]), children)
}
