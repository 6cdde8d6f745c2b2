//! The server beside the system database: its other databases, which are made and dropped from one for
//! maintenance. Nothing here touches the system database itself.

use std::time::{Duration, Instant};

use super::client::{Client, database_name};
use super::{Creation, Error, Result};
use crate::sql::{self, Database, Value};
use crate::stack::{RedactedUrl, SystemUrl};

impl Client {
    /// Drops a database of the same server, and ends this account's sessions in it.
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

    /// Drops the databases of the same server that begin with a prefix, are this account's and are left
    /// over, as long as nobody is connected to them.
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
                    // The server refuses it while somebody is connected.
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

    /// A database that databases are made and dropped from.
    pub(crate) async fn maintenance(&self, url: &RedactedUrl) -> sql::Result<Database> {
        match self.open_postgres(url, Some("postgres")).await {
            Ok(open) => Ok(open),
            Err(_) => self.open_postgres(url, Some("template1")).await,
        }
    }

    /// Makes the database, one run at a time: under a lock in the maintenance database, because a
    /// database that does not exist has none. Between two attempts nothing is connected: a session
    /// in `template1` would keep everybody else from copying it. After a lost connection it is looked for,
    /// and made once more where it is not there.
    pub(crate) async fn create_on_server(&self, url: &RedactedUrl) -> Result<()> {
        const DEADLINE: Duration = Duration::from_secs(30);
        const PAUSE: Duration = Duration::from_millis(200);
        const OBJECT_IN_USE: &str = "55006";
        /// Connections that may be lost before it is only looked for.
        const LOSSES: usize = 2;
        let database = database_name(url);
        let mut progress = Creation::NotAsked;
        let (mut losses, mut last_loss) = (0, None);
        let mut started = Instant::now();
        loop {
            let failed = |source| Error::CreateDatabase { database: database.clone(), progress, source };
            let maintenance = match self.maintenance(url).await {
                Ok(maintenance) => maintenance,
                // What an attempt before this one asked for may be there.
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
                    // To notice that a connection is silent takes longer than all attempts may.
                    started = Instant::now();
                }
                Err(source) => return Err(failed(source)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Creates the database, unless it is there or `gives_up` has the error to end with; false when another run
/// is about to.
async fn create_under_lock(
    maintenance: &Database,
    database: &str,
    progress: &mut Creation,
    gives_up: Option<sql::Error>,
) -> sql::Result<bool> {
    const DUPLICATE_DATABASE: &str = "42P04";
    const UNIQUE_VIOLATION: &str = "23505";
    // The key is `trup` and the name's hash. It goes with the only session, so with this run.
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
    // An attempt before this one is over, since the lock was free.
    *progress = Creation::NotAsked;
    if let Some(error) = gives_up {
        return Err(error);
    }
    let create = format!("CREATE DATABASE {}", sql::identifier(database));
    *progress = Creation::Unknown;
    match maintenance.execute(&create, &[]).await {
        Ok(_) => Ok(true),
        // Somebody without this lock was faster.
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
