//! What both servers share: a listener on loopback, latency, faults, the log, and a clean end.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fault::{Effect, Faults};
use crate::log::{Log, Logged};

/// Bytes of a request body that are read.
const BODY_BYTES: usize = 256 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What a server answers.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).expect("the testbed's statuses are statuses");
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, body.to_string()).with("content-type", "application/json")
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What makes a server that server.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, asked: &Asked, own: &str) -> Reply;

    /// What a server answers that is behind, for [`Effect::Stale`].
    fn stale(&self, asked: &Asked, own: &str) -> Reply {
        self.answer(asked, own)
    }

    /// One more page of a list, for [`Effect::EndlessPages`].
    fn endless(&self, asked: &Asked, page: usize) -> Reply;
}

/// A server that answers so many requests a second, and refuses the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    per_second: usize,
    retry_after: u32,
    answered: VecDeque<Instant>,
}

impl Throttle {
    pub(crate) fn new(per_second: usize, retry_after: u32) -> Self {
        Self { per_second, retry_after, answered: VecDeque::new() }
    }

    fn refuse(&mut self) -> Option<Reply> {
        let now = Instant::now();
        while self.answered.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.answered.pop_front();
        }
        if self.answered.len() < self.per_second {
            self.answered.push_back(now);
            return None;
        }
        Some(Reply::new(429, "slow down").with("retry-after", self.retry_after.to_string()))
    }
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) latency: Mutex<Duration>,
    pub(crate) throttle: Mutex<Option<Throttle>>,
    pages: AtomicUsize,
    /// Floods of which every byte was taken.
    pub(crate) floods_taken: Arc<AtomicUsize>,
    /// Until when the server is down.
    down_until: Mutex<Option<Instant>>,
    went_down: Notify,
}

impl Shared {
    /// How long the server is still down.
    fn down(&self) -> Option<Duration> {
        let until = *self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.and_then(|until| until.checked_duration_since(Instant::now()))
    }

    fn go_down(&self, time: Duration) {
        *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + time);
        self.went_down.notify_one();
    }
}

impl Server {
    pub(crate) async fn start(service: Arc<dyn Service>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let stop = CancellationToken::new();
        let own = format!("http://{address}");
        let handler = {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            move |request: Request| {
                handle(Arc::clone(&service), Arc::clone(&shared), own.clone(), stop.clone(), request)
            }
        };
        let router = Router::new().fallback(handler);
        let (ended, state) = (stop.clone(), Arc::clone(&shared));
        let task = tokio::spawn(async move {
            let mut listener = listener;
            loop {
                let serving = axum::serve(listener, router.clone()).into_future();
                tokio::select! {
                    _ = serving => return,
                    () = ended.cancelled() => return,
                    () = state.went_down.notified() => {}
                }
                while let Some(time) = state.down() {
                    tokio::time::sleep(time).await;
                }
                // Somebody else can have taken the port meanwhile; then it stays down.
                let Ok(again) = TcpListener::bind(address).await else { return };
                listener = again;
            }
        });
        Ok(Self { address, shared, stop, task: Mutex::new(Some(task)) })
    }

    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    /// Stops listening, so that connections are refused.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.await.ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Answers one request: latency, fault or service, log.
async fn handle(
    service: Arc<dyn Service>,
    shared: Arc<Shared>,
    own: String,
    stop: CancellationToken,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let query =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body = to_bytes(Body::new(body), BODY_BYTES).await.unwrap_or_default();
    let asked = Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query,
        headers: parts.headers,
        body,
    };

