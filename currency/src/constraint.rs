//! Constraints on a Kubernetes version, as charts write them
//! ([`kubeVersion`](https://helm.sh/docs/topics/charts/#the-kubeversion-field)).

use semver::{Prerelease, Version};

/// Alternatives, each of which wants all of its comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint(Vec<Vec<Comparison>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    operator: Operator,
    bound: Bound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Tilde,
    Caret,
}

/// A version of which the last parts may be left open: `1.27.x`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    version: Version,
    /// How many parts are given.
    parts: usize,
}

const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Constraint {
    /// Reads a constraint.
    ///
    /// # Errors
    ///
    /// What part of it is no comparison.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split("||").map(all_of).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a version satisfies it. What a vendor adds to the version (`v1.27.3-gke.100`) does not count.
    pub fn allows(&self, version: &Version) -> bool {
        let plain = Version::new(version.major, version.minor, version.patch);
        self.0.iter().any(|all| all.iter().all(|one| one.allows(&plain)))
    }
}

/// The version of a cluster, as its API writes it; nothing for a build that was not told its version.
pub fn cluster_version(text: &str) -> Option<Version> {
    let text = text.trim().trim_start_matches('v');
    let bound = bound(text.split(['-', '+']).next()?).ok()?;
    (bound.parts >= 2 && bound.version.major > 0).then_some(bound.version)
}

fn all_of(text: &str) -> Result<Vec<Comparison>, String> {
    let text = text.trim();
    if let Some((low, high)) = text.split_once(" - ") {
        return Ok(vec![
            Comparison { operator: Operator::GreaterOrEqual, bound: bound(low)? },
            Comparison { operator: Operator::LessOrEqual, bound: bound(high)? },
        ]);
    }
    let mut found = Vec::new();
    let mut rest = text.trim_matches(is_between);
    while !rest.is_empty() {
        let known = OPERATORS.iter().find(|(written, _)| rest.starts_with(written));
        let (written, operator) = known.copied().unwrap_or(("", Operator::Equal));
        let behind = rest[written.len()..].trim_start();
        let end =
            behind.find(|letter| is_between(letter) || "<>=!~^".contains(letter)).unwrap_or(behind.len());
        found.push(Comparison { operator, bound: bound(&behind[..end])? });
        rest = behind[end..].trim_start_matches(is_between);
    }
    Ok(found)
}

fn is_between(letter: char) -> bool {
    letter == ',' || letter.is_whitespace()
}

fn bound(text: &str) -> Result<Bound, String> {
    let refuse = || format!("{text:?} is no version");
    let text = text.trim().trim_start_matches('v');
    let text = text.split('+').next().unwrap_or_default();
    let (numbers, pre_release) =
        text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut version = Version::new(0, 0, 0);
    let mut parts = 0;
    for (at, written) in numbers.split('.').enumerate() {
        if matches!(written, "x" | "X" | "*") {
            break;
        }
        let number = written.parse().map_err(|_| refuse())?;
        match at {
            0 => version.major = number,
            1 => version.minor = number,
            2 => version.patch = number,
            _ => return Err(refuse()),
        }
        parts = at + 1;
    }
    if let Some(pre_release) = pre_release {
        version.pre = Prerelease::new(pre_release).map_err(|_| refuse())?;
    }
    Ok(Bound { version, parts })
}

impl Bound {
    /// The first version beyond those that have the first `parts` parts of this one.
    fn beyond(&self, parts: usize) -> Option<Version> {
        let Version { major, minor, patch, .. } = self.version;
        match parts {
            0 => None,
            1 => Some(Version::new(major.saturating_add(1), 0, 0)),
            2 => Some(Version::new(major, minor.saturating_add(1), 0)),
            _ => Some(Version::new(major, minor, patch.saturating_add(1))),
        }
    }

    /// How many parts a caret keeps: up to the first that is not zero.
    fn kept_by_caret(&self) -> usize {
        let Version { major, minor, .. } = self.version;
        let first = match (major, minor) {
            (0, 0) => 3,
            (0, _) => 2,
            _ => 1,
        };
        first.min(self.parts)
    }

