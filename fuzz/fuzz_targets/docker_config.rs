//! Docker configurations, in both forms, against an image.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance_model::ImageReference;
use provenance_stages::credentials::DockerConfig;

fuzz_target!(|bytes: &[u8]| {
    let reference: ImageReference =
        "registry.example:5000/team/app:1".parse().expect("a fixed name is valid");
    for config in [DockerConfig::parse(bytes), DockerConfig::parse_dockercfg(bytes)].into_iter().flatten() {
        let _ = config.matching(&reference.registry, &reference.repository).count();
    }
});
