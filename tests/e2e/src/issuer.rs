//! Issuers of identities: a real Keycloak, and npm's oidc-provider; and the browser that people sign in with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dashboard::ask;
use crate::process::{Server, free_port, is_listening, run, tool};

/// A script of this crate's folder `node`, with what npm installed.
pub fn node(script: &str) -> Command {
    let mut command = Command::new(tool("node"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(script));
    let marker = tool("node_modules/.package-lock.json");
    command.env("NODE_MODULES", marker.parent().expect("a file is in a folder"));
    command.env("CHROMIUM", tool("chromium"));
    command
}

/// Runs a script with its question; fails with what it said.
pub fn browse(script: &str, question: &Value) -> String {
    let mut command = node(script);
    command.arg(question.to_string());
    run(command)
}

/// A running oidc-provider.
#[derive(Debug)]
pub struct Provider {
    /// The issuer's URL.
    pub url: String,
    _server: Server,
    _folder: TempDir,
}

impl Provider {
    /// Starts one whose client is the dashboard below this URL.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn start(dashboard: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let mut command = node("provider.cjs");
        command.arg(port.to_string()).arg(dashboard);
        let mut server = Server::start("oidc-provider", command, folder.path());
        server.until_ready(async || is_listening(port).await).await;
        Self { url: format!("http://127.0.0.1:{port}"), _server: server, _folder: folder }
    }

    /// A token of this person for so many seconds.
    pub fn token(&self, user: &str, seconds: u32) -> String {
        let (status, token) = ask(&format!("{}/make-token?user={user}&seconds={seconds}", self.url), &[]);
        assert_eq!(status, 200, "{token}");
        token
    }
}

/// A running Keycloak with a realm of this test.
#[derive(Debug)]
pub struct Keycloak {
    url: String,
    _server: Server,
    _folder: TempDir,
}

const ADMIN: &str = "admin-of-the-test";

impl Keycloak {
    /// Starts one, and makes the realm `audit`: the client `dashboard` may send browsers to these URLs; `alice` is in the
    /// groups `provenance-admins` and `readers`, `bob` in `readers`, `carol` in none.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn start(dashboards: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port();
        let installed = tool("keycloak/bin/kc.sh");
        let home = installed.ancestors().nth(2).expect("it is in a folder");
        let own = copied(home, folder.path());
        let mut command = Command::new(own.join("bin/kc.sh"));
        command
            .args(["start-dev", "--db=dev-mem", "--http-host=127.0.0.1"])
            .arg(format!("--http-port={port}"));
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN).env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN);
        command
            .env("JAVA_OPTS_APPEND", "-Xmx512m")
            .env("KC_HEALTH_ENABLED", "false")
            .env("KC_CACHE", "local");
        let mut server = Server::start("keycloak", command, folder.path());
        let url = format!("http://127.0.0.1:{port}");
        let is_up = async || {
            is_listening(port).await
                && ask(
                    &format!("{url}/realms/master"),
                    &["--max-time", "5", "--retry", "2", "--retry-all-errors"],
                )
                .0 == 200
        };
        assert!(server.is_ready_within(Duration::from_mins(4), is_up).await, "keycloak is not ready");
        let keycloak = Self { url, _server: server, _folder: folder };
        let token = keycloak.token_of("master", "admin-cli", ADMIN, ADMIN);
        let realm = realm(dashboards).to_string();
        let header = format!("Authorization: Bearer {token}");
        let json = ["-H", &header, "-H", "Content-Type: application/json", "-d", &realm];
        let (status, body) = ask(&format!("{}/admin/realms", keycloak.url), &json);
        assert_eq!(status, 201, "{body}");
        keycloak
    }

    /// The realm's issuer.
    pub fn issuer(&self) -> String {
        format!("{}/realms/audit", self.url)
    }

    /// An access token of somebody in the realm, got by this client.
    pub fn token(&self, client: &str, user: &str) -> String {
        self.token_of("audit", client, user, "password")
    }

    fn token_of(&self, realm: &str, client: &str, user: &str, password: &str) -> String {
        let form = format!(
            "grant_type=password&client_id={client}&username={user}&password={password}&scope=openid"
        );
        let (status, body) =
            ask(&format!("{}/realms/{realm}/protocol/openid-connect/token", self.url), &["-d", &form]);
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("a token answer is JSON");
        answer["access_token"].as_str().expect("it has a token").to_owned()
    }

    /// Ends every session of the realm: its tokens are no longer good.
    pub fn log_all_out(&self) {
        let token = self.token_of("master", "admin-cli", ADMIN, ADMIN);
        let header = format!("Authorization: Bearer {token}");
        let (status, body) =
            ask(&format!("{}/admin/realms/audit/logout-all", self.url), &["-X", "POST", "-H", &header]);
        assert!((200..300).contains(&status), "{body}");
    }
}

/// A Keycloak of one's own: it writes into its folder.
fn copied(home: &Path, folder: &Path) -> PathBuf {
    let own = folder.join("keycloak");
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(home).arg(&own);
    run(copy);
    own
}

fn realm(dashboards: &[String]) -> Value {
    let person = |name: &str, groups: &[&str]| {
        json!({
            "username": name, "enabled": true, "email": format!("{name}@example.com"), "emailVerified": true,
            "firstName": name, "lastName": "Test", "groups": groups,
            "credentials": [{"type": "password", "value": "password", "temporary": false}],
        })
    };
    let groups = json!([{
        "name": "groups", "protocol": "openid-connect", "protocolMapper": "oidc-group-membership-mapper",
        "config": {"claim.name": "groups", "full.path": "true", "id.token.claim": "true", "access.token.claim": "true", "userinfo.token.claim": "true"},
    }]);
    let redirects: Vec<_> = dashboards.iter().map(|url| format!("{url}*")).collect();
    json!({
        "realm": "audit", "enabled": true,
        "groups": [{"name": "provenance-admins"}, {"name": "readers"}],
        "users": [
            person("alice", &["/provenance-admins", "/readers"]), person("bob", &["/readers"]), person("carol", &[]),
        ],
        "clients": [
            {
                "clientId": "dashboard", "enabled": true, "publicClient": true, "standardFlowEnabled": true,
                "directAccessGrantsEnabled": true, "redirectUris": redirects,
                "attributes": {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": "+"}, "protocolMappers": groups,
            },
            {
                "clientId": "other", "enabled": true, "publicClient": true, "directAccessGrantsEnabled": true,
                "protocolMappers": groups,
            },
            {
                "clientId": "brief", "enabled": true, "publicClient": true, "directAccessGrantsEnabled": true,
                "attributes": {"access.token.lifespan": "1"}, "protocolMappers": groups,
            },
        ],
    })
}
