//! Which of a chart's versions is newer than the one that is installed. Charts are versioned by
//! [semver](https://helm.sh/docs/topics/charts/#charts-and-versioning).

use semver::Version;

use crate::compare::Bump;
use crate::constraint::Constraint;

/// One version of a chart, as a repository lists it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChartVersion {
    /// The version.
    pub version: String,
    /// The Kubernetes versions it is for.
    pub kube_version: Option<String>,
    /// Whether the chart is deprecated since.
    pub deprecated: bool,
}

/// What a repository's list says of the version that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChartComparison {
    /// How many versions the list has.
    pub listed: usize,
    /// How many of them are newer, and left out because the cluster's Kubernetes version is not for them.
    pub other_kubernetes: usize,
    /// The newest of the running major and minor version, where it is newer.
    pub latest_in_minor: Option<String>,
    /// The newest of the running major version, where it is newer.
    pub latest_in_major: Option<String>,
    /// The newest of all, where it is newer.
    pub newest: Option<String>,
    /// How far the newest is from the one that is installed.
    pub bump: Option<Bump>,
    /// How many versions are newer, those left out aside.
    pub versions_behind: usize,
    /// Whether the chart is deprecated: its newest version says so, or the installed one.
    pub deprecated: bool,
}

/// The version that a chart or an OCI tag writes: a tag holds `_` where the version holds `+`.
fn version(text: &str) -> Option<Version> {
    Version::parse(text.trim_start_matches('v').replace('_', "+").as_str()).ok()
}

/// Compares the version that is installed with every version of its repository. `cluster` is the version of Kubernetes.
///
/// # Errors
///
/// Where the installed version is none.
pub fn compare_chart(
    installed: &str,
    versions: &[ChartVersion],
    cluster: Option<&Version>,
    skip_pre_releases: bool,
) -> Result<ChartComparison, String> {
    let running = version(installed).ok_or_else(|| format!("{installed:?} is no version of a chart"))?;
    let mut comparison = ChartComparison { listed: versions.len(), ..ChartComparison::default() };
    let mut read: Vec<(Version, &ChartVersion)> =
        versions.iter().filter_map(|listed| Some((version(&listed.version)?, listed))).collect();
    read.sort_by(|(a, of_a), (b, of_b)| a.cmp(b).then_with(|| of_b.version.cmp(&of_a.version)));
    let last_release = read.iter().rev().find(|(version, _)| version.pre.is_empty());
    let itself = read.iter().find(|(version, _)| *version == running);
    comparison.deprecated =
        last_release.or(read.last()).or(itself).is_some_and(|(_, listed)| listed.deprecated)
            || itself.is_some_and(|(_, listed)| listed.deprecated);
    let is_same = |other: &Version| {
        [running.major, running.minor, running.patch] == [other.major, other.minor, other.patch]
    };
    let may_follow = |other: &Version| {
        !skip_pre_releases || other.pre.is_empty() || !running.pre.is_empty() && is_same(other)
    };
    let newer: Vec<&(Version, &ChartVersion)> = read
        .iter()
        .filter(|(version, listed)| {
            version.cmp_precedence(&running).is_gt() && may_follow(version) && !listed.deprecated
        })
        .collect();
    let fits = |listed: &ChartVersion| {
        let constraint = listed.kube_version.as_deref().and_then(|text| Constraint::parse(text).ok());
        constraint.zip(cluster).is_none_or(|(constraint, cluster)| constraint.allows(cluster))
    };
    let (fitting, other): (Vec<_>, Vec<_>) = newer.into_iter().partition(|(_, listed)| fits(listed));
    comparison.other_kubernetes = other.len();
    comparison.versions_behind = fitting.len();
    let newest_of = |is_in_line: &dyn Fn(&Version) -> bool| {
        fitting
            .iter()
            .rev()
            .find(|(version, _)| is_in_line(version))
            .map(|(_, listed)| listed.version.clone())
    };
    comparison.newest = newest_of(&|_| true);
    comparison.latest_in_major = newest_of(&|version| version.major == running.major);
    comparison.latest_in_minor =
        newest_of(&|version| version.major == running.major && version.minor == running.minor);
    comparison.bump = fitting.last().map(|(newest, _)| {
        if newest.major != running.major {
            Bump::Major
        } else if newest.minor != running.minor {
            Bump::Minor
        } else {
            Bump::Patch
        }
    });
    Ok(comparison)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(versions: &[&str]) -> Vec<ChartVersion> {
        versions
            .iter()
            .map(|written| {
                let (version, rest) = written.split_once(' ').unwrap_or((written, ""));
                ChartVersion {
                    version: version.to_owned(),
                    kube_version: rest.strip_prefix("for ").map(str::to_owned),
                    deprecated: rest == "deprecated",
                }
            })
            .collect()
    }

    fn told(installed: &str, versions: &[&str]) -> ChartComparison {
        let cluster = Version::new(1, 27, 3);
        compare_chart(installed, &listed(versions), Some(&cluster), true).unwrap()
    }

    #[test]
    fn the_newest_of_each_line_is_told() {
        let found = told("4.8.0", &["4.8.0", "4.8.3", "4.9.1", "5.0.0", "5.1.0-rc.1", "nonsense", "4.7.0"]);
        assert_eq!(found.latest_in_minor.as_deref(), Some("4.8.3"));
        assert_eq!(found.latest_in_major.as_deref(), Some("4.9.1"));
        assert_eq!(found.newest.as_deref(), Some("5.0.0"));
        assert_eq!((found.bump, found.versions_behind), (Some(Bump::Major), 3));
        assert_eq!(told("5.0.0", &["4.8.0", "5.0.0"]).newest, None);
    }

    #[test]
    fn a_version_for_another_kubernetes_is_left_out_and_counted() {
        let found =
            told("1.0.0", &["1.0.0", "1.1.0 for >=1.21.0-0", "1.2.0 for >=1.28.0-0", "1.3.0 for >= 1.29"]);
        assert_eq!((found.newest.as_deref(), found.other_kubernetes), (Some("1.1.0"), 2));
    }

    #[test]
    fn a_deprecated_chart_says_so_and_suggests_no_deprecated_version() {
        let found = told("1.0.0", &["1.0.0", "1.1.0", "1.2.0 deprecated"]);
        assert_eq!((found.newest.as_deref(), found.deprecated), (Some("1.1.0"), true));
    }

    #[test]
    fn a_pre_release_is_followed_by_its_own_version_and_oci_tags_are_read() {
        let found = told("2.0.0-beta.1", &["2.0.0-beta.1", "2.0.0-beta.2", "3.0.0-alpha.1"]);
        assert_eq!(found.newest.as_deref(), Some("2.0.0-beta.2"));
        assert_eq!(
            told("1.0.0+build.1", &["1.0.0_build.1", "1.0.1_build.7"]).newest.as_deref(),
            Some("1.0.1_build.7")
        );
        assert!(compare_chart("main", &[], None, true).is_err());
    }
}
