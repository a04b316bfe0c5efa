//! What is told of tags as popular registries write them.

use provenance_currency::{Bump, Rule, compare};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repository {
    image: String,
    /// How the repository writes its tags.
    convention: String,
    tags: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    running: String,
    newest: Option<String>,
    in_major: Option<String>,
    in_minor: Option<String>,
    bump: Option<String>,
    scheme: Option<String>,
    prefix: Option<String>,
    variant: Option<String>,
    #[serde(default)]
    floating: bool,
    /// Pre-releases are asked for.
    #[serde(default)]
    pre: bool,
    /// Why a person would answer so, where the convention does not say.
    why: Option<String>,
}

#[test]
fn every_tag_is_told_the_update_that_a_person_would_choose() {
    let repositories: Vec<Repository> =
        serde_saphyr::from_str(include_str!("data/tags.yaml")).expect("cases");
    let mut wrong = Vec::new();
    let mut count = 0;
    for repository in &repositories {
        let tags: Vec<&str> = repository.tags.split_whitespace().collect();
        for case in &repository.cases {
            count += 1;
            let told = compare(
                &case.running,
                tags.iter().copied(),
                &Rule { skip_pre_releases: !case.pre, ..Rule::default() },
            );
            let bump = told.bump.map(|bump| match bump {
                Bump::Patch => "patch".to_owned(),
                Bump::Minor => "minor".to_owned(),
                Bump::Major => "major".to_owned(),
            });
            let wanted = (&case.newest, &case.in_major, &case.in_minor, &case.bump, case.floating);
            let found = (&told.newest, &told.latest_in_major, &told.latest_in_minor, &bump, told.is_floating);
            let differs = |wanted: &Option<String>, found: String| {
                wanted.as_ref().is_some_and(|wanted| *wanted != found)
            };
            if wanted != found
                || differs(&case.scheme, told.scheme.to_string())
                || differs(&case.prefix, told.prefix.clone())
                || differs(&case.variant, told.variant.clone())
            {
                wrong.push(format!(
                    "{}:{}\n  wanted {wanted:?}\n  found  {found:?} ({told})\n  because {}",
                    repository.image,
                    case.running,
                    case.why.as_ref().unwrap_or(&repository.convention)
                ));
            }
        }
    }
    assert!(count >= 150, "{count} cases");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
