//! The dashboard's brand: its title, logos and colours.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use url::Url;

/// Names of colours, as themes write them, and the style's own.
const COLOURS: [(&str, &str); 20] = [
    ("accent", "link"),
    ("background", "page"),
    ("bad", "bad"),
    ("border", "line"),
    ("card", "panel"),
    ("danger", "bad"),
    ("error", "bad"),
    ("foreground", "text"),
    ("good", "good"),
    ("line", "line"),
    ("link", "link"),
    ("muted", "quiet"),
    ("page", "page"),
    ("panel", "panel"),
    ("primary", "link"),
    ("quiet", "quiet"),
    ("success", "good"),
    ("surface", "panel"),
    ("text", "text"),
    ("warning", "warn"),
];

/// A theme's colours, by the style's names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Theme(BTreeMap<&'static str, String>);

impl Theme {
    /// Reads a theme: a JSON object of names and CSS colours. Names that mean nothing here are left out, and answered.
    ///
    /// # Errors
    ///
    /// What is no JSON object, or no colour.
    pub fn read(text: &str) -> Result<(Self, Vec<String>), String> {
        let written: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| {
            format!("a theme is a JSON object such as {{\"primary\": \"#3451d1\"}}: {error}")
        })?;
        let mut theme = Self::default();
        let mut left_out = Vec::new();
        for (name, colour) in written {
            let known =
                COLOURS.iter().find(|(known, _)| *known == name.trim_start_matches("--").to_lowercase());
            match known {
                Some((_, own)) => drop(theme.0.insert(own, colour_of(&name, &colour)?)),
                None => left_out.push(name),
            }
        }
        Ok((theme, left_out))
    }

    /// The names that mean something here.
    pub fn names() -> String {
        COLOURS.map(|(name, _)| name).join(", ")
    }
}

/// A CSS colour. Nothing else may get into the style.
fn colour_of(name: &str, written: &str) -> Result<String, String> {
    let written = written.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "#(),.%/ -".contains(c);
    let parts: Vec<_> = written.split_ascii_whitespace().collect();
    let is_number = |part: &str| part.parse::<f64>().is_ok();
    let is_share = |part: &str| part.strip_suffix('%').is_some_and(is_number);
    match parts[..] {
        _ if written.is_empty() || written.len() > 60 || !written.chars().all(is_plain) => {
            Err(format!("{name}: {written:?} is no colour"))
        }
        // As themes of component libraries write it.
        [hue, saturation, lightness] if is_number(hue) && is_share(saturation) && is_share(lightness) => {
            Ok(format!("hsl({written})"))
        }
        _ => Ok(written.to_owned()),
    }
}

/// A picture: a URL, a path of the same host, or a `data:` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture(String);

impl Picture {
    /// Reads where a picture is.
    ///
    /// # Errors
    ///
    /// What is neither of them.
    pub fn read(text: &str) -> Result<Self, String> {
        let is_web =
            Url::parse(text).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let is_path = text.starts_with('/') && !text.starts_with("//");
        if (is_web || is_path || text.starts_with("data:image/")) && !text.contains(char::is_whitespace) {
            return Ok(Self(text.to_owned()));
        }
        Err("it is none of: an http or https URL, a path that begins with /, a data:image/ URL".into())
    }

    /// What a page may load it from; none for its own host.
    fn source(&self) -> Option<String> {
        if self.0.starts_with("data:") {
            return Some("data:".into());
        }
        Some(Url::parse(&self.0).ok()?.origin().ascii_serialization())
    }
}

/// The brand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// The title; empty for the product's name.
    pub title: String,
    /// The logo.
    pub logo: Option<Picture>,
    /// The logo on dark ground.
    pub logo_dark: Option<Picture>,
    /// The icon of the browser's tab.
    pub favicon: Option<Picture>,
    /// Colours on light ground.
    pub light: Theme,
    /// Colours on dark ground.
    pub dark: Theme,
    /// Names of colours that mean nothing here.
    pub left_out: Vec<String>,
}

impl Default for Brand {
    fn default() -> Self {
        Self {
            title: "Provenance Collector".into(),
            logo: None,
            logo_dark: None,
            favicon: None,
            light: Theme::default(),
            dark: Theme::default(),
            left_out: Vec::new(),
        }
    }
}

impl Brand {
    /// The logos of light and of dark ground, and the icon.
    pub(crate) fn pictures(&self) -> [&str; 3] {
        let own = "icon.svg";
        let light = self.logo.as_ref().map_or(own, |logo| &logo.0);
        let dark = self.logo_dark.as_ref().map_or(light, |logo| &logo.0);
        [light, dark, self.favicon.as_ref().map_or(own, |icon| &icon.0)]
    }

    /// Where pages load pictures from beside their own host.
    pub(crate) fn sources(&self) -> Vec<String> {
        let pictures = [&self.logo, &self.logo_dark, &self.favicon];
        let mut sources: Vec<_> = pictures.into_iter().flatten().filter_map(Picture::source).collect();
        sources.sort();
        sources.dedup();
        sources
    }

    /// Its colours as a style; empty where it has none.
    pub(crate) fn style(&self) -> String {
        let mut style = String::new();
        for (theme, end) in [(&self.light, "light"), (&self.dark, "dark")] {
            for (name, colour) in &theme.0 {
                writeln!(style, "  --{name}-{end}: {colour};").expect("a string takes everything");
            }
        }
        if style.is_empty() { style } else { format!(":root {{\n{style}}}\n") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_becomes_a_style_and_nothing_but_colours_gets_into_it() {
        let (light, left_out) =
            Theme::read(r##"{"primary": "#aa0011", "--background": "210 40% 98%", "radius": "4px"}"##)
                .expect("it is a theme");
        assert_eq!(left_out, ["radius"]);
        let brand = Brand { light, ..Brand::default() };
        assert_eq!(
            brand.style(),
            ":root {\n  --link-light: #aa0011;\n  --page-light: hsl(210 40% 98%);\n}\n"
        );
        for bad in ["red; } body { display: none", "url(x\"y)", "</style>", "", "@import"] {
            let theme = serde_json::json!({ "primary": bad }).to_string();
            assert!(Theme::read(&theme).is_err(), "{bad}");
        }
        assert!(Theme::read("[]").is_err());
    }

    #[test]
    fn a_picture_is_loaded_from_where_it_is_and_from_nowhere_else() {
        let picture = |text: &str| Picture::read(text).map(|picture| picture.source());
        assert_eq!(picture("https://cdn.example/logo.svg"), Ok(Some("https://cdn.example".into())));
        assert_eq!(picture("/brand/logo.svg"), Ok(None));
        assert_eq!(picture("data:image/svg+xml;base64,AAAA"), Ok(Some("data:".into())));
        for bad in
            ["javascript:alert(1)", "//cdn.example/x", "logo.svg", "data:text/html,x", "https://a.example/ b"]
        {
            assert!(picture(bad).is_err(), "{bad}");
        }
    }
}
