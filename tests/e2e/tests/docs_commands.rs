//! Every block of commands in the documents is run, in order, in a copy of the project, against a real API server; or it says why not.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use provenance_e2e::chart::root;
use provenance_e2e::cluster::Cluster;
use provenance_e2e::process::{collector, tool};
use provenance_testbed::attach::{self, SigningKey};
use provenance_testbed::{BuiltImage, Registry};

/// One block of commands.
#[derive(Debug)]
struct Block {
    document: String,
    line: usize,
    commands: String,
    /// Why it is not run.
    not_run: Option<String>,
}

fn blocks(document: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(document).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !matches!(lines[at].trim(), "```sh" | "```bash" | "```shell" | "```console") {
            at += 1;
            continue;
        }
        let end = (at + 1..lines.len()).find(|line| lines[*line].trim() == "```").unwrap();
        let mark = lines[..at].iter().rev().find(|line| !line.trim().is_empty()).unwrap_or(&"");
        let not_run = mark.trim().strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
        blocks.push(Block {
            document: document.strip_prefix(root()).unwrap().display().to_string(),
            line: at + 1,
            commands: lines[at + 1..end].join("\n"),
            not_run: not_run.map(str::to_owned),
        });
        at = end + 1;
    }
    blocks
}

fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<_> = std::fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .chain(["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(|name| root().join(name)))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.sort();
    documents
}

/// What the commands find on their path: the tools under the names that users know them by.
fn path(folder: &Path) -> String {
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, target) in [
        ("provenance-collector", collector()),
        ("helm", tool("helm-4")),
        ("kubectl", tool("kubectl")),
        ("promtool", tool("promtool")),
    ] {
        std::os::unix::fs::symlink(target, bin.join(name)).unwrap();
    }
    format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())
}

/// A registry with the images that the documents name.
async fn registry() -> Registry {
    let registry = Registry::start().await.unwrap();
    for (repository, tag) in
        [("library/nginx", "1.27-alpine"), ("acme/web", "1.0.0"), ("acme/web", "1.2"), ("acme/web", "1.2.0")]
    {
        let digest = registry.push(repository, tag, &BuiltImage::single(repository));
        registry.attach(
            repository,
            Some(&attach::tag(&digest, ".sig")),
            &SigningKey::number(1).signature(&digest),
        );
    }
    registry
}

#[tokio::test(flavor = "multi_thread")]
async fn every_block_of_commands_runs_or_says_why_it_does_not() {
    let registry = registry().await;
    let host = registry.host();
    let mut run = 0;
    for document in documents() {
        let blocks = blocks(&document);
        if blocks.iter().all(|block| block.not_run.is_some()) {
            assert!(
                blocks.iter().all(|block| block.not_run.as_ref().is_some_and(|why| why.len() > 10)),
                "{blocks:?}"
            );
            continue;
        }
        let cluster = Cluster::start().await;
        cluster.install_crds().await;
        let kubeconfig = cluster.admin_kubeconfig();
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path());
        let project = folder.path().join("project");
        std::fs::create_dir(&project).unwrap();
        // As a clone has it, without what was built.
        for name in ["chart", "examples", "docs"] {
            let copied = Command::new("cp").arg("-r").arg(root().join(name)).arg(&project).status().unwrap();
            assert!(copied.success());
        }
        let deploy = project.join("deploy");
        std::fs::create_dir(&deploy).unwrap();
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: 'ghcr.io/acme/web:1.0.0'}]}\n";
        std::fs::write(deploy.join("pod.yaml"), pod).unwrap();
        std::fs::write(project.join("pods.yaml"), pod).unwrap();
        let key = SigningKey::number(1).public_pem();
        std::fs::write(project.join("cosign.pub"), key).unwrap();
        std::fs::create_dir(project.join("policies")).unwrap();
        std::fs::copy(root().join("examples/trust/key.yaml"), project.join("policies/key.yaml")).unwrap();
        for block in blocks.iter().filter(|block| block.not_run.is_none()) {
            let script = folder.path().join("block.sh");
            std::fs::write(&script, &block.commands).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            let mirrors = ["docker.io", "ghcr.io", "quay.io"].map(|name| format!("{name}={host}")).join(",");
            let mut command = Command::new("timeout");
            command
                .args(["120", "bash", "-euo", "pipefail"])
                .arg(&script)
                .current_dir(&project)
                .env_clear()
                .env("PATH", &path)
                .env("HOME", folder.path())
                .env("KUBECONFIG", &kubeconfig)
                .env("PROVENANCE_REGISTRY_MIRRORS_ONLY", mirrors)
                .env("PROVENANCE_LOG", "error");
            let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
            assert!(
                output.status.success(),
                "{}:{}: {}\n{}\n{}{}",
                block.document,
                block.line,
                output.status,
                block.commands,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            run += 1;
        }
    }
    assert!(run >= 12, "only {run} blocks were run");
}

#[test]
fn the_pipelines_of_the_examples_are_sound_and_their_scans_are_what_the_program_takes() {
    let linted = Command::new(tool("actionlint"))
        .args(["-shellcheck=", "-pyflakes="])
        .args([
            ".github/workflows/release.yaml",
            ".github/workflows/ci.yaml",
            "examples/github-actions/provenance.yaml",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(linted.status.success(), "{}", String::from_utf8_lossy(&linted.stdout));
    let gitlab = std::fs::read_to_string(root().join("examples/gitlab-ci/.gitlab-ci.yml")).unwrap();
    assert!(provenance_e2e::chart::documents(&gitlab)[0]["provenance"]["script"].is_array());
    let mut scans = 0;
    for file in [
        "examples/github-actions/provenance.yaml",
        "examples/gitlab-ci/.gitlab-ci.yml",
        ".github/workflows/release.yaml",
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap().replace("\\\n", " ");
        for line in text.lines().filter(|line| line.contains(" scan ")) {
            let arguments = line.split(" scan ").nth(1).unwrap().split(" > ").next().unwrap();
            // An image that is no name shows that all else was understood.
            let arguments: Vec<_> =
                arguments
                    .split_whitespace()
                    .map(|word| {
                        if word == "policy.yaml" { "examples/trust/key.yaml" } else { word.trim_matches('"') }
                    })
                    .map(|word| if word == "deploy/" { "examples/argocd" } else { word })
                    .collect();
            let output =
                Command::new(collector()).arg("scan").args(&arguments).current_dir(root()).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.code() != Some(2) || told.contains("no container images"),
                "{file}: {line}: {told}"
            );
            scans += 1;
        }
    }
    assert!(scans >= 3);
}
