//! Scenarios: what goes wrong in a run, and when, written down so that tests, benches and people can order the same again.
//!
//! ```yaml
//! seed: 7
//! faults:
//!   - {host: "registry-0", on: "/manifests/", probability: 0.3, effect: {status: 503, retryAfter: 1}}
//!   - {host: api, on: "GET /api/v1/pods", times: 1, after: 2, effect: cut}
//!   - {host: "*", from: 0.5, until: 1.5, effect: {delay: 0.2}}
//! ```

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::fault::{Effect, Fault, When};
use crate::fleet::Fleet;

/// What goes wrong in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scenario {
    /// What decides where a fault has a probability: the same seed, the same decisions in the same order of requests.
    #[serde(default)]
    pub seed: u64,
    /// The faults; the first that strikes a request counts.
    pub faults: Vec<Planned>,
}

/// One fault, and where and when it strikes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Planned {
    /// Whom: `registry-0` and so on in the order of their names, `api`, or `*` for all.
    pub host: String,
    /// Which requests: a text of `METHOD /path?query`; all where it is empty.
    #[serde(default)]
    pub on: String,
    /// How likely each of them is struck.
    #[serde(default = "surely")]
    pub probability: f64,
    /// From when on, in seconds from the start.
    #[serde(default)]
    pub from: f64,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// How often at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<usize>,
    /// How many pass first.
    #[serde(default)]
    pub after: usize,
    /// What becomes of the request.
    pub effect: Wrong,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wrong {
    /// It is never answered.
    Hang,
    /// Half of its answer comes, and the connection is cut.
    Cut,
    /// A byte of its answer is another.
    Corrupt,
    /// Every page of a list leads to one more.
    EndlessPages,
    /// It is answered so many seconds later.
    Delay(f64),
    /// The server goes down with it, and comes up again so many seconds later.
    Restart(f64),
    /// Its continue token has expired, and the list must be read again from its start (the Kubernetes API).
    Expired,
    /// It lists what there was before the watch cache fell behind (the Kubernetes API).
    Stale,
    /// It is answered with so many bytes of nothing.
    Flood(usize),
    /// It is answered with this status, and so many seconds to wait.
    #[serde(untagged)]
    Status {
        /// The status.
        status: u16,
        /// `Retry-After`.
        #[serde(default, rename = "retryAfter", skip_serializing_if = "Option::is_none")]
        retry_after: Option<u32>,
    },
}

/// What random faults are about.
const PLACES: [&str; 8] =
    ["", "/manifests/", "/referrers/", "/tags/list", "/blobs/", "/manifests/v", ".sig", "app0003"];
/// What random faults of the Kubernetes API are about.
const API_PLACES: [&str; 6] = ["", "/pods", "/serviceaccounts", "/replicasets", "/deployments", "continue="];
/// What they answer.
const STATUSES: [u16; 8] = [401, 403, 404, 418, 429, 500, 502, 503];

/// How the Kubernetes API says that a continue token is too old, and gives no other.
const EXPIRED: &str = r#"{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired",
    "message": "The provided continue parameter is too old to display a consistent list result.", "code": 410}"#;

fn surely() -> f64 {
    1.0
}

impl Scenario {
    /// Reads a scenario file, YAML or JSON.
    ///
    /// # Errors
    ///
    /// Where it is none, with the place and the reason.
    pub fn read(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| format!("it is no scenario of faults: {error}"))
    }

    /// A scenario made up of a seed: one to five faults anywhere, in a world of so many registries.
    pub fn random(seed: u64, registries: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..=5);
        let faults = (0..count).map(|_| Planned::random(&mut random, registries)).collect();
        Self { seed, faults }
    }

    /// Orders everything of it of a fleet. Its times begin now.
    pub fn order(&self, fleet: &Fleet) {
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(self.seed)));
        let began = Instant::now();
        for planned in &self.faults {
            let fault = || {
                let at = |seconds: f64| began + Duration::from_secs_f64(seconds.max(0.0));
                let when = When {
                    probability: planned.probability,
                    random: Arc::clone(&random),
                    from: at(planned.from),
                    until: planned.until.map(at),
                };
                let mut fault =
                    Fault::on(&planned.on, planned.effect.effect()).after(planned.after).when(when);
                if let Some(times) = planned.times {
                    fault = fault.times(times);
                }
                fault
            };
            for (number, registry) in fleet.registries.values().enumerate() {
                if planned.host == "*" || planned.host == format!("registry-{number}") {
                    registry.fault(fault());
                }
            }
            if planned.host == "*" || planned.host == "api" {
                fleet.kube.fault(fault());
            }
        }
    }
}

