//! The binary: parse, run, exit code. Everything else is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    trueup::cli::main(std::env::args_os())
}
