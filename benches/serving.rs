//! `serve` over 1,000 reports of 500 rows and one of 20,000, asked on 64 connections while reports are uploaded: start,
//! the first answer, latencies, peak memory. `cargo bench --bench serving [-- REPORTS ROWS LARGE_ROWS]`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;

const CONNECTIONS: usize = 64;
/// Between two requests of a connection: 64 of them make 640 requests a second.
const PACE: Duration = Duration::from_millis(100);
const LASTS: Duration = Duration::from_secs(8);
/// Between two uploads.
const UPLOADS: Duration = Duration::from_millis(500);

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let &[reports, rows, large] = numbers.as_slice() else { return bench(1000, 500, 20_000) };
    bench(reports, rows, large);
}

fn bench(reports: usize, rows: usize, large: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let base = demo(folder.path());
    let now = jiff::Timestamp::now();
    let mut report = grown(&base, rows);
    let write = |report: &Value, made: jiff::Timestamp| {
        let name = made.strftime("provenance-%Y%m%d-%H%M%S.json").to_string();
        let text = report.to_string();
        std::fs::write(folder.path().join(&name), &text).expect("the folder is writable");
        (name, text.len())
    };
    let mut last = (String::new(), 0);
    for number in (1..=reports).rev() {
        let made = now - jiff::SignedDuration::from_mins(i64::try_from(number).expect("they are few"));
        report["metadata"]["generatedAt"] = made.to_string().into();
        report["images"][number % rows]["digest"] = format!("sha256:{number:064x}").into();
        last = write(&report, made);
    }
    let mut grown = grown(&base, large);
    let made = now - jiff::SignedDuration::from_mins(i64::try_from(reports + 1).expect("they are few"));
    grown["metadata"]["generatedAt"] = made.to_string().into();
    let (large_name, large_bytes) = write(&grown, made);
    drop(grown);
    println!(
        "{reports} reports of {rows} rows ({:.1} MiB each), one of {large} rows ({:.0} MiB)\n",
        last.1 as f64 / f64::from(1 << 20),
        large_bytes as f64 / f64::from(1 << 20)
    );
    println!("| start | until it serves | peak memory |\n| --- | --- | --- |");
    let began = Instant::now();
    let served = Served::start(folder.path());
    println!("| without an index | {:.2} s | {} MiB |", began.elapsed().as_secs_f64(), served.peak());
    drop(served);
    let began = Instant::now();
    let served = Served::start(folder.path());
    println!("| with an index | {:.2} s | {} MiB |\n", began.elapsed().as_secs_f64(), served.peak());
    println!(
        "| asked | first answer | requests/s | p50 | p99 | longest | answer | peak memory |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    let text = report.to_string();
    for (what, path, known) in [
        ("list", "/api/reports".to_owned(), false),
        ("list, known", "/api/reports".to_owned(), true),
        // The reports that come in are older ones here: else each of them is another latest, and no longer known.
        ("latest, known, not modified", "/api/reports/latest".to_owned(), true),
        ("filtered page", "/images?q=nginx&sort=finding".to_owned(), false),
        ("filtered rows, flat", "/api/images?q=nginx&update=true&flat=1".to_owned(), false),
        ("filtered rows, whole", "/api/images?q=nginx&update=true".to_owned(), false),
        ("overview", "/".to_owned(), false),
        ("differences", "/api/diff".to_owned(), false),
        ("timeline", "/api/timeline".to_owned(), false),
        ("filtered page of the large report", format!("/images?report={large_name}&q=nginx"), false),
    ] {
        let figures = runtime.block_on(load(&served, &path, known, &text));
        println!(
            "| {what} | {:.0} ms | {:.0} | {:.1} ms | {:.1} ms | {:.0} ms | {} KiB | {} MiB |",
            figures.first,
            figures.rate,
            figures.p50,
            figures.p99,
            figures.longest,
            figures.bytes / 1024,
            served.peak()
        );
    }
}

struct Figures {
    first: f64,
    rate: f64,
    p50: f64,
    p99: f64,
    longest: f64,
    bytes: usize,
}

/// Asks one path on all connections, while reports come in.
async fn load(served: &Served, path: &str, known: bool, report: &str) -> Figures {
    let mut first = connect(&served.public).await;
    let began = Instant::now();
    let (_, etag, bytes) = ask(&mut first, get(path, None)).await;
    let answered = began.elapsed();
    let etag = known.then_some(etag);
    let ends = Instant::now() + LASTS;
    let age = if path.ends_with("/latest") {
        jiff::SignedDuration::from_hours(100)
    } else {
        jiff::SignedDuration::ZERO
    };
    let uploads = upload(&served.internal, report, age, ends);
    let connections = (0..CONNECTIONS).map(|number| {
        let etag = etag.clone();
        async move {
            let mut connection = connect(&served.public).await;
            tokio::time::sleep(PACE * u32::try_from(number).expect("they are few") / 64).await;
            let mut took = Vec::new();
            let mut tick = tokio::time::interval(PACE);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut etag = etag;
            while Instant::now() < ends {
                tick.tick().await;
                let began = Instant::now();
                let (status, now, _) = ask(&mut connection, get(path, etag.as_deref())).await;
                took.push(began.elapsed());
                assert!([200, 304].contains(&status), "{path}: {status}");
                // A new report has another tag, as a client finds too.
                if status == 200 && etag.is_some() {
                    etag = Some(now);
                }
            }
            took
        }
    });
    let (took, ()) = tokio::join!(futures::future::join_all(connections), uploads);
    let mut took: Vec<_> = took.into_iter().flatten().collect();
    took.sort_unstable();
    let at = |share: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is a place"
        )]
        let place = ((took.len() - 1) as f64 * share) as usize;
        took[place].as_secs_f64() * 1000.0
    };
    Figures {
        first: answered.as_secs_f64() * 1000.0,
        rate: took.len() as f64 / LASTS.as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        longest: at(1.0),
        bytes,
    }
}

