//! Globs over image names, as the policy-controller reads them: `*` is anything without `/`, `**` anything.

use std::fmt;

use provenance_model::ImageReference;
use regex::Regex;

/// A glob.
#[derive(Debug, Clone)]
pub struct Glob {
    written: String,
    regex: Regex,
}

impl Glob {
    /// Parses a glob.
    pub fn parse(written: &str) -> Result<Self, String> {
        // The two that would match nothing as they stand mean Docker Hub.
        let whole = match written {
            "*" => "index.docker.io/library/*",
            "*/*" => "index.docker.io/*/*",
            other => other,
        };
        let known = |c: char| c.is_ascii_alphanumeric() || "-_:/*.@".contains(c);
        if let Some(c) = whole.chars().find(|c| !known(*c)) {
            return Err(format!("{written:?} is no glob: it holds {c:?}"));
        }
        if whole.is_empty() {
            return Err("an empty glob matches nothing".into());
        }
        let parts: Vec<_> = whole
            .split("**")
            .map(|part| part.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/]*"))
            .collect();
        let regex = Regex::new(&format!("^{}$", parts.join(".*")))
            .map_err(|error| format!("{written:?} is no glob: {error}"))?;
        Ok(Self { written: written.to_owned(), regex })
    }

    /// The glob that matches every image.
    pub fn everything() -> Self {
        Self::parse("**").expect("** is a glob")
    }

    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// Whether it matches an image, under any of the names the image has.
    pub fn is_for(&self, image: &ImageReference) -> bool {
        names(image).iter().any(|name| self.matches(name))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// The names under which a glob can know an image: by tag and by digest, Docker Hub under each of its names.
fn names(image: &ImageReference) -> Vec<String> {
    let mut repositories = Vec::new();
    if image.registry.is_docker_hub() {
        for host in ["index.docker.io", "docker.io"] {
            repositories.push(format!("{host}/{}", image.repository));
        }
        let repository = image.repository.as_str();
        repositories.push(repository.strip_prefix("library/").unwrap_or(repository).to_owned());
    } else {
        repositories.push(format!("{}/{}", image.registry, image.repository));
    }
    let mut suffixes = Vec::new();
    match (&image.tag, &image.digest) {
        (None, None) => suffixes.push(":latest".to_owned()),
        (tag, digest) => {
            suffixes.extend(tag.as_ref().map(|tag| format!(":{tag}")));
            suffixes.extend(digest.as_ref().map(|digest| format!("@{digest}")));
            if let (Some(tag), Some(digest)) = (tag, digest) {
                suffixes.push(format!(":{tag}@{digest}"));
            }
        }
    }
    // A glob that names no tag is for every tag.
    suffixes.push(String::new());
    let with = |repository: &String| {
        let repository = repository.clone();
        suffixes.iter().map(move |suffix| format!("{repository}{suffix}")).collect::<Vec<_>>()
    };
    repositories.iter().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, image: &str) -> bool {
        let image = provenance_model::Image::parse(image).reference.unwrap();
        let glob = Glob::parse(glob).unwrap();
        names(&image).iter().any(|name| glob.matches(name))
    }

    #[test]
    fn globs_match_as_the_policy_controller_matches() {
        for (glob, image) in [
            ("**", "nginx"),
            ("*", "nginx"),
            ("*/*", "acme/web:1"),
            ("index.docker.io/library/*", "nginx:1.27"),
            ("docker.io/library/nginx", "nginx:1.27"),
            ("ghcr.io/acme/*", "ghcr.io/acme/web:1.0"),
            ("ghcr.io/acme/**", "ghcr.io/acme/team/web:1.0"),
            ("ghcr.io/acme/web:*", "ghcr.io/acme/web:1.0"),
            ("registry.lan:5000/**", "registry.lan:5000/web"),
            (
                "gcr.io/*/web@sha256:*",
                "gcr.io/acme/web@sha256:489075c9ca37b7e08a7a71d30b69010cdf1b151396a5feeef7ca5b63134c887e",
            ),
        ] {
            assert!(matches(glob, image), "{glob} {image}");
        }
        for (glob, image) in [
            ("*", "ghcr.io/acme/web"),
            ("ghcr.io/acme/*", "ghcr.io/acme/team/web:1.0"),
            ("ghcr.io/acme/*", "ghcr.io/acmee/web"),
            ("ghcr.io/acme/web", "ghcr.io/acme/web2"),
            ("ghcr.io/acme/web:1.0", "ghcr.io/acme/web:1.01"),
            ("ghcrXio/**", "ghcr.io/acme/web"),
        ] {
            assert!(!matches(glob, image), "{glob} {image}");
        }
        for glob in ["", "a b", "a[b]", "a?"] {
            assert!(Glob::parse(glob).is_err(), "{glob}");
        }
    }
}
