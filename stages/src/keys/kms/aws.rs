//! AWS KMS ([GetPublicKey](https://docs.aws.amazon.com/kms/latest/APIReference/API_GetPublicKey.html)).

use std::time::SystemTime;

use aws_config::BehaviorVersion;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_trust::PublicKey;
use serde_json::json;

use super::{ask, client, endpoint, variable};

const TARGET: &str = "TrentService.GetPublicKey";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

pub(super) async fn fetch(uri: &str, rest: &str) -> Result<Vec<PublicKey>, String> {
    let Some((host, id)) = rest.split_once('/').filter(|(_, id)| !id.is_empty()) else {
        return Err("it is not of the form awskms://[ENDPOINT]/ID".into());
    };
    let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
    // An ARN names its region: arn:aws:kms:REGION:ACCOUNT:key/ID.
    let of_arn = id.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)).map(str::to_owned);
    let region = of_arn.or_else(|| config.region().map(ToString::to_string));
    let region = region.ok_or("the region is not known; set AWS_REGION, or name the key by its ARN")?;
    let given = Some(host).filter(|host| !host.is_empty()).map(endpoint);
    let base = given
        .or_else(|| variable("AWS_ENDPOINT_URL_KMS").or_else(|| variable("AWS_ENDPOINT_URL")))
        .unwrap_or_else(|| format!("https://kms.{region}.{}", suffix(&region)));
    let provider = config.credentials_provider().ok_or("no AWS credentials are configured")?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| format!("no AWS credentials: {}", crate::discovery::chain(&error)))?;

    let url = format!("{}/", base.trim_end_matches('/'));
    let body = json!({"KeyId": id}).to_string();
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&region)
        .name("kms")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
    let signable =
        SignableRequest::new("POST", url.as_str(), headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let signed =
        signable.and_then(|signable| sign(signable, &parameters)).map_err(|error| error.to_string())?;
    let mut request = client()?.post(&url).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    for (name, value) in signed.output().headers() {
        request = request.header(name, value);
    }
    let answer = ask(request).await?;
    let key = answer["PublicKey"].as_str().ok_or("the answer holds no PublicKey; is it a signing key?")?;
    let der =
        STANDARD.decode(key).map_err(|error| format!("the answer's PublicKey is no base64: {error}"))?;
    PublicKey::from_der(uri, &der).map(|key| vec![key])
}

fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
