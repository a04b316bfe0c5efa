//! What an SBOM says of itself: [SPDX](https://spdx.dev/use/specifications/) 2.2 to 3.0 as JSON and tag-value,
//! [CycloneDX](https://cyclonedx.org/specification/overview/) as JSON and XML, and Syft's own JSON.
//!
//! Packages are counted and licences collected; nothing else of a document is kept.

mod xml;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};

use provenance_model::trust::{SbomFacts, SbomFormat};
use serde::Deserialize;
use serde_json::Value;

/// Different licences counted at the most.
const LICENCES: usize = 10_000;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;
/// UTF-8's byte order mark.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
/// Components inside components.
const NESTING: usize = 32;

/// The format that a media type or predicate type names; none for one that names no SBOM.
pub fn format_of(media_type: &str) -> Option<SbomFormat> {
    let lower = media_type.to_ascii_lowercase();
    if lower.contains("spdx") {
        Some(SbomFormat::Spdx)
    } else if lower.contains("cyclonedx") {
        Some(SbomFormat::CycloneDx)
    } else if lower.contains("syft") {
        Some(SbomFormat::Syft)
    } else {
        None
    }
}

/// Reads a document as it comes, whatever its format. Only what is told of it is kept.
pub fn read(document: impl Read) -> Result<SbomFacts, String> {
    let mut document = BufReader::with_capacity(BUFFER, document);
    let lost = |error: std::io::Error| format!("it cannot be read: {error}");
    // A byte order mark and blanks may stand before it.
    loop {
        let start = document.fill_buf().map_err(lost)?;
        let blank =
            start.iter().take_while(|byte| byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte));
        let blank = blank.count();
        if blank == 0 {
            break;
        }
        document.consume(blank);
    }
    let start = document.fill_buf().map_err(lost)?;
    match start.first() {
        Some(b'{' | b'[') => facts(serde_json::from_reader(document)),
        Some(b'<') => xml::read(document),
        Some(_) => tag_value(document),
        None => Err("it is empty".into()),
    }
}

