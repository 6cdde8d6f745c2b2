//! Parses keys, foreign keys, checks and indexes from the codes of the catalogs.

use serde::Deserialize;

use super::relations::{Number, Relation, Relations};
use crate::catalog::{ForeignKey, Index};
use crate::sql::{Error, Result, Row, identifier};

impl Relations {
    pub(super) fn add_constraints(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            let reference: Option<Reference> = row.json(3)?;
            let of = reference.as_ref().and_then(|reference| self.get(reference.table));
            let foreign_key = match (&reference, of) {
                (Some(reference), Some(of)) => self.get(row.integer(0)?).map(|own| reference.key(own, of)),
                _ => None,
            };
            let Some(relation) = self.of_row(row)? else { continue };
            match row.text(1)? {
                "p" => relation.table.primary_key = relation.names(&numbers(row, 2)?),
                "f" => relation.table.foreign_keys.extend(foreign_key),
                _ => {
                    relation.table.checks.insert(row.text(4)?.to_owned());
                }
            }
        }
        Ok(())
    }

    pub(super) fn add_indexes(&mut self, rows: &[Row]) -> Result<()> {
        for row in rows {
            if let Some(relation) = self.of_row(row)? {
                let index = index(row, relation)?;
                relation.table.indexes.insert(row.text(1)?.to_owned(), index);
            }
        }
        Ok(())
    }
}

/// A foreign key in the format of `pg_constraint`, which PostgreSQL's manual explains.
#[derive(Debug, Deserialize)]
struct Reference {
    /// OIDs are strings in JSON.
    #[serde(rename = "confrelid", deserialize_with = "number")]
    table: Number,
    #[serde(rename = "conkey")]
    columns: Vec<Number>,
    #[serde(rename = "confkey")]
    references: Vec<Number>,
    #[serde(rename = "confmatchtype")]
    matching: char,
    #[serde(rename = "confdeltype")]
    on_delete: char,
    #[serde(rename = "confupdtype")]
    on_update: char,
    /// The columns that ON DELETE SET affects, where not all (PostgreSQL 15).
    #[serde(rename = "confdelsetcols", default)]
    set_on_delete: Option<Vec<Number>>,
    #[serde(rename = "condeferrable")]
    deferrable: bool,
    #[serde(rename = "condeferred")]
    deferred: bool,
    /// Since PostgreSQL 18.
    #[serde(rename = "conenforced", default)]
    enforced: Option<bool>,
    #[serde(rename = "convalidated")]
    validated: bool,
}

fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Number, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Reference {
    fn key(&self, own: &Relation, of: &Relation) -> ForeignKey {
        let Self { columns, references, .. } = self;
        ForeignKey {
            columns: own.names(columns),
            table: of.name.clone(),
            references: of.names(references),
            actions: self.actions(own),
        }
    }

    /// The clauses that are not defaults, as SQL.
    fn actions(&self, own: &Relation) -> Vec<String> {
        let Self { table: _, columns: _, references: _, matching, on_delete, on_update, .. } = self;
        let Self { set_on_delete, deferrable, deferred, enforced, validated, .. } = self;
        let mut actions = Vec::new();
        if *matching == 'f' {
            actions.push("MATCH FULL".to_owned());
        }
        if let Some(action) = action(*on_delete) {
            let mut set = set_on_delete.as_ref().map(|columns| own.names(columns)).unwrap_or_default();
            set.sort();
            let only = if set.is_empty() { String::new() } else { format!(" ({})", listed(&set)) };
            actions.push(format!("ON DELETE {action}{only}"));
        }
        actions.extend(action(*on_update).map(|action| format!("ON UPDATE {action}")));
        match (deferrable, deferred) {
            (_, true) => actions.push("DEFERRABLE INITIALLY DEFERRED".to_owned()),
            (true, false) => actions.push("DEFERRABLE".to_owned()),
            (false, false) => {}
        }
        match (enforced, validated) {
            (Some(false), _) => actions.push("NOT ENFORCED".to_owned()),
            (_, false) => actions.push("NOT VALID".to_owned()),
            (_, true) => {}
        }
        actions
    }
}

/// The action on referencing rows; the default `NO ACTION` is omitted.
fn action(letter: char) -> Option<&'static str> {
    match letter {
        'r' => Some("RESTRICT"),
        'c' => Some("CASCADE"),
        'n' => Some("SET NULL"),
        'd' => Some("SET DEFAULT"),
        _ => None,
    }
}

fn index(row: &Row, relation: &Relation) -> Result<Index> {
    /// The bit of a descending key.
    const DESCENDS: i64 = 1;
    let (columns, options) = (numbers(row, 5)?, numbers(row, 6)?);
    let key_count = usize::try_from(row.integer(7)?).unwrap_or_default();
    let (key_columns, included) = columns.split_at(key_count.min(columns.len()));

    let mut expressions = row.json::<Vec<String>>(8)?.into_iter();
    let mut keys = Vec::with_capacity(columns.len());
    let method = row.text(4)?;
    if method != "btree" {
        keys.push(format!("USING {method}"));
    }
    for (column, option) in key_columns.iter().zip(options) {
        let key = match column {
            0 => expressions.next(),
            column => relation.names(&[*column]).pop(),
        };
        let key = key.ok_or(Error::Empty(5))?;
        keys.push(if option & DESCENDS == 0 { key } else { format!("{key} DESC") });
    }

    let mut more = Vec::new();
    if !included.is_empty() {
        more.push(format!("INCLUDE ({})", listed(&relation.names(included))));
    }
    if row.get(10).is_some_and(|same| same == "true") {
        more.push("NULLS NOT DISTINCT".to_owned());
    }
    Ok(Index {
        unique: row.bool(2)?,
        keys,
        more,
        predicate: row.get(9).map(str::to_owned),
        valid: row.bool(3)?,
    })
}

/// A list of names, quoted where necessary.
fn listed(names: &[String]) -> String {
    let is_plain =
        |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let said: Vec<String> =
        names.iter().map(|name| if is_plain(name) { name.clone() } else { identifier(name) }).collect();
    said.join(", ")
}

/// Parses numbers in PostgreSQL's formats: an array `{1,2}` or a vector `1 2`. NULL is empty.
fn numbers(row: &Row, column: usize) -> Result<Vec<Number>> {
    let Some(text) = row.get(column) else { return Ok(Vec::new()) };
    let unreadable = |_| Error::Decode { column, kind: format!("numbers {text:?}") };
    let parts = text.split(['{', '}', ',', ' ']).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().map_err(unreadable)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_in_a_list_where_they_could_be_misread() {
        assert_eq!(
            listed(&["a_1".to_owned(), "b, c".to_owned(), "Größe".to_owned()]),
            r#"a_1, "b, c", "Größe""#
        );
    }

    #[test]
    fn a_reference_of_an_old_server_lacks_what_came_later() {
        let json = r#"{"oid":"1","conname":"f","confrelid":"16400","conkey":[2],"confkey":[1],"confmatchtype":"s",
                       "confdeltype":"n","confupdtype":"a","condeferrable":true,"condeferred":false,
                       "convalidated":false}"#;
        let reference: Reference = serde_json::from_str(json).unwrap();
        let own = &Relations::read(&[]).unwrap();
        assert!(own.get(reference.table).is_none());
        assert_eq!((reference.table, reference.enforced), (16400, None));
    }
}
