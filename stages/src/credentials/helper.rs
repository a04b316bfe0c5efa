//! The docker credential helper protocol: `docker-credential-NAME get`, the server's name on stdin, a JSON
//! document on stdout ([protocol](https://github.com/docker/docker-credential-helpers#development)).

use std::process::Stdio;
use std::time::Duration;

use provenance_engine::{Failure, FailureKind};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Credential, Secret};

const TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES: usize = 1 << 20;
/// The user name under which a helper hands out an identity token.
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks a helper for a server's credential; none where it says that it has none.
pub(super) async fn get(name: &str, server: &str) -> Result<Option<Credential>, Failure> {
    let program = format!("docker-credential-{name}");
    let refuse = |why: String| {
        Failure::new(FailureKind::Unauthorized, format!("credential helper {program} for {server}: {why}"))
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(refuse("its name is not one of a program".into()));
    }
    let asked = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| refuse(format!("it could not be started: {error}")))?;
        let mut stdin = child.stdin.take().ok_or_else(|| refuse("it takes no input".into()))?;
        stdin.write_all(server.as_bytes()).await.map_err(|error| refuse(error.to_string()))?;
        drop(stdin);
        child.wait_with_output().await.map_err(|error| refuse(error.to_string()))
    };
    let output = tokio::time::timeout(TIMEOUT, asked)
        .await
        .map_err(|_| refuse(format!("no answer in {TIMEOUT:?}")))??;
    if !output.status.success() {
        // The protocol has its errors on stdout.
        let told: String =
            String::from_utf8_lossy(&output.stdout).chars().filter(|c| !c.is_control()).take(200).collect();
        if told.contains("credentials not found") {
            return Ok(None);
        }
        return Err(refuse(format!("it ended with {}: {told}", output.status)));
    }
    if output.stdout.len() > ANSWER_BYTES {
        return Err(refuse(format!("its answer is larger than {ANSWER_BYTES} bytes")));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| refuse("its answer is not of the protocol's form".into()))?;
    let secret = Secret::new(answer.secret);
    Ok(match answer.username.as_str() {
        "" if secret.reveal().is_empty() => None,
        TOKEN_USER => Some(Credential::IdentityToken(secret)),
        _ => Some(Credential::Basic { username: answer.username, password: secret }),
    })
}
