//! Helm releases: found by the metadata of their records, read from the newest of these only.
//!
//! | file | job |
//! | --- | --- |
//! | [`source`] | finds releases: Helm's records in Secrets and ConfigMaps, what Flux and Argo CD manage |
//! | `managers` | what Flux's and Argo CD's objects say |
//! | [`record`] | one record, unpacked and read within bounds |
//! | [`stage`] | reads the record of one release |

mod managers;
pub mod record;
pub mod source;
pub mod stage;

pub use source::ReleaseSource;
pub use stage::ReleaseStage;
