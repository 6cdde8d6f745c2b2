//! A Redis server for one test: it starts in 20 ms, and its settings are global.

use std::process::Command;

use tempfile::TempDir;

use super::{Process, free_port, run, wait_until};

/// Starts a server without persistence.
pub(crate) struct Redis {
    _process: Process,
    port: u16,
    password: Option<String>,
    _folder: TempDir,
}

impl Redis {
    /// Starts a server without a password.
    pub(crate) fn start() -> Self {
        Self::with(None, &[])
    }

    /// Starts a server whose default user has a password.
    pub(crate) fn with_password(password: &str) -> Self {
        Self::with(Some(password), &[])
    }

    /// Starts a server like those of hosting providers, where CONFIG is disabled.
    pub(crate) fn without_config_command() -> Self {
        Self::with(None, &["--rename-command", "CONFIG", ""])
    }

    /// Starts a server that hides its version, so that it counts as older than 7.0.
    pub(crate) fn without_hello_command() -> Self {
        Self::with(None, &["--rename-command", "HELLO", ""])
    }

    fn with(password: Option<&str>, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new("redis-server");
            command.current_dir(folder.path()).args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ]);
            command.args(["--port", &port.to_string()]).args(options);
            if let Some(password) = password {
                command.args(["--requirepass", password]);
            }
            let mut process = Process::start(&mut command, &log);
            // Its own log shows when it is ready, because another server may answer on the port.
            let says = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(what);
            wait_until("redis-server", || says("Ready to accept connections") || process.has_ended());
            if !process.has_ended() {
                let password = password.map(str::to_owned);
                return Self { _process: process, port, password, _folder: folder };
            }
        }
        panic!("redis-server does not start: {}", std::fs::read_to_string(&log).unwrap_or_default())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://[:PASSWORD@]127.0.0.1:PORT/0`
    pub(crate) fn url(&self) -> String {
        self.url_with(self.password.as_deref())
    }

    /// Returns the URL with another password.
    pub(crate) fn url_with(&self, password: Option<&str>) -> String {
        let mut url = url::Url::parse(&format!("redis://127.0.0.1:{}/0", self.port)).unwrap();
        url.set_password(password).unwrap();
        url.into()
    }

    /// Runs `redis-cli` with the server's password, and returns its output.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-e"]);
        if let Some(password) = &self.password {
            command.env("REDISCLI_AUTH", password);
        }
        run(command.args(arguments))
    }
}
