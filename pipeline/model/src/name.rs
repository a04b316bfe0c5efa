//! Names: registry, repository, tag, digest, and the reference made of them.
//!
//! Strings from outside are parsed here once; inside, a [`Digest`] is a digest. The grammar is that of the
//! [OCI distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md) with the
//! short forms of Docker Hub (`nginx` is `docker.io/library/nginx:latest`).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A registry as images name it: a host with an optional port, lower case. Docker Hub is `docker.io`,
    /// whatever alias was written.
    Registry
}
name! {
    /// A repository inside a registry, such as `library/nginx`.
    Repository
}
name! {
    /// A tag, such as `1.27-alpine`.
    Tag
}
name! {
    /// A content digest, such as `sha256:` and 64 lower-case hex digits.
    Digest
}

/// The names under which Docker Hub is written.
const DOCKER_HUB: [&str; 4] =
    ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

impl Registry {
    /// Docker Hub.
    pub const DOCKER_HUB: &str = "docker.io";

    /// The registry of this host and port; Docker Hub's aliases become `docker.io`.
    pub fn new(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        if DOCKER_HUB.contains(&host.as_str()) { Self(Self::DOCKER_HUB.into()) } else { Self(host.into()) }
    }

    /// Whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == Self::DOCKER_HUB
    }
}

/// A text that is no digest, tag or image reference, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
#[error("{written:?} is not {expected}: {why}")]
pub struct InvalidReference {
    /// The text as it was written.
    pub written: String,
    expected: &'static str,
    why: String,
}

impl Digest {
    /// The algorithm's name: `sha256`, `sha384` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The digest's hex digits.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or(self.hex())
    }
}

impl FromStr for Digest {
    type Err = InvalidReference;

    /// Parses `algorithm:hex`; the algorithms are those that the OCI image spec registers.
    fn from_str(written: &str) -> Result<Self, InvalidReference> {
        let refuse =
            |why: &str| InvalidReference { written: written.into(), expected: "a digest", why: why.into() };
        let (algorithm, hex) =
            written.split_once(':').ok_or_else(|| refuse("it has no algorithm before a colon"))?;
        let digits = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(refuse("the algorithm is none of sha256, sha384, sha512")),
        };
        if hex.len() != digits {
            return Err(refuse(&format!("{algorithm} has {digits} hex digits, this has {}", hex.len())));
        }
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse("it has a character that is no hex digit"));
        }
        Ok(Self(written.to_ascii_lowercase().into()))
    }
}

impl FromStr for Tag {
    type Err = InvalidReference;

    fn from_str(written: &str) -> Result<Self, InvalidReference> {
        let mut bytes = written.bytes();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let valid = bytes.next().is_some_and(word)
            && bytes.all(|byte| word(byte) || byte == b'.' || byte == b'-')
            && written.len() <= 128;
        if valid {
            Ok(Self(written.into()))
        } else {
            Err(InvalidReference {
                written: written.into(),
                expected: "a tag",
                why: "a tag has 1 to 128 letters, digits, '_', '.', '-' and starts with none of the last two"
                    .into(),
            })
        }
    }
}

/// An image reference, taken apart. At least one of tag and digest is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageReference {
    /// The registry.
    pub registry: Registry,
    /// The repository.
    pub repository: Repository,
    /// The tag; `latest` where neither a tag nor a digest was written.
    pub tag: Option<Tag>,
    /// The digest the image is pinned to, if it is.
    pub digest: Option<Digest>,
}

impl FromStr for ImageReference {
    type Err = InvalidReference;

    fn from_str(written: &str) -> Result<Self, InvalidReference> {
        let refuse =
            |why: String| InvalidReference { written: written.into(), expected: "an image reference", why };
        if let Some(why) = plain_mistake(written) {
            return Err(refuse(why.into()));
        }
        if is_image_id(written) {
            return Err(refuse(
                "it is an image id, which no registry can be asked for; name the image by tag or digest"
                    .into(),
            ));
        }
        let (rest, digest) = match written.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse::<Digest>().map_err(|error| refuse(error.to_string()))?))
            }
            None => (written, None),
        };
        // A colon after the last slash begins the tag; one before it belongs to the host.
        let path_at = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[path_at..].split_once(':') {
            Some((last, tag)) => {
                let tag = tag.parse::<Tag>().map_err(|error| refuse(error.to_string()))?;
                (&rest[..path_at + last.len()], Some(tag))
            }
            None => (rest, None),
        };
        let (host, repository) = split_host(name);
        if !host.is_none_or(is_host) || !is_repository(&repository) {
            let has_capitals = repository.bytes().any(|byte| byte.is_ascii_uppercase());
            let why = if has_capitals {
                "a repository name is lower case"
            } else {
                "write it as registry/repository:tag"
            };
            return Err(refuse(why.into()));
        }
        let tag = tag.or_else(|| digest.is_none().then(|| Tag("latest".into())));
        Ok(Self {
            registry: Registry::new(host.unwrap_or(Registry::DOCKER_HUB)),
            repository: Repository(repository.into()),
            tag,
            digest,
        })
    }
}

