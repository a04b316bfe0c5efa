//! How each host is treated: what is known of the large registries, and what the configuration says instead.
//!
//! No registry publishes how many requests it likes, only where it stops answering. The profiles stay well below that,
//! since others ask from the same address: the cluster's nodes, and the people beside them.

use std::num::NonZeroU32;
use std::time::Duration;

use super::gate::limits::{Counted, GateLimits};

/// What is known of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as people know it.
    pub name: &'static str,
    /// Its hosts; `*` stands for anything.
    pub hosts: &'static [&'static str],
    /// Requests in flight at the most.
    pub concurrency: usize,
    /// Requests begun in a second.
    pub rate: u32,
    /// Requests begun at once after a rest.
    pub burst: u32,
    /// Which requests its allowance counts.
    pub counts: Counted,
    /// So many of its allowance are left to others.
    pub reserve: u64,
    /// Whether a tag is asked by HEAD first.
    pub head_first: bool,
    /// Why.
    pub why: &'static str,
}

const PLAIN: Profile = Profile {
    name: "",
    hosts: &[],
    concurrency: 8,
    rate: 30,
    burst: 60,
    counts: Counted::Everything,
    reserve: 0,
    head_first: false,
    why: "",
};

/// The registries that are known.
pub const KNOWN: [Profile; 8] = [
    Profile {
        name: "Docker Hub",
        hosts: &["docker.io", "registry-1.docker.io", "index.docker.io"],
        concurrency: 8,
        rate: 10,
        counts: Counted::Pulls,
        reserve: 10,
        head_first: true,
        why: "a manifest that is fetched is a pull, of which 100 in six hours are free; a HEAD is none",
        ..PLAIN
    },
    Profile {
        name: "GitHub Container Registry",
        hosts: &["ghcr.io"],
        why: "no limit is published; bursts are answered with 429",
        ..PLAIN
    },
    Profile {
        name: "Quay",
        hosts: &["quay.io"],
        rate: 20,
        burst: 40,
        why: "throttles each address at some tens of requests a second",
        ..PLAIN
    },
    Profile {
        name: "Amazon ECR",
        hosts: &["*.dkr.ecr.*.amazonaws.com", "*.dkr.ecr.*.amazonaws.com.cn", "*.dkr-ecr.*.on.aws"],
        rate: 100,
        burst: 200,
        why: "limits are by account and region, in the hundreds a second",
        ..PLAIN
    },
    Profile {
        name: "Amazon ECR Public",
        hosts: &["public.ecr.aws", "ecr-public.aws.com"],
        concurrency: 4,
        rate: 5,
        burst: 10,
        why: "one pull a second without an account, ten with one",
        ..PLAIN
    },
    Profile {
        name: "Azure Container Registry",
        hosts: &["*.azurecr.io", "*.azurecr.cn", "*.azurecr.us"],
        rate: 15,
        burst: 60,
        why: "the Basic tier answers 1,000 reads a minute",
        ..PLAIN
    },
    Profile {
        name: "Google Artifact Registry, registry.k8s.io",
        hosts: &["*.pkg.dev", "gcr.io", "*.gcr.io", "registry.k8s.io"],
        rate: 50,
        burst: 100,
        why: "registry.k8s.io answers 5,000 requests a minute from one address, projects more",
        ..PLAIN
    },
    Profile {
        name: "Microsoft Container Registry",
        hosts: &["mcr.microsoft.com", "*.data.mcr.microsoft.com"],
        why: "no limit is published",
        ..PLAIN
    },
];

/// What every other host is asked at the most.
pub const OTHERS: Profile = Profile {
    name: "others",
    hosts: &["*"],
    concurrency: 16,
    rate: 200,
    burst: 400,
    why: "a registry of one's own; it is asked less as soon as it answers late, or throttles",
    ..PLAIN
};

/// What the configuration says of some hosts, or of all. What it leaves open is as the host's profile has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Requests in flight at the most.
    pub concurrency: Option<usize>,
    /// Requests begun in a second; 0 for no limit.
    pub rate: Option<u32>,
    /// Requests begun at once after a rest.
    pub burst: Option<u32>,
    /// Requests in one run; 0 for no limit.
    pub budget: Option<u64>,
    /// So many of an allowance are left to others.
    pub reserve: Option<u64>,
    /// Whether a tag is asked by HEAD first.
    pub head_first: Option<bool>,
    /// The longest a throttled host may keep us waiting.
    pub patience: Option<Duration>,
    /// The longest one request may take.
    pub timeout: Option<Duration>,
}

