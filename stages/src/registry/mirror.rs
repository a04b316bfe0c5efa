//! Mirrors: which registries are asked in the place of others.
//!
//! A mirror that is asked first only ever adds an answer: where it fails or lacks something, the registry
//! itself is asked, and its word counts. A mirror that is asked instead is the only one, as air-gapped
//! clusters want it.

use provenance_model::{ImageReference, Registry, Repository};

/// A table of mirrors. The longest prefix that matches counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors {
    entries: Vec<Mirror>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mirror {
    registry: Registry,
    /// Path segments that a repository must begin with.
    path: String,
    to_registry: Registry,
    to_path: String,
    is_only: bool,
}

/// A registry and repository to ask.
pub(super) type Place = (Registry, Repository);

impl Mirrors {
    /// Adds a mirror, written `PREFIX=MIRROR`: each a registry with an optional path.
    ///
    /// # Errors
    ///
    /// Where one of the two is no registry with an optional path.
    pub fn add(&mut self, written: &str, is_only: bool) -> Result<(), String> {
        let (prefix, mirror) = written
            .split_once('=')
            .ok_or("a mirror is written PREFIX=MIRROR, as in docker.io=mirror.lan/hub")?;
        let (registry, path) = split(prefix)?;
        let (to_registry, to_path) = split(mirror)?;
        self.entries.push(Mirror { registry, path, to_registry, to_path, is_only });
        self.entries.sort_by_key(|entry| std::cmp::Reverse(entry.path.len()));
        Ok(())
    }

    /// The places to ask for a repository, in order; the last one's word counts.
    pub(super) fn places(&self, registry: &Registry, repository: &Repository) -> Vec<Place> {
        let itself = (registry.clone(), repository.clone());
        let mut matching = self.entries.iter().filter(|entry| entry.registry == *registry);
        let found = matching.find_map(|entry| Some((entry, rest_below(&entry.path, repository.as_str())?)));
        let Some((entry, rest)) = found else { return vec![itself] };
        let path: Vec<_> =
            [entry.to_path.as_str(), rest].into_iter().filter(|part| !part.is_empty()).collect();
        let named: Result<ImageReference, _> = format!("{}/{}", entry.to_registry, path.join("/")).parse();
        match named {
            Ok(mirror) if entry.is_only => vec![(mirror.registry, mirror.repository)],
            Ok(mirror) => vec![(mirror.registry, mirror.repository), itself],
            // A repository that the mirror could not name: only the registry itself can be asked.
            Err(_) => vec![itself],
        }
    }
}

/// What of a repository is left below a path of whole segments.
fn rest_below<'a>(path: &str, repository: &'a str) -> Option<&'a str> {
    if path.is_empty() {
        return Some(repository);
    }
    let rest = repository.strip_prefix(path)?;
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
}

fn split(written: &str) -> Result<(Registry, String), String> {
    let written = written.trim().trim_end_matches('/');
    let refuse = || format!("{written:?} is no registry with an optional path, as in mirror.lan:5000/hub");
    let (host, path) = written.split_once('/').unwrap_or((written, ""));
    // Whatever may stand before an image's name may stand here.
    let below = if path.is_empty() { String::new() } else { format!("{path}/") };
    let reference: ImageReference = format!("{host}/{below}probe").parse().map_err(|_| refuse())?;
    let is_host = host.contains(['.', ':']) || host == "localhost";
    if !is_host || written.contains("://") {
        return Err(refuse());
    }
    Ok((reference.registry, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(mirrors: &[(&str, bool)], image: &str) -> Vec<String> {
        let mut table = Mirrors::default();
        for (written, is_only) in mirrors {
            table.add(written, *is_only).unwrap();
        }
        let reference: ImageReference = image.parse().unwrap();
        let places = table.places(&reference.registry, &reference.repository);
        places.into_iter().map(|(registry, repository)| format!("{registry}/{repository}")).collect()
    }

    #[test]
    fn the_longest_prefix_decides_who_is_asked() {
        let table = [
            ("docker.io=mirror.lan:5000/hub", false),
            ("ghcr.io/acme=mirror.lan/acme", true),
            ("ghcr.io=other.lan", false),
            ("quay.io/team/app=mirror.lan/renamed", false),
        ];
        for (image, expected) in [
            ("nginx:1", vec!["mirror.lan:5000/hub/library/nginx", "docker.io/library/nginx"]),
            ("ghcr.io/acme/web:1", vec!["mirror.lan/acme/web"]),
            ("ghcr.io/acmeish/web:1", vec!["other.lan/acmeish/web", "ghcr.io/acmeish/web"]),
            ("quay.io/team/app", vec!["mirror.lan/renamed", "quay.io/team/app"]),
            ("quay.io/team/apps", vec!["quay.io/team/apps"]),
            ("registry.k8s.io/pause", vec!["registry.k8s.io/pause"]),
        ] {
            assert_eq!(places(&table, image), expected, "{image}");
        }
    }

    #[test]
    fn what_is_no_mirror_is_refused() {
        for written in [
            "docker.io",
            "docker.io=",
            "=mirror.lan",
            "docker.io=https://mirror.lan",
            "hub=mirror.lan",
            "docker.io=m.lan/Hub",
        ] {
            assert!(Mirrors::default().add(written, false).is_err(), "{written}");
        }
    }
}
