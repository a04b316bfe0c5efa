//! The log entry that cosign 2 keeps in an annotation, as Rekor answered it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use provenance_model::trust::{Refusal, RefusalKind};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::refusals::refuse;

/// The annotation it is kept in.
pub(crate) const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";

/// The log entry that cosign 2 keeps in an annotation.
#[derive(Debug)]
pub(crate) struct LegacyEntry {
    pub(crate) signed_entry_timestamp: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) integrated_time: i64,
    pub(crate) log_index: u64,
    pub(crate) log_id: Vec<u8>,
    /// Kind and version of the entry.
    kind: (String, String),
}

impl LegacyEntry {
    pub(crate) fn read(written: &str) -> Result<Self, Refusal> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Written {
            signed_entry_timestamp: String,
            payload: Entry,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry {
            body: String,
            integrated_time: i64,
            log_index: u64,
            #[serde(rename = "logID")]
            log_id: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            kind: String,
            api_version: String,
        }
        let wrong = |error: &dyn std::fmt::Display| {
            Refusal::new(RefusalKind::Malformed, format!("annotation {LOG_ENTRY}: {error}"))
        };
        let written: Written = serde_json::from_str(written).map_err(|error| wrong(&error))?;
        let body = decode(&written.payload.body)?;
        let kind: Body = serde_json::from_slice(&body).map_err(|error| wrong(&error))?;
        Ok(Self {
            signed_entry_timestamp: decode(&written.signed_entry_timestamp)?,
            body,
            integrated_time: written.payload.integrated_time,
            log_index: written.payload.log_index,
            log_id: hex::decode(&written.payload.log_id).map_err(|error| wrong(&error))?,
            kind: (kind.kind, kind.api_version),
        })
    }

    /// Whether it is of the one kind that no bundle can hold.
    pub(crate) fn is_v001(&self) -> bool {
        self.kind == ("intoto".to_owned(), "0.0.1".to_owned())
    }

    /// The entry as a bundle holds it.
    pub(crate) fn to_bundle(&self) -> Result<Value, Refusal> {
        let (kind, version) = &self.kind;
        if !matches!(
            (kind.as_str(), version.as_str()),
            ("hashedrekord" | "dsse", "0.0.1") | ("intoto", "0.0.2")
        ) {
            let why = format!("log entries of kind {kind} {version} are not understood");
            return refuse(RefusalKind::Unsupported, why);
        }
        Ok(json!({
            "logIndex": self.log_index.to_string(),
            "logId": {"keyId": STANDARD.encode(&self.log_id)},
            "kindVersion": {"kind": kind, "version": version},
            "integratedTime": self.integrated_time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(&self.signed_entry_timestamp)},
            "canonicalizedBody": STANDARD.encode(&self.body),
        }))
    }
}

fn decode(base64: &str) -> Result<Vec<u8>, Refusal> {
    let wrong = |error| format!("annotation {LOG_ENTRY} is no base64: {error}");
    STANDARD.decode(base64.trim()).or_else(|error| refuse(RefusalKind::Malformed, wrong(error)))
}
