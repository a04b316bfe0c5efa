//! Metrics of a run that is gone before anyone could ask for them: to a file, or to a Pushgateway.

use std::path::Path;
use std::time::Duration;

use url::Url;

use super::metrics::{Measured, families, text};
use crate::config::Telemetry;

/// The longest that a gateway may take.
const PUSHING: Duration = Duration::from_secs(10);

/// Writes and pushes what was measured. What fails is told and costs nothing else.
pub(crate) async fn publish(telemetry: &Telemetry, measured: &Measured) {
    if telemetry.file.is_none() && telemetry.gateway.is_none() {
        return;
    }
    let text = text(&families(measured));
    if let Some(file) = &telemetry.file
        && let Err(error) = write(file, &text)
    {
        tracing::error!(%error, file = %file.display(), "the metrics could not be written");
    }
    if let Some(gateway) = &telemetry.gateway
        && let Err(why) = push(gateway, telemetry.cluster_name.as_deref(), text).await
    {
        tracing::error!(gateway = %shown(gateway), "the metrics could not be pushed: {why}");
    }
}

/// Whole or not at all: the node exporter may read it at any moment.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let aside = file.with_extension("prom.tmp");
    std::fs::write(&aside, text)?;
    std::fs::rename(&aside, file)
}

/// Puts the metrics in the place of those of the last run
/// ([API](https://github.com/prometheus/pushgateway/blob/master/README.md#api)).
async fn push(gateway: &Url, cluster: Option<&str>, text: String) -> Result<(), String> {
    let mut url = gateway.clone();
    {
        let mut path = url.path_segments_mut().map_err(|()| "it is no URL to push to".to_owned())?;
        path.pop_if_empty().extend(["metrics", "job", "provenance_collector"]);
        if let Some(cluster) = cluster {
            path.extend(["cluster", cluster]);
        }
    }
    provenance_stages::choose_crypto();
    let client = reqwest::Client::builder().timeout(PUSHING).build().map_err(|error| error.to_string())?;
    let asked = client.put(url).header("content-type", "text/plain; version=0.0.4").body(text);
    let answer = asked.send().await.map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = answer.text().await.unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(format!("it answered {}: {said}", status.as_u16()))
}

/// A URL without user and password.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
}
