//! The options of how registries are asked, and of what is kept of their answers.

use super::{BASE, EVERY, Opt, REGISTRIES};

const CACHE_GROUP: &str = "Cache";

/// The time limit of one registry request.
pub const REGISTRY_TIMEOUT: Opt = Opt {
    flag: "registry-timeout",
    env: "PROVENANCE_REGISTRY_TIMEOUT",
    value: "DURATION",
    default: "30s",
    help: "The longest one request to a registry may take",
    group: REGISTRIES,
    ..BASE
};
/// Requests to one registry at once.
pub const REGISTRY_CONCURRENCY: Opt = Opt {
    flag: "registry-concurrency",
    env: "PROVENANCE_REGISTRY_CONCURRENCY",
    value: "NUMBER",
    default: "auto",
    help: "Requests to one registry host at once, at the most; fewer while it throttles or answers late. auto is 16, and less for \
           registries that are known to mind (--config can set it for each)",
    group: REGISTRIES,
    ..BASE
};
/// Requests to one registry in a second.
pub const REGISTRY_RATE: Opt = Opt {
    flag: "registry-rate",
    env: "PROVENANCE_REGISTRY_RATE",
    value: "NUMBER",
    default: "auto",
    help: "Requests to one registry host in a second; 0 for no limit. auto is 200, and less for registries that are known to mind",
    group: REGISTRIES,
    ..BASE
};
/// Requests to one registry in a run.
pub const REGISTRY_BUDGET: Opt = Opt {
    flag: "registry-budget",
    env: "PROVENANCE_REGISTRY_BUDGET",
    value: "NUMBER",
    default: "0",
    help: "Requests to one registry host in one run; 0 for no limit. What does not fit is left to the next run, and what was examined \
           longest ago comes first; needs --cache",
    group: REGISTRIES,
    ..BASE
};
/// How long a registry may keep us waiting.
pub const REGISTRY_PATIENCE: Opt = Opt {
    flag: "registry-patience",
    env: "PROVENANCE_REGISTRY_PATIENCE",
    value: "DURATION",
    default: "2m",
    help: "The longest a registry that throttles may keep us waiting before its images fail",
    group: REGISTRIES,
    ..BASE
};
/// Where answers are kept.
pub const CACHE: Opt = Opt {
    flag: "cache",
    env: "PROVENANCE_CACHE",
    value: "FOLDER",
    help: "Folder in which registries' answers are kept for the next run, as an OCI image layout; runs may share it. Nothing is kept \
           where this is empty",
    on: EVERY,
    group: CACHE_GROUP,
    ..BASE
};
/// Bytes of the cache.
pub const CACHE_MAX_BYTES: Opt = Opt {
    flag: "cache-max-bytes",
    env: "PROVENANCE_CACHE_MAX_BYTES",
    value: "NUMBER",
    default: "1073741824",
    help: "Bytes that are kept at the most; what was not used for longest goes first",
    on: EVERY,
    group: CACHE_GROUP,
    ..BASE
};
/// How old a list may be.
pub const CACHE_MAX_AGE: Opt = Opt {
    flag: "cache-max-age",
    env: "PROVENANCE_CACHE_MAX_AGE",
    value: "DURATION",
    default: "1h",
    help: "How old an answer may be that says what is attached to an image, or which tags a repository has; 0 asks in every run. What \
           a tag names is asked in every run anyway",
    on: EVERY,
    group: CACHE_GROUP,
    ..BASE
};
