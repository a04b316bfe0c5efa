//! Links that keep a page's state.

/// What a page was asked with, in the order it came; parameters without a value are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Of a URL's query.
    pub(super) fn of(query: Option<&str>) -> Self {
        let pairs: Vec<(String, String)> =
            serde_urlencoded::from_str(query.unwrap_or_default()).unwrap_or_default();
        Self(pairs.into_iter().filter(|(_, value)| !value.trim().is_empty()).collect())
    }

    /// These alone.
    pub(super) fn new<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The first value of a name; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Every value of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Without these names.
    pub(super) fn without(&self, names: &[&str]) -> Self {
        Self(self.0.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect())
    }

    /// With this value in place of any other of its name.
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut params = self.without(&[name]);
        if !value.is_empty() {
            params.0.push((name.to_owned(), value.to_owned()));
        }
        params
    }

    /// As a query.
    pub(super) fn query(&self) -> String {
        serde_urlencoded::to_string(&self.0).unwrap_or_default()
    }

    /// A link to a page with them.
    pub(super) fn to(&self, page: &str) -> String {
        if self.0.is_empty() {
            return page.to_owned();
        }
        format!("{page}?{}", self.query())
    }
}

#[cfg(test)]
mod tests {
    use super::Params;

    #[test]
    fn a_link_keeps_what_was_asked_and_changes_one_thing() {
        let params = Params::of(Some("q=a%26b&finding=&sort=image&page=3"));
        assert_eq!((params.get("q"), params.get("finding")), ("a&b", ""));
        assert_eq!(params.with("sort", "-image").to("images"), "images?q=a%26b&page=3&sort=-image");
        assert_eq!(params.without(&["q", "sort", "page"]).to("images"), "images");
        assert_eq!(Params::of(Some("%zz=%")).get("q"), "");
    }
}
