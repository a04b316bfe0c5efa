//! Values as they are written: durations and lists in Go's forms, since the older collector's users wrote them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use provenance_stages::credentials::DockerConfig;

use url::Url;

use super::LogFormat;

/// A list, separated by commas, blanks trimmed.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

pub(super) fn namespaces(value: &str) -> Result<Vec<String>, String> {
    let names = list(value);
    let valid = |name: &String| {
        let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        name.len() <= 63
            && name.starts_with(edge)
            && name.ends_with(edge)
            && name.chars().all(|c| edge(c) || c == '-')
    };
    match names.iter().find(|name| !valid(name)) {
        Some(name) => {
            Err(format!("{name:?} is no namespace name: lower-case letters, digits and '-', at most 63"))
        }
        None => Ok(names),
    }
}

/// The name of an object of the Kubernetes API
/// ([names](https://kubernetes.io/docs/concepts/overview/working-with-objects/names/)).
pub(super) fn object_name(value: &str) -> Result<String, String> {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = value.len() <= 253
        && value.starts_with(edge)
        && value.ends_with(edge)
        && value.chars().all(|c| edge(c) || c == '-' || c == '.');
    if is_name {
        Ok(value.to_owned())
    } else {
        Err("it is no object's name: lower-case letters, digits, '-' and '.', at most 253".into())
    }
}

/// The name of a run, as it may stand in a file's name.
pub(super) fn run_id(value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let is_name = value.len() <= 128
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_name.then(|| Some(value.to_owned())).ok_or_else(|| {
        "it is no run's name: letters, digits, '-', '_' and '.', at most 128, a letter or digit first".into()
    })
}

/// A number of bytes, up to 1 GiB.
pub(super) fn bytes(value: &str) -> Result<usize, String> {
    let bytes = value.parse().map_err(|_| "it is no number of bytes".to_owned())?;
    if (1..=1 << 30).contains(&bytes) { Ok(bytes) } else { Err("it is not between 1 and 1073741824".into()) }
}

/// Host and port, as Go writes them: the host may be empty.
pub(super) fn address(value: &str) -> Result<String, String> {
    match value.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(value.to_owned()),
        _ => Err("it is no address; write it like :8080 or 127.0.0.1:8080".into()),
    }
}

pub(super) fn http_url(value: &str) -> Result<Option<Url>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(value).map_err(|error| format!("it is no URL: {error}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(Some(url))
    } else {
        Err("it is no URL with http:// or https://".into())
    }
}

pub(super) fn hosts(value: &str) -> Result<Vec<String>, String> {
    let hosts = list(value);
    match hosts.iter().find(|host| host.contains('/') || host.contains(char::is_whitespace)) {
        Some(host) => {
            Err(format!("{host:?} is no host; write it without scheme and path, as in registry.lan:5000"))
        }
        None => Ok(hosts),
    }
}

/// Paths, separated as in `PATH`.
#[expect(clippy::unnecessary_wraps, reason = "all readers of values have one form")]
pub(super) fn paths(value: &str) -> Result<Vec<PathBuf>, String> {
    Ok(std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect())
}

#[expect(clippy::unnecessary_wraps, reason = "all readers of values have one form")]
pub(super) fn text(value: &str) -> Result<Option<String>, String> {
    Ok(Some(value.to_owned()).filter(|text| !text.is_empty()))
}

/// A boolean of Go's `strconv.ParseBool`, in any case.
pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Ok(true),
        "0" | "f" | "false" => Ok(false),
        _ => Err("it is neither true nor false".into()),
    }
}

/// A docker configuration by its file, or by the folder it is in; none for no name.
pub(super) fn docker_config(value: &str) -> Option<Result<DockerConfig, String>> {
    (!value.is_empty()).then(|| docker_config_file(Path::new(value)))
}

/// The names under which folders hold a docker configuration: Docker's own, and a mounted secret's.
const DOCKER_CONFIG_NAMES: [&str; 2] = ["config.json", ".dockerconfigjson"];

pub(super) fn docker_config_file(path: &Path) -> Result<DockerConfig, String> {
    let inside = DOCKER_CONFIG_NAMES.iter().map(|name| path.join(name)).find(|file| file.is_file());
    let file = if path.is_dir() { inside.ok_or("the folder has no config.json")? } else { path.to_owned() };
    let text = std::fs::read(&file).map_err(|error| format!("it cannot be read: {error}"))?;
    DockerConfig::parse(&text).map_err(|error| error.to_string())
}

