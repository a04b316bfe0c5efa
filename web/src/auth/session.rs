//! What a browser keeps: encrypted cookies that no script sees.

use cookie::time::Duration as Seconds;
use cookie::{Cookie, CookieJar, Key, SameSite};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Identity;
use crate::front::Base;

/// Bytes of a cookie's value beyond which browsers drop it.
const LARGEST: usize = 3900;
/// The session's cookie.
pub(super) const SESSION: &str = "provenance-session";
/// The cookie of a sign-in under way.
pub(super) const UNDER_WAY: &str = "provenance-sign-in";
/// The cookie with the ID token, which only signing out sends.
pub(super) const ID_TOKEN: &str = "provenance-id";

/// A person who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// Random; signing out forgets it.
    pub id: String,
    pub who: Identity,
    /// Seconds since 1970 at which it ends.
    pub ends: i64,
}

/// A sign-in under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnderWay {
    pub state: String,
    pub nonce: String,
    pub verifier: String,
    /// The page to go to, relative to the base.
    pub to: String,
    pub ends: i64,
}

/// Keeps things in cookies that only this server can read.
pub(super) struct Cookies {
    key: Key,
}

impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

impl Cookies {
    /// With a key made of this secret, or with a random one that ends with the process.
    pub(super) fn new(secret: Option<&[u8]>) -> Self {
        Self { key: secret.map_or_else(Key::generate, Key::derive_from) }
    }

    /// What a cookie holds; none where it is missing, made by another, or changed.
    pub(super) fn read<T: DeserializeOwned>(&self, headers: &HeaderMap, name: &str) -> Option<T> {
        let mut jar = CookieJar::new();
        for line in headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            for one in Cookie::split_parse(line.to_owned()).flatten().filter(|one| one.name() == name) {
                jar.add_original(one);
            }
        }
        serde_json::from_str(jar.private(&self.key).get(name)?.value()).ok()
    }

    /// The header that has a browser keep something for so long; none where it is too large for a cookie.
    pub(super) fn keep(
        &self,
        base: &Base,
        (name, below): (&'static str, &str),
        value: &impl Serialize,
        seconds: i64,
    ) -> Option<HeaderValue> {
        let text = serde_json::to_string(value).ok()?;
        let mut jar = CookieJar::new();
        jar.private_mut(&self.key).add(shaped(base, (name, below), text, seconds));
        let kept = jar.get(name)?;
        if kept.value().len() > LARGEST {
            return None;
        }
        HeaderValue::from_str(&kept.to_string()).ok()
    }
}

/// The header that has a browser forget a cookie.
pub(super) fn forget(base: &Base, cookie: (&'static str, &str)) -> Option<HeaderValue> {
    HeaderValue::from_str(&shaped(base, cookie, String::new(), 0).to_string()).ok()
}

fn shaped(base: &Base, (name, below): (&'static str, &str), value: String, seconds: i64) -> Cookie<'static> {
    Cookie::build((name, value))
        .path(format!("{}{below}", base.0.path()))
        .http_only(true)
        .secure(base.is_secure())
        // Lax: a link from elsewhere opens a page; everything that changes something is a POST.
        .same_site(SameSite::Lax)
        .max_age(Seconds::seconds(seconds))
        .build()
}

/// Whether something is over.
pub(super) fn is_over(ends: i64) -> bool {
    Timestamp::now().as_second() >= ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_its_maker_alone_and_only_whole() {
        let (ours, others) = (Cookies::new(Some(&[1; 32])), Cookies::new(Some(&[2; 32])));
        let base = Base("https://a.example/audit/".parse().expect("a fixed URL"));
        let header = ours.keep(&base, (SESSION, ""), &"somebody", 60).expect("it is small");
        let header = header.to_str().expect("a cookie is ASCII").to_owned();
        for part in ["Path=/audit/", "HttpOnly", "Secure", "SameSite=Lax", "Max-Age=60"] {
            assert!(header.contains(part), "{part}: {header}");
        }
        assert!(!header.contains("somebody"), "{header}");
        let shown =
            |text: String| HeaderMap::from_iter([(header::COOKIE, text.parse().expect("a fixed header"))]);
        let value = header.split(';').next().expect("it has a value").to_owned();
        assert_eq!(ours.read::<String>(&shown(value.clone()), SESSION).as_deref(), Some("somebody"));
        assert_eq!(others.read::<String>(&shown(value.clone()), SESSION), None);
        assert_eq!(ours.read::<String>(&shown(value.replace(SESSION, UNDER_WAY)), UNDER_WAY), None);
        let mut changed = value.clone();
        let last = if changed.pop() == Some('A') { 'B' } else { 'A' };
        assert_eq!(ours.read::<String>(&shown(format!("{changed}{last}")), SESSION), None);
        assert_eq!(ours.keep(&base, (SESSION, ""), &"x".repeat(5000), 60), None);
    }
}
