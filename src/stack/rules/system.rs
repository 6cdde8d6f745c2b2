//! The system database: its address, its migrations, and the tables of accounts and terms.

use std::collections::BTreeMap;
use std::time::Duration;

use super::address::{Address, map, wrong_scheme};
use super::connection;
use super::flags::Declared;
use super::values::{column, distinct, duration_within, plain_key, read_each, required, table};
use super::{roles, seeds, users};
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::files::{self, FileRef};
use crate::stack::raw::{OntologyFile, System as Raw, TermColumns, Terms as RawTerms};
use crate::stack::typed::field::{Field, Key, TextOr};
use crate::stack::yaml::tree::Span;
use crate::stack::{Endpoint, MigrationSets, Ontology, Order, SchemaDrift, System, SystemUrl, Terms};

const ACCEPTED: &str =
    "`postgres://host/database`, `sqlite:///absolute/path`, `sqlite://path` relative to this file";
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Just below the maximum of PostgreSQL, which counts milliseconds in 31 bits.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(24 * 24);

/// Returns the system database; `None` if it is invalid.
pub(super) fn system(cx: &Context<'_>, raw: &Raw, at: Span, flags: &Declared) -> Option<System> {
    let endpoint = endpoint(cx, raw, at);
    let is_sqlite = matches!(&endpoint, Some(Endpoint { to: Ok(SystemUrl::Sqlite(_)), .. }));
    if is_sqlite {
        postgres_only(cx, "extensions", raw.extensions.at());
        postgres_only(cx, "roles", raw.roles.at());
    }
    let extensions = distinct(cx, &raw.extensions, "the extension");
    let migrations = migrations(cx, raw, endpoint.as_ref());
    let lock_timeout = duration_within(
        cx,
        &raw.lock_timeout,
        LOCK_TIMEOUT,
        &(Duration::from_millis(1)..=LONGEST_TIMEOUT),
        "`1ms` to `24d`: without a limit a migration and all that wait behind it would wait for ever",
    );
    let statement_timeout = duration_within(
        cx,
        &raw.statement_timeout,
        Duration::ZERO,
        &(Duration::ZERO..=LONGEST_TIMEOUT),
        "`1ms` to `24d`, and `0s` for no limit",
    );
    let accounts = users::accounts(cx, raw, at);
    let users = users::users(cx, raw, accounts.as_ref().ok().and_then(Option::as_ref));
    let roles = roles::roles(cx, raw, endpoint.as_ref());
    let terms = terms(cx, raw);
    let ontologies = ontologies(cx, raw);
    let seeds = seeds::seeds(cx, raw, flags);
    Some(System {
        endpoint: endpoint?,
        at: cx.at(at),
        create_database: raw.create_database.or(false),
        extensions,
        migrations: migrations?,
        order: raw.order.or(Order::Linear),
        lock_timeout,
        statement_timeout,
        schema_drift: raw.schema_drift.or(SchemaDrift::Warn),
        roles: roles?,
        accounts: accounts.ok()?,
        users: users?,
        terms,
        ontologies: ontologies?,
        seeds: seeds?,
    })
}

/// Rejects a key that does not apply to SQLite.
fn postgres_only(cx: &Context<'_>, key: &str, at: Option<Span>) {
    let Some(at) = at else { return };
    let message = format!("`{key}` is for PostgreSQL, and the system database is SQLite");
    cx.fail(Code::NotForThisKind, at, message, "not for this database", "remove it, or use `postgres://…`");
}

fn endpoint(cx: &Context<'_>, raw: &Raw, at: Span) -> Option<Endpoint<SystemUrl>> {
    let url = connection::written(&raw.url)?;
    let (address, written, at) =
        connection::endpoint(cx, url, &raw.connection, "the address of the database", at, ACCEPTED)?;
    map(address, |to| match to {
        Address::Sqlite(path) => Some(SystemUrl::Sqlite(path)),
        Address::Server(url) if matches!(url.expose().scheme(), "postgres" | "postgresql") => {
            if url.expose().path().trim_matches('/').is_empty() {
                let help = "end it with the name of a database: `postgres://host/insight`";
                cx.fail(Code::BadUrl, at, "the address names no database", "this address", help);
                return None;
            }
            Some(SystemUrl::Postgres(url))
        }
        Address::Server(_) => {
            wrong_scheme(cx, at, written, ACCEPTED);
            None
        }
    })
}

fn migrations(cx: &Context<'_>, raw: &Raw, endpoint: Option<&Endpoint<SystemUrl>>) -> Option<MigrationSets> {
    let Some(Field { at, value }) = raw.migrations.field() else { return Some(MigrationSets::default()) };
    let sets = files::migrations(cx, FileRef { path: value.as_ref()?, at: *at, label: "migrations" })?;
    let MigrationSets { folder: _, common, postgres, sqlite, repeatable: _ } = &sets;
    let lacks = match endpoint.map(|endpoint| &endpoint.to) {
        Some(Ok(SystemUrl::Postgres(_))) => (postgres.is_empty() && !sqlite.is_empty()).then_some("postgres"),
        Some(Ok(SystemUrl::Sqlite(_))) => (sqlite.is_empty() && !postgres.is_empty()).then_some("sqlite"),
        Some(Err(_)) | None => None,
    };
    if let Some(dialect) = lacks
        && common.is_empty()
    {
        let message = format!("there are no migrations for `{dialect}`");
        cx.fail(Code::Migrations, *at, message, "this folder", format!("add a folder `{dialect}/` to it"));
    }
    Some(sets)
}

fn terms(cx: &Context<'_>, raw: &Raw) -> Terms {
    let spared = RawTerms::default();
    let spared_columns = TermColumns::default();
    let written = raw.terms.value().unwrap_or(&spared);
    let columns = written.columns.value().unwrap_or(&spared_columns);
    let TermColumns { ontology, term, definition, synonyms, expression, tables } = columns;
    Terms {
        table: table(cx, &written.table, "business_ontologies"),
        ontology: ontology.or("ontology".to_owned()),
        term: term.or("term".to_owned()),
        definition: column(definition, "definition"),
        synonyms: column(synonyms, "synonyms"),
        expression: column(expression, "expression"),
        tables: column(tables, "source_tables"),
    }
}

fn ontologies(cx: &Context<'_>, raw: &Raw) -> Option<BTreeMap<String, Ontology>> {
    read_each(raw.ontologies.entries(), |key, field| {
        plain_key(cx, "ontology", key);
        ontology(cx, key, field)
    })
}

fn ontology(cx: &Context<'_>, key: &Key, field: &Field<TextOr<OntologyFile>>) -> Option<Ontology> {
    let label = format!("ontology/{}", key.name);
    let (path, at) = match field.value.as_ref()? {
        TextOr::Text(path) => (path, field.at),
        TextOr::Map(OntologyFile { file, protect: _ }) => {
            required(cx, file, "file", key.at, "the file of its terms")?
        }
    };
    files::ontology(cx, FileRef { path, at, label: &label }, key)
}