/// Whether this is the digest of an image's configuration rather than a name. Runtimes accept it in the place
/// of a name; the grammar would take it for the tag of a repository called `sha256`.
fn is_image_id(written: &str) -> bool {
    let hex = written.strip_prefix("sha256:").unwrap_or(written);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Splits a name into host and repository as Docker does: what stands before the first slash is a host if it
/// has a dot or a colon, or is `localhost`. Docker Hub's official images are below `library`. (Docker also takes
/// a word with a capital for a host; it is always a slip in a repository's name, and told as one.)
fn split_host(name: &str) -> (Option<&str>, String) {
    let host = name.split_once('/').filter(|(first, _)| *first == "localhost" || first.contains(['.', ':']));
    let (host, repository) = host.map_or((None, name), |(host, repository)| (Some(host), repository));
    let is_official =
        host.is_none_or(|host| Registry::new(host).is_docker_hub()) && !repository.contains('/');
    (host, if is_official { format!("library/{repository}") } else { repository.to_owned() })
}

/// A name or address with an optional port.
fn is_host(host: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return is_address && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    port.is_none_or(is_port)
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Path components of lower-case letters and digits, with separators between them: one dot, one or two
/// underscores, or any number of hyphens
/// ([distribution spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)).
fn is_repository(repository: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    repository.len() <= 255
        && repository.split('/').all(|component| {
            let bytes = component.as_bytes();
            let edges = bytes.first().zip(bytes.last());
            edges.is_some_and(|(first, last)| is_word(*first) && is_word(*last))
                && component
                    .split(|c: char| c.is_ascii() && is_word(c as u8))
                    .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|byte| byte == b'-'))
        })
}

/// The mistakes that are made most, in words that tell the fix.
fn plain_mistake(written: &str) -> Option<&'static str> {
    if written.is_empty() {
        Some("it is empty")
    } else if written.chars().any(char::is_whitespace) {
        Some("it has white space in it")
    } else if written.contains("://") {
        Some("write it without a scheme, as in registry.example.com/team/app:1.2")
    } else if written.contains("${") || written.contains("{{") || written.contains("$(") {
        Some("it has a placeholder that was not filled in")
    } else {
        None
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// An image as a workload names it, parsed once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// The text as it stands in the pod.
    pub written: String,
    /// What it says, or why it says nothing.
    pub reference: Result<ImageReference, InvalidReference>,
}

impl Image {
    /// Parses an image name; a name that is none is kept with its error, since its row must be reported.
    pub fn parse(written: &str) -> Self {
        Self { written: written.to_owned(), reference: written.parse() }
    }
}

/// A platform as image indexes name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform(String);

