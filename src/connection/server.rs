//! Creates and drops databases on the server, from a maintenance database. Does not touch the system
//! database itself.

use std::time::{Duration, Instant};

use super::client::{Client, database_name};
use super::{Creation, Error, Result};
use crate::sql::{self, Database, Value};
use crate::stack::{RedactedUrl, SystemUrl};

impl Client {
    /// Drops a database of the same server, after ending this account's sessions in it.
    pub(crate) async fn drop_beside(&self, name: &str) -> Result<()> {
        let SystemUrl::Postgres(url) = self.url() else { return Ok(()) };
        let dropping = || Error::doing(format!("dropping the scratch database {name}"));
        let maintenance = self.maintenance(url).await.map_err(dropping())?;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = $1 AND usename = current_user";
        let drop = format!("DROP DATABASE IF EXISTS {}", sql::identifier(name));
        let dropped = async {
            maintenance.query(end, &[Value::from(name)]).await?;
            maintenance.execute(&drop, &[]).await
        };
        let dropped = dropped.await;
        maintenance.close().await;
        dropped.map(|_| ()).map_err(dropping())
    }

    /// Drops databases of the same server that start with the prefix, belong to this account and
    /// have no sessions.
    pub(crate) async fn drop_unused_beside(
        &self,
        prefix: &str,
        is_left_over: impl Fn(&str) -> bool,
    ) -> sql::Result<()> {
        const UNUSED: &str = "SELECT datname FROM pg_database d \
                              WHERE left(datname, length($1)) = $1 AND pg_has_role(datdba, 'USAGE') \
                              AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)";
        let SystemUrl::Postgres(url) = self.url() else { return Ok(()) };
        let maintenance = self.maintenance(url).await?;
        let dropped = async {
            for row in maintenance.query(UNUSED, &[Value::from(prefix)]).await? {
                let name = row.text(0)?;
                if is_left_over(name) {
                    // The server rejects this while a session is connected.
                    let drop = format!("DROP DATABASE IF EXISTS {}", sql::identifier(name));
                    maintenance.execute(&drop, &[]).await?;
                }
            }
            Ok(())
        };
        let dropped = dropped.await;
        maintenance.close().await;
        dropped
    }

    /// Opens the maintenance database.
    pub(crate) async fn maintenance(&self, url: &RedactedUrl) -> sql::Result<Database> {
        match self.open_postgres(url, Some("postgres")).await {
            Ok(open) => Ok(open),
            Err(_) => self.open_postgres(url, Some("template1")).await,
        }
    }

    /// Creates the database, one run at a time: under a lock in the maintenance database, because a missing
    /// database cannot have one. Disconnects between attempts: a session in `template1` would prevent
    /// others from copying it. After a lost connection it checks whether the database exists, and retries
    /// if not.
    pub(crate) async fn create_on_server(&self, url: &RedactedUrl) -> Result<()> {
        const DEADLINE: Duration = Duration::from_secs(30);
        const PAUSE: Duration = Duration::from_millis(200);
        const OBJECT_IN_USE: &str = "55006";
        /// After so many lost connections it only checks, without another attempt.
        const LOSSES: usize = 2;
        let database = database_name(url);
        let mut progress = Creation::NotAsked;
        let (mut losses, mut last_loss) = (0, None);
        let mut started = Instant::now();
        loop {
            let failed = |source| Error::CreateDatabase { database: database.clone(), progress, source };
            let maintenance = match self.maintenance(url).await {
                Ok(maintenance) => maintenance,
                // The previous attempt may have created the database.
                Err(source) if progress == Creation::Unknown => return Err(failed(source)),
                Err(source) => return Err(Error::connecting(source, failed)),
            };
            let gives_up = if losses == LOSSES { last_loss.take() } else { None };
            let created = create_under_lock(&maintenance, &database, &mut progress, gives_up).await;
            maintenance.close().await;
            let failed = |source| Error::CreateDatabase { database: database.clone(), progress, source };
            match created {
                Ok(true) => return Ok(()),
                Ok(false) if started.elapsed() < DEADLINE => {}
                Ok(false) => {
                    return Err(Error::CreationLocked { database, progress, seconds: DEADLINE.as_secs() });
                }
                Err(error)
                    if error.code().as_deref() == Some(OBJECT_IN_USE) && started.elapsed() < DEADLINE => {}
                Err(error) if error.is_lost() && losses < LOSSES => {
                    losses += 1;
                    last_loss = Some(error);
                    // Detecting a silent connection takes longer than the deadline, so the deadline
                    // restarts.
                    started = Instant::now();
                }
                Err(source) => return Err(failed(source)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Creates the database unless it exists. Returns `gives_up` where that is set instead of creating it, and
/// false when another run holds the lock.
async fn create_under_lock(
    maintenance: &Database,
    database: &str,
    progress: &mut Creation,
    gives_up: Option<sql::Error>,
) -> sql::Result<bool> {
    const DUPLICATE_DATABASE: &str = "42P04";
    const UNIQUE_VIOLATION: &str = "23505";
    // The key is `trup` and the hash of the name. The lock ends with the session, and so with this
    // run.
    let lock = "SELECT pg_try_advisory_lock(1953658224, hashtext($1))";
    let taken = maintenance.query(lock, &[database.into()]).await?;
    if !taken.first().map_or(Ok(false), |row| row.bool(0))? {
        return Ok(false);
    }
    let there = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let there = maintenance.query(there, &[database.into()]).await?;
    if there.first().map_or(Ok(false), |row| row.bool(0))? {
        return Ok(true);
    }
    // The lock was free, so the previous attempt is over and did not succeed.
    *progress = Creation::NotAsked;
    if let Some(error) = gives_up {
        return Err(error);
    }
    let create = format!("CREATE DATABASE {}", sql::identifier(database));
    *progress = Creation::Unknown;
    match maintenance.execute(&create, &[]).await {
        Ok(_) => Ok(true),
        // A program that does not use this lock created it first.
        Err(error) if matches!(error.code().as_deref(), Some(DUPLICATE_DATABASE | UNIQUE_VIOLATION)) => {
            Ok(true)
        }
        Err(error) => {
            if !error.is_lost() {
                *progress = Creation::NotAsked;
            }
            Err(error)
        }
    }
}
