//! The chart's side of the options: chart/options.yaml (which value sets which variable), chart/values.schema.json (what each
//! value may be), docs/chart-values.md. All are made of the one definition of the options, so that a new option can be set by
//! the chart from its first day.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::options::{self, On, Opt};

/// The chart's own values, those that are no options: a JSON Schema of them.
const OWN: &str = include_str!("../../chart/own-values.schema.json");

/// Options that templates set, of what else the values say; users set none of them by themselves.
const BY_TEMPLATES: [&str; 8] = [
    "kubeconfig",
    "dashboard-addr",
    "dashboard-internal-addr",
    "cronjob-name",
    "namespace",
    "upload-audience",
    "run-id",
    "shard",
];

/// The path of the value that sets an option; none for one that only templates set.
pub fn path(option: &Opt) -> Option<String> {
    if BY_TEMPLATES.contains(&option.flag) {
        return None;
    }
    if option.group == "Telemetry" {
        return Some(format!("telemetry.{}", camel(option.flag)));
    }
    let (stage, knob) = option.flag.rsplit_once('-').unwrap_or_default();
    if option.group == "Tuning" && ["workers", "queue", "timeout"].contains(&knob) && stage != "discovery" {
        return Some(format!("stages.{stage}.{knob}"));
    }
    Some(match option.flag {
        // As the older chart wrote them.
        "check-sbom" => "config.checkSBOM".into(),
        "report-configmap" => "config.reportConfigMap".into(),
        "report-configmap-namespace" => "config.reportConfigMapNamespace".into(),
        "feature-timeline-deltas" => "webUI.features.timelineDeltas".into(),
        "manual-job-ttl" => "webUI.manualJobTTL".into(),
        "shards" => "shards".into(),
        flag if let Some(brand) = flag.strip_prefix("dashboard-") => format!("webUI.brand.{}", camel(brand)),
        flag if option.on == [On::Serve] => format!("webUI.{}", camel(flag)),
        flag => format!("config.{}", camel(flag)),
    })
}

fn camel(flag: &str) -> String {
    let mut words = flag.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, rest) = word.split_at(1.min(word.len()));
        name + &head.to_uppercase() + rest
    })
}

fn of(command: On) -> impl Iterator<Item = (&'static Opt, String)> {
    options::of(command).filter_map(|option| Some((option, path(option)?)))
}

/// chart/options.yaml.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn options_file() -> String {
    let mut out = String::from(
        "# Which value sets which variable. Made from src/options.rs by `make docs`; a test checks it.\n",
    );
    for (name, command) in [("collect", On::Collect), ("serve", On::Serve)] {
        writeln!(out, "{name}:").expect("writing to a string does not fail");
        for (option, path) in of(command) {
            writeln!(out, "  - {{env: {}, path: {path}}}", option.env)
                .expect("writing to a string does not fail");
        }
    }
    out
}

/// What a value may be. An empty one is none.
fn kind(option: &Opt) -> Value {
    let mut schema = match option.value {
        "BOOL" => json!({"enum": [true, false, "true", "false", ""]}),
        "NUMBER" => json!({"type": ["integer", "string"], "pattern": "^[0-9]*$", "minimum": 0}),
        "DURATION" => json!({
            "type": ["string", "integer"],
            "pattern": r"^(|-1|0|-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$",
            "minimum": -1, "maximum": 0,
        }),
        "JSON" => json!({"type": ["object", "string"]}),
        // A list can be written as one, or with commas.
        "NAMES" | "HOSTS" | "FILES" | "ROOTS" | "KEYS" | "RULES" | "PREFIX=MIRROR" | "SINK" => {
            json!({"type": ["array", "string"], "items": {"type": "string"}})
        }
        _ => json!({"type": "string"}),
    };
    if !option.choices.is_empty() {
        let mut choices: Vec<Value> = option.choices.iter().map(|choice| (*choice).into()).collect();
        choices.push("".into());
        schema = json!({"enum": choices});
    }
    if option.flag == "update-level" {
        schema = json!({"enum": ["patch", "minor", "major", ""]});
    }
    schema["description"] = described(option).into();
    schema
}

fn described(option: &Opt) -> String {
    let default =
        if option.default.is_empty() { String::new() } else { format!(" (default {})", option.default) };
    format!("{}{default}. Sets {}.", option.help, option.env)
}

/// chart/values.schema.json.
///
/// # Panics
///
/// Where chart/own-values.schema.json is no schema, which a test excludes.
pub fn values_schema() -> String {
    let mut schema: Value = serde_json::from_str(OWN).expect("the chart's own values have a schema");
    for option in options::ALL {
        if let Some(path) = path(option)
            && (option.on.contains(&On::Collect) || option.on.contains(&On::Serve))
        {
            insert(&mut schema, &path, kind(option));
        }
    }
    close(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is a document");
    text.push('\n');
    text
}

/// Puts a value's schema at its path, unless the chart says itself what it may be.
fn insert(schema: &mut Value, path: &str, value: Value) {
    let mut at = schema;
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    for name in parents.split('.').filter(|name| !name.is_empty()) {
        at = &mut at["properties"][name];
        if at.is_null() {
            *at = json!({"type": "object", "properties": {}});
        }
    }
    if at["properties"][last].is_null() {
        at["properties"][last] = value;
    }
}

/// Refuses names that are none, wherever names are listed.
fn close(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.contains_key("properties") && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".into(), false.into());
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
    }
}

/// docs/chart-values.md.
///
/// # Panics
///
/// Never: writing to a string does not fail.
pub fn values_table(defaults: &Value) -> String {
    let schema: Value = serde_json::from_str(&values_schema()).unwrap_or_default();
    let mut out = String::from(
        "# Values of the chart\n\n\
         <!-- Made from chart/values.schema.json and chart/values.yaml by `make docs`; a test checks it. -->\n\n\
         What has no default here has the program's own, which [Configuration](configuration.md) names. A value that is not\n\
         known, or not of its kind, is refused by Helm before anything is installed.\n\n\
         | Value | Default | What it does |\n| --- | --- | --- |\n",
    );
    let empty = Map::new();
    table(&mut out, "", schema["properties"].as_object().unwrap_or(&empty), defaults);
    out
}

fn table(out: &mut String, above: &str, properties: &Map<String, Value>, defaults: &Value) {
    for (name, schema) in properties {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let default = &defaults[name];
        if let Some(inner) = schema["properties"].as_object() {
            table(out, &path, inner, default);
            continue;
        }
        let default = match default {
            Value::Null => String::new(),
            Value::String(text) if text.is_empty() => String::new(),
            value => format!("`{}`", value.to_string().replace('|', "\\|")),
        };
        let meaning = schema["description"].as_str().unwrap_or_default().replace('|', "\\|");
        writeln!(out, "| `{path}` | {default} | {meaning} |").expect("writing to a string does not fail");
    }
}
