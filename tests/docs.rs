//! The references in docs/ are what the code says, and the links between the documents lead somewhere.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use provenance_collector::options;
use provenance_collector::reference::{self, chart};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Holds a file against its text, or writes it where asked to.
fn hold(name: &str, text: &str) {
    let path = root().join(name);
    if std::env::var_os("PROVENANCE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{name} is not what the code says any more; write it anew with: make docs");
}

#[test]
fn the_configuration_reference_is_what_the_options_say() {
    hold("docs/configuration.md", &reference::configuration());
}

#[test]
fn the_chart_sets_every_option_and_its_references_are_what_the_options_say() {
    hold("chart/options.yaml", &chart::options_file());
    hold("chart/values.schema.json", &chart::values_schema());
    let values = std::fs::read_to_string(root().join("chart/values.yaml")).unwrap();
    let values: serde_json::Value = serde_saphyr::from_str(&values).unwrap();
    let schema = serde_json::from_str(&chart::values_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&values).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "chart/values.yaml");
    hold("docs/chart-values.md", &chart::values_table(&values));
    let templates: String = std::fs::read_dir(root().join("chart/templates"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let serves = |option: &options::Opt| {
        option.on.contains(&options::On::Collect) || option.on.contains(&options::On::Serve)
    };
    for option in options::ALL.iter().filter(|option| serves(option) && chart::path(option).is_none()) {
        // A pod's own account is its kubeconfig, and an Indexed Job tells each pod which shard it is.
        let by_kubernetes = ["KUBECONFIG", "PROVENANCE_SHARD"].contains(&option.env);
        assert!(by_kubernetes || templates.contains(option.env), "no template sets {}", option.env);
    }
}

#[test]
fn the_report_schema_is_what_the_types_say() {
    hold("docs/report-schema.json", &reference::report_schema());
    hold("docs/report-schema.md", &reference::report_fields());
}

#[test]
fn the_description_of_the_api_is_what_the_routes_say_and_the_guide_names_every_route() {
    let described = reference::api();
    hold("docs/openapi.json", &described);
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    let guide = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    for path in described["paths"].as_object().unwrap().keys() {
        let path = path.replace("{name}", "FILE");
        assert!(guide.contains(&path), "docs/api.md does not name {path}");
    }
}

#[test]
fn the_diagram_in_the_documents_is_what_the_topology_says() {
    let output =
        std::process::Command::new(env!("CARGO_BIN_EXE_provenance-collector")).arg("graph").output().unwrap();
    let block = format!("```mermaid\n{}```\n", String::from_utf8(output.stdout).unwrap());
    for name in ["docs/architecture.md", "README.md"] {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let start = text.find("```mermaid\n").unwrap_or_else(|| panic!("{name} has a diagram"));
        let end = start + text[start..].find("```\n").unwrap() + 4;
        let current = format!("{}{block}{}", &text[..start], &text[end..]);
        hold(name, &current);
    }
}

#[test]
fn the_demos_report_and_the_older_collectors_are_valid_by_the_schema() {
    let schema = serde_json::from_str(&reference::report_schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_provenance-collector"))
        .args(["demo", "--format", "json", "--report-path"])
        .arg(folder.path())
        .output()
        .unwrap();
    let older = std::fs::read(root().join("tests/data/go-collector/report.json")).unwrap();
    for text in [output.stdout, older] {
        let report: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let errors: Vec<_> = validator.iter_errors(&report).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    assert!(
        !validator.is_valid(&serde_json::json!({"metadata": {}})),
        "the schema refuses what is no report"
    );
}

#[test]
fn the_configuration_file_in_the_documents_is_accepted() {
    let text = std::fs::read_to_string(root().join("docs/updates.md")).unwrap();
    let block = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let told = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
        let output = command.args(["scan", "--config"]).arg(&file).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(told(block).contains("nothing to scan"), "{}", told(block));
    let wrong = told(&block.replace("level: minor", "level: tiny"));
    assert!(wrong.contains("updates.rules[0]: level: \"tiny\" is none of"), "{wrong}");
}

/// All code that tells people something.
fn code(folder: &Path, out: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_messages_that_troubleshooting_explains_are_the_programs() {
    let mut said = String::new();
    for folder in ["src", "stages/src", "sinks/src", "web/src", "pipeline"] {
        code(&root().join(folder), &mut said);
    }
    // As it is written in code, a line may be broken.
    let said: String = said.replace("\\\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let page = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let page = page.split("## Exit status").next().unwrap();
    let mut checked = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let messages = row.split('|').nth(1).unwrap();
        for message in messages.split('`').skip(1).step_by(2) {
            // TLS speaks for itself, and so do storage and the scheduler.
            if ["invalid peer certificate"].contains(&message) {
                continue;
            }
            let fragments = message.split('…').map(str::trim).filter(|text| text.len() > 4);
            for fragment in fragments {
                assert!(said.contains(fragment), "no code says {fragment:?}: {row}");
                checked += 1;
            }
        }
    }
    assert!(checked > 12);
}

/// A heading's anchor, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_document_is_in_the_sites_summary() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let is_page = path.extension().is_some_and(|extension| extension == "md") && name != "SUMMARY.md";
        assert!(!is_page || summary.contains(&format!("({name})")), "docs/SUMMARY.md does not name {name}");
    }
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    for name in ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] {
        documents.push(root().join(name));
    }
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        documents.push(entry.unwrap().path());
    }
    for document in
        documents.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"))
    {
        let text = std::fs::read_to_string(document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let path = match target {
                "" => document.clone(),
                target => document.parent().unwrap_or(Path::new(".")).join(target),
            };
            assert!(path.exists(), "{}: the link {link} leads nowhere", document.display());
            // On the site there is nothing outside of docs/.
            let leaves =
                document.parent().is_some_and(|folder| folder.ends_with("docs")) && target.contains("..");
            assert!(!leaves, "{}: the link {link} leads out of the site", document.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let anchors: Vec<_> = headings.map(|line| slug(line.trim_start_matches('#'))).collect();
                assert!(
                    anchors.iter().any(|known| known == anchor),
                    "{}: the link {link} leads to no heading",
                    document.display()
                );
            }
        }
    }
}
