//! How old what runs is: when it was made, by whatever says so first and costs least.

use jiff::Timestamp;
use provenance_engine::Failure;
use provenance_model::update::CreatedFrom;
use provenance_model::{Digest, Dossier};
use serde::Deserialize;

use crate::registry::content::{meant_time, usual_first};
use crate::registry::{Asking, Counted, Name, RegistryClient, TagList};

/// Bytes of an image's configuration.
pub(super) const CONFIG_BYTES: usize = 1 << 20;

/// When what runs was made, and what says so; nothing where nothing says so.
pub(super) async fn created(
    client: &RegistryClient,
    asking: &Asking<'_>,
    dossier: &Dossier,
    list: Option<&TagList>,
    reads_config: bool,
) -> Result<Option<(Timestamp, CreatedFrom)>, Failure> {
    let Some(digest) = running(dossier) else { return Ok(None) };
    if let Some(built) = built_at(dossier) {
        return Ok(Some((built, CreatedFrom::Provenance)));
    }
    if let Some(annotated) = dossier.digest.found().and_then(|finding| finding.created_at) {
        return Ok(Some((annotated, CreatedFrom::Annotation)));
    }
    if let Some(pushed) = list.and_then(|list| list.named(digest)).and_then(|named| named.pushed_at) {
        return Ok(Some((pushed, CreatedFrom::TagList)));
    }
    if !reads_config || client.limits(asking.registry).counts == Counted::Pulls {
        return Ok(None);
    }
    let Some(mut manifest) = client.manifest(asking, Name::Digest(digest)).await? else { return Ok(None) };
    let mut children = manifest.children();
    children.sort_by_key(|child| usual_first(child.platform.as_ref()));
    if let Some(child) = children.first() {
        let Some(of_child) = client.manifest(asking, Name::Digest(&child.digest)).await? else {
            return Ok(None);
        };
        manifest = of_child;
        if let Some(annotated) = manifest.created_at() {
            return Ok(Some((annotated, CreatedFrom::Annotation)));
        }
    }
    let Some(config) = manifest.config_digest() else { return Ok(None) };
    let Some(bytes) = client.blob(asking, &config, CONFIG_BYTES).await? else { return Ok(None) };
    Ok(in_config(&bytes).map(|created| (created, CreatedFrom::Config)))
}

/// The digest of what runs; where nothing runs, of what the tag names.
fn running(dossier: &Dossier) -> Option<&Digest> {
    let found = || dossier.digest.found().and_then(|finding| finding.digest.as_ref());
    dossier.subject.running.manifest().or_else(found)
}

fn built_at(dossier: &Dossier) -> Option<Timestamp> {
    let build = dossier.provenance.found()?.provenance()?.build.as_ref()?;
    build.finished_at.as_ref().or(build.started_at.as_ref())?.parse().ok()
}

fn in_config(bytes: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Config {
        created: Option<String>,
    }
    let config: Config = serde_json::from_slice(bytes).ok()?;
    meant_time(&config.created?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_tells_when_it_was_made_unless_it_means_no_time() {
        let told = |created: &str| in_config(format!(r#"{{"created":{created}}}"#).as_bytes());
        assert_eq!(told(r#""2024-02-01T10:00:00.123Z""#).unwrap().to_string(), "2024-02-01T10:00:00.123Z");
        for nothing in [r#""1970-01-01T00:00:00Z""#, r#""0001-01-01T00:00:00Z""#, "null", r#""soon""#] {
            assert_eq!(told(nothing), None, "{nothing}");
        }
        assert_eq!(in_config(b"{"), None);
    }
}
