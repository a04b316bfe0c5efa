//! The one way to a registry: every request goes through the host's gate, has a time limit and a byte cap,
//! is retried in one place, and never carries a credential to a host it was not issued for.
//!
//! | file | job |
//! | --- | --- |
//! | [`endpoint`] | from a registry's name to where it is asked, and when plain HTTP is allowed |
//! | [`gate`] | admission to one host: rate, concurrency, cool-down, giving up |
//! | [`transport`] | one exchange with one host: gate, time limit, byte cap, retries; redirects |
//! | [`challenge`], [`auth`] | what a host wants to see, and the tokens got for it |
//! | `session` | asks each host with what it wants to see |
//! | [`content`] | manifests and indexes, parsed and checked against their digest |
//! | [`client`] | the questions: manifest, digest, blob, tags, referrers |

pub mod auth;
pub mod challenge;
pub mod client;
mod clock;
pub mod content;
pub mod endpoint;
pub mod gate;
mod paging;
mod session;
pub mod transport;

pub use client::{Asking, Caps, ClientSettings, HeadAnswer, ManifestHead, Name, Referrers, RegistryClient};
pub use content::{Content, Manifest};
pub use endpoint::Endpoints;
pub use gate::{GateLimits, GateView};
