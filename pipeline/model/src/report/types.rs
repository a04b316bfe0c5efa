//! The report document. Field names are JSON's, in camel case; optional fields are left out when empty.

use jiff::Timestamp;
use provenance_engine::FailureKind;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::discovery::DiscoveryProblem;
use super::helm::{HelmRelease, ReleaseLink};
use super::parts::{StageRecord, WorkloadRecord};
use super::rule::Rule;
use crate::digest_finding::DriftState;
use crate::findings::PolicyRecord;
use crate::sighting::ContainerKind;
use crate::trust::{AttestationRecord, Build, Checked, Refusal, SbomRecord, SignatureRecord};
pub use crate::update::Update;

/// A provenance report: what runs on a cluster, and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// When, where and by what the report was made.
    pub metadata: Metadata,
    /// One record for every namespace, workload, image and running digest.
    #[serde(deserialize_with = "null_is_empty")]
    pub images: Vec<ImageRecord>,
    /// One record for every Helm release.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub helm_releases: Vec<HelmRelease>,
    /// Counts over the records.
    pub summary: Summary,
    /// How the run went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// What was left out of this copy of the report, because its place could not hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncated>,
}

/// What was left out of a copy of a report. The summary counts everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Truncated {
    /// Why, in one sentence.
    pub reason: String,
    /// How many rows of images are left out; those that are here are the worst.
    pub images_left_out: usize,
    /// How many releases are left out.
    pub helm_releases_left_out: usize,
    /// Whether the evidence (the places asked) is left out.
    pub evidence_left_out: bool,
}

/// When, where and by what a report was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// When the report was made (RFC 3339, UTC).
    pub generated_at: Timestamp,
    /// The version of the collector.
    pub collector_version: String,
    /// The cluster's name, as configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// The namespaces that were looked into.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub namespaces_scanned: Vec<String>,
}

/// One row: an image that a workload of a namespace runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// The image as the pod names it.
    pub image: String,
    /// The digest of what runs; where nothing runs, of what the tag names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The namespace. Empty for an image that was named by hand.
    pub namespace: String,
    /// The top-level workload.
    pub workload: WorkloadRecord,
    /// Signature facts, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// SBOM facts, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Sbom>,
    /// Provenance facts, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Every attestation but SBOMs: provenance, VEX, scans, test results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestations: Option<Vec<AttestationRecord>>,
    /// Update facts, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<Update>,
    /// The image name, taken apart. Absent where it is no valid image name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<ReferenceRecord>,
    /// The containers of the workload that run this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<ContainerRecord>>,
    /// How many pods run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<usize>,
    /// The controllers from the pod up to the workload, the workload last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owners: Option<Vec<WorkloadRecord>>,
    /// What runs against what the tag names. Absent where that could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// The platform of what runs, such as `linux/amd64`, where the registry's answers tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The platforms the image is made for, where it is an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platforms: Option<Vec<String>>,
    /// The media type of the manifest or index that `digest` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The Helm release that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm_release: Option<ReleaseLink>,
    /// The rules that it breaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<Rule>>,
    /// How each stage fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<Box<Stages>>,
}

/// Signature facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signature {
    /// Whether a signature is attached.
    pub signed: bool,
    /// Whether it was verified: by the policies for the image, or by the keys that were given.
    pub verified: bool,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The verdict in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<SignatureVerdict>,
    /// Why it is not verified, by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
    /// Every signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signatures: Option<Vec<SignatureRecord>>,
    /// Every policy for the image, and what it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<PolicyRecord>>,
}

/// The verdict on an image's signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SignatureVerdict {
    /// Every place answered, and no signature is attached.
    Unsigned,
    /// Signed, and there is nothing to check it with.
    NotChecked,
    /// Signed by the identity that is named; no policy says whether that is wanted.
    Valid,
    /// Signed as every policy for the image wants it.
    Verified,
    /// Signed, and refused.
    Invalid,
    /// Signed; but a place did not answer, so that the verdict is open.
    Failed,
}

impl SignatureVerdict {
    /// The verdict's word, as reports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::NotChecked => "notChecked",
            Self::Valid => "valid",
            Self::Verified => "verified",
            Self::Invalid => "invalid",
            Self::Failed => "failed",
        }
    }
}

/// SBOM facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sbom {
    /// Whether an SBOM is attached.
    #[serde(rename = "hasSBOM")]
    pub has_sbom: bool,
    /// `spdx`, `cyclonedx` or `syft`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Every SBOM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<Vec<SbomRecord>>,
}

/// Provenance facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// Whether a provenance attestation is attached.
    pub has_provenance: bool,
    /// Its predicate type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// What checking its signature said; of several provenances the best.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Box<Checked>>,
    /// How the image was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<Box<Build>>,
}

/// An image name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceRecord {
    /// The registry; Docker Hub is `docker.io`.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The digest the image is pinned to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// One container of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerRecord {
    /// The container's name.
    pub name: String,
    /// The list it stands in.
    #[serde(rename = "type")]
    pub kind: ContainerKind,
}

/// What runs against what the tag names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The comparison.
    pub state: DriftState,
    /// What the tag names today. Absent where the registry has no such tag, or none was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_digest: Option<String>,
    /// The digest the runtime says it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_digest: Option<String>,
    /// The image id the runtime gives where it knows no registry digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_image_id: Option<String>,
}

