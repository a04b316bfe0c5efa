//! Grafana's dashboards ask what the dashboard answers: every path with its columns, every expression with its metrics.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::process::Command;

use provenance_e2e::chart::{documents, root};
use provenance_e2e::dashboard::{Dashboard, demo};
use provenance_e2e::process::tool;
use serde_json::Value;

fn board(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(root().join("chart/dashboards").join(name)).unwrap())
        .unwrap()
}

fn targets(board: &Value) -> Vec<Value> {
    let panels = board["panels"].as_array().unwrap();
    panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap().clone()).collect()
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').filter(|name| !name.is_empty()).fold(value, |at, name| &at[name])
}

#[test]
fn every_query_of_the_infinity_dashboard_is_answered_with_its_columns() {
    let folder = demo();
    let served = Dashboard::start(folder.path(), &[]);
    let targets = targets(&board("provenance-infinity.json"));
    assert!(targets.len() > 8);
    for target in targets {
        let params = target["url_options"]["params"].as_array().unwrap().iter().map(|param| {
            let value = param["value"].as_str().unwrap().replace("${search}", "");
            format!("{}={value}", param["key"].as_str().unwrap())
        });
        let path = target["url"].as_str().unwrap();
        let path = format!("{path}?{}", params.collect::<Vec<_>>().join("&"));
        let (status, body) = served.ask(&path, &[]);
        assert_eq!(status, 200, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let found = at(&body, target["root_selector"].as_str().unwrap());
        let rows = found.as_array().cloned().unwrap_or_else(|| vec![found.clone()]);
        assert!(!rows.is_empty(), "{path} has rows");
        for column in target["columns"].as_array().unwrap() {
            let selector = column["selector"].as_str().unwrap();
            assert!(rows.iter().any(|row| !at(row, selector).is_null()), "{path}: no row has {selector}");
        }
    }
    let datasources =
        documents(&std::fs::read_to_string(root().join("examples/grafana/datasources.yaml")).unwrap());
    assert_eq!(datasources[0]["datasources"][0]["type"], "yesoreyeram-infinity-datasource");
}

#[test]
fn every_expression_of_the_prometheus_dashboard_and_of_the_alerts_is_sound_and_asks_for_metrics_that_are_there()
 {
    let folder = demo();
    let served = Dashboard::start(folder.path(), &[]);
    let (_, metrics) = served.ask("/metrics", &[]);
    let mut known: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // It is there where a run was told rules to fail on.
    known.insert("provenance_failing");
    let mut expressions: Vec<String> = targets(&board("provenance-prometheus.json"))
        .iter()
        .map(|target| target["expr"].as_str().unwrap().replace("$cluster", ".*"))
        .collect();
    let alerts = std::fs::read_to_string(root().join("examples/alerts/rules.yaml")).unwrap();
    for alert in documents(&alerts)[0]["groups"][0]["rules"].as_array().unwrap() {
        expressions.push(alert["expr"].as_str().unwrap().to_owned());
    }
    assert!(expressions.len() > 18);
    for expression in &expressions {
        let names = expression.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let names: Vec<_> = names
            .filter(|name| name.starts_with("provenance_") || name.starts_with("version_checker"))
            .collect();
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(known.contains(name), "{expression}: there is no {name}");
        }
    }
    let rules: Vec<_> = expressions
        .iter()
        .enumerate()
        .map(|(at, expr)| serde_json::json!({"record": format!("r{at}"), "expr": expr}))
        .collect();
    let file = folder.path().join("rules.yaml");
    let groups = serde_json::json!({"groups": [{"name": "all", "rules": rules}]});
    std::fs::write(&file, groups.to_string()).unwrap();
    let output =
        Command::new(tool("promtool")).args(["check", "rules", "--lint=none"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