    if stop.is_cancelled() || shared.down().is_some() {
        // A server that is down closes the connections it still has.
        return response(Reply::new(200, "stopped"), How::Cut, &asked.method);
    }
    let latency = *shared.latency.lock().unwrap_or_else(PoisonError::into_inner);
    if latency > Duration::ZERO {
        tokio::time::sleep(latency).await;
    }
    if let Some(throttle) = &mut *shared.throttle.lock().unwrap_or_else(PoisonError::into_inner)
        && let Some(refusal) = throttle.refuse()
    {
        log(&shared, &asked, &path_and_query, 429, true);
        return response(refusal, How::Whole, &asked.method);
    }
    let line = format!("{} {path_and_query}", asked.method);
    let effect = shared.faults.strike(&line);
    let is_struck = effect.is_some();
    let (reply, how) = match effect {
        None => (service.answer(&asked, &own), How::Whole),
        Some(Effect::Answer { status, headers, body }) => {
            let mut response = response(Reply::new(status, body), How::Whole, &asked.method);
            for (name, value) in headers {
                let name =
                    http::HeaderName::from_bytes(name.as_bytes()).expect("a test orders valid header names");
                response
                    .headers_mut()
                    .insert(name, value.parse().expect("a test orders valid header values"));
            }
            log(&shared, &asked, &path_and_query, status, true);
            return response;
        }
        Some(Effect::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            (service.answer(&asked, &own), How::Whole)
        }
        Some(Effect::Hang) => {
            log(&shared, &asked, &path_and_query, 0, true);
            std::future::pending().await
        }
        Some(Effect::Restart(time)) => {
            shared.go_down(time);
            log(&shared, &asked, &path_and_query, 0, true);
            return response(Reply::new(200, "going down"), How::Cut, &asked.method);
        }
        Some(Effect::Stale) => (service.stale(&asked, &own), How::Whole),
        Some(Effect::Cut) => (service.answer(&asked, &own), How::Cut),
        Some(Effect::Corrupt) => {
            let mut reply = service.answer(&asked, &own);
            let mut bytes = reply.body.to_vec();
            // A letter inside a string, so that the document still parses.
            if let Some(byte) = bytes.iter_mut().rev().find(|byte| byte.is_ascii_lowercase()) {
                *byte = if *byte == b'a' { b'b' } else { b'a' };
            }
            reply.body = bytes.into();
            (reply, How::Whole)
        }
        Some(Effect::Flood(bytes)) => {
            (Reply::new(200, ""), How::Flood(bytes, Arc::clone(&shared.floods_taken)))
        }
        Some(Effect::Redirect(to)) => {
            (Reply::new(307, "").with("location", format!("{to}{path_and_query}")), How::Whole)
        }
        Some(Effect::EndlessPages) => {
            let page = shared.pages.fetch_add(1, Ordering::Relaxed);
            (service.endless(&asked, page), How::Whole)
        }
    };
    log(&shared, &asked, &path_and_query, reply.status.as_u16(), is_struck);
    response(reply, how, &asked.method)
}

fn log(shared: &Shared, asked: &Asked, path_and_query: &str, status: u16, is_struck: bool) {
    shared.log.push(Logged {
        method: asked.method.to_string(),
        path: path_and_query.to_owned(),
        authorization: asked.header("authorization").map(str::to_owned),
        status,
        is_struck,
        at: Instant::now(),
    });
}

/// How a reply's body is sent.
#[derive(Debug, Clone)]
enum How {
    Whole,
    Cut,
    /// So many bytes, and the count of floods that were taken to the end.
    Flood(usize, Arc<AtomicUsize>),
}

fn response(reply: Reply, how: How, method: &Method) -> Response {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(*name, value);
    }
    let body = match how {
        How::Whole if *method == Method::HEAD => {
            builder = builder.header("content-length", reply.body.len());
            Body::empty()
        }
        How::Whole => Body::from(reply.body),
        How::Cut => {
            builder = builder.header("content-length", reply.body.len());
            let half = reply.body.slice(..reply.body.len() / 2);
            let cut = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by order");
            Body::from_stream(futures::stream::iter([Ok(half), Err(cut)]))
        }
        How::Flood(bytes, taken) => {
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            let chunks = bytes.div_ceil(chunk.len());
            let last = chunks.saturating_sub(1);
            Body::from_stream(futures::stream::iter((0..chunks).map(move |number| {
                taken.fetch_add(usize::from(number == last), Ordering::Relaxed);
                Ok::<_, Infallible>(chunk.clone())
            })))
        }
    };
    builder.body(body).expect("the testbed's headers are valid")
}
