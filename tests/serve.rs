//! `serve`, as a process of its own: the older dashboard's routes in its shapes, reports that come by upload and by other
//! hands, and what must not get in.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/served.rs"]
mod served;

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tempfile::TempDir;

use served::{Served, ask};

const SAMPLE: &str = "provenance-20261124-021133.json";

fn data(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/go-collector").join(name))
        .unwrap()
}

/// A folder with the older collector's report.
fn older() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in [SAMPLE, "provenance-latest.json"] {
        std::fs::write(folder.path().join(name), data("report.json")).unwrap();
    }
    folder
}

/// A report made at this second.
fn report(second: u32) -> Vec<u8> {
    let mut report: Value = serde_json::from_slice(&data("report.json")).unwrap();
    report["metadata"]["generatedAt"] = format!("2026-11-25T00:00:{second:02}Z").into();
    report.to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// The demo's report, in a folder of its own.
fn demo() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    let demo =
        command.args(["demo", "--format", "json", "--report-path"]).arg(folder.path()).output().unwrap();
    assert!(demo.status.success(), "{}", String::from_utf8_lossy(&demo.stderr));
    folder
}

#[test]
fn images_are_filtered_sorted_and_served_in_pages() {
    let folder = demo();
    let served = Served::start(folder.path(), &[]);
    let page = |query: &str| {
        let answer = served.get(&format!("/api/images{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()
    };
    let total = |query: &str| page(query)["total"].as_u64().unwrap();
    let all = total("");
    assert_eq!(all, 18);
    for (query, count) in [
        ("?finding=failed", 3),
        ("?finding=failed,drifted", 5),
        ("?failed=true", 3),
        ("?signed=true", 6),
        ("?signed=false", 9),
        ("?verified=true", 5),
        ("?verdict=invalid", 1),
        ("?sbom=true", 3),
        ("?update=true", 7),
        ("?drifted=true", 2),
        ("?rule=unsigned", 9),
        ("?rule=outdated", 7),
        ("?rule=drift", 2),
        ("?namespace=shop", 7),
        ("?q=STRIMZI", 1),
        ("?q=6dcb09b5", 1),
        ("?registry=quay.io", 2),
        ("?release=shop/shop", 3),
        ("?image=nginx&namespace=edge", 1),
        ("?image=nginx&namespace=shop", 0),
    ] {
        assert_eq!(total(query), count, "{query}");
    }
    let first = page("?sort=image&pageSize=5");
    let second = page("?sort=image&pageSize=5&page=2");
    assert_eq!((first["items"].as_array().unwrap().len(), second["page"].as_u64()), (5, Some(2)));
    assert!(first["items"][4]["image"].as_str() <= second["items"][0]["image"].as_str());
    assert_eq!(page("?page=99")["items"], json!([]));
    let worst = page("?sort=finding&flat=1&pageSize=1");
    assert_eq!(
        (&worst["items"][0]["finding"], &worst["items"][0]["signed"]),
        (&json!("FAILED"), &Value::Null)
    );
    assert!(
        worst["items"][0]
            .as_object()
            .unwrap()
            .values()
            .all(|column| !column.is_object() && !column.is_array())
    );

    for (query, told) in [
        ("?finding=bad", "none of: failed, refused"),
        ("?rule=bad", "is no rule"),
        ("?rule=outdated:huge", "is no level"),
        ("?sort=colour", "none of: finding, image"),
        ("?pageSize=0", "pageSize 1 to 1000"),
        ("?signed=maybe", "signed"),
        ("?colour=red", "colour"),
        ("?report=..%2Fx", "no file's name"),
    ] {
        let answer = served.get(&format!("/api/images{query}"));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, "application/problem+json"),
            "{query}"
        );
        assert!(answer.json()["detail"].as_str().unwrap().contains(told), "{query}: {}", answer.text());
    }
    assert_eq!(served.get("/api/images?report=provenance-20200101-000000.json").status, 404);
    let etag = served.get("/api/images").header("etag").to_owned();
    assert_eq!(ask(&served.public, "GET", "/api/images", &[("If-None-Match", &etag)], b"").status, 304);
    assert_eq!(served.get("/api/releases").json()["total"], 6);
}

