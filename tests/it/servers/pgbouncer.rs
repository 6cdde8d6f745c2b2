//! A `PgBouncer` in front of a test's database.

use std::process::Command;

use tempfile::TempDir;

use super::{Postgres, Process, free_port, run, wait_until};

/// A pooler that accepts any client, and connects to PostgreSQL with its own credentials.
pub(crate) struct PgBouncer {
    _process: Process,
    port: u16,
    database: String,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts a pooler for a database, with `session` or `transaction` as its mode and further
    /// settings.
    pub(crate) fn start(postgres: &Postgres, mode: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = url::Url::parse(&postgres.url()).unwrap();
        let (host, port) = (server.host_str().unwrap(), server.port().unwrap());
        let password = server.password().unwrap();
        let (ini, log) = (folder.path().join("pgbouncer.ini"), folder.path().join("log"));
        for _ in 0..5 {
            let listen = free_port();
            let text = format!(
                "[databases]\n* = host={host} port={port} user=postgres password={password}\n\
                 [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen}\nunix_socket_dir =\n\
                 auth_type = any\nauth_file = {}\npool_mode = {mode}\n{settings}\n",
                folder.path().join("users").display(),
            );
            std::fs::write(&ini, text).unwrap();
            std::fs::write(folder.path().join("users"), "").unwrap();
            // Like PostgreSQL it does not run as root. Debian installs it in a folder that is only
            // in root's PATH.
            let mut command = if run(Command::new("id").arg("-u")) == "0" {
                run(Command::new("chmod").args(["-R", "a+rX"]).arg(folder.path()));
                let mut command = Command::new("setpriv");
                let user = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
                command.args(user).arg("/usr/sbin/pgbouncer");
                command
            } else {
                Command::new("pgbouncer")
            };
            let mut process = Process::start(command.arg(&ini), &log);
            let says = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(what);
            wait_until("pgbouncer", || says("process up") || process.has_ended());
            if !process.has_ended() && says(&format!("listening on 127.0.0.1:{listen}")) {
                return Self {
                    _process: process,
                    port: listen,
                    database: postgres.name().to_owned(),
                    _folder: folder,
                };
            }
        }
        panic!("pgbouncer does not start: {}", std::fs::read_to_string(&log).unwrap_or_default())
    }

    /// `postgres://postgres:any@127.0.0.1:PORT/NAME`
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres:any@127.0.0.1:{}/{}", self.port, self.database)
    }
}
