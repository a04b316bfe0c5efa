//! The options of a run that is checked by rules, and of one that several processes share.

use super::serve::SERVE;
use super::{BASE, COLLECT, EVERY, Opt};

const RULES: &str = "Rules";
const SHARDS: &str = "Shards";

/// The rules a run fails on.
pub const FAIL_ON: Opt = Opt {
    flag: "fail-on",
    env: "PROVENANCE_FAIL_ON",
    value: "RULES",
    help: "Rules of which none may be broken, separated by commas; where one is, the exit status is 4: failed, refused, unsigned, \
           unverified, gone, drift, outdated (or outdated:minor, outdated:major), no-provenance, no-sbom, unhealthy, deprecated",
    on: EVERY,
    group: RULES,
    ..BASE
};
/// How many processes share a run.
pub const SHARD_COUNT: Opt = Opt {
    flag: "shards",
    env: "PROVENANCE_SHARDS",
    value: "NUMBER",
    default: "1",
    help: "How many processes share the run, by registry and repository; each uploads its part, and the dashboard joins them",
    on: COLLECT,
    group: SHARDS,
    ..BASE
};
/// Which of them this is.
pub const SHARD_INDEX: Opt = Opt {
    flag: "shard",
    env: "PROVENANCE_SHARD",
    value: "NUMBER",
    help: "Which of them this is, from 0; where empty, what JOB_COMPLETION_INDEX says, as an Indexed Job sets it",
    on: COLLECT,
    group: SHARDS,
    ..BASE
};
/// Which run it is.
pub const RUN_ID: Opt = Opt {
    flag: "run-id",
    env: "PROVENANCE_RUN_ID",
    value: "NAME",
    help: "The run's name, the same for all its shards and for no other run, such as the Job's uid",
    on: COLLECT,
    group: SHARDS,
    ..BASE
};
/// How long missing parts are waited for.
pub const PARTS_WAIT: Opt = Opt {
    flag: "parts-wait",
    env: "PROVENANCE_PARTS_WAIT",
    value: "DURATION",
    default: "15m",
    help: "How long the dashboard waits, after a shard's part of a report came, for the others; then it joins what it has, and \
           marks the report partial",
    on: SERVE,
    group: SHARDS,
    ..BASE
};
