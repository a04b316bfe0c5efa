//! The configuration: every option read, every error told at once.

mod asking;
mod file;
mod outputs;
mod serving;
mod telemetry;
mod trust;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;
use provenance_engine::{Knobs, LaneLimit};
use provenance_model::report::Rule;
use provenance_model::{Shard, UpdateLevel};
use provenance_sinks::PolicyApi;
use provenance_stages::charts::ChartRepository;
use provenance_stages::discovery::Namespaces;
use provenance_stages::registry::{CacheSettings, ClientSettings};
use provenance_stages::update::ImageRule;
use provenance_stages::{Documents, UpdateRules};
use provenance_web::{Brand, Place, SignIn};

use crate::options::{self, On, Opt};
use crate::refused::ConfigErrors;
use crate::trust::TrustSettings;
use file::File;
pub use telemetry::Telemetry;
use url::Url;

/// Everything that can be set.
#[derive(Debug)]
pub struct Config {
    /// Which namespaces are read.
    pub namespaces: Namespaces,
    /// Kubeconfig files, the first's context counting.
    pub kubeconfig: Vec<PathBuf>,
    /// The cluster's name.
    pub cluster_name: Option<String>,
    /// Objects in one page of a listing.
    pub page_size: usize,
    /// Where reports go.
    pub outputs: Vec<Output>,
    /// The folder of reports.
    pub report_path: PathBuf,
    /// How long reports are kept; none for ever.
    pub report_retention: Option<Duration>,
    /// Whether pods' pull secrets are read.
    pub pull_secrets: bool,
    /// How registries are asked.
    pub registries: ClientSettings,
    /// Where registries' answers are kept; not where that is none.
    pub cache: Option<CacheSettings>,
    /// What is trusted.
    pub trust: TrustSettings,
    /// What counts as an update.
    pub updates: UpdateSettings,
    /// How Helm releases are looked for; not where that is none.
    pub helm: Option<HelmSettings>,
    /// The rules a run fails on.
    pub fail_on: Vec<Rule>,
    /// Which share of a run this is, and of which run.
    pub shard: Option<(Shard, String)>,
    /// How the pipeline is set.
    pub tuning: Tuning,
    /// How reports are served.
    pub serving: Serving,
    /// How is logged.
    pub logs: Logs,
    /// Where traces and metrics go.
    pub telemetry: Telemetry,
}

/// How the pipeline is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Images of one registry in the pipeline at once.
    pub lane: LaneLimit,
    /// Containers that may wait between discovery and the pipeline.
    pub discovery_queue: usize,
    /// The digest stage's knobs.
    pub digest: Knobs,
    /// The signature stage's knobs.
    pub signature: Knobs,
    /// The provenance stage's knobs.
    pub provenance: Knobs,
    /// The SBOM stage's knobs.
    pub sbom: Knobs,
    /// The update stage's knobs.
    pub update: Knobs,
    /// The release stage's knobs.
    pub release: Knobs,
    /// The chart stage's knobs.
    pub chart: Knobs,
    /// What is looked for.
    pub checks: Checks,
    /// The longest a run may take.
    pub deadline: Option<Duration>,
    /// How long requests under way may go on after the order to stop.
    pub stop_grace: Duration,
}

/// What counts as an update, and what is asked of one.
#[derive(Debug, Clone, Default)]
pub struct UpdateSettings {
    /// The rules; none where updates are not looked for.
    pub rules: Option<UpdateRules>,
    /// Whether the newest tag is examined too.
    pub upgrades: bool,
    /// Whether an image's configuration is read for its date.
    pub age: bool,
}

/// How reports are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// The public listener, as Go writes it: an empty host is every interface.
    pub public: String,
    /// The internal listener.
    pub internal: String,
    /// Bytes of a report at the most.
    pub most: usize,
    /// A file with the bearer token that an upload must show.
    pub token: Option<PathBuf>,
    /// `ServiceAccount`s, as `namespace/name`, of which an upload must show a token.
    pub accounts: Vec<String>,
    /// The audience of those tokens.
    pub audience: Option<String>,
    /// Whether dashboards are told to show differences in the timeline.
    pub timeline_deltas: bool,
    /// Whether metrics are for everybody.
    pub open_metrics: bool,
    /// The `CronJob` that scans are started from.
    pub cronjob: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// How long a finished Job is kept; none to leave that to the template.
    pub job_ttl: Option<Duration>,
    /// Where the dashboard is reached.
    pub place: Place,
    /// How people and programs are known.
    pub sign_in: Option<SignIn>,
    /// How long the parts of a shared run are waited for.
    pub parts_wait: Duration,
    /// The brand.
    pub brand: Brand,
}

