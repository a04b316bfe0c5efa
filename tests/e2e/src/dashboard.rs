//! The collector's `serve`, as its users run it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::process::{collector, run, tool};

/// A running dashboard. Killed when dropped.
#[derive(Debug)]
pub struct Dashboard {
    child: Child,
    /// The public listener's address.
    pub public: String,
    /// The internal listener's.
    pub internal: String,
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Dashboard {
    /// Serves a folder, with further arguments; an address among them replaces the free port.
    ///
    /// # Panics
    ///
    /// Where it does not come up.
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(collector());
        command.args(["serve", "--log-format", "json", "--report-path"]).arg(folder).args(arguments);
        for listener in ["--dashboard-addr", "--dashboard-internal-addr"] {
            if !arguments.contains(&listener) {
                command.args([listener, "127.0.0.1:0"]);
            }
        }
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the collector starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        let serving = log.by_ref().map_while(Result::ok).find(|line| {
            said.push(line.clone());
            line.contains("\"serving\"")
        });
        let serving = serving.unwrap_or_else(|| panic!("it does not serve: {}", said.join("\n")));
        let fields: Value = serde_json::from_str(&serving).expect("the log is JSON");
        let text = |name: &str| {
            let own = fields[name].as_str().or(fields["fields"][name].as_str());
            own.expect("the log says the address").to_owned()
        };
        let dashboard = Self { child, public: text("public"), internal: text("internal") };
        // The pipe must not fill.
        std::thread::spawn(move || log.map_while(Result::ok).for_each(drop));
        dashboard
    }

    /// Asks the public listener with curl; the answer's status and body.
    pub fn ask(&self, path: &str, arguments: &[&str]) -> (u16, String) {
        ask(&format!("http://{}{path}", self.public), arguments)
    }
}

/// Asks with curl; the answer's status and body.
///
/// # Panics
///
/// Where there is no answer.
pub fn ask(url: &str, arguments: &[&str]) -> (u16, String) {
    let mut command = Command::new(tool("curl"));
    command.args(["--silent", "--show-error", "--write-out", "\n%{http_code}", url]).args(arguments);
    let said = run(command);
    let (body, status) = said.rsplit_once('\n').unwrap_or(("", &said));
    (status.parse().expect("curl writes the status"), body.to_owned())
}

/// The demo's report, in a folder of its own.
///
/// # Panics
///
/// Where the demo fails.
pub fn demo() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = Command::new(collector());
    command.args(["demo", "--format", "json", "--report-path"]).arg(folder.path());
    run(command);
    folder
}
