//! The options of `serve`.

use super::{BASE, On, Opt};

const SERVING: &str = "Serving";
const SERVE: &[On] = &[On::Serve];

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