/// A place reports go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A folder.
    Pvc,
    /// A `ConfigMap`.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A dashboard.
    Http {
        /// Where it takes reports.
        url: Url,
        /// The longest one attempt may take.
        timeout: Duration,
        /// A file with a bearer token.
        token: Option<PathBuf>,
    },
    /// `PolicyReport`s.
    PolicyReport(PolicyApi),
}

/// How Helm releases are looked for.
#[derive(Debug, Clone, Default)]
pub struct HelmSettings {
    /// The repositories in which charts are looked for.
    pub repositories: Vec<ChartRepository>,
    /// The folder in which their indexes are kept.
    pub cache: Option<PathBuf>,
}

/// What is looked for beside the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Signatures.
    pub signatures: bool,
    /// Provenance and other attestations.
    pub provenance: bool,
    /// SBOMs, and which of them are read.
    pub sboms: Option<Documents>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logs {
    /// Directives for the filter.
    pub filter: String,
    /// The form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON inside a cluster, text elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// A budget without a cache would leave the same images out in every run.
const NO_MEMORY: &str =
    "a registry's budget needs --cache: there it is kept which images were examined longest ago";

impl Config {
    /// Reads the options of one command.
    ///
    /// # Errors
    ///
    /// Every option whose value is refused, one line each.
    pub fn read(command: On, matches: &ArgMatches) -> Result<Self, ConfigErrors> {
        let mut reader = Reader { command, matches, errors: Vec::new() };
        let file = reader.file();
        let config = Self {
            namespaces: Namespaces {
                include: reader.read(&options::NAMESPACES, values::namespaces),
                exclude: reader.read(&options::EXCLUDE_NAMESPACES, values::namespaces),
            },
            kubeconfig: reader.read(&options::KUBECONFIG, values::paths),
            cluster_name: reader.read(&options::CLUSTER_NAME, values::text),
            page_size: reader.read(&options::PAGE_SIZE, values::count),
            outputs: reader.outputs(),
            report_path: reader.read(&options::REPORT_PATH, |value| Ok(PathBuf::from(value))),
            report_retention: reader.read(&options::REPORT_RETENTION, values::retention),
            pull_secrets: reader.read(&options::PULL_SECRETS, values::boolean),
            registries: reader.registries(file.registries),
            cache: reader.cache(),
            trust: reader.trust(),
            updates: reader.updates(file.rules),
            helm: reader.helm(file.repositories),
            fail_on: reader.read(&options::FAIL_ON, |value| {
                values::list(value).iter().map(|rule| rule.parse()).collect()
            }),
            shard: reader.shard(),
            tuning: Tuning {
                lane: LaneLimit(reader.read(&options::REGISTRY_LANE, values::count)),
                discovery_queue: reader.read(&options::DISCOVERY_QUEUE, values::count),
                digest: reader.knobs([
                    &options::DIGEST_WORKERS,
                    &options::DIGEST_QUEUE,
                    &options::DIGEST_TIMEOUT,
                ]),
                signature: reader.knobs([
                    &options::SIGNATURE_WORKERS,
                    &options::SIGNATURE_QUEUE,
                    &options::SIGNATURE_TIMEOUT,
                ]),
                provenance: reader.knobs([
                    &options::PROVENANCE_WORKERS,
                    &options::PROVENANCE_QUEUE,
                    &options::PROVENANCE_TIMEOUT,
                ]),
                sbom: reader.knobs([&options::SBOM_WORKERS, &options::SBOM_QUEUE, &options::SBOM_TIMEOUT]),
                update: reader.knobs([
                    &options::UPDATE_WORKERS,
                    &options::UPDATE_QUEUE,
                    &options::UPDATE_TIMEOUT,
                ]),
                release: reader.knobs([
                    &options::RELEASE_WORKERS,
                    &options::RELEASE_QUEUE,
                    &options::RELEASE_TIMEOUT,
                ]),
                chart: reader.knobs([
                    &options::CHART_WORKERS,
                    &options::CHART_QUEUE,
                    &options::CHART_TIMEOUT,
                ]),
                checks: Checks {
                    signatures: reader.read(&options::VERIFY_SIGNATURES, values::boolean),
                    provenance: reader.read(&options::CHECK_PROVENANCE, values::boolean),
                    sboms: reader.sboms(),
                },
                deadline: Some(reader.read(&options::DEADLINE, values::duration))
                    .filter(|limit| !limit.is_zero()),
                stop_grace: reader.read(&options::STOP_GRACE, values::duration),
            },
            serving: reader.serving(),
            telemetry: reader.telemetry(),
            logs: Logs {
                filter: reader.read(&options::LOG, values::filter),
                format: reader.read(&options::LOG_FORMAT, values::log_format),
            },
        };
        if config.registries.limits.has_budgets() && config.cache.is_none() {
            reader.errors.push(NO_MEMORY.to_owned());
        }
        if reader.errors.is_empty() { Ok(config) } else { Err(ConfigErrors(reader.errors)) }
    }
}

impl Config {
    /// What `collect` is told not to read, and what is missing for it.
    pub fn turned_off(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.helm.is_none() {
            told.push("Helm releases are not looked for (--helm-enabled=false)".to_owned());
        }
        if !self.pull_secrets {
            told.push(
                "pull secrets are not read (--pull-secrets=false): private images are asked for without them"
                    .to_owned(),
            );
        }
        told
    }
}

/// Reads options one by one and keeps every error.
struct Reader<'a> {
    command: On,
    matches: &'a ArgMatches,
    errors: Vec<String>,
}

