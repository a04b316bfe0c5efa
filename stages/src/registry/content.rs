//! Manifests and indexes: parsed, and checked against the digest they were asked by.

use bytes::Bytes;
use jiff::Timestamp;
use oci_spec::image::{ImageIndex, ImageManifest};
use provenance_engine::{Failure, FailureKind};
use provenance_model::{Digest, Platform};
use serde::Deserialize;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The media types we ask for, newest first.
pub(super) const ACCEPT_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// A manifest or index as a registry answered it.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes, which are valid. Taken apart they are some four times as large, and are kept for a while.
    pub(super) body: Bytes,
    pub(super) is_index: bool,
    /// When it was fetched, where an earlier run did.
    pub since: Option<Timestamp>,
}

/// What a manifest says.
#[derive(Debug, Clone)]
pub enum Content {
    /// An OCI index or a Docker manifest list.
    Index(Box<ImageIndex>),
    /// An OCI or Docker image manifest.
    Image(Box<ImageManifest>),
}

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its digest.
    pub digest: Digest,
    /// Its platform, where the index names one.
    pub platform: Option<Platform>,
}

impl Content {
    fn read(body: &[u8], is_index: bool) -> serde_json::Result<Self> {
        if is_index {
            serde_json::from_slice(body).map(Self::Index)
        } else {
            serde_json::from_slice(body).map(Self::Image)
        }
    }
}

