//! nginx, as a repository of files or a proxy before the dashboard.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Server, free_port, is_listening, tool};

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    /// Its port on loopback.
    pub port: u16,
    /// Its log: a line for each request, with its path and status.
    pub log: PathBuf,
    _server: Server,
}

impl Nginx {
    /// Starts nginx with these directives in its server; `listen` may want more than a port (`ssl`).
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub async fn start(folder: &Path, listen: &str, server: &str) -> Self {
        let port = free_port();
        let log = folder.join("access.log");
        let scratch = folder.join("nginx");
        std::fs::create_dir_all(&scratch).expect("the test's folder is writable");
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};", scratch.display()))
            .join("\n");
        // One process: a worker would outlive a master that is killed.
        let config = format!(
            "daemon off;\nmaster_process off;\npid {scratch}/pid;\nerror_log {scratch}/error.log;\nevents {{}}\nhttp {{\n{paths}\n\
             log_format plain '$request_uri $status';\naccess_log {log} plain;\n\
             server {{ listen 127.0.0.1:{port} {listen}; {server} }}\n}}\n",
            scratch = scratch.display(),
            log = log.display(),
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).expect("the test's folder is writable");
        let mut command = Command::new(tool("nginx"));
        command.arg("-e").arg(scratch.join("error.log")).arg("-c").arg(&file).arg("-p").arg(&scratch);
        let mut server = Server::start("nginx", command, folder);
        server.until_ready(async || is_listening(port).await).await;
        Self { port, log, _server: server }
    }
}