impl Reader<'_> {
    /// The option's value. An option that this command does not take has its default, an empty variable too.
    fn read<T>(&mut self, option: &Opt, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let default = || parse(option.default).expect("every option's default is a value it accepts");
        if !option.on.contains(&self.command) {
            return default();
        }
        let Some(written) =
            self.matches.get_one::<String>(option.flag).filter(|value| !value.trim().is_empty())
        else {
            return default();
        };
        let written = written.trim();
        let parsed = if option.choices.is_empty() || option.choices.contains(&written) {
            parse(written)
        } else {
            Err(format!("it is none of: {}", option.choices.join(", ")))
        };
        parsed.unwrap_or_else(|why| {
            let from_variable = self.matches.value_source(option.flag) == Some(ValueSource::EnvVariable);
            let name = if from_variable { option.env.to_owned() } else { format!("--{}", option.flag) };
            self.errors.push(format!("{name}: {written:?} is refused: {why}"));
            default()
        })
    }

    fn sboms(&mut self) -> Option<Documents> {
        let all = self.read(&options::SBOM_DOCUMENTS, values::boolean);
        let documents = if all { Documents::All } else { Documents::Small };
        self.read(&options::CHECK_SBOM, values::boolean).then_some(documents)
    }

    fn file(&mut self) -> File {
        self.read(&options::CONFIG, |value| match value {
            "" => Ok(File::default()),
            path => {
                let text =
                    std::fs::read_to_string(path).map_err(|error| format!("it cannot be read: {error}"))?;
                File::parse(&text)
            }
        })
    }

    fn helm(&mut self, repositories: Vec<ChartRepository>) -> Option<HelmSettings> {
        let cache = self.read(&options::CHART_CACHE, values::text).map(PathBuf::from);
        self.read(&options::HELM_ENABLED, values::boolean).then_some(HelmSettings { repositories, cache })
    }

    fn updates(&mut self, images: Vec<ImageRule>) -> UpdateSettings {
        let rules = UpdateRules {
            level: self.read(&options::UPDATE_LEVEL, |word| {
                UpdateLevel::of_word(word).ok_or_else(|| "it is no level".to_owned())
            }),
            skip_pre_releases: self.read(&options::SKIP_PRERELEASE, values::boolean),
            images,
        };
        UpdateSettings {
            rules: self.read(&options::CHECK_UPDATES, values::boolean).then_some(rules),
            upgrades: self.read(&options::CHECK_UPGRADES, values::boolean),
            age: self.read(&options::IMAGE_AGE, values::boolean),
        }
    }

    fn knobs(&mut self, [workers, queue, timeout]: [&Opt; 3]) -> Knobs {
        Knobs {
            workers: self.read(workers, values::count),
            queue: self.read(queue, values::count),
            timeout: self.read(timeout, values::limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Config, ConfigErrors> {
        let command = crate::cli::command();
        let all = ["provenance-collector", "collect"].iter().chain(arguments);
        let matches =
            command.try_get_matches_from(all).map_err(|error| ConfigErrors(vec![error.to_string()]))?;
        Config::read(On::Collect, matches.subcommand_matches("collect").unwrap())
    }

    #[test]
    fn the_defaults_are_those_of_the_first_readme() {
        let config = read(&[]).unwrap();
        assert_eq!(config.report_path, PathBuf::from("/reports"));
        assert_eq!(config.report_retention, Some(Duration::from_hours(168)));
        assert_eq!(config.registries.limits.of("ghcr.io").timeout, Duration::from_secs(30));
        assert_eq!(config.registries.limits.of("registry.lan").concurrency, 16);
        assert_eq!(config.namespaces, Namespaces::default());
        assert_eq!(config.tuning.deadline, None);
    }

    #[test]
    fn every_error_is_told_at_once_and_names_its_option() {
        let errors = read(&[
            "--registry-timeout",
            "soon",
            "--report-output",
            "s3",
            "--registry-concurrency",
            "0",
            "--namespaces",
            "ok,Not_Ok",
            "--log-format",
            "xml",
        ])
        .unwrap_err()
        .0;
        assert_eq!(
            errors,
            [
                r#"--namespaces: "ok,Not_Ok" is refused: "Not_Ok" is no namespace name: lower-case letters, digits and '-', at most 63"#,
                r#"--report-output: "s3" is refused: it is none of: pvc, configmap, http, policyreport"#,
                r#"--registry-concurrency: "0" is refused: it is not at least 1"#,
                r#"--registry-timeout: "soon" is refused: it is no duration; write it like 30s, 1h30m or 168h"#,
                r#"--log-format: "xml" is refused: it is none of: auto, json, text"#,
            ]
        );
    }

    #[test]
    fn several_outputs_are_read_and_an_upload_needs_its_url() {
        let config = read(&[
            "--report-output",
            "http, pvc",
            "--report-upload-url",
            "http://web:8081/internal/reports",
        ]);
        let outputs = config.unwrap().outputs;
        assert_eq!(outputs.len(), 2);
        assert!(matches!(&outputs[1], Output::Http { url, .. } if url.path() == "/internal/reports"));
        let errors = read(&["--report-output", "http"]).unwrap_err().0;
        assert!(errors[0].contains("needs --report-upload-url"), "{errors:?}");
        let errors =
            read(&["--report-upload-url", "dashboard:8081", "--report-configmap", "No_Name"]).unwrap_err().0;
        assert_eq!(errors.len(), 2, "{errors:?}");
    }

    #[test]
    fn mirrors_and_certificates_are_checked() {
        let errors = read(&[
            "--registry-mirrors",
            "docker.io=mirror.lan/hub,nonsense",
            "--registry-ca",
            "/no/such/ca.pem",
            "--registry-client-cert-hosts",
            "registry.lan",
        ]);
        let errors = errors.unwrap_err().0;
        assert_eq!(errors.len(), 3, "{errors:?}");
        assert!(errors[0].contains("a mirror is written PREFIX=MIRROR"), "{errors:?}");
        assert!(
            errors[1].contains("--registry-ca: \"/no/such/ca.pem\" is refused: it cannot be read"),
            "{errors:?}"
        );
        assert!(errors[2].contains("go together"), "{errors:?}");
        let file = env!("CARGO_MANIFEST_DIR").to_owned() + "/Cargo.toml";
        let errors = read(&["--registry-ca", &file, "--registry-client-cert", &file]).unwrap_err().0;
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].contains("no certificate in PEM form"), "{errors:?}");
        assert!(errors[1].contains("with a certificate and its private key"), "{errors:?}");
        assert!(read(&["--registry-mirrors-only", "ghcr.io=mirror.lan:5000"]).is_ok());
    }

    #[test]
    fn lists_are_separated_by_commas_and_blanks_trimmed() {
        let config = read(&["--namespaces", " a, b ,,c ", "--report-retention", "-1"]).unwrap();
        assert_eq!(config.namespaces.include, ["a", "b", "c"]);
        assert_eq!(config.report_retention, None);
    }
}
