//! `serve`: the API over a folder of reports, and the listener that takes reports in.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use provenance_web::{Intake, Settings, Store, internal, public};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;

/// Serves until SIGTERM or Ctrl-C; requests under way are answered.
///
/// # Errors
///
/// Where a listener cannot be bound, or fails.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    let store = Arc::new(Store::open(&config.report_path, config.report_retention));
    let checked = Arc::clone(&store);
    if let Err(error) = tokio::task::spawn_blocking(move || checked.check()).await? {
        // A folder that can only be read is served all the same.
        tracing::warn!("no reports can be taken in: {error}");
    }
    let opened = Arc::clone(&store);
    let listing = tokio::task::spawn_blocking(move || opened.listing()).await?;
    let listing = listing.with_context(|| format!("{}: it cannot be read", config.report_path.display()))?;
    for (name, why) in &listing.broken {
        tracing::warn!(name, "a file is no report: {why}");
    }
    let serving = &config.serving;
    let settings = Settings { timeline_deltas: serving.timeline_deltas };
    let intake = Intake { store: Arc::clone(&store), most: serving.most, token: serving.token.clone() };
    let (open, inner) = (bind(&serving.public).await?, bind(&serving.internal).await?);
    tracing::info!(
        reports = listing.reports.len(),
        public = %open.local_addr()?,
        internal = %inner.local_addr()?,
        "serving"
    );
    let (stop, stopped) = watch::channel(false);
    let both = async {
        tokio::try_join!(
            run(open, public(store, settings), stopped.clone()),
            run(inner, internal(intake), stopped.clone())
        )
    };
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut both = std::pin::pin!(both);
    tokio::select! {
        ended = &mut both => ended?,
        _ = term.recv() => stop_and_wait(&stop, both).await?,
        _ = interrupt.recv() => stop_and_wait(&stop, both).await?,
    };
    Ok(())
}

async fn stop_and_wait<T>(
    stop: &watch::Sender<bool>,
    both: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tracing::info!("stopping: requests under way are answered");
    stop.send_replace(true);
    both.await
}

async fn run(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let until = async move {
        // The sender lives as long as the listeners do.
        stopped.wait_for(|stopped| *stopped).await.ok();
    };
    axum::serve(listener, router).with_graceful_shutdown(until).await.context("a listener failed")
}

/// Binds an address as Go writes it; an empty host is every interface, of both families where there are both.
async fn bind(address: &str) -> anyhow::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await.with_context(|| format!("{address} cannot be listened on"));
    };
    match TcpListener::bind(format!("[::]:{port}")).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(format!("0.0.0.0:{port}"))
            .await
            .with_context(|| format!("port {port} cannot be listened on")),
    }
}
