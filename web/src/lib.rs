//! Serving: a folder of reports, the dashboard and the API over it, and the listener that takes reports in.

pub mod accounts;
mod answer;
mod api;
mod auth;
pub mod brand;
pub mod changes;
pub mod front;
mod health;
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
pub mod public;
mod scan;
mod schemas;
pub mod search;
pub mod store;

pub use accounts::Accounts;
pub use auth::{SignIn, SignInError};
pub use brand::{Brand, Picture, Theme};
pub use front::Place;
pub use intake::{Intake, internal};
pub use jobs::Jobs;
pub use listen::{Limits, listen};
pub use public::{Settings, public};
pub use store::Store;
