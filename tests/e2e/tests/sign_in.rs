//! People and programs that sign in: with a real Keycloak, and with an issuer that is unlike it, behind a proxy and under a
//! path prefix, in a real browser; and scans that they start on a real API server.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use provenance_e2e::dashboard::{ask, demo};
use provenance_e2e::issuer::browse;
use provenance_e2e::process::free_port;
use provenance_e2e::{Cluster, Dashboard, Keycloak, Nginx, Provider};
use serde_json::{Value, json};

const JOBS: &str = "/apis/batch/v1/namespaces/audit/jobs";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A `CronJob` as the chart makes it.
async fn cronjob(cluster: &Cluster) -> Value {
    cluster.namespace("audit").await;
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "collector", "image": "collector:1", "args": ["collect"]}]});
    let template = json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "provenance-collector"}, "annotations": {"team": "audit"}},
        "spec": {"backoffLimit": 3, "activeDeadlineSeconds": 3600, "template": {"spec": pod}},
    });
    let spec = json!({"schedule": "0 6 * * *", "concurrencyPolicy": "Forbid", "jobTemplate": template});
    let object = json!({"metadata": {"name": "provenance-collector"}, "spec": spec});
    cluster.create("/apis/batch/v1/namespaces/audit/cronjobs", &object).await
}

