//! What holds of every list of tags, reckoned from how the tags were made and not from how they are read.

use proptest::prelude::*;
use provenance_currency::{Rule, compare};

/// A tag by its parts.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    prefix: &'static str,
    version: Vec<u32>,
    pre_release: Option<(&'static str, u32)>,
    variant: &'static str,
    base: Option<(&'static str, u32, u32)>,
}

impl Made {
    fn text(&self) -> String {
        let version: Vec<_> = self.version.iter().map(ToString::to_string).collect();
        let pre = self.pre_release.map(|(word, number)| format!("-{word}.{number}")).unwrap_or_default();
        let base =
            self.base.map(|(word, major, minor)| format!("-{word}{major}.{minor}")).unwrap_or_default();
        format!("{}{}{pre}{}{base}", self.prefix, version.join("."), self.variant)
    }

    /// Of the same prefix, variant and base; the base's version may be any.
    fn is_like(&self, other: &Self) -> bool {
        let base = |made: &Self| made.base.map(|(word, ..)| word);
        (self.prefix, self.variant, base(self)) == (other.prefix, other.variant, base(other))
    }

    /// Version, then pre-release, a release being the last of its version; then the base.
    fn is_older_than(&self, other: &Self) -> bool {
        let rank = |word: &str| ["alpha", "beta", "rc"].iter().position(|known| *known == word);
        let key = |made: &Self| {
            let pre = made.pre_release.map_or((1, None, 0), |(word, number)| (0, rank(word), number));
            (made.version.clone(), pre)
        };
        key(self) < key(other) || key(self) == key(other) && self.base != other.base
    }
}

/// Few parts, so that tags of a list often have something in common.
fn made() -> impl Strategy<Value = Made> {
    let prefix = prop_oneof![Just(""), Just("v"), Just("release-"), Just("amd64-")];
    let version = prop::collection::vec(0..12_u32, 2..=4);
    let pre = prop::option::weighted(0.2, (prop_oneof![Just("alpha"), Just("beta"), Just("rc")], 0..4_u32));
    let variant = prop_oneof![Just(""), Just("-slim"), Just("-fips"), Just("-slim-bookworm"), Just("-jdk17")];
    let base =
        prop::option::weighted(0.3, (prop_oneof![Just("alpine"), Just("ubuntu")], 3..5_u32, 18..22_u32));
    (prefix, version, pre, variant, base).prop_map(|(prefix, version, pre_release, variant, base)| Made {
        prefix,
        version,
        pre_release,
        variant,
        base,
    })
}

/// What lists hold besides: dates, counters, commits, names, what is attached to images.
fn noise() -> impl Strategy<Value = String> {
    prop_oneof![
        "20(1[5-9]|2[0-6])(0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])",
        "[1-9][0-9]{6,8}",
        "[0-9a-f]{7}",
        "(latest|stable|edge|main|bookworm)",
        "sha256-[0-9a-f]{64}(\\.sig|\\.att)?",
        "pr-[0-9]{1,3}",
        "[a-z]{1,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_suggestion_is_a_downgrade_or_of_another_line_or_no_version_at_all(
        running in made(),
        others in prop::collection::vec(made(), 0..40),
        noise in prop::collection::vec(noise(), 0..20),
        skip_pre_releases in any::<bool>(),
    ) {
        let mut tags: Vec<String> = others.iter().map(Made::text).chain(noise).collect();
        tags.push(running.text());
        let rule = Rule { skip_pre_releases, ..Rule::default() };
        let told = compare(&running.text(), tags.iter().map(String::as_str), &rule);
        for suggested in [&told.newest, &told.latest_in_major, &told.latest_in_minor].into_iter().flatten() {
            let of = others.iter().find(|made| made.text() == *suggested);
            prop_assert!(of.is_some(), "{} is told {suggested}, which is no version", running.text());
            let of = of.unwrap();
            prop_assert!(running.is_like(of), "{} is told {suggested}, which is another line", running.text());
            prop_assert!(running.is_older_than(of), "{} is told {suggested}, which is older", running.text());
            let may_be_candidate =
                !skip_pre_releases || running.pre_release.is_some() && running.version == of.version;
            prop_assert!(of.pre_release.is_none() || may_be_candidate, "{} is told {suggested}", running.text());
        }
        prop_assert!(told.compared <= told.listed);
        prop_assert_eq!(told.newest.is_some(), told.bump.is_some());
        prop_assert!(told.newest.is_some() || told.latest_in_major.is_none() && told.versions_behind == 0);
    }

    #[test]
    fn the_order_of_the_list_does_not_matter(
        running in made(),
        others in prop::collection::vec(made(), 0..30),
        noise in prop::collection::vec(noise(), 0..10),
    ) {
        let mut tags: Vec<String> = others.iter().map(Made::text).chain(noise).collect();
        let rule = Rule { skip_pre_releases: true, ..Rule::default() };
        let told = compare(&running.text(), tags.iter().map(String::as_str), &rule);
        tags.reverse();
        prop_assert_eq!(compare(&running.text(), tags.iter().map(String::as_str), &rule), told);
    }

    #[test]
    fn no_text_makes_it_panic(
        running in "\\PC{0,40}",
        tags in prop::collection::vec(prop_oneof!["\\PC{0,40}", "[0-9a-zA-Z._+-]{0,40}"], 0..20),
    ) {
        let told = compare(&running, tags.iter().map(String::as_str), &Rule::default());
        prop_assert!(told.newest.is_none_or(|newest| tags.contains(&newest)));
    }
}
