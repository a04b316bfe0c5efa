//! The API's description ([OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0)), made of the routes and of the report's schema.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use provenance_model::report::Report;
use serde_json::{Value, json};
use utoipa::OpenApi;

use crate::api::{facts, older};
use crate::images::Flat;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Provenance Collector",
        description = "What runs on a cluster, who signed it, how it was built, what is in it, whether it is current.",
        license(name = "BSD-3-Clause", identifier = "BSD-3-Clause"),
    ),
    paths(
        older::reports, older::report, older::exported, older::me, crate::scan::scan,
        facts::clusters, facts::images, facts::releases, facts::diff, facts::timeline, facts::history, facts::search,
    ),
    components(schemas(Flat)),
    servers((url = "..")),
)]
struct Described;

/// The whole description.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

fn document() -> Value {
    let mut document = serde_json::to_value(Described::openapi()).expect("a description is a document");
    let mut report = serde_json::to_value(schemars::schema_for!(Report)).expect("a schema is a document");
    let named = report["$defs"].take();
    if let Some(report) = report.as_object_mut() {
        report.retain(|name, _| !name.starts_with('$'));
    }
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in named.as_object().into_iter().flatten() {
        schemas[name] = moved(schema.clone());
    }
    schemas["Report"] = moved(report);
    let bearer = json!({"type": "http", "scheme": "bearer", "description": "Where people sign in: a token of the issuer's"});
    document["components"]["securitySchemes"] = json!({"bearer": bearer});
    // Where nobody signs in, nothing is needed.
    document["security"] = json!([{}, {"bearer": []}]);
    document
}

/// A schema whose references lead to where schemas are here.
fn moved(schema: Value) -> Value {
    match schema {
        Value::Object(object) => object
            .into_iter()
            .map(|(name, value)| match (name.as_str(), &value) {
                ("$ref", Value::String(to)) => (name, to.replace("#/$defs/", "#/components/schemas/").into()),
                _ => (name, moved(value)),
            })
            .collect(),
        Value::Array(list) => list.into_iter().map(moved).collect(),
        other => other,
    }
}

/// The description, for programs.
pub(crate) async fn served() -> impl IntoResponse {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| DOCUMENT.to_string().into());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}
