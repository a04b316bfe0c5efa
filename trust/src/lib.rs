//! Trust: whether a signature holds, who made it, and whether a policy wants it. No I/O.
//!
//! | file | job |
//! | --- | --- |
//! | [`evidence`] | a signature in any wire form, read into one |
//! | [`statement`], [`slsa`], [`sbom`] | what attestations and documents say |
//! | [`roots`] | whom certificates, logs and timestamps are believed of |
//! | `certificate`, [`key`] | verification of keyless signatures, and of managed keys |
//! | `entry_v001`, `certificate_timestamp` | the small steps that the sigstore family's verifier leaves out |
//! | [`notation`] | Notary Project signatures |
//! | [`policy`] | which signatures are wanted of which images |
//! | [`mod@judge`] | what all of these say of one signature |

mod certificate;
mod certificate_timestamp;
mod entry_v001;
pub mod evidence;
pub mod judge;
pub mod key;
mod legacy_entry;
pub mod notation;
mod pem;
pub mod policy;
mod refusals;
pub mod roots;
pub mod sbom;
mod signer;
mod simple_signing;
pub mod slsa;
pub mod statement;
mod subject;
mod trust_root;

pub use evidence::Signed;
pub use judge::{Judgement, judge};
pub use key::PublicKey;
pub use policy::Policy;
pub use roots::{Root, Without};
