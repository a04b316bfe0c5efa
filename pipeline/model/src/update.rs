//! Updates: what is newer than what runs, and what somebody wants to be told of it.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The first part of a version that an update changes; also the smallest such change that is worth a word.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum UpdateLevel {
    /// The third part or a later one, or what is built of the same version.
    #[default]
    Patch,
    /// The second part.
    Minor,
    /// The first part.
    Major,
}

impl UpdateLevel {
    /// The level's word, as options and reports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
        }
    }

    /// The level that this word names.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Patch, Self::Minor, Self::Major].into_iter().find(|level| level.word() == word)
    }
}

/// How a tag that moves from image to image stands to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Floating {
    /// What runs is what the tag names.
    Current,
    /// The tag names something else by now.
    Moved,
    /// The registry has no such tag any more.
    Gone,
    /// Nothing was compared.
    Unknown,
}

/// Update facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The running tag; empty for an image that is named by its digest only.
    pub current_tag: String,
    /// The newest tag of the running major, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_in_major: Option<String>,
    /// The newest tag of all, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_available: Option<String>,
    /// Whether there is an update at the level asked for.
    pub update_available: bool,
    /// The newest tag of the running major and minor, when newer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_in_minor: Option<String>,
    /// The first part of the version that the newest changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<UpdateLevel>,
    /// How many versions are newer; builds of one version count once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions_behind: Option<usize>,
    /// How the running tag counts, such as `semver` or `date stamp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// What stands behind the version of the running tag, such as `alpine3.20`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Why this is the answer, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether what runs is what the tag names, for a tag that moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floating: Option<Floating>,
    /// The tags that name the digest, where the image is named by its digest only and the registry's list tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// When what runs was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// What says when it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_from: Option<CreatedFrom>,
    /// The rule that applied: its images as the configuration file writes them, or `annotations`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the newest tag is like, beside what runs; where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<Box<Upgrade>>,
}

/// What says when an image was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CreatedFrom {
    /// The annotation `org.opencontainers.image.created` of its manifest or index.
    Annotation,
    /// Its provenance.
    Provenance,
    /// The registry's list of tags.
    TagList,
    /// Its configuration.
    Config,
}

/// What the newest tag is like, beside what runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upgrade {
    /// The tag.
    pub tag: String,
    /// What it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether it is made for the platform that runs; absent where no platform is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_platform: Option<bool>,
    /// Whether it is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// Whether its signature is verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Who signed it, as verified.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub signers: Vec<String>,
    /// Whether it has provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_provenance: Option<bool>,
    /// Whether it has an SBOM.
    #[serde(rename = "hasSBOM", skip_serializing_if = "Option::is_none")]
    pub has_sbom: Option<bool>,
    /// What an upgrade to it would lose. Empty where it loses nothing.
    pub loses: Vec<Loss>,
    /// What could not be found out of it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unknown: Vec<String>,
}

/// Something that what runs has, and the newest tag has not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Loss {
    /// What is lost.
    pub what: Lost,
    /// One line for people.
    pub message: String,
}

/// What an upgrade can lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Lost {
    /// The tag is listed, and names nothing.
    Image,
    /// It is not made for the platform that runs.
    Platform,
    /// It is not signed.
    Signature,
    /// Its signature is not verified, that of what runs is.
    Verification,
    /// None of those who signed what runs signed it.
    Signer,
    /// It has no provenance.
    Provenance,
    /// It has no SBOM.
    #[serde(rename = "sbom")]
    Sbom,
}

/// What a pod's annotations want of updates, for one container: those of
/// [version-checker](https://github.com/jetstack/version-checker).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct UpdateWishes {
    /// `enable`: whether updates are looked for.
    pub enable: Option<bool>,
    /// `match-regex`: only tags in which this occurs. The other wishes then do not count.
    pub match_regex: Option<Arc<str>>,
    /// `use-metadata`: pre-releases too.
    pub use_metadata: bool,
    /// `use-sha`: only whether the digest is current.
    pub use_sha: bool,
    /// `pin-major`.
    pub pin_major: Option<u64>,
    /// `pin-minor`.
    pub pin_minor: Option<u64>,
    /// `pin-patch`.
    pub pin_patch: Option<u64>,
    /// `override-url`: the repository whose tags count.
    pub override_url: Option<Arc<str>>,
    /// Annotations that were not understood, each with the reason.
    pub refused: Vec<String>,
}

impl UpdateWishes {
    /// What stands behind the first part of every annotation's name.
    pub const DOMAIN: &str = ".version-checker.io/";

    /// The wishes for one container in a pod's annotations; none where it has none.
    pub fn of<'a>(
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
        container: &str,
    ) -> Option<Self> {
        let mut wishes = Self::default();
        for (name, value) in annotations {
            let Some((what, of)) = name.split_once(Self::DOMAIN) else { continue };
            if of == container {
                wishes.read(name, what, value.trim());
            }
        }
        (wishes != Self::default()).then_some(wishes)
    }

    fn read(&mut self, name: &str, what: &str, value: &str) {
        let is_true = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(format!("annotation {name}: {value:?} is neither true nor false")),
        };
        let number =
            || value.parse().map(Some).map_err(|_| format!("annotation {name}: {value:?} is no number"));
        let read = match what {
            "enable" => is_true().map(|is_true| self.enable = Some(is_true)),
            "use-metadata" => is_true().map(|is_true| self.use_metadata = is_true),
            "use-sha" => is_true().map(|is_true| self.use_sha = is_true),
            // A digest's tags are told wherever the registry's list tells them.
            "resolve-sha-to-tags" => Ok(()),
            "pin-major" => number().map(|number| self.pin_major = number),
            "pin-minor" => number().map(|number| self.pin_minor = number),
            "pin-patch" => number().map(|number| self.pin_patch = number),
            "match-regex" => {
                self.match_regex = Some(value.into());
                Ok(())
            }
            "override-url" => {
                self.override_url = Some(value.into());
                Ok(())
            }
            _ => Err(format!("annotation {name} is not known")),
        };
        if let Err(why) = read {
            self.refused.push(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(annotations: &[(&str, &str)]) -> Option<UpdateWishes> {
        UpdateWishes::of(annotations.iter().copied(), "app")
    }

    #[test]
    fn a_containers_own_annotations_are_read_and_no_others() {
        assert_eq!(wishes(&[("pin-major.version-checker.io/other", "4"), ("app", "x")]), None);
        let read = wishes(&[
            ("pin-major.version-checker.io/app", "4"),
            ("enable.version-checker.io/app", "false"),
            ("match-regex.version-checker.io/app", r"^v\d+"),
        ]);
        let read = read.unwrap();
        assert_eq!(
            (read.pin_major, read.enable, read.match_regex.as_deref()),
            (Some(4), Some(false), Some(r"^v\d+"))
        );
        assert_eq!(read.refused, Vec::<String>::new());
    }

    #[test]
    fn what_an_annotation_says_wrong_is_told() {
        let read = wishes(&[
            ("pin-major.version-checker.io/app", "four"),
            ("use-sha.version-checker.io/app", "yes"),
        ]);
        assert_eq!(
            read.unwrap().refused,
            [
                r#"annotation pin-major.version-checker.io/app: "four" is no number"#,
                r#"annotation use-sha.version-checker.io/app: "yes" is neither true nor false"#,
            ]
        );
    }
}
