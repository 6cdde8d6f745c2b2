//! Assembles relations by OID from the rows of several queries: columns with their types, comments.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Column, Table, TableKind, TableName, ValueKind};
use crate::sql::{Result, Row, identifier};

/// An OID, or the number of a column.
pub(super) type Number = i64;

#[derive(Debug)]
pub(super) struct Relations(BTreeMap<Number, Relation>);

#[derive(Debug)]
pub(super) struct Relation {
    pub(super) name: TableName,
    pub(super) table: Table,
    /// Whether it is part of the snapshot.
    is_shown: bool,
    /// Moved into `table` when all queries are parsed.
    columns: BTreeMap<Number, Column>,
}

impl Relations {
    pub(super) fn read(rows: &[Row]) -> Result<Self> {
        let read = |row: &Row| {
            let kind = match row.text(3)? {
                "v" => TableKind::View,
                "m" => TableKind::MaterializedView,
                "f" => TableKind::Foreign,
                _ => TableKind::Table,
            };
            let mut table = Table::empty(kind);
            table.definition = row.get(5).map(|sql| sql.trim().trim_end_matches(';').to_owned());
            let name = table_name(row.text(1)?, row.text(2)?);
            Ok((row.integer(0)?, Relation { name, table, is_shown: row.bool(4)?, columns: BTreeMap::new() }))
        };
        rows.iter().map(read).collect::<Result<_>>().map(Self)
    }

    pub(super) fn get(&self, number: Number) -> Option<&Relation> {
        self.0.get(&number)
    }

    /// The relation in the first column of a row.
    pub(super) fn of_row(&mut self, row: &Row) -> Result<Option<&mut Relation>> {
        Ok(self.0.get_mut(&row.integer(0)?))
    }

    /// Adds the rows of [`super::queries::COLUMNS`], with those of `TYPES` and `SEQUENCES`.
    pub(super) fn add_columns(&mut self, rows: &[Row], types: &[Row], sequences: &[Row]) -> Result<()> {
        let types = Types::read(types)?;
        let owns_sequence: BTreeSet<(Number, Number)> =
            sequences.iter().map(|row| Ok((row.integer(0)?, row.integer(1)?))).collect::<Result<_>>()?;
        for row in rows {
            let number = (row.integer(0)?, row.integer(1)?);
            if let Some(relation) = self.0.get_mut(&number.0) {
                let column = column(row, &types, owns_sequence.contains(&number))?;
                relation.expect_labels(&column.name, types.labels(row.integer(4)?));
                relation.columns.insert(number.1, column);
            }
        }
        Ok(())
    }

    pub(super) fn add_comments(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let Some(relation) = self.of_row(row)? else { continue };
            let comment = row.get(2).map(str::to_owned);
            match relation.columns.get_mut(&row.integer(1)?) {
                Some(column) => column.comment = comment,
                None => relation.table.comment = comment,
            }
        }
        Ok(())
    }

    /// The tables of the snapshot, by name.
    pub(super) fn into_tables(self) -> BTreeMap<TableName, Table> {
        let shown = self.0.into_values().filter(|relation| relation.is_shown);
        let whole = shown.map(|Relation { name, mut table, is_shown: _, columns }| {
            table.columns = columns.into_values().collect();
            (name, table)
        });
        whole.collect()
    }
}

impl Relation {
    /// The names of the columns with these numbers, in the same order.
    pub(super) fn names(&self, numbers: &[Number]) -> Vec<String> {
        numbers.iter().filter_map(|number| Some(self.columns.get(number)?.name.clone())).collect()
    }

    /// Adds the labels of an enum as a check, so that they are part of the snapshot.
    fn expect_labels(&mut self, column: &str, labels: &[String]) {
        if !labels.is_empty() && self.table.kind == TableKind::Table {
            let quoted: Vec<String> =
                labels.iter().map(|label| format!("'{}'", label.replace('\'', "''"))).collect();
            self.table.checks.insert(format!("CHECK ({} IN ({}))", identifier(column), quoted.join(", ")));
        }
    }
}

fn table_name(schema: &str, name: &str) -> TableName {
    let schema = Some(schema).filter(|schema| *schema != "public").map(str::to_owned);
    TableName { schema, name: name.to_owned() }
}

fn column(row: &Row, types: &Types, owns_sequence: bool) -> Result<Column> {
    let (expression, generated) = (row.get(8).map(str::to_owned), row.bool(7)?);
    let is_serial = owns_sequence && expression.as_ref().is_some_and(|sql| sql.starts_with("nextval("));
    let data_type = row.text(3)?;
    Ok(Column {
        name: row.text(2)?.to_owned(),
        data_type: data_type.to_owned(),
        kind: ValueKind::of_postgres(types.under_domains(row.integer(4)?).unwrap_or(data_type)),
        nullable: !row.bool(5)?,
        default: expression.clone().filter(|_| !generated),
        generated: expression.filter(|_| generated),
        identity: row.bool(6)? || is_serial,
        comment: None,
    })
}

#[derive(Debug, Default)]
struct Types {
    /// For a domain, OID and name of its base type.
    domains: BTreeMap<Number, (Number, String)>,
    /// For an enum, its labels in order.
    labels: BTreeMap<Number, Vec<String>>,
}

impl Types {
    fn read(rows: &[Row]) -> Result<Self> {
        let mut types = Self::default();
        for row in rows {
            let number = row.integer(0)?;
            if let Some(base) = row.get(2) {
                types.domains.insert(number, (row.integer(1)?, base.to_owned()));
            }
            if let Some(label) = row.get(3) {
                types.labels.entry(number).or_default().push(label.to_owned());
            }
        }
        Ok(types)
    }

    /// The name of the base type of a domain, resolving nested domains.
    fn under_domains(&self, number: Number) -> Option<&str> {
        let (base, name) = self.domains.get(&number)?;
        Some(self.under_domains(*base).unwrap_or(name))
    }

    /// The labels of an enum, or of the enum that is the base type of a domain.
    fn labels(&self, number: Number) -> &[String] {
        match self.domains.get(&number) {
            Some((base, _)) => self.labels(*base),
            None => self.labels.get(&number).map(Vec::as_slice).unwrap_or_default(),
        }
    }
}
