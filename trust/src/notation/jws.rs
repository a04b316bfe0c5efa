//! The JWS form ([specification](https://github.com/notaryproject/specifications/blob/main/specs/signature-envelope-jws.md)).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use provenance_model::trust::{Refusal, RefusalKind};
use serde::Deserialize;
use sigstore_verify::crypto::SigningScheme;

use super::{Attributes, Envelope, ecdsa_der};
use crate::refusals::refuse;

#[derive(Deserialize)]
struct Written {
    payload: String,
    protected: String,
    header: Header,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    x5c: Vec<String>,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    cty: Option<String>,
    #[serde(default)]
    crit: Vec<String>,
    #[serde(rename = "io.cncf.notary.signingScheme")]
    scheme: Option<String>,
    #[serde(rename = "io.cncf.notary.authenticSigningTime")]
    authentic_time: Option<jiff::Timestamp>,
    #[serde(rename = "io.cncf.notary.expiry")]
    expiry: Option<jiff::Timestamp>,
}

pub(super) fn read(bytes: &Bytes) -> Result<Envelope, Refusal> {
    let wrong = |error: &dyn std::fmt::Display| {
        Refusal::new(RefusalKind::Malformed, format!("the envelope is no JWS: {error}"))
    };
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|error| wrong(&error));
    let written: Written = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
    let protected: Protected =
        serde_json::from_slice(&decode(&written.protected)?).map_err(|error| wrong(&error))?;
    let (scheme, is_ecdsa) = match protected.alg.as_str() {
        "PS256" => (SigningScheme::RsaPssSha256, false),
        "PS384" => (SigningScheme::RsaPssSha384, false),
        "PS512" => (SigningScheme::RsaPssSha512, false),
        "ES256" => (SigningScheme::EcdsaP256Sha256, true),
        "ES384" => (SigningScheme::EcdsaP384Sha384, true),
        other => return refuse(RefusalKind::Unsupported, format!("its algorithm {other} is not supported")),
    };
    let mut signature = decode(&written.signature)?;
    if is_ecdsa {
        signature = ecdsa_der(&signature).ok_or_else(|| wrong(&"its signature has a wrong length"))?;
    }
    let chain = written.header.x5c.iter().map(|der| STANDARD.decode(der).map_err(|error| wrong(&error)));
    Ok(Envelope {
        signed: format!("{}.{}", written.protected, written.payload).into_bytes(),
        signature,
        scheme,
        payload: decode(&written.payload)?.into(),
        chain: chain.collect::<Result<_, _>>()?,
        attributes: Attributes {
            content_type: protected.cty,
            scheme: protected.scheme,
            authentic_time: protected.authentic_time,
            expiry: protected.expiry,
            critical: protected.crit,
        },
    })
}
