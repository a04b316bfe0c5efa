//! What rows of images and of releases have in common.

use provenance_engine::FailureKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::evidence::Asked;

/// A workload by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadRecord {
    /// The kind, such as `Deployment`.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// How one stage fared on a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageRecord {
    /// The outcome.
    pub outcome: OutcomeWord,
    /// Why, for a stage that failed or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The places asked, and their answers, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
}

impl StageRecord {
    /// Whether it was left to the next run.
    pub fn is_deferred(&self) -> bool {
        self.reason.as_ref().is_some_and(|reason| reason.kind == Some(FailureKind::Deferred))
    }
}

/// The five outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeWord {
    /// An answer that says something.
    Found,
    /// Every place answered, and nothing is there.
    Absent,
    /// It could not be found out.
    Failed,
    /// It was not asked, on purpose.
    Skipped,
    /// The run ended first.
    NotReached,
}

/// Why a stage failed or was skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The failure's kind; for a stage that was skipped absent, or `deferred` where the next run asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FailureKind>,
    /// One line that names the input.
    pub message: String,
}
