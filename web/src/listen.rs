//! A listener that slow and idle clients cannot hold: a limit on connections, on the time a request's head may take, on
//! the time it may take as a whole, and a clean end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use opentelemetry::global;
use opentelemetry_http::HeaderExtractor;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt as _;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::front::Client;

/// How clients are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// The longest a request's head may take, and a connection may idle between requests.
    pub head: Duration,
    /// The longest a request may take, its body included, until its answer begins.
    pub request: Duration,
    /// The longest requests under way may take at the end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head: Duration::from_secs(10),
            request: Duration::from_mins(1),
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves until `stopped` says so; then requests under way are answered.
pub async fn listen(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(limits.head);
    loop {
        let place = tokio::select! {
            // Who keeps the sender keeps the listener; without one it ends.
            _ = stopped.wait_for(|stopped| *stopped) => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                // Too many open files, as a rule: a moment later there may be fewer.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), request, peer, limits.request)
        });
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), service));
        // Joined by the watcher above, and bounded by the places.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that were still under way were cut off");
    }
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    peer: IpAddr,
    limit: Duration,
) -> Result<Response, Infallible> {
    let span = tracing::info_span!(
        "answer",
        otel.name = %request.method(),
        otel.kind = "server",
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = tracing::field::Empty,
    );
    // A report belongs to the trace of the run that it is of.
    let parent = global::get_text_map_propagator(|known| known.extract(&HeaderExtractor(request.headers())));
    // Nothing is traced where that is refused.
    span.set_parent(parent).ok();
    let client = Client::of(peer, &request);
    request.extensions_mut().insert(client);
    let answered = tokio::time::timeout(limit, router.oneshot(request.map(Body::new)));
    let answer = match answered.instrument(span.clone()).await {
        Ok(Ok(answer)) => answer,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the request took too long\n").into_response(),
    };
    span.record("http.response.status_code", answer.status().as_u16());
    Ok(answer)
}
