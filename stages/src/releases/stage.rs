//! The release stage: reads the newest record of one release; where there is none, what its manager says.

use std::sync::Arc;

use provenance_engine::{Failure, FailureKind, Outcome, Stage, Stop};
use provenance_model::release::{Managed, ReleaseDossier, ReleaseFacts, ReleaseSubject, Stored};
use provenance_model::report::StoredIn;
use serde::Deserialize;

use super::record;
use crate::discovery::reader::{ReadError, Reader};

/// The stage. See the module's description.
pub struct ReleaseStage {
    reader: Reader,
}

impl ReleaseStage {
    /// The stage's name.
    pub const NAME: &str = "release";

    /// A stage that reads through this client.
    pub fn new(client: kube::Client) -> Self {
        // The runner minds the order to stop.
        Self { reader: Reader::new(client, 1, Stop::default()) }
    }
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    release: Option<String>,
}

impl Stage<ReleaseDossier> for ReleaseStage {
    type Found = ReleaseFacts;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn slot<'a>(&self, dossier: &'a mut ReleaseDossier) -> &'a mut Outcome<ReleaseFacts> {
        &mut dossier.release
    }

    async fn examine(&self, dossier: &ReleaseDossier) -> Result<Outcome<ReleaseFacts>, Failure> {
        let ReleaseSubject { namespace, stored, managed, .. } = &dossier.subject;
        let Some(stored) = stored else {
            let managed = managed.as_ref().expect("a release is stored or managed");
            return Ok(Outcome::Found(as_managed(namespace, managed)));
        };
        let Some(mut facts) = self.read(dossier, namespace, stored).await? else {
            return Ok(Outcome::Absent);
        };
        if facts.namespace.is_empty() {
            facts.namespace = namespace.to_string();
        }
        Ok(Outcome::Found(facts))
    }
}

impl ReleaseStage {
    async fn read(
        &self,
        dossier: &ReleaseDossier,
        namespace: &Arc<str>,
        stored: &Stored,
    ) -> Result<Option<ReleaseFacts>, Failure> {
        let (plural, kind, in_secret) = match stored.kind {
            StoredIn::Secret => ("secrets", "Secret", true),
            StoredIn::ConfigMap => ("configmaps", "ConfigMap", false),
        };
        let path = format!("/api/v1/namespaces/{namespace}/{plural}/{}", stored.object);
        let asked = self.reader.get::<Object>(&path).await;
        let answer = match &asked {
            Ok(_) => "200".to_owned(),
            Err(error) => error.to_string(),
        };
        dossier.trail.note(Self::NAME, format!("GET {path}"), answer);
        let object = match asked {
            Ok(object) => object,
            Err(ReadError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(failure(&error)),
        };
        let told = format!("{kind} {namespace}/{}", stored.object);
        let Some(text) = object.data.release else {
            let why = format!("{told} holds no Helm record: it has no data named release");
            return Err(Failure::new(FailureKind::Malformed, why));
        };
        let read = tokio::task::spawn_blocking(move || record::read(&text, in_secret, &told));
        read.await.map_err(|error| Failure::new(FailureKind::Panicked, error.to_string()))?.map(Some)
    }
}

fn failure(error: &ReadError) -> Failure {
    let kind = match error {
        ReadError::Forbidden(_) => FailureKind::Forbidden,
        ReadError::Unauthorized(_) => FailureKind::Unauthorized,
        ReadError::NotFound(_) => FailureKind::UnexpectedStatus,
        ReadError::Failed(_) | ReadError::Stopped => FailureKind::Connection,
    };
    Failure::new(kind, error.to_string())
}

fn as_managed(namespace: &str, managed: &Managed) -> ReleaseFacts {
    ReleaseFacts {
        namespace: namespace.to_owned(),
        chart: managed.chart.clone(),
        version: managed.version.clone(),
        app_version: managed.app_version.clone(),
        status: managed.status.clone(),
        objects: managed.objects.clone(),
        ..ReleaseFacts::default()
    }
}