impl Platform {
    /// `os/architecture` with an optional `/variant`.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self(match variant {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        })
    }

    /// Whether this is the stand-in under which BuildKit files attestations in an index.
    pub fn is_unknown(&self) -> bool {
        self.0.starts_with("unknown/")
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "489075c9ca37b7e08a7a71d30b69010cdf1b151396a5feeef7ca5b63134c887e";

    #[test]
    fn short_names_are_docker_hubs() {
        for (written, whole) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27-alpine", "docker.io/library/nginx:1.27-alpine"),
            ("grafana/grafana:11.2.0", "docker.io/grafana/grafana:11.2.0"),
            ("docker.io/nginx:1", "docker.io/library/nginx:1"),
            ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
            ("registry-1.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
            ("localhost/app:1", "localhost/app:1"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("127.0.0.1:5056/team0/app000:v1.1.0", "127.0.0.1:5056/team0/app000:v1.1.0"),
            ("[::1]:5000/team/app:1", "[::1]:5000/team/app:1"),
            ("GHCR.io/acme/web:1", "ghcr.io/acme/web:1"),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ] {
            let reference: ImageReference = written.parse().unwrap();
            assert_eq!(reference.to_string(), whole, "{written}");
        }
    }

    #[test]
    fn a_pinned_reference_has_its_digest_and_only_the_tag_that_was_written() {
        let pinned: ImageReference = format!("ghcr.io/acme/web@sha256:{HEX}").parse().unwrap();
        assert_eq!(pinned.tag, None);
        assert_eq!(pinned.digest.unwrap().hex(), HEX);
        let both: ImageReference = format!("ghcr.io/acme/web:1.2@sha256:{HEX}").parse().unwrap();
        assert_eq!(both.tag.unwrap().as_str(), "1.2");
        assert!(both.digest.is_some());
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        for (written, why) in [
            ("", "it is empty"),
            ("nginx latest", "white space"),
            ("https://ghcr.io/acme/web", "without a scheme"),
            ("ghcr.io/Acme/web:1", "lower case"),
            ("Nginx", "lower case"),
            ("Acme/web", "lower case"),
            ("app:${TAG}", "placeholder"),
            ("app:", "a tag has 1 to 128"),
            ("app@sha256:123", "sha256 has 64 hex digits"),
            ("-app", "write it as registry/repository:tag"),
            ("a//b", "write it as registry/repository:tag"),
            ("ghcr.io/", "write it as registry/repository:tag"),
            ("ghcr.io:x/app", "write it as registry/repository:tag"),
            ("[::1/app", "write it as registry/repository:tag"),
            (HEX, "image id"),
            (&format!("sha256:{HEX}"), "image id"),
        ] {
            let error = written.parse::<ImageReference>().unwrap_err().to_string();
            assert!(error.contains(why), "{written:?}: {error}");
            assert!(
                error.starts_with(&format!("{written:?} is not an image reference")),
                "{error} names the input"
            );
        }
    }

    #[test]
    fn a_digest_of_the_wrong_length_or_algorithm_is_refused() {
        for written in ["sha256:12", "md5:0123", "sha256", &format!("sha256:{}", "g".repeat(64))] {
            assert!(written.parse::<Digest>().is_err(), "{written}");
        }
        assert_eq!(format!("sha256:{}", HEX.to_uppercase()).parse::<Digest>().unwrap().hex(), HEX);
    }

    /// What `oci-spec` makes of a reference; its regular expression takes 11 MiB, so it is asked in tests only.
    fn oracle(written: &str) -> Option<String> {
        written.parse::<oci_spec::distribution::Reference>().ok().map(|reference| reference.whole())
    }

    proptest! {
        #[test]
        fn references_are_what_the_oci_spec_crate_says(
            // Pieces of the grammar in any order, so that most are nearly right.
            pieces in prop::collection::vec(
                prop_oneof![
                    Just("nginx".to_owned()), Just("docker.io".to_owned()), Just("ghcr.io".to_owned()),
                    Just("localhost".to_owned()), Just("library".to_owned()), Just(":5000".to_owned()),
                    Just(":1.2-a".to_owned()), Just("/".to_owned()), Just("/".to_owned()), Just(":".to_owned()),
                    Just("@".to_owned()), Just(format!("@sha256:{HEX}")), Just("--".to_owned()), Just("__".to_owned()),
                    Just("_".to_owned()), Just(".".to_owned()), Just("a".to_owned()), Just("0".to_owned()),
                    "[a-z0-9._-]{1,6}",
                ],
                1..8,
            )
        ) {
            let written = pieces.concat();
            let ours = written.parse::<ImageReference>().ok().map(|reference| reference.to_string());
            // It lets through hosts with an underscore, which no registry can have.
            if split_host(&written).0.is_some_and(|host| host.contains('_')) {
                return Ok(());
            }
            let theirs = oracle(&written).map(|whole| whole.replace("index.docker.io/", "docker.io/"));
            prop_assert_eq!(ours, theirs, "{}", written);
        }

        #[test]
        fn parsing_never_panics_and_what_parses_prints_back_to_itself(written in "\\PC{0,60}") {
            if let Ok(reference) = written.parse::<ImageReference>() {
                prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
            }
        }

        #[test]
        fn whole_references_parse_to_their_parts(
            host in "[a-z][a-z0-9-]{0,8}[a-z0-9]\\.[a-z]{2,5}(:[1-9][0-9]{1,3})?",
            repository in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,20}",
        ) {
            prop_assume!(!DOCKER_HUB.contains(&host.as_str()));
            let reference: ImageReference = format!("{host}/{repository}:{tag}").parse().unwrap();
            prop_assert_eq!(reference.registry.as_str(), host);
            prop_assert_eq!(reference.repository.as_str(), repository);
            prop_assert_eq!(reference.tag.as_ref().map(Tag::as_str), Some(tag.as_str()));
        }
    }
}
