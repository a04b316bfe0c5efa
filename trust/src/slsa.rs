//! How an image was built, as its SLSA provenance says:
//! [v0.1](https://slsa.dev/provenance/v0.1), [v0.2](https://slsa.dev/spec/v0.2/provenance) and
//! [v1](https://slsa.dev/spec/v1.0/provenance).

use provenance_model::trust::Build;
use serde_json::Value;

use crate::statement::Statement;

const PROVENANCE: &str = "https://slsa.dev/provenance/";

/// The facts of a statement, where it is SLSA provenance.
pub fn build(statement: &Statement) -> Option<Build> {
    let version = statement.predicate_type.strip_prefix(PROVENANCE)?;
    let predicate = &statement.predicate;
    Some(if version.starts_with("v0.") { v0(predicate) } else { v1(predicate) })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn count(list: &Value) -> Option<usize> {
    list.as_array().map(Vec::len)
}

fn v0(predicate: &Value) -> Build {
    let invocation =
        if predicate["invocation"].is_object() { &predicate["invocation"] } else { &predicate["recipe"] };
    let config = &invocation["configSource"];
    let metadata = &predicate["metadata"];
    let source = text(&config["uri"]);
    // v0.1 names the source as one of the materials, by its index.
    let defined_in = invocation["definedInMaterial"].as_u64().and_then(|index| usize::try_from(index).ok());
    let material = defined_in.map_or(&Value::Null, |index| &predicate["materials"][index]);
    let source = source.or_else(|| text(&material["uri"]));
    let vcs = &metadata["https://mobyproject.org/buildkit@v1#metadata"]["vcs"];
    let (repository, reference) = source.as_deref().map_or((None, None), split_source);
    Build {
        builder: text(&predicate["builder"]["id"]),
        build_type: text(&predicate["buildType"]).or_else(|| text(&invocation["type"])),
        source_repository: repository.or_else(|| text(&vcs["source"])),
        source_commit: commit(&config["digest"])
            .or_else(|| commit(&material["digest"]))
            .or_else(|| text(&vcs["revision"])),
        source_ref: reference,
        entry_point: text(&config["entryPoint"]).or_else(|| text(&invocation["entryPoint"])),
        invocation: text(&metadata["buildInvocationID"])
            .or_else(|| text(&metadata["buildInvocationId"]))
            .or_else(|| github_run(&invocation["environment"])),
        started_at: text(&metadata["buildStartedOn"]),
        finished_at: text(&metadata["buildFinishedOn"]),
        materials: count(&predicate["materials"]),
        reproducible: metadata["reproducible"].as_bool(),
    }
}

fn v1(predicate: &Value) -> Build {
    let definition = &predicate["buildDefinition"];
    let external = &definition["externalParameters"];
    let run = &predicate["runDetails"];
    let metadata = &run["metadata"];
    let workflow = &external["workflow"];
    let source = [&workflow["repository"], &external["source"]["uri"], &external["source"]["repository"]]
        .into_iter()
        .chain([&external["configSource"]["uri"], &external["source"]])
        .find_map(text);
    let dependencies = &definition["resolvedDependencies"];
    let (repository, reference) = source.as_deref().map_or((None, None), split_source);
    let vcs = &metadata["buildkit_metadata"]["vcs"];
    let repository = repository.or_else(|| text(&vcs["source"]));
    Build {
        builder: text(&run["builder"]["id"]),
        build_type: text(&definition["buildType"]),
        source_commit: dependency_commit(dependencies, repository.as_deref())
            .or_else(|| commit(&external["source"]["digest"]))
            .or_else(|| commit(&external["configSource"]["digest"]))
            .or_else(|| text(&vcs["revision"])),
        source_repository: repository,
        source_ref: text(&workflow["ref"]).or_else(|| text(&external["source"]["ref"])).or(reference),
        entry_point: text(&workflow["path"])
            .or_else(|| text(&external["entryPoint"]))
            .or_else(|| text(&external["buildConfigPath"]))
            .or_else(|| text(&external["configSource"]["path"])),
        invocation: text(&metadata["invocationId"]).or_else(|| text(&metadata["invocationID"])),
        started_at: text(&metadata["startedOn"]),
        finished_at: text(&metadata["finishedOn"]),
        materials: count(dependencies),
        reproducible: None,
    }
}

/// Repository and ref of a source written `git+https://host/owner/name@ref` (or `#ref`).
fn split_source(uri: &str) -> (Option<String>, Option<String>) {
    let plain = uri.strip_prefix("git+").unwrap_or(uri);
    let after_scheme = plain.find("://").map_or(0, |at| at + 3);
    let path = plain[after_scheme..].find('/').map_or(plain.len(), |at| after_scheme + at);
    // An `@` before the path is a user's name.
    let cut = plain[path..].find(['@', '#']).map(|at| path + at);
    let (repository, reference) = cut.map_or((plain, None), |at| (&plain[..at], Some(&plain[at + 1..])));
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    (some(repository), reference.and_then(some))
}

/// The commit in a set of digests.
fn commit(digest: &Value) -> Option<String> {
    ["gitCommit", "sha1", "sha256"].into_iter().find_map(|name| text(&digest[name]))
}

/// The commit of the dependency that is the source itself; where none is, of the only one with a commit.
fn dependency_commit(dependencies: &Value, repository: Option<&str>) -> Option<String> {
    let dependencies = dependencies.as_array()?;
    let git = |digest: &Value| ["gitCommit", "sha1"].into_iter().find_map(|name| text(&digest[name]));
    let is_source = |dependency: &&Value| {
        let uri = dependency["uri"].as_str().unwrap_or_default();
        let (found, _) = split_source(uri);
        repository.is_some_and(|repository| found.as_deref().map(trimmed) == Some(trimmed(repository)))
    };
    let source = dependencies.iter().filter(is_source).find_map(|dependency| git(&dependency["digest"]));
    source.or_else(|| {
        let mut commits = dependencies.iter().filter_map(|dependency| git(&dependency["digest"]));
        commits.next().filter(|_| commits.next().is_none())
    })
}

fn trimmed(repository: &str) -> &str {
    repository.trim_end_matches('/').trim_end_matches(".git")
}

/// The run of a GitHub workflow, which its v0.2 generator writes as environment.
fn github_run(environment: &Value) -> Option<String> {
    let run = text(&environment["github_run_id"])?;
    let attempt = text(&environment["github_run_attempt"]);
    Some(attempt.map_or_else(|| run.clone(), |attempt| format!("{run}-{attempt}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_split_into_repository_and_ref() {
        for (uri, repository, reference) in [
            (
                "git+https://github.com/acme/web@refs/heads/main",
                "https://github.com/acme/web",
                Some("refs/heads/main"),
            ),
            (
                "https://github.com/acme/web.git#refs/tags/v1",
                "https://github.com/acme/web.git",
                Some("refs/tags/v1"),
            ),
            ("git+ssh://git@host.lan/acme/web", "ssh://git@host.lan/acme/web", None),
            ("https://github.com/acme/web", "https://github.com/acme/web", None),
            ("", "", None),
        ] {
            let (found, at) = split_source(uri);
            assert_eq!(found.unwrap_or_default(), repository, "{uri}");
            assert_eq!(at.as_deref(), reference, "{uri}");
        }
    }
}
