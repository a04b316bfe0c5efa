//! A full disk and a read-only folder: a clear error, and the report that was there stays whole.

use std::process::Command;

use provenance_e2e::collector;
use provenance_e2e::process::free_port;

/// Runs a script with a small file system of its own, where mounting needs no rights outside it.
fn in_own_mounts(script: &str) -> (bool, String) {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-euc", script]).env("COLLECTOR", collector());
    let output = command.output().unwrap_or_else(|error| {
        panic!("unshare could not be started: {error}; install it with: apt-get install -y util-linux")
    });
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

#[test]
fn a_full_disk_is_a_clear_error_and_the_old_report_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; mkdir small; mount -t tmpfs -o size=1m tmpfs small; \
         \"$COLLECTOR\" demo --report-path small >/dev/null 2>first.log; \
         cp small/provenance-latest.json before; ls -A small | wc -l; \
         dd if=/dev/zero of=small/fill bs=1k 2>/dev/null || echo filled; \
         status=0; \"$COLLECTOR\" demo --report-path small >/dev/null 2>second.log || status=$?; \
         echo status $status; grep '^error' second.log; cmp small/provenance-latest.json before && echo whole; \
         ls -A small | wc -l",
        folder.path().display()
    );
    let (ran, told) = in_own_mounts(&script);
    assert!(ran, "{told}");
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..3], ["2", "filled", "status 1"], "{told}");
    assert!(
        lines[3].contains("No space left on device") && lines[3].contains("--report-retention"),
        "{told}"
    );
    assert_eq!(lines[4..], ["whole", "3"], "no remains are left: {told}");
}

#[test]
fn a_read_only_folder_is_told_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "cd {}; mkdir small; mount -t tmpfs -o ro tmpfs small; \
         status=0; \"$COLLECTOR\" demo --report-path small 2>&1 || status=$?; echo status $status",
        folder.path().display()
    );
    let (ran, told) = in_own_mounts(&script);
    assert!(ran, "{told}");
    assert!(told.contains("Read-only file system") && told.contains("mount a writable volume"), "{told}");
    assert!(told.ends_with("status 1\n"), "{told}");
    assert!(!told.contains("run started"), "{told}");
}

/// Serves the folder `small`, uploads the file `report`, and tells what is answered and left.
const SERVED: &str = "\"$COLLECTOR\" serve --report-path small --dashboard-addr 127.0.0.1:$PUBLIC \
     --dashboard-internal-addr 127.0.0.1:$INTERNAL 2>serve.log & serve=$!; trap 'kill $serve' EXIT; \
     curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null 127.0.0.1:$PUBLIC/healthz; \
     curl -s -w ' %{http_code}\\n' --data-binary @report 127.0.0.1:$INTERNAL/internal/reports; \
     curl -s 127.0.0.1:$PUBLIC/api/reports | grep -o filename | wc -l; \
     curl -s -o /dev/null -w '%{http_code}\\n' 127.0.0.1:$PUBLIC/images; ls -A small | grep -v index | wc -l";

fn served(mount: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (public, internal) = (free_port(), free_port());
    let script = format!(
        "cd {}; mkdir small; mount -t tmpfs -o size=1m tmpfs small; \
         \"$COLLECTOR\" demo --report-path small >/dev/null 2>&1; \
         sed 's/demo/other/g' small/provenance-latest.json >report; \
         {mount}; PUBLIC={public} INTERNAL={internal}; {SERVED}",
        folder.path().display()
    );
    let (ran, told) = in_own_mounts(&script);
    assert!(ran, "{told}");
    told
}

#[test]
fn a_dashboard_on_a_full_disk_refuses_a_report_keeps_what_it_has_and_goes_on_serving() {
    let told = served("dd if=/dev/zero of=small/fill bs=1k 2>/dev/null || true");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].contains("could not be kept"), "{told}");
    assert_eq!(lines[1..], [" 507", "1", "200", "3"], "one report, its page, and no remains: {told}");
}

#[test]
fn a_dashboard_on_a_read_only_folder_serves_and_says_that_nothing_can_be_taken_in() {
    let told = served("mount -o remount,ro small");
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].contains("could not be kept"), "{told}");
    assert_eq!(lines[1..], [" 507", "1", "200", "2"], "{told}");
}
