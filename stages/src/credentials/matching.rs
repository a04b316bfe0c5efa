//! Which entries match an image, as the kubelet decides it
//! ([images](https://kubernetes.io/docs/concepts/containers/images/#config-json)): host parts may be globs,
//! the number of parts and the port must agree, and the path must be a prefix.

use provenance_model::{Registry, Repository};

/// An entry's key, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Host, port and path, without scheme.
    text: String,
    host: Vec<String>,
    port: Option<String>,
    path: String,
}

impl Pattern {
    /// Reads a key: `registry.example`, `https://index.docker.io/v1/`, `*.example:5000/team`.
    pub fn parse(key: &str) -> Self {
        let rest = key.trim().split_once("://").map_or(key.trim(), |(_, rest)| rest);
        let (authority, path) =
            rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        // `v1` and `v2` name the registry's API, not a repository.
        let path = path.trim_end_matches('/');
        let path = match path.split_once('/') {
            Some(("v1" | "v2", path)) => path,
            None if matches!(path, "v1" | "v2") => "",
            _ => path,
        };
        let (host, port) = split_port(authority);
        let host = host.to_ascii_lowercase();
        // Docker Hub goes by several names.
        let host = Registry::new(&host).as_str().to_owned();
        Self {
            text: format!("{host}{}/{path}", port.map(|port| format!(":{port}")).unwrap_or_default()),
            host: host.split('.').map(str::to_owned).collect(),
            port: port.map(str::to_owned),
            path: path.to_owned(),
        }
    }

    /// The pattern as text; the order of these texts, backwards, is the order of trial.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the entry is for this image.
    pub fn matches(&self, registry: &Registry, repository: &Repository) -> bool {
        let (host, port) = split_port(registry.as_str());
        let parts: Vec<_> = host.split('.').collect();
        parts.len() == self.host.len()
            && port == self.port.as_deref()
            && self.host.iter().zip(&parts).all(|(glob, part)| glob_matches(glob.as_bytes(), part.as_bytes()))
            && repository.as_str().starts_with(&self.path)
    }
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port))
        }
        _ => (authority, None),
    }
}

/// `*` for any run of characters, `?` for one.
fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    match (glob.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob_matches(rest, text) || text.split_first().is_some_and(|(_, after)| glob_matches(glob, after))
        }
        (Some((b'?', rest)), Some((_, after))) => glob_matches(rest, after),
        (Some((a, rest)), Some((b, after))) => a == b && glob_matches(rest, after),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use provenance_model::ImageReference;

    use super::*;

    fn matches(key: &str, image: &str) -> bool {
        let reference: ImageReference = image.parse().unwrap();
        Pattern::parse(key).matches(&reference.registry, &reference.repository)
    }

    #[test]
    fn keys_match_as_in_kubernetes() {
        for (key, image) in [
            ("registry.io", "registry.io/team/app"),
            ("https://registry.io", "registry.io/team/app"),
            ("registry.io/", "registry.io/app"),
            ("registry.io/v2/", "registry.io/app"),
            ("registry.io/team", "registry.io/team/app"),
            ("registry.io/team/app", "registry.io/team/app:1.2"),
            // A prefix of the path, not of its segments: that is how the kubelet compares.
            ("registry.io/te", "registry.io/team/app"),
            ("registry.io:5000", "registry.io:5000/app"),
            ("*.kubernetes.io", "abc.kubernetes.io/app"),
            ("*.*.kubernetes.io", "abc.def.kubernetes.io/app"),
            ("prefix.*.io", "prefix.kubernetes.io/app"),
            ("*-good.kubernetes.io", "prefix-good.kubernetes.io/app"),
            ("https://index.docker.io/v1/", "nginx"),
            ("docker.io", "nginx"),
            ("index.docker.io", "grafana/grafana"),
            ("docker.io/grafana", "grafana/grafana"),
            ("REGISTRY.io", "registry.io/app"),
        ] {
            assert!(matches(key, image), "{key} {image}");
        }
        for (key, image) in [
            ("registry.io", "other.io/app"),
            ("registry.io", "sub.registry.io/app"),
            ("registry.io", "registry.io:5000/app"),
            ("registry.io:5000", "registry.io/app"),
            ("registry.io/team", "registry.io/other/app"),
            ("*.kubernetes.io", "kubernetes.io/app"),
            ("*.kubernetes.io", "abc.def.kubernetes.io/app"),
            ("*kubernetes.io", "a.kubernetes.io/app"),
            ("kubernetes.io", "kubernetes.com/app"),
            ("docker.io", "ghcr.io/library/nginx"),
        ] {
            assert!(!matches(key, image), "{key} {image}");
        }
    }

    #[test]
    fn the_longest_path_is_tried_first() {
        let json = serde_json::json!({"auths": {
            "registry.io": {"username": "host", "password": "p"},
            "registry.io/team/app": {"username": "app", "password": "p"},
            "registry.io/team": {"username": "team", "password": "p"},
            "*.io": {"username": "glob", "password": "p"},
        }});
        let config = super::super::DockerConfig::parse(json.to_string().as_bytes()).unwrap();
        let reference: ImageReference = "registry.io/team/app".parse().unwrap();
        let users: Vec<_> = config
            .matching(&reference.registry, &reference.repository)
            .map(|credential| match credential {
                super::super::Credential::Basic { username, .. } => username.as_str(),
                _ => "",
            })
            .collect();
        assert_eq!(users, ["app", "team", "host", "glob"]);
    }
}
