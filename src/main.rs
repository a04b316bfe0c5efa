//! `provenance-collector`: what runs on this cluster, and is it still what its tag says?

use std::process::ExitCode;

fn main() -> ExitCode {
    provenance_collector::cli::main()
}
