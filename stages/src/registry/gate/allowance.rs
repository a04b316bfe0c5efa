//! What a host says is left of an allowance, in the forms that registries use:
//!
//! | form | who |
//! | --- | --- |
//! | `ratelimit-remaining: 76;w=21600` (and `ratelimit-limit`) | Docker Hub |
//! | `ratelimit-remaining: 12`, `ratelimit-reset: 30` | drafts of the IETF to 07 |
//! | `ratelimit: "default";r=12;t=30` or `limit=100, remaining=12, reset=30` | later drafts |
//! | `x-ratelimit-remaining: 12`, `x-ratelimit-reset: 1730000000` | GitHub, Harbor's proxies |
//!
//! [The draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/),
//! [Docker Hub](https://docs.docker.com/docker-hub/usage/pulls/).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;

/// What a host says is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) struct Allowance {
    /// Requests that are left.
    pub(in crate::registry) remaining: u64,
    /// When there are more, where it says so: at its reset, or at the latest when its window is over.
    pub(in crate::registry) renewed_in: Option<Duration>,
}

/// Seconds since 1970 are larger than this, and waits are smaller.
const A_DATE: u64 = 1_000_000_000;

impl Allowance {
    /// Reads the headers of an answer; none where they say nothing of it, or nothing that can be understood.
    pub(in crate::registry) fn read(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(whole) = text("ratelimit") {
            let remaining = ["r", "remaining"].iter().find_map(|name| parameter(whole, name))?;
            let reset = ["t", "reset"].iter().find_map(|name| parameter(whole, name));
            return Some(Self { remaining, renewed_in: reset.map(until) });
        }
        ["ratelimit", "x-ratelimit"].iter().find_map(|prefix| {
            let written = text(&format!("{prefix}-remaining"))?;
            let remaining = leading_number(written)?;
            let reset = text(&format!("{prefix}-reset")).and_then(leading_number);
            let window = parameter(written, "w");
            Some(Self { remaining, renewed_in: reset.or(window).map(until) })
        })
    }
}

/// A wait in seconds, or a moment in seconds since 1970.
fn until(seconds: u64) -> Duration {
    if seconds < A_DATE {
        return Duration::from_secs(seconds);
    }
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    moment.and_then(|moment| moment.duration_since(SystemTime::now()).ok()).unwrap_or_default()
}

fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let rest = text[digits..].trim_start();
    // A fraction or a word is no count.
    let ends_well = rest.is_empty() || rest.starts_with([';', ',']);
    text[..digits].parse().ok().filter(|_| ends_well)
}

/// The value of `name=` among parameters.
fn parameter(text: &str, name: &str) -> Option<u64> {
    text.split([';', ',']).find_map(|part| {
        let (known, value) = part.trim().split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| leading_number(value))?
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<(u64, Option<u64>)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Allowance::read(&map).map(|read| (read.remaining, read.renewed_in.map(|wait| wait.as_secs())))
    }

    #[test]
    fn every_form_is_understood() {
        for (headers, expected) in [
            (
                &[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")][..],
                Some((76, Some(21_600))),
            ),
            (&[("ratelimit-remaining", "12"), ("ratelimit-reset", "30")], Some((12, Some(30)))),
            (&[("ratelimit-remaining", "0")], Some((0, None))),
            (&[("ratelimit", "\"default\";r=50;t=30")], Some((50, Some(30)))),
            (&[("ratelimit", "limit=100, remaining=3, reset=9")], Some((3, Some(9)))),
            (&[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1")], Some((7, Some(1)))),
            (&[("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "1000000001")], Some((7, Some(0)))),
            (&[("ratelimit-remaining", "many")], None),
            (&[("ratelimit-remaining", "-1")], None),
            (&[("ratelimit-remaining", "1.5")], None),
            (&[("ratelimit", "\"default\"")], None),
            (&[], None),
        ] {
            assert_eq!(read(headers), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(remaining in "[ -~]{0,40}", reset in "[ -~]{0,40}") {
            read(&[("ratelimit-remaining", &remaining), ("ratelimit-reset", &reset)]);
            read(&[("ratelimit", &remaining), ("x-ratelimit-remaining", &reset)]);
        }
    }
}