impl Planned {
    fn random(random: &mut fastrand::Rng, registries: usize) -> Self {
        let of_api = random.u8(0..6) == 0;
        let host = match random.usize(0..=registries) {
            _ if of_api => "api".to_owned(),
            number if number == registries => "*".to_owned(),
            number => format!("registry-{number}"),
        };
        let on = if of_api {
            API_PLACES[random.usize(0..API_PLACES.len())]
        } else {
            PLACES[random.usize(0..PLACES.len())]
        };
        // A registry that answers in good form what is not so cannot be found out: only content has a digest.
        let has_digest = on == "/manifests/" || on == "/blobs/";
        let is_of_owners = on == "/replicasets" || on == "/deployments";
        let effect = match random.u8(0..13) {
            _ if on == "continue=" => Wrong::Expired,
            // A list of pods that is behind cannot be told from one that is not; owners are missed.
            number if number >= 9 && is_of_owners => Wrong::Stale,
            0 => Wrong::Hang,
            1 | 2 => Wrong::Cut,
            3 if has_digest => Wrong::Corrupt,
            4 => Wrong::Delay(f64::from(random.u32(1..400)) / 1000.0),
            5 => Wrong::Flood(64 << 20),
            6 => Wrong::Restart(f64::from(random.u32(1..400)) / 1000.0),
            _ => {
                // Without a digest 404 is an answer: that there are no referrers.
                let status = STATUSES[random.usize(0..8)];
                let status = if status == 404 && !has_digest { 500 } else { status };
                let retry_after = (random.bool() && [429, 503].contains(&status)).then(|| random.u32(0..2));
                Wrong::Status { status, retry_after }
            }
        };
        let from = f64::from(random.u32(0..3)) / 10.0;
        let times = random.bool().then(|| random.usize(1..6));
        // Owners are looked for once more, not twice.
        let times = if effect == Wrong::Stale { Some(1) } else { times };
        Self {
            host,
            on: on.to_owned(),
            probability: [1.0, 0.5, 0.2][random.usize(0..3)],
            from,
            until: random.bool().then(|| from + f64::from(random.u32(1..10)) / 10.0),
            times,
            after: random.usize(0..4),
            effect,
        }
    }
}

impl Wrong {
    fn effect(&self) -> Effect {
        match self {
            Self::Hang => Effect::Hang,
            Self::Cut => Effect::Cut,
            Self::Corrupt => Effect::Corrupt,
            Self::EndlessPages => Effect::EndlessPages,
            Self::Delay(seconds) => Effect::Delay(Duration::from_secs_f64(*seconds)),
            Self::Restart(seconds) => Effect::Restart(Duration::from_secs_f64(*seconds)),
            Self::Expired => Effect::Answer {
                status: 410,
                headers: vec![("content-type".into(), "application/json".into())],
                body: EXPIRED.into(),
            },
            Self::Stale => Effect::Stale,
            Self::Flood(bytes) => Effect::Flood(*bytes),
            Self::Status { status, retry_after: Some(seconds) } => Effect::retry_after(*status, *seconds),
            Self::Status { status, retry_after: None } => Effect::status(*status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_as_it_is_written_and_what_is_none_is_refused() {
        let text = "seed: 7\nfaults:\n  - {host: registry-0, on: /manifests/, probability: 0.3, effect: {status: 503, retryAfter: 1}}\n  \
                    - {host: api, times: 1, after: 2, effect: cut}\n  - {host: '*', from: 0.5, until: 1.5, effect: {delay: 0.2}}\n  \
                    - {host: api, on: continue=, effect: expired}\n  - {host: registry-1, effect: {restart: 0.3}}\n";
        let scenario = Scenario::read(text).unwrap();
        assert_eq!((scenario.seed, scenario.faults.len()), (7, 5));
        assert_eq!(scenario.faults[0].effect, Wrong::Status { status: 503, retry_after: Some(1) });
        assert_eq!((scenario.faults[1].probability, scenario.faults[1].after), (1.0, 2));
        for seed in 0..200 {
            let made_up = Scenario::random(seed, 2);
            let written = serde_json::to_string(&made_up).unwrap();
            assert_eq!(Scenario::read(&written).unwrap(), made_up, "{written}");
        }
        for wrong in [
            "faults: [{host: a, effect: explode}]",
            "faults: [{host: a}]",
            "faults: [{hosts: a, effect: cut}]",
        ] {
            let why = Scenario::read(wrong).unwrap_err();
            assert!(why.starts_with("it is no scenario of faults: "), "{why}");
        }
    }
}
