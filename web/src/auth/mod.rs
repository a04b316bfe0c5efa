//! Who asks, and what they may do: bearer tokens, and sessions of people who signed in with a browser.

mod flow;
mod issuer;
mod session;
mod token;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use url::Url;

pub(crate) use flow::{Returned, Sent};

use crate::answer::told;
use crate::front::Client;
use crate::limit::Limit;
use crate::problem::Problem;
use issuer::{Issuer, Said, Unanswered};
use session::{Cookies, SESSION, Session, is_over};
use token::Jwt;

/// How long what a token said is believed without asking again.
const BELIEVED: Duration = Duration::from_mins(1);
/// Tokens and ended sessions that are remembered.
const REMEMBERED: u64 = 10_000;
/// Tokens that are refused, and sign-ins, of one client in a minute.
const TRIES: NonZeroU32 = NonZeroU32::new(60).expect("sixty is not zero");
/// Groups that a session keeps, in bytes.
const GROUPS_KEPT: usize = 1500;

/// How people and programs are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// The issuer's URL.
    pub issuer: Url,
    /// The client that browsers sign in as; without one only bearer tokens are taken.
    pub client: Option<String>,
    /// A file with the client's secret, where it has one.
    pub secret: Option<PathBuf>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Audiences of which a bearer token must have one; where none is named, the issuer is asked about each token.
    pub audiences: Vec<String>,
    /// The claim with the groups.
    pub groups_claim: String,
    /// Groups that may read; everybody who is known where none is named.
    pub readers: Vec<String>,
    /// Groups that may read and scan.
    pub admins: Vec<String>,
    /// A file with the secret that cookies are encrypted with; without one a restart ends all sessions.
    pub key: Option<PathBuf>,
    /// How long a session lasts.
    pub lifetime: Duration,
    /// PEM bundle of further authorities for the issuer.
    pub authorities: Option<PathBuf>,
}

/// Why signing in cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SignInError(String);

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub subject: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub groups: Vec<String>,
}

/// Somebody who is known, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub identity: Identity,
    pub may_read: bool,
    pub may_scan: bool,
    /// The session's id, where it is one.
    pub session: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Nobody signs in here: everybody may read.
    Everybody,
    /// Somebody who did not say who they are.
    Unknown,
    /// Somebody whose token is not taken.
    Refused(String),
    /// Somebody of whom the issuer cannot be asked now.
    Unasked,
    /// Somebody whose tokens were refused too often; after so many seconds again.
    TooOften(u64),
    /// Somebody known.
    Known(Arc<Person>),
}

/// Knows people.
#[derive(Debug)]
pub(crate) struct Auth {
    settings: SignIn,
    secret: Option<String>,
    issuer: Issuer,
    cookies: Cookies,
    /// What tokens said a moment ago, by their digest, with the second at which they expire.
    believed: Cache<[u8; 32], (Arc<Person>, i64)>,
    /// Sessions that were ended before their time.
    ended: Cache<String, ()>,
    refusals: Limit,
    sign_ins: Limit,
}

fn read(file: &std::path::Path) -> Result<Vec<u8>, SignInError> {
    std::fs::read(file).map_err(|error| SignInError(format!("{}: {error}", file.display())))
}

impl Auth {
    pub(crate) fn new(settings: SignIn) -> Result<Self, SignInError> {
        let authorities = match &settings.authorities {
            None => Vec::new(),
            Some(file) => reqwest::Certificate::from_pem_bundle(&read(file)?)
                .map_err(|error| SignInError(format!("{}: {error}", file.display())))?,
        };
        let issuer = Issuer::new(settings.issuer.clone(), &authorities);
        let secret = settings.secret.as_deref().map(read).transpose()?;
        let key = settings.key.as_deref().map(read).transpose()?;
        if let (Some(file), Some(key)) = (&settings.key, &key)
            && key.trim_ascii().len() < 32
        {
            let why = "a session key has 32 bytes at least; make one with: openssl rand -hex 32";
            return Err(SignInError(format!("{}: {why}", file.display())));
        }
        Ok(Self {
            secret: secret.map(|secret| String::from_utf8_lossy(&secret).trim().to_owned()),
            issuer: issuer.map_err(|error| SignInError(error.to_string()))?,
            cookies: Cookies::new(key.as_deref().map(<[u8]>::trim_ascii)),
            believed: Cache::builder().max_capacity(REMEMBERED).time_to_live(BELIEVED).build(),
            ended: Cache::builder().max_capacity(REMEMBERED).time_to_live(settings.lifetime).build(),
            refusals: Limit::a_minute(TRIES),
            sign_ins: Limit::a_minute(TRIES),
            settings,
        })
    }

