//! Tools and servers as child processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The path of an installed tool.
///
/// # Panics
///
/// Where it is not installed, with the command that installs it.
pub fn tool(name: &str) -> PathBuf {
    let folder = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let cache =
        || folder("XDG_CACHE_HOME").unwrap_or_else(|| folder("HOME").unwrap_or_default().join(".cache"));
    let own = folder("PROVENANCE_E2E_BIN").unwrap_or_else(|| cache().join("provenance-collector/e2e/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::iter::once(own).chain(std::env::split_paths(&path).collect::<Vec<_>>());
    places
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("{name} is not installed; install it with: tests/e2e/install"))
}

/// The collector's binary, built for this test run.
///
/// # Panics
///
/// Where it is not built, with the command that builds it.
pub fn collector() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().nth(2).expect("a test binary is in target/<profile>/deps");
    let binary = folder.join("provenance-collector");
    assert!(binary.is_file(), "{} is not built; build it with: cargo build", binary.display());
    binary
}

/// A kubeconfig for an API at this URL that asks nobody who they are.
///
/// # Panics
///
/// Where the folder is not writable.
pub fn open_kubeconfig(folder: &Path, url: &str) -> PathBuf {
    let file = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\n\
         contexts: [{{name: c, context: {{cluster: c, user: ''}}}}]\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n"
    );
    std::fs::write(&file, text).expect("the test's folder is writable");
    file
}

/// A server process. Killed and waited for when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server whose output goes to a file of this folder.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    pub fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).expect("the test's folder is writable");
        let err = out.try_clone().expect("a file can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} could not be started: {error}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Waits until the server is ready; fails with the end of its log where it does not get there.
    ///
    /// # Panics
    ///
    /// Where the server ends or is not ready in two minutes.
    pub async fn until_ready(&mut self, ready: impl AsyncFnMut() -> bool) {
        let is_ready = self.is_ready_within(Duration::from_mins(2), ready).await;
        assert!(is_ready, "{} is not ready\n{}", self.name, self.log_end());
    }

    /// Waits for so long until the server is ready.
    ///
    /// # Panics
    ///
    /// Where the server ends.
    pub async fn is_ready_within(&mut self, limit: Duration, mut ready: impl AsyncFnMut() -> bool) -> bool {
        let began = Instant::now();
        while !ready().await {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.log_end());
            if began.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        true
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A port that was free a moment ago.
///
/// # Panics
///
/// Where loopback has no free port.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// Whether somebody listens on this port of loopback.
pub async fn is_listening(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// Runs a command to its end; fails with what it said.
///
/// # Panics
///
/// Where it ends with another status than 0.
pub fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"));
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {err}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
