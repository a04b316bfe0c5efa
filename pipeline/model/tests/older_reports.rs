//! Reports of the older Go collector are read back without loss, and exported as it exported them.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use provenance_model::report::{Report, counting::summarise, export};

fn sample(name: &str) -> String {
    let path = format!("{}/../../tests/data/go-collector/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn report() -> Report {
    serde_json::from_str(&sample("report.json")).unwrap()
}

#[test]
fn a_report_of_the_older_collector_is_read_back_without_loss() {
    let written: serde_json::Value = serde_json::from_str(&sample("report.json")).unwrap();
    assert_eq!(serde_json::to_value(report()).unwrap(), written);
}

#[test]
fn an_older_report_with_null_lists_is_read() {
    let text = sample("report.json");
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["helmReleases"] = serde_json::Value::Null;
    value["images"] = serde_json::Value::Null;
    value["metadata"]["namespacesScanned"] = serde_json::Value::Null;
    let report: Report = serde_json::from_value(value).unwrap();
    assert!(report.images.is_empty() && report.helm_releases.is_empty());
}

#[test]
fn the_counts_over_an_older_report_are_its_own() {
    let report = report();
    let ours = summarise(&report.images, &report.helm_releases);
    let theirs = &report.summary;
    assert_eq!(
        [
            ours.total_images,
            ours.unique_images,
            ours.signed_images,
            ours.verified_images,
            ours.images_with_sbom
        ],
        [
            theirs.total_images,
            theirs.unique_images,
            theirs.signed_images,
            theirs.verified_images,
            theirs.images_with_sbom
        ]
    );
    assert_eq!(ours.images_with_provenance, theirs.images_with_provenance);
    assert_eq!(ours.images_with_updates, theirs.images_with_updates);
    assert_eq!(ours.total_helm_releases, theirs.total_helm_releases);
    assert_eq!(ours.helm_releases_with_updates, theirs.helm_releases_with_updates);
}

#[test]
fn an_older_report_is_exported_as_the_older_collector_did() {
    assert_eq!(export::csv(&report()), sample("export.csv"));
    assert_eq!(export::markdown(&report()), sample("export.md"));
}
