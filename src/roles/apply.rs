//! Changes one role in one transaction, which reads the catalogs first and again before COMMIT. Roles are
//! changed one at a time. A run on another database of the same server may change the same catalog rows,
//! because the lock does not cover it; such a conflict is retried.

use std::collections::BTreeSet;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde_json::json;

use super::globs::Globs;
use super::observe::{Roles, observe_in};
use super::rights::{Difference, Object, ObjectKind, VALID_UNTIL, Verb, difference, grouped};
use super::{Error, Result, scram, text};
use crate::address::Address;
use crate::connection::{Client, limit};
use crate::journal::password_version::{account_key, version_print};
use crate::journal::{Entry, RunId, inventory};
use crate::sql::{self, Database, Transaction, identifier};
use crate::stack::Role;

/// The maximum number of retries after a conflict, about four seconds in all. The transaction that failed
/// waited for the one that won, so each attempt completes one of the competing runs.
const MOST_TRIES: usize = 12;
/// The maximum number of objects per statement.
const BATCH: usize = 500;
/// The first version on which memberships are recorded per grantor, with options of their own.
const PER_GRANTOR: u32 = 160_000;

/// A role to create or alter.
#[derive(Debug, Clone)]
pub struct RoleChange {
    pub(super) address: Address,
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether to set the password of an existing role.
    pub(super) sets_password: bool,
    /// The password version to record.
    pub(super) version: u32,
    pub(super) extent: Extent,
}

/// Which parts of a role a step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// Only revokes default privileges, before migrations create objects that would get them.
    Defaults,
}

impl RoleChange {
    /// The remaining difference to the spec.
    fn difference(&self, seen: &Roles) -> Difference {
        let difference = difference(&self.name, &self.role, seen);
        match self.extent {
            Extent::Whole => difference,
            Extent::Defaults => difference.apart().0,
        }
    }
}

/// Creates or alters the role.
pub(crate) async fn apply(change: &RoleChange, client: &Client, run: &RunId) -> Result<()> {
    let database = client.database().await?;
    // Random pauses, so that runs that conflicted once do not conflict again at each retry.
    let mut pauses = ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(500))
        .with_max_times(MOST_TRIES)
        .with_jitter()
        .build();
    loop {
        let attempted = attempt(change, &database, client, run).await;
        let pause = match &attempted {
            Err(error) if error.is_lost_race() => pauses.next(),
            _ => None,
        };
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return attempted,
        }
    }
}

async fn attempt(change: &RoleChange, database: &Database, client: &Client, run: &RunId) -> Result<()> {
    let RoleChange { address, name, role, sets_password, version, extent } = change;
    let failed = || Error::role(address);
    let mut transaction = database.begin().await.map_err(failed())?;
    client.check_lock().await?;
    limit(&mut transaction).await.map_err(failed())?;
    let seen = observe_in(&mut transaction).await.map_err(failed())?;
    if *extent == Extent::Whole {
        check(change, &seen)?;
    }

    let wanted = change.difference(&seen);
    let password = match role.password.as_ref().filter(|_| wanted.create || *sets_password) {
        Some(secret) => {
            let iterations = seen.iterations.unwrap_or(scram::ITERATIONS);
            Some(scram::verifier(address, secret, iterations).await?)
        }
        None => None,
    };
    if wanted.create || password.is_some() || !wanted.attributes.is_empty() {
        let sql = alter(name, role, &wanted, password.as_deref());
        // The statement contains the verifier, so the error must not quote it.
        execute(&mut transaction, &sql).await.map_err(|error| failed()(without_text(error)))?;
    }
    for sql in statements(name, role, &wanted, &seen) {
        execute(&mut transaction, &sql).await.map_err(failed())?;
    }
    if !wanted.is_empty() {
        let seen = observe_in(&mut transaction).await.map_err(failed())?;
        left(address, &change.difference(&seen))?;
    }
    if *extent == Extent::Defaults {
        return transaction.commit().await.map_err(failed());
    }
    let entry = Entry {
        address: address.clone(),
        place: json!({ "role": name }).to_string(),
        key: account_key(name),
        digest: version_print(*version),
    };
    inventory::record(&mut transaction, run, &[entry]).await.map_err(failed())?;
    transaction.commit().await.map_err(failed())
}

/// Checks that could not be made in the plan while migrations were pending.
fn check(change: &RoleChange, seen: &Roles) -> Result<()> {
    let globs = Globs::new(&change.role.grants);
    let lacks = |schema: &str, table: &str| {
        !seen.schemas.get(schema).is_some_and(|schema| schema.tables.contains_key(table))
    };
    let lacking = globs.literal().find(|(schema, table, _)| lacks(schema, table));
    let shape = |message| Error::Shape { address: change.address.to_string(), message };
    match lacking {
        Some((_, _, written)) => Err(shape(format!("table {written} does not exist"))),
        None => Ok(()),
    }
}

