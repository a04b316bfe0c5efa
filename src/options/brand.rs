//! The options of the dashboard's brand.

use super::serve::SERVE;
use super::{BASE, Opt};

const BRAND: &str = "Brand";

/// The title.
pub const DASHBOARD_TITLE: Opt = Opt {
    flag: "dashboard-title",
    env: "PROVENANCE_DASHBOARD_TITLE",
    value: "TEXT",
    default: "Provenance Collector",
    help: "Title of the dashboard",
    on: SERVE,
    group: BRAND,
    ..BASE
};
/// The logo.
pub const DASHBOARD_LOGO: Opt = Opt {
    flag: "dashboard-logo",
    env: "PROVENANCE_DASHBOARD_LOGO",
    value: "URL",
    help: "Logo: a URL, a path of the same host, or a data:image/ URL",
    on: SERVE,
    group: BRAND,
    ..BASE
};
/// The logo on dark ground.
pub const DASHBOARD_LOGO_DARK: Opt = Opt {
    flag: "dashboard-logo-dark",
    env: "PROVENANCE_DASHBOARD_LOGO_DARK",
    value: "URL",
    help: "Logo on dark ground; the other one where empty",
    on: SERVE,
    group: BRAND,
    ..BASE
};
/// The tab's icon.
pub const DASHBOARD_FAVICON: Opt = Opt {
    flag: "dashboard-favicon",
    env: "PROVENANCE_DASHBOARD_FAVICON",
    value: "URL",
    help: "Icon of the browser's tab",
    on: SERVE,
    group: BRAND,
    ..BASE
};
/// Colours on light ground.
pub const DASHBOARD_THEME_LIGHT: Opt = Opt {
    flag: "dashboard-theme-light",
    env: "PROVENANCE_DASHBOARD_THEME_LIGHT",
    value: "JSON",
    help: "Colours on light ground, as a JSON object: {\"primary\": \"#3451d1\"}",
    on: SERVE,
    group: BRAND,
    ..BASE
};
/// Colours on dark ground.
pub const DASHBOARD_THEME_DARK: Opt = Opt {
    flag: "dashboard-theme-dark",
    env: "PROVENANCE_DASHBOARD_THEME_DARK",
    value: "JSON",
    help: "Colours on dark ground, likewise",
    on: SERVE,
    group: BRAND,
    ..BASE
};
