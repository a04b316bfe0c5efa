//! `WWW-Authenticate`, as registries use it: `Bearer realm="…",service="…",scope="…"` and `Basic realm="…"`
//! ([RFC 9110 §11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1),
//! [token authentication](https://distribution.github.io/distribution/spec/auth/token/)).

use std::collections::HashMap;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// What a host wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Challenge {
    /// A token from this realm.
    Bearer {
        /// The URL of the token service.
        realm: String,
        /// The service the token is for.
        service: Option<String>,
    },
    /// User name and password.
    Basic,
}

/// The challenge in an answer's headers; a bearer challenge is preferred to a basic one.
pub fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let all: Vec<_> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse)
        .collect();
    let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

/// Every challenge of one header value that we know.
fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut current: Option<(String, HashMap<String, String>)> = None;
    let mut rest = value.trim_start_matches([' ', ',', '\t']);
    while !rest.is_empty() {
        let (word, after) = take_token(rest);
        if word.is_empty() {
            break;
        }
        let after_space = after.trim_start();
        if let Some(quoted) = after_space.strip_prefix('=') {
            let (text, after) = take_value(quoted.trim_start());
            if let Some((_, parameters)) = &mut current {
                parameters.insert(word.to_ascii_lowercase(), text);
            }
            rest = after;
        } else {
            challenges.extend(current.take().and_then(|(scheme, parameters)| known(&scheme, parameters)));
            current = Some((word.to_ascii_lowercase(), HashMap::new()));
            rest = after;
        }
        rest = rest.trim_start_matches([' ', ',', '\t']);
    }
    challenges.extend(current.and_then(|(scheme, parameters)| known(&scheme, parameters)));
    challenges
}

fn known(scheme: &str, mut parameters: HashMap<String, String>) -> Option<Challenge> {
    match scheme {
        "bearer" => {
            let realm = parameters.remove("realm").filter(|realm| !realm.is_empty())?;
            Some(Challenge::Bearer { realm, service: parameters.remove("service") })
        }
        "basic" => Some(Challenge::Basic),
        _ => None,
    }
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '=' | ',' | '"')).unwrap_or(text.len());
    text.split_at(end)
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = take_token(text);
        return (word.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        challenge(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(Into::into) }
    }

    #[test]
    fn what_registries_send_is_understood() {
        for (values, challenge) in [
            (
                &[
                    r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
                ][..],
                Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            ),
            (
                &[r#"bearer service="s" , realm="https://t/x?a=b,c""#],
                Some(bearer("https://t/x?a=b,c", Some("s"))),
            ),
            (&[r#"Bearer realm="https://t/\"q\"""#], Some(bearer("https://t/\"q\"", None))),
            (&[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (&["Basic"], Some(Challenge::Basic)),
            (&[r#"Basic realm="x", Bearer realm="https://t""#], Some(bearer("https://t", None))),
            (&[r#"Basic realm="x""#, r#"Bearer realm="https://t""#], Some(bearer("https://t", None))),
            (&[r#"Negotiate, Basic realm="x""#], Some(Challenge::Basic)),
            (&["Bearer"], None),
            (&["Bearer realm=\"\""], None),
            (&[""], None),
            (&["=,\"=\""], None),
            (&[], None),
        ] {
            assert_eq!(of(values), challenge, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_hang(value in "\\PC{0,80}") {
            drop(parse(&value));
        }
    }
}
