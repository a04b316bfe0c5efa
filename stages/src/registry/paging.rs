//! The `Link` header of a paged answer ([RFC 8288](https://www.rfc-editor.org/rfc/rfc8288)).

use http::HeaderMap;
use http::header::LINK;
use provenance_engine::{Failure, FailureKind};
use url::Url;

/// The next page, where there is one. Only the host that was asked may name it.
pub(super) fn next_page(headers: &HeaderMap, asked: &Url) -> Result<Option<Url>, Failure> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let Some(target) = links.flat_map(|value| value.split(',')).find_map(next_target) else {
        return Ok(None);
    };
    let refuse =
        |why: &str| Failure::new(FailureKind::Malformed, format!("{asked}: the link to the next page {why}"));
    let next = asked.join(target).map_err(|_| refuse("is no URL"))?;
    if next.origin() != asked.origin() {
        return Err(refuse("leads to another host"));
    }
    if next == *asked {
        return Err(refuse("leads back to the same page"));
    }
    Ok(Some(next))
}

/// The target of one link value, if its relation is `next`.
fn next_target(value: &str) -> Option<&str> {
    let (target, parameters) = value.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        let (name, value) = parameter.trim().split_once('=').unwrap_or_default();
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    });
    is_next.then_some(target)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_link_makes_it_panic_or_leave_the_host(link in "[ -~]{0,80}") {
            if let Ok(Some(page)) = next(&link) {
                prop_assert!(page.starts_with("https://r.example/"), "{}", page);
            }
        }
    }

    fn next(link: &str) -> Result<Option<String>, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, link.parse().unwrap());
        let asked = Url::parse("https://r.example/v2/app/tags/list?n=2").unwrap();
        Ok(next_page(&headers, &asked)?.map(String::from))
    }

    #[test]
    fn relative_and_absolute_links_lead_on() {
        let page = Some("https://r.example/v2/app/tags/list?last=b&n=2".to_owned());
        assert_eq!(next(r#"</v2/app/tags/list?last=b&n=2>; rel="next""#), Ok(page.clone()));
        assert_eq!(next("<https://r.example/v2/app/tags/list?last=b&n=2>; rel=next"), Ok(page.clone()));
        assert_eq!(next("<?last=b&n=2>;title=x; REL=\"next\""), Ok(page));
        assert_eq!(next("</first>; rel=\"first\""), Ok(None));
    }

    #[test]
    fn a_link_to_another_host_or_to_itself_is_refused() {
        assert!(next("<https://evil.example/v2/>; rel=next").is_err());
        assert!(next("</v2/app/tags/list?n=2>; rel=next").is_err());
    }
}
