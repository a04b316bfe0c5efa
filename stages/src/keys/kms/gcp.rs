//! Google Cloud KMS ([getPublicKey](https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions/getPublicKey)).

use provenance_trust::PublicKey;

use super::{ask, client, endpoint, variable};

const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
/// gcloud's own variable for private endpoints.
const ENDPOINT: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS";

pub(super) async fn fetch(uri: &str, rest: &str) -> Result<Vec<PublicKey>, String> {
    let (key, version) = split(rest)?;
    let base =
        variable(ENDPOINT).map_or_else(|| "https://cloudkms.googleapis.com".into(), |url| endpoint(&url));
    let provider = gcp_auth::provider().await.map_err(|error| format!("no Google credentials: {error}"))?;
    let token = provider.token(&[SCOPE]).await.map_err(|error| format!("no Google credentials: {error}"))?;
    let get =
        async |path: &str| ask(client()?.get(format!("{base}/v1/{path}")).bearer_auth(token.as_str())).await;
    let version = if let Some(version) = version {
        version
    } else {
        // The newest that may sign.
        let answer = get(&format!("{key}/cryptoKeyVersions?filter=state%3DENABLED")).await?;
        let versions = answer["cryptoKeyVersions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let names = versions.iter().filter_map(|version| version["name"].as_str());
        let numbers = names.filter_map(|name| name.rsplit('/').next()?.parse::<u64>().ok());
        numbers.max().ok_or("the key has no version that is enabled")?.to_string()
    };
    let answer = get(&format!("{key}/cryptoKeyVersions/{version}/publicKey")).await?;
    let pem = answer["pem"].as_str().ok_or("the answer holds no public key; is it a signing key?")?;
    PublicKey::all_from_pem(uri, pem)
}

/// The key's own name, and its version where one is named.
fn split(rest: &str) -> Result<(String, Option<String>), String> {
    let parts: Vec<_> = rest.split('/').collect();
    let form =
        "it is not of the form gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/N]";
    let ["projects", _, "locations", _, "keyRings", _, "cryptoKeys", _, version @ ..] = parts.as_slice()
    else {
        return Err(form.into());
    };
    let version = match version {
        [] => None,
        ["cryptoKeyVersions" | "versions", number] => Some((*number).to_owned()),
        _ => return Err(form.into()),
    };
    Ok((parts[..8].join("/"), version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_with_or_without_its_version() {
        let key = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
        assert_eq!(split(key).unwrap(), (key.to_owned(), None));
        for name in ["cryptoKeyVersions", "versions"] {
            assert_eq!(split(&format!("{key}/{name}/3")).unwrap(), (key.to_owned(), Some("3".into())));
        }
        assert!(split("projects/p/keyRings/r").is_err() && split(&format!("{key}/3")).is_err());
    }
}
