//! Schemas of what answers take from reports, by the names that the description gives them.

use utoipa::openapi::schema::ArrayBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};

fn named(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

/// A list of Helm releases.
pub(crate) fn releases() -> RefOr<Schema> {
    Schema::Array(ArrayBuilder::new().items(named("HelmRelease")).build()).into()
}

/// A report's counts.
pub(crate) fn counts() -> RefOr<Schema> {
    named("Summary")
}

/// How what runs stands to what its tag names.
pub(crate) fn drift() -> RefOr<Schema> {
    let none = utoipa::openapi::ObjectBuilder::new().schema_type(utoipa::openapi::schema::Type::Null).build();
    let either = utoipa::openapi::OneOfBuilder::new().item(named("DriftState")).item(none).build();
    Schema::OneOf(either).into()
}

/// A list of rows, whole or in one level of columns.
pub(crate) fn rows() -> RefOr<Schema> {
    let either =
        utoipa::openapi::schema::AnyOfBuilder::new().item(named("ImageRecord")).item(named("Flat")).build();
    Schema::Array(ArrayBuilder::new().items(RefOr::T(Schema::AnyOf(either))).build()).into()
}
