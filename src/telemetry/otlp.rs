//! Traces and metrics by OTLP ([protocol](https://opentelemetry.io/docs/specs/otlp/)), over gRPC or HTTP.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::metrics::{AsyncInstrument, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
};

use super::metrics;
use crate::config::Telemetry;

/// The longest that what is left may take on its way, when the process ends.
const FLUSH: Duration = Duration::from_secs(5);
/// Spans that may wait to be sent. More are ended in a second than are sent, and none may be lost.
const SPANS: usize = 1 << 16;
/// Spans that are sent at once.
const BATCH: usize = 2048;

/// What sends.
#[derive(Debug)]
pub(super) struct Sending {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
}

impl Sending {
    /// Starts to send. Runs inside the runtime.
    pub(super) fn start(telemetry: &Telemetry) -> Result<Option<(Self, SdkTracer)>, String> {
        let Some(endpoint) = &telemetry.endpoint else { return Ok(None) };
        provenance_stages::choose_crypto();
        let refuse = |error: &dyn fmt::Display| format!("{endpoint}: {error}");
        let (spans, measures) = if telemetry.by_http {
            let client = Client::new().map_err(|error| refuse(&error))?;
            let below = |signal: &str| format!("{}/v1/{signal}", endpoint.as_str().trim_end_matches('/'));
            let spans = SpanExporter::builder()
                .with_http()
                .with_http_client(client.clone())
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(below("traces"))
                .with_timeout(FLUSH)
                .build()
                .map_err(|error| refuse(&error))?;
            let measures = MetricExporter::builder()
                .with_http()
                .with_http_client(client)
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(below("metrics"))
                .with_timeout(FLUSH)
                .build()
                .map_err(|error| refuse(&error))?;
            (spans, measures)
        } else {
            let tls =
                || opentelemetry_otlp::tonic_types::transport::ClientTlsConfig::new().with_native_roots();
            let spans = SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint.as_str())
                .with_tls_config(tls())
                .with_timeout(FLUSH)
                .build()
                .map_err(|error| refuse(&error))?;
            let measures = MetricExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint.as_str())
                .with_tls_config(tls())
                .with_timeout(FLUSH)
                .build()
                .map_err(|error| refuse(&error))?;
            (spans, measures)
        };
        let resource = resource(telemetry);
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS)
            .with_max_export_batch_size(BATCH)
            .build();
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(telemetry.ratio))))
            .with_span_processor(BatchSpanProcessor::builder(spans).with_batch_config(batches).build())
            .build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(PeriodicReader::builder(measures).build())
            .build();
        observe(&metrics);
        global::set_text_map_propagator(TraceContextPropagator::new());
        let of_ours = traces.tracer("provenance-collector");
        Ok(Some((Self { traces, metrics }, of_ours)))
    }

    /// Sends what is left. What cannot be sent in time is told and given up.
    pub(super) fn finish(&self) {
        let told = |what: &str, error: &dyn fmt::Display| {
            tracing::warn!(%error, "{what} could not be sent by OTLP");
        };
        if let Err(error) = self.traces.shutdown_with_timeout(FLUSH) {
            told("traces", &error);
        }
        if let Err(error) = self.metrics.shutdown_with_timeout(FLUSH) {
            told("metrics", &error);
        }
    }
}

fn resource(telemetry: &Telemetry) -> Resource {
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", crate::VERSION));
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("provenance-collector");
    }
    if let Some(cluster) = &telemetry.cluster_name {
        resource = resource.with_attribute(KeyValue::new("k8s.cluster.name", cluster.clone()));
    }
    resource.build()
}

/// Every family is read when it is sent.
fn observe(provider: &SdkMeterProvider) {
    let meter = provider.meter("provenance-collector");
    for (name, help, is_counter) in metrics::NAMES {
        let tell = move |observer: &dyn AsyncInstrument<f64>| {
            let Some(measured) = metrics::now() else { return };
            let families = metrics::families(&measured).into_iter().filter(|family| family.name == name);
            for (labels, value) in families.flat_map(|family| family.samples) {
                let labels = labels.into_iter().map(|(label, value)| KeyValue::new(label, value));
                observer.observe(value, &labels.collect::<Vec<_>>());
            }
        };
        if is_counter {
            meter.f64_observable_counter(name).with_description(help).with_callback(tell).build();
        } else {
            meter.f64_observable_gauge(name).with_description(help).with_callback(tell).build();
        }
    }
}

/// Our HTTP client for the exporters, which ask from threads of their own.
#[derive(Debug, Clone)]
struct Client {
    http: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

impl Client {
    fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(FLUSH).build()?;
        Ok(Self { http, runtime: tokio::runtime::Handle::current() })
    }

    async fn send(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let asked = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
        let answer = asked.send().await?.error_for_status()?;
        let status = answer.status();
        Ok(Response::builder().status(status).body(answer.bytes().await?)?)
    }
}

impl HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let sent = self.runtime.spawn(Self::send(self.http.clone(), request));
        Box::pin(async move { sent.await? })
    }
}
