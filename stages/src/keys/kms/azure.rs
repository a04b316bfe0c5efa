//! Azure Key Vault ([get key](https://learn.microsoft.com/rest/api/keyvault/keys/get-key/get-key)). The official SDK has
//! no default chain of credentials any more; the three that workloads use are one request each.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provenance_trust::PublicKey;
use serde_json::Value;

use super::{ask, client, endpoint, variable};

const API_VERSION: &str = "7.4";
/// The managed identity's own endpoint on every Azure machine.
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";

pub(super) async fn fetch(uri: &str, rest: &str) -> Result<Vec<PublicKey>, String> {
    let parts: Vec<_> = rest.split('/').collect();
    let (vault, path) = match parts.as_slice() {
        [vault, key] if !vault.is_empty() && !key.is_empty() => (*vault, (*key).to_owned()),
        [vault, key, version] if !vault.is_empty() && !key.is_empty() => (*vault, format!("{key}/{version}")),
        _ => return Err("it is not of the form azurekms://VAULT.vault.azure.net/KEY[/VERSION]".into()),
    };
    let token = token(vault).await?;
    let url = format!("{}/keys/{path}?api-version={API_VERSION}", endpoint(vault));
    let answer = ask(client()?.get(url).bearer_auth(token)).await?;
    from_jwk(uri, &answer["key"]).map(|key| vec![key])
}

/// A token for the vault, by whatever credentials the environment holds.
async fn token(vault: &str) -> Result<String, String> {
    // https://VAULT.vault.azure.net is of the resource https://vault.azure.net, in every cloud.
    let host = vault.split(':').next().unwrap_or(vault);
    let resource = format!("https://{}", host.split_once('.').map_or(host, |(_, domain)| domain));
    let (tenant, id) = (variable("AZURE_TENANT_ID"), variable("AZURE_CLIENT_ID"));
    let secret = variable("AZURE_CLIENT_SECRET");
    let assertion = variable("AZURE_FEDERATED_TOKEN_FILE")
        .map(|file| std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}")))
        .transpose()?;
    let request = match (tenant, &id, secret, assertion) {
        (Some(tenant), Some(id), secret, assertion) if secret.is_some() || assertion.is_some() => {
            let authority = variable("AZURE_AUTHORITY_HOST");
            let authority =
                authority.map_or_else(|| "https://login.microsoftonline.com".into(), |host| endpoint(&host));
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "client_credentials").append_pair("client_id", id);
            form.append_pair("scope", &format!("{resource}/.default"));
            match (secret, assertion) {
                (Some(secret), _) => form.append_pair("client_secret", &secret),
                (None, assertion) => form
                    .append_pair(
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    )
                    .append_pair("client_assertion", assertion.unwrap_or_default().trim()),
            };
            client()?
                .post(format!("{authority}/{tenant}/oauth2/v2.0/token"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.finish())
        }
        _ => {
            let base = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST").map(|host| endpoint(&host));
            let base =
                base.map_or_else(|| METADATA.into(), |base| format!("{base}/metadata/identity/oauth2/token"));
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("api-version", "2018-02-01").append_pair("resource", &resource);
            if let Some(id) = &id {
                query.append_pair("client_id", id);
            }
            client()?.get(format!("{base}?{}", query.finish())).header("metadata", "true")
        }
    };
    let answer = ask(request).await.map_err(|why| format!("no Azure credentials: {why}"))?;
    answer["access_token"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| "no Azure credentials: no access_token".into())
}

/// A key as a JSON Web Key ([RFC 7518](https://www.rfc-editor.org/rfc/rfc7518#section-6)).
fn from_jwk(uri: &str, jwk: &Value) -> Result<PublicKey, String> {
    let part = |name: &str| {
        let text = jwk[name].as_str().ok_or_else(|| format!("the answer's key has no {name}"))?;
        URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|error| format!("the key's {name}: {error}"))
    };
    match (jwk["kty"].as_str().unwrap_or_default(), jwk["crv"].as_str().unwrap_or_default()) {
        ("EC" | "EC-HSM", curve @ ("P-256" | "P-384")) => {
            PublicKey::from_point(uri, curve, &part("x")?, &part("y")?)
        }
        ("RSA" | "RSA-HSM", _) => PublicKey::from_rsa(uri, &part("n")?, &part("e")?),
        (kind, curve) => Err(format!("keys of kind {kind:?} {curve:?} are not supported")),
    }
}
