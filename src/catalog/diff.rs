//! Compares two snapshots. Pure, sorted, linear.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Column, ForeignKey, Index, Snapshot, Table, TableKind, TableName};
use crate::digest::Digest;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChange {
    AddTable {
        name: TableName,
        table: Table,
    },
    DropTable {
        name: TableName,
        table: Table,
    },
    /// A table was renamed and has no other change.
    RenameTable {
        from: TableName,
        to: TableName,
    },
    ModifyTable {
        name: TableName,
        /// Never empty.
        changes: Vec<TableChange>,
    },
}

impl SchemaChange {
    /// The affected table; for a rename the new name.
    pub fn table(&self) -> &TableName {
        match self {
            Self::AddTable { name, .. } | Self::DropTable { name, .. } | Self::ModifyTable { name, .. } => {
                name
            }
            Self::RenameTable { to, .. } => to,
        }
    }
}

/// A change of one table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableChange {
    /// For example, a table became a view.
    ModifyKind {
        from: TableKind,
        to: TableKind,
    },
    AddColumn(Column),
    DropColumn(Column),
    ModifyColumn {
        from: Column,
        to: Column,
        /// Never empty.
        kinds: BTreeSet<ColumnAspect>,
    },
    /// The common columns have another order.
    ReorderColumns {
        from: Vec<String>,
        to: Vec<String>,
    },
    ModifyPrimaryKey {
        from: Vec<String>,
        to: Vec<String>,
    },
    AddForeignKey(ForeignKey),
    DropForeignKey(ForeignKey),
    /// An index or unique constraint was added.
    AddIndex {
        name: String,
        index: Index,
    },
    /// An index or unique constraint was removed.
    DropIndex {
        name: String,
        index: Index,
    },
    ModifyIndex {
        name: String,
        from: Index,
        to: Index,
    },
    AddCheck(String),
    DropCheck(String),
    ModifyComment {
        from: Option<String>,
        to: Option<String>,
    },
    ModifyDefinition {
        from: Option<String>,
        to: Option<String>,
    },
}

/// A property of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnAspect {
    Type,
    /// Whether NULL is allowed.
    Null,
    Default,
    /// The generation expression.
    Generated,
    /// Whether the database generates its values.
    Identity,
    Comment,
}

/// All differences by table; empty exactly when the tables are equal.
pub fn diff(from: &Snapshot, to: &Snapshot) -> Vec<SchemaChange> {
    let Snapshot { version: _, postgres: _, tables: old } = from;
    let Snapshot { version: _, postgres: _, tables: new } = to;
    let renamed = renames(old, new);
    let came: BTreeSet<&TableName> = renamed.values().copied().collect();

    let mut changes = Vec::new();
    for (name, table) in old {
        match (new.get(name), renamed.get(name)) {
            (Some(now), _) => {
                let of_table = diff_table(table, now);
                if !of_table.is_empty() {
                    changes.push(SchemaChange::ModifyTable { name: name.clone(), changes: of_table });
                }
            }
            (None, Some(to)) => {
                changes.push(SchemaChange::RenameTable { from: name.clone(), to: (*to).clone() });
            }
            (None, None) => {
                changes.push(SchemaChange::DropTable { name: name.clone(), table: table.clone() });
            }
        }
    }
    let added = new.iter().filter(|(name, _)| !old.contains_key(name) && !came.contains(name));
    changes.extend(
        added.map(|(name, table)| SchemaChange::AddTable { name: name.clone(), table: table.clone() }),
    );
    changes.sort_by(|a, b| a.table().cmp(b.table()));
    changes
}

/// Renamed tables, from old to new name: where exactly one removed table equals exactly one added
/// table.
fn renames<'s>(
    old: &'s BTreeMap<TableName, Table>,
    new: &'s BTreeMap<TableName, Table>,
) -> BTreeMap<&'s TableName, &'s TableName> {
    let mut alike: BTreeMap<Digest, (Vec<&TableName>, Vec<&TableName>)> = BTreeMap::new();
    for (name, table) in old.iter().filter(|(name, _)| !new.contains_key(name)) {
        alike.entry(nameless(name, table)).or_default().0.push(name);
    }
    if alike.is_empty() {
        return BTreeMap::new();
    }
    for (name, table) in new.iter().filter(|(name, _)| !old.contains_key(name)) {
        alike.entry(nameless(name, table)).or_default().1.push(name);
    }
    let pair = |(gone, came): (Vec<_>, Vec<_>)| match (gone.as_slice(), came.as_slice()) {
        ([from], [to]) => Some((*from, *to)),
        _ => None,
    };
    alike.into_values().filter_map(pair).collect()
}