async fn upload(address: &str, report: &str, age: jiff::SignedDuration, ends: Instant) {
    let mut connection = connect(address).await;
    let mut report: Value = serde_json::from_str(report).expect("it is JSON");
    while Instant::now() < ends {
        report["metadata"]["generatedAt"] = (jiff::Timestamp::now() - age).to_string().into();
        let body = Full::new(Bytes::from(report.to_string()));
        let request = Request::post("/internal/reports")
            .header("host", "localhost")
            .body(body)
            .expect("a fixed request");
        assert_eq!(ask(&mut connection, request).await.0, 202);
        tokio::time::sleep(UPLOADS).await;
    }
}

fn get(path: &str, etag: Option<&str>) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("host", "localhost");
    let request = if let Some(etag) = etag { request.header("if-none-match", etag) } else { request };
    request.body(Full::default()).expect("a fixed request")
}

async fn connect(address: &str) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket takes options");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    sender
}

/// Status, entity tag and bytes of an answer.
async fn ask(
    connection: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (u16, String, usize) {
    let answer = connection.send_request(request).await.expect("it answers");
    let status = answer.status().as_u16();
    let etag =
        answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame.expect("the answer is whole").data_ref().map_or(0, Bytes::len);
    }
    (status, etag, bytes)
}

/// The demo's report.
fn demo(folder: &Path) -> Value {
    let own = folder.join("demo");
    let status = Command::new(env!("CARGO_BIN_EXE_provenance-collector"))
        .args(["demo", "--format", "json", "--log", "error", "--report-path"])
        .arg(&own)
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the demo fails");
    let text = std::fs::read(own.join("provenance-latest.json")).expect("the demo writes a report");
    serde_json::from_slice(&text).expect("it is JSON")
}

/// The demo's report with so many rows, each of another workload.
fn grown(base: &Value, rows: usize) -> Value {
    let mut report = base.clone();
    let own = base["images"].as_array().expect("a report has rows");
    let row = |number: usize| {
        let mut row = own[number % own.len()].clone();
        row["namespace"] = format!("team-{}", number % 40).into();
        row["workload"]["name"] = format!("workload-{number}").into();
        row
    };
    report["images"] = (0..rows).map(row).collect();
    report
}

/// A running `serve`. Killed when dropped.
struct Served {
    child: Child,
    public: String,
    internal: String,
}

impl Served {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_provenance-collector"))
            .args(["serve", "--log-format", "json", "--dashboard-addr", "127.0.0.1:0"])
            .args(["--dashboard-internal-addr", "127.0.0.1:0", "--report-retention=-1", "--report-path"])
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the collector starts");
        let mut log = BufReader::new(child.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let line = log.find(|line| line.contains("\"serving\"")).expect("it serves");
        let fields: Value = serde_json::from_str(&line).expect("the log is JSON");
        let text = |name: &str| {
            fields[name].as_str().or(fields["fields"][name].as_str()).expect("it is there").to_owned()
        };
        let (public, internal) = (text("public"), text("internal"));
        std::thread::spawn(move || log.for_each(drop));
        Self { child, public, internal }
    }

    /// The most memory it had, in MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or(0_u64) / 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
