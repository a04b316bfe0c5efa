//! `serve`: the API over a folder of reports, and the listener that takes reports in.

use std::sync::Arc;

use anyhow::Context as _;
use provenance_web::{Intake, Limits, Settings, Store, internal, listen, public};
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
    // Before anything is said of being ready: a signal that comes at once must not be lost.
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
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
    let limits = Limits::default();
    let both = async {
        tokio::join!(
            listen(open, public(store, settings), limits, stopped.clone()),
            listen(inner, internal(intake), limits, stopped)
        );
    };
    let signals = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: requests under way are answered");
        stop.send_replace(true);
        // The listeners end by this; the sender must live until they have.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = both => Ok(()),
        () = signals => Ok(()),
    }
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
