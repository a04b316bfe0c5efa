//! in-toto statements, [v0.1](https://github.com/in-toto/attestation/blob/main/spec/v0.1.0/statement.md) and
//! [v1](https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md).

use std::collections::BTreeMap;

use provenance_model::Digest;
use serde::Deserialize;
use serde_json::Value;

/// A statement about one or more subjects.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// The version of the statement's form, a URI.
    #[serde(rename = "_type")]
    pub form: String,
    /// What the predicate is, a URI.
    pub predicate_type: String,
    /// What it is about.
    #[serde(default)]
    pub subject: Vec<StatementSubject>,
    /// What it says.
    #[serde(default)]
    pub predicate: Value,
}

/// One subject of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StatementSubject {
    /// Digests in hex, by algorithm.
    #[serde(default)]
    pub digest: BTreeMap<String, String>,
}

impl Statement {
    /// Parses a statement.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no in-toto statement: {error}"))?;
        if !statement.form.starts_with("https://in-toto.io/Statement/v") {
            return Err(format!("{:?} is no version of the in-toto statement", statement.form));
        }
        Ok(statement)
    }

    /// Whether the statement is about this digest.
    pub fn is_about(&self, digest: &Digest) -> bool {
        self.subject
            .iter()
            .filter_map(|subject| subject.digest.get(digest.algorithm()))
            .any(|hex| hex.eq_ignore_ascii_case(digest.hex()))
    }
}
