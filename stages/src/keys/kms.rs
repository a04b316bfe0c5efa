//! Public keys from key management services. URIs are those of sigstore's tools
//! ([KMS support](https://docs.sigstore.dev/cosign/key_management/overview/)).
//!
//! | URI | service | credentials |
//! | --- | --- | --- |
//! | `awskms://[ENDPOINT]/ID`, an id, `alias/NAME` or ARN | AWS KMS | the AWS SDK's default chain |
//! | `gcpkms://projects/…/cryptoKeys/KEY[/cryptoKeyVersions/N]` | Google Cloud KMS | Application Default Credentials |
//! | `azurekms://VAULT.vault.azure.net/KEY[/VERSION]` | Azure Key Vault | workload identity, client secret or managed identity |
//! | `hashivault://KEY` | HashiCorp Vault, transit | `VAULT_ADDR`, `VAULT_TOKEN` |

mod aws;
mod azure;
mod gcp;
mod vault;

use std::time::Duration;

use provenance_trust::PublicKey;
use serde_json::Value;

/// Bytes of an answer.
const ANSWER_BYTES: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The schemes that are known.
pub(super) const SCHEMES: [&str; 4] = ["awskms://", "gcpkms://", "azurekms://", "hashivault://"];

/// Fetches the public key at a URI.
pub(super) async fn fetch(uri: &str) -> Result<Vec<PublicKey>, String> {
    let Some((scheme, rest)) = uri.split_once("://") else { return Err(format!("{uri}: it is no URI")) };
    let fetched = match scheme {
        "awskms" => aws::fetch(uri, rest).await,
        "gcpkms" => gcp::fetch(uri, rest).await,
        "azurekms" => azure::fetch(uri, rest).await,
        "hashivault" => vault::fetch(uri, rest).await,
        _ => Err("its scheme is not known".into()),
    };
    fetched.map_err(|why| format!("{uri}: {why}"))
}

fn client() -> Result<reqwest::Client, String> {
    crate::choose_crypto();
    reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| error.to_string())
}

/// Sends a request and reads the JSON it is answered with.
async fn ask(request: reqwest::RequestBuilder) -> Result<Value, String> {
    let mut response = request.send().await.map_err(|error| crate::discovery::chain(&error))?;
    let (status, url) = (response.status(), response.url().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| crate::discovery::chain(&error))? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_BYTES {
            return Err(format!("{url} answered more than {ANSWER_BYTES} bytes"));
        }
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let told = [&answer["message"], &answer["Message"], &answer["error"]["message"], &answer["errors"][0]];
    let told =
        told.into_iter().chain([&answer["error_description"], &answer["__type"]]).find_map(Value::as_str);
    let told = told.map(|told| format!(": {}", told.lines().next().unwrap_or_default())).unwrap_or_default();
    Err(format!("{url} answered {}{told}", status.as_u16()))
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// An endpoint as a URL. Only loopback is asked without TLS.
fn endpoint(written: &str) -> String {
    if written.contains("://") {
        return written.trim_end_matches('/').to_owned();
    }
    let host = written.rsplit_once(':').map_or(written, |(host, _)| host);
    let scheme = if matches!(host, "localhost" | "127.0.0.1" | "[::1]") { "http" } else { "https" };
    format!("{scheme}://{written}")
}
