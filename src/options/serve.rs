//! The options of `serve`.

use super::{BASE, On, Opt};

const SERVING: &str = "Serving";
pub(super) const SERVE: &[On] = &[On::Serve];

/// The public listener.
pub const DASHBOARD_ADDR: Opt = Opt {
    flag: "dashboard-addr",
    env: "PROVENANCE_DASHBOARD_ADDR",
    value: "ADDRESS",
    default: ":8080",
    help: "Where the dashboard and its API are served",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// The internal listener.
pub const DASHBOARD_INTERNAL_ADDR: Opt = Opt {
    flag: "dashboard-internal-addr",
    env: "PROVENANCE_DASHBOARD_INTERNAL_ADDR",
    value: "ADDRESS",
    default: ":8081",
    help: "Where reports are taken in; never route it outside the cluster",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// The size of a report.
pub const UPLOAD_MAX_BYTES: Opt = Opt {
    flag: "upload-max-bytes",
    env: "PROVENANCE_UPLOAD_MAX_BYTES",
    value: "NUMBER",
    default: "16777216",
    help: "Bytes of a report that is taken in at the most, packed or not",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// The token that is wanted.
pub const UPLOAD_TOKEN_FILE: Opt = Opt {
    flag: "upload-token-file",
    env: "PROVENANCE_UPLOAD_TOKEN_FILE",
    value: "FILE",
    help: "File with the bearer token that an upload must show; without one everybody may upload who reaches the listener",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Whether the timeline shows differences.
pub const TIMELINE_DELTAS: Opt = Opt {
    flag: "feature-timeline-deltas",
    env: "PROVENANCE_FEATURE_TIMELINE_DELTAS",
    value: "BOOL",
    default: "false",
    help: "Tell dashboards to show differences in the timeline",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Which `CronJob` scans are started from.
pub const CRONJOB_NAME: Opt = Opt {
    flag: "cronjob-name",
    env: "PROVENANCE_CRONJOB_NAME",
    value: "NAME",
    help: "CronJob whose Job a scan by hand is; without one nobody can start a scan",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Where that `CronJob` is.
pub const CRONJOB_NAMESPACE: Opt = Opt {
    flag: "namespace",
    env: "PROVENANCE_NAMESPACE",
    value: "NAME",
    help: "Namespace of that CronJob; the pod's own where empty",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// When a finished Job goes away.
pub const MANUAL_JOB_TTL: Opt = Opt {
    flag: "manual-job-ttl",
    env: "PROVENANCE_MANUAL_JOB_TTL",
    value: "DURATION",
    default: "1h",
    help: "How long a finished Job of a scan by hand is kept; 0 leaves that to the CronJob's template",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Accounts that may upload.
pub const UPLOAD_ACCOUNTS: Opt = Opt {
    flag: "upload-accounts",
    env: "PROVENANCE_UPLOAD_ACCOUNTS",
    value: "NAMES",
    help: "ServiceAccounts (namespace/name, separated by commas) of which an upload must show a token, checked by TokenReview",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// The audience of their tokens.
pub const UPLOAD_AUDIENCE: Opt = Opt {
    flag: "upload-audience",
    env: "PROVENANCE_UPLOAD_AUDIENCE",
    value: "NAME",
    help: "Audience that those tokens must be for; the API server's own where empty",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Where browsers find the dashboard.
pub const EXTERNAL_URL: Opt = Opt {
    flag: "external-url",
    env: "PROVENANCE_EXTERNAL_URL",
    value: "URL",
    help: "URL under which browsers reach the dashboard, with the path's prefix; taken from the request where empty",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Further hosts.
pub const ALLOWED_HOSTS: Opt = Opt {
    flag: "allowed-hosts",
    env: "PROVENANCE_ALLOWED_HOSTS",
    value: "NAMES",
    help: "Further host names that are served, separated by commas",
    on: SERVE,
    group: SERVING,
    ..BASE
};
/// Metrics for everybody.
pub const OPEN_METRICS: Opt = Opt {
    flag: "open-metrics",
    env: "PROVENANCE_OPEN_METRICS",
    value: "BOOL",
    default: "false",
    help: "Serve /metrics to those too who did not sign in",
    on: SERVE,
    group: SERVING,
    ..BASE
};
