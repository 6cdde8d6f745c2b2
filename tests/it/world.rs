//! A folder with a spec, and the binary run in it, as a user would.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::servers;

/// Timeout of any command in a test.
const DEADLINE: Duration = Duration::from_mins(2);

/// The unprivileged account that every system has.
const NOBODY: u32 = 65534;

/// A temporary folder, and the environment variables of commands in it.
pub(crate) struct World {
    folder: TempDir,
    variables: RefCell<BTreeMap<String, String>>,
    /// Whether commands run as a user other than root.
    is_plain_user: bool,
}

impl World {
    /// Creates an empty folder. Commands inherit no variable except `PATH`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("world-").tempdir().unwrap();
        let variables = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("HOME".to_owned(), folder.path().display().to_string()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ]);
        Self { folder, variables: RefCell::new(variables), is_plain_user: false }
    }

    /// Creates a world-writable folder whose commands run as a user other than root, because root
    /// can read and write everything.
    pub(crate) fn of_plain_user() -> Self {
        let world = Self { is_plain_user: true, ..Self::new() };
        world.set_mode("", 0o777);
        // A copy of the binary that this user can execute.
        std::fs::copy(env!("CARGO_BIN_EXE_trueup"), world.path("trueup-binary")).unwrap();
        world.set_mode("trueup-binary", 0o755);
        world
    }

    /// Sets the permissions of a file or folder.
    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Sets a variable for later commands.
    pub(crate) fn env(&self, name: &str, value: impl Into<String>) -> &Self {
        self.variables.borrow_mut().insert(name.to_owned(), value.into());
        self
    }

    /// Unsets a variable for later commands.
    pub(crate) fn without_env(&self, name: &str) -> &Self {
        self.variables.borrow_mut().remove(name);
        self
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and creates its parent folders.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Returns the text of a file.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Copies a file or folder of the repository into the folder, under the same name.
    pub(crate) fn copy(&self, name: &str) -> &Self {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
        if from.is_dir() {
            for entry in std::fs::read_dir(&from).unwrap() {
                let entry = entry.unwrap().file_name();
                self.copy(&format!("{name}/{}", entry.to_str().unwrap()));
            }
        } else {
            self.file(name, std::fs::read(&from).unwrap_or_else(|error| panic!("{name}: {error}")));
        }
        self
    }

    /// Writes `stack.yaml`, the default spec.
    pub(crate) fn spec(&self, yaml: &str) -> &Self {
        self.file("stack.yaml", yaml)
    }

    /// Runs the binary in the folder, without a terminal.
    pub(crate) fn trueup(&self, arguments: &[&str]) -> Run {
        let command = snapbox::cmd::Command::from_std(self.command(arguments));
        let output = command.timeout(DEADLINE).output().unwrap();
        Run {
            command: format!("trueup {}", arguments.join(" ")),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
            code: output.status.code(),
        }
    }

    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        self.variables.borrow().clone()
    }

    /// Returns the command for the binary in the folder, for tests that redirect its output.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let copied = self.path("trueup-binary");
        let binary = if self.is_plain_user { copied } else { PathBuf::from(env!("CARGO_BIN_EXE_trueup")) };
        let mut command = Command::new(binary);
        if self.is_plain_user && rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.args(arguments).current_dir(self.folder.path());
        command.env_clear().envs(&*self.variables.borrow()).stdin(Stdio::null());
        command
    }

    /// Starts the binary in the folder without waiting for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let [stdout, stderr] = [(); 2].map(|()| NamedTempFile::new().unwrap());
        let mut command = self.command(arguments);
        command.stdout(stdout.reopen().unwrap()).stderr(stderr.reopen().unwrap());
        let child = command.spawn().unwrap();
        Running { command: format!("trueup {}", arguments.join(" ")), child, stdout, stderr }
    }

    /// `plan --detailed-exitcode`: 0 for no changes, 2 for changes.
    pub(crate) fn plan(&self) -> Run {
        self.trueup(&["plan", "--detailed-exitcode"])
    }

    /// Returns the plan as JSON.
    pub(crate) fn plan_json(&self) -> Value {
        self.trueup(&["plan", "--format", "json"]).json()
    }

    /// `apply --auto-approve`
    pub(crate) fn apply(&self) -> Run {
        self.trueup(&["apply", "--auto-approve"])
    }

    /// Runs SQL with `sqlite3` on a file of the folder; columns are separated by `|`.
    pub(crate) fn sqlite(&self, name: &str, sql: &str) -> String {
        servers::sqlite(&self.path(name), sql)
    }
}

/// A command that may still be running.
pub(crate) struct Running {
    command: String,
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns its stdout so far.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(&self.stdout).expect("stdout is text")
    }

    /// Returns its stderr so far.
    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).expect("stderr is text")
    }

    /// Returns its peak memory in bytes; `None` once it has ended.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Sends it a signal, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        servers::run(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]));
    }

    /// Waits for the event that a step has started, in a run that prints events as JSON.
    pub(crate) fn wait_for_step(&mut self, address: &str) {
        let began = format!("{{\"event\":\"started\",\"address\":\"{address}\"");
        servers::wait_until(address, || {
            // Checked before the events, because a step may start just before the command ends.
            let is_running = self.is_running();
            let has_begun = self.stdout().contains(&began);
            assert!(has_begun || is_running, "{address} was not begun\n{}{}", self.stdout(), self.stderr());
            has_begun
        });
    }

    pub(crate) fn kill(self) {
        self.signal("KILL");
        self.ends();
    }

    /// Waits until it has ended.
    pub(crate) fn ends(mut self) -> Run {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < DEADLINE, "{} does not end", self.command);
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().unwrap().code();
        Run { stdout: self.stdout(), stderr: self.stderr(), code, command: self.command }
    }
}

/// A command that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) command: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code; `None` if a signal ended it, for example after the timeout.
    pub(crate) code: Option<i32>,
}

impl Run {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}", self.transcript());
        self
    }

    /// Asserts that stdout contains this text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "stdout does not say {text:?}\n{}", self.transcript());
        self
    }

    /// Asserts that stderr contains this text.
    #[track_caller]
    pub(crate) fn warns(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "stderr does not say {text:?}\n{}", self.transcript());
        self
    }

    /// Asserts that this text is nowhere in the output, such as a secret.
    #[track_caller]
    pub(crate) fn never_says(&self, text: &str) -> &Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "the output has {text:?}\n{}", self.transcript());
        self
    }

    /// Parses stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON: {error}\n{}", self.transcript()))
    }

    /// Parses stdout as JSON with one document per line.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let read =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line}"));
        self.stdout.lines().map(read).collect()
    }

    /// Formats everything that a failure message needs.
    fn transcript(&self) -> String {
        let Self { command, stdout, stderr, code } = self;
        format!("$ {command}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n--- exit code {code:?}")
    }
}

#[test]
fn a_world_holds_files_and_reads_databases() {
    let world = World::new();

    world.file("data/a.txt", "text").spec("version: 1\n");

    assert_eq!(world.read("data/a.txt"), "text");
    assert_eq!(world.read("stack.yaml"), "version: 1\n");
    assert_eq!(world.sqlite("new.db", "SELECT 1, 2"), "1|2");
}
