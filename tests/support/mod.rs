//! What several tests set up alike.

use std::time::Duration;

use provenance_collector::config::{Checks, Tuning, UpdateSettings};
use provenance_engine::{Knobs, LaneLimit};
use provenance_stages::{Documents, UpdateRules};

/// Nothing but digests.
#[allow(dead_code, reason = "each test uses its own part")]
pub(crate) const DIGESTS_ONLY: Checks = Checks { signatures: false, provenance: false, sboms: None };
/// All that is attached.
#[allow(dead_code, reason = "each test uses its own part")]
pub(crate) const ATTACHED: Checks =
    Checks { signatures: true, provenance: true, sboms: Some(Documents::Small) };

/// The pipeline's defaults with these checks.
pub(crate) fn tuning(checks: Checks) -> Tuning {
    Tuning {
        lane: LaneLimit(16),
        discovery_queue: 256,
        digest: Knobs::default(),
        signature: Knobs::default(),
        provenance: Knobs::default(),
        sbom: Knobs::default(),
        update: Knobs::default(),
        release: Knobs::default(),
        chart: Knobs::default(),
        checks,
        deadline: None,
        stop_grace: Duration::from_millis(200),
    }
}

/// Updates by the defaults.
#[allow(dead_code, reason = "each test uses its own part")]
pub(crate) fn updates() -> UpdateSettings {
    let rules = UpdateRules { skip_pre_releases: true, ..UpdateRules::default() };
    UpdateSettings { rules: Some(rules), upgrades: false, age: false }
}