/// The digest of a table without its own name, which is also in references to itself and in the names that
/// SQLite generates for indexes of unique constraints.
fn nameless(name: &TableName, table: &Table) -> Digest {
    let Table {
        kind: _,
        columns: _,
        primary_key: _,
        foreign_keys,
        indexes,
        checks: _,
        comment: _,
        definition: _,
        strict: _,
    } = table;
    let itself = TableName::plain("");
    let foreign_keys = foreign_keys.iter().cloned().map(|mut key| {
        if key.table == *name {
            key.table = itself.clone();
        }
        key
    });
    let own = format!("sqlite_autoindex_{}_", name.name);
    let indexes =
        indexes.iter().map(|(index, value)| (index.replace(&own, "sqlite_autoindex_"), value.clone()));
    Digest::of_json(&Table {
        foreign_keys: foreign_keys.collect(),
        indexes: indexes.collect(),
        strict: false,
        ..table.clone()
    })
}

fn diff_table(from: &Table, to: &Table) -> Vec<TableChange> {
    let Table { kind, columns, primary_key, foreign_keys, indexes, checks, comment, definition, strict: _ } =
        from;
    let mut changes = Vec::new();
    if *kind != to.kind {
        changes.push(TableChange::ModifyKind { from: *kind, to: to.kind });
    }
    diff_columns(columns, &to.columns, &mut changes);
    if *primary_key != to.primary_key {
        changes.push(TableChange::ModifyPrimaryKey { from: primary_key.clone(), to: to.primary_key.clone() });
    }
    changes.extend(foreign_keys.difference(&to.foreign_keys).cloned().map(TableChange::DropForeignKey));
    changes.extend(to.foreign_keys.difference(foreign_keys).cloned().map(TableChange::AddForeignKey));
    diff_indexes(indexes, &to.indexes, &mut changes);
    changes.extend(checks.difference(&to.checks).cloned().map(TableChange::DropCheck));
    changes.extend(to.checks.difference(checks).cloned().map(TableChange::AddCheck));
    if *comment != to.comment {
        changes.push(TableChange::ModifyComment { from: comment.clone(), to: to.comment.clone() });
    }
    if *definition != to.definition {
        changes.push(TableChange::ModifyDefinition { from: definition.clone(), to: to.definition.clone() });
    }
    changes
}

fn diff_columns(from: &[Column], to: &[Column], changes: &mut Vec<TableChange>) {
    let (old, new) = (by_name(from), by_name(to));
    for column in from {
        match new.get(column.name.as_str()) {
            None => changes.push(TableChange::DropColumn(column.clone())),
            Some(now) => {
                let kinds = aspects(column, now);
                if !kinds.is_empty() {
                    changes.push(TableChange::ModifyColumn {
                        from: column.clone(),
                        to: (*now).clone(),
                        kinds,
                    });
                }
            }
        }
    }
    let added = to.iter().filter(|column| !old.contains_key(column.name.as_str()));
    changes.extend(added.cloned().map(TableChange::AddColumn));

    let kept = |columns: &[Column], other: &BTreeMap<&str, &Column>| -> Vec<String> {
        let names = columns.iter().map(|column| &column.name);
        names.filter(|name| other.contains_key(name.as_str())).cloned().collect()
    };
    let (before, after) = (kept(from, &new), kept(to, &old));
    if before != after {
        changes.push(TableChange::ReorderColumns { from: before, to: after });
    }
}

fn by_name(columns: &[Column]) -> BTreeMap<&str, &Column> {
    columns.iter().map(|column| (column.name.as_str(), column)).collect()
}

fn aspects(from: &Column, to: &Column) -> BTreeSet<ColumnAspect> {
    // The kind is derived from the type.
    let Column { name: _, data_type, kind, nullable, default, generated, identity, comment } = from;
    let differs = [
        (*data_type != to.data_type || *kind != to.kind, ColumnAspect::Type),
        (*nullable != to.nullable, ColumnAspect::Null),
        (*default != to.default, ColumnAspect::Default),
        (*generated != to.generated, ColumnAspect::Generated),
        (*identity != to.identity, ColumnAspect::Identity),
        (*comment != to.comment, ColumnAspect::Comment),
    ];
    differs.into_iter().filter(|(differs, _)| *differs).map(|(_, aspect)| aspect).collect()
}

fn diff_indexes(
    from: &BTreeMap<String, Index>,
    to: &BTreeMap<String, Index>,
    changes: &mut Vec<TableChange>,
) {
    for (name, index) in from {
        let name = name.clone();
        match to.get(&name) {
            None => changes.push(TableChange::DropIndex { name, index: index.clone() }),
            Some(now) if now != index => {
                changes.push(TableChange::ModifyIndex { name, from: index.clone(), to: now.clone() });
            }
            Some(_) => {}
        }
    }
    let added = to.iter().filter(|(name, _)| !from.contains_key(*name));
    changes.extend(
        added.map(|(name, index)| TableChange::AddIndex { name: name.clone(), index: index.clone() }),
    );
}
