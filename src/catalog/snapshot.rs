//! The schema of a relational database as a value: the result of introspection, the input of diffs and of
//! training. Sorted, so that equal schemas give equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::sql::{Dialect, masked, masked_value};

/// The version of the stored format. Newer versions are rejected; fields added later have defaults.
pub const SNAPSHOT_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub version: u32,
    /// The major version of PostgreSQL that printed the definitions of the views.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<u32>,
    pub tables: BTreeMap<TableName, Table>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { version: SNAPSHOT_VERSION, postgres: None, tables: BTreeMap::new() }
    }
}

impl Snapshot {
    /// Looks up a table by its name in a spec.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(&TableName::parse(name))
    }

    /// Copies the view definitions of another snapshot where its major version of PostgreSQL differs: 16
    /// omits names that 15 prints, so definitions cannot be compared after an upgrade. Returns how many
    /// differed.
    pub fn take_words_of(&mut self, other: &Self) -> usize {
        let (Some(own), Some(others)) = (self.postgres, other.postgres) else { return 0 };
        let mut taken = 0;
        for (name, table) in self.tables.iter_mut().filter(|_| own != others) {
            let said = other.tables.get(name).and_then(|table| table.definition.as_ref());
            if let (Some(definition), Some(said)) = (&mut table.definition, said) {
                taken += usize::from(definition != said);
                definition.clone_from(said);
            }
        }
        taken
    }

    /// The schema `after` some steps that started from `before`. Tables that the steps did not change are
    /// taken from `self`, the last recorded schema, so that changes by others remain a difference.
    #[must_use]
    pub fn after_steps(&self, before: &Self, after: &Self) -> Self {
        let mut recorded = after.clone();
        recorded.tables.retain(|name, table| {
            let is_untouched = before.tables.get(name) == Some(table);
            match self.tables.get(name) {
                Some(was) if is_untouched => was.clone_into(table),
                Some(_) => {}
                None => return !is_untouched,
            }
            true
        });
        let gone_before = self.tables.iter().filter(|(name, _)| !before.tables.contains_key(*name));
        for (name, table) in gone_before {
            recorded.tables.entry(name.clone()).or_insert_with(|| table.clone());
        }
        recorded
    }

    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Replaces the secrets in values and definitions by `…`. Snapshots are stored and shown, and two that differ in a
    /// secret only are equal.
    pub fn mask_secrets(&mut self) {
        let mask = |text: &mut String| *text = masked(text);
        for table in self.tables.values_mut() {
            table.definition.iter_mut().for_each(mask);
            for Column { name, default, generated, .. } in &mut table.columns {
                let values = [default, generated].into_iter().flatten();
                values.for_each(|sql| *sql = masked_value(name, sql));
            }
        }
    }
}

/// A table's name, with its schema unless that is the default one (`public`, `main`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// `None` for the default schema.
    pub schema: Option<String>,
    /// Without quotes.
    pub name: String,
}

impl TableName {
    /// A table of the default schema.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// Parses `table` or `schema.table`, as in a spec, and the output of `Display`.
    pub fn parse(text: &str) -> Self {
        let quoted = text.strip_prefix('"').and_then(|rest| rest.split_once("\"."));
        if let Some((schema, name)) = quoted {
            return Self { schema: Some(schema.to_owned()), name: name.to_owned() };
        }
        match text.split_once('.') {
            Some(("public" | "main", name)) => Self::plain(name),
            Some((schema, name)) => Self { schema: Some(schema.to_owned()), name: name.to_owned() },
            None => Self::plain(text),
        }
    }

    /// Quoted and always with its schema, so that a statement does not depend on the search path.
    pub fn located(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres if self.schema.is_none() => format!("public.{}", self.quoted()),
            Dialect::Postgres | Dialect::Sqlite => self.quoted(),
        }
    }

    pub fn quoted(&self) -> String {
        use crate::sql::identifier;
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.name)),
            None => identifier(&self.name),
        }
    }
}

impl fmt::Display for TableName {
    /// Writes `table` or `schema.table`. Names that would be parsed differently are marked: `main.a.b` for
    /// a table `a.b`, `"main".t` for a schema with the name of a default one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) if schema.contains(['.', '"']) || matches!(schema.as_str(), "public" | "main") => {
                write!(f, "\"{schema}\".{}", self.name)
            }
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None if self.name.contains('.') => write!(f, "main.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub kind: TableKind,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// The primary key's columns, in its order; empty without one.
    pub primary_key: Vec<String>,
    pub foreign_keys: BTreeSet<ForeignKey>,
    /// Indexes and unique constraints by name, without the index of the primary key.
    pub indexes: BTreeMap<String, Index>,
    /// CHECK constraints as the database prints them. Labels of a PostgreSQL enum are represented as `CHECK
    /// ("column" IN ('label', …))`.
    pub checks: BTreeSet<String>,
    pub comment: Option<String>,
    /// The statement of a view.
    pub definition: Option<String>,
    /// Whether it is a STRICT table of SQLite. Ignored by diffs, because older recorded schemas
    /// lack it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl Table {
    pub fn empty(kind: TableKind) -> Self {
        Self {
            kind,
            columns: Vec::new(),
            primary_key: Vec::new(),
            foreign_keys: BTreeSet::new(),
            indexes: BTreeMap::new(),
            checks: BTreeSet::new(),
            comment: None,
            definition: None,
            strict: false,
        }
    }

    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A table with rows, including partitioned ones.
    Table,
    View,
    MaterializedView,
    /// A virtual or foreign table.
    Foreign,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// As the database prints it: `numeric(12,2)`, `TEXT`.
    pub data_type: String,
    /// How values are compared.
    pub kind: ValueKind,
    pub nullable: bool,
    /// As the database prints it.
    pub default: Option<String>,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// Whether the database generates its values: identity, serial, rowid alias.
    pub identity: bool,
    pub comment: Option<String>,
}

#[cfg(test)]
impl Column {
    /// A nullable column without other properties, for tests.
    pub(crate) fn plain(name: &str, data_type: &str, kind: ValueKind) -> Self {
        Self {
            name: name.to_owned(),
            data_type: data_type.to_owned(),
            kind,
            nullable: true,
            default: None,
            generated: None,
            identity: false,
            comment: None,
        }
    }
}

/// Determines how a text of the spec is compared with a value of the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Compared exactly.
    Text,
    Integer,
    /// A decimal number: `1.50` equals `1.5`.
    Decimal,
    Float,
    Boolean,
    Date,
    /// Without a time zone.
    Timestamp,
    /// With a time zone.
    TimestampTz,
    Json,
    Uuid,
    /// Written in hexadecimal.
    Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Columns of this table.
    pub columns: Vec<String>,
    pub table: TableName,
    /// The referenced columns; empty where they are the primary key and not written.
    pub references: Vec<String>,
    /// The ON DELETE and ON UPDATE clauses, except `NO ACTION`.
    pub actions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub unique: bool,
    /// Columns and expressions, in order.
    pub keys: Vec<String>,
    /// The clauses behind the keys: `INCLUDE (…)`, `NULLS NOT DISTINCT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
    /// The predicate of a partial index.
    pub predicate: Option<String>,
    /// False where a failed `CREATE INDEX CONCURRENTLY` left it invalid.
    pub valid: bool,
}
