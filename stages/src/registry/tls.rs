//! TLS beyond the defaults: further authorities to trust, and a client certificate for the hosts it is for.

use std::collections::BTreeSet;

use reqwest::{Certificate, Identity};
use url::Url;

use super::endpoint::authority;

/// What TLS is spoken with, beside the system's authorities.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub(super) authorities: Vec<Certificate>,
    pub(super) client: Option<ClientCertificate>,
}

/// A client certificate. It is shown to no other hosts than these.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    pub(super) identity: Identity,
    hosts: BTreeSet<String>,
}

impl Tls {
    /// Trusts the authorities of a PEM bundle, beside the system's.
    ///
    /// # Errors
    ///
    /// Where the bundle has no certificate or a damaged one.
    pub fn trust(&mut self, pem: &[u8]) -> Result<(), String> {
        let authorities = Certificate::from_pem_bundle(pem)
            .map_err(|error| format!("it is no PEM bundle of certificates: {error}"))?;
        if authorities.is_empty() {
            return Err("it has no certificate in PEM form".into());
        }
        self.authorities.extend(authorities);
        Ok(())
    }

    /// Shows a certificate to these hosts, written `host` or `host:port`. The PEM holds certificate and key.
    ///
    /// # Errors
    ///
    /// Where the PEM lacks one of the two. Quotes nothing of it.
    pub fn show(&mut self, pem: &[u8], hosts: impl IntoIterator<Item = String>) -> Result<(), String> {
        let identity = Identity::from_pem(pem)
            .map_err(|_| "it is no PEM file with a certificate and its private key".to_owned())?;
        let hosts = hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        self.client = Some(ClientCertificate { identity, hosts });
        Ok(())
    }
}

impl ClientCertificate {
    pub(super) fn is_for(&self, url: &Url) -> bool {
        self.hosts.contains(&authority(url)) || url.host_str().is_some_and(|host| self.hosts.contains(host))
    }
}