impl Manifest {
    /// Parses an answer. `expected` is the digest it was asked by, or that the answer itself claims.
    pub fn parse(
        body: &Bytes,
        content_type: Option<&str>,
        expected: Option<&Digest>,
    ) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Shape {
            schema_version: Option<u64>,
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let shape: Shape =
            serde_json::from_slice(body).map_err(|error| format!("it is no manifest: {error}"))?;
        match shape.schema_version {
            Some(2) => {}
            Some(1) => {
                return Err("it is a Docker manifest of schema 1, which no current runtime pulls".into());
            }
            _ => return Err("it is no manifest: it has no schemaVersion 2".into()),
        }
        let announced = content_type.map(|value| value.split(';').next().unwrap_or(value).trim());
        let media_type = shape.media_type.as_deref().or(announced.filter(|value| value.contains("vnd.")));
        let is_index = match media_type {
            Some(media_type) if media_type.contains("index") || media_type.contains("manifest.list") => true,
            Some(media_type) if media_type.contains("manifest") => false,
            _ => shape.manifests.is_some(),
        };
        let kind = if is_index { "index" } else { "manifest" };
        Content::read(body, is_index).map_err(|error| format!("it is no valid {kind}: {error}"))?;
        let media_type = media_type.unwrap_or(if is_index {
            "application/vnd.oci.image.index.v1+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        });
        let digest = digest_of(body, expected);
        // A copy: the bytes can be a part of a buffer that is larger.
        let body = Bytes::copy_from_slice(body);
        Ok(Self { digest, media_type: media_type.to_owned(), body, is_index, since: None })
    }

    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// What it says.
    ///
    /// # Panics
    ///
    /// Never: its bytes were read when it was made.
    pub fn content(&self) -> Content {
        Content::read(&self.body, self.is_index).expect("what could be read can be read again")
    }

    /// Whether it is an index.
    pub fn is_index(&self) -> bool {
        self.is_index
    }

    /// The manifests of an index, without BuildKit's attestations. Empty for an image manifest.
    pub fn children(&self) -> Vec<Child> {
        let Content::Index(index) = self.content() else { return Vec::new() };
        index
            .manifests()
            .iter()
            .filter_map(|descriptor| {
                let platform = descriptor.platform().as_ref().map(|platform| {
                    let variant = platform.variant().as_deref();
                    Platform::new(&platform.os().to_string(), &platform.architecture().to_string(), variant)
                });
                let digest = descriptor.digest().to_string().parse().ok()?;
                Some(Child { digest, platform })
            })
            .filter(|child| child.platform.as_ref().is_none_or(|platform| !platform.is_unknown()))
            .collect()
    }

    /// When it was made, where its annotations say so
    /// ([OCI](https://github.com/opencontainers/image-spec/blob/main/annotations.md)).
    pub fn created_at(&self) -> Option<Timestamp> {
        let content = self.content();
        let annotations = match &content {
            Content::Index(index) => index.annotations().as_ref(),
            Content::Image(image) => image.annotations().as_ref(),
        };
        meant_time(annotations?.get("org.opencontainers.image.created")?)
    }

    /// The digest of an image manifest's configuration, which runtimes call the image id.
    pub fn config_digest(&self) -> Option<Digest> {
        match self.content() {
            Content::Index(_) => None,
            Content::Image(image) => image.config().digest().to_string().parse().ok(),
        }
    }
}

/// The time that a text tells. Reproducible builds write the year 0, 1970 or 1980 where they mean no time at all.
pub(crate) fn meant_time(text: &str) -> Option<Timestamp> {
    const YEAR_1981: i64 = 347_155_200;
    text.parse().ok().filter(|time: &Timestamp| time.as_second() >= YEAR_1981)
}

/// The platforms most clusters run come first.
pub(crate) fn usual_first(platform: Option<&Platform>) -> (u8, String) {
    let name = platform.map(ToString::to_string).unwrap_or_default();
    let rank = match name.as_str() {
        "linux/amd64" => 0,
        name if name.starts_with("linux/arm64") => 1,
        name if name.starts_with("linux/") => 2,
        _ => 3,
    };
    (rank, name)
}

/// A digest on its way.
#[derive(Debug, Clone)]
pub(super) enum Sum {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Sum {
    /// By the algorithm of this digest.
    pub(super) fn like(digest: &Digest) -> Self {
        match digest.algorithm() {
            "sha512" => Self::Sha512(Sha512::new()),
            "sha384" => Self::Sha384(Sha384::new()),
            _ => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sum) => sum.update(bytes),
            Self::Sha384(sum) => sum.update(bytes),
            Self::Sha512(sum) => sum.update(bytes),
        }
    }

    pub(super) fn digest(self) -> Digest {
        let (algorithm, sum) = match self {
            Self::Sha256(sum) => ("sha256", sum.finalize().to_vec()),
            Self::Sha384(sum) => ("sha384", sum.finalize().to_vec()),
            Self::Sha512(sum) => ("sha512", sum.finalize().to_vec()),
        };
        format!("{algorithm}:{}", hex::encode(sum))
            .parse()
            .expect("a digest that was computed is well formed")
    }
}

impl std::io::Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The digest of these bytes, by the algorithm of `like` (SHA-256 without one).
pub(super) fn digest_of(bytes: &[u8], like: Option<&Digest>) -> Digest {
    let mut sum = like.map_or_else(|| Sum::Sha256(Sha256::new()), Sum::like);
    sum.update(bytes);
    sum.digest()
}

/// Refuses content that does not have the digest it should.
pub(super) fn check_digest(bytes: &[u8], expected: &Digest, place: &str) -> Result<(), Failure> {
    let actual = digest_of(bytes, Some(expected));
    if actual == *expected {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::DigestMismatch,
        format!("{place}: the content has digest {actual}, not {expected}"),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(body: &str) -> Result<Manifest, String> {
        Manifest::parse(&Bytes::copy_from_slice(body.as_bytes()), None, None)
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_the_reason() {
        for (body, why) in [
            ("", "no manifest"),
            ("<html>", "no manifest"),
            ("{}", "no schemaVersion 2"),
            (r#"{"schemaVersion":1}"#, "schema 1"),
            (r#"{"schemaVersion":2}"#, "no valid manifest"),
            (r#"{"schemaVersion":2,"manifests":[{}]}"#, "no valid index"),
        ] {
            let error = parse(body).unwrap_err();
            assert!(error.contains(why), "{body}: {error}");
        }
    }

    #[test]
    fn an_index_names_its_platforms_without_buildkits_attestations() {
        let hex = |c: &str| format!("sha256:{}", c.repeat(64));
        let body = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": hex("a"),
                 "platform": {"os": "linux", "architecture": "amd64"}},
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": hex("b"),
                 "platform": {"os": "linux", "architecture": "arm", "variant": "v7"}},
                {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 1, "digest": hex("c"),
                 "platform": {"os": "unknown", "architecture": "unknown"}},
            ],
        });
        let children = parse(&body.to_string()).unwrap().children();
        let platforms: Vec<_> =
            children.iter().map(|child| child.platform.as_ref().unwrap().to_string()).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm/v7"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(Manifest::parse(&Bytes::from(body), Some("application/json"), None));
        }
    }
}
