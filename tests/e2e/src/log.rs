//! A whole transparency log on loopback: Rekor over Trillian over `MariaDB`.

use std::fs::File;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Server, free_port, is_listening, run, tool};
use crate::sigstore::http_get;

/// A running log.
#[derive(Debug)]
pub struct Log {
    port: u16,
    key: Vec<u8>,
    // Stopped in this order.
    _servers: Vec<Server>,
    _folder: TempDir,
}

impl Log {
    /// Starts a log.
    ///
    /// # Panics
    ///
    /// Where a part of it does not come up.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the temporary folder is writable");
        let socket = folder.path().join("socket");
        let user = run({
            let mut command = Command::new("id");
            command.arg("-un");
            command
        });
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", data.display())).arg(format!("--user={user}"));
        run(install);
        let database_port = free_port();
        let mut command = Command::new(tool("mariadbd"));
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]);
        command.arg(format!("--datadir={}", data.display())).arg(format!("--user={user}"));
        command.arg(format!("--port={database_port}")).arg(format!("--socket={}", socket.display()));
        command.arg(format!("--pid-file={}", folder.path().join("pid").display()));
        let mut database = Server::start("mariadbd", command, folder.path());
        database.until_ready(async || is_listening(database_port).await).await;
        let client = || {
            let mut command = Command::new("mariadb");
            command.args(["--no-defaults", "-u", "root"]).arg(format!("--socket={}", socket.display()));
            command
        };
        let mut create = client();
        create.args(["-e", "create database trillian; create user 't'@'127.0.0.1' identified by 't'; grant all on trillian.* to 't'@'127.0.0.1'"]);
        run(create);
        let mut schema = client();
        let file = File::open(tool("trillian.sql")).expect("the schema is readable");
        schema.arg("trillian").stdin(Stdio::from(file));
        run(schema);

        let uri = format!("--mysql_uri=t:t@tcp(127.0.0.1:{database_port})/trillian");
        let trillian = |name: &str, more: &[&str]| {
            let (rpc, http) = (free_port(), free_port());
            let mut command = Command::new(tool(name));
            command.arg(&uri).arg(format!("--rpc_endpoint=127.0.0.1:{rpc}")).args(more);
            command.arg(format!("--http_endpoint=127.0.0.1:{http}"));
            (Server::start(name, command, folder.path()), rpc)
        };
        let (mut log, rpc) = trillian("trillian_log_server", &[]);
        log.until_ready(async || is_listening(rpc).await).await;
        let (mut signer, signer_rpc) =
            trillian("trillian_log_signer", &["--force_master", "--sequencer_interval=100ms"]);
        signer.until_ready(async || is_listening(signer_rpc).await).await;

        // Rekor would serve metrics to everybody on this port, and does without where it is taken.
        let held = std::net::TcpListener::bind("127.0.0.1:2112").ok();
        let port = free_port();
        let mut command = Command::new(tool("rekor-server"));
        command.args(["serve", "--rekor_server.address=127.0.0.1", "--rekor_server.signer=memory"]);
        command.args(["--enable_retrieve_api=false", "--enable_attestation_storage=false"]);
        command.args(["--trillian_log_server.address=127.0.0.1"]);
        command.arg(format!("--trillian_log_server.port={rpc}")).arg(format!("--port={port}"));
        let mut rekor = Server::start("rekor-server", command, folder.path());
        rekor.until_ready(async || is_listening(port).await).await;
        let key = http_get(&format!("http://127.0.0.1:{port}/api/v1/log/publicKey")).await;
        drop(held);
        Self { port, key, _servers: vec![rekor, signer, log, database], _folder: folder }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its public key, in PEM.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}
