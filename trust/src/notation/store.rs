//! A trust store: the authorities whose signers are believed
//! ([trust store](https://github.com/notaryproject/specifications/blob/main/specs/trust-store-trust-policy.md#trust-store)).

use rustls_pki_types::{CertificateDer, TrustAnchor};
use sigstore_verify::types::DerCertificate;

use crate::pem::pem_blocks;

/// Certificates of authorities.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustStore {
    /// What it is called in messages and as a policy.
    pub name: String,
    certificates: Vec<Vec<u8>>,
}

impl TrustStore {
    /// An empty store of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), certificates: Vec::new() }
    }

    /// Adds the certificates of a file, in PEM or DER.
    pub fn add(&mut self, file: &[u8]) -> Result<(), String> {
        let pem = std::str::from_utf8(file).ok().filter(|text| text.contains("-----BEGIN "));
        let ders = match pem {
            Some(pem) => pem_blocks(pem)
                .map(|block| DerCertificate::from_pem(block).map(|der| der.as_bytes().to_vec()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| format!("it holds no certificate: {error}"))?,
            None => vec![file.to_vec()],
        };
        for der in ders {
            webpki::anchor_from_trusted_cert(&CertificateDer::from(der.as_slice()))
                .map_err(|error| format!("it holds no certificate that can be used: {error}"))?;
            self.certificates.push(der);
        }
        Ok(())
    }

    /// Whether it holds no certificate.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    pub(super) fn anchors(&self) -> Vec<TrustAnchor<'static>> {
        let ders = self.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
        let anchor = |der: CertificateDer<'_>| {
            webpki::anchor_from_trusted_cert(&der).expect("it was parsed when it was added").to_owned()
        };
        ders.map(anchor).collect()
    }
}
