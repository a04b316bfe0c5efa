//! The `ConfigMap` sink: data `report.json` and `generated`, as the older collector wrote them.
//!
//! A report that is too large goes in as `report.json.gz` (binary data), and where even that is too large, as its summary
//! and its worst rows; `reason` then says so. It is applied by the server
//! ([server-side apply](https://kubernetes.io/docs/reference/using-api/server-side-apply/)), so that nobody else's keys are
//! touched; with the older chart's rights, which lack `patch`, it is replaced with a check of its version instead.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use provenance_model::report::Report;
use serde_json::{Map, Value, json};

use crate::SinkError;
use crate::fit::{Fitted, Form, fit};
use crate::objects::{MANAGER, Refused, ask};

/// Bytes of values that an object may hold, some left for the keys of others.
pub const OBJECT_BYTES: usize = (1 << 20) - (16 << 10);
const PLAIN: &str = "report.json";
const PACKED: &str = "report.json.gz";
const GENERATED: &str = "generated";
const REASON: &str = "reason";
const ATTEMPTS: u32 = 5;

/// A `ConfigMap` that reports are written to.
#[derive(Clone)]
pub struct ConfigMapSink {
    client: kube::Client,
    namespace: String,
    name: String,
}

fn told(refused: &Refused) -> String {
    let fix = match refused.status {
        Some(StatusCode::FORBIDDEN) => {
            "; grant get, create, update and patch on configmaps in this namespace"
        }
        Some(StatusCode::NOT_FOUND) => "; make the namespace, or name another (--report-configmap-namespace)",
        _ if refused.is_too_large() => "; take out of it what others have put there",
        _ => "",
    };
    format!("{}{fix}", refused.why)
}

impl ConfigMapSink {
    /// A sink that writes to this `ConfigMap` through this client.
    pub fn new(client: kube::Client, namespace: &str, name: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Writes the report. Answers how, where it is not there as plain JSON.
    ///
    /// # Errors
    ///
    /// [`SinkError::ConfigMap`] where it is not there in any form.
    pub async fn write(&self, report: &Report) -> Result<Fitted, SinkError> {
        let refuse = |why: String| SinkError::ConfigMap { name: self.place(), why };
        let mut from = Form::Plain;
        loop {
            let fitted = fit(report, OBJECT_BYTES, from).map_err(refuse)?;
            match self.put(report, &fitted).await {
                Ok(()) => return Ok(fitted),
                // Others' keys take room, too: a smaller form may do.
                Err(refused) if refused.is_too_large() && fitted.form != Form::Worst => {
                    from = if fitted.form == Form::Plain { Form::Compressed } else { Form::Worst };
                }
                Err(refused) => return Err(refuse(told(&refused))),
            }
        }
    }

    /// Namespace and name.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    async fn put(&self, report: &Report, fitted: &Fitted) -> Result<(), Refused> {
        let (data, binary) = content(report, fitted);
        let mut attempt = 1;
        loop {
            let refused = match self.apply(&data, &binary).await {
                Err(refused) if refused.is(StatusCode::FORBIDDEN) => self.replace(&data, &binary).await.err(),
                applied => applied.err(),
            };
            let Some(refused) = refused else { return Ok(()) };
            let goes_on = refused.may_pass() || refused.is(StatusCode::CONFLICT);
            if !goes_on || refused.is_too_large() || attempt == ATTEMPTS {
                return Err(refused);
            }
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            attempt += 1;
        }
    }

    /// Applies our keys, and takes away those of ours that an earlier, larger or smaller report needed.
    async fn apply(&self, data: &Map<String, Value>, binary: &Map<String, Value>) -> Result<(), Refused> {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self.name, "namespace": self.namespace},
            "data": data, "binaryData": binary,
        });
        let path = format!("{}?fieldManager={MANAGER}&force=true", self.path());
        let applied = self.ask(Method::PATCH, &path, "application/apply-patch+yaml", &object).await?;
        // Keys that were not applied but updated, as the older collector did, have another owner and stay.
        let stale = |field: &str, wanted: &Map<String, Value>| -> Map<String, Value> {
            [PLAIN, PACKED, REASON]
                .iter()
                .filter(|key| applied[field].get(**key).is_some() && !wanted.contains_key(**key))
                .map(|key| ((*key).to_owned(), Value::Null))
                .collect()
        };
        let (old_data, old_binary) = (stale("data", data), stale("binaryData", binary));
        if old_data.is_empty() && old_binary.is_empty() {
            return Ok(());
        }
        let without = json!({"data": old_data, "binaryData": old_binary});
        let path = format!("{}?fieldManager={MANAGER}", self.path());
        self.ask(Method::PATCH, &path, "application/merge-patch+json", &without).await.map(drop)
    }

    /// Reads, changes and writes back, unless somebody else did so meanwhile.
    async fn replace(&self, data: &Map<String, Value>, binary: &Map<String, Value>) -> Result<(), Refused> {
        let mut object = match self.ask(Method::GET, &self.path(), "application/json", &Value::Null).await {
            Ok(object) => object,
            Err(refused) if refused.is(StatusCode::NOT_FOUND) => {
                let object = json!({"metadata": {"name": self.name}, "data": data, "binaryData": binary});
                let path = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
                return self.ask(Method::POST, &path, "application/json", &object).await.map(drop);
            }
            Err(refused) => return Err(refused),
        };
        for (field, wanted) in [("data", data), ("binaryData", binary)] {
            let mut all = object[field].as_object().cloned().unwrap_or_default();
            for key in [PLAIN, PACKED, REASON, GENERATED] {
                all.remove(key);
            }
            all.extend(wanted.clone());
            object[field] = all.into();
        }
        self.ask(Method::PUT, &self.path(), "application/json", &object).await.map(drop)
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps/{}", self.namespace, self.name)
    }

    async fn ask(&self, method: Method, path: &str, kind: &str, body: &Value) -> Result<Value, Refused> {
        ask(&self.client, method, path, kind, body, None).await
    }
}

/// The keys of a report.
fn content(report: &Report, fitted: &Fitted) -> (Map<String, Value>, Map<String, Value>) {
    let (mut data, mut binary) = (Map::new(), Map::new());
    data.insert(GENERATED.into(), report.metadata.generated_at.to_string().into());
    match fitted.form {
        Form::Plain => {
            let text = String::from_utf8_lossy(&fitted.bytes).into_owned();
            data.insert(PLAIN.into(), text.into());
        }
        Form::Compressed | Form::Worst => {
            binary.insert(PACKED.into(), STANDARD.encode(&fitted.bytes).into());
        }
    }
    if let Some(reason) = &fitted.reason {
        data.insert(REASON.into(), reason.clone().into());
    }
    (data, binary)
}
