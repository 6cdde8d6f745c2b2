//! The schema of a relational database as a value: what introspection gives, what a diff compares,
//! what training describes. Sorted, so that equal schemas give equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::sql::Dialect;

/// Version of the stored form. A reader refuses a newer one; fields added later have defaults.
pub const SNAPSHOT_VERSION: u32 = 1;

/// The tables and views of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SNAPSHOT_VERSION`] when it was made.
    pub version: u32,
    /// The major version of PostgreSQL that wrote the statements of its views in its own words.
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
    /// The table of this name, as the spec writes it.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(&TableName::parse(name))
    }

    /// Takes over the words of another major version of PostgreSQL for the views that both have: 16
    /// leaves names out that 15 wrote, so that after an upgrade they cannot be compared. Gives the
    /// number of those that were written differently.
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

    /// The schema `after` some steps that began with `before`. Tables that the steps did not touch are
    /// taken from `self`, the schema as it was last recorded: so that what others did to them stays a
    /// difference.
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

    /// The digest of the whole schema.
    pub fn digest(&self) -> Digest {
        Digest::of_json(self)
    }
}

/// A table's name, with its schema where that is not the default one (`public`, `main`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The schema, when it is not the default one.
    pub schema: Option<String>,
    /// The name, unquoted.
    pub name: String,
}

impl TableName {
    /// A table of the default schema.
    pub fn plain(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// Reads `table` or `schema.table`, as the spec writes them, and what `Display` writes.
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

    /// Quoted with its schema, for a statement that must not depend on the search path of a session.
    pub fn located(&self, dialect: Dialect) -> String {
        match dialect {
            Dialect::Postgres if self.schema.is_none() => format!("public.{}", self.quoted()),
            Dialect::Postgres | Dialect::Sqlite => self.quoted(),
        }
    }

    /// Quoted, for a statement.
    pub fn quoted(&self) -> String {
        use crate::sql::identifier;
        match &self.schema {
            Some(schema) => format!("{}.{}", identifier(schema), identifier(&self.name)),
            None => identifier(&self.name),
        }
    }
}

impl fmt::Display for TableName {
    /// `table` or `schema.table`. What would be read back as another name is written so that it is
    /// not: `main.a.b` for a table `a.b`, `"main".t` for a schema that is named as a default one.
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

/// One table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub kind: TableKind,
    /// In the order of the table.
    pub columns: Vec<Column>,
    /// The columns of the primary key, in its order; empty without one.
    pub primary_key: Vec<String>,
    pub foreign_keys: BTreeSet<ForeignKey>,
    /// Indexes and unique constraints, by name; not the primary key's own.
    pub indexes: BTreeMap<String, Index>,
    /// CHECK constraints, as the database prints them; for an enum of PostgreSQL its labels, as
    /// `CHECK ("column" IN ('label', …))`.
    pub checks: BTreeSet<String>,
    pub comment: Option<String>,
    /// The statement of a view.
    pub definition: Option<String>,
    /// Whether SQLite refuses values of other types than the columns' (STRICT). Compared with nothing: what was
    /// recorded before this was known says no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

impl Table {
    /// A table of a kind, with nothing in it.
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

/// What kind of relation a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A table with rows, partitioned ones too.
    Table,
    View,
    MaterializedView,
    /// A virtual or foreign table.
    Foreign,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    /// Its type, as the database prints it: `numeric(12,2)`, `TEXT`.
    pub data_type: String,
    /// What values of it look like.
    pub kind: ValueKind,
    pub nullable: bool,
    /// Its default, as the database prints it.
    pub default: Option<String>,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// Whether the database makes its values: identity, serial, rowid alias.
    pub identity: bool,
    pub comment: Option<String>,
}

#[cfg(test)]
impl Column {
    /// A column that allows NULL and has nothing else to say, for tests.
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

/// What values of a column look like, for comparing a text of the spec with a value read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueKind {
    /// Any text; the comparison is exact.
    Text,
    Integer,
    /// A decimal number: `1.50` equals `1.5`.
    Decimal,
    /// A binary floating point number.
    Float,
    Boolean,
    Date,
    /// A date and time without a zone.
    Timestamp,
    /// A moment.
    TimestampTz,
    Json,
    Uuid,
    /// Bytes, written in hexadecimal.
    Bytes,
}

/// A reference to another table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Columns of this table.
    pub columns: Vec<String>,
    pub table: TableName,
    /// Its columns; empty where they are its primary key and not said.
    pub references: Vec<String>,
    /// `ON DELETE` and `ON UPDATE`, where they are not `NO ACTION`.
    pub actions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    pub unique: bool,
    /// Columns and expressions, in order.
    pub keys: Vec<String>,
    /// What else its statement says behind the keys: `INCLUDE (…)`, `NULLS NOT DISTINCT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
    /// The predicate of a partial index.
    pub predicate: Option<String>,
    /// False where a failed `CREATE INDEX CONCURRENTLY` left it invalid.
    pub valid: bool,
}
