//! Signing in with a browser: authorization code with PKCE, state and nonce
//! ([OpenID Connect Core 1.0 §3.1](https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth),
//! [RFC 7636](https://www.rfc-editor.org/rfc/rfc7636)), and signing out at the issuer too
//! ([RP-Initiated Logout 1.0](https://openid.net/specs/openid-connect-rpinitiated-1_0.html)).

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken};
use openidconnect::{
    AccessToken, AccessTokenHash, AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, LogoutRequest, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl, ProviderMetadataWithLogout, RedirectUrl,
    Scope, TokenResponse as _,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::{Provider, Said, Unanswered, chain};
use super::session::{ID_TOKEN, SESSION, Session, UNDER_WAY, UnderWay, forget, is_over};
use super::{Auth, Identity, token};
use crate::front::Base;
use crate::problem::Problem;

/// How long somebody may take at the issuer.
const UNDER_WAY_FOR: i64 = 600;
/// Where the issuer sends browsers back to.
const CALLBACK: &str = "callback";
/// Where they are after signing out.
const SIGNED_OUT: &str = "signed-out";
/// The route that ends a session, below which the ID token's cookie is sent.
const SIGN_OUT: &str = "sign-out";

/// Sends a browser somewhere, with what it is to keep.
#[derive(Debug)]
pub(crate) struct Sent {
    pub to: String,
    pub cookies: Vec<HeaderValue>,
}

impl IntoResponse for Sent {
    fn into_response(self) -> Response {
        let mut answer = (StatusCode::SEE_OTHER, [(header::LOCATION, self.to)]).into_response();
        for cookie in self.cookies {
            answer.headers_mut().append(header::SET_COOKIE, cookie);
        }
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer
    }
}

/// What the issuer sends a browser back with.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

fn unasked(Unanswered(why): Unanswered) -> Problem {
    tracing::warn!("the issuer cannot be asked: {why}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The issuer cannot be asked now. Try again in a moment.")
}

fn again(why: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("{why} Please sign in again."))
}

fn refused(why: &str, error: &dyn std::fmt::Display) -> Problem {
    tracing::warn!("somebody could not sign in: {why}: {error}");
    Problem::new(StatusCode::UNAUTHORIZED, format!("You could not be signed in: {why}."))
}

impl Auth {
    /// Whether people can sign in with a browser.
    pub(crate) fn has_browser(&self) -> bool {
        self.settings.client.is_some()
    }

    /// Takes one of a client's tries to sign in, or says after how many seconds there is another.
    pub(crate) fn try_sign_in(&self, client: Option<crate::front::Client>) -> Result<(), u64> {
        client.map_or(Ok(()), |client| self.sign_ins.take(client.0))
    }

    /// The issuer's origin, to which signing out may lead a form.
    pub(crate) fn origin(&self) -> String {
        self.settings.issuer.origin().ascii_serialization()
    }

    async fn client(&self, base: &Base) -> Result<(Client, ProviderMetadataWithLogout), Problem> {
        let Some(id) = &self.settings.client else {
            return Err(Problem::not_found(
                "Browsers cannot sign in here: PROVENANCE_OIDC_CLIENT_ID is not set.",
            ));
        };
        let provider = self.issuer.provider().await.map_err(unasked)?;
        let Some(metadata) = provider.metadata.clone() else {
            return Err(unasked(Unanswered("it has no discovery document of that name".into())));
        };
        let methods = metadata.token_endpoint_auth_methods_supported();
        let only_post = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let back = RedirectUrl::new(format!("{}{CALLBACK}", base.0));
        let back = back.map_err(|error| Problem::unreadable(error.to_string()))?;
        let secret = self.secret.clone().map(ClientSecret::new);
        let client = CoreClient::from_provider_metadata(metadata.clone(), ClientId::new(id.clone()), secret)
            .set_auth_type(if only_post { AuthType::RequestBody } else { AuthType::BasicAuth })
            .set_redirect_uri(back);
        Ok((client, metadata))
    }

    /// Sends a browser to the issuer; afterwards it goes to this page, relative to the base.
    pub(crate) async fn begin(&self, base: &Base, to: &str) -> Result<Sent, Problem> {
        let (client, _) = self.client(base).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.settings.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        let under_way = UnderWay {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            to: to.to_owned(),
            ends: Timestamp::now().as_second() + UNDER_WAY_FOR,
        };
        let cookie = self.cookies.keep(base, (UNDER_WAY, CALLBACK), &under_way, UNDER_WAY_FOR);
        let cookie = cookie.ok_or_else(|| Problem::asked("the page to go back to has too long a name"))?;
        Ok(Sent { to: url.to_string(), cookies: vec![cookie] })
    }