    /// Who asks, by what they show.
    async fn who(&self, headers: &HeaderMap, client: Option<Client>) -> Who {
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let shown = shown.to_str().unwrap_or_default();
            let Some((scheme, token)) = shown.split_once(' ') else {
                return Who::Refused("no bearer token".into());
            };
            if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
                return Who::Refused("no bearer token".into());
            }
            return self.bearer(token.trim(), client).await;
        }
        let session: Option<Session> = self.cookies.read(headers, SESSION);
        match session {
            Some(session) if !is_over(session.ends) && !self.ended.contains_key(&session.id) => {
                Who::Known(Arc::new(self.person(session.who, Some(session.id))))
            }
            _ => Who::Unknown,
        }
    }

    async fn bearer(&self, token: &str, client: Option<Client>) -> Who {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some((person, ends)) = self.believed.get(&digest)
            && !is_over(ends)
        {
            return Who::Known(person);
        }
        match self.identify(token).await {
            Ok(Ok((identity, ends))) => {
                let person = Arc::new(self.person(identity, None));
                self.believed.insert(digest, (Arc::clone(&person), ends));
                Who::Known(person)
            }
            Ok(Err(why)) => match client.map_or(Ok(()), |client| self.refusals.take(client.0)) {
                Ok(()) => Who::Refused(why),
                Err(seconds) => Who::TooOften(seconds),
            },
            Err(Unanswered(why)) => {
                tracing::warn!("a token cannot be checked: {why}");
                Who::Unasked
            }
        }
    }

    /// Whose a token is and when it expires, or why it is not taken.
    async fn identify(&self, token: &str) -> Result<Result<(Identity, i64), String>, Unanswered> {
        let mut provider = self.issuer.provider().await?;
        let now = Timestamp::now();
        let mut jwt = Jwt::Opaque;
        for is_second in [false, true] {
            let Some(metadata) = &provider.metadata else { break };
            jwt = token::check(token, metadata.issuer().as_str(), metadata.jwks().keys(), now);
            if jwt != Jwt::UnknownKey || is_second {
                break;
            }
            // The issuer may have a new key.
            provider = self.issuer.newer_provider().await?;
        }
        let claims = match jwt {
            Jwt::Refused(why) => return Ok(Err(why.into())),
            Jwt::UnknownKey => return Ok(Err("none of the issuer's keys signed it".into())),
            Jwt::Opaque => None,
            Jwt::Holds(claims) => Some(claims),
        };
        let audiences = &self.settings.audiences;
        let ends = claims.as_ref().and_then(|claims| claims.get("exp")?.as_f64());
        #[expect(clippy::cast_possible_truncation, reason = "a time far beyond is cut to the last there is")]
        let ends = ends.map_or(i64::MAX, |ends| ends as i64);
        let mut own = None;
        if let Some(claims) = claims {
            let is_ours = token::is_for(&claims, audiences);
            if !audiences.is_empty() && !is_ours {
                return Ok(Err("it is for another audience".into()));
            }
            if is_ours && claims.contains_key(&self.settings.groups_claim) {
                return Ok(self.identity(&claims).map(|identity| (identity, ends)));
            }
            own = Some((claims, is_ours));
        } else if !audiences.is_empty() && provider.metadata.is_some() {
            return Ok(Err("it does not say whom it is for".into()));
        }
        let said = match &provider.userinfo {
            Some(endpoint) => self.issuer.userinfo(endpoint, token).await?,
            None => Said::NotForThis,
        };
        let claims = match (said, own) {
            (Said::Claims(said), Some((claims, _))) if said.get("sub") != claims.get("sub") => {
                return Ok(Err("the issuer tells it of somebody else".into()));
            }
            (Said::Claims(said), own) => {
                let mut all = own.map(|(claims, _)| claims).unwrap_or_default();
                all.extend(said);
                all
            }
            // A program's token, say, of which the issuer has nothing to tell.
            (Said::NotForThis, Some((claims, true))) => claims,
            _ => return Ok(Err("the issuer does not take it".into())),
        };
        Ok(self.identity(&claims).map(|identity| (identity, ends)))
    }

    fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, String> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let subject = text("sub").filter(|subject| !subject.is_empty());
        let subject = subject.or_else(|| text("email")).or_else(|| text("preferred_username"));
        Ok(Identity {
            subject: subject.ok_or("the issuer does not say whose it is")?,
            name: text("preferred_username").or_else(|| text("name")),
            email: text("email"),
            groups: texts(claims.get(&self.settings.groups_claim)),
        })
    }

    fn person(&self, identity: Identity, session: Option<String>) -> Person {
        let SignIn { readers, admins, .. } = &self.settings;
        let may_scan = is_in(&identity.groups, admins);
        let may_read = readers.is_empty() || may_scan || is_in(&identity.groups, readers);
        Person { identity, may_read, may_scan, session }
    }

    /// Groups that a session keeps: those that mean something here, then others as far as they fit into a cookie.
    fn kept(&self, groups: Vec<String>) -> Vec<String> {
        let SignIn { readers, admins, .. } = &self.settings;
        let matters = |group: &String| {
            let one = std::slice::from_ref(group);
            is_in(one, readers) || is_in(one, admins)
        };
        let (first, rest): (Vec<_>, Vec<_>) = groups.into_iter().partition(matters);
        let mut room = GROUPS_KEPT;
        let fits = |group: &String| {
            let fits = group.len() + 3 <= room;
            room = room.saturating_sub(group.len() + 3);
            fits
        };
        first.into_iter().chain(rest).take_while(fits).collect()
    }
}

