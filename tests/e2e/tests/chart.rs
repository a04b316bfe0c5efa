//! The chart, as Helm renders it: every example and many combinations of values are valid by the API server's own schemas and are
//! taken by it; what the values say reaches the program.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use provenance_e2e::chart::{conform, documents, object, root, template};
use provenance_e2e::cluster::Cluster;
use provenance_e2e::process::tool;
use serde_json::{Value, json};

/// Values that are rendered, validated and offered to the API server, beside the examples.
const COMBINATIONS: &[&[&str]] = &[
    &[],
    &["webUI.enabled=true"],
    &["webUI.enabled=true", "persistence.mode=pvc"],
    &["cache.enabled=true", "config.registryBudget=500", "cache.storageClass=fast"],
    &["cache.enabled=true", "cache.existingClaim=mine"],
    &["cache.enabled=true", "webUI.enabled=true", "shards=3", "cache.accessModes={ReadWriteMany}"],
    &[
        "webUI.enabled=true",
        "persistence.mode=pvc",
        "persistence.accessModes={ReadWriteMany}",
        "webUI.replicas=3",
    ],
    &["persistence.mode=configmap", "persistence.enabled=false"],
    &["webUI.enabled=true", "persistence.mode=http\\,configmap"],
    &["webUI.enabled=true", "persistence.mode=http\\,pvc\\,configmap"],
    &["config.reportOutput={pvc,configmap}"],
    &["config.reportOutput=http", "config.reportUploadUrl=https://hub.example.com/internal/reports"],
    &["policyReport.enabled=true"],
    &["policyReport.enabled=true", "config.policyReportApi=openreports.io/v1alpha1"],
    &["rbac.namespaced=true", "config.namespaces={default,kube-system}"],
    &["rbac.namespaced=true", "config.namespaces=default\\, kube-system", "webUI.enabled=true"],
    &["rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine"],
    &["config.helmEnabled=false", "config.pullSecrets=false", "config.clusterPolicies=false"],
    &["rbac.helmSecrets=false", "config.pullSecrets=false"],
    &["webUI.enabled=true", "webUI.oidcIssuer=https://login.example.com", "webUI.adminGroups={a,b}"],
    &["webUI.enabled=true", "upload.auth=account"],
    &["webUI.enabled=true", "upload.auth=token", "upload.existingSecret=s"],
    &["webUI.enabled=true", "shards=4"],
    &["webUI.enabled=true", "ingress.enabled=true", "ingress.host=a.example.com", "ingress.tlsSecret=t"],
    &[
        "webUI.enabled=true",
        "httpRoute.enabled=true",
        "httpRoute.parentRefs[0].name=gateway",
        "httpRoute.hostnames={a.example.com}",
    ],
    &[
        "webUI.enabled=true",
        "serviceMonitor.enabled=true",
        "prometheusRule.enabled=true",
        "grafanaDashboard.enabled=true",
    ],
    &["webUI.enabled=true", "nebariapp.enabled=true", "nebariapp.hostname=a.example.com"],
    &[
        "webUI.enabled=true",
        "nebariapp.enabled=true",
        "nebariapp.hostname=a.example.com",
        "nebariapp.auth.enabled=true",
        "nebariapp.auth.spaClientId=spa",
        "nebariapp.routing.tls.enabled=false",
        "nebariapp.gateway=internal",
    ],
    &["webUI.enabled=true", "frontend.enabled=true", "frontend.title=Acme", "frontend.service.port=8000"],
    &[
        "registryCredentials.existingSecret=r",
        "registryCA.existingConfigMap=ca",
        "registryClientCert.existingSecret=c",
        "config.registryClientCertHosts={registry.lan}",
    ],
    &[
        "trust.keys.existingSecret=keys",
        "trust.trustedRoot.existingConfigMap=root",
        "trust.existingConfigMap=p",
    ],
    &["config.config.updates.level=minor", "config.registryMirrors={docker.io=mirror.lan/hub}"],
    &["timeZone=Europe/Berlin", "suspend=true", "startingDeadlineSeconds=600", "ttlSecondsAfterFinished=60"],
    &[
        "image.digest=sha256:489075c9ca37b7e08a7a71d30b69010cdf1b151396a5feeef7ca5b63134c887e",
        "image.pullPolicy=Always",
    ],
    &["nameOverride=pc", "fullnameOverride=provenance"],
    &[
        "activeDeadlineSeconds=null",
        "backoffLimit=0",
        "concurrencyPolicy=Replace",
        "networkPolicy.enabled=false",
    ],
    &[
        "stages.digest.workers=16",
        "stages.update.timeout=1m",
        "config.registryRate=0",
        "config.registryConcurrency=2",
        "telemetry.otlpEndpoint=http://otel:4317",
    ],
    &[
        "webUI.enabled=true",
        "persistence.existingClaim=mine",
        "webUI.replicas=2",
        "persistence.storageClass=-",
    ],
    &["webUI.enabled=true", "webUI.brand.title=Acme", "webUI.brand.themeLight.primary=#3451d1"],
    &[
        "nodeSelector.disk=ssd",
        "tolerations[0].operator=Exists",
        "priorityClassName=system-cluster-critical",
        "podLabels.team=platform",
        "podAnnotations.a=b",
        "extraEnv[0].name=HTTPS_PROXY",
        "extraEnv[0].value=http://proxy:3128",
        "extraVolumes[0].name=x",
        "extraVolumes[0].emptyDir.sizeLimit=1Mi",
        "extraVolumeMounts[0].name=x",
        "extraVolumeMounts[0].mountPath=/x",
    ],
];

