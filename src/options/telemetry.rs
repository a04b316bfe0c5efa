//! The options of traces and metrics.

use super::{ALL_COMMANDS, BASE, EVERY, Opt};

const TELEMETRY: &str = "Telemetry";

/// Where traces and metrics go.
pub const OTLP_ENDPOINT: Opt = Opt {
    flag: "otlp-endpoint",
    env: "OTEL_EXPORTER_OTLP_ENDPOINT",
    value: "URL",
    help: "Where traces and metrics are sent by OTLP, as in http://otel-collector:4317; not sent where this is empty. Headers are \
           read from OTEL_EXPORTER_OTLP_HEADERS, attributes of the process from OTEL_RESOURCE_ATTRIBUTES",
    on: ALL_COMMANDS,
    group: TELEMETRY,
    ..BASE
};
/// How they go there.
pub const OTLP_PROTOCOL: Opt = Opt {
    flag: "otlp-protocol",
    env: "OTEL_EXPORTER_OTLP_PROTOCOL",
    value: "PROTOCOL",
    default: "auto",
    help: "How they are sent: auto is http/protobuf to port 4318 and grpc to any other",
    choices: &["auto", "grpc", "http/protobuf"],
    on: ALL_COMMANDS,
    group: TELEMETRY,
};
/// How many traces.
pub const TRACE_RATIO: Opt = Opt {
    flag: "trace-ratio",
    env: "OTEL_TRACES_SAMPLER_ARG",
    value: "RATIO",
    default: "1",
    help: "The share of runs that are traced, from 0 to 1; a run is traced whole or not at all",
    on: ALL_COMMANDS,
    group: TELEMETRY,
    ..BASE
};
/// A file of metrics.
pub const METRICS_FILE: Opt = Opt {
    flag: "metrics-file",
    env: "PROVENANCE_METRICS_FILE",
    value: "FILE",
    help: "File that a run's metrics are written to in Prometheus' text form, for the node exporter's textfile collector",
    on: EVERY,
    group: TELEMETRY,
    ..BASE
};
/// A gateway for metrics.
pub const PUSHGATEWAY: Opt = Opt {
    flag: "pushgateway",
    env: "PROVENANCE_PUSHGATEWAY",
    value: "URL",
    help: "Prometheus Pushgateway that a run's metrics are pushed to, as in http://pushgateway:9091",
    on: EVERY,
    group: TELEMETRY,
    ..BASE
};
