//! The COSE form ([specification](https://github.com/notaryproject/specifications/blob/main/specs/signature-envelope-cose.md)).

use bytes::Bytes;
use coset::cbor::value::Value;
use coset::iana::{Algorithm, EnumI64 as _, HeaderParameter};
use coset::{CoseSign1, Label, RegisteredLabel, RegisteredLabelWithPrivate, TaggedCborSerializable as _};
use jiff::Timestamp;
use provenance_model::trust::{Refusal, RefusalKind};
use sigstore_verify::crypto::SigningScheme;

use super::{AUTHENTIC_TIME, Attributes, EXPIRY, Envelope, SCHEME, ecdsa_der};
use crate::refusals::refuse;

pub(super) fn read(bytes: &Bytes) -> Result<Envelope, Refusal> {
    let wrong = |error: &dyn std::fmt::Display| {
        Refusal::new(RefusalKind::Malformed, format!("the envelope is no COSE_Sign1: {error}"))
    };
    let envelope = CoseSign1::from_tagged_slice(bytes).map_err(|error| wrong(&error))?;
    let protected = &envelope.protected.header;
    let (scheme, is_ecdsa) = match &protected.alg {
        Some(RegisteredLabelWithPrivate::Assigned(Algorithm::PS256)) => (SigningScheme::RsaPssSha256, false),
        Some(RegisteredLabelWithPrivate::Assigned(Algorithm::PS384)) => (SigningScheme::RsaPssSha384, false),
        Some(RegisteredLabelWithPrivate::Assigned(Algorithm::PS512)) => (SigningScheme::RsaPssSha512, false),
        Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES256)) => {
            (SigningScheme::EcdsaP256Sha256, true)
        }
        Some(RegisteredLabelWithPrivate::Assigned(Algorithm::ES384)) => {
            (SigningScheme::EcdsaP384Sha384, true)
        }
        other => {
            return refuse(RefusalKind::Unsupported, format!("its algorithm {other:?} is not supported"));
        }
    };
    let Some(payload) = &envelope.payload else { return Err(wrong(&"it has no payload")) };
    let mut signature = envelope.signature.clone();
    if is_ecdsa {
        signature = ecdsa_der(&signature).ok_or_else(|| wrong(&"its signature has a wrong length"))?;
    }
    let x5chain = Label::Int(HeaderParameter::X5Chain.to_i64());
    let chain = envelope.unprotected.rest.iter().find(|(label, _)| *label == x5chain);
    let chain = match chain.map(|(_, value)| value) {
        Some(Value::Bytes(one)) => vec![one.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_bytes).cloned().collect(),
        _ => Vec::new(),
    };
    let attribute = |name: &str| {
        let wanted = Label::Text(name.to_owned());
        protected.rest.iter().find(|(label, _)| *label == wanted).map(|(_, value)| value)
    };
    let attributes = Attributes {
        content_type: match &protected.content_type {
            Some(RegisteredLabel::Text(text)) => Some(text.clone()),
            _ => None,
        },
        scheme: attribute(SCHEME).and_then(Value::as_text).map(str::to_owned),
        authentic_time: attribute(AUTHENTIC_TIME).and_then(time),
        expiry: attribute(EXPIRY).and_then(time),
        critical: protected
            .crit
            .iter()
            .filter_map(|label| match label {
                RegisteredLabelWithPrivate::Text(name) => Some(name.clone()),
                // The parameters that every COSE library understands.
                RegisteredLabelWithPrivate::Assigned(
                    HeaderParameter::Alg | HeaderParameter::ContentType | HeaderParameter::Crit,
                ) => None,
                other => Some(format!("{other:?}")),
            })
            .collect(),
    };
    Ok(Envelope {
        signed: envelope.tbs_data(&[]),
        signature,
        scheme,
        payload: payload.clone().into(),
        chain,
        attributes,
    })
}

/// A time, as seconds with or without their tag, or as text.
fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Tag(_, inner) => time(inner),
        Value::Integer(seconds) => Timestamp::from_second(i64::try_from(i128::from(*seconds)).ok()?).ok(),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    }
}
