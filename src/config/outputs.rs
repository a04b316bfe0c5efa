//! Where the report goes, and which share of a run it is of.

use std::path::PathBuf;

use provenance_model::Shard;
use provenance_sinks::PolicyApi;

use super::{Output, Reader, values};
use crate::options;

impl Reader<'_> {
    pub(super) fn outputs(&mut self) -> Vec<Output> {
        const NAMES: [&str; 4] = ["pvc", "configmap", "http", "policyreport"];
        let named = self.read(&options::REPORT_OUTPUT, |value| {
            let names = values::list(value);
            match names.iter().find(|name| !NAMES.contains(&name.as_str())) {
                Some(_) => Err(format!("it is none of: {}", NAMES.join(", "))),
                None => Ok(names),
            }
        });
        let name = self.read(&options::REPORT_CONFIGMAP, values::object_name);
        let namespace = self.read(&options::REPORT_CONFIGMAP_NAMESPACE, values::object_name);
        let url = self.read(&options::REPORT_UPLOAD_URL, values::http_url);
        let timeout = self.read(&options::REPORT_UPLOAD_TIMEOUT, values::limit);
        let token = self.read(&options::REPORT_UPLOAD_TOKEN_FILE, values::text).map(PathBuf::from);
        let api = self.read(&options::POLICY_REPORT_API, |value| {
            PolicyApi::of_word(value).ok_or_else(|| "it is no API".to_owned())
        });
        let has = |output: &str| named.iter().any(|name| name == output);
        let mut outputs = Vec::new();
        if has("pvc") {
            outputs.push(Output::Pvc);
        }
        if has("configmap") {
            outputs.push(Output::ConfigMap { namespace, name });
        }
        if has("policyreport") {
            outputs.push(Output::PolicyReport(api));
        }
        match url {
            Some(url) if has("http") => outputs.push(Output::Http { url, timeout, token }),
            None if has("http") => self.errors.push(format!(
                "--{}=http needs --{}: where the dashboard takes reports",
                options::REPORT_OUTPUT.flag,
                options::REPORT_UPLOAD_URL.flag
            )),
            _ => {}
        }
        outputs
    }

    /// The share of the run; parts of a report are for a dashboard to join.
    pub(super) fn shard(&mut self) -> Option<(Shard, String)> {
        let count = self.read(&options::SHARD_COUNT, values::count);
        let index = self.read(&options::SHARD_INDEX, |value| match value {
            "" => Ok(None),
            value => value.parse().map(Some).map_err(|_| "it is no number".to_owned()),
        });
        let run = self.read(&options::RUN_ID, values::run_id);
        if count <= 1 {
            return None;
        }
        let index: Option<usize> =
            index.or_else(|| std::env::var("JOB_COMPLETION_INDEX").ok()?.trim().parse().ok());
        let mut refuse = |why: String| self.errors.push(format!("--{}: {why}", options::SHARD_COUNT.flag));
        if index.is_none_or(|index| index >= count) {
            refuse(format!(
                "which of the {count} shards this is must be told, from 0 to {}: set --{}, or run as an Indexed Job",
                count - 1,
                options::SHARD_INDEX.flag
            ));
        }
        if run.is_none() {
            refuse(format!("the run needs a name that all shards know: set --{}", options::RUN_ID.flag));
        }
        let narrow = |number: usize| u32::try_from(number).ok();
        Some((Shard { index: narrow(index?)?, count: narrow(count)? }, run?))
    }
}
