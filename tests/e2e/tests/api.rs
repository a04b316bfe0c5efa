//! The API against its own description: the description is sound, and schemathesis finds no answer that is not in it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::Command;

use provenance_e2e::dashboard::{ask, demo};
use provenance_e2e::process::run;
use provenance_e2e::{Dashboard, tool};

fn python(script: &str) -> Command {
    let program = tool(&format!("openapi/bin/{script}"));
    let mut command = Command::new(&program);
    command.env("PYTHONPATH", program.ancestors().nth(2).unwrap());
    command
}

#[test]
fn the_description_is_sound_and_every_answer_is_as_it_says() {
    let folder = demo();
    let dashboard = Dashboard::start(folder.path(), &[]);
    let url = format!("http://{}", dashboard.public);
    let (status, description) = ask(&format!("{url}/api/openapi.json"), &[]);
    assert_eq!(status, 200);
    let file = folder.path().join("openapi.txt");
    std::fs::write(&file, description).unwrap();
    let mut check = python("openapi-spec-validator");
    check.arg(&file);
    run(check);
    let mut fuzz = python("schemathesis");
    fuzz.current_dir(folder.path()).args([
        "run",
        "--url",
        &url,
        "--mode",
        "positive",
        "--max-examples",
        "50",
        "--no-color",
    ]);
    fuzz.args(["--seed", "20261124"]).arg(&file);
    run(fuzz);
}
