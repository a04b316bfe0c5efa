//! The API, described, with a form to try each route.

use askama::Template;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::shell::Shell;
use super::visit::{Oops, Page, Visit, shown};
use crate::openapi::DOCUMENT;
use crate::problem::Problem;

struct Parameter {
    name: String,
    about: String,
    example: String,
    is_required: bool,
}

struct Operation {
    method: String,
    path: String,
    about: String,
    parameters: Vec<Parameter>,
    answers: Vec<(String, String)>,
    /// Where its form leads; empty where only a program may call it.
    action: String,
}

struct Group {
    name: String,
    operations: Vec<Operation>,
}

#[derive(Template)]
#[template(path = "api.html")]
struct Api {
    shell: Shell,
    groups: Vec<Group>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn operation(path: &str, method: &str, described: &Value) -> Operation {
    let parameters = described["parameters"].as_array().into_iter().flatten().map(|parameter| Parameter {
        name: text(&parameter["name"]),
        about: text(&parameter["description"]),
        example: text(&parameter["example"]),
        is_required: parameter["required"] == true,
    });
    let answers = described["responses"].as_object().into_iter().flatten();
    let action = match (method, path.contains('{')) {
        ("get", false) => path.trim_start_matches('/').to_owned(),
        ("get", true) => "api/try".to_owned(),
        _ => String::new(),
    };
    Operation {
        method: method.to_uppercase(),
        path: path.to_owned(),
        about: [text(&described["summary"]), text(&described["description"])].join(" "),
        parameters: parameters.collect(),
        answers: answers.map(|(status, answer)| (status.clone(), text(&answer["description"]))).collect(),
        action,
    }
}

pub(super) async fn page(visit: Visit) -> Page {
    let mut groups: Vec<Group> = Vec::new();
    for (path, item) in DOCUMENT["paths"].as_object().into_iter().flatten() {
        for (method, described) in item.as_object().into_iter().flatten() {
            let name = text(&described["tags"][0]);
            let made = operation(path, method, described);
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.operations.push(made),
                None => groups.push(Group { name, operations: vec![made] }),
            }
        }
    }
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    shown(&Api { shell: Shell::bare(visit.frame(), "API"), groups })
}

#[derive(Deserialize)]
pub(super) struct Tried {
    name: String,
}

/// A form has no way to put a value into a path.
pub(super) async fn tried(tried: Result<Query<Tried>, QueryRejection>) -> Result<Response, Oops> {
    let Query(tried) = tried.map_err(|error| Problem::asked(error.body_text()))?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !tried.name.chars().all(is_plain) {
        return Err(Problem::asked(format!("name: {:?} is no file's name", tried.name)).into());
    }
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, format!("reports/{}", tried.name))]).into_response())
}