/// The values of the first README, or of later ones, as their users wrote them.
fn older_values(age: &str) -> PathBuf {
    root().join(format!("tests/e2e/data/older-values/{age}.yaml"))
}

fn values_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(root().join("examples")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let is_values = path.extension().is_some_and(|extension| extension == "yaml")
                && ["webUI:", "config:", "trust:"].iter().any(|key| text.lines().any(|line| line == *key));
            if is_values {
                files.push(path);
            }
        }
    }
    assert!(files.len() >= 8, "{files:?}");
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_and_every_combination_is_valid_and_taken_by_the_api_server() {
    let cluster = Cluster::start().await;
    cluster.install_crds().await;
    for namespace in ["audit", "argocd", "flux-system", "team-a", "team-a-staging"] {
        cluster.namespace(namespace).await;
    }
    let schemas = tempfile::tempdir().unwrap();
    cluster.write_schemas(schemas.path()).await;
    let older = tempfile::tempdir().unwrap();

    let mut sets: Vec<(String, Vec<String>)> = COMBINATIONS
        .iter()
        .map(|values| {
            let set = values.iter().flat_map(|value| ["--set".to_owned(), (*value).to_owned()]);
            (values.join(" "), set.collect())
        })
        .collect();
    let files = values_files().into_iter().chain(["first", "later"].map(older_values));
    sets.extend(files.map(|file| {
        let file = file.display().to_string();
        (file.clone(), vec!["-f".to_owned(), file])
    }));
    assert!(sets.len() >= 40);
    for (what, arguments) in &sets {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let [three, four] = [3, 4].map(|helm| {
            template(helm, "pc", "audit", &arguments)
                .unwrap_or_else(|error| panic!("{what}: helm {helm}: {error}"))
        });
        let objects = documents(&three);
        assert_eq!(objects, documents(&four), "{what}: both versions of Helm render the same");
        conform(schemas.path(), what, &three);
        cluster.would_take(what, &objects, "audit").await;
        least_privilege(what, &objects);
    }
    for file in ["examples/argocd/application.yaml", "examples/flux/release.yaml"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        conform(schemas.path(), file, &text);
        let objects = documents(&text);
        cluster.would_take(file, &objects, "audit").await;
        for values in objects
            .iter()
            .flat_map(|one| [&one["spec"]["values"], &one["spec"]["source"]["helm"]["valuesObject"]])
        {
            if values.is_object() {
                let own = older.path().join("own.yaml");
                std::fs::write(&own, values.to_string()).unwrap();
                template(4, "pc", "audit", &["-f", own.to_str().unwrap()]).unwrap();
            }
        }
    }
    // A check that finds nothing wrong must be able to.
    let wrong = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: a}\nspec: {shedule: x}\n";
    assert!(std::panic::catch_unwind(|| conform(schemas.path(), "wrong", wrong)).is_err());
}