/// How every host is treated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostLimits {
    /// What is wanted of all hosts.
    all: Wanted,
    /// What is wanted of some: the first that matches counts.
    some: Vec<(String, Wanted)>,
}

impl HostLimits {
    /// Profiles, and what is wanted of all hosts instead.
    pub fn new(all: Wanted) -> Self {
        Self { all, some: Vec::new() }
    }

    /// What is wanted of the hosts that match a pattern, in which `*` stands for anything.
    #[must_use]
    pub fn host(mut self, pattern: &str, wanted: Wanted) -> Self {
        self.some.push((pattern.to_ascii_lowercase(), wanted));
        self
    }

    /// How a host is treated.
    pub fn of(&self, host: &str) -> GateLimits {
        let profile = profile(host);
        let own = self.some.iter().find(|(pattern, _)| matches(pattern, host)).map(|(_, wanted)| wanted);
        // What is said of one host counts before what is said of all.
        macro_rules! wanted {
            ($field:ident) => {
                own.and_then(|own| own.$field).or(self.all.$field)
            };
        }
        let rate = wanted!(rate);
        let burst = wanted!(burst).unwrap_or_else(|| match rate {
            Some(rate) => rate.saturating_mul(2),
            None => profile.burst,
        });
        let usual = GateLimits::default();
        GateLimits {
            concurrency: wanted!(concurrency).unwrap_or(profile.concurrency).max(1),
            requests_per_second: NonZeroU32::new(rate.unwrap_or(profile.rate)),
            burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN),
            budget: wanted!(budget).filter(|budget| *budget > 0),
            counts: profile.counts,
            reserve: wanted!(reserve).unwrap_or(profile.reserve),
            head_first: wanted!(head_first).unwrap_or(profile.head_first),
            patience: wanted!(patience).unwrap_or(usual.patience),
            timeout: wanted!(timeout).unwrap_or(usual.timeout),
            ..usual
        }
    }

    /// Whether a host has a budget.
    pub fn has_budgets(&self) -> bool {
        let has = |wanted: &Wanted| wanted.budget.is_some_and(|budget| budget > 0);
        has(&self.all) || self.some.iter().any(|(_, wanted)| has(wanted))
    }
}

/// What is known of a host.
pub fn profile(host: &str) -> &'static Profile {
    KNOWN.iter().find(|known| known.hosts.iter().any(|pattern| matches(pattern, host))).unwrap_or(&OTHERS)
}

/// Whether a host, or its name without a port, matches a pattern.
fn matches(pattern: &str, host: &str) -> bool {
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    glob(pattern, host) || glob(pattern, without_port)
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && glob(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_large_registries_are_known_by_their_hosts() {
        for (host, name) in [
            ("docker.io", "Docker Hub"),
            ("ghcr.io", "GitHub Container Registry"),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "Amazon ECR"),
            ("public.ecr.aws", "Amazon ECR Public"),
            ("acme.azurecr.io", "Azure Container Registry"),
            ("europe-west3-docker.pkg.dev", "Google Artifact Registry, registry.k8s.io"),
            ("eu.gcr.io", "Google Artifact Registry, registry.k8s.io"),
            ("mcr.microsoft.com", "Microsoft Container Registry"),
            ("registry.acme.example:5000", "others"),
            ("notdocker.io", "others"),
            ("azurecr.io.evil.example", "others"),
        ] {
            assert_eq!(profile(host).name, name, "{host}");
        }
    }

    #[test]
    fn what_is_said_of_one_host_counts_before_what_is_said_of_all_and_that_before_the_profile() {
        let limits = HostLimits::new(Wanted { rate: Some(3), ..Wanted::default() })
            .host("*.lan", Wanted { rate: Some(0), budget: Some(40), ..Wanted::default() })
            .host("docker.io", Wanted { concurrency: Some(2), head_first: Some(false), ..Wanted::default() });
        let lan = limits.of("registry.lan:5000");
        assert_eq!((lan.requests_per_second, lan.budget, lan.concurrency), (None, Some(40), 16));
        let hub = limits.of("docker.io");
        assert_eq!(
            (hub.requests_per_second, hub.concurrency, hub.head_first),
            (NonZeroU32::new(3), 2, false)
        );
        assert_eq!((hub.reserve, hub.counts), (10, Counted::Pulls));
        assert_eq!(limits.of("quay.io").requests_per_second, NonZeroU32::new(3));
        assert_eq!(HostLimits::default().of("quay.io").requests_per_second, NonZeroU32::new(20));
        assert!(limits.has_budgets() && !HostLimits::default().has_budgets());
    }
}
