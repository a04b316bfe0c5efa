//! Every small parser of what registries answer, for fuzzing: most are private, and stay so.

use http::header::{LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use oci_spec::image::ImageIndex;
use url::Url;

use super::cache;
use super::challenge::challenge;
use super::gate::Allowance;
use super::paging::next_page;
use super::tags::Page;
use super::transport::{RegistryError, retry_after};
use super::{auth, tags};

/// Reads these bytes as everything that a registry may answer.
///
/// # Panics
///
/// Where a link leads to another host than the one that gave it.
pub fn read(bytes: &[u8]) {
    drop(serde_json::from_slice::<Page>(bytes).map(tags::kept));
    drop(serde_json::from_slice::<ImageIndex>(bytes));
    drop(serde_json::from_slice::<RegistryError>(bytes).map(|error| error.to_string()));
    drop(auth::token_of(bytes));
    cache::read_anything(bytes);
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let names =
        ["ratelimit", "ratelimit-remaining", "ratelimit-reset", "x-ratelimit-remaining", "x-ratelimit-reset"];
    for name in names {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.clone());
        headers.insert("ratelimit-remaining", value.clone());
        Allowance::read(&headers);
    }
    let headers = HeaderMap::from_iter([
        (WWW_AUTHENTICATE, value.clone()),
        (RETRY_AFTER, value.clone()),
        (LINK, value),
    ]);
    drop(challenge(&headers));
    retry_after(&headers);
    let asked = Url::parse("https://registry.example/v2/app/tags/list").expect("a fixed URL is one");
    if let Ok(Some(next)) = next_page(&headers, &asked) {
        assert_eq!(next.origin(), asked.origin());
    }
}
