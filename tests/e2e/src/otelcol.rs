//! The OpenTelemetry Collector: takes what is sent by OTLP, and writes it to files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Server, free_port, is_listening, tool};

/// A running collector.
#[derive(Debug)]
pub struct Otelcol {
    /// Where it takes OTLP over gRPC.
    pub grpc: u16,
    /// Where it takes OTLP over HTTP.
    pub http: u16,
    traces: PathBuf,
    metrics: PathBuf,
    _server: Server,
}

/// A span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// The span above it; empty for a root.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// 1 for one inside the process, 2 for a server's, 3 for a client's.
    pub kind: u64,
    /// The process that it is of.
    pub service: String,
    /// The code of its status: 2 for an error.
    pub status: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
}

impl Otelcol {
    /// Starts a collector.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn start(folder: &Path) -> Self {
        let (grpc, http) = (free_port(), free_port());
        let (traces, metrics) = (folder.join("traces.json"), folder.join("metrics.json"));
        let config = folder.join("otelcol.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:{grpc}'}}, http: {{endpoint: '127.0.0.1:{http}'}}}}}}}}\n\
             exporters: {{file/traces: {{path: {}}}, file/metrics: {{path: {}}}}}\n\
             service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
             traces: {{receivers: [otlp], exporters: [file/traces]}}\n    \
             metrics: {{receivers: [otlp], exporters: [file/metrics]}}\n",
            traces.display(),
            metrics.display(),
        );
        std::fs::write(&config, text).expect("the test's folder is writable");
        let mut command = Command::new(tool("otelcol"));
        command.arg("--config").arg(format!("file:{}", config.display()));
        let mut server = Server::start("otelcol", command, folder);
        server.until_ready(async || is_listening(grpc).await && is_listening(http).await).await;
        Self { grpc, http, traces, metrics, _server: server }
    }

    /// The spans that arrived so far.
    ///
    /// # Panics
    ///
    /// Where what arrived is not in the protocol's form.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for request in lines(&self.traces) {
            for of_process in items(&request["resourceSpans"]) {
                let service = attributes(&of_process["resource"])["service.name"].clone();
                for span in items(&of_process["scopeSpans"]).iter().flat_map(|scope| items(&scope["spans"])) {
                    let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
                    spans.push(Span {
                        trace: text("traceId"),
                        id: text("spanId"),
                        parent: text("parentSpanId"),
                        name: text("name"),
                        kind: span["kind"].as_u64().unwrap_or_default(),
                        service: service.clone(),
                        status: span["status"]["code"].as_u64().unwrap_or_default(),
                        attributes: attributes(&span),
                    });
                }
            }
        }
        spans
    }

    /// The values of a metric as they last arrived, added up.
    ///
    /// # Panics
    ///
    /// Where what arrived is not in the protocol's form.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let mut last = None;
        for request in lines(&self.metrics) {
            for of_process in items(&request["resourceMetrics"]) {
                for metric in
                    items(&of_process["scopeMetrics"]).iter().flat_map(|scope| items(&scope["metrics"]))
                {
                    if metric["name"] == name {
                        let points = ["sum", "gauge"].map(|kind| items(&metric[kind]["dataPoints"])).concat();
                        last = Some(points.iter().filter_map(|point| point["asDouble"].as_f64()).sum());
                    }
                }
            }
        }
        last
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // The last line may still be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn attributes(of: &Value) -> BTreeMap<String, String> {
    items(&of["attributes"])
        .iter()
        .map(|attribute| {
            let value = attribute["value"].as_object().and_then(|kinds| kinds.values().next());
            let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            (attribute["key"].as_str().unwrap_or_default().to_owned(), value.unwrap_or_default())
        })
        .collect()
}
