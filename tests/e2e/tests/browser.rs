//! The dashboard in a real browser: every page in both themes and at three widths, what people do on it, without script
//! too, and under a brand.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use provenance_e2e::Dashboard;
use provenance_e2e::dashboard::demo;
use provenance_e2e::issuer::browse;
use serde_json::{Value, json};

/// The demo's report, an earlier one in which things were otherwise, and another cluster's.
fn reports() -> tempfile::TempDir {
    let folder = demo();
    let latest = std::fs::read(folder.path().join("provenance-latest.json")).unwrap();
    let keep = |minutes: i64, change: &dyn Fn(&mut Value)| {
        let mut report: Value = serde_json::from_slice(&latest).unwrap();
        let made: jiff::Timestamp = report["metadata"]["generatedAt"].as_str().unwrap().parse().unwrap();
        let made = made - jiff::SignedDuration::from_mins(minutes);
        report["metadata"]["generatedAt"] = made.to_string().into();
        change(&mut report);
        let name = made.strftime("provenance-%Y%m%d-%H%M%S.json").to_string();
        std::fs::write(folder.path().join(name), report.to_string()).unwrap();
    };
    keep(60 * 24, &|report| {
        let rows = report["images"].as_array_mut().unwrap();
        rows.truncate(14);
        for row in rows {
            row.as_object_mut().unwrap().remove("update");
            row["signature"] = json!({"signed": false, "verified": false});
            row["digest"] = format!("sha256:{}", "1".repeat(64)).into();
        }
    });
    keep(60 * 48, &|report| report["summary"]["verifiedImages"] = 1.into());
    keep(-1, &|report| {
        report["metadata"]["clusterName"] = "hostile <script>window.hostile = 1</script>".into();
        report["run"]["partial"] = true.into();
        report["run"]["partialReasons"] = json!(["<img src=x onerror='window.hostile = 1'>"]);
        report["images"][0]["image"] = "hostile/<script>window.hostile=1</script>nginx:1".into();
        report["images"][1]["image"] =
            format!("registry.example/{}:1", "a-name-that-goes-on-and-on/".repeat(8)).into();
    });
    folder
}

fn pages(folder: &Path) -> Value {
    let mut pages = vec![
        json!({"where": "", "name": "overview"}),
        json!({"where": "images", "name": "images"}),
        json!({"where": "images?q=nothing-of-this-name&signed=true", "name": "images-none"}),
        json!({"where": "images?sort=finding&cols=finding&cols=image&cols=digest&cols=release&cols=signer&cols=builder", "name": "images-columns"}),
        json!({"where": "releases", "name": "releases"}),
        json!({"where": "compare", "name": "compare-none"}),
        json!({"where": "run", "name": "run"}),
        json!({"where": "clusters", "name": "clusters"}),
        json!({"where": "clusters?q=nginx", "name": "clusters-found"}),
        json!({"where": "images?cluster=demo&finding=drifted", "name": "images-of-cluster"}),
        json!({"where": "?cluster=none", "name": "error-cluster", "refused": true}),
        json!({"where": "api", "name": "api"}),
        json!({"where": "images?finding=bad", "name": "error-400", "refused": true}),
        json!({"where": "image?image=nothing", "name": "error-404", "refused": true}),
    ];
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let demo = names
        .iter()
        .filter_map(|name| name.to_str())
        .filter(|name| name.starts_with("provenance-2"))
        .nth(2)
        .unwrap();
    pages.push(json!({"where": format!("?report={demo}"), "name": "overview-demo"}));
    pages.push(json!({"where": format!("compare?to={demo}"), "name": "compare"}));
    let report: Value = serde_json::from_slice(&std::fs::read(folder.join(demo)).unwrap()).unwrap();
    for (at, row) in report["images"].as_array().unwrap().iter().enumerate() {
        let image = row["image"].as_str().unwrap();
        let namespace = row["namespace"].as_str().unwrap();
        let query = format!("report={demo}&image={image}&namespace={namespace}");
        pages.push(json!({"where": format!("image?{query}"), "name": format!("image-{at}")}));
        if at == 0 {
            pages.push(json!({"where": format!("history?{query}"), "name": "history"}));
        }
    }
    pages.into()
}

#[test]
fn every_page_is_sound_in_both_themes_at_three_widths_and_works_by_hand_keyboard_and_without_script() {
    let folder = reports();
    let dashboard = Dashboard::start(folder.path(), &[]);
    let base = format!("http://{}/", dashboard.public);
    let shots = std::env::var("PROVENANCE_SCREENSHOTS").ok();
    browse("pages.cjs", &json!({"base": base, "pages": pages(folder.path()), "flows": true, "shots": shots}));
}

#[test]
fn a_folder_without_reports_and_a_brand_of_ones_own_are_as_sound() {
    let folder = tempfile::tempdir().unwrap();
    let logo = "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI4MCIgaGVpZ2h0PSIyNiI+PHJlY3Qgd2lkdGg9IjgwIiBoZWlnaHQ9IjI2IiBmaWxsPSIjMGE3Ii8+PC9zdmc+";
    let dashboard = Dashboard::start(
        folder.path(),
        &[
            "--dashboard-title",
            "Acme & Sons <Audit>",
            "--dashboard-logo",
            logo,
            "--dashboard-favicon",
            logo,
            "--dashboard-theme-light",
            r##"{"primary": "#006644", "background": "150 30% 97%"}"##,
            "--dashboard-theme-dark",
            r##"{"primary": "#7fe0b0"}"##,
        ],
    );
    let base = format!("http://{}/", dashboard.public);
    let shots = std::env::var("PROVENANCE_SCREENSHOTS").ok();
    let pages = json!([{"where": "", "name": "empty"}, {"where": "signed-out", "name": "signed-out"}]);
    browse("pages.cjs", &json!({"base": base, "pages": pages, "shots": shots}));
    let page = dashboard.ask("/", &[]).1;
    assert!(page.contains("Acme &#38; Sons &#60;Audit&#62;"), "{page}");
    assert!(dashboard.ask("/brand.css", &[]).1.contains("--link-light: #006644;"));
}