/// A claim that is a list of texts, or one.
fn texts(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => {
            several.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether one of the groups is wanted. Keycloak writes a group at the top with a slash before it.
fn is_in(groups: &[String], wanted: &[String]) -> bool {
    groups
        .iter()
        .any(|group| wanted.iter().any(|wanted| group == wanted || group.strip_prefix('/') == Some(wanted)))
}

/// Notes with every request who asks.
pub(crate) async fn identified(
    State(auth): State<Option<Arc<Auth>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = match &auth {
        None => Who::Everybody,
        Some(auth) => {
            let client = request.extensions().get::<Client>().copied();
            auth.who(request.headers(), client).await
        }
    };
    request.extensions_mut().insert(who);
    next.run(request).await
}

/// Why somebody may not read.
pub(crate) enum Stopped {
    /// They are not known.
    Unknown,
    /// What they showed is not taken.
    Refused(String),
    /// They are known, and in no group that may.
    Forbidden,
    /// The issuer cannot be asked.
    Unasked,
    /// Too many tries.
    TooOften(u64),
}

impl Who {
    /// Whether they may read.
    pub(crate) fn may_read(&self) -> Result<(), Stopped> {
        match self {
            Self::Everybody => Ok(()),
            Self::Known(person) if person.may_read => Ok(()),
            Self::Known(_) => Err(Stopped::Forbidden),
            Self::Unknown => Err(Stopped::Unknown),
            Self::Refused(why) => Err(Stopped::Refused(why.clone())),
            Self::Unasked => Err(Stopped::Unasked),
            Self::TooOften(seconds) => Err(Stopped::TooOften(*seconds)),
        }
    }
}

impl Stopped {
    fn told(&self) -> (StatusCode, String) {
        match self {
            Self::Unknown => (StatusCode::UNAUTHORIZED, "sign in, or show a bearer token".into()),
            Self::Refused(why) => (StatusCode::UNAUTHORIZED, format!("the bearer token is not taken: {why}")),
            Self::Forbidden => (StatusCode::FORBIDDEN, "your groups may not read reports here".into()),
            Self::Unasked => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the issuer cannot be asked now; the dashboard's log says why".into(),
            ),
            Self::TooOften(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, format!("too many tries; there is another in {seconds} s"))
            }
        }
    }
}

impl From<Stopped> for Problem {
    fn from(stopped: Stopped) -> Self {
        let (status, detail) = stopped.told();
        Self::new(status, detail)
    }
}

/// Told in words, as the older dashboard did; pages tell it in their own way.
impl IntoResponse for Stopped {
    fn into_response(self) -> Response {
        let (status, text) = self.told();
        let mut answer = told(status, &text);
        let headers = answer.headers_mut();
        let challenge = match &self {
            Self::Unknown => Some("Bearer".to_owned()),
            Self::Refused(why) => {
                Some(format!("Bearer error=\"invalid_token\", error_description=\"{why}\""))
            }
            _ => None,
        };
        if let Some(Ok(challenge)) = challenge.map(|challenge| HeaderValue::from_str(&challenge)) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Self::TooOften(seconds) = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer.extensions_mut().insert(Problem::from(self));
        answer
    }
}

/// Lets only those to the API who may read.
pub(crate) async fn readers(request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Who>().cloned().unwrap_or(Who::Unknown);
    if let Err(stopped) = who.may_read() {
        return stopped.into_response();
    }
    let mut answer = next.run(request).await;
    if who != Who::Everybody {
        // What one person may see is not kept for the next one.
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::{is_in, texts};
    use serde_json::json;

    #[test]
    fn groups_are_a_list_or_one_and_match_whole_names() {
        assert_eq!(texts(Some(&json!("admin"))), ["admin"]);
        assert_eq!(texts(Some(&json!(["a", 1, "b"]))), ["a", "b"]);
        assert_eq!(texts(None), Vec::<String>::new());
        let held = |groups: &[&str], wanted: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
            is_in(&own(groups), &own(wanted))
        };
        assert!(
            held(&["dev", "admin"], &["admin"])
                && held(&["/admin"], &["admin"])
                && held(&["/a/b"], &["/a/b"])
        );
        // A group below another is not the one at the top, and a short name is not a path.
        assert!(
            !held(&["/team/admin"], &["admin"])
                && !held(&["admin"], &["/admin"])
                && !held(&["administrator"], &["admin"])
        );
        assert!(!held(&["admin"], &[]) && !held(&[], &["admin"]));
    }
}
