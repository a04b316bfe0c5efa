//! The one definition of every option: its flag, environment variable, default and help. The command line,
//! the configuration and docs/configuration.md are made of it.

mod asking;
mod brand;
mod serve;
mod sharing;
mod sign_in;
mod telemetry;
mod trust;
mod updates;

pub use asking::*;
pub use brand::*;
pub use serve::*;
pub use sharing::*;
pub use sign_in::*;
pub use telemetry::*;
pub use trust::*;
pub use updates::*;

/// A command of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// `collect`.
    Collect,
    /// `scan`.
    Scan,
    /// `demo`.
    Demo,
    /// `serve`.
    Serve,
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// What the value is called in help.
    pub value: &'static str,
    /// The default, as it would be written; empty for none.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// The values that are accepted, where they are few.
    pub choices: &'static [&'static str],
    /// The commands that take it.
    pub on: &'static [On],
    /// The heading under which help and docs show it.
    pub group: &'static str,
}

const EVERY: &[On] = &[On::Collect, On::Scan, On::Demo];
const ALL_COMMANDS: &[On] = &[On::Collect, On::Scan, On::Demo, On::Serve];
const COLLECT: &[On] = &[On::Collect];
const CLUSTERED: &[On] = &[On::Collect, On::Serve];
const STORES: &[On] = &[On::Collect, On::Serve];

const CLUSTER: &str = "Cluster";
const REPORT: &str = "Report";
const REGISTRIES: &str = "Registries";
const TUNING: &str = "Tuning";
const LOGS: &str = "Logs";

const BASE: Opt =
    Opt { flag: "", env: "", value: "", default: "", help: "", choices: &[], on: EVERY, group: "" };

