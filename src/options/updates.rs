//! The options of updates and of Helm releases.

use super::{BASE, COLLECT, On, Opt};

const HELM: &str = "Helm releases";
const UPDATES: &str = "Updates";

/// Whether updates are looked for.
pub const CHECK_UPDATES: Opt = Opt {
    flag: "check-updates",
    env: "PROVENANCE_CHECK_UPDATES",
    value: "BOOL",
    default: "true",
    help: "Look for newer tags of images",
    group: UPDATES,
    ..BASE
};
/// The smallest change that counts.
pub const UPDATE_LEVEL: Opt = Opt {
    flag: "update-level",
    env: "PROVENANCE_UPDATE_LEVEL",
    value: "LEVEL",
    default: "patch",
    help: "The smallest change of a version that counts as an update: patch, minor or major",
    choices: &["patch", "minor", "major"],
    group: UPDATES,
    ..BASE
};
/// Whether pre-releases are left out.
pub const SKIP_PRERELEASE: Opt = Opt {
    flag: "skip-prerelease",
    env: "PROVENANCE_SKIP_PRERELEASE",
    value: "BOOL",
    default: "true",
    help: "Leave pre-releases out; what runs a pre-release is still told the later ones of the same version",
    group: UPDATES,
    ..BASE
};
/// Whether the newest tag is examined too.
pub const CHECK_UPGRADES: Opt = Opt {
    flag: "check-upgrades",
    env: "PROVENANCE_CHECK_UPGRADES",
    value: "BOOL",
    default: "false",
    help: "Examine the newest tag too, and say what an upgrade would lose: platform, signature, signer, provenance, SBOM",
    group: UPDATES,
    ..BASE
};
/// Whether configurations are read for their date.
pub const IMAGE_AGE: Opt = Opt {
    flag: "image-age",
    env: "PROVENANCE_IMAGE_AGE",
    value: "BOOL",
    default: "false",
    help: "Read from an image's configuration when it was made, where nothing else tells: one or two requests an image; \
           never on Docker Hub, where that costs a pull",
    group: UPDATES,
    ..BASE
};
/// The configuration file.
pub const CONFIG: Opt = Opt {
    flag: "config",
    env: "PROVENANCE_CONFIG",
    value: "FILE",
    help: "Configuration file (YAML): rules of updates for some images, repositories of charts, how some registries are asked",
    on: &[On::Collect, On::Scan],
    group: UPDATES,
    ..BASE
};
/// Whether Helm releases are looked for.
pub const HELM_ENABLED: Opt = Opt {
    flag: "helm-enabled",
    env: "PROVENANCE_HELM_ENABLED",
    value: "BOOL",
    default: "true",
    help: "Look for Helm releases, in Secrets and ConfigMaps, and for those that Flux and Argo CD manage",
    on: COLLECT,
    group: HELM,
    ..BASE
};
/// Where indexes of chart repositories are kept.
pub const CHART_CACHE: Opt = Opt {
    flag: "chart-cache",
    env: "PROVENANCE_CHART_CACHE",
    value: "FOLDER",
    help: "Folder in which indexes of chart repositories are kept, so that the next run fetches only those that changed",
    on: COLLECT,
    group: HELM,
    ..BASE
};
