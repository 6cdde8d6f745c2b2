//! A PostgreSQL database for one test, on a shared server.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Shared, run, unique_name};

/// Contains the URL of the maintenance database.
const VARIABLE: &str = "TRUEUP_TEST_POSTGRES";

/// A database, with superuser rights on the server.
pub(crate) struct Postgres {
    server: Shared,
    name: String,
}

impl Postgres {
    /// Creates an empty database.
    pub(crate) fn start() -> Self {
        let database = Self::absent();
        database.on_server(&format!("CREATE DATABASE {}", database.name));
        // Provides gen_random_uuid() for the migrations of this repository.
        if database.major() < 13 {
            database.psql("CREATE EXTENSION pgcrypto");
        }
        database
    }

    /// As [`Self::start`], on a separate server, for tests of roles and settings, which belong to
    /// the server.
    pub(crate) fn alone() -> Self {
        let database = Self { server: Shared::alone("postgres"), name: unique_name() };
        database.on_server(&format!("CREATE DATABASE {}", database.name));
        database
    }

    /// As above, on a server with messages in another language, such as `de`.
    pub(crate) fn in_language(language: &str) -> Self {
        let server = Shared::alone_with("postgres", &[("LANGUAGE", language)]);
        let database = Self { server, name: unique_name() };
        database.on_server(&format!("CREATE DATABASE {}", database.name));
        database
    }

    /// Returns the server's message for a division by zero, in its language.
    pub(crate) fn sample_message(&self) -> String {
        self.psql(
            "DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN \
             PERFORM set_config('test.message', SQLERRM, false); END $$; \
             SELECT current_setting('test.message')",
        )
    }

    /// Returns a server, and the name of a database that does not exist.
    pub(crate) fn absent() -> Self {
        Self { server: Shared::start("postgres", VARIABLE), name: unique_name() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://postgres:PASSWORD@127.0.0.1:PORT/NAME`
    pub(crate) fn url(&self) -> String {
        self.url_of(&self.name)
    }

    /// Returns the same server's URL with another database.
    pub(crate) fn url_of(&self, database: &str) -> String {
        let maintenance = self.server.value(VARIABLE);
        let (server, _) = maintenance.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }

    /// Runs SQL in the database and returns its rows, with columns separated by `|`.
    pub(crate) fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Opens a foreign session that stays open.
    pub(crate) fn session(&self) -> Session {
        Session::open(&self.url())
    }

    /// Returns the server's major version.
    pub(crate) fn major(&self) -> u32 {
        self.on_server("SELECT current_setting('server_version_num')::int / 10000").parse().unwrap()
    }

    /// Runs SQL in the maintenance database.
    pub(crate) fn on_server(&self, sql: &str) -> String {
        psql(&self.server.value(VARIABLE), sql)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.own.is_none() {
            // PostgreSQL 12 has no WITH (FORCE). The two statements cannot run in one transaction.
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname";
            self.on_server(&format!("{end} = '{}'", self.name));
            self.on_server(&format!("DROP DATABASE IF EXISTS {}", self.name));
        }
    }
}

/// A client that sends statements without waiting for results. It is killed on drop, but its server
/// process may remain for a while.
pub(crate) struct Session {
    psql: Child,
    input: Option<ChildStdin>,
}

impl Session {
    pub(crate) fn open(url: &str) -> Self {
        let mut psql = Command::new("psql");
        psql.arg(url).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut psql = psql.spawn().unwrap();
        let input = psql.stdin.take();
        Self { psql, input }
    }

    /// Sends statements.
    pub(crate) fn send(&mut self, sql: &str) {
        writeln!(self.input.as_mut().unwrap(), "{sql};").unwrap();
    }

    /// Ends it after all statements are done.
    pub(crate) fn end(mut self) {
        drop(self.input.take());
        self.psql.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may already have ended.
        self.psql.kill().ok();
        self.psql.wait().unwrap();
    }
}

/// Runs SQL with `psql` at a URL and returns its rows, with columns separated by `|`.
pub(crate) fn psql(url: &str, sql: &str) -> String {
    let options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
    run(Command::new("psql").arg(url).args(options).arg("--command").arg(sql))
}