    /// Takes a browser that the issuer sent back.
    pub(crate) async fn finish(
        &self,
        base: &Base,
        headers: &HeaderMap,
        returned: Returned,
    ) -> Result<Sent, Problem> {
        let under_way: Option<UnderWay> = self.cookies.read(headers, UNDER_WAY);
        let under_way = under_way.filter(|under_way| !is_over(under_way.ends));
        let under_way = under_way
            .ok_or_else(|| again("This sign-in was not begun in this browser, or took too long."))?;
        if returned.state.as_deref() != Some(&under_way.state) {
            return Err(again("This is the answer to another sign-in."));
        }
        if let Some(error) = returned.error {
            let more = returned.error_description.map(|more| format!(" ({more})")).unwrap_or_default();
            return Err(Problem::new(StatusCode::FORBIDDEN, format!("The issuer says: {error}{more}")));
        }
        let code = returned.code.ok_or_else(|| again("The issuer sent no code."))?;
        let (client, _) = self.client(base).await?;
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| refused("the issuer has no token endpoint", &error))?;
        let verifier = PkceCodeVerifier::new(under_way.verifier);
        let tokens = request.set_pkce_verifier(verifier).request_async(&self.issuer.http).await;
        let tokens = tokens.map_err(|error| refused("the issuer does not take the code", &chain(&error)))?;
        let id_token = tokens.id_token().ok_or_else(|| refused("the issuer sent no ID token", &""))?;
        let access = tokens.access_token();
        let provider = self.verified(&client, id_token, &Nonce::new(under_way.nonce), access).await?;
        let written = id_token.to_string();
        let claims = token::claims(&written).unwrap_or_default();
        let who = self.whole(claims, access.secret(), &provider).await?;
        tracing::info!(subject = who.subject, email = who.email, "signed in");
        let lifetime = i64::try_from(self.settings.lifetime.as_secs()).unwrap_or(i64::MAX);
        let ends = Timestamp::now().as_second().saturating_add(lifetime);
        let who = Identity { groups: self.kept(who.groups), ..who };
        let session = Session { id: CsrfToken::new_random().into_secret(), who, ends };
        let session = self.cookies.keep(base, (SESSION, ""), &session, lifetime);
        let session = session.ok_or_else(|| Problem::unreadable("your session is too large for a cookie"))?;
        let mut cookies = vec![session];
        // Too large a token only has the issuer ask whether to sign out.
        cookies.extend(self.cookies.keep(base, (ID_TOKEN, SIGN_OUT), &written, lifetime));
        cookies.extend(forget(base, (UNDER_WAY, CALLBACK)));
        Ok(Sent { to: format!("./{}", under_way.to), cookies })
    }

    /// Checks an ID token; where its key is not among those known, with the issuer's newer ones.
    async fn verified(
        &self,
        client: &Client,
        id_token: &CoreIdToken,
        nonce: &Nonce,
        access: &AccessToken,
    ) -> Result<Arc<Provider>, Problem> {
        let provider = self.issuer.provider().await.map_err(unasked)?;
        if holds(client, id_token, nonce, access).is_ok() {
            return Ok(provider);
        }
        let provider = self.issuer.newer_provider().await.map_err(unasked)?;
        let (Some(metadata), Some(id)) = (provider.metadata.clone(), self.settings.client.clone()) else {
            return Err(refused("the issuer has no keys", &""));
        };
        let secret = self.secret.clone().map(ClientSecret::new);
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(id), secret);
        holds(&client, id_token, nonce, access).map_err(|why| refused("the ID token does not hold", &why))?;
        Ok(provider)
    }

    /// Who somebody is; where the ID token does not tell their groups, the issuer does.
    async fn whole(
        &self,
        mut claims: Map<String, Value>,
        access: &str,
        provider: &Provider,
    ) -> Result<Identity, Problem> {
        if !claims.contains_key(&self.settings.groups_claim)
            && let Some(endpoint) = &provider.userinfo
        {
            match self.issuer.userinfo(endpoint, access).await.map_err(unasked)? {
                Said::Claims(said) if said.get("sub") == claims.get("sub") => claims.extend(said),
                Said::Claims(_) => return Err(refused("the issuer tells of somebody else", &"")),
                Said::Refused | Said::NotForThis => {}
            }
        }
        self.identity(&claims).map_err(|why| refused(&why, &""))
    }

    /// Ends a session, and sends the browser to the issuer to end its own.
    pub(crate) async fn end(&self, base: &Base, headers: &HeaderMap) -> Sent {
        if let Some(session) = self.cookies.read::<Session>(headers, SESSION) {
            tracing::info!(subject = session.who.subject, "signed out");
            self.ended.insert(session.id, ());
        }
        let id_token: Option<String> = self.cookies.read(headers, ID_TOKEN);
        let cookies =
            [forget(base, (SESSION, "")), forget(base, (ID_TOKEN, SIGN_OUT))].into_iter().flatten().collect();
        Sent { to: self.logout(base, id_token).await.unwrap_or_else(|| SIGNED_OUT.to_owned()), cookies }
    }

    /// Where the issuer ends its session; none where it has no such place.
    async fn logout(&self, base: &Base, id_token: Option<String>) -> Option<String> {
        let client = self.settings.client.clone()?;
        let provider = self.issuer.provider().await.ok()?;
        let end = provider.metadata.as_ref()?.additional_metadata().end_session_endpoint.clone()?;
        let back = PostLogoutRedirectUrl::new(format!("{}{SIGNED_OUT}", base.0)).ok()?;
        let mut request =
            LogoutRequest::from(end).set_client_id(ClientId::new(client)).set_post_logout_redirect_uri(back);
        let id_token: Option<CoreIdToken> = id_token.and_then(|token| token.parse().ok());
        if let Some(id_token) = &id_token {
            request = request.set_id_token_hint(id_token);
        }
        Some(request.http_get_url().to_string())
    }
}

/// Whether an ID token is the issuer's, for us, of this sign-in, and of this access token.
fn holds(client: &Client, id_token: &CoreIdToken, nonce: &Nonce, access: &AccessToken) -> Result<(), String> {
    let verifier = client.id_token_verifier();
    let claims = id_token.claims(&verifier, nonce).map_err(|error| chain(&error))?;
    let Some(hash) = claims.access_token_hash() else { return Ok(()) };
    let algorithm = id_token.signing_alg().map_err(|error| error.to_string())?;
    let key = id_token.signing_key(&verifier).map_err(|error| error.to_string())?;
    match AccessTokenHash::from_token(access, algorithm, key) {
        Ok(actual) if actual == *hash => Ok(()),
        Ok(_) => Err("the tokens do not belong together".into()),
        Err(error) => Err(error.to_string()),
    }
}
