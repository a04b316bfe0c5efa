//! References made of the code: docs/configuration.md, docs/report-schema.json, docs/report-schema.md and docs/openapi.json. A
//! test holds the files against what stands here; `make docs` writes them anew.

pub mod chart;

use std::fmt::Write as _;

use provenance_model::report::Report;
use serde_json::Value;

use crate::options::{self, On, Opt};

/// docs/configuration.md.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn configuration() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         <!-- Made from src/options.rs by `make docs`; a test checks it. -->\n\n\
         Every option is a flag and an environment variable; the flag wins. An empty variable is as good as none.\n\
         Durations are Go's (`30s`, `1h30m`, `168h`), lists are separated by commas. A value that is not understood is\n\
         refused, all of them at once, and the exit status is 2.\n",
    );
    let mut groups: Vec<&str> = Vec::new();
    for option in options::ALL {
        if !groups.contains(&option.group) {
            groups.push(option.group);
        }
    }
    for group in groups {
        write!(
            out,
            "\n## {group}\n\n| Flag | Variable | Default | Commands | What it does |\n| --- | --- | --- | --- | --- |\n"
        )
        .expect("writing to a string does not fail");
        for option in options::ALL.iter().filter(|option| option.group == group) {
            out.push_str(&row(option));
        }
    }
    out.push_str(
        "\n## Exit status\n\n\
         | Status | Meaning |\n| --- | --- |\n\
         | 0 | the report is written, and whole |\n\
         | 1 | there is no report: the cluster or every sink failed |\n\
         | 2 | wrong usage or configuration; nothing was done |\n\
         | 3 | the report is written but partial: the run was stopped, or namespaces could not be read; it says why |\n\
         | 4 | the report is written, and a rule of `--fail-on` is broken |\n\
         | 5 | the report is written, but not to every sink; the log says to which |\n\n\
         The first SIGTERM (or Ctrl-C) ends the run with a partial report; the second ends the process at once, without one.\n",
    );
    out
}

fn row(option: &Opt) -> String {
    let default =
        if option.default.is_empty() { "(none)".to_owned() } else { format!("`{}`", option.default) };
    let commands =
        [(On::Collect, "collect"), (On::Scan, "scan, explain"), (On::Demo, "demo"), (On::Serve, "serve")];
    let commands: Vec<_> =
        commands.iter().filter(|(on, _)| option.on.contains(on)).map(|(_, name)| *name).collect();
    format!(
        "| `--{} {}` | `{}` | {default} | {} | {} |\n",
        option.flag,
        option.value,
        option.env,
        commands.join(", "),
        option.help
    )
}

/// docs/report-schema.json: the report's JSON Schema.
///
/// # Panics
///
/// Never: a schema is a document.
pub fn report_schema() -> String {
    let schema = schemars::schema_for!(Report);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is a document");
    text.push('\n');
    text
}

/// docs/openapi.json: the description of the dashboard's API.
///
/// # Panics
///
/// Never: a description is a document.
pub fn api() -> String {
    let mut text = serde_json::to_string_pretty(&*provenance_web::openapi::DOCUMENT)
        .expect("a description is a document");
    text.push('\n');
    text
}

/// docs/report-schema.md: the schema for people.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn report_fields() -> String {
    let schema = serde_json::to_value(schemars::schema_for!(Report)).unwrap_or_default();
    let mut out = String::from(
        "# Report\n\n\
         <!-- Made from the report's types by `make docs`; a test checks it. -->\n\n\
         The report is one JSON document; [report-schema.json](report-schema.json) is its JSON Schema. The fields of the\n\
         older collector's report keep their name, place and meaning; all others were added beside them.\n",
    );
    section(&mut out, "Report", &schema);
    if let Some(definitions) = schema["$defs"].as_object() {
        for (name, definition) in definitions {
            section(&mut out, name, definition);
        }
    }
    out
}

fn section(out: &mut String, name: &str, schema: &Value) {
    write!(out, "\n## {name}\n\n").expect("writing to a string does not fail");
    if let Some(description) = schema["description"].as_str() {
        write!(out, "{}\n\n", one_line(description)).expect("writing to a string does not fail");
    }
    if let Some(properties) = schema["properties"].as_object() {
        out.push_str("| Field | Type | Required | Meaning |\n| --- | --- | --- | --- |\n");
        let required: Vec<_> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (field, of) in properties {
            let meaning = one_line(of["description"].as_str().unwrap_or_default());
            let is_required = if required.contains(&field.as_str()) { "yes" } else { "" };
            writeln!(out, "| `{field}` | {} | {is_required} | {meaning} |", type_of(of))
                .expect("writing to a string does not fail");
        }
        return;
    }
    out.push_str("| Value | Meaning |\n| --- | --- |\n");
    for value in schema["oneOf"].as_array().into_iter().flatten() {
        let meaning = one_line(value["description"].as_str().unwrap_or_default());
        writeln!(out, "| `{}` | {meaning} |", value["const"].as_str().unwrap_or_default())
            .expect("writing to a string does not fail");
    }
}

fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any
            .iter()
            .filter(|schema| schema["type"] != "null")
            .map(type_of)
            .collect::<Vec<_>>()
            .join(" or ");
    }
    let name = match &schema["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
        }
        _ => "any",
    };
    match name {
        "array" => format!("list of {}", type_of(&schema["items"])),
        name => {
            schema["format"].as_str().map_or_else(|| name.to_owned(), |format| format!("{name} ({format})"))
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
