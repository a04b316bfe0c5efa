//! The options of signing in.

use super::serve::SERVE;
use super::{BASE, Opt};

const SIGN_IN: &str = "Signing in";

/// The issuer.
pub const OIDC_ISSUER: Opt = Opt {
    flag: "oidc-issuer",
    env: "PROVENANCE_OIDC_ISSUER",
    value: "URL",
    help: "OpenID Connect issuer; with one, reports are only for those it knows",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// The client.
pub const OIDC_CLIENT_ID: Opt = Opt {
    flag: "oidc-client-id",
    env: "PROVENANCE_OIDC_CLIENT_ID",
    value: "ID",
    help: "Client that browsers sign in as; without one only bearer tokens are taken",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// The client's secret.
pub const OIDC_CLIENT_SECRET_FILE: Opt = Opt {
    flag: "oidc-client-secret-file",
    env: "PROVENANCE_OIDC_CLIENT_SECRET_FILE",
    value: "FILE",
    help: "File with that client's secret; a public client has none",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// What is asked for.
pub const OIDC_SCOPES: Opt = Opt {
    flag: "oidc-scopes",
    env: "PROVENANCE_OIDC_SCOPES",
    value: "NAMES",
    default: "profile,email",
    help: "Scopes asked for beside openid, separated by commas",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// Audiences of bearer tokens.
pub const OIDC_AUDIENCES: Opt = Opt {
    flag: "oidc-audiences",
    env: "PROVENANCE_OIDC_AUDIENCES",
    value: "NAMES",
    help: "Audiences of which a bearer token must have one, separated by commas; where empty the issuer is asked about each token",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// The claim with the groups.
pub const OIDC_GROUPS_CLAIM: Opt = Opt {
    flag: "oidc-groups-claim",
    env: "PROVENANCE_OIDC_GROUPS_CLAIM",
    value: "NAME",
    default: "groups",
    help: "Claim with the groups",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// Further authorities.
pub const OIDC_CA: Opt = Opt {
    flag: "oidc-ca",
    env: "PROVENANCE_OIDC_CA",
    value: "FILE",
    help: "PEM bundle of certificate authorities to trust for the issuer, beside the system's",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// Groups that may read.
pub const READER_GROUPS: Opt = Opt {
    flag: "reader-groups",
    env: "PROVENANCE_READER_GROUPS",
    value: "NAMES",
    help: "Groups that may read reports, separated by commas; everybody the issuer knows where empty",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// Groups that may scan.
pub const ADMIN_GROUPS: Opt = Opt {
    flag: "admin-groups",
    env: "PROVENANCE_ADMIN_GROUPS",
    value: "NAMES",
    help: "Groups that may read reports and start scans, separated by commas",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// The secret of cookies.
pub const SESSION_KEY_FILE: Opt = Opt {
    flag: "session-key-file",
    env: "PROVENANCE_SESSION_KEY_FILE",
    value: "FILE",
    help: "File with the secret that sessions are encrypted with, of 32 bytes or more, the same for all replicas; without one a restart ends all sessions",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
/// How long a session lasts.
pub const SESSION_LIFETIME: Opt = Opt {
    flag: "session-lifetime",
    env: "PROVENANCE_SESSION_LIFETIME",
    value: "DURATION",
    default: "8h",
    help: "How long a session lasts; then groups are asked for again",
    on: SERVE,
    group: SIGN_IN,
    ..BASE
};