/// What holds for every pod and every role that the chart makes.
fn least_privilege(what: &str, objects: &[Value]) {
    for one in objects {
        let spec = match one["kind"].as_str().unwrap() {
            "CronJob" => &one["spec"]["jobTemplate"]["spec"]["template"]["spec"],
            "Deployment" => &one["spec"]["template"]["spec"],
            "ClusterRole" | "Role" => {
                let rules = one["rules"].to_string();
                assert!(!rules.contains('*'), "{what}: {rules}");
                continue;
            }
            _ => continue,
        };
        let pod = &spec["securityContext"];
        assert_eq!(
            (&pod["runAsNonRoot"], &pod["runAsUser"], &spec["enableServiceLinks"]),
            (&json!(true), &json!(65532), &json!(false))
        );
        assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault");
        for container in spec["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{what}");
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
            assert!(
                container["resources"]["limits"]["memory"].is_string()
                    && container["resources"]["requests"]["cpu"].is_string()
            );
        }
    }
}

#[test]
fn what_does_not_go_together_or_is_not_known_is_refused_with_what_to_do() {
    for (values, told) in [
        (vec!["webUI.enabld=true"], "enabld"),
        (vec!["config.updateLevel=tiny"], "updateLevel"),
        (vec!["config.registryTimeout=soon"], "registryTimeout"),
        (vec!["shards=0"], "shards"),
        (vec!["config.checkSBOM=maybe"], "checkSBOM"),
        (vec!["upload.auth=password"], "auth"),
        (vec!["persistence.mode=ftp"], "mode"),
        (vec!["persistence.mode=http"], "set webUI.enabled=true"),
        (vec!["config.reportOutput=s3"], "is none of pvc, configmap, http, policyreport"),
        (vec!["shards=3"], "set persistence.mode=http"),
        (
            vec!["webUI.enabled=true", "shards=3", "cache.enabled=true"],
            "set cache.accessModes=[ReadWriteMany]",
        ),
        (vec!["config.registryBudget=9"], "set cache.enabled=true"),
        (vec!["webUI.enabled=true", "webUI.replicas=2"], "ReadWriteMany"),
        (vec!["rbac.namespaced=true"], "config.namespaces"),
        (vec!["webUI.enabled=true", "upload.auth=token"], "upload.existingSecret"),
        (vec!["webUI.enabled=true", "nebariapp.enabled=true"], "nebariapp.hostname: it is required"),
        (vec!["ingress.enabled=true"], "set webUI.enabled=true"),
        (vec!["webUI.enabled=true", "ingress.enabled=true"], "ingress.host"),
        (vec!["webUI.enabled=true", "httpRoute.enabled=true"], "name the Gateway"),
    ] {
        let arguments: Vec<_> = values.iter().flat_map(|value| ["--set", value]).collect();
        for helm in [3, 4] {
            let refused = template(helm, "pc", "audit", &arguments).expect_err(&format!("{values:?}"));
            assert!(refused.contains(told), "{values:?}: {refused}");
        }
    }
}

/// The environment of the collector, as values make it.
fn environment(arguments: &[&str]) -> BTreeMap<String, String> {
    let objects = documents(&template(4, "pc", "audit", arguments).unwrap());
    let config = object(&objects, "ConfigMap", "pc-provenance-collector-config");
    serde_json::from_value(config["data"].clone()).unwrap()
}

