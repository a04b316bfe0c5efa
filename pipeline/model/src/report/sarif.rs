//! The report as [SARIF 2.1.0](https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html), for code scanning.

use serde_json::{Value, json};

use super::rule::Rule;
use super::rules::{Broken, judged, said, said_of_release};
use super::types::Report;

/// Where an image is written: a file and a line of it, from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// The report as a SARIF log. `places` says where an image is written, if that is known.
///
/// # Panics
///
/// Never: a log is a document.
pub fn log(report: &Report, version: &str, places: &dyn Fn(&str) -> Vec<Place>) -> String {
    let fail_on = report.run.as_ref().map(|run| run.fail_on.as_slice()).unwrap_or_default();
    let mut results = Vec::new();
    for row in &report.images {
        let name = if row.namespace.is_empty() {
            row.image.clone()
        } else {
            format!("{}/{}/{}", row.namespace, row.workload.kind, row.workload.name)
        };
        for broken in judged(row.findings.as_deref(), fail_on) {
            let message = format!("{}: {}", row.image, said(row, broken.rule));
            results.push(result(broken, &message, &name, &row.image, &places(&row.image)));
        }
    }
    for release in &report.helm_releases {
        let name = format!("{}/{}", release.namespace, release.release_name);
        for broken in judged(release.findings.as_deref(), fail_on) {
            let message = format!("release {name}: {}", said_of_release(release, broken.rule));
            results.push(result(broken, &message, &name, &release.chart, &[]));
        }
    }
    let run = report.run.as_ref();
    let notifications: Vec<_> = run
        .iter()
        .flat_map(|run| &run.partial_reasons)
        .map(|reason| json!({"level": "warning", "message": {"text": reason}}))
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "provenance-collector",
                "semanticVersion": version,
                "rules": Rule::all().map(described).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": run.is_none_or(|run| !run.partial),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log).expect("a log is a document");
    text.push('\n');
    text
}

fn described(rule: Rule) -> Value {
    json!({
        "id": rule.name(),
        "shortDescription": {"text": rule.wants()},
        "defaultConfiguration": {"level": level(Broken { rule, fails: false })},
        "properties": {"tags": ["security", "supply-chain"], "security-severity": severity(rule)},
    })
}

fn level(Broken { rule, fails }: Broken) -> &'static str {
    match rule {
        _ if fails => "error",
        Rule::Outdated(_) | Rule::NoProvenance | Rule::NoSbom | Rule::Unverified => "note",
        _ => "warning",
    }
}

/// On CVSS's scale, by which code scanning sorts.
fn severity(rule: Rule) -> &'static str {
    match rule {
        Rule::Refused => "9.0",
        Rule::Failed | Rule::Gone | Rule::Drift | Rule::Unsigned => "7.0",
        Rule::Unverified | Rule::Unhealthy | Rule::Deprecated => "5.0",
        Rule::Outdated(_) | Rule::NoProvenance | Rule::NoSbom => "3.0",
    }
}

fn result(broken: Broken, message: &str, name: &str, subject: &str, places: &[Place]) -> Value {
    let logical = json!([{"fullyQualifiedName": name}]);
    let located = |place: &Place| {
        json!({
            "physicalLocation": {
                "artifactLocation": {"uri": place.file},
                "region": {"startLine": place.line},
            },
            "logicalLocations": logical,
        })
    };
    let locations: Vec<_> = if places.is_empty() {
        vec![json!({"logicalLocations": logical})]
    } else {
        places.iter().map(located).collect()
    };
    json!({
        "ruleId": broken.rule.name(),
        "level": level(broken),
        "message": {"text": message},
        "locations": locations,
        "partialFingerprints": {"finding/v1": format!("{}|{name}|{subject}", broken.rule.name())},
        "properties": {"rule": broken.rule.to_string()},
    })
}
