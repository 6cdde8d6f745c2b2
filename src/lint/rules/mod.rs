//! The rules: each has a name, a risk and a description, and a section of
//! `docs/reference/lint.md`. One file a kind of rule.

mod locks;
mod loss;
mod rows;
mod types;
mod unseen;

use std::collections::BTreeSet;

pub(super) use locks::*;
pub(super) use loss::*;
pub(super) use rows::*;
pub(super) use types::*;
pub(super) use unseen::*;

use super::effect::{Effect, Read, RowAccess, Using};
use super::known::{Known, Lock};
use super::rule::Rule;
use crate::catalog::TableName;
use crate::change::Risk;

/// Every rule, grouped by kind.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [loss::RULES, rows::RULES, types::RULES, locks::RULES, unseen::RULES].into_iter().flatten().copied()
}

/// A rule and the reason why it applies.
pub(super) type Finding = (&'static Rule, String);

/// Returns the findings for an effect; none if nothing is lost or blocked. Tables created by this
/// plan and tables in `free` are exempt.
pub(super) fn judge(effect: &Effect, known: &Known, free: &BTreeSet<TableName>) -> Vec<Finding> {
    let Effect::ChangesType { table, column, to, using, has_collation } = effect else {
        let second = rewritten_without_column(effect, known, free);
        return match_rule(effect, known, free).into_iter().chain(second).collect();
    };
    let is_free = known.is_fresh(table) && !known.is_replacement(table) || free.contains(table);
    if is_free || known.is_fresh_column(table, column) {
        return Vec::new();
    }
    let base = |kind| known.domain(kind).map_or(kind, |(base, _)| base);
    let using = using.as_ref().map(|using| match using {
        Using::Casts(casts) => Using::Casts(casts.iter().map(|kind| base(kind).to_owned()).collect()),
        Using::AtUtc | Using::Computes(_) => using.clone(),
    });
    let mut found = retyped(known.kind(table, column).map(base), base(to), using.as_ref());
    if known.domain(to).is_some_and(|(_, is_constrained)| is_constrained) {
        found.push((&CONVERSION, format!("fails where a value does not fulfil what {to} demands")));
        if found.iter().all(|(rule, _)| **rule != COLUMN_TYPE) {
            found.push((&COLUMN_TYPE, "everybody waits while the table is written anew".to_owned()));
        }
    }
    if let Some(why) =
        known.depends_on(table, column).filter(|_| found.iter().all(|(rule, _)| **rule != COLUMN_TYPE))
    {
        found.push((&COLUMN_TYPE, format!("everybody waits: {why}")));
    }
    if *has_collation && found.iter().all(|(rule, _)| **rule != COLUMN_TYPE) {
        found.push((
            &COLUMN_TYPE,
            "everybody waits while its indexes are built anew, in another order".to_owned(),
        ));
    }
    found.into_iter().map(|(rule, why)| (rule, format!("{table}.{column}: {why}"))).collect()
}

/// SQLite rewrites the table to drop a column.
fn rewritten_without_column(effect: &Effect, known: &Known, free: &BTreeSet<TableName>) -> Option<Finding> {
    let Effect::DropsColumn { table, .. } = effect else { return None };
    let is_small = known.is_fresh(table) || free.contains(table);
    (known.has_one_writer() && !is_small).then(|| {
        (
            &LONG_WRITE,
            format!("writers of the whole file wait while {table} is written anew without the column"),
        )
    })
}

fn match_rule(effect: &Effect, known: &Known, free: &BTreeSet<TableName>) -> Option<Finding> {
    // A table of this plan is not exempt once existing data was copied into it.
    let is_new =
        |table: &TableName| known.is_fresh(table) && !known.is_replacement(table) && !known.is_assumed(table);
    let is_free = |table: &TableName| is_new(table) || free.contains(table);
    match effect {
        Effect::Matches { rule, to, reason } if rule.risk == Risk::Destructive => {
            let kept = |table: &TableName| {
                let copy = known.copy_of(table).filter(|_| **rule == DROP_TABLE)?;
                Some(match known.dependent_of(table) {
                    // SQLite deletes the rows of a table before it drops it, which triggers foreign
                    // key actions.
                    Some(child) => (
                        *rule,
                        format!(
                            "rows of {child} refer to {table}, and lose that or are deleted with it; write \
                             `PRAGMA foreign_keys = OFF` before it"
                        ),
                    ),
                    None => (
                        &LONG_WRITE,
                        format!(
                            "writers wait while {table} is replaced by {copy}, which has all its rows and \
                             columns{}",
                            without(&known.lost_with(table))
                        ),
                    ),
                })
            };
            let rest: Vec<_> = to.iter().filter(|table| !is_free(table)).collect();
            match rest.as_slice() {
                [] if !to.is_empty() => None,
                [table] if kept(table).is_some() => kept(table),
                _ => Some((*rule, reason.clone())),
            }
        }
        Effect::Matches { rule, to, reason } => {
            let is_free = |table: &TableName| known.is_fresh(table) || free.contains(table);
            let of_no_account = !to.is_empty() && to.iter().all(is_free);
            if of_no_account {
                // A large table of this plan takes long to process, too.
                let lock = known.lock().filter(|_| to.iter().any(|table| known.is_filled(table)))?;
                return Some((&WORK_UNDER_LOCK, waits(lock)));
            }
            Some((*rule, reason.clone()))
        }
        Effect::DropsColumn { table, column, if_exists } => {
            let is_missing = *if_exists && known.lacks_column(table, column);
            let of_no_account = is_missing || is_free(table) || known.is_fresh_column(table, column);
            (!of_no_account).then(|| (&DROP_COLUMN, format!("loses the values of {table}.{column}")))
        }
        Effect::UpdatesAll { table, columns } => {
            let all_new = columns.iter().all(|column| known.is_fresh_column(table, column));
            if is_free(table) {
                None
            } else if !columns.is_empty() && all_new && known.has_one_writer() {
                Some((
                    &LONG_WRITE,
                    format!("writers of the whole file wait until all rows of {table} are written"),
                ))
            } else if !columns.is_empty() && all_new {
                Some((&BACKFILL, known.lock().map_or_else(|| filled(table), waits)))
            } else {
                Some((&UPDATE_ALL_ROWS, format!("overwrites {} in all rows of {table}", list(columns))))
            }
        }
        Effect::DropsTypes { names } => {
            let (kind, (table, column)) = names.iter().find_map(|kind| Some((kind, known.column_of(kind)?)))?;
            Some((&TYPE_IN_USE, format!("fails, because {table}.{column} has the type {kind}")))
        }
        Effect::AttachesPartition { table, child, bound, reason } => {
            let is_free = |table: &TableName| known.is_fresh(table) || free.contains(table);
            let is_checked = |child: &TableName| {
                let is_empty = is_free(child) && !known.is_filled(child);
                !is_empty && !known.is_proven_partition(table, child, bound)
            };
            let checks_default = !is_free(table) && !known.lacks_default_partition(table);
            let checks_child = child.as_ref().is_some_and(is_checked);
            (checks_default || checks_child).then(|| (&ATTACH_PARTITION, reason.clone()))
        }
        Effect::IndexesParentOnly { table, rule, reason } => {
            let is_empty = known.is_partitioned(table) || known.is_fresh(table) || free.contains(table);
            (!is_empty).then(|| (*rule, reason.clone()))
        }
        Effect::FailsOnPartitioned { table, reason } => {
            known.is_partitioned(table).then(|| (&REFUSED, reason.clone()))
        }
        Effect::DropsSchemas { names, if_exists } => {
            let lost: Vec<_> =
                names.iter().filter(|name| !known.is_schema_free(name, *if_exists)).map(String::as_str).collect();
            (!lost.is_empty()).then(|| (&DROP_SCHEMA, format!("loses what is in schema {}", lost.join(", "))))
        }
        Effect::DropsExtensions { names, if_exists } => {
            let is_there = |name: &&String| !(*if_exists && known.lacks_extension(name));
            let lost: Vec<_> = names.iter().filter(is_there).map(String::as_str).collect();
            (!lost.is_empty()).then(|| (&DROP_EXTENSION, format!("loses what extension {} brought", lost.join(", "))))
        }
        Effect::RenamesSchema { name } => (!known.is_schema_free(name, false)).then(|| {
            (&RENAME_TABLE, format!("statements that name the schema {name} fail from then on"))
        }),
        Effect::RevalidatesDomain { name } => (!known.is_unused_domain(name)).then(|| {
            let reason = "writers wait while every table that uses the domain is checked";
            (&DOMAIN_CONSTRAINT, reason.to_owned())
        }),
        Effect::SetsNotNull { table, column } if known.is_null_throughout(table, column) => {
            (!known.is_fresh(table) && !free.contains(table)).then(|| {
                let reason = format!(
                    "fails when the table has rows: {column} is new and NULL in all of them; fill it before"
                );
                (&ADDING_REQUIRED_FIELD, reason)
            })
        }
        Effect::AddsUncheckedForeignKey { table } => known.is_partitioned(table).then(|| {
            let reason = format!(
                "fails before PostgreSQL 18: {table} is partitioned, and its foreign keys cannot be NOT VALID"
            );
            (&PARTITIONED_KEY, reason)
        }),
        Effect::SetsNotNull { table, column } => {
            (!known.is_fresh(table) && !free.contains(table) && !known.is_never_null(table, column)).then(|| {
                let reason = "everybody waits while all rows are looked at; add a CHECK … IS NOT NULL NOT VALID first and \
                              validate it in another migration";
                (&NOT_NULL, reason.to_owned())
            })
        }
        Effect::MakesIndexPrimaryKey { table, index } => {
            let may_be_null = known.is_index_never_null(table, &index.name) == Some(false);
            (may_be_null && !known.is_fresh(table) && !free.contains(table)).then(|| {
                let reason = "everybody waits while all rows are looked at: a column of the index may be NULL";
                (&NOT_NULL, reason.to_owned())
            })
        }
        Effect::AddsDomainColumn { table, kind } => {
            let is_checked = known.is_constrained_domain(kind) && !known.is_fresh(table) && !free.contains(table);
            is_checked.then(|| {
                let reason = format!(
                    "everybody waits while {table} is written anew: the domain {kind} checks or fills each row"
                );
                (&FIELD_WITH_DEFAULT, reason)
            })
        }
        Effect::AccessesRows(work) => works(work, known, &|table| known.is_fresh(table) || free.contains(table)),
        Effect::UsesEnumValue { kind, value, names_type, tables } => {
            let may_be_of_type =
                *names_type || tables.iter().any(|table| known.may_have_column_of(table, kind));
            may_be_of_type.then(|| {
                let reason = format!(
                    "'{value}' is added to {kind} in the same transaction, and cannot be used before that commits: \
                     add it in a file of its own"
                );
                (&NEW_ENUM_VALUE, reason)
            })
        }
        Effect::Creates { .. }
        | Effect::Copies { .. }
        | Effect::Writes { .. }
        | Effect::MaySkipRows { .. }
        | Effect::Attaches { .. }
        | Effect::Detaches { .. }
        | Effect::Renames { .. }
        | Effect::Drops { .. }
        | Effect::AddsColumn { .. }
        | Effect::RenamesColumn { .. }
        | Effect::AddsChild { .. }
        | Effect::Locks { .. }
        | Effect::ChangesType { .. }
        | Effect::Partitions { .. }
        | Effect::AddsFacts { .. }
        | Effect::CreatesDomain { .. }
        | Effect::CreatesSchema { .. }
        | Effect::RemovesSchema { .. }
        | Effect::ChangesSearchPath
        | Effect::InvalidatesNames => None,
    }
}

/// Returns a finding if others wait while the statement reads and writes rows.
fn works(
    work: &RowAccess,
    known: &Known,
    is_free: &dyn Fn(&TableName) -> bool,
) -> Option<(&'static Rule, String)> {
    if let Some(lock) = known.lock().filter(|_| known.is_long(work)) {
        return Some((&WORK_UNDER_LOCK, waits(lock)));
    }
    let finds_many = |read: &&Read| !is_free(&read.table) && known.reads_many(read);
    if known.has_one_writer() {
        let read = work.reads.iter().find(finds_many).map(|read| &read.table);
        let is_referred = |table: &&TableName| !is_free(table) && known.dependent_of(table).is_some();
        // A row with a foreign key is deleted individually, unless its whole table is dropped.
        let refers = |table: &&TableName| !is_free(table) && known.refers_to_any(table);
        let emptied = work.holds.iter().map(|read| &read.table).find(refers);
        let table = read.or(emptied).or_else(|| work.empties.iter().find(is_referred))?;
        return Some((&LONG_WRITE, format!("writers of the whole file wait while rows of {table} are read")));
    }
    let fills_new = |table: &TableName| {
        let columns = work.updates.iter().filter(|(of, _)| of == table).flat_map(|(_, columns)| columns);
        columns.into_iter().any(|column| known.is_fresh_column(table, column))
    };
    // A comparison with one value is assumed to match few rows, unless the table is new.
    let is_held = |read: &&Read| finds_many(read) && (read.bound.is_empty() || fills_new(&read.table));
    let mut held = work.holds.iter().filter(is_held).map(|read| &read.table);
    let replaced = || work.replaces.as_ref().filter(|table| !is_free(table) && known.is_long(work));
    let table = held.next().or_else(replaced)?;
    if fills_new(table) {
        return Some((&BACKFILL, filled(table)));
    }
    let reason = format!(
        "writers of the rows of {table} that it finds wait until the transaction ends; find a few at a time by a key, \
         each time in a transaction of its own"
    );
    Some((&ROW_LOCKS, reason))
}

fn waits(lock: &Lock) -> String {
    let Lock { table, line } = lock;
    let (who, what) = match table {
        Some(table) => (format!("everybody who uses {table} waits"), table.to_string()),
        None => ("others wait".to_owned(), "tables".to_owned()),
    };
    format!(
        "{who} until it is done: line {line} locks {what} until its transaction ends; do this in another migration"
    )
}

fn filled(table: &TableName) -> String {
    format!("writers of rows of {table} wait until all of them are written; fill the column in batches")
}

/// Names the dependent objects that are lost when a table is replaced.
fn without(lost: &[&TableName]) -> String {
    if lost.is_empty() {
        return String::new();
    }
    let names = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(", but not {names}: make it again")
}

fn list(columns: &[String]) -> String {
    if columns.is_empty() { "columns".to_owned() } else { columns.join(", ") }
}
