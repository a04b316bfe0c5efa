//! The index of a chart repository ([`index.yaml`](https://helm.sh/docs/topics/chart_repository/#the-index-file)), read as
//! it comes: some have tens of megabytes, of which little is wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use provenance_currency::ChartVersion;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Versions of all charts at the most.
const VERSIONS: usize = 500_000;

/// What is kept of an index: every chart's versions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Index {
    /// Versions by the chart's name.
    pub charts: BTreeMap<String, Vec<IndexVersion>>,
}

/// What is kept of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexVersion {
    /// The version.
    pub version: String,
    /// The Kubernetes versions it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_version: Option<String>,
    /// Whether the chart is deprecated since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn read(reader: impl Read) -> Result<Self, String> {
        let mut options = serde_saphyr::Options::default();
        // The number of bytes and of versions is bounded elsewhere. What is bounded here is what anchors may hold.
        if let Some(budget) = &mut options.budget {
            budget.max_reader_input_bytes = None;
            budget.max_events = usize::MAX;
            budget.max_nodes = usize::MAX;
            budget.max_total_scalar_bytes = usize::MAX;
            budget.max_total_comment_bytes = usize::MAX;
            budget.max_recorded_anchor_events = 100_000;
            budget.max_recorded_anchor_bytes = 8 << 20;
        }
        options.with_snippet = false;
        // The last of doubled keys counts here too, and no mapping is held to find them.
        options.duplicate_keys = serde_saphyr::DuplicateKeyPolicy::PassThrough;
        let written: Written = serde_saphyr::from_reader_with_options(reader, options).map_err(|error| {
            let told = error.to_string();
            format!("it is no index of charts: {}", told.lines().next().unwrap_or_default())
        })?;
        Ok(Self { charts: written.entries.0 })
    }

    /// The versions of a chart; none where it lists no such chart.
    pub fn versions(&self, chart: &str) -> Option<Vec<ChartVersion>> {
        let versions = self.charts.get(chart)?.iter().map(|one| ChartVersion {
            version: one.version.clone(),
            kube_version: one.kube_version.clone(),
            deprecated: one.deprecated,
        });
        Some(versions.collect())
    }

    /// Bytes in memory, roughly.
    pub fn bytes(&self) -> usize {
        let of_chart = |versions: &Vec<IndexVersion>| {
            versions.iter().map(|one| 80 + one.kube_version.as_ref().map_or(0, String::len)).sum::<usize>()
        };
        self.charts.values().map(|versions| 100 + of_chart(versions)).sum()
    }
}

#[derive(Deserialize)]
struct Written {
    entries: Entries,
}

struct Entries(BTreeMap<String, Vec<IndexVersion>>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Charts;
        impl<'de> Visitor<'de> for Charts {
            type Value = Entries;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("charts with their versions")
            }

            fn visit_unit<E>(self) -> Result<Entries, E> {
                Ok(Entries(BTreeMap::new()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut charts = BTreeMap::new();
                let mut left = VERSIONS;
                while let Some(name) = map.next_key::<String>()? {
                    let versions = map.next_value_seed(Versions { left: &mut left })?;
                    charts.insert(name, versions);
                }
                Ok(Entries(charts))
            }
        }
        deserializer.deserialize_any(Charts)
    }
}

/// The versions of one chart, as many as are left.
struct Versions<'a> {
    left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Versions<'_> {
    type Value = Vec<IndexVersion>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Versions<'_> {
    type Value = Vec<IndexVersion>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("versions of a chart")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut versions = Vec::new();
        while let Some(Lenient(version)) = seq.next_element()? {
            let Some(version) = version else { continue };
            *self.left = self
                .left
                .checked_sub(1)
                .ok_or_else(|| serde::de::Error::custom(format!("it lists more than {VERSIONS} versions")))?;
            versions.push(version);
        }
        Ok(versions)
    }
}

/// One version; none where it names no version, as Helm itself passes such over.
struct Lenient(Option<IndexVersion>);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Lenient;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a version of a chart")
            }

            fn visit_unit<E>(self) -> Result<Lenient, E> {
                Ok(Lenient(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lenient, A::Error> {
                let (mut version, mut kube_version, mut deprecated) = (None::<String>, None, false);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "version" => version = map.next_value()?,
                        "kubeVersion" => kube_version = map.next_value()?,
                        "deprecated" => deprecated = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let version = version.map(|version| IndexVersion { version, kube_version, deprecated });
                Ok(Lenient(version))
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const INDEX: &str = r#"
apiVersion: v1
entries:
  nginx:
    - apiVersion: v2
      appVersion: 1.27
      created: "2026-01-02T03:04:05Z"
      dependencies: [{name: common, repository: "https://charts.example", version: 2.x.x}]
      digest: aaaa
      kubeVersion: ">=1.21.0-0"
      name: nginx
      urls: [https://charts.example/nginx-1.2.0.tgz]
      version: 1.2.0
    - name: nginx
      version: 1.1.0
      deprecated: true
    - name: nginx
  empty:
generated: "2026-01-02T03:04:05Z"
"#;

    #[test]
    fn of_an_index_the_versions_are_kept() {
        let index = Index::read(INDEX.as_bytes()).unwrap();
        let versions = index.versions("nginx").unwrap();
        assert_eq!(versions.len(), 2);
        assert_eq!(versions[0].kube_version.as_deref(), Some(">=1.21.0-0"));
        assert!(versions[1].deprecated);
        assert_eq!(index.versions("empty"), Some(vec![]));
        assert_eq!(index.versions("redis"), None);
        let as_json = r#"{"apiVersion":"v1","entries":{"nginx":[{"version":"1.2.0"}]}}"#;
        assert_eq!(Index::read(as_json.as_bytes()).unwrap().versions("nginx").unwrap().len(), 1);
    }

    #[test]
    fn anchors_do_not_make_it_large() {
        let mut text = String::from("entries:\n  a: &all\n");
        for version in 0..30_000 {
            writeln!(text, "  - {{name: a, version: 1.0.{version}}}").unwrap();
        }
        text.push_str("  b: *all\n  c: *all\n");
        assert!(Index::read(text.as_bytes()).is_err(), "what an anchor holds is bounded");
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in [
            "",
            "<html><body>sign in</body></html>",
            "entries: 7",
            "apiVersion: v1",
            "entries: {nginx: [{version: {a: b}}]}",
        ] {
            let error = Index::read(text.as_bytes()).unwrap_err();
            assert!(error.contains("no index of charts"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(Index::read(bytes.as_slice()));
            let text = String::from_utf8_lossy(&bytes);
            drop(Index::read(format!("entries:\n  a:\n    - version: {text}").as_bytes()));
        }
    }
}
