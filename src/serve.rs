//! `serve`: the API over a folder of reports, and the listener that takes reports in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use provenance_stages::discovery::connect;
use provenance_web::{Accounts, Intake, Jobs, Limits, Settings, Store, Theme, internal, listen, public};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::{Config, Serving};

/// How often parts of reports are looked at, at the least and at the most.
const LEAST_LOOK: Duration = Duration::from_millis(200);
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Serves until SIGTERM or Ctrl-C; requests under way are answered.
///
/// # Errors
///
/// Where a listener cannot be bound, or fails.
pub async fn serve(config: &Config) -> anyhow::Result<()> {
    // Before anything is said of being ready: a signal that comes at once must not be lost.
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    provenance_stages::choose_crypto();
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
    let brand = &serving.brand;
    if !brand.left_out.is_empty() {
        let names = Theme::names();
        tracing::warn!(
            names = brand.left_out.join(", "),
            "colours of the theme mean nothing here; these do: {names}"
        );
    }
    let (jobs, accounts) = cluster(config).await?;
    let settings = Settings {
        timeline_deltas: serving.timeline_deltas,
        place: serving.place.clone(),
        sign_in: serving.sign_in.clone(),
        jobs,
        brand: brand.clone(),
        open_metrics: serving.open_metrics,
    };
    let intake =
        Intake { store: Arc::clone(&store), most: serving.most, token: serving.token.clone(), accounts };
    let for_parts = Arc::clone(&store);
    let public = public(store, settings).context("signing in cannot be set up")?;
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
            listen(open, public, limits, stopped.clone()),
            listen(inner, internal(intake), limits, stopped)
        );
    };
    let joining = {
        let (store, wait) = (Arc::clone(&for_parts), serving.parts_wait);
        async move {
            let mut due = tokio::time::interval((wait / 10).clamp(LEAST_LOOK, LONGEST_LOOK));
            loop {
                due.tick().await;
                let store = Arc::clone(&store);
                if let Err(error) = tokio::task::spawn_blocking(move || store.join_parts(wait)).await {
                    tracing::error!(%error, "joining parts panicked; please report this defect");
                }
            }
        }
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
        () = joining => Ok(()),
    }
}

/// What needs the cluster: starting scans, and checking the accounts of uploads.
async fn cluster(config: &Config) -> anyhow::Result<(Option<Jobs>, Option<Accounts>)> {
    let Serving { cronjob, namespace, job_ttl, accounts, audience, sign_in, .. } = &config.serving;
    // Nobody may start a scan who is not known.
    let cronjob = cronjob.as_ref().filter(|_| sign_in.is_some());
    if cronjob.is_none() && accounts.is_empty() {
        return Ok((None, None));
    }
    let client = match connect(&config.kubeconfig).await {
        Ok(client) => client,
        Err(error) if accounts.is_empty() => {
            tracing::warn!("nobody can start a scan: {error}");
            return Ok((None, None));
        }
        Err(error) => return Err(error).context("uploads cannot be checked"),
    };
    let namespace = namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let jobs = cronjob.map(|name| Jobs::new(client.clone(), namespace, name.clone(), *job_ttl));
    let accounts = (!accounts.is_empty()).then(|| Accounts::new(client, audience.clone(), accounts.clone()));
    Ok((jobs, accounts))
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
