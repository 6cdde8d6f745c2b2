//! A25: kill -9 at any moment, then the same command again. The harness is `scripts/crash`; this
//! runs about ten kills of it.

use std::path::Path;
use std::process::Command;

use crate::servers::{Chroma, Postgres, run};

fn crash(stores: &str, variables: &[(&str, String)]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/crash");
    let mut command = Command::new("python3");
    command.arg(script).args(["--binary", env!("CARGO_BIN_EXE_trueup"), "--stores", stores]);
    command.args(["--every", "16", "--random", "2", "--again", "1"]).envs(variables.iter().cloned());

    // It fails with the differences, if there are any.
    let output = run(&mut command);

    let killed = output.lines().last().and_then(|line| line.split_whitespace().nth(2));
    let killed: u32 = killed.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{output}"));
    assert!(killed >= 5, "{output}");
}

#[test]
fn a25_the_same_command_after_kill_9_ends_as_if_nobody_had_killed_on_sqlite() {
    crash("sqlite", &[]);
}

#[test]
fn a25_the_same_command_after_kill_9_ends_as_if_nobody_had_killed_on_servers() {
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let servers =
        [("TRUEUP_TEST_POSTGRES", postgres.url_of("postgres")), ("TRUEUP_TEST_CHROMA", chroma.url())];
    crash("postgres", &servers);
}
