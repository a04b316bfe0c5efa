//! What a check is told to fail on: the exit status, what people and programs are told, and that the report says the same.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::{Command, Output, Stdio};

use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::{BuiltImage, Effect, Fault, Registry};
use serde_json::Value;
use tempfile::TempDir;

struct Bench {
    registry: Registry,
    folder: TempDir,
}

impl Bench {
    /// A signed image that is current, an unsigned one, one with a newer major, one that cannot be asked for.
    async fn new() -> Self {
        let registry = Registry::start().await.unwrap();
        let signed = BuiltImage::single("signed");
        let digest = registry.push("signed", "1.0.0", &signed);
        let signature = SigningKey::number(1).signature(&digest);
        registry.attach("signed", Some(&attach::tag(&digest, ".sig")), &signature);
        registry.push("plain", "1.0.0", &BuiltImage::single("plain"));
        for tag in ["1.0.0", "1.0.1", "2.0.0"] {
            registry.push("old", tag, &BuiltImage::single(tag));
        }
        registry.push("down", "1.0.0", &BuiltImage::single("down"));
        registry.fault(Fault::on("/v2/down/", Effect::status(403)));
        Self { registry, folder: tempfile::tempdir().unwrap() }
    }

    async fn scan(&self, images: &[&str], arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
        command.arg("scan").args(arguments).stdin(Stdio::null()).env_remove("PROVENANCE_FAIL_ON");
        command.args([
            "--log",
            "error",
            "--registry-rate",
            "0",
            "--cosign-public-key",
            &SigningKey::number(1).public_pem(),
        ]);
        for image in images {
            command.arg(format!("{}/{image}:1.0.0", self.registry.host()));
        }
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    fn manifest(&self, name: &str) -> String {
        let host = self.registry.host();
        let file = self.folder.path().join(name);
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  template:\n    spec:\n      \
             containers:\n        - name: app\n          image: {host}/plain:1.0.0\n        - name: proxy\n          image: \
             \"{host}/signed:1.0.0\"\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: job}}\nspec: {{containers: [{{name: a, \
             image: {host}/plain:1.0.0}}]}}\n"
        );
        std::fs::write(&file, text).unwrap();
        file.display().to_string()
    }
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_4_where_a_rule_is_broken_and_only_then() {
    let bench = Bench::new().await;
    for (image, rule, expected) in [
        ("signed", "unsigned,unverified,refused,failed,drift,gone,outdated", 0),
        ("plain", "unsigned", 4),
        ("plain", "unverified", 4),
        ("plain", "failed,drift,gone,outdated", 0),
        ("signed", "no-sbom", 4),
        ("signed", "no-provenance", 4),
        ("old", "outdated", 4),
        ("old", "outdated:minor", 4),
        ("old", "outdated:major", 4),
        ("down", "failed", 4),
        // What could not be found out is nothing that was found.
        ("down", "unsigned,unverified,no-sbom,no-provenance,outdated,gone", 0),
    ] {
        let output = bench.scan(&[image], &["--fail-on", rule]).await;
        assert_eq!(status(&output), expected, "{image} {rule}: {}", stderr(&output));
    }
    let told = stderr(&bench.scan(&["plain", "signed"], &["--fail-on", "unsigned"]).await);
    assert!(told.starts_with("error: unsigned: ") && told.contains("/plain:1.0.0"), "{told}");
    assert!(!told.contains("/signed:"), "{told}");
    let told = stderr(&bench.scan(&["down"], &["--fail-on", "unsigned"]).await);
    assert!(told.contains("1 of 1 rows could not be judged") && told.contains("add failed"), "{told}");
    let told = bench.scan(&["plain"], &["--fail-on", "signed"]).await;
    assert!(status(&told) == 2 && stderr(&told).contains("is no rule"), "{}", stderr(&told));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_names_the_rules_that_each_row_breaks_and_counts_them() {
    let bench = Bench::new().await;
    let output = bench
        .scan(&["plain", "old", "down"], &["--fail-on", "unsigned,outdated:major", "--format", "json"])
        .await;
    assert_eq!(status(&output), 4);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| {
        let rows = report["images"].as_array().unwrap();
        let row = rows.iter().find(|row| row["image"].as_str().unwrap().contains(name)).unwrap();
        row["findings"].to_string()
    };
    assert_eq!(of("/down:"), r#"["failed"]"#);
    assert_eq!(of("/plain:"), r#"["unsigned","unverified","no-provenance","no-sbom"]"#);
    assert_eq!(of("/old:"), r#"["unsigned","unverified","outdated:major","no-provenance","no-sbom"]"#);
    assert_eq!(report["run"]["failOn"].to_string(), r#"["unsigned","outdated:major"]"#);
    assert_eq!(report["run"]["failing"], 2);
    let counts = report["summary"]["findings"].as_array().unwrap();
    let unsigned = counts.iter().find(|count| count["rule"] == "unsigned").unwrap();
    assert_eq!((&unsigned["images"], &unsigned["helmReleases"]), (&2.into(), &0.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn code_scanning_is_told_the_file_and_line_of_each_image() {
    let bench = Bench::new().await;
    let file = bench.manifest("web.yaml");
    let output = bench.scan(&[], &["-f", &file, "--fail-on", "unsigned", "--format", "sarif"]).await;
    assert_eq!(status(&output), 4);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules: Vec<_> = run["tool"]["driver"]["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    let results = run["results"].as_array().unwrap();
    assert!(results.iter().all(|result| rules.contains(&result["ruleId"].as_str().unwrap())));
    assert!(results.iter().all(|result| !result["message"]["text"].as_str().unwrap().is_empty()));
    let errors: Vec<_> = results.iter().filter(|result| result["level"] == "error").collect();
    assert_eq!(errors.len(), 2, "the Deployment and the Pod: {errors:?}");
    for error in errors {
        let places = error["locations"].as_array().unwrap();
        let lines: Vec<_> = places
            .iter()
            .map(|place| {
                let place = &place["physicalLocation"];
                assert_eq!(place["artifactLocation"]["uri"], file.as_str());
                place["region"]["startLine"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(lines, [9, 16], "where the image is written");
    }
    let signed =
        results.iter().find(|result| result["message"]["text"].as_str().unwrap().contains("/signed:"));
    assert_eq!(signed.unwrap()["locations"][0]["physicalLocation"]["region"]["startLine"], 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_tells_what_fails_first_and_stays_within_what_a_forge_takes() {
    let bench = Bench::new().await;
    let told = |output: Output| String::from_utf8(output.stdout).unwrap();
    let images = ["signed", "plain", "old"];
    let comment = told(bench.scan(&images, &["--fail-on", "unsigned", "--format", "comment"]).await);
    assert!(comment.starts_with("### ❌ Provenance: 2 of 3 fail\n"), "{comment}");
    let first = comment.lines().find(|line| line.starts_with("| ❌")).unwrap();
    assert!(first.contains("`unsigned`") && first.contains("no signature is attached"), "{first}");
    assert!(comment.contains("<details><summary>All images</summary>"), "{comment}");
    let fine = told(bench.scan(&["signed"], &["--fail-on", "unsigned", "--format", "comment"]).await);
    assert!(fine.starts_with("### ✅ Provenance: none of 1 fails"), "{fine}");
    let many: Vec<_> = (0..900).map(|_| "nothing/of/a/rather/long/name/that/is/not/there/at/all").collect();
    let unique: Vec<String> = many.iter().enumerate().map(|(at, name)| format!("{name}-{at}")).collect();
    let unique: Vec<_> = unique.iter().map(String::as_str).collect();
    let long = told(bench.scan(&unique, &["--format", "comment"]).await);
    assert!(long.len() < 65_536 && long.trim_end().ends_with("</details>"), "{} bytes", long.len());
    assert!(long.contains("The rest is left out"), "{}", &long[long.len() - 300..]);
}

#[test]
fn the_formats_that_are_made_are_those_that_help_names() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_provenance-collector")).args(["scan", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["sarif", "comment", "--fail-on", "PROVENANCE_FAIL_ON"] {
        assert!(help.contains(word), "{word}");
    }
}