/// Fails where a difference remains: privileges granted by another role cannot be revoked, and the server
/// only warns about it.
fn left(address: &Address, left: &Difference) -> Result<()> {
    if left.is_empty() {
        return Ok(());
    }
    Err(Error::NotGranted { address: address.to_string(), left: text::of_difference(left, false) })
}

async fn execute(transaction: &mut Transaction, sql: &str) -> sql::Result<()> {
    transaction.execute(sql, &[]).await.map(|_| ())
}

fn without_text(error: sql::Error) -> sql::Error {
    match error {
        sql::Error::Statement { cause, waited, .. } => {
            sql::Error::Statement { sql: "ALTER ROLE".to_owned(), cause, waited }
        }
        other => other,
    }
}

/// The statement for the role itself. The characters of a verifier need no quoting.
fn alter(name: &str, role: &Role, wanted: &Difference, verifier: Option<&str>) -> String {
    let verb = if wanted.create { "CREATE" } else { "ALTER" };
    let login = if role.login { "LOGIN" } else { "NOLOGIN" };
    let inherit = if role.inherit { "INHERIT" } else { "NOINHERIT" };
    let limit = role.connection_limit.map_or(-1, i64::from);
    let password = verifier.map(|verifier| format!(" PASSWORD '{verifier}'")).unwrap_or_default();
    let is_expired = wanted.attributes.iter().any(|(attribute, ..)| *attribute == VALID_UNTIL);
    let valid = if is_expired { " VALID UNTIL 'infinity'" } else { "" };
    format!("{verb} ROLE {} {login} {inherit} CONNECTION LIMIT {limit}{password}{valid}", identifier(name))
}

/// The statements for memberships and privileges. Revokes precede grants.
fn statements(name: &str, role: &Role, wanted: &Difference, seen: &Roles) -> Vec<String> {
    let Difference { create: _, attributes: _, leaves, joins, connect, deltas } = wanted;
    let who = identifier(name);
    let per_grantor = seen.server >= PER_GRANTOR;
    let mut statements = Vec::new();
    for (parent, grantors) in leaves {
        let parent = identifier(parent);
        if per_grantor {
            let by =
                |grantor: &String| format!("REVOKE {parent} FROM {who} GRANTED BY {}", identifier(grantor));
            statements.extend(grantors.iter().map(by));
        } else {
            statements.push(format!("REVOKE {parent} FROM {who}"));
        }
    }
    let inherit = match (per_grantor, role.inherit) {
        (false, _) => "",
        (true, true) => " WITH INHERIT TRUE",
        (true, false) => " WITH INHERIT FALSE",
    };
    statements.extend(joins.iter().map(|parent| format!("GRANT {} TO {who}{inherit}", identifier(parent))));
    if *connect {
        statements.push(format!("GRANT CONNECT ON DATABASE {} TO {who}", identifier(&seen.database)));
    }
    for ((verb, kind, privileges), objects) in grouped(deltas) {
        for objects in objects.chunks(BATCH) {
            statements.extend(privileges_on(verb, kind, privileges, objects, &who));
        }
    }
    statements
}

fn privileges_on(
    verb: Verb,
    kind: ObjectKind,
    privileges: &BTreeSet<String>,
    objects: &[&Object],
    who: &str,
) -> Vec<String> {
    let privileges = privileges.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let (verb, preposition) = match verb {
        Verb::Revoke => ("REVOKE", "FROM"),
        Verb::RevokeGrantOption => ("REVOKE GRANT OPTION FOR", "FROM"),
        Verb::Grant => ("GRANT", "TO"),
    };
    let future = |what: &str| {
        let statement = |object: &&Object| {
            let of = quoted(object);
            let of = if of.is_empty() { of } else { format!("IN SCHEMA {of} ") };
            format!("ALTER DEFAULT PRIVILEGES {of}{verb} {privileges} ON {what} {preposition} {who}")
        };
        objects.iter().map(statement).collect()
    };
    let word = match kind {
        ObjectKind::Database => "DATABASE",
        ObjectKind::Schema => "SCHEMA",
        ObjectKind::Table => "TABLE",
        ObjectKind::Sequence => "SEQUENCE",
        ObjectKind::FutureTables => return future("TABLES"),
        ObjectKind::FutureSequences => return future("SEQUENCES"),
        ObjectKind::FutureSchemas => return future("SCHEMAS"),
    };
    let names = objects.iter().map(|object| quoted(object)).collect::<Vec<_>>().join(", ");
    vec![format!("{verb} {privileges} ON {word} {names} {preposition} {who}")]
}

fn quoted(object: &Object) -> String {
    match object {
        Object::FutureSchemas => String::new(),
        Object::Database(name) => identifier(name),
        Object::Schema(schema) | Object::FutureTables(schema) | Object::FutureSequences(schema) => {
            if schema.is_empty() { String::new() } else { identifier(schema) }
        }
        Object::Table(schema, name) | Object::Sequence(schema, name) => {
            format!("{}.{}", identifier(schema), identifier(name))
        }
    }
}
