//! The binary `masv`: see the library for everything it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    masv_agent::cli::main()
}
