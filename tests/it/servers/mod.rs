//! Real servers for tests, each on a free port of 127.0.0.1. Servers that already run on the
//! machine are not used, and all started ones are stopped on drop.

mod chroma;
mod pgbouncer;
mod postgres;
mod redis;
mod wire;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) use chroma::Chroma;
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::{Postgres, Session, psql};
pub(crate) use redis::Redis;
pub(crate) use wire::{Fault, Wire};

/// Timeout for the start of a server, on a busy machine.
const START_DEADLINE: Duration = Duration::from_mins(1);

/// A server that `scripts/test` started for all tests, or one that belongs to this value.
struct Shared {
    /// Its folder and the variables of `scripts/servers`, which otherwise come from the
    /// environment.
    own: Option<(TempDir, BTreeMap<String, String>)>,
}

impl Shared {
    /// Returns the server whose address is in the variable, or starts a new one of this kind.
    fn start(kind: &str, variable: &str) -> Self {
        if std::env::var_os(variable).is_some() { Self { own: None } } else { Self::alone(kind) }
    }

    /// Starts a server of this kind.
    fn alone(kind: &str) -> Self {
        Self::alone_with(kind, &[])
    }

    /// Starts a server of this kind with additional environment variables.
    fn alone_with(kind: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("trueup-test-").tempdir().unwrap();
        let output = run(script().arg("start").arg(folder.path()).arg(kind).envs(variables.iter().copied()));
        let values = output.lines().filter_map(|line| line.split_once('='));
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { own: Some((folder, values)) }
    }

    /// Returns the value of one of its variables.
    fn value(&self, variable: &str) -> String {
        let value = match &self.own {
            Some((_, values)) => values.get(variable).cloned(),
            None => std::env::var(variable).ok(),
        };
        value.unwrap_or_else(|| panic!("scripts/servers says nothing of {variable}"))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some((folder, _)) = &self.own {
            run(script().arg("stop").arg(folder.path()));
        }
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers"))
}

/// A server that is a child of this process, with its output in a file.
struct Process {
    child: Child,
    pid_file: Option<PathBuf>,
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> Self {
        let output = std::fs::File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}; scripts/test installs it"));
        // A killed test drops nothing, so scripts/test stops the processes listed here.
        let pid_file = std::env::var_os("TRUEUP_TEST_DIR")
            .map(|folder| Path::new(&folder).join(format!("child-{}.pid", child.id())));
        if let Some(file) = &pid_file {
            std::fs::write(file, child.id().to_string()).unwrap();
        }
        Self { child, pid_file }
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.pid_file {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Returns a free port. Another process may take it before use, so callers retry with another one.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Returns a name that no other test uses, in this process or another.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `ready` returns true.
pub(crate) fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < START_DEADLINE, "{what} is not ready after {START_DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a command that must succeed, and returns its stdout without the last line break.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}; scripts/test installs it"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?} fails with {status}\n{stdout}\n{stderr}");
    stdout.trim_end_matches('\n').to_owned()
}

/// Runs SQL with `sqlite3` on a file and returns its rows, with columns separated by `|`.
pub(crate) fn sqlite(path: &Path, sql: &str) -> String {
    run(Command::new("sqlite3").arg("-bail").arg(path).arg(sql))
}

#[test]
fn postgres_starts_gives_each_test_a_database_and_stops() {
    let (one, other, absent) = (Postgres::start(), Postgres::start(), Postgres::absent());

    one.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)");

    assert_eq!(one.psql("SELECT count(*) FROM t"), "2");
    assert_eq!(other.psql("SELECT to_regclass('t') IS NULL"), "t");
    let databases =
        |name: &str| other.on_server(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"));
    assert_eq!(databases(absent.name()), "0");
    let name = one.name().to_owned();
    drop(one);
    assert_eq!(databases(&name), "0");
}

#[test]
fn redis_starts_and_stops() {
    let open = Redis::start();
    let closed = Redis::with_password("a long pass:word@home");

    assert_eq!(open.cli(&["SET", "key", "value"]), "OK");
    assert_eq!(closed.cli(&["GET", "key"]), "");
    assert!(closed.url().contains("a%20long%20pass%3Aword%40home"));
    let port = open.port();
    drop(open);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn chroma_starts_and_gives_each_test_a_tenant() {
    let (one, other) = (Chroma::start(), Chroma::start());

    one.request("POST", &format!("{}/collections", one.database_path()), Some(r#"{"name": "ddl"}"#));

    let names = |chroma: &Chroma| {
        let answer = chroma.request("GET", &format!("{}/collections", chroma.database_path()), None);
        let collections = answer.as_array().unwrap();
        collections
            .iter()
            .map(|collection| collection["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one), ["ddl"]);
    assert_eq!(names(&other), [""; 0]);
    assert_eq!(one.python("print([c.name for c in client.list_collections()])"), "['ddl']");
}
