//! Docker's `config.json` and the two forms in which Kubernetes keeps it in secrets
//! ([config.json](https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties),
//! [pull secrets](https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets)).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use provenance_model::{Registry, Repository};
use serde::Deserialize;

use super::matching::Pattern;
use super::{Credential, Secret};

/// Bytes of a configuration: a Kubernetes secret holds one MiB.
const CONFIG_BYTES: usize = 1 << 20;
/// The key under which Docker keeps what is for Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Why a configuration cannot be used. Names no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It is larger than any such document.
    #[error("larger than {CONFIG_BYTES} bytes")]
    TooLarge,
    /// It is no such document.
    #[error("no docker configuration: {0}")]
    Malformed(String),
    /// One entry is damaged.
    #[error("the entry for {registry:?} is damaged: {why}")]
    Entry {
        /// The entry's key.
        registry: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Credentials by pattern, and the helpers that know others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DockerConfig {
    /// Sorted so that the longest pattern comes first.
    entries: Vec<(Pattern, Credential)>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl DockerConfig {
    /// Reads a `config.json`, which is also what a `kubernetes.io/dockerconfigjson` secret holds.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which never quotes what it read.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let document: Document = read(json)?;
        let mut config = Self::of_entries(document.auths.unwrap_or_default())?;
        config.helpers = document.cred_helpers.unwrap_or_default();
        config.store = document.creds_store.filter(|store| !store.is_empty());
        Ok(config)
    }

    /// Reads the older form of a `kubernetes.io/dockercfg` secret: the entries alone.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], which never quotes what it read.
    pub fn parse_dockercfg(json: &[u8]) -> Result<Self, ConfigError> {
        Self::of_entries(read(json)?)
    }

    /// Several configurations as one, the entries of the first before those of the second where both match
    /// equally well.
    pub fn joined<'a>(configs: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut joined = Self::default();
        for config in configs {
            joined.entries.extend(config.entries.iter().cloned());
        }
        joined.sort();
        joined
    }

    fn of_entries(entries: BTreeMap<String, Entry>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        for (key, entry) in entries {
            if let Some(credential) = credential(&key, entry)? {
                config.entries.push((Pattern::parse(&key), credential));
            }
        }
        config.sort();
        Ok(config)
    }

    fn sort(&mut self) {
        // A stable sort: among equals the order in which they came counts.
        self.entries.sort_by(|(a, _), (b, _)| b.text().cmp(a.text()));
    }

    /// The credentials that match an image, the longest pattern's first.
    pub fn matching(
        &self,
        registry: &Registry,
        repository: &Repository,
    ) -> impl Iterator<Item = &Credential> {
        self.entries
            .iter()
            .filter(move |(pattern, _)| pattern.matches(registry, repository))
            .map(|(_, credential)| credential)
    }

    /// The helper to ask for a registry, and the server name to ask it for.
    pub(super) fn helper(&self, registry: &Registry) -> Option<(String, String)> {
        let keys: &[&str] =
            if registry.is_docker_hub() { &["docker.io", "index.docker.io", DOCKER_HUB_KEY] } else { &[] };
        let own =
            self.helpers.iter().find(|(key, _)| *key == registry.as_str() || keys.contains(&key.as_str()));
        if let Some((server, program)) = own {
            return Some((program.clone(), server.clone()));
        }
        let server = if registry.is_docker_hub() { DOCKER_HUB_KEY } else { registry.as_str() };
        Some((self.store.clone()?, server.to_owned()))
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, ConfigError> {
    if json.len() > CONFIG_BYTES {
        return Err(ConfigError::TooLarge);
    }
    // serde_json's message may quote a value: only where it is may be said.
    serde_json::from_slice(json).map_err(|error| {
        ConfigError::Malformed(format!("not of its form at line {}, column {}", error.line(), error.column()))
    })
}

fn credential(key: &str, entry: Entry) -> Result<Option<Credential>, ConfigError> {
    let damaged = |why| ConfigError::Entry { registry: key.to_owned(), why };
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(token) = filled(entry.registrytoken) {
        return Ok(Some(Credential::RegistryToken(Secret::new(token))));
    }
    if let Some(token) = filled(entry.identitytoken) {
        return Ok(Some(Credential::IdentityToken(Secret::new(token))));
    }
    // `auth` counts before the two fields, as in Docker and Kubernetes.
    if let Some(auth) = filled(entry.auth) {
        let auth = auth.trim();
        let bytes = STANDARD
            .decode(auth)
            .or_else(|_| STANDARD_NO_PAD.decode(auth))
            .map_err(|_| damaged("its auth is no base64"))?;
        let text = String::from_utf8(bytes).map_err(|_| damaged("its auth is no text"))?;
        let (username, password) = text.split_once(':').ok_or_else(|| damaged("its auth has no colon"))?;
        // Some tools pad with NUL bytes.
        let password = Secret::new(password.trim_end_matches('\0'));
        return Ok(Some(Credential::Basic { username: username.to_owned(), password }));
    }
    match (filled(entry.username), filled(entry.password)) {
        (Some(username), Some(password)) => {
            Ok(Some(Credential::Basic { username, password: Secret::new(password) }))
        }
        // An entry without content says that a store or helper knows it.
        (None, None) => Ok(None),
        _ => Err(damaged("it has only one of username and password")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic { username: username.into(), password: Secret::new(password) }
    }

    fn matching(config: &DockerConfig, image: &str) -> Vec<Credential> {
        let reference: provenance_model::ImageReference = image.parse().unwrap();
        config.matching(&reference.registry, &reference.repository).cloned().collect()
    }

    #[test]
    fn every_form_of_entry_is_read() {
        let auth = STANDARD.encode("ann:se:cret");
        let json = serde_json::json!({
            "auths": {
                "a.example": {"auth": auth},
                "b.example": {"username": "bob", "password": "p"},
                "c.example": {"identitytoken": "refresh", "auth": auth},
                "d.example": {"registrytoken": "access"},
                "e.example": {},
                "f.example": {"auth": auth.trim_end_matches('=')},
            },
            "HttpHeaders": {"x": "y"},
        });
        let config = DockerConfig::parse(json.to_string().as_bytes()).unwrap();
        for (image, expected) in [
            ("a.example/app", vec![basic("ann", "se:cret")]),
            ("b.example/app", vec![basic("bob", "p")]),
            ("c.example/app", vec![Credential::IdentityToken(Secret::new("refresh"))]),
            ("d.example/app", vec![Credential::RegistryToken(Secret::new("access"))]),
            ("e.example/app", vec![]),
            ("f.example/app", vec![basic("ann", "se:cret")]),
            ("g.example/app", vec![]),
        ] {
            assert_eq!(matching(&config, image), expected, "{image}");
        }
        let older = serde_json::json!({"a.example": {"auth": auth}});
        let config = DockerConfig::parse_dockercfg(older.to_string().as_bytes()).unwrap();
        assert_eq!(matching(&config, "a.example/app"), [basic("ann", "se:cret")]);
    }

    #[test]
    fn a_damaged_configuration_is_refused_without_quoting_it() {
        for (json, why) in [
            ("", "no docker configuration"),
            (r#"{"auths": "topsecret"}"#, "no docker configuration"),
            (r#"{"auths": {"r": {"auth": "topsecret!"}}}"#, "no base64"),
            (r#"{"auths": {"r": {"auth": "dG9wc2VjcmV0"}}}"#, "no colon"),
            (r#"{"auths": {"r": {"username": "topsecret"}}}"#, "only one of"),
        ] {
            let error = DockerConfig::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("topsecret"), "{json}: {error}");
        }
        let config =
            DockerConfig::parse(br#"{"auths": {"r.io": {"username": "u", "password": "topsecret"}}}"#);
        assert!(!format!("{config:?}").contains("topsecret"));
    }

    #[test]
    fn helpers_are_found_by_registry_and_the_store_knows_the_rest() {
        let json = br#"{"credHelpers": {"1.dkr.ecr.eu-west-1.amazonaws.com": "ecr-login", "docker.io": "pass"}, "credsStore": "desktop"}"#;
        let config = DockerConfig::parse(json).unwrap();
        let helper = |registry: &str| config.helper(&Registry::new(registry)).unwrap();
        let pair = |program: &str, server: &str| (program.to_owned(), server.to_owned());
        assert_eq!(
            helper("1.dkr.ecr.eu-west-1.amazonaws.com"),
            pair("ecr-login", "1.dkr.ecr.eu-west-1.amazonaws.com")
        );
        assert_eq!(helper("docker.io"), pair("pass", "docker.io"));
        assert_eq!(helper("ghcr.io"), pair("desktop", "ghcr.io"));
        assert_eq!(DockerConfig::default().helper(&Registry::new("ghcr.io")), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(json in prop::collection::vec(any::<u8>(), 0..200)) {
            drop((DockerConfig::parse(&json), DockerConfig::parse_dockercfg(&json)));
        }
    }
}