    fn is_among(&self, version: &Version, parts: usize) -> bool {
        *version >= self.version && self.beyond(parts).is_none_or(|beyond| *version < beyond)
    }
}

impl Comparison {
    fn allows(&self, version: &Version) -> bool {
        let Self { operator, bound } = self;
        let is_beyond = || bound.beyond(bound.parts).is_some_and(|beyond| *version >= beyond);
        let is_itself =
            || if bound.parts < 3 { bound.is_among(version, bound.parts) } else { *version == bound.version };
        match operator {
            Operator::Equal => is_itself(),
            Operator::NotEqual => !is_itself(),
            Operator::Greater if bound.parts < 3 => is_beyond(),
            Operator::Greater => *version > bound.version,
            Operator::GreaterOrEqual => *version >= bound.version,
            Operator::Less => *version < bound.version,
            Operator::LessOrEqual if bound.parts < 3 => !is_beyond(),
            Operator::LessOrEqual => *version <= bound.version,
            Operator::Tilde => bound.is_among(version, bound.parts.min(2)),
            Operator::Caret => bound.is_among(version, bound.kept_by_caret()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn constraints_are_read_as_helm_reads_them() {
        for (constraint, allowed, refused) in [
            (">=1.21.0-0", "1.21.0 1.30.4", "1.20.15"),
            (">= 1.19.0-0 < 1.26.0-0", "1.19.0 1.25.16", "1.26.0 1.18.9"),
            (">=1.19, <1.26", "1.19.0 1.25.9", "1.26.0"),
            ("^1.20.0", "1.20.0 1.99.0", "2.0.0 1.19.9"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0"),
            ("~1.25", "1.25.0 1.25.9", "1.26.0"),
            ("~1", "1.0.0 1.30.0", "2.0.0"),
            ("1.27.x", "1.27.0 1.27.9", "1.28.0"),
            ("1.22 - 1.25", "1.22.0 1.25.9", "1.26.0 1.21.9"),
            ("1.20.x || >=1.25.0", "1.20.4 1.25.0", "1.24.9"),
            ("!=1.24.x", "1.25.0", "1.24.3"),
            (">1.24", "1.25.0", "1.24.9"),
            ("<=1.24", "1.24.9 1.0.0", "1.25.0"),
            ("*", "1.0.0 9.9.9", ""),
            ("", "1.0.0", ""),
            ("1.27.3", "1.27.3", "1.27.4"),
            ("=>1.16", "1.16.0", "1.15.9"),
        ] {
            let parsed = Constraint::parse(constraint).unwrap();
            for version in allowed.split_whitespace() {
                assert!(parsed.allows(&version.parse().unwrap()), "{constraint} allows {version}");
            }
            for version in refused.split_whitespace() {
                assert!(!parsed.allows(&version.parse().unwrap()), "{constraint} refuses {version}");
            }
        }
        for wrong in [">=one", "1.2.3.4", ">=", "1.2 || latest"] {
            assert!(Constraint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_clusters_version_is_read_with_what_vendors_add() {
        let read = |text: &str| cluster_version(text).map(|version| version.to_string());
        assert_eq!(read("v1.27.3-gke.100").as_deref(), Some("1.27.3"));
        assert_eq!(read("v1.34.0").as_deref(), Some("1.34.0"));
        assert_eq!(read("v1.28.5+k3s1").as_deref(), Some("1.28.5"));
        assert_eq!(read("1.29").as_deref(), Some("1.29.0"));
        assert_eq!(read("unknown"), None);
        assert_eq!(read("v0.0.0-master+$Format:%H$"), None);
        assert!(Constraint::parse(">=1.21.0").unwrap().allows(&cluster_version("v1.27.3-gke.100").unwrap()));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}", version in "\\PC{0,20}") {
            let parsed = Constraint::parse(&text);
            if let (Ok(constraint), Some(version)) = (parsed, cluster_version(&version)) {
                constraint.allows(&version);
            }
        }
    }
}
