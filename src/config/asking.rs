//! How registries are asked, with which credentials and certificates, and what is kept of their answers.

use std::path::PathBuf;
use std::sync::Arc;

use provenance_stages::credentials::{CredentialBook, DockerConfig};
use provenance_stages::registry::{
    CacheSettings, ClientSettings, Endpoints, HostLimits, Mirrors, Tls, Wanted,
};

use super::{Reader, values};
use crate::options;

impl Reader<'_> {
    /// The client's settings; `hosts` are those of the configuration file.
    pub(super) fn registries(&mut self, hosts: Vec<(String, Wanted)>) -> ClientSettings {
        let all = Wanted {
            concurrency: self
                .read(&options::REGISTRY_CONCURRENCY, |value| values::auto(value, values::count)),
            rate: self.read(&options::REGISTRY_RATE, |value| values::auto(value, values::number)),
            timeout: Some(self.read(&options::REGISTRY_TIMEOUT, values::limit)),
            budget: Some(u64::from(self.read(&options::REGISTRY_BUDGET, values::number))),
            patience: Some(self.read(&options::REGISTRY_PATIENCE, values::duration)),
            ..Wanted::default()
        };
        let limits = hosts
            .into_iter()
            .fold(HostLimits::new(all), |limits, (pattern, wanted)| limits.host(&pattern, wanted));
        ClientSettings {
            credentials: Arc::new(CredentialBook::new(self.docker_config())),
            endpoints: Endpoints::default().insecure(self.read(&options::INSECURE_REGISTRIES, values::hosts)),
            limits,
            mirrors: self.mirrors(),
            tls: self.tls(),
            ..ClientSettings::default()
        }
    }

    /// Where answers are kept.
    pub(super) fn cache(&mut self) -> Option<CacheSettings> {
        let folder = self.read(&options::CACHE, values::text).map(PathBuf::from);
        let most = self.read(&options::CACHE_MAX_BYTES, |value| {
            value.parse().map_err(|_| "it is no number of bytes".to_owned())
        });
        let max_age = self.read(&options::CACHE_MAX_AGE, values::duration);
        folder.map(|folder| CacheSettings { folder, most, max_age })
    }

    /// Both tables of mirrors as one.
    fn mirrors(&mut self) -> Mirrors {
        let mut mirrors = Mirrors::default();
        for (option, is_only) in
            [(&options::REGISTRY_MIRRORS, false), (&options::REGISTRY_MIRRORS_ONLY, true)]
        {
            let entries = self.read(option, |value| {
                let entries = values::list(value);
                let mut checked = Mirrors::default();
                entries.iter().try_for_each(|entry| checked.add(entry, is_only)).map(|()| entries)
            });
            for entry in entries {
                mirrors.add(&entry, is_only).expect("it was checked when it was read");
            }
        }
        mirrors
    }

    /// TLS beyond the defaults. A client certificate without hosts, or the other way round, is an error.
    fn tls(&mut self) -> Tls {
        let read = |value: &str| -> Result<Option<Vec<u8>>, String> {
            let file = Some(value).filter(|value| !value.is_empty());
            file.map(|file| std::fs::read(file).map_err(|error| format!("it cannot be read: {error}")))
                .transpose()
        };
        let mut tls = self.read(&options::REGISTRY_CA, |value| {
            let mut tls = Tls::default();
            read(value)?.map_or(Ok(()), |pem| tls.trust(&pem)).map(|()| tls)
        });
        let errors_before = self.errors.len();
        let hosts = self.read(&options::REGISTRY_CLIENT_CERT_HOSTS, values::hosts);
        let pem = self.read(&options::REGISTRY_CLIENT_CERT, |value| {
            let pem = read(value)?;
            pem.as_ref().map_or(Ok(()), |pem| Tls::default().show(pem, []))?;
            Ok(pem)
        });
        match (pem, hosts.is_empty()) {
            (Some(pem), false) => tls.show(&pem, hosts).expect("it was checked when it was read"),
            (None, true) => {}
            // One of the two is refused already.
            _ if self.errors.len() > errors_before => {}
            _ => self.errors.push(format!(
                "--{} and --{} go together: a client certificate is shown only to the hosts it is for",
                options::REGISTRY_CLIENT_CERT.flag,
                options::REGISTRY_CLIENT_CERT_HOSTS.flag
            )),
        }
        tls
    }

    /// The collector's own credentials: from the file that is named, else from that of `docker login`.
    fn docker_config(&mut self) -> DockerConfig {
        if let Some(named) =
            self.read(&options::REGISTRY_AUTH, |value| values::docker_config(value).transpose())
        {
            return named;
        }
        if !options::REGISTRY_AUTH.on.contains(&self.command) {
            return DockerConfig::default();
        }
        let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        let logged_in = folder("DOCKER_CONFIG").or_else(|| folder("HOME").map(|home| home.join(".docker")));
        let Some(file) = logged_in.map(|folder| folder.join("config.json")).filter(|file| file.is_file())
        else {
            return DockerConfig::default();
        };
        values::docker_config_file(&file).unwrap_or_else(|why| {
            self.errors.push(format!("{}: {why}; name another with --registry-auth", file.display()));
            DockerConfig::default()
        })
    }
}
