//! The options of trust: what is checked, and with what.

use super::{BASE, On, Opt, TUNING};

const TRUST: &str = "Signatures, provenance, SBOMs";
const NAMED: &[On] = &[On::Collect, On::Scan];

/// Whether signatures are asked for.
pub const VERIFY_SIGNATURES: Opt = Opt {
    flag: "verify-signatures",
    env: "PROVENANCE_VERIFY_SIGNATURES",
    value: "BOOL",
    default: "true",
    help: "Look for signatures, and verify them",
    group: TRUST,
    ..BASE
};
/// Whether provenance is asked for.
pub const CHECK_PROVENANCE: Opt = Opt {
    flag: "check-provenance",
    env: "PROVENANCE_CHECK_PROVENANCE",
    value: "BOOL",
    default: "true",
    help: "Look for provenance and other attestations, and verify them",
    group: TRUST,
    ..BASE
};
/// Whether SBOMs are asked for.
pub const CHECK_SBOM: Opt = Opt {
    flag: "check-sbom",
    env: "PROVENANCE_CHECK_SBOM",
    value: "BOOL",
    default: "true",
    help: "Look for SBOMs",
    group: TRUST,
    ..BASE
};
/// Whether SBOMs of any size are read.
pub const SBOM_DOCUMENTS: Opt = Opt {
    flag: "sbom-documents",
    env: "PROVENANCE_SBOM_DOCUMENTS",
    value: "BOOL",
    default: "false",
    help: "Read SBOMs of up to 64 MiB, to count packages and licences; otherwise only those of up to 64 KiB",
    group: TRUST,
    ..BASE
};
/// The keys.
pub const COSIGN_PUBLIC_KEY: Opt = Opt {
    flag: "cosign-public-key",
    env: "PROVENANCE_COSIGN_PUBLIC_KEY",
    value: "KEYS",
    help: "Public keys that sign images, separated by commas: files, PEM text, k8s://NAMESPACE/SECRET, awskms://, \
           gcpkms://, azurekms:// or hashivault://; they verify what they signed, of images that no policy names",
    on: NAMED,
    group: TRUST,
    ..BASE
};
/// The policies.
pub const TRUST_POLICIES: Opt = Opt {
    flag: "trust-policies",
    env: "PROVENANCE_TRUST_POLICIES",
    value: "FILES",
    help: "Files or folders with ClusterImagePolicy and TrustRoot documents (policy.sigstore.dev), separated by commas",
    on: NAMED,
    group: TRUST,
    ..BASE
};
/// Whether the cluster's own policies are read.
pub const CLUSTER_POLICIES: Opt = Opt {
    flag: "cluster-policies",
    env: "PROVENANCE_CLUSTER_POLICIES",
    value: "BOOL",
    default: "true",
    help: "Read the cluster's own ClusterImagePolicies and TrustRoots too, where there are any and it is allowed",
    on: &[On::Collect],
    group: TRUST,
    ..BASE
};
/// The trusted roots.
pub const TRUSTED_ROOT: Opt = Opt {
    flag: "trusted-root",
    env: "PROVENANCE_TRUSTED_ROOT",
    value: "ROOTS",
    default: "embedded",
    help: "Trusted roots of keyless signatures, separated by commas: files (trusted_root.json), embedded (sigstore's \
           public instance and GitHub's), or tuf (the public instance's, fetched anew)",
    on: NAMED,
    group: TRUST,
    ..BASE
};
/// Where the trusted root is fetched from.
pub const TUF_MIRROR: Opt = Opt {
    flag: "tuf-mirror",
    env: "PROVENANCE_TUF_MIRROR",
    value: "URL",
    help: "TUF repository that --trusted-root=tuf fetches from, instead of the public instance's; needs --tuf-root",
    on: NAMED,
    group: TRUST,
    ..BASE
};
/// What is believed of that repository to begin with.
pub const TUF_ROOT: Opt = Opt {
    flag: "tuf-root",
    env: "PROVENANCE_TUF_ROOT",
    value: "FILE",
    help: "The root.json that --tuf-mirror is believed by",
    on: NAMED,
    group: TRUST,
    ..BASE
};
/// The trust store of Notation.
pub const NOTATION_TRUST_STORE: Opt = Opt {
    flag: "notation-trust-store",
    env: "PROVENANCE_NOTATION_TRUST_STORE",
    value: "FILES",
    help: "Certificates of authorities whose Notation signatures are trusted: files or folders, separated by commas",
    on: NAMED,
    group: TRUST,
    ..BASE
};

macro_rules! knobs {
    ($stage:literal, $upper:literal, $workers:ident, $queue:ident, $timeout:ident) => {
        knobs!($stage, $upper, $workers, $queue, $timeout, "Images", "image", "256");
    };
    (
        $stage:literal, $upper:literal, $workers:ident, $queue:ident, $timeout:ident,
        $items:literal, $item:literal, $number:literal
    ) => {
        #[doc = concat!($items, " in the ", $stage, " stage at once.")]
        pub const $workers: Opt = Opt {
            flag: concat!($stage, "-workers"),
            env: concat!("PROVENANCE_", $upper, "_WORKERS"),
            value: "NUMBER",
            default: $number,
            help: concat!($items, " in the ", $stage, " stage at once"),
            group: TUNING,
            ..BASE
        };
        #[doc = concat!($items, " that wait before the ", $stage, " stage.")]
        pub const $queue: Opt = Opt {
            flag: concat!($stage, "-queue"),
            env: concat!("PROVENANCE_", $upper, "_QUEUE"),
            value: "NUMBER",
            default: "64",
            help: concat!($items, " that may wait in front of the ", $stage, " stage"),
            group: TUNING,
            ..BASE
        };
        #[doc = concat!("The longest one ", $item, " may take in the ", $stage, " stage.")]
        pub const $timeout: Opt = Opt {
            flag: concat!($stage, "-timeout"),
            env: concat!("PROVENANCE_", $upper, "_TIMEOUT"),
            value: "DURATION",
            default: "5m",
            help: concat!("The longest one ", $item, " may take in the ", $stage, " stage, waiting included"),
            group: TUNING,
            ..BASE
        };
    };
}

knobs!("digest", "DIGEST", DIGEST_WORKERS, DIGEST_QUEUE, DIGEST_TIMEOUT);
knobs!("signature", "SIGNATURE", SIGNATURE_WORKERS, SIGNATURE_QUEUE, SIGNATURE_TIMEOUT);
knobs!("provenance", "PROVENANCE", PROVENANCE_WORKERS, PROVENANCE_QUEUE, PROVENANCE_TIMEOUT);
knobs!("sbom", "SBOM", SBOM_WORKERS, SBOM_QUEUE, SBOM_TIMEOUT);
knobs!("update", "UPDATE", UPDATE_WORKERS, UPDATE_QUEUE, UPDATE_TIMEOUT);
knobs!(
    "release",
    "RELEASE",
    RELEASE_WORKERS,
    RELEASE_QUEUE,
    RELEASE_TIMEOUT,
    "Helm releases",
    "release",
    "8"
);
knobs!("chart", "CHART", CHART_WORKERS, CHART_QUEUE, CHART_TIMEOUT, "Helm releases", "release", "16");
