//! CycloneDX as XML.

use std::io::BufRead;

use provenance_model::trust::{SbomFacts, SbomFormat};
use quick_xml::events::Event;

use super::{Licences, Tool};

/// Reads a document.
pub(super) fn read(document: impl BufRead) -> Result<SbomFacts, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("it is no CycloneDX XML: {error}");
    let mut reader = quick_xml::Reader::from_reader(document);
    let mut buffer = Vec::new();
    let mut facts = SbomFacts { packages: Some(0), ..SbomFacts::default() };
    let mut licences = Licences::default();
    let mut path: Vec<String> = Vec::new();
    let mut tool = Tool { name: None, version: None };
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).map_err(|error| wrong(&error))? {
            Event::Start(start) => {
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                if path.is_empty() {
                    let attributes = start.attributes().filter_map(Result::ok);
                    let spaces = attributes.filter(|attribute| attribute.key.as_ref().starts_with(b"xmlns"));
                    let space =
                        spaces.map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned());
                    let version = space.filter_map(|space| {
                        space.split_once("cyclonedx.org/schema/bom/").map(|(_, version)| version.to_owned())
                    });
                    facts.version = version.into_iter().next();
                }
                path.push(name);
                let inside = |folder: &str| path.iter().any(|name| name == folder);
                if path.last().is_some_and(|name| name == "component")
                    && inside("components")
                    && !inside("metadata")
                {
                    facts.packages = facts.packages.map(|count| count + 1);
                }
            }
            Event::End(_) => {
                let closed = path.pop();
                let was_tool = matches!(closed.as_deref(), Some("tool" | "component"))
                    && path.iter().any(|name| name == "tools");
                if was_tool {
                    facts.tools.extend(tool.told());
                    tool = Tool { name: None, version: None };
                }
            }
            Event::Text(content) => {
                let content = content.decode().map_err(|error| wrong(&error))?.trim().to_owned();
                if content.is_empty() {
                    continue;
                }
                let below = |names: [&str; 2]| {
                    path.len() >= 2 && path[path.len() - 2..].iter().map(String::as_str).eq(names)
                };
                let in_tools = path.iter().any(|name| name == "tools");
                if below(["metadata", "timestamp"]) {
                    facts.created = Some(content);
                } else if in_tools && (below(["tool", "name"]) || below(["component", "name"])) {
                    tool.name = Some(content);
                } else if in_tools && (below(["tool", "version"]) || below(["component", "version"])) {
                    tool.version = Some(content);
                } else if below(["license", "id"]) || below(["license", "name"]) {
                    licences.name(&content);
                } else if below(["licenses", "expression"]) {
                    licences.expression(&content);
                }
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if facts.version.is_none() {
        return Err("it is XML, but not of CycloneDX".into());
    }
    if !path.is_empty() {
        return Err(wrong(&"it ends too early"));
    }
    facts.format = Some(SbomFormat::CycloneDx);
    facts.licences = Some(licences.0.len());
    Ok(facts)
}
