//! The configuration file: what has more shape than an option can hold.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use provenance_currency::{Pattern, TagOrder};
use provenance_model::UpdateLevel;
use provenance_stages::charts::ChartRepository;
use provenance_stages::charts::repository::Address;
use provenance_stages::registry::Wanted;
use provenance_stages::update::ImageRule;
use provenance_trust::policy::Glob;
use serde::Deserialize;

use super::values;

/// What the file says.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The rules of updates, in order.
    pub(super) rules: Vec<ImageRule>,
    /// The repositories of charts, in order.
    pub(super) repositories: Vec<ChartRepository>,
    /// How some registry hosts are asked, by their patterns, in order.
    pub(super) registries: Vec<(String, Wanted)>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    updates: Updates,
    #[serde(default)]
    charts: Charts,
    #[serde(default)]
    registries: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    host: String,
    concurrency: Option<usize>,
    requests_per_second: Option<u32>,
    burst: Option<u32>,
    budget: Option<u64>,
    reserve: Option<u64>,
    head_first: Option<bool>,
    patience: Option<String>,
    timeout: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Charts {
    #[serde(default)]
    repositories: Vec<Repository>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Repository {
    url: String,
    #[serde(default)]
    charts: Vec<String>,
    username: Option<String>,
    password_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Rule {
    images: Vec<String>,
    #[serde(default = "yes")]
    check: bool,
    level: Option<String>,
    pre_releases: Option<bool>,
    allow: Option<String>,
    ignore: Option<String>,
    scheme: Option<String>,
}

fn yes() -> bool {
    true
}

impl File {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let written: Written = serde_saphyr::from_str(text).map_err(|error| {
            let told = error.to_string();
            told.lines().next().unwrap_or_default().to_owned()
        })?;
        let rules = written.updates.rules.into_iter().enumerate();
        let rules = rules.map(|(at, rule)| rule.read().map_err(|why| format!("updates.rules[{at}]: {why}")));
        let repositories = written.charts.repositories.into_iter().enumerate();
        let repositories = repositories.map(|(at, repository)| {
            repository.read().map_err(|why| format!("charts.repositories[{at}]: {why}"))
        });
        let hosts = written.registries.into_iter().enumerate();
        let hosts = hosts.map(|(at, host)| host.read().map_err(|why| format!("registries[{at}]: {why}")));
        Ok(Self {
            registries: hosts.collect::<Result<_, _>>()?,
            rules: rules.collect::<Result<_, _>>()?,
            repositories: repositories.collect::<Result<_, _>>()?,
        })
    }
}

impl Asked {
    fn read(self) -> Result<(String, Wanted), String> {
        let is_host = !self.host.is_empty() && !self.host.contains(|c: char| c == '/' || c.is_whitespace());
        if !is_host {
            return Err(format!(
                "host: {:?} is no host; write it like registry.lan:5000 or *.lan",
                self.host
            ));
        }
        if self.concurrency == Some(0) {
            return Err("concurrency: 0 is not at least 1".into());
        }
        let time = |field: &str, text: Option<String>, read: fn(&str) -> Result<Duration, String>| {
            text.map(|text| read(&text).map_err(|why| format!("{field}: {text:?}: {why}"))).transpose()
        };
        let wanted = Wanted {
            concurrency: self.concurrency,
            rate: self.requests_per_second,
            burst: self.burst,
            budget: self.budget,
            reserve: self.reserve,
            head_first: self.head_first,
            patience: time("patience", self.patience, values::duration)?,
            timeout: time("timeout", self.timeout, values::limit)?,
        };
        Ok((self.host, wanted))
    }
}

impl Repository {
    fn read(self) -> Result<ChartRepository, String> {
        let address = Address::parse(&self.url)?;
        let credential = match (&self.username, &self.password_file) {
            (None, None) => None,
            (Some(_), Some(_)) if address.is_oci() => {
                return Err("a registry is asked with the credentials of --registry-auth".into());
            }
            (Some(_), Some(_)) if self.url.starts_with("http://") => {
                return Err("a password is not sent over plain HTTP".into());
            }
            (Some(user), Some(file)) => {
                let password = std::fs::read_to_string(file)
                    .map_err(|error| format!("passwordFile {}: {error}", file.display()))?;
                let pair = format!("{user}:{}", password.trim_end_matches(['\n', '\r']));
                let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                    .expect("base64 is a header's value");
                header.set_sensitive(true);
                Some(header)
            }
            _ => return Err("username and passwordFile go together".into()),
        };
        Ok(ChartRepository { address, charts: self.charts, credential })
    }
}

impl Rule {
    fn read(self) -> Result<ImageRule, String> {
        if self.images.is_empty() {
            return Err("images is empty; name some by globs, as in docker.io/library/*".into());
        }
        let pattern = |field: &str, text: Option<String>| {
            text.map(|text| Pattern::new(&text).map_err(|why| format!("{field}: {why}"))).transpose()
        };
        let level = |word: String| {
            UpdateLevel::of_word(&word)
                .ok_or_else(|| format!("level: {word:?} is none of: patch, minor, major"))
        };
        let scheme = |word: String| {
            let found = TagOrder::WORDS.iter().find(|(known, _)| *known == word).map(|(_, order)| *order);
            found.ok_or_else(|| {
                let words: Vec<_> = TagOrder::WORDS.iter().map(|(word, _)| *word).collect();
                format!("scheme: {word:?} is none of: {}", words.join(", "))
            })
        };
        Ok(ImageRule {
            images: self.images.iter().map(|glob| Glob::parse(glob)).collect::<Result<_, _>>()?,
            check: self.check,
            level: self.level.map(level).transpose()?,
            pre_releases: self.pre_releases,
            allow: pattern("allow", self.allow)?,
            ignore: pattern("ignore", self.ignore)?,
            order: self.scheme.map(scheme).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_with_every_field() {
        let file = File::parse(
            r"
updates:
  rules:
    - images: [docker.io/library/*, ghcr.io/acme/**]
      level: minor
      preReleases: true
      allow: '^(?P<version>\d+)-main$'
      ignore: rc
      scheme: numerical
    - images: ['**']
      check: false
charts:
  repositories:
    - url: https://charts.example/stable
      charts: [nginx]
    - url: oci://ghcr.io/acme/charts
registries:
  - host: '*.lan'
    concurrency: 32
    requestsPerSecond: 0
    timeout: 5s
  - {host: docker.io, budget: 90, reserve: 20, headFirst: false, burst: 5, patience: 0s}
",
        );
        let file = file.unwrap();
        assert_eq!(file.repositories.len(), 2);
        let (host, lan) = &file.registries[0];
        assert_eq!((host.as_str(), lan.concurrency, lan.rate), ("*.lan", Some(32), Some(0)));
        assert_eq!(lan.timeout, Some(Duration::from_secs(5)));
        let (_, hub) = &file.registries[1];
        assert_eq!(
            (hub.budget, hub.reserve, hub.head_first, hub.burst),
            (Some(90), Some(20), Some(false), Some(5))
        );
        let rules = file.rules;
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].level, rules[0].order), (Some(UpdateLevel::Minor), Some(TagOrder::Numerical)));
        assert!(rules[0].check && !rules[1].check);
        assert!(File::parse("").unwrap().rules.is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_told_with_its_place() {
        for (text, why) in [
            ("updates: {rules: [{images: []}]}", "updates.rules[0]: images is empty"),
            (
                "updates: {rules: [{images: [a], level: tiny}]}",
                r#"level: "tiny" is none of: patch, minor, major"#,
            ),
            ("updates: {rules: [{images: [a], allow: '('}]}", r#"allow: "(" is no regular expression"#),
            ("updates: {rules: [{images: ['a b']}]}", "is no glob"),
            (
                "updates: {rules: [{images: [a], scheme: latest}]}",
                "none of: semver, numerical, alphabetical, floating",
            ),
            ("updates: {rules: [{image: a}]}", "image"),
            ("update: {}", "update"),
            (
                "charts: {repositories: [{url: charts.example}]}",
                "charts.repositories[0]: \"charts.example\" is no URL",
            ),
            ("charts: {repositories: [{url: 'https://c.example', username: a}]}", "go together"),
            (
                "charts: {repositories: [{url: 'http://c.example', username: a, passwordFile: /x}]}",
                "plain HTTP",
            ),
            (
                "charts: {repositories: [{url: 'https://c.example', username: a, passwordFile: /no/such}]}",
                "/no/such",
            ),
            ("registries: [{host: 'https://r.lan'}]", "registries[0]: host: \"https://r.lan\" is no host"),
            ("registries: [{host: r.lan, concurrency: 0}]", "not at least 1"),
            ("registries: [{host: r.lan, timeout: soon}]", "timeout: \"soon\": it is no duration"),
            ("registries: [{host: r.lan, rate: 1}]", "rate"),
            ("[", ""),
        ] {
            let error = File::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