/// How each stage fared on a row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stages {
    /// The digest stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<StageRecord>,
    /// The signature stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<StageRecord>,
    /// The provenance stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<StageRecord>,
    /// The SBOM stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sbom: Option<StageRecord>,
    /// The update stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<StageRecord>,
}

/// Counts over a report. Every count of images counts rows, but `uniqueImages` counts image names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Rows.
    pub total_images: usize,
    /// Different image names.
    pub unique_images: usize,
    /// Rows with a signature.
    pub signed_images: usize,
    /// Rows with a verified signature.
    pub verified_images: usize,
    /// Rows with an SBOM.
    #[serde(rename = "imagesWithSBOM")]
    pub images_with_sbom: usize,
    /// Rows with provenance.
    pub images_with_provenance: usize,
    /// Rows with an update.
    pub images_with_updates: usize,
    /// Helm releases.
    pub total_helm_releases: usize,
    /// Helm releases with an update.
    pub helm_releases_with_updates: usize,
    /// Rows whose tag names something else than what runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drifted_images: Option<usize>,
    /// Rows whose running digest is no longer in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest_gone_images: Option<usize>,
    /// Rows whose tag is no longer in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag_gone_images: Option<usize>,
    /// Rows without a signature, every place having answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsigned_images: Option<usize>,
    /// Rows whose signature is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_images: Option<usize>,
    /// Rows with at least one stage that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_images: Option<usize>,
    /// Rows with at least one stage that the run did not reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_reached_images: Option<usize>,
    /// Rows with at least one stage that was left to the next run, since a registry's budget was used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deferred_images: Option<usize>,
    /// Helm releases that are neither deployed nor uninstalled on purpose: failed, or hanging in a pending action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unhealthy_helm_releases: Option<usize>,
    /// Helm releases with at least one stage that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_helm_releases: Option<usize>,
    /// Failures by stage and kind, in rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<Vec<FailureCount>>,
    /// How many rows and releases break each rule that is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<RuleCount>>,
}

/// How many rows and releases break one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleCount {
    /// The rule.
    pub rule: Rule,
    /// Rows.
    pub images: usize,
    /// Helm releases.
    pub helm_releases: usize,
}

/// How many rows failed in one stage for one kind of reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureCount {
    /// The stage.
    pub stage: String,
    /// The kind of reason.
    pub kind: FailureKind,
    /// Rows.
    pub images: usize,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// When it began (RFC 3339, UTC).
    pub started_at: Timestamp,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
    /// Whether something is missing: rows that could not be discovered, or stages that were not reached.
    pub partial: bool,
    /// Why it is partial, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partial_reasons: Vec<String>,
    /// Containers seen.
    pub sightings: usize,
    /// Subjects examined: different references, running digests and credential scopes.
    pub subjects: usize,
    /// Requests by registry host, sorted.
    pub registries: Vec<RegistryUse>,
    /// How long each stage took over its items.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageUse>,
    /// The most memory that the collector took, in bytes, where the system says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
    /// How much use the cache was, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheUse>,
    /// Namespaces whose rows are missing because the account may not read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forbidden_namespaces: Vec<String>,
    /// What discovery could not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<DiscoveryProblem>,
    /// What was not read on purpose, and what is missing for it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turned_off: Vec<String>,
    /// The rules that the run was told to fail on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fail_on: Vec<Rule>,
    /// How many rows and releases break one of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<usize>,
    /// Which part of a run this is, where several processes share it. The dashboard joins the parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// A part of a run that several processes share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// The run, the same for all its parts.
    pub run: String,
    /// The part, from 0.
    pub index: u32,
    /// How many parts the run has.
    pub count: u32,
}

/// What was asked of one registry host during a run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryUse {
    /// The host, with its port if one was named.
    pub host: String,
    /// Requests sent, retries and token requests included.
    pub requests: u64,
    /// Of these, retries.
    pub retries: u64,
    /// Answers that asked us to slow down.
    pub throttled: u64,
    /// Requests that got no answer, or one of the server's own failures.
    pub failed: u64,
    /// Bytes of answers read.
    pub bytes: u64,
    /// Requests that the run had for it at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
    /// Requests that were left to the next run, since the budget was used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deferred: Option<u64>,
}

/// What one stage took, over all its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageUse {
    /// The stage.
    pub stage: String,
    /// Items that were examined.
    pub items: usize,
    /// Of these, how many failed.
    pub failed: usize,
    /// How long items waited for the stage, added up.
    pub wait_seconds: f64,
    /// How long the stage worked on them, added up; many at once.
    pub work_seconds: f64,
    /// How long they could not go on to the next stage, added up.
    pub blocked_seconds: f64,
}

/// How much use the cache of earlier runs' answers was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheUse {
    /// Answers that were used instead of asking.
    pub hits: u64,
    /// Answers that were not there, or too old.
    pub misses: u64,
    /// Bytes of the content that was used.
    pub bytes: u64,
    /// Files that were damaged, and asked for again.
    pub damaged: u64,
    /// Files that could not be written.
    pub unwritten: u64,
}

/// The older collector writes an empty list as `null`.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Option::<Vec<T>>::deserialize(deserializer).map(Option::unwrap_or_default)
}