/// Namespaces to read.
pub const NAMESPACES: Opt = Opt {
    flag: "namespaces",
    env: "PROVENANCE_NAMESPACES",
    value: "NAMES",
    help: "Namespaces to read, separated by commas; all where empty",
    on: COLLECT,
    group: CLUSTER,
    ..BASE
};
/// Namespaces to leave out.
pub const EXCLUDE_NAMESPACES: Opt = Opt {
    flag: "exclude-namespaces",
    env: "PROVENANCE_EXCLUDE_NAMESPACES",
    value: "NAMES",
    help: "Namespaces to leave out, separated by commas",
    on: COLLECT,
    group: CLUSTER,
    ..BASE
};
/// The kubeconfig file.
pub const KUBECONFIG: Opt = Opt {
    flag: "kubeconfig",
    env: "KUBECONFIG",
    value: "FILE",
    help: "Kubeconfig file; without one the pod's own account, else ~/.kube/config",
    on: CLUSTERED,
    group: CLUSTER,
    ..BASE
};
/// The cluster's name.
pub const CLUSTER_NAME: Opt = Opt {
    flag: "cluster-name",
    env: "PROVENANCE_CLUSTER_NAME",
    value: "NAME",
    help: "The cluster's name, as the report shows it",
    on: COLLECT,
    group: CLUSTER,
    ..BASE
};
/// Pods in one page.
pub const PAGE_SIZE: Opt = Opt {
    flag: "page-size",
    env: "PROVENANCE_PAGE_SIZE",
    value: "NUMBER",
    default: "500",
    help: "Objects in one page of a Kubernetes listing",
    on: COLLECT,
    group: TUNING,
    ..BASE
};
/// Where reports go.
pub const REPORT_OUTPUT: Opt = Opt {
    flag: "report-output",
    env: "PROVENANCE_REPORT_OUTPUT",
    value: "SINK",
    default: "pvc",
    help: "Where the report goes, separated by commas: pvc (a folder), configmap, http (upload to a dashboard), policyreport (a \
           PolicyReport in each namespace)",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// The `ConfigMap`'s name.
pub const REPORT_CONFIGMAP: Opt = Opt {
    flag: "report-configmap",
    env: "PROVENANCE_REPORT_CONFIGMAP",
    value: "NAME",
    default: "provenance-report",
    help: "The ConfigMap the report is written to",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// The `ConfigMap`'s namespace.
pub const REPORT_CONFIGMAP_NAMESPACE: Opt = Opt {
    flag: "report-configmap-namespace",
    env: "PROVENANCE_REPORT_CONFIGMAP_NAMESPACE",
    value: "NAME",
    default: "default",
    help: "The namespace of that ConfigMap",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// Where reports are uploaded to.
pub const REPORT_UPLOAD_URL: Opt = Opt {
    flag: "report-upload-url",
    env: "PROVENANCE_REPORT_UPLOAD_URL",
    value: "URL",
    help: "Where the report is uploaded to: a dashboard's /internal/reports",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// The time limit of one attempt.
pub const REPORT_UPLOAD_TIMEOUT: Opt = Opt {
    flag: "report-upload-timeout",
    env: "PROVENANCE_REPORT_UPLOAD_TIMEOUT",
    value: "DURATION",
    default: "30s",
    help: "The longest one attempt at an upload may take",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// The bearer token.
pub const REPORT_UPLOAD_TOKEN_FILE: Opt = Opt {
    flag: "report-upload-token-file",
    env: "PROVENANCE_REPORT_UPLOAD_TOKEN_FILE",
    value: "FILE",
    help: "File with a bearer token for the upload, read at each attempt",
    on: COLLECT,
    group: REPORT,
    ..BASE
};
/// The form of `PolicyReport`s.
pub const POLICY_REPORT_API: Opt = Opt {
    flag: "policy-report-api",
    env: "PROVENANCE_POLICY_REPORT_API",
    value: "API",
    default: "wgpolicyk8s.io/v1alpha2",
    help: "The API in which policyreport writes: wgpolicyk8s.io/v1alpha2 (PolicyReport) or openreports.io/v1alpha1 (Report)",
    choices: &["wgpolicyk8s.io/v1alpha2", "openreports.io/v1alpha1"],
    on: COLLECT,
    group: REPORT,
};
/// The folder of reports.
pub const REPORT_PATH: Opt = Opt {
    flag: "report-path",
    env: "PROVENANCE_REPORT_PATH",
    value: "FOLDER",
    default: "/reports",
    help: "The folder of reports",
    on: STORES,
    group: REPORT,
    ..BASE
};
/// How long reports are kept.
pub const REPORT_RETENTION: Opt = Opt {
    flag: "report-retention",
    env: "PROVENANCE_REPORT_RETENTION",
    value: "DURATION",
    default: "168h",
    help: "How long reports are kept; -1 for ever",
    on: STORES,
    group: REPORT,
    ..BASE
};
/// The collector's own credentials.
pub const REGISTRY_AUTH: Opt = Opt {
    flag: "registry-auth",
    env: "PROVENANCE_REGISTRY_AUTH",
    value: "FILE",
    help: "Docker config.json with credentials for registries, or the folder it is in; \
           without one that of docker login (DOCKER_CONFIG, ~/.docker), if there is one",
    on: &[On::Collect, On::Scan],
    group: REGISTRIES,
    ..BASE
};
/// Whether pull secrets are read.
pub const PULL_SECRETS: Opt = Opt {
    flag: "pull-secrets",
    env: "PROVENANCE_PULL_SECRETS",
    value: "BOOL",
    default: "true",
    help: "Read the pull secrets that pods and their service accounts name, and ask for their images with them",
    on: COLLECT,
    group: REGISTRIES,
    ..BASE
};
/// Registries over plain HTTP.
pub const INSECURE_REGISTRIES: Opt = Opt {
    flag: "insecure-registries",
    env: "PROVENANCE_INSECURE_REGISTRIES",
    value: "HOSTS",
    help: "Registry hosts to ask over plain HTTP, separated by commas; loopback always is",
    group: REGISTRIES,
    ..BASE
};
/// Mirrors asked first.
pub const REGISTRY_MIRRORS: Opt = Opt {
    flag: "registry-mirrors",
    env: "PROVENANCE_REGISTRY_MIRRORS",
    value: "PREFIX=MIRROR",
    help: "Mirrors to ask first, separated by commas, as in docker.io=mirror.lan/hub; \
           what a mirror lacks is asked of the registry itself",
    group: REGISTRIES,
    ..BASE
};
/// Mirrors asked instead.
pub const REGISTRY_MIRRORS_ONLY: Opt = Opt {
    flag: "registry-mirrors-only",
    env: "PROVENANCE_REGISTRY_MIRRORS_ONLY",
    value: "PREFIX=MIRROR",
    help: "Mirrors to ask instead of the registry itself, separated by commas",
    group: REGISTRIES,
    ..BASE
};
/// Further authorities.
pub const REGISTRY_CA: Opt = Opt {
    flag: "registry-ca",
    env: "PROVENANCE_REGISTRY_CA",
    value: "FILE",
    help: "PEM bundle of certificate authorities to trust for registries, beside the system's",
    group: REGISTRIES,
    ..BASE
};
/// A client certificate.
pub const REGISTRY_CLIENT_CERT: Opt = Opt {
    flag: "registry-client-cert",
    env: "PROVENANCE_REGISTRY_CLIENT_CERT",
    value: "FILE",
    help: "PEM file with a client certificate and its private key, for the hosts of --registry-client-cert-hosts",
    group: REGISTRIES,
    ..BASE
};
/// For whom the client certificate is.
pub const REGISTRY_CLIENT_CERT_HOSTS: Opt = Opt {
    flag: "registry-client-cert-hosts",
    env: "PROVENANCE_REGISTRY_CLIENT_CERT_HOSTS",
    value: "HOSTS",
    help: "Registry hosts that are shown the client certificate, separated by commas; no others are",
    group: REGISTRIES,
    ..BASE
};
/// Images of one registry in the pipeline at once.
pub const REGISTRY_LANE: Opt = Opt {
    flag: "registry-lane",
    env: "PROVENANCE_REGISTRY_LANE",
    value: "NUMBER",
    default: "16",
    help: "Images of one registry in the pipeline at once, so that a slow one leaves room for others",
    group: TUNING,
    ..BASE
};
/// Containers that wait between discovery and the pipeline.
pub const DISCOVERY_QUEUE: Opt = Opt {
    flag: "discovery-queue",
    env: "PROVENANCE_DISCOVERY_QUEUE",
    value: "NUMBER",
    default: "256",
    help: "Containers that may wait between discovery and the pipeline",
    group: TUNING,
    ..BASE
};
/// The longest a run may take.
pub const DEADLINE: Opt = Opt {
    flag: "deadline",
    env: "PROVENANCE_DEADLINE",
    value: "DURATION",
    default: "0",
    help: "The longest a run may take; past it the report is written as far as it came, marked partial; 0 for no limit",
    group: TUNING,
    ..BASE
};
/// The grace for requests under way.
pub const STOP_GRACE: Opt = Opt {
    flag: "stop-grace",
    env: "PROVENANCE_STOP_GRACE",
    value: "DURATION",
    default: "5s",
    help: "How long requests under way may go on after SIGTERM or the deadline",
    group: TUNING,
    ..BASE
};
/// What is logged.
pub const LOG: Opt = Opt {
    flag: "log",
    env: "PROVENANCE_LOG",
    value: "LEVEL",
    default: "info",
    help: "What is logged: error, warn, info, debug, trace, or directives such as warn,provenance_stages=debug",
    on: ALL_COMMANDS,
    group: LOGS,
    ..BASE
};
/// How it is logged.
pub const LOG_FORMAT: Opt = Opt {
    flag: "log-format",
    env: "PROVENANCE_LOG_FORMAT",
    value: "FORMAT",
    default: "auto",
    help: "How it is logged: auto is json inside a cluster and text elsewhere",
    choices: &["auto", "json", "text"],
    on: ALL_COMMANDS,
    group: LOGS,
};

/// Every option, in the order of help and docs.
pub const ALL: &[Opt] = &[
    NAMESPACES,
    EXCLUDE_NAMESPACES,
    KUBECONFIG,
    CLUSTER_NAME,
    REPORT_OUTPUT,
    REPORT_PATH,
    REPORT_RETENTION,
    REPORT_CONFIGMAP,
    REPORT_CONFIGMAP_NAMESPACE,
    REPORT_UPLOAD_URL,
    REPORT_UPLOAD_TIMEOUT,
    REPORT_UPLOAD_TOKEN_FILE,
    POLICY_REPORT_API,
    FAIL_ON,
    SHARD_COUNT,
    SHARD_INDEX,
    RUN_ID,
    PARTS_WAIT,
    DASHBOARD_ADDR,
    DASHBOARD_INTERNAL_ADDR,
    UPLOAD_MAX_BYTES,
    UPLOAD_TOKEN_FILE,
    TIMELINE_DELTAS,
    CRONJOB_NAME,
    CRONJOB_NAMESPACE,
    MANUAL_JOB_TTL,
    UPLOAD_ACCOUNTS,
    UPLOAD_AUDIENCE,
    EXTERNAL_URL,
    ALLOWED_HOSTS,
    OPEN_METRICS,
    OIDC_ISSUER,
    OIDC_CLIENT_ID,
    OIDC_CLIENT_SECRET_FILE,
    OIDC_SCOPES,
    OIDC_AUDIENCES,
    OIDC_GROUPS_CLAIM,
    OIDC_CA,
    READER_GROUPS,
    ADMIN_GROUPS,
    SESSION_KEY_FILE,
    SESSION_LIFETIME,
    DASHBOARD_TITLE,
    DASHBOARD_LOGO,
    DASHBOARD_LOGO_DARK,
    DASHBOARD_FAVICON,
    DASHBOARD_THEME_LIGHT,
    DASHBOARD_THEME_DARK,
    REGISTRY_AUTH,
    PULL_SECRETS,
    REGISTRY_TIMEOUT,
    REGISTRY_CONCURRENCY,
    REGISTRY_RATE,
    REGISTRY_BUDGET,
    REGISTRY_PATIENCE,
    INSECURE_REGISTRIES,
    REGISTRY_MIRRORS,
    REGISTRY_MIRRORS_ONLY,
    REGISTRY_CA,
    REGISTRY_CLIENT_CERT,
    REGISTRY_CLIENT_CERT_HOSTS,
    CACHE,
    CACHE_MAX_BYTES,
    CACHE_MAX_AGE,
    VERIFY_SIGNATURES,
    COSIGN_PUBLIC_KEY,
    TRUST_POLICIES,
    CLUSTER_POLICIES,
    TRUSTED_ROOT,
    TUF_MIRROR,
    TUF_ROOT,
    NOTATION_TRUST_STORE,
    CHECK_PROVENANCE,
    CHECK_SBOM,
    SBOM_DOCUMENTS,
    CHECK_UPDATES,
    UPDATE_LEVEL,
    SKIP_PRERELEASE,
    CHECK_UPGRADES,
    IMAGE_AGE,
    CONFIG,
    HELM_ENABLED,
    CHART_CACHE,
    DEADLINE,
    STOP_GRACE,
    REGISTRY_LANE,
    DISCOVERY_QUEUE,
    PAGE_SIZE,
    DIGEST_WORKERS,
    DIGEST_QUEUE,
    DIGEST_TIMEOUT,
    SIGNATURE_WORKERS,
    SIGNATURE_QUEUE,
    SIGNATURE_TIMEOUT,
    PROVENANCE_WORKERS,
    PROVENANCE_QUEUE,
    PROVENANCE_TIMEOUT,
    SBOM_WORKERS,
    SBOM_QUEUE,
    SBOM_TIMEOUT,
    UPDATE_WORKERS,
    UPDATE_QUEUE,
    UPDATE_TIMEOUT,
    RELEASE_WORKERS,
    RELEASE_QUEUE,
    RELEASE_TIMEOUT,
    CHART_WORKERS,
    CHART_QUEUE,
    CHART_TIMEOUT,
    LOG,
    LOG_FORMAT,
    OTLP_ENDPOINT,
    OTLP_PROTOCOL,
    TRACE_RATIO,
    METRICS_FILE,
    PUSHGATEWAY,
];

/// The options of one command.
pub fn of(command: On) -> impl Iterator<Item = &'static Opt> {
    ALL.iter().filter(move |option| option.on.contains(&command))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_option_is_named_once_and_explained() {
        let flags: BTreeSet<_> = ALL.iter().map(|option| option.flag).collect();
        let variables: BTreeSet<_> = ALL.iter().map(|option| option.env).collect();
        assert_eq!((flags.len(), variables.len()), (ALL.len(), ALL.len()));
        for option in ALL {
            assert!(
                !option.help.is_empty() && !option.group.is_empty() && !option.value.is_empty(),
                "{option:?}"
            );
            assert!(!option.help.ends_with('.'), "{option:?}");
        }
    }
}