#[test]
fn every_option_has_a_value_that_reaches_the_program() {
    let options = std::fs::read_to_string(root().join("chart/options.yaml")).unwrap();
    let options: Value = documents(&options).remove(0);
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("chart/values.schema.json")).unwrap())
            .unwrap();
    for command in ["collect", "serve"] {
        for option in options[command].as_array().unwrap() {
            let (env, path) = (option["env"].as_str().unwrap(), option["path"].as_str().unwrap());
            let described = path.split('.').fold(&schema, |at, name| &at["properties"][name]);
            // What templates turn into something else is set by what they are made of.
            let value = match (path, described["enum"].as_array()) {
                ("shards", _) => "1".to_owned(),
                ("config.reportPath", _) => "/elsewhere".into(),
                ("config.reportOutput", _) => "configmap".into(),
                ("config.config", _) => "/a/file.yaml".into(),
                ("config.reportUploadUrl" | "webUI.oidcIssuer" | "webUI.externalUrl", _) => {
                    "https://a.example.com/x".into()
                }
                (_, Some(choices)) => choices[0].to_string().trim_matches('"').to_owned(),
                _ if described["pattern"].as_str().is_some_and(|pattern| pattern.contains("ns|us")) => {
                    "17s".into()
                }
                _ if described["type"].to_string().contains("integer") => "17".into(),
                _ if path.contains("theme") => "x".into(),
                _ => "x".into(),
            };
            let set = format!("{path}={value}");
            let mut arguments = vec!["--set", "webUI.enabled=true", "--set", &set];
            if path == "webUI.oidcClientId" {
                // A client is nothing without its issuer.
                arguments.extend(["--set", "webUI.oidcIssuer=https://login.example.com"]);
            }
            if path == "config.registryBudget" {
                // What does not fit is left to a next run that must know of it.
                arguments.extend(["--set", "cache.enabled=true"]);
            }
            if described["type"] == "string" {
                arguments[2] = "--set-string";
            }
            let found = if command == "collect" {
                environment(&arguments).remove(env)
            } else {
                let objects = documents(&template(4, "pc", "audit", &arguments).unwrap());
                let web = object(&objects, "Deployment", "pc-provenance-collector-web");
                let list = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
                let entry = list.iter().find(|entry| entry["name"] == env);
                entry.map(|entry| entry["value"].as_str().unwrap().to_owned())
            };
            assert_eq!(found.as_deref(), Some(value.as_str()), "{path} sets {env}");
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_first_readme_and_http_where_the_dashboard_is_on() {
    let plain = environment(&[]);
    assert_eq!(plain["PROVENANCE_REPORT_OUTPUT"], "pvc");
    assert_eq!(plain["PROVENANCE_DEADLINE"], "3540s");
    let objects = documents(&template(3, "pc", "audit", &[]).unwrap());
    assert!(objects.iter().all(|one| one["kind"] != "Deployment"), "the dashboard is off");
    let shown = environment(&["--set", "webUI.enabled=true"]);
    assert_eq!(shown["PROVENANCE_REPORT_OUTPUT"], "http");
    assert_eq!(
        shown["PROVENANCE_REPORT_UPLOAD_URL"],
        "http://pc-provenance-collector-web-internal.audit.svc:8081/internal/reports"
    );
    let objects = documents(&template(3, "pc", "audit", &["--set", "webUI.enabled=true"]).unwrap());
    let job = object(&objects, "CronJob", "pc-provenance-collector");
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    assert!(pod["volumes"].is_null(), "the dashboard alone mounts the volume: {}", pod["volumes"]);
    // Wrong configuration and a partial report are not run again; a lost node takes no try.
    let rules = &job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"];
    assert_eq!(rules[0]["action"], "Ignore");
    assert_eq!(rules[1]["onExitCodes"]["values"], json!([2, 3, 4, 5]));
}

#[test]
fn older_values_make_the_objects_of_the_same_names() {
    let rendered = |age: &str| {
        let file = older_values(age);
        documents(&template(3, "provenance-collector", "audit", &["-f", file.to_str().unwrap()]).unwrap())
    };
    let first = rendered("first");
    for (kind, name) in [
        ("CronJob", "provenance-collector"),
        ("ServiceAccount", "provenance-collector"),
        ("ClusterRole", "provenance-collector"),
        ("ClusterRoleBinding", "provenance-collector"),
        ("ConfigMap", "provenance-collector-config"),
        ("PersistentVolumeClaim", "provenance-collector-reports"),
        ("Deployment", "provenance-collector-web"),
        ("Service", "provenance-collector-web"),
    ] {
        object(&first, kind, name);
    }
    assert_eq!(
        object(&first, "ConfigMap", "provenance-collector-config")["data"]["PROVENANCE_REPORT_OUTPUT"],
        "pvc"
    );
    let later = rendered("later");
    for (kind, name) in [
        ("NebariApp", "provenance-collector"),
        ("Service", "provenance-collector-web-internal"),
        ("Service", "provenance-collector-frontend"),
        ("Role", "provenance-collector-web"),
        ("RoleBinding", "provenance-collector-web"),
    ] {
        object(&later, kind, name);
    }
    assert!(
        later
            .iter()
            .all(|one| one["kind"] != "Deployment" || one["metadata"]["name"] == "provenance-collector-web")
    );
    let app = object(&later, "NebariApp", "provenance-collector");
    assert_eq!(app["spec"]["service"], json!({"name": "provenance-collector-web", "port": 8080}));
    let web = object(&later, "Deployment", "provenance-collector-web");
    let list = web["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let value = |name: &str| {
        list.iter().find(|entry| entry["name"] == name).map(|entry| entry["value"].as_str().unwrap())
    };
    assert_eq!(value("PROVENANCE_DASHBOARD_TITLE"), Some("Acme"));
    assert_eq!(value("PROVENANCE_DASHBOARD_THEME_LIGHT"), Some(r##"{"primary":"#123456"}"##));
    assert_eq!(value("PROVENANCE_FEATURE_TIMELINE_DELTAS"), Some("true"));
    assert_eq!(value("PROVENANCE_UPLOAD_MAX_BYTES"), Some("16777216"));
    assert_eq!(value("PROVENANCE_EXTERNAL_URL"), Some("https://provenance.example.com/"));
    assert_eq!(value("PROVENANCE_OIDC_CLIENT_ID"), Some("audit-provenance-collector-spa"));
}

#[test]
fn the_examples_of_alerts_are_the_charts() {
    let chart = std::fs::read_to_string(root().join("chart/alerts.yaml"))
        .unwrap()
        .replace("STALE_AFTER_SECONDS", "129600");
    let example = std::fs::read_to_string(root().join("examples/alerts/rules.yaml")).unwrap();
    assert_eq!(
        documents(&chart),
        documents(&example),
        "examples/alerts/rules.yaml is not chart/alerts.yaml any more"
    );
    let rules = tool("promtool");
    let mut tested = std::process::Command::new(rules);
    tested.args(["test", "rules"]).arg(root().join("examples/alerts/tests.yaml"));
    let output = tested.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tests = std::fs::read_to_string(root().join("examples/alerts/tests.yaml")).unwrap();
    for alert in documents(&chart)[0]["groups"][0]["rules"].as_array().unwrap() {
        let name = alert["alert"].as_str().unwrap();
        assert!(tests.matches(name).count() >= 2, "{name} is tested to be raised and not to be");
    }
}

/// What Helm tells who installs with these values.
fn notes(values: &[&str]) -> String {
    let mut command = std::process::Command::new(tool("helm-4"));
    command.args(["install", "pc"]).arg(root().join("chart")).args([
        "--dry-run=client",
        "--namespace",
        "audit",
    ]);
    for value in values {
        command.args(["--set", value]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split("\nNOTES:").nth(1).unwrap().to_owned()
}

#[test]
fn the_notes_say_how_to_go_on_and_what_is_lost() {
    for (values, told) in [
        (&["webUI.enabled=true"][..], "svc/pc-provenance-collector-web 8080:8080"),
        (&["persistence.mode=configmap"], "kubectl get configmap provenance-report -n audit"),
        (&["config.helmEnabled=false"], "Not looked for: Helm releases"),
        (&["rbac.helmSecrets=false"], "Missing from the report: Helm releases that are kept in Secrets"),
        (&["config.pullSecrets=false"], "Private images whose credentials are in pull secrets will fail"),
        (&["rbac.namespaced=true", "config.namespaces={a,b}"], "Only these namespaces are read: a,b"),
        (&["persistence.enabled=false"], "reports are gone with their pod"),
        (&["webUI.enabled=true", "persistence.mode=pvc"], "both must run on one node"),
        (&["webUI.enabled=true", "persistence.mode=configmap"], "these go to a ConfigMap alone"),
        (&["webUI.enabled=true"], "nobody can start a scan from it"),
        (&["webUI.enabled=true", "frontend.enabled=true"], "are ignored"),
    ] {
        let notes = notes(values);
        assert!(notes.contains(told), "{values:?}: {notes}");
    }
    assert!(!notes(&["webUI.enabled=true"]).contains("WARNING"));
}
