//! Brings one role to what the spec says, in one transaction that looks at the catalogs first and
//! again before it commits. One role at a time; a race against a run on another database of the server,
//! which no lock of this one keeps off, is tried again when it is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde_json::json;

use super::globs::Globs;
use super::observe::{Roles, observe_in};
use super::rights::{Difference, Kind, Object, VALID_UNTIL, Verb, difference, grouped};
use super::{Error, Result, scram, text};
use crate::address::Address;
use crate::connection::{Client, limit};
use crate::journal::password_version::{account_key, version_print};
use crate::journal::{Entry, RunId, inventory};
use crate::sql::{self, Database, Transaction, identifier};
use crate::stack::Role;

/// How often a lost race is tried again: about four seconds in all. Who lost has waited for the end
/// of who won, so that each time one of those that race is done.
const MOST_TRIES: usize = 12;
/// Objects in one statement.
const BATCH: usize = 500;
/// The first server on which a membership is one a grantor, with options of its own.
const PER_GRANTOR: u32 = 160_000;

/// A role to make or to mend.
#[derive(Debug, Clone)]
pub struct RoleChange {
    pub(super) address: Address,
    pub(super) name: String,
    pub(super) role: Role,
    /// Whether the password is set though the role is there.
    pub(super) sets_password: bool,
    /// The password's version afterwards.
    pub(super) version: u32,
    pub(super) extent: Extent,
}

/// How much of a role a step brings in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    /// Takes back default privileges, before there is anything that they would open.
    Defaults,
}

impl RoleChange {
    /// What is left to do.
    fn difference(&self, seen: &Roles) -> Difference {
        let difference = difference(&self.name, &self.role, seen);
        match self.extent {
            Extent::Whole => difference,
            Extent::Defaults => difference.apart().0,
        }
    }
}

/// Makes or mends the role.
pub(crate) async fn apply(change: &RoleChange, client: &Client, run: &RunId) -> Result<()> {
    let database = client.database().await?;
    // With chance in the pauses: stacks that began together do not meet again each time.
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
        // A failure says what was tried without the verifier.
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

/// What the plan could not see while migrations were pending.
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

/// A grant of somebody else's can be revoked by nobody else; the server only warns of it.
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

/// The statement for the role itself. A verifier has no character that ends a text.
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

/// The statements for its memberships and privileges; what is taken comes before what is given.
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
    kind: Kind,
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
        Kind::Database => "DATABASE",
        Kind::Schema => "SCHEMA",
        Kind::Table => "TABLE",
        Kind::Sequence => "SEQUENCE",
        Kind::FutureTables => return future("TABLES"),
        Kind::FutureSequences => return future("SEQUENCES"),
        Kind::FutureSchemas => return future("SCHEMAS"),
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
