//! Long lists: a repository of 20,000 tags, a list of tags that never ends, the index of a large chart repository.
//! Requests, wall time, CPU and peak memory of the whole collector. `cargo bench --bench lists`.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a bench prints rounded figures")]

mod measure;

use std::path::Path;
use std::process::Command;

use provenance_testbed::{BuiltImage, ChartRepository, Effect, Fault, KubeApi, Registry, helm};
use serde_json::{Value, json};

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    println!("| what | requests | wall | CPU | peak memory |");
    println!("| --- | --- | --- | --- | --- |");
    let registry = runtime.block_on(Registry::start()).expect("loopback has free ports");
    let image = format!("{}/team/app:3.14.1", registry.host());
    registry.push("team/app", "3.14.1", &BuiltImage::single("app"));
    scan("one tag", &registry, &image);
    let built = BuiltImage::single("app");
    for number in 0..20_000 {
        let tag = format!("{}.{}.{}", number / 1000, number / 10 % 100, number % 10);
        registry.push("team/app", &tag, &built);
    }
    scan("20,000 tags in pages of 1,000", &registry, &image);
    registry.fault(Fault::on("/tags/list", Effect::EndlessPages));
    scan("a list that never ends (200 pages)", &registry, &image);

    let kube = runtime.block_on(KubeApi::start()).expect("loopback has free ports");
    kube.add(helm::stored("Secret", &helm::release("shop", "web", 1, "deployed", &chart(0, 0), "")));
    let entries = json!({"chart-0": [chart(0, 0), chart(0, 1)]});
    let charts = runtime.block_on(ChartRepository::start(&entries)).expect("loopback has free ports");
    releases("an index of two versions", &kube, &charts, folder.path());
    let index = large_index();
    let megabytes = index.len() as f64 / f64::from(1 << 20);
    charts.set_text(&index);
    releases(
        &format!("an index of 50,000 versions, {megabytes:.0} MiB of YAML"),
        &kube,
        &charts,
        folder.path(),
    );
}

fn scan(told: &str, registry: &Registry, image: &str) {
    registry.clear_log();
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    command.args(["scan", image, "--registry-rate", "0", "--log", "error"]);
    let measured = measure::run(&mut command);
    print(told, registry.log().len(), &measured);
}

fn releases(told: &str, kube: &KubeApi, charts: &ChartRepository, folder: &Path) {
    let config = folder.join("config.yaml");
    std::fs::write(&config, format!("charts: {{repositories: [{{url: '{}'}}]}}", charts.url()))
        .expect("the temporary folder is writable");
    let kubeconfig = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nusers: []\ncontexts: [{{name: c, context: {{cluster: c, \
         user: ''}}}}]\nclusters: [{{name: c, cluster: {{server: '{}'}}}}]\n",
        kube.url()
    );
    std::fs::write(&kubeconfig, text).expect("the temporary folder is writable");
    let before = charts.log().len();
    let mut command = Command::new(env!("CARGO_BIN_EXE_provenance-collector"));
    command.args(["collect", "--log", "error", "--format", "json", "--registry-rate", "0"]);
    command.arg("--config").arg(&config).arg("--kubeconfig").arg(&kubeconfig);
    command.arg("--report-path").arg(folder.join("reports"));
    let measured = measure::run(&mut command);
    assert!(measured.status.success(), "the collector ended with {}", measured.status);
    print(told, charts.log().len() - before, &measured);
}

fn print(told: &str, requests: usize, measured: &measure::Measured) {
    println!(
        "| {told} | {requests} | {:.2} s | {:.2} s | {:.1} MiB |",
        measured.wall.as_secs_f64(),
        measured.cpu.as_secs_f64(),
        measured.peak_kib as f64 / 1024.0,
    );
}

fn chart(name: usize, version: usize) -> Value {
    json!({"apiVersion": "v2", "name": format!("chart-{name}"), "version": format!("{}.{}.{}", version / 100, version / 10 % 10, version % 10)})
}

/// 200 charts of 250 versions, as a real index writes them.
fn large_index() -> String {
    use std::fmt::Write as _;
    let mut text = String::from("apiVersion: v1\nentries:\n");
    for name in 0..200 {
        writeln!(text, "  chart-{name}:").expect("writing to a string does not fail");
        for version in 0..250 {
            write!(
                text,
                "  - annotations:\n      category: Infrastructure\n      images: |\n        - name: app\n          image: \
                 docker.io/acme/app-{name}:{version}\n    apiVersion: v2\n    appVersion: {version}.1.0\n    created: \
                 \"2025-01-02T03:04:05.678901234Z\"\n    dependencies:\n    - name: common\n      repository: \
                 oci://registry-1.docker.io/charts\n      tags:\n      - common\n      version: 2.x.x\n    description: A \
                 chart that installs an application, its database and a cache, with sensible defaults.\n    digest: \
                 {name:032x}{version:032x}\n    home: https://charts.example.com\n    icon: \
                 https://charts.example.com/assets/chart-{name}.png\n    keywords:\n    - app\n    - web\n    maintainers:\n    \
                 - name: Acme\n      url: https://github.com/acme/charts\n    name: chart-{name}\n    sources:\n    - \
                 https://github.com/acme/charts/tree/main/chart-{name}\n    urls:\n    - \
                 https://charts.example.com/chart-{name}-{version}.tgz\n    version: {}.{}.{}\n",
                version / 100,
                version / 10 % 10,
                version % 10
            )
            .expect("writing to a string does not fail");
        }
    }
    text
}
