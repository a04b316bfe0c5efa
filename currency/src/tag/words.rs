//! What words in tags mean, by the conventions of the popular registries.

/// What a word says of the number behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A distribution the image is built on: its version moves with the image's.
    Base,
    /// A runtime or a program that the image brings along: its version is chosen by who runs it.
    Runtime,
    /// A release before the release; the greater, the nearer.
    PreRelease(u8),
    /// Anything else: a revision, a build.
    Other,
}

const BASES: &[&str] = &[
    "al",
    "alma",
    "almalinux",
    "alpine",
    "amazonlinux",
    "amzn",
    "azurelinux",
    "bci",
    "busybox",
    "centos",
    "debian",
    "distroless",
    "el",
    "fc",
    "fedora",
    "leap",
    "mariner",
    "ol",
    "oraclelinux",
    "photon",
    "rhel",
    "rocky",
    "rockylinux",
    "sles",
    "ubi",
    "ubuntu",
    "wolfi",
];

const RUNTIMES: &[&str] = &[
    "beam",
    "cassandra",
    "chrome",
    "clang",
    "corretto",
    "cp",
    "cuda",
    "cudnn",
    "dotnet",
    "elixir",
    "erlang",
    "es",
    "flink",
    "gcc",
    "ghc",
    "go",
    "golang",
    "graalvm",
    "hadoop",
    "java",
    "jdk",
    "jre",
    "kafka",
    "llvm",
    "lua",
    "mariadb",
    "mysql",
    "netcore",
    "nginx",
    "node",
    "nodejs",
    "openjdk",
    "openjre",
    "otp",
    "perl",
    "pg",
    "php",
    "postgres",
    "postgresql",
    "py",
    "python",
    "pytorch",
    "redis",
    "rocm",
    "ruby",
    "rust",
    "scala",
    "spark",
    "temurin",
    "torch",
    "zulu",
];

/// Words with digits that are names.
const NAMES: &[&str] = &[
    "32bit", "386", "64bit", "aarch64", "amd64", "arm32v5", "arm32v6", "arm32v7", "arm64", "arm64v8",
    "armv6", "armv7", "armv8", "avx2", "avx512", "cpuv1", "e2e", "i386", "i686", "k8s", "loong64",
    "mips64le", "ppc64le", "riscv64", "s390x", "win64", "x64", "x86",
];

/// Names that end in a letter, and are followed by a number of their own.
const NUMBERED: &[&str] = &["k0s", "k3s", "rke2r"];

/// Systems whose number must be that of the host.
const HOST_BOUND: &[&str] = &["nanoserver", "servercore", "windows", "windowsservercore"];

/// Tags that name no version: what they point to moves.
const MOVING: &[&str] = &[
    "canary", "current", "dev", "devel", "develop", "edge", "head", "latest", "lts", "main", "mainline",
    "master", "nightly", "release", "rolling", "stable", "testing", "trunk", "unstable",
];

pub(super) fn meaning(word: &str) -> Meaning {
    let word = word.to_ascii_lowercase();
    let word = word.as_str();
    if BASES.contains(&word) {
        return Meaning::Base;
    }
    if RUNTIMES.contains(&word) {
        return Meaning::Runtime;
    }
    pre_release(word).map_or(Meaning::Other, Meaning::PreRelease)
}

fn pre_release(word: &str) -> Option<u8> {
    Some(match word {
        "dev" | "develop" | "nightly" | "snapshot" | "canary" | "unstable" | "experimental" | "test"
        | "insider" | "insiders" => 0,
        "alpha" => 1,
        "beta" => 2,
        "milestone" => 3,
        "pre" | "preview" | "prerelease" | "ea" | "next" => 4,
        "rc" | "cr" => 5,
        _ => return None,
    })
}

/// Whether the word says "before the release" without a number behind it; `-dev` alone is a variant.
pub(super) fn is_pre_release_alone(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word == "snapshot" || pre_release(&word).is_some_and(|rank| rank > 0)
}

/// The pre-release a single letter means between two numbers, as in `3.13.0a3`.
pub(super) fn letter(word: &str) -> Option<u8> {
    Some(match word {
        "a" => 1,
        "b" => 2,
        "m" | "M" => 3,
        "c" => 5,
        _ => return None,
    })
}

pub(super) fn is_name(run: &str) -> bool {
    let run = run.to_ascii_lowercase();
    let ltsc = run.strip_prefix("ltsc").is_some_and(|year| year.bytes().all(|byte| byte.is_ascii_digit()));
    ltsc || NAMES.contains(&run.as_str())
}

/// The name with digits at the start of `k3s2`.
pub(super) fn numbered_name(run: &str) -> Option<&str> {
    NUMBERED.iter().find(|name| run.starts_with(**name)).map(|name| &run[..name.len()])
}

/// Whether a word behind a version says no more than that it is a release: `3.6.4.Final`.
pub(super) fn only_says_release(word: &str) -> bool {
    ["final", "ga", "release"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

pub(super) fn is_host_bound(word: &str) -> bool {
    HOST_BOUND.contains(&word.to_ascii_lowercase().as_str())
}

pub(super) fn is_moving(word: &str) -> bool {
    MOVING.contains(&word.to_ascii_lowercase().as_str())
}
