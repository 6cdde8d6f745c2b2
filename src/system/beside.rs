//! The server beside the system database: its other databases, which are made and dropped from one for
//! maintenance, and its roles. Nothing here touches the system database itself.

use std::time::{Duration, Instant};

use super::client::{Client, database_name};
use super::{Desired, Error, Result, Roles, roles};
use crate::spec::{RedactedUrl, SystemUrl};
use crate::sql::{self, Database, Value};

impl Client {
    /// Drops a database of the same server, and ends this account's sessions in it.
    pub(super) async fn drop_beside(&self, name: &str) -> Result<()> {
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

    /// The roles of the server, as they will be in the database that is missing. Nothing is known of them
    /// where the account may use no other database.
    pub(super) async fn roles_beside(&self, desired: &Desired) -> Result<Option<Roles>> {
        let SystemUrl::Postgres(url) = self.url() else { return Ok(None) };
        let Ok(maintenance) = self.maintenance(url).await else { return Ok(None) };
        let roles = roles::observe(desired, &maintenance).await;
        maintenance.close().await;
        Ok(roles?.map(|roles| roles.in_new_database(database_name(url))))
    }

    /// Drops the databases of the same server that begin with a prefix, are this account's and are left
    /// over, as long as nobody is connected to them.
    pub(super) async fn drop_unused_beside(
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
    async fn maintenance(&self, url: &RedactedUrl) -> sql::Result<Database> {
        match self.open_postgres(url, Some("postgres")).await {
            Ok(open) => Ok(open),
            Err(_) => self.open_postgres(url, Some("template1")).await,
        }
    }

    /// Makes the database, one run at a time: under a lock in the maintenance database, because a
    /// database that does not exist has none. Between two attempts nothing is connected: a session
    /// in `template1` would keep everybody else from copying it.
    pub(super) async fn create_on_server(&self, url: &RedactedUrl) -> Result<()> {
        const DEADLINE: Duration = Duration::from_secs(30);
        const PAUSE: Duration = Duration::from_millis(200);
        const OBJECT_IN_USE: &str = "55006";
        let database = database_name(url);
        let failed = |source| Error::CreateDatabase { database: database.clone(), source };
        let started = Instant::now();
        loop {
            let opened = self.maintenance(url).await;
            let maintenance = opened.map_err(|source| Error::connecting(source, failed))?;
            let created = create_under_lock(&maintenance, &database).await;
            maintenance.close().await;
            match created {
                Ok(true) => return Ok(()),
                Ok(false) if started.elapsed() < DEADLINE => {}
                Ok(false) => return Err(Error::CreationLocked { database, seconds: DEADLINE.as_secs() }),
                Err(error)
                    if error.code().as_deref() == Some(OBJECT_IN_USE) && started.elapsed() < DEADLINE => {}
                Err(source) => return Err(failed(source)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Creates the database, unless it is there; false when another run is about to.
async fn create_under_lock(maintenance: &Database, database: &str) -> sql::Result<bool> {
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
    let create = format!("CREATE DATABASE {}", sql::identifier(database));
    match maintenance.execute(&create, &[]).await {
        Ok(_) => Ok(true),
        // Somebody without this lock was faster.
        Err(error) if matches!(error.code().as_deref(), Some(DUPLICATE_DATABASE | UNIQUE_VIOLATION)) => {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
