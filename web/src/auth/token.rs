//! A bearer token that is a JWT ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)), held against the issuer's keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyUse as _, JwsSigningAlgorithm as _};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Seconds that clocks may differ by.
const LEEWAY: i64 = 30;

/// What a token is worth.
#[derive(Debug, PartialEq)]
pub(crate) enum Jwt {
    /// It is no JWT: only the issuer knows what it is.
    Opaque,
    /// It holds.
    Holds(Map<String, Value>),
    /// It does not, with the reason.
    Refused(&'static str),
    /// None of the keys is the one it names.
    UnknownKey,
}

#[derive(Deserialize)]
struct Header {
    alg: Value,
    kid: Option<String>,
}

fn part<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// A JWT's claims, unchecked.
pub(crate) fn claims(token: &str) -> Option<Map<String, Value>> {
    part(token.split('.').nth(1)?)
}

/// Holds a token against the issuer's name and keys.
pub(crate) fn check(token: &str, issuer: &str, keys: &[CoreJsonWebKey], now: Timestamp) -> Jwt {
    let parts: Vec<_> = token.split('.').collect();
    let [head, payload, signature] = parts[..] else { return Jwt::Opaque };
    let Some(header) = part::<Header>(head) else { return Jwt::Opaque };
    let Ok(algorithm) = serde_json::from_value::<CoreJwsSigningAlgorithm>(header.alg) else {
        return Jwt::Refused("its algorithm is not known");
    };
    if algorithm == CoreJwsSigningAlgorithm::None || algorithm.uses_shared_secret() {
        return Jwt::Refused("its algorithm proves nothing");
    }
    let (Some(claims), Ok(signature)) =
        (part::<Map<String, Value>>(payload), URL_SAFE_NO_PAD.decode(signature))
    else {
        return Jwt::Refused("it is malformed");
    };
    let is_named = |key: &&CoreJsonWebKey| {
        let is_it = header.kid.as_ref().is_none_or(|kid| key.key_id().is_some_and(|known| **known == *kid));
        is_it && key.key_use().is_none_or(openidconnect::core::CoreJsonWebKeyUse::allows_signature)
    };
    let mut named = keys.iter().filter(is_named).peekable();
    if named.peek().is_none() {
        return Jwt::UnknownKey;
    }
    let signed = format!("{head}.{payload}");
    if !named.any(|key| key.verify_signature(&algorithm, signed.as_bytes(), &signature).is_ok()) {
        return Jwt::Refused("its signature does not hold");
    }
    let seconds = |name: &str| claims.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a double for millions of years")]
    let (early, late) = ((now.as_second() - LEEWAY) as f64, (now.as_second() + LEEWAY) as f64);
    if claims.get("iss").and_then(Value::as_str).map(|iss| iss.trim_end_matches('/'))
        != Some(issuer.trim_end_matches('/'))
    {
        return Jwt::Refused("it is of another issuer");
    }
    match seconds("exp") {
        None => return Jwt::Refused("it never expires"),
        Some(end) if end <= early => return Jwt::Refused("it is expired"),
        Some(_) => {}
    }
    if seconds("nbf").is_some_and(|begin| begin > late) {
        return Jwt::Refused("it is not valid yet");
    }
    // What a browser got to end a session, or to get new tokens with, opens nothing.
    let kind = claims.get("typ").and_then(Value::as_str).unwrap_or_default();
    if claims.contains_key("events") || ["Refresh", "Offline", "Logout"].contains(&kind) {
        return Jwt::Refused("it is no access token");
    }
    Jwt::Holds(claims)
}

/// Whether a token was made for one of these audiences: as its audience, or as the client that asked for it.
pub(crate) fn is_for(claims: &Map<String, Value>, audiences: &[String]) -> bool {
    let named = super::texts(claims.get("aud"));
    let client = claims.get("azp").or_else(|| claims.get("client_id")).and_then(Value::as_str);
    audiences.iter().any(|wanted| named.iter().any(|name| name == wanted) || client == Some(wanted))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
    use openidconnect::{JsonWebKeyId, PrivateSigningKey as _};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn signed(header: &Value, claims: &Value, key: &CoreEdDsaPrivateSigningKey) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(header), encode(claims));
        let signature = key.sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.expect("the key signs")))
    }

    #[test]
    fn only_what_the_issuer_signed_and_is_valid_now_holds() {
        let id = Some(JsonWebKeyId::new("one".into()));
        // An Ed25519 key in PKCS #8: its fixed head and a seed.
        let front = hex::decode("302e020100300506032b657004220420").expect("a fixed head");
        let der = STANDARD.encode([front, vec![7; 32]].concat());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        let key = CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, id).expect("a fixed key");
        let keys = [key.as_verification_key()];
        let header = json!({"alg": "EdDSA", "kid": "one"});
        let good = json!({"iss": "https://id.example/realm", "sub": "a", "exp": NOW + 60, "aud": ["web"], "azp": "cli"});
        let now = Timestamp::from_second(NOW).expect("a fixed time");
        let held = |header: &Value, claims: &Value| {
            check(&signed(header, claims, &key), "https://id.example/realm", &keys, now)
        };
        let Jwt::Holds(claims) = held(&header, &good) else { panic!("a good token is refused") };
        assert!(
            is_for(&claims, &["web".into()])
                && is_for(&claims, &["cli".into()])
                && !is_for(&claims, &["x".into()])
        );
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        for (name, value, why) in [
            ("iss", json!("https://evil.example"), "it is of another issuer"),
            ("exp", json!(NOW - 60), "it is expired"),
            ("exp", Value::Null, "it never expires"),
            ("nbf", json!(NOW + 600), "it is not valid yet"),
            ("events", json!({}), "it is no access token"),
            ("typ", json!("Refresh"), "it is no access token"),
        ] {
            assert_eq!(held(&header, &with(name, value)), Jwt::Refused(why), "{name}");
        }
        for (alg, why) in [
            ("none", "its algorithm proves nothing"),
            ("HS256", "its algorithm proves nothing"),
            ("XX", "its algorithm is not known"),
        ] {
            assert_eq!(held(&json!({"alg": alg, "kid": "one"}), &good), Jwt::Refused(why), "{alg}");
        }
        assert_eq!(
            held(&json!({"alg": "ES256", "kid": "one"}), &good),
            Jwt::Refused("its signature does not hold")
        );
        assert_eq!(held(&json!({"alg": "EdDSA", "kid": "two"}), &good), Jwt::UnknownKey);
        let token = signed(&header, &good, &key);
        let forged = with("sub", json!("root"));
        let parts: Vec<_> = token.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(forged.to_string()), parts[2]);
        let of = |token: &str| check(token, "https://id.example/realm", &keys, now);
        assert_eq!(of(&forged), Jwt::Refused("its signature does not hold"));
        assert_eq!(of(&format!("{}.{}.", parts[0], parts[1])), Jwt::Refused("its signature does not hold"));
        for opaque in ["", "abc", "a.b", "a.b.c", "a.b.c.d.e"] {
            assert_eq!(of(opaque), Jwt::Opaque, "{opaque}");
        }
    }
}
