//! `HashiCorp` Vault's transit engine ([read key](https://developer.hashicorp.com/vault/api-docs/secret/transit#read-key)).

use provenance_trust::PublicKey;

use super::{ask, client, endpoint, variable};

pub(super) async fn fetch(uri: &str, rest: &str) -> Result<Vec<PublicKey>, String> {
    if rest.is_empty() || rest.contains('/') {
        return Err("it is not of the form hashivault://KEY".into());
    }
    let address = variable("VAULT_ADDR").ok_or("VAULT_ADDR is not set")?;
    let token = variable("VAULT_TOKEN").or_else(token_of_login);
    let token = token.ok_or("VAULT_TOKEN is not set, and there is no ~/.vault-token")?;
    let mount = variable("TRANSIT_SECRET_ENGINE_PATH").unwrap_or_else(|| "transit".into());
    let url = format!("{}/v1/{}/keys/{rest}", endpoint(&address), mount.trim_matches('/'));
    let mut request = client()?.get(url).header("x-vault-token", token);
    if let Some(namespace) = variable("VAULT_NAMESPACE") {
        request = request.header("x-vault-namespace", namespace);
    }
    let answer = ask(request).await?;
    let data = &answer["data"];
    let version = data["latest_version"].as_u64().ok_or("the answer names no latest_version")?;
    let pem = data["keys"][version.to_string()]["public_key"].as_str();
    let pem = pem.ok_or("the answer holds no public key; is it a signing key?")?;
    // An Ed25519 key comes as its bare 32 bytes.
    if data["type"].as_str() == Some("ed25519") {
        return PublicKey::from_ed25519(uri, pem).map(|key| vec![key]);
    }
    PublicKey::all_from_pem(uri, pem)
}

/// The token that `vault login` left.
fn token_of_login() -> Option<String> {
    let home = std::env::var_os("HOME")?;
    let token = std::fs::read_to_string(std::path::Path::new(&home).join(".vault-token")).ok()?;
    Some(token.trim().to_owned()).filter(|token| !token.is_empty())
}