/// Reads the SBOM that is a statement's predicate.
pub fn of_predicate(predicate: &Value) -> Result<SbomFacts, String> {
    // Older versions of cosign keep the document as a text.
    match predicate.get("Data").or_else(|| predicate.get("data")) {
        Some(Value::String(document)) => read(document.as_bytes()),
        Some(document) if document.is_object() => facts(Json::deserialize(document)),
        _ => facts(Json::deserialize(predicate)),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    // SPDX 2
    spdx_version: Option<String>,
    creation_info: Option<CreationInfo>,
    #[serde(default)]
    packages: Vec<SpdxPackage>,
    // SPDX 3
    #[serde(rename = "@graph")]
    graph: Option<Vec<Element>>,
    // CycloneDX
    bom_format: Option<String>,
    spec_version: Option<String>,
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Vec<Component>,
    // Syft
    artifacts: Option<Vec<Artifact>>,
    descriptor: Option<Tool>,
    schema: Option<Schema>,
    source: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct CreationInfo {
    created: Option<String>,
    #[serde(default)]
    creators: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    license_concluded: Option<String>,
    license_declared: Option<String>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type", alias = "@type", default)]
    kind: Value,
    name: Option<String>,
    created: Option<String>,
    #[serde(rename = "specVersion")]
    spec_version: Option<String>,
    #[serde(rename = "simplelicensing_licenseExpression")]
    licence: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    timestamp: Option<String>,
    #[serde(default)]
    tools: Tools,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Tools {
    List(Vec<Tool>),
    Lists {
        #[serde(default)]
        components: Vec<Tool>,
        #[serde(default)]
        services: Vec<Tool>,
    },
    #[default]
    None,
}

#[derive(Deserialize)]
struct Tool {
    name: Option<String>,
    version: Option<String>,
}

impl Tool {
    fn told(&self) -> Option<String> {
        let name = self.name.as_ref().filter(|name| !name.is_empty())?;
        Some(match self.version.as_deref() {
            None | Some("") => name.clone(),
            Some(version) => format!("{name} {version}"),
        })
    }
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    licenses: Vec<LicenceChoice>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct LicenceChoice {
    expression: Option<String>,
    license: Option<Licence>,
}

#[derive(Deserialize)]
struct Licence {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Artifact {
    #[serde(default)]
    licenses: Vec<SyftLicence>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SyftLicence {
    Text(String),
    Record { value: Option<String> },
}

#[derive(Deserialize)]
struct Schema {
    version: Option<String>,
}

/// Licences as they are met.
#[derive(Default)]
struct Licences(BTreeSet<String>);

impl Licences {
    /// Every licence of an expression: `MIT AND (Apache-2.0 OR GPL-2.0-only WITH Classpath-exception-2.0)`.
    fn expression(&mut self, expression: &str) {
        let operator = |word: &&str| !matches!(*word, "AND" | "OR" | "WITH");
        for word in expression.split([' ', '(', ')']).filter(|word| !word.is_empty()).filter(operator) {
            self.name(word);
        }
    }

    fn name(&mut self, name: &str) {
        let says_nothing = name.is_empty() || matches!(name, "NOASSERTION" | "NONE");
        if !says_nothing && self.0.len() < LICENCES {
            self.0.insert(name.to_owned());
        }
    }

    fn components(&mut self, components: &[Component], depth: usize) -> usize {
        let mut count = components.len();
        for component in components {
            for choice in &component.licenses {
                if let Some(expression) = &choice.expression {
                    self.expression(expression);
                }
                let licence = choice.license.as_ref();
                if let Some(name) = licence.and_then(|licence| licence.id.as_ref().or(licence.name.as_ref()))
                {
                    self.name(name);
                }
            }
            if depth < NESTING {
                count += self.components(&component.components, depth + 1);
            }
        }
        count
    }
}

fn facts(parsed: Result<Json, serde_json::Error>) -> Result<SbomFacts, String> {
    let document = parsed.map_err(|error| format!("it is no SBOM: {error}"))?;
    let mut licences = Licences::default();
    let mut facts = if let Some(version) = &document.spdx_version {
        for package in &document.packages {
            for expression in [&package.license_concluded, &package.license_declared].into_iter().flatten() {
                licences.expression(expression);
            }
        }
        let info = document.creation_info;
        let creators = info.as_ref().map(|info| info.creators.as_slice()).unwrap_or_default();
        SbomFacts {
            format: Some(SbomFormat::Spdx),
            version: Some(version.trim_start_matches("SPDX-").to_owned()),
            tools: creators.iter().filter_map(|creator| tool_of(creator)).collect(),
            created: info.and_then(|info| info.created),
            packages: Some(document.packages.len()),
            licences: None,
        }
    } else if let Some(graph) = &document.graph {
        spdx3(graph, &mut licences)?
    } else if document.bom_format.as_deref() == Some("CycloneDX") {
        let packages = licences.components(&document.components, 0);
        let metadata = document.metadata;
        let tools = metadata.as_ref().map(|metadata| tools(&metadata.tools)).unwrap_or_default();
        SbomFacts {
            format: Some(SbomFormat::CycloneDx),
            version: document.spec_version,
            tools,
            created: metadata.and_then(|metadata| metadata.timestamp),
            packages: Some(packages),
            licences: None,
        }
    } else if let (Some(artifacts), true) =
        (&document.artifacts, document.descriptor.is_some() || document.source.is_some())
    {
        for licence in artifacts.iter().flat_map(|artifact| &artifact.licenses) {
            match licence {
                SyftLicence::Text(text) => licences.expression(text),
                SyftLicence::Record { value } => licences.expression(value.as_deref().unwrap_or_default()),
            }
        }
        SbomFacts {
            format: Some(SbomFormat::Syft),
            version: document.schema.and_then(|schema| schema.version),
            tools: document.descriptor.as_ref().and_then(Tool::told).into_iter().collect(),
            created: None,
            packages: Some(artifacts.len()),
            licences: None,
        }
    } else {
        return Err("it is neither SPDX nor CycloneDX nor Syft".into());
    };
    facts.licences = Some(licences.0.len());
    Ok(facts)
}

fn tools(tools: &Tools) -> Vec<String> {
    match tools {
        Tools::List(list) => list.iter().filter_map(Tool::told).collect(),
        Tools::Lists { components, services } => {
            components.iter().chain(services).filter_map(Tool::told).collect()
        }
        Tools::None => Vec::new(),
    }
}

/// The tool that a creator of SPDX 2 is, written `Tool: syft-1.20.0`.
fn tool_of(creator: &str) -> Option<String> {
    creator.strip_prefix("Tool:").map(|tool| tool.trim().to_owned()).filter(|tool| !tool.is_empty())
}

fn spdx3(graph: &[Element], licences: &mut Licences) -> Result<SbomFacts, String> {
    let is = |element: &Element, names: &[&str]| {
        let kinds = element.kind.as_array().map_or(std::slice::from_ref(&element.kind), Vec::as_slice);
        kinds.iter().filter_map(Value::as_str).any(|kind| names.contains(&kind))
    };
    let info = graph.iter().find(|element| is(element, &["CreationInfo"]));
    let Some(info) = info else { return Err("it is a graph without SPDX's CreationInfo".into()) };
    for expression in graph.iter().filter_map(|element| element.licence.as_ref()) {
        licences.expression(expression);
    }
    Ok(SbomFacts {
        format: Some(SbomFormat::Spdx),
        version: info.spec_version.clone(),
        tools: graph
            .iter()
            .filter(|element| is(element, &["Tool"]))
            .filter_map(|tool| tool.name.clone())
            .collect(),
        created: info.created.clone(),
        packages: Some(graph.iter().filter(|element| is(element, &["software_Package"])).count()),
        licences: None,
    })
}

fn tag_value(document: impl BufRead) -> Result<SbomFacts, String> {
    let mut facts = SbomFacts { packages: Some(0), ..SbomFacts::default() };
    let mut licences = Licences::default();
    for line in document.lines() {
        let line = line.map_err(|error| format!("it is no text: {error}"))?;
        let Some((tag, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match tag {
            "SPDXVersion" => {
                facts.format = Some(SbomFormat::Spdx);
                facts.version = Some(value.trim_start_matches("SPDX-").to_owned());
            }
            "Creator" => facts.tools.extend(tool_of(value)),
            "Created" => facts.created = Some(value.to_owned()),
            "PackageName" => facts.packages = facts.packages.map(|count| count + 1),
            "PackageLicenseConcluded" | "PackageLicenseDeclared" => licences.expression(value),
            _ => {}
        }
    }
    if facts.format.is_none() {
        return Err("it is neither SPDX nor CycloneDX nor Syft".into());
    }
    facts.licences = Some(licences.0.len());
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(document: &str) -> (SbomFormat, String, Vec<String>, String, usize, usize) {
        let facts = read(document.as_bytes()).unwrap();
        (
            facts.format.unwrap(),
            facts.version.unwrap_or_default(),
            facts.tools,
            facts.created.unwrap_or_default(),
            facts.packages.unwrap(),
            facts.licences.unwrap(),
        )
    }

    #[test]
    fn every_format_is_read() {
        let spdx = json!({
            "spdxVersion": "SPDX-2.3",
            "creationInfo": {"created": "2026-01-02T03:04:05Z", "creators": ["Organization: Acme", "Tool: syft-1.20.0"]},
            "packages": [
                {"name": "a", "licenseConcluded": "MIT AND (Apache-2.0 OR GPL-2.0-only)", "licenseDeclared": "MIT"},
                {"name": "b", "licenseConcluded": "NOASSERTION"},
            ],
        });
        let expected =
            (SbomFormat::Spdx, "2.3".into(), vec!["syft-1.20.0".into()], "2026-01-02T03:04:05Z".into(), 2, 3);
        assert_eq!(told(&spdx.to_string()), expected);
        assert_eq!(of_predicate(&spdx).unwrap(), read(spdx.to_string().as_bytes()).unwrap());
        assert_eq!(of_predicate(&json!({"Data": spdx.to_string()})).unwrap().packages, Some(2));
        assert_eq!(
            told(
                "SPDXVersion: SPDX-2.2\nCreator: Tool: bom\nCreated: 2026-01-02T03:04:05Z\n\nPackageName: a\nPackageLicenseDeclared: MIT\nPackageName: b\n"
            ),
            (SbomFormat::Spdx, "2.2".into(), vec!["bom".into()], "2026-01-02T03:04:05Z".into(), 2, 1)
        );
        let spdx3 = json!({"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": [
            {"type": "CreationInfo", "specVersion": "3.0.1", "created": "2026-01-02T03:04:05Z"},
            {"type": "Tool", "name": "trivy"},
            {"type": "software_Package", "name": "a"},
            {"type": "simplelicensing_LicenseExpression", "simplelicensing_licenseExpression": "MIT"},
        ]});
        assert_eq!(
            told(&spdx3.to_string()),
            (SbomFormat::Spdx, "3.0.1".into(), vec!["trivy".into()], "2026-01-02T03:04:05Z".into(), 1, 1)
        );
        let cyclonedx = json!({
            "bomFormat": "CycloneDX", "specVersion": "1.6",
            "metadata": {"timestamp": "2026-01-02T03:04:05Z", "tools": {"components": [{"name": "syft", "version": "1.20.0"}]}},
            "components": [
                {"name": "a", "licenses": [{"license": {"id": "MIT"}}], "components": [{"name": "inner"}]},
                {"name": "b", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
            ],
        });
        assert_eq!(
            told(&cyclonedx.to_string()),
            (
                SbomFormat::CycloneDx,
                "1.6".into(),
                vec!["syft 1.20.0".into()],
                "2026-01-02T03:04:05Z".into(),
                3,
                2
            )
        );
        let xml = r#"<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.4"><metadata>
            <timestamp>2026-01-02T03:04:05Z</timestamp><tools><tool><name>cdxgen</name><version>9</version></tool></tools>
            <component type="container"><name>the image</name></component></metadata><components>
            <component type="library"><name>a</name><licenses><license><id>MIT</id></license></licenses></component>
            <component type="library"><name>b</name></component></components></bom>"#;
        assert_eq!(
            told(xml),
            (
                SbomFormat::CycloneDx,
                "1.4".into(),
                vec!["cdxgen 9".into()],
                "2026-01-02T03:04:05Z".into(),
                2,
                1
            )
        );
        let syft = json!({
            "artifacts": [{"name": "a", "licenses": [{"value": "MIT"}]}, {"name": "b", "licenses": ["BSD-3-Clause"]}],
            "descriptor": {"name": "syft", "version": "1.20.0"}, "schema": {"version": "16.0.24"}, "source": {},
        });
        assert_eq!(
            told(&syft.to_string()),
            (SbomFormat::Syft, "16.0.24".into(), vec!["syft 1.20.0".into()], String::new(), 2, 2)
        );
    }

    #[test]
    fn what_is_no_sbom_is_refused_with_the_reason() {
        for document in [
            "",
            "{}",
            "[]",
            "<html></html>",
            "hello",
            "{\"artifacts\":[]}",
            "<bom xmlns=\"http://cyclonedx.org/schema/bom/1.4\">",
        ] {
            assert!(read(document.as_bytes()).is_err(), "{document}");
        }
        assert!(read([0xff, 0xfe].as_slice()).is_err());
    }
}