/// The rights that the chart gives the dashboard.
async fn dashboards_account(cluster: &Cluster) -> String {
    let rules = json!([
        {"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["get"]},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "create"]},
    ]);
    cluster.account("web", "audit", &rules, Some("audit")).await
}

async fn request(cluster: &Cluster, request: http::request::Builder, body: &Value) -> Value {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    cluster.admin.request(request.body(body).unwrap()).await.unwrap()
}

async fn jobs(cluster: &Cluster) -> Vec<Value> {
    let list = request(cluster, http::Request::get(JOBS), &Value::Null).await;
    list["items"].as_array().unwrap().clone()
}

/// Ends a Job, as its controller would.
async fn end(cluster: &Cluster, name: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
    let status = json!({"status": {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}});
    let patch = http::Request::patch(format!("{JOBS}/{name}/status"))
        .header("content-type", "application/merge-patch+json");
    request(cluster, patch, &status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_real_keycloak_read_and_scan_as_their_groups_may() {
    let cluster = Cluster::start().await;
    let cronjob = cronjob(&cluster).await;
    let account = dashboards_account(&cluster).await;
    let kubeconfig = cluster.kubeconfig(&account, "audit");
    let folder = demo();
    let address = format!("127.0.0.1:{}", free_port());
    let base = format!("http://{address}/");
    let keycloak = Keycloak::start(std::slice::from_ref(&base)).await;
    let issuer = keycloak.issuer();
    let shared = [
        "--oidc-issuer",
        &issuer,
        "--oidc-client-id",
        "dashboard",
        "--admin-groups",
        "provenance-admins",
        "--cronjob-name",
        "provenance-collector",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
    ];
    let readers = [&shared[..], &["--reader-groups", "readers", "--dashboard-addr", &address]].concat();
    let dashboard = Dashboard::start(folder.path(), &readers);
    let person = |user: &str, may: &str| {
        let question = json!({
            "base": base, "issuer": issuer, "kind": "keycloak", "user": user, "may": may, "secure": false, "scan": true,
        });
        browse("sign_in.cjs", &question)
    };
    let job = person("alice", "scan");
    person("bob", "read");
    person("carol", "nothing");

    let made = jobs(&cluster).await;
    assert_eq!((made.len(), made[0]["metadata"]["name"].as_str().unwrap()), (1, job.trim()));
    let metadata = &made[0]["metadata"];
    assert_eq!(metadata["generateName"], "manual-");
    assert_eq!(metadata["annotations"]["cronjob.kubernetes.io/instantiate"], "manual");
    assert_eq!(metadata["annotations"]["team"], "audit");
    let owner = &metadata["ownerReferences"][0];
    assert_eq!((&owner["uid"], &owner["controller"]), (&cronjob["metadata"]["uid"], &json!(true)));
    assert_eq!(made[0]["spec"]["ttlSecondsAfterFinished"], 3600);
    assert_eq!(made[0]["spec"]["template"]["spec"]["containers"][0]["args"], json!(["collect"]));

    let token = |client: &str, user: &str| bearer(&keycloak.token(client, user));
    let status = |dashboard: &Dashboard, path: &str, header: &str| dashboard.ask(path, &["-H", header]).0;
    let (alice, bob, carol) = (token("dashboard", "alice"), token("other", "bob"), token("other", "carol"));
    for path in [
        "/api/reports",
        "/api/reports/latest",
        "/api/export",
        "/api/images",
        "/api/diff",
        "/metrics",
        "/api/search?q=a",
    ] {
        let (unknown, body) = dashboard.ask(path, &[]);
        assert_eq!(unknown, 401, "{path}: {body}");
        assert_eq!(status(&dashboard, path, &carol), 403, "{path}");
    }
    assert_eq!(status(&dashboard, "/api/reports", &alice), 200);
    assert_eq!(
        status(&dashboard, "/api/reports", &bob),
        200,
        "without audiences, any client's token of the realm is taken"
    );
    for path in ["/healthz", "/readyz", "/api/me", "/style.css"] {
        assert_eq!(dashboard.ask(path, &[]).0, 200, "{path}");
    }
    let me: Value = serde_json::from_str(&dashboard.ask("/api/me", &["-H", &alice]).1).unwrap();
    assert_eq!(me["email"], "alice@example.com");
    assert_eq!(
        (&me["canRunScan"], &me["groups"]),
        (&json!(true), &json!(["/provenance-admins", "/readers"]))
    );
    let me: Value = serde_json::from_str(&dashboard.ask("/api/me", &[]).1).unwrap();
    assert_eq!(
        (&me["authEnabled"], &me["canRunScan"], &me["email"]),
        (&json!(true), &json!(false), &Value::Null)
    );

    forged_and_expired_tokens_are_refused(&dashboard, &keycloak);
    scans_are_started_once(&cluster, &dashboard, &[&alice, &bob], job.trim()).await;
    a_token_for_another_audience_is_refused(&folder, &shared, &alice, &bob);

    without_discovery_the_userinfo_of_keycloaks_path_is_asked(&folder, &issuer, &alice).await;
    keycloak.log_all_out();
    // What a token said is believed for a minute; another dashboard has not heard of it.
    let dashboard = Dashboard::start(folder.path(), &shared);
    assert_eq!(status(&dashboard, "/api/reports", &alice), 401, "a session that ended at the issuer");
}

fn forged_and_expired_tokens_are_refused(dashboard: &Dashboard, keycloak: &Keycloak) {
    let token = keycloak.token("dashboard", "bob");
    let parts: Vec<_> = token.split('.').collect();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    claims["groups"] = json!(["/provenance-admins", "/readers"]);
    let forged = URL_SAFE_NO_PAD.encode(claims.to_string());
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let symmetric = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    for (token, why) in [
        (format!("{}.{forged}.{}", parts[0], parts[2]), "its signature does not hold"),
        (format!("{none}.{forged}."), "its algorithm proves nothing"),
        (format!("{symmetric}.{forged}.{}", parts[2]), "its algorithm proves nothing"),
        ("nonsense".into(), "the issuer does not take it"),
    ] {
        let (status, body) = dashboard.ask("/api/reports", &["-H", &bearer(&token)]);
        assert_eq!(status, 401, "{token}");
        assert!(body.contains(why), "{why}: {body}");
    }
    assert_eq!(dashboard.ask("/api/reports", &["-H", "Authorization: Basic YTpi"]).0, 401);
    let brief = bearer(&keycloak.token("brief", "alice"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(dashboard.ask("/api/reports", &["-H", &brief]).0, 401, "an expired token");
}

/// `people` are one who may scan and one who may not; a scan is under way.
async fn scans_are_started_once(
    cluster: &Cluster,
    dashboard: &Dashboard,
    people: &[&str; 2],
    under_way: &str,
) {
    let here = ["-X", "POST", "-H", "Sec-Fetch-Site: same-origin", "-H"];
    let press = |dashboard: &Dashboard, who: &str| dashboard.ask("/api/scan", &[&here[..], &[who]].concat());
    let [alice, bob] = people;
    assert_eq!(press(dashboard, bob).0, 403);
    assert_eq!(press(dashboard, "X-Nobody: 1").0, 401);
    assert_eq!(dashboard.ask("/api/scan", &["-X", "POST", "-H", alice]).0, 403, "not from the page");
    assert_eq!(
        dashboard.ask("/api/scan", &["-X", "POST", "-H", alice, "-H", "Sec-Fetch-Site: cross-site"]).0,
        403
    );
    assert_eq!(dashboard.ask("/api/scan", &["-H", alice]).0, 405);
    let (status, body) = press(dashboard, alice);
    assert_eq!((status, body.contains(under_way)), (409, true), "{body}");

    end(cluster, under_way).await;
    let presses = std::thread::scope(|scope| {
        let presses: Vec<_> = (0..6).map(|_| scope.spawn(|| press(dashboard, alice).0)).collect();
        let mut presses: Vec<_> = presses.into_iter().map(|press| press.join().unwrap()).collect();
        presses.sort_unstable();
        presses
    });
    assert_eq!(presses, [200, 409, 409, 409, 409, 409]);
    assert_eq!(jobs(cluster).await.len(), 2);
}

async fn without_discovery_the_userinfo_of_keycloaks_path_is_asked(
    folder: &tempfile::TempDir,
    issuer: &str,
    alice: &str,
) {
    let own = tempfile::tempdir().unwrap();
    let (server, host) =
        issuer.split_once("/realms").map(|(url, _)| (url, url.trim_start_matches("http://"))).unwrap();
    let rules = format!(
        "location ~ well-known {{ return 404; }} location / {{ proxy_pass {server}; proxy_set_header Host {host}; }}"
    );
    let nginx = Nginx::start(own.path(), "", &rules).await;
    let issuer = format!("http://127.0.0.1:{}/realms/audit", nginx.port);
    let dashboard = Dashboard::start(folder.path(), &["--oidc-issuer", &issuer]);
    assert_eq!(dashboard.ask("/api/reports", &["-H", alice]).0, 200);
    assert_eq!(dashboard.ask("/api/reports", &["-H", &bearer("made.up.token")]).0, 401);
    let log = std::fs::read_to_string(&nginx.log).unwrap();
    assert!(log.contains("/realms/audit/protocol/openid-connect/userinfo 200"), "{log}");
}

fn a_token_for_another_audience_is_refused(
    folder: &tempfile::TempDir,
    shared: &[&str],
    ours: &str,
    others: &str,
) {
    let strict = Dashboard::start(folder.path(), &[shared, &["--oidc-audiences", "dashboard"]].concat());
    assert_eq!(strict.ask("/api/reports", &["-H", ours]).0, 200);
    let (status, body) = strict.ask("/api/reports", &["-H", others]);
    assert_eq!((status, body.contains("another audience")), (401, true), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_issuer_does_as_well_behind_a_proxy_with_tls_under_a_prefix_it_keeps() {
    let folder = demo();
    let own = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(own.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(own.path().join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(own.path().join("secret"), "the client's secret, for tests\n").unwrap();
    std::fs::write(own.path().join("session.key"), "0123456789abcdef0123456789abcdef").unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let server = format!(
        "ssl_certificate {0}/cert.pem; ssl_certificate_key {0}/key.pem;
         location /audit/ {{ proxy_pass http://{address}; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; }}",
        own.path().display()
    );
    let nginx = Nginx::start(own.path(), "ssl", &server).await;
    let base = format!("https://127.0.0.1:{}/audit/", nginx.port);
    let provider = Provider::start(&base).await;
    let file = |name: &str| own.path().join(name).display().to_string();
    let (secret, session) = (file("secret"), file("session.key"));
    let arguments = [
        "--dashboard-addr",
        &address,
        "--external-url",
        &base,
        "--oidc-issuer",
        &provider.url,
        "--oidc-client-id",
        "dashboard",
        "--oidc-client-secret-file",
        &secret,
        "--oidc-scopes",
        "email,groups",
        "--session-key-file",
        &session,
        "--admin-groups",
        "provenance-admins",
        "--reader-groups",
        "readers",
    ];
    let dashboard = Dashboard::start(folder.path(), &arguments);
    for (user, may) in [("admin", "scan"), ("reader", "read"), ("stranger", "nothing")] {
        let question = json!({
            "base": base, "issuer": provider.url, "kind": "provider", "user": user, "may": may, "secure": true, "scan": false,
        });
        browse("sign_in.cjs", &question);
    }
    let header = |user: &str, seconds: u32| bearer(&provider.token(user, seconds));
    let status = |header: &str| dashboard.ask("/api/reports", &["-H", header]).0;
    assert_eq!(
        (status(&header("admin", 60)), status(&header("reader", 60)), status(&header("stranger", 60))),
        (200, 200, 403)
    );
    let brief = header("admin", 1);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(status(&brief), 401, "an expired token");
    let refused: Vec<_> = (0..70).map(|at| status(&bearer(&format!("made-up-{at}")))).collect();
    assert!(refused.contains(&401) && refused[69] == 429, "{refused:?}");
    let tries = std::iter::repeat_with(|| dashboard.ask("/sign-in", &[]).0).take(70);
    assert_eq!(tries.last(), Some(429));
    // The proxy's visitors are told apart by the address that it names.
    assert_eq!(ask(&format!("{base}api/reports"), &["--insecure"]).0, 401);
    assert_eq!(ask(&format!("http://{address}/"), &["-H", "Host: evil.example"]).0, 421);
    assert_eq!(ask(&format!("http://{address}/audit"), &[]).0, 308);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_dashboards_start_one_scan_and_its_page_follows_it_until_the_report_is_there() {
    let cluster = Cluster::start().await;
    cronjob(&cluster).await;
    let account = dashboards_account(&cluster).await;
    let kubeconfig = cluster.kubeconfig(&account, "audit");
    let folder = demo();
    let provider = Provider::start("http://127.0.0.1:1/").await;
    let arguments = [
        "--oidc-issuer",
        &provider.url,
        "--admin-groups",
        "provenance-admins",
        "--cronjob-name",
        "provenance-collector",
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--manual-job-ttl",
        "0",
    ];
    let dashboards =
        [Dashboard::start(folder.path(), &arguments), Dashboard::start(folder.path(), &arguments)];
    let admin = bearer(&provider.token("admin", 600));
    let press = |dashboard: &Dashboard| {
        dashboard.ask("/api/scan", &["-X", "POST", "-H", "Sec-Fetch-Site: same-origin", "-H", &admin])
    };
    for round in 1..=3 {
        let answers = std::thread::scope(|scope| {
            let both = dashboards.each_ref().map(|dashboard| scope.spawn(|| press(dashboard)));
            both.map(|press| press.join().unwrap())
        });
        let mut statuses = answers.each_ref().map(|(status, _)| *status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{answers:?}");
        let made = jobs(&cluster).await;
        assert_eq!(made.len(), round);
        assert!(made.iter().all(|job| job["spec"].get("ttlSecondsAfterFinished").is_none()));
        let (_, body) = answers.into_iter().find(|(status, _)| *status == 200).unwrap();
        let started: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(started["namespace"], "audit");
        end(&cluster, started["jobName"].as_str().unwrap()).await;
        if round < 3 {
            continue;
        }
        let page = || {
            dashboards[0]
                .ask(&format!("/scan?job={}", started["jobName"].as_str().unwrap()), &["-H", &admin])
                .1
        };
        let before = page();
        assert!(before.contains("The scan is under way") && before.contains("expected"), "{before}");
        // Times are of whole seconds, and a report of the Job's own second is another's.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut report: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("provenance-latest.json")).unwrap())
                .unwrap();
        report["metadata"]["generatedAt"] = jiff::Timestamp::now().to_string().into();
        let upload = format!("http://{}/internal/reports", dashboards[0].internal);
        assert_eq!(ask(&upload, &["-d", &report.to_string()]).0, 202);
        let after = page();
        assert!(after.contains("The scan is done") && after.contains("Show its report"), "{after}");
    }
    assert_eq!(dashboards[0].ask("/scan?job=manual-nothing", &["-H", &admin]).0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_shows_a_projected_token_of_an_account_that_may() {
    let cluster = Cluster::start().await;
    cluster.namespace("audit").await;
    let reviewer =
        json!([{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]);
    let account = cluster.account("web", "audit", &reviewer, None).await;
    let own = cluster.account("collector", "audit", &json!([]), Some("audit")).await;
    let other = cluster.account("other", "audit", &json!([]), Some("audit")).await;
    let spec = json!({"spec": {"audiences": ["provenance-dashboard"], "expirationSeconds": 3600}});
    let token = cluster.create("/api/v1/namespaces/audit/serviceaccounts/collector/token", &spec).await;
    let projected = token["status"]["token"].as_str().unwrap();
    let kubeconfig = cluster.kubeconfig(&account, "audit");
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--upload-accounts", "audit/collector", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let any = Dashboard::start(folder.path(), &arguments);
    let strict = Dashboard::start(
        folder.path(),
        &[&arguments[..], &["--upload-audience", "provenance-dashboard"]].concat(),
    );
    let kept = demo();
    let report = format!("@{}", kept.path().join("provenance-latest.json").display());
    let upload = |dashboard: &Dashboard, token: &str| {
        let url = format!("http://{}/internal/reports", dashboard.internal);
        ask(&url, &["--data-binary", &report, "-H", &bearer(token)]).0
    };
    assert_eq!((upload(&any, &own), upload(&any, &other), upload(&any, "x")), (202, 401, 401));
    assert_eq!((upload(&strict, projected), upload(&strict, &own)), (202, 401));
    assert_eq!(ask(&format!("http://{}/internal/reports", any.internal), &["-d", "{}"]).0, 401);
}