pub(super) fn filter(value: &str) -> Result<String, String> {
    let is_level = |level: &str| level.parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let unknown =
        value.split(',').find(|directive| !is_level(directive.rsplit('=').next().unwrap_or_default()));
    match (unknown, value.parse::<tracing_subscriber::filter::Targets>()) {
        (None, Ok(_)) => Ok(value.to_owned()),
        (Some(directive), _) => {
            Err(format!("{directive:?} names no level: off, error, warn, info, debug or trace"))
        }
        (None, Err(error)) => Err(format!("it is no log filter: {error}")),
    }
}

pub(super) fn log_format(value: &str) -> Result<LogFormat, String> {
    match value {
        "auto" => Ok(LogFormat::Auto),
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("it is none of: auto, json, text".into()),
    }
}

pub(super) fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| "it is no whole number, 0 or more".into())
}

/// A value, or none for `auto`.
pub(super) fn auto<T>(value: &str, read: fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if value == "auto" { Ok(None) } else { read(value).map(Some) }
}

/// A number of things, at least one.
pub(super) fn count(value: &str) -> Result<usize, String> {
    match number(value)? {
        0 => Err("it is not at least 1".into()),
        // A channel or semaphore of more than this is a slip of the finger.
        n if n > 1_000_000 => Err("it is more than 1000000".into()),
        n => Ok(n as usize),
    }
}

const NO_DURATION: &str = "it is no duration; write it like 30s, 1h30m or 168h";

/// A duration of Go's form that is not negative.
pub(super) fn duration(value: &str) -> Result<Duration, String> {
    if value.starts_with('-') {
        return Err("it is negative".into());
    }
    go_duration(value).ok_or_else(|| NO_DURATION.into())
}

/// A duration that is a limit, so not zero.
pub(super) fn limit(value: &str) -> Result<Duration, String> {
    match duration(value)? {
        Duration::ZERO => Err("it is zero; nothing is done in no time".into()),
        limit => Ok(limit),
    }
}

/// A duration, or none for `-1`.
pub(super) fn retention(value: &str) -> Result<Option<Duration>, String> {
    if let Some(positive) = value.strip_prefix('-') {
        // The older collector keeps everything at any negative duration.
        return match (positive, go_duration(positive)) {
            ("1", _) | (_, Some(_)) => Ok(None),
            _ => Err(format!("{NO_DURATION}, or -1 to keep all")),
        };
    }
    duration(value).map(Some)
}

/// `time.ParseDuration` of Go, without sign: `300ms`, `1.5h`, `2h45m`, `0`.
fn go_duration(value: &str) -> Option<Duration> {
    let value = value.strip_prefix('+').unwrap_or(value);
    if value == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = value;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    (!value.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_gos() {
        for (written, ms) in [
            ("168h", 604_800_000),
            ("1h30m", 5_400_000),
            ("30s", 30_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1m0.5s", 60_500),
            ("300ms", 300),
            ("1000us", 1),
            ("1000µs", 1),
            ("0", 0),
            ("+2s", 2000),
        ] {
            assert_eq!(duration(written), Ok(Duration::from_millis(ms)), "{written}");
        }
        for written in
            ["", "7d", "1", "h", "1h30", "1 h", "one", "-3s", "1..5s", "1e300h", "99999999999999999999h"]
        {
            assert!(duration(written).is_err(), "{written}");
        }
        assert_eq!(retention("-1"), Ok(None));
        assert_eq!(retention("-1h"), Ok(None));
        assert!(retention("-x").is_err());
        assert!(limit("0s").is_err());
    }

    #[test]
    fn booleans_are_gos() {
        for (written, value) in
            [("true", true), ("T", true), ("1", true), ("FALSE", false), ("f", false), ("0", false)]
        {
            assert_eq!(boolean(written), Ok(value), "{written}");
        }
        assert!(boolean("yes").is_err());
    }

    #[test]
    fn a_log_level_is_checked() {
        assert!(filter("debug").is_ok() && filter("warn,provenance_stages=debug").is_ok());
        assert!(filter("loud").is_err());
    }

    proptest! {
        #[test]
        fn no_duration_makes_it_panic(written in "[0-9.hmsnuµ+-]{0,12}|\\PC{0,12}") {
            drop((duration(&written), retention(&written)));
        }
    }
}
