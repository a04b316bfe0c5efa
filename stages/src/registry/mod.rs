//! The one way to a registry: every request goes through the host's gate, has a time limit and a byte cap,
//! is retried in one place, and never carries a credential to a host it was not issued for.
//!
//! | file | job |
//! | --- | --- |
//! | [`endpoint`] | from a registry's name to where it is asked, and when plain HTTP is allowed |
//! | [`mirror`] | which mirrors are asked first, or instead |
//! | [`tls`] | further authorities, and client certificates |
//! | [`profile`] | how each host is treated |
//! | [`gate`] | admission to one host: pace, concurrency, budget, cool-down, giving up |
//! | [`transport`] | one exchange with one host: gate, time limit, byte cap, retries; redirects |
//! | [`challenge`], [`auth`] | what a host wants to see, and the tokens got for it |
//! | `session` | asks each host with what it wants to see |
//! | [`content`] | manifests and indexes, parsed and checked against their digest |
//! | [`asking`] | who asks for what, and the forms of answers |
//! | [`stream`] | blobs that are read as they come |
//! | [`document`] | documents of hosts that are no registries |
//! | `tags` | lists of tags, page by page |
//! | `manifests`, `blobs`, `referrers` | the other questions |
//! | `memo` | what is known of manifests in this run |
//! | [`cache`] | what earlier runs fetched, on disk |
//! | `foreign` | every small parser of what registries answer, for fuzzing |
//! | `plan` | what an image is expected to take |
//! | [`client`] | what all questions share |

pub mod asking;
pub mod auth;
mod blobs;
pub mod cache;
pub mod challenge;
pub mod client;
mod clock;
pub mod content;
pub mod document;
pub mod endpoint;
#[doc(hidden)]
pub mod foreign;
pub mod gate;
mod manifests;
mod memo;
pub mod mirror;
mod paging;
mod plan;
pub mod profile;
mod referrers;
mod session;
pub mod stream;
mod tag_list;
mod tags;
pub mod tls;
pub mod transport;

pub use asking::{Asking, HeadAnswer, ManifestHead, Name, Referrers};
pub use cache::{CacheSettings, DiskCache};
pub use client::{Caps, ClientSettings, RegistryClient};
pub use content::{Content, Manifest};
pub use document::{Document, DocumentRequest};
pub use endpoint::Endpoints;
pub use gate::limits::{Counted, GateLimits};
pub use gate::{GateView, deferred};
pub use mirror::Mirrors;
pub use plan::Questions;
pub use profile::{HostLimits, Profile, Wanted};
pub use stream::BodyReader;
pub use tag_list::{Named, TagList};
pub use tls::Tls;
