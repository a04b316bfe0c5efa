//! Serving: a folder of reports, the dashboard and the API over it, and the listener that takes reports in.

pub mod accounts;
pub mod api;
mod auth;
pub mod brand;
pub mod changes;
pub mod front;
pub mod images;
pub mod intake;
pub mod jobs;
mod limit;
pub mod listen;
mod loaded;
pub mod metrics;
pub mod openapi;
mod pages;
mod parts;
pub mod problem;
mod scan;
pub mod search;
pub mod store;

pub use accounts::Accounts;
pub use api::{Settings, public};
pub use auth::{SignIn, SignInError};
pub use brand::{Brand, Picture, Theme};
pub use front::Place;
pub use intake::{Intake, internal};
pub use jobs::Jobs;
pub use listen::{Limits, listen};
pub use store::Store;
