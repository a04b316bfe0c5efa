//! A limit on how often a client may try.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Clients that are remembered before those are forgotten that have not tried for a while.
const REMEMBERED: usize = 4096;

/// Tries of each client within a minute.
pub(crate) struct Limit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").finish_non_exhaustive()
    }
}

impl Limit {
    /// So many tries a minute, all of them at once if need be.
    pub(crate) fn a_minute(tries: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_minute(tries)) }
    }

    /// Takes one try of a client; where it has none left, the seconds until it has.
    pub(crate) fn take(&self, client: IpAddr) -> Result<(), u64> {
        if self.limiter.len() > REMEMBERED {
            self.limiter.retain_recent();
        }
        self.limiter
            .check_key(&network(client))
            .map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()).as_secs() + 1)
    }
}

/// An IPv6 client has a whole network of addresses.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::Limit;

    #[test]
    fn a_client_that_tries_too_often_waits_and_others_do_not() {
        let limit = Limit::a_minute(NonZeroU32::new(3).expect("three is not zero"));
        let address = |text: &str| text.parse().expect("a fixed address");
        for _ in 0..3 {
            assert_eq!(limit.take(address("2001:db8::1")), Ok(()));
        }
        assert!((1..=21).contains(&limit.take(address("2001:db8::ffff")).expect_err("the fourth waits")));
        assert_eq!(limit.take(address("10.0.0.1")), Ok(()));
    }
}
