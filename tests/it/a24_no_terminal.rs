//! Without a terminal: no prompt, no colour, no progress bar; stdout contains only the result.

use std::process::{Command, Stdio};

use crate::stores::{BUSINESS, Database, Shop, make_business};
use crate::world::World;

const ESCAPE: &str = "\u{1b}";

/// Creates a stack with a warning (a disabled target), with colours allowed.
fn with_warning() -> World {
    let world = World::new();
    make_business(&world, "business.db");
    Shop { more: BUSINESS.to_owned(), ..Shop::default() }.write(&world, &Database::Sqlite);
    world.without_env("NO_COLOR");
    world
}

#[test]
fn a24_apply_does_not_ask_without_a_terminal() {
    let world = with_warning();

    let run = world.trueup(&["apply"]);

    run.exits(64).warns("--auto-approve").warns("trueup apply PLAN").never_says("Only `yes`");
    assert!(!world.path("system.db").exists());
}

#[test]
fn a24_no_colour_no_bar_and_remarks_go_to_stderr() {
    let world = with_warning();

    let commands: [&[&str]; 8] = [
        &["validate"],
        &["plan", "--out", "plan.json"],
        &["plan", "--format", "markdown"],
        &["apply", "--auto-approve"],
        &["status"],
        &["history"],
        &["show", "plan.json"],
        &["graph"],
    ];
    for command in commands {
        let run = world.trueup(command);

        run.exits(0).never_says(ESCAPE).never_says("\r");
        assert!(!run.stdout.contains("warning:") && !run.stdout.contains("note: `trueup"), "{}", run.stdout);
    }
    world.trueup(&["--color", "always", "plan"]).says(ESCAPE);
}

#[test]
fn a24_an_answer_that_cannot_be_written_is_a_failure() {
    let world = with_warning();
    let to_full = |arguments: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let ended = world.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let commands: [&[&str]; 4] =
        [&["plan", "--format", "json"], &["plan", "--detailed-exitcode"], &["schema"], &["--help"]];

    for command in commands {
        let (code, stderr) = to_full(command);

        assert_eq!(code, Some(1), "{command:?}: {stderr}");
        assert!(stderr.contains("cannot write the answer to stdout: No space left"), "{command:?}: {stderr}");
    }
    // Wrong usage prints no result, and prints its errors even with `--quiet`.
    assert_eq!(to_full(&["apply", "--no-such-thing"]).0, Some(64));
    // A running step is finished.
    assert_eq!(to_full(&["apply", "--auto-approve"]).0, Some(1));
    world.plan().exits(0);
}

#[test]
fn a24_a_reader_that_goes_away_is_no_failure() {
    let world = with_warning();
    for command in [&["schema"][..], &["plan", "--format", "json"], &["--help"]] {
        let mut child = world.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());

        let ended = child.wait_with_output().unwrap();

        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{command:?}: {stderr}");
        assert!(!stderr.contains("cannot write"), "{stderr}");
    }
}

#[test]
fn a24_json_is_all_of_stdout() {
    let world = with_warning();

    let plan = world.trueup(&["plan", "--format", "json"]);
    let apply = world.trueup(&["apply", "--auto-approve", "--format", "json"]);
    let status = world.trueup(&["status", "--format", "json"]);

    plan.exits(0).warns("is off");
    assert_eq!(plan.json()["stack"], "shop");
    let events = apply.exits(0).events();
    assert_eq!(events.last().unwrap()["event"], "summary");
    for (event, keys) in events.iter().map(|event| (event, event.as_object().unwrap())) {
        let known = ["started", "finished", "failed", "blocked", "summary"];
        assert!(known.iter().any(|known| event["event"] == *known), "{event}");
        assert!(event["event"] == "summary" || keys.contains_key("at"), "{event}");
    }
    let starts = events.iter().filter(|event| event["event"] == "started").count();
    let ends = events.iter().filter(|event| event["event"] == "finished").count();
    assert_eq!((starts, events.last().unwrap()["applied"].as_u64()), (ends, u64::try_from(ends).ok()));
    assert_eq!(status.exits(0).json()["status"], "healthy");
}

#[test]
fn a24_quiet_leaves_the_answer_and_the_warnings() {
    let world = with_warning();

    let loud = world.trueup(&["plan"]);
    let quiet = world.trueup(&["--quiet", "plan"]);

    assert_eq!(quiet.stdout, loud.stdout);
    loud.warns("note:");
    assert!(!quiet.stderr.contains("note:"), "{}", quiet.stderr);
}

/// Runs the binary in a terminal, and types an answer.
fn in_a_terminal(world: &World, answer: &str, no_color: bool) -> (Option<i32>, String) {
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command"]);
    script.arg(format!("{} apply", env!("CARGO_BIN_EXE_trueup"))).arg("/dev/null");
    script
        .current_dir(world.path(""))
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap())
        .env("TERM", "xterm");
    script.env("DATABASE_URL", "sqlite://system.db").env("ADMIN_PASSWORD", "a long enough password");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    let input = std::fs::File::open(world.path(answer)).unwrap();
    let output = script.stdin(Stdio::from(input)).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a24_with_a_terminal_it_asks_and_only_yes_is_taken_as_approval() {
    let world = with_warning();
    world.file("no", "y\n").file("yes", "yes\n");

    let (refused, said) = in_a_terminal(&world, "no", false);
    assert!(said.contains("Only `yes`") && said.contains(ESCAPE), "{said}");
    assert_eq!(refused, Some(1), "{said}");
    assert!(!world.path("system.db").exists());

    let (approved, said) = in_a_terminal(&world, "yes", true);
    assert_eq!(approved, Some(0), "{said}");
    assert_eq!(world.sqlite("system.db", "SELECT count(*) FROM items"), "3");
    assert!(!said.contains("\u{1b}[3"), "NO_COLOR is set: {said:?}");
}
