//! Where traces and metrics go.

use std::path::PathBuf;

use url::Url;

use super::{Reader, values};
use crate::options;

/// Where traces and metrics go.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Where they are sent by OTLP.
    pub endpoint: Option<Url>,
    /// Whether by HTTP, rather than gRPC.
    pub by_http: bool,
    /// The share of runs that are traced.
    pub ratio: f64,
    /// The file that metrics are written to.
    pub file: Option<PathBuf>,
    /// The gateway that metrics are pushed to.
    pub gateway: Option<Url>,
    /// The cluster's name, where it is configured.
    pub cluster_name: Option<String>,
}

impl Reader<'_> {
    pub(super) fn telemetry(&mut self) -> Telemetry {
        let endpoint = self.read(&options::OTLP_ENDPOINT, values::http_url);
        let protocol = self.read(&options::OTLP_PROTOCOL, |value| Ok(value.to_owned()));
        let is_http_port = endpoint.as_ref().is_some_and(|url| url.port() == Some(4318));
        Telemetry {
            endpoint,
            by_http: protocol == "http/protobuf" || (protocol == "auto" && is_http_port),
            ratio: self.read(&options::TRACE_RATIO, |value| match value.parse() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
                _ => Err("it is no number from 0 to 1".to_owned()),
            }),
            file: self.read(&options::METRICS_FILE, values::text).map(PathBuf::from),
            gateway: self.read(&options::PUSHGATEWAY, values::http_url),
            cluster_name: self.read(&options::CLUSTER_NAME, values::text),
        }
    }
}