#[test]
fn a_search_names_what_holds_the_text_and_the_rows_it_stands_in() {
    let folder = demo();
    let served = Served::start(folder.path(), &[]);
    let hits = |query: &str| {
        let answer = served.get(&format!("/api/search?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        let found = answer.json();
        let items = found["items"].as_array().unwrap().iter();
        let text = |hit: &Value| {
            let (kind, value) = (hit["kind"].as_str().unwrap(), hit["value"].as_str().unwrap());
            format!("{kind} {value} {}", hit["rows"])
        };
        items.map(text).collect::<Vec<_>>()
    };
    assert_eq!(hits("q=SHOP%2Fshop"), ["release shop/shop 3"]);
    assert!(hits("q=6dcb09b5").iter().all(|hit| hit.starts_with("sourceCommit 6dcb09b5")));
    for (text, kind) in [
        ("nginx", "image"),
        ("sha256:", "digest"),
        ("Deployment", "workload"),
        ("6dcb09b5", "sourceCommit"),
        ("github", "builder"),
        ("github", "sourceRepository"),
        ("acme-signs", "signer"),
    ] {
        let found = hits(&format!("q={text}&limit=500"));
        assert!(found.iter().any(|hit| hit.starts_with(&format!("{kind} "))), "{text} {kind}: {found:?}");
    }
    assert_eq!(hits("q=nothing-of-this-name"), Vec::<String>::new());
    let one = served.get("/api/search?q=s&limit=1").json();
    assert!(one["items"].as_array().unwrap().len() == 1 && one["total"].as_u64() > Some(1));
    for (query, told) in
        [("", "q"), ("?q=%20", "say what to search for"), ("?q=a&limit=0", "1 to 500"), ("?q=a&x=1", "x")]
    {
        let answer = served.get(&format!("/api/search{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(told), "{query}: {}", answer.text());
    }
}

#[test]
fn the_changes_between_two_reports_are_told_and_the_timeline_counts() {
    let folder = demo();
    let latest = std::fs::read(folder.path().join("provenance-latest.json")).unwrap();
    let mut later: Value = serde_json::from_slice(&latest).unwrap();
    let earlier: jiff::Timestamp = later["metadata"]["generatedAt"].as_str().unwrap().parse().unwrap();
    let at = earlier + jiff::SignedDuration::from_mins(1);
    later["metadata"]["generatedAt"] = at.to_string().into();
    let rows = later["images"].as_array_mut().unwrap();
    let row = |rows: &[Value], what: &str| {
        rows.iter().position(|row| row["image"].as_str().unwrap().contains(what)).unwrap()
    };
    let web = row(rows, "shop-web");
    rows[web]["signature"]["signed"] = false.into();
    rows[web]["signature"]["verified"] = false.into();
    rows[web]["sbom"]["hasSBOM"] = false.into();
    rows[web]["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    rows[web]["update"]["newestAvailable"] = "1.16.0".into();
    // What the later report does not know has not changed.
    let search = row(rows, "acme/search");
    rows[search].as_object_mut().unwrap().remove("signature");
    let kafka = row(rows, "strimzi");
    rows[kafka]["image"] = "quay.io/strimzi/kafka:0.44.0-kafka-3.8.0".into();
    let served = Served::start(folder.path(), &[]);
    assert_eq!(served.get("/api/diff").status, 404, "there is one report only");
    assert_eq!(served.upload(&[], later.to_string().as_bytes()).status, 202);
    let changes = served.get("/api/diff").json();
    assert_eq!(changes["to"], at.strftime("provenance-%Y%m%d-%H%M%S.json").to_string());
    let images = |kind: &str| -> Vec<String> {
        let rows = changes[kind].as_array().unwrap_or_else(|| panic!("{kind}: {changes}"));
        rows.iter().map(|row| row["image"].as_str().unwrap().to_owned()).collect()
    };
    let web = vec!["ghcr.io/acme/shop-web:1.14.2".to_owned()];
    for kind in ["changedDigest", "lostSignature", "lostVerification", "lostSBOM", "newUpdates"] {
        assert_eq!(images(kind), web, "{kind}");
    }
    for kind in ["gainedSignature", "lostProvenance", "gainedProvenance", "gainedSBOM"] {
        assert_eq!(images(kind), Vec::<String>::new(), "{kind}");
    }
    assert_eq!(changes["newUpdates"][0]["before"], "1.15.0");
    assert_eq!(images("gone"), ["quay.io/strimzi/kafka:0.43.0-kafka-3.8.0"]);
    assert_eq!(images("appeared"), ["quay.io/strimzi/kafka:0.44.0-kafka-3.8.0"]);

    let history = served.get("/api/history?image=ghcr.io/acme/shop-web:1.14.2").json();
    let digests: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|one| one["row"]["digest"].clone()).collect();
    assert_eq!((digests.len(), &digests[0]), (2, &json!(format!("sha256:{}", "0".repeat(64)))));
    assert_eq!(served.get("/api/history?image=a&limit=0").status, 400);
    assert_eq!(served.get("/api/history").status, 400);

    let points = served.get("/api/timeline").json();
    let points = points.as_array().unwrap();
    assert_eq!(
        (points.len(), &points[1]["generatedAt"]),
        (2, &json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
    );
    assert!(points[0].as_object().unwrap().values().all(|column| !column.is_object() && !column.is_array()));
}

#[test]
fn metrics_count_the_newest_report_of_each_cluster() {
    let folder = demo();
    let served = Served::start(folder.path(), &[]);
    let metrics = served.get("/metrics").text();
    for line in [
        r#"provenance_images{cluster="demo",finding="failed"} 3"#,
        r#"provenance_failures{cluster="demo",stage="digest",kind="connection"} 1"#,
        r#"provenance_helm_releases{cluster="demo"} 6"#,
        r#"version_checker_is_latest_version{cluster="demo",namespace="shop",pod="web",container="web",container_type="container",image="ghcr.io/acme/shop-web",current_version="1.14.2",latest_version="1.15.0"} 0"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line}: {metrics}");
    }
    let mut other: Value = serde_json::from_slice(&report(1)).unwrap();
    other["metadata"]["clusterName"] = "second".into();
    other["metadata"]["generatedAt"] = jiff::Timestamp::now().to_string().into();
    assert_eq!(served.upload(&[], other.to_string().as_bytes()).status, 202);
    let metrics = served.get("/metrics").text();
    assert!(metrics.contains(r#"provenance_unique_images{cluster="second"} 12"#), "{metrics}");
    assert!(metrics.contains(r#"provenance_unique_images{cluster="demo"} 16"#), "{metrics}");
}

#[test]
fn an_older_folder_is_listed_served_and_exported_as_the_older_dashboard_did() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let listed = served.get("/api/reports");
    assert_eq!((listed.status, listed.header("content-type")), (200, "application/json"));
    assert_eq!(listed.json(), serde_json::from_slice::<Value>(&data("api-reports.json")).unwrap());
    assert_eq!(served.get("/api/me").json(), serde_json::from_slice::<Value>(&data("api-me.json")).unwrap());
    for name in ["latest", SAMPLE] {
        let answer = served.get(&format!("/api/reports/{name}"));
        assert_eq!((answer.status, answer.body == data("report.json")), (200, true), "{name}: as it is");
        let etag = answer.header("etag").to_owned();
        let known =
            ask(&served.public, "GET", &format!("/api/reports/{name}"), &[("If-None-Match", &etag)], b"");
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
    assert_eq!(
        (listed.header("x-content-type-options"), listed.header("x-frame-options")),
        ("nosniff", "DENY")
    );
    let head = ask(&served.public, "HEAD", "/api/reports", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    for (query, sample, name) in [
        ("", "export.csv", "provenance-report.csv"),
        ("?format=csv", "export.csv", "provenance-report.csv"),
        ("?format=markdown", "export.md", "provenance-report.md"),
        ("?format=md&filename=provenance-20261124-021133.json", "export.md", "provenance-report.md"),
    ] {
        let answer = served.get(&format!("/api/export{query}"));
        assert_eq!((answer.status, answer.body == data(sample)), (200, true), "{query}");
        assert!(answer.header("content-disposition").contains(&format!("attachment; filename={name}")));
    }
    assert_eq!(served.get("/api/export?format=xml").status, 400);
    assert_eq!(served.get("/healthz").json(), json!({"status": "ok"}));
    assert_eq!(served.get("/readyz").status, 200);
    let packed = ask(&served.public, "GET", "/api/reports/latest", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), "gzip");
}

#[test]
fn what_is_not_there_is_told_as_a_page_or_as_a_problem() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let page = served.get("/nothing%3Cb%3E");
    assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(page.text().contains("There is nothing at") && !page.text().contains("<b>"), "{}", page.text());
    let problem = served.get("/api/nothing");
    assert_eq!((problem.status, problem.header("content-type")), (404, "application/problem+json"));
    assert_eq!(problem.json()["status"], 404);
}

#[test]
fn names_that_lead_out_of_the_folder_are_refused_and_unknown_ones_are_not_found() {
    let folder = older();
    std::fs::write(folder.path().join("secret.json"), "{}").unwrap();
    let served = Served::start(folder.path(), &[]);
    for path in ["..%2Fsecret.json", "a%2Fb", "..", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5Csecret"] {
        let answer = served.get(&format!("/api/reports/{path}"));
        assert!([400, 404].contains(&answer.status), "{path}: {}", answer.status);
        assert!(!answer.text().contains("root:"), "{path}");
    }
    assert_eq!(served.get("/api/reports/a%2Fb").status, 400);
    assert_eq!(served.get("/api/export?filename=..%2Fsecret.json").status, 400);
    for name in ["secret.json", ".provenance-index.json", "provenance-20200101-000000.json"] {
        let answer = served.get(&format!("/api/reports/{name}"));
        assert_eq!((answer.status, answer.text().trim()), (404, "report not found"), "{name}");
    }
}

#[test]
fn a_scan_is_only_taken_from_the_page_itself_and_is_not_configured() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let scan = |method: &str, headers: &[(&str, &str)]| {
        ask(&served.public, method, "/api/scan", headers, b"").status
    };
    assert_eq!(scan("GET", &[]), 405);
    assert_eq!(scan("POST", &[]), 403);
    assert_eq!(scan("POST", &[("Sec-Fetch-Site", "cross-site")]), 403);
    assert_eq!(scan("POST", &[("Sec-Fetch-Site", "same-origin")]), 503);
}

#[test]
fn an_upload_is_kept_as_it_came_once_and_is_the_latest() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let options = ask(&served.internal, "OPTIONS", "/internal/reports", &[], b"");
    assert_eq!((options.status, options.header("accept-encoding")), (204, "gzip"));
    let first = report(1);
    assert_eq!(served.upload(&[], &first).status, 202);
    let files = names(folder.path());
    assert_eq!(files, [SAMPLE, "provenance-20261125-000001.json", "provenance-latest.json"]);
    assert_eq!(served.get("/api/reports/latest").body, first, "byte for byte");
    assert_eq!(served.get("/api/reports").json().as_array().unwrap().len(), 2);

    // The same again, packed: the answer is the same, and there is no second report, also after a restart.
    assert_eq!(served.upload(&[("Content-Encoding", "gzip")], &gzip(&first)).status, 202);
    assert_eq!(names(folder.path()), files);
    drop(served);
    let served = Served::start(folder.path(), &[]);
    assert_eq!(served.upload(&[], &first).status, 202);
    assert_eq!(names(folder.path()), files);
    assert_eq!(served.get("/api/reports").json()[0]["filename"], "provenance-20261125-000001.json");
    // The public listener takes nothing in.
    assert_eq!(ask(&served.public, "POST", "/internal/reports", &[], &first).status, 404);
    assert_eq!(ask(&served.internal, "GET", "/api/reports", &[], b"").status, 404);
}

#[test]
fn what_is_no_report_or_too_large_is_refused_and_leaves_nothing() {
    let folder = older();
    let served = Served::start(folder.path(), &["--upload-max-bytes", "200000"]);
    let before = names(folder.path());
    let padded = |size: usize| {
        let mut report: Value = serde_json::from_slice(&report(2)).unwrap();
        let now = report.to_string().len();
        report["padding"] = " ".repeat(size - now - r#","padding":"""#.len()).into();
        report.to_string().into_bytes()
    };
    for (body, headers, status) in [
        (b"{".to_vec(), &[][..], 400),
        (b"[]".to_vec(), &[][..], 400),
        (br#"{"hello": "secret-word"}"#.to_vec(), &[][..], 400),
        (b"no gzip".to_vec(), &[("Content-Encoding", "gzip")][..], 400),
        (b"x".to_vec(), &[("Content-Encoding", "br")][..], 415),
        (padded(200_001), &[][..], 413),
        (gzip(&padded(3_000_000)), &[("Content-Encoding", "gzip")][..], 413),
    ] {
        let answer = served.upload(headers, &body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(
            !answer.text().trim().is_empty() && !answer.text().contains("secret-word"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(names(folder.path()), before);
    assert_eq!(served.upload(&[], &padded(200_000)).status, 202);
    let by_default = Served::start(folder.path(), &[]);
    assert_eq!(by_default.upload(&[], &padded(16 << 20)).status, 202);
    assert_eq!(by_default.upload(&[], &padded((16 << 20) + 1)).status, 413);
}

#[test]
fn an_older_report_that_comes_late_is_not_the_latest_and_a_clock_that_runs_ahead_makes_nothing_old() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &["--report-retention", "24h"]);
    let made = |at: &str| {
        let mut report: Value = serde_json::from_slice(&data("report.json")).unwrap();
        report["metadata"]["generatedAt"] = at.into();
        report.to_string().into_bytes()
    };
    let now = jiff::Timestamp::now();
    let later = |hours: i64| (now + jiff::SignedDuration::from_hours(hours)).to_string();
    let latest = || served.get("/api/reports/latest").json()["metadata"]["generatedAt"].clone();
    for (hours, newest) in [(-1, -1), (-2, -1), (0, 0), (24 * 365, 24 * 365), (-3, 24 * 365)] {
        assert_eq!(served.upload(&[], &made(&later(hours))).status, 202, "{hours}");
        assert_eq!(latest(), later(newest), "{hours}");
    }
    assert_eq!(served.get("/api/reports").json().as_array().unwrap().len(), 5);
}

#[test]
fn an_upload_shows_its_token_where_one_is_wanted() {
    let folder = older();
    let token = folder.path().join("token");
    std::fs::write(&token, "first\n").unwrap();
    let served = Served::start(folder.path(), &["--upload-token-file", &token.display().to_string()]);
    let upload = |shown: &str| served.upload(&[("Authorization", shown)], &report(3)).status;
    assert_eq!(served.upload(&[], &report(3)).status, 401);
    assert_eq!((upload("Bearer wrong"), upload("Bearer "), upload("Basic first")), (401, 401, 401));
    assert_eq!(upload("Bearer first"), 202);
    std::fs::write(&token, "second\n").unwrap();
    assert_eq!((upload("Bearer first"), upload("Bearer second")), (401, 202));
}

#[test]
fn files_of_other_hands_appear_broken_ones_stand_in_nobodys_way_and_a_restart_parses_nothing_again() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    std::fs::write(folder.path().join("provenance-20261126-000000.json"), report(4)).unwrap();
    std::fs::write(folder.path().join("provenance-20261127-000000.json"), "{ broken").unwrap();
    let began = Instant::now();
    while served.get("/api/reports").json().as_array().unwrap().len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(10), "a file of another hand does not appear");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(served);
    // What is known by name, size and time is not read again: other bytes of the same size and time stay unread.
    let file = folder.path().join("provenance-20261126-000000.json");
    let changed = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, vec![b'x'; report(4).len()]).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(changed).unwrap();
    let served = Served::start(folder.path(), &[]);
    assert_eq!(served.get("/api/reports").json().as_array().unwrap().len(), 2);
    std::fs::remove_file(&file).unwrap();
    let began = Instant::now();
    while served.get("/api/reports").json().as_array().unwrap().len() > 1 {
        assert!(began.elapsed() < Duration::from_secs(10), "a file that is gone does not go");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_thousand_idle_and_slow_connections_hold_up_nobody() {
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let idle: Vec<_> = (0..1000)
        .map(|number| {
            let mut stream = TcpStream::connect(&served.public).unwrap();
            if number % 2 == 0 {
                stream.write_all(b"GET /api/reports HTTP/1.1\r\nHost: te").unwrap();
            }
            stream
        })
        .collect();
    let mut slow = TcpStream::connect(&served.internal).unwrap();
    slow.write_all(b"POST /internal/reports HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n{").unwrap();
    assert_eq!(served.get("/api/reports").status, 200);
    assert_eq!(served.upload(&[], &report(5)).status, 202);
    drop((idle, slow));
}

#[test]
fn a_head_that_does_not_come_is_given_up() {
    use std::io::Read as _;
    let folder = older();
    let served = Served::start(folder.path(), &[]);
    let mut stream = TcpStream::connect(&served.public).unwrap();
    stream.write_all(b"GET /api/reports HTTP/1.1\r\nHost: te").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut rest = Vec::new();
    // The server closes it, with or without a word.
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn an_accepted_report_survives_a_kill_at_any_instant() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let served = Served::start(folder.path(), &[]);
        let mut accepted = Vec::new();
        for second in 0..10 {
            let body = report(round * 10 + second);
            if served.upload(&[], &body).status == 202 {
                accepted.push(body);
            }
        }
        // Killed by drop, without a word.
        drop(served);
        let served = Served::start(folder.path(), &[]);
        let kept: Vec<Vec<u8>> = names(folder.path())
            .iter()
            .map(|name| std::fs::read(folder.path().join(name)).unwrap())
            .collect();
        assert!(accepted.iter().all(|report| kept.contains(report)), "round {round}");
        assert_eq!(served.get("/api/reports").json().as_array().unwrap().len(), (round as usize + 1) * 10);
    }
}

#[test]
fn sigterm_answers_what_is_under_way_and_ends() {
    let folder = older();
    let mut served = Served::start(folder.path(), &[]);
    let kill = Command::new("kill").arg(served.child.id().to_string()).status().unwrap();
    assert!(kill.success());
    let began = Instant::now();
    loop {
        if let Some(status) = served.child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The links of a page, as a browser would ask for them.
fn links(page: &str) -> Vec<String> {
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links = links.map(|link| link.replace("&#38;", "&").replace("&amp;", "&"));
    links.map(|link| link.split('#').next().unwrap().to_owned()).filter(|link| !link.is_empty()).collect()
}

#[test]
fn every_page_that_a_page_leads_to_is_there_and_loads_nothing_from_elsewhere() {
    let folder = demo();
    std::fs::write(folder.path().join(SAMPLE), data("report.json")).unwrap();
    let mut second: Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("provenance-latest.json")).unwrap())
            .unwrap();
    second["metadata"]["generatedAt"] = "2026-11-23T00:00:00Z".into();
    second["images"].as_array_mut().unwrap().remove(0);
    std::fs::write(folder.path().join("provenance-20261123-000000.json"), second.to_string()).unwrap();
    let served = Served::start(folder.path(), &[]);
    let mut open = std::collections::VecDeque::from(["./".to_owned()]);
    let mut seen = std::collections::BTreeSet::new();
    while let Some(link) = open.pop_front() {
        // Every row has its page and every page its sorts; some hundred of each are as good as all.
        if seen.len() >= 400 || !seen.insert(link.clone()) {
            continue;
        }
        if link.starts_with("https://") {
            assert!(link.contains("/commit/"), "only commits are looked at elsewhere: {link}");
            continue;
        }
        let answer = served.get(&format!("/{}", link.trim_start_matches("./")));
        assert_eq!(answer.status, 200, "{link}: {}", answer.text());
        if !answer.header("content-type").starts_with("text/html") {
            continue;
        }
        let page = answer.text();
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(
            !page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick"),
            "{link}"
        );
        for source in page.split("src=\"").skip(1) {
            assert!(
                source.starts_with("script.js\"") || source.starts_with("icon.svg\""),
                "{link}: {source}"
            );
        }
        open.extend(links(&page));
    }
    for page in ["images", "releases", "run", "image?", "history?", "compare?", "export?"] {
        assert!(seen.iter().any(|link| link.starts_with(page)), "nothing leads to {page}");
    }
    let changed = served.get(&format!("/{}", seen.iter().find(|link| link.starts_with("compare?")).unwrap()));
    assert!(changed.text().contains("Appeared"), "{}", changed.text());
}

#[test]
fn the_pages_tell_failed_absent_and_not_asked_apart_and_export_what_is_filtered() {
    let folder = demo();
    let served = Served::start(folder.path(), &[]);
    let page = |query: &str| served.get(&format!("/images{query}")).text();
    let failed = page("?finding=failed&cols=signature");
    assert!(failed.contains("3 of 18 rows") && failed.contains(r#"class="mark failed""#));
    let unsigned = page("?signed=false&cols=signature");
    assert!(unsigned.contains(r#"class="mark none""#) && !unsigned.contains(r#"class="mark failed""#));
    assert!(unsigned.contains("9 of 18 rows"), "{unsigned}");
    let none = page("?q=nothing-of-this-name");
    assert!(none.contains("No row fits these filters") && none.contains("0 of 18 rows"));
    let csv = served.get("/export?format=csv&namespace=shop&report=");
    assert_eq!((csv.status, csv.text().lines().count()), (200, 8));
    assert!(csv.header("content-disposition").ends_with("-images.csv"));
    assert_eq!(served.get("/export?format=json&failed=true").json().as_array().unwrap().len(), 3);
    assert!(served.get("/export?format=markdown&failed=true").text().contains("| Failed | 3 |"));
    for (path, status) in [
        ("/images?colour=red", 400),
        ("/images?finding=blue", 400),
        ("/export?format=xml", 400),
        ("/images?report=provenance-20200101-000000.json", 404),
        ("/image?image=not-there", 404),
        ("/history", 400),
    ] {
        let answer = served.get(path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.text().contains("To the overview"), "{path}");
    }
}

#[test]
fn what_a_report_says_is_never_markup_and_without_reports_there_is_a_page_that_helps() {
    let folder = older();
    let hostile = r#""><script>alert(1)</script>"#;
    let mut report: Value = serde_json::from_slice(&data("report.json")).unwrap();
    for row in report["images"].as_array_mut().unwrap().iter_mut().take(3) {
        row["image"] = hostile.into();
        row["namespace"] = hostile.into();
        row["workload"]["name"] = hostile.into();
        row["digest"] = hostile.into();
        row["signature"] = json!({"signed": true, "verified": false, "error": hostile});
    }
    report["metadata"]["clusterName"] = hostile.into();
    report["metadata"]["generatedAt"] = "2026-11-24T03:00:00Z".into();
    std::fs::write(folder.path().join("provenance-20261124-030000.json"), report.to_string()).unwrap();
    let served = Served::start(folder.path(), &[]);
    let found = format!("image={}", "%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E");
    for path in
        ["/", "/images?q=alert", "/run", "/compare", &format!("/image?{found}"), &format!("/history?{found}")]
    {
        let answer = served.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("<script>alert"), "{path}");
        assert!(answer.text().contains("alert(1)"), "{path}: it is shown all the same");
    }
    let empty = tempfile::tempdir().unwrap();
    let served = Served::start(empty.path(), &[]);
    for path in ["/", "/images", "/releases", "/compare", "/run", "/image?image=a", "/history?image=a"] {
        let answer = served.get(path);
        assert!(answer.status == 200 && answer.text().contains("No reports yet"), "{path}");
    }
}

#[test]
fn several_clusters_are_shown_apart_and_together() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(folder.path(), &[]);
    for (second, cluster) in [(1, "north"), (2, "south"), (3, "north"), (4, "")] {
        let mut report: Value = serde_json::from_slice(&report(second)).unwrap();
        report["metadata"]["clusterName"] = cluster.into();
        if cluster.is_empty() {
            report["metadata"].as_object_mut().unwrap().remove("clusterName");
        }
        report["images"][0]["image"] = format!("registry.example/{cluster}:1").into();
        assert_eq!(served.upload(&[], report.to_string().as_bytes()).status, 202);
    }
    let clusters = served.get("/api/clusters").json();
    let names: Vec<_> =
        clusters["items"].as_array().unwrap().iter().map(|one| one["clusterName"].clone()).collect();
    assert_eq!((&clusters["total"], names), (&json!(3), vec![Value::Null, json!("north"), json!("south")]));
    assert_eq!(clusters["items"][1]["filename"], "provenance-20261125-000003.json", "the newest of each");
    for cluster in ["north", "south"] {
        let rows = served.get(&format!("/api/images?cluster={cluster}&image=registry.example&flat=1")).json();
        assert_eq!(rows["items"][0]["image"], format!("registry.example/{cluster}:1"));
        assert_eq!(served.get(&format!("/api/releases?cluster={cluster}")).status, 200);
    }
    assert_eq!(served.get("/api/images?cluster=west").status, 404);
    let both = served.get("/clusters?q=registry.example").text();
    for found in ["registry.example/north:1", "registry.example/south:1", "(unnamed)", "Together", "3 rows"] {
        assert!(both.contains(found), "{found}: {both}");
    }
    let north = served.get("/?cluster=north").text();
    assert!(north.contains("<strong>north</strong>") && north.contains("href=\"clusters"), "{north}");
    assert_eq!(served.get("/?cluster=west").status, 404);
}
