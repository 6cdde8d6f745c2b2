//! Finds declared rows that differ in the spec but are equal in the database because of a collation, a type such
//! as `citext`, or a unique index on an expression. The database compares them, without reading stored rows.

use serde::{Deserialize, Serialize};

use super::sample::shown_value;
use super::{RowSet, Shape, Source, Values, parameters, write_expression};
use crate::catalog::{Column, TableKind};
use crate::digest::Fingerprint;
use crate::sql::{self, Database, Dialect, Value, identifier};

/// Two declared rows that are equal in the database, by the fingerprints of their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clash {
    pub one: Fingerprint,
    pub other: Fingerprint,
    pub reason: String,
}

/// Two equal rows, by their positions.
pub(super) struct Pair {
    pub(super) one: usize,
    pub(super) other: usize,
    pub(super) reason: String,
}

/// A condition under which two rows are equal in the database.
struct Rule {
    /// Expressions over the columns of the table.
    keys: Vec<String>,
    predicate: Option<String>,
    /// Whether it is a unique index, and not the type or collation of a column.
    is_of_index: bool,
    reason: String,
}

impl Rule {
    /// The rows that the rule compares.
    fn condition(&self) -> String {
        let mut conditions: Vec<String> = self.keys.iter().map(|key| format!("{key} IS NOT NULL")).collect();
        conditions.extend(self.predicate.as_ref().map(|predicate| format!("({predicate})")));
        conditions.join(" AND ")
    }

    fn mentions(&self, column: &Column) -> bool {
        self.keys.iter().any(|key| key.to_lowercase().contains(&column.name.to_lowercase()))
    }
}

/// A row without a name where a column compares other than by its bytes, and one for each unique index that
/// does: its name, its predicate and its keys. An expression has no text in the pragmas.
const RULES_OF_SQLITE: &str = "
    SELECT NULL, NULL, NULL
    WHERE EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name = $1 COLLATE nocase AND sql LIKE '%collate%')
    UNION ALL
    SELECT i.name, NULL, json_group_array(
             CASE WHEN k.name IS NOT NULL
             THEN '\"' || replace(k.name, '\"', '\"\"') || '\" COLLATE ' || k.coll END ORDER BY k.seqno)
    FROM pragma_index_list($1, 'main') i
    JOIN pragma_index_xinfo(i.name, 'main') k
    WHERE i.\"unique\" AND k.\"key\" = 1
    GROUP BY i.name
    HAVING max(k.name IS NULL OR k.coll <> 'BINARY')";

const RULES_OF_POSTGRES: &str = "
    WITH loose AS (
      SELECT a.attrelid
      FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
      LEFT JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
      WHERE a.attnum > 0 AND (t.typname = 'citext' OR b.typname = 'citext' OR NOT o.collisdeterministic)
        AND (a.attrelid = $1::regclass
             OR a.attrelid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = $1::regclass))
    )
    SELECT NULL, NULL, NULL WHERE EXISTS (SELECT 1 FROM loose WHERE attrelid = $1::regclass)
    UNION ALL
    SELECT c.relname::text, pg_catalog.pg_get_expr(i.indpred, i.indrelid), (
             SELECT json_agg('(' || pg_catalog.pg_get_indexdef(i.indexrelid, k, true) || ')' ||
                      COALESCE((SELECT format(' COLLATE %I.%I', s.nspname, o.collname)
                       FROM pg_catalog.pg_collation o JOIN pg_catalog.pg_namespace s ON s.oid = o.collnamespace
                       WHERE o.oid = i.indcollation[k - 1] AND NOT o.collisdeterministic), '')
                    ORDER BY k)::text
             FROM generate_series(1, i.indnkeyatts::int) k)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid
      AND (i.indexprs IS NOT NULL OR i.indexrelid IN (SELECT attrelid FROM loose))
    ORDER BY 1";

/// The number of rows that are sent for a comparison: they are sent at once, with all their values. In a longer
/// list the database rejects equal rows when they are written.
const MOST_COMPARED: usize = 20_000;

/// Returns pairs of rows that are equal in the database, at most one per rule. The rows must fit their columns.
pub(super) async fn pairs<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = Values<'r>> + Clone,
    database: &Database,
) -> sql::Result<Vec<Pair>> {
    let can_compare = rows.clone().nth(1).is_some() && rows.clone().nth(MOST_COMPARED).is_none();
    if !can_compare || shape.table.kind != TableKind::Table {
        return Ok(Vec::new());
    }
    let rules = rules(shape, database).await?;
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let (rows, values) = relation(shape, rows, database.dialect());
    let mut pairs = Vec::new();
    for rule in rules {
        let sql = format!(
            "SELECT min(\"trueup row\"), max(\"trueup row\") FROM {rows} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
            rule.condition(),
            rule.keys.join(", "),
        );
        for row in compared(&sql, &values, database).await? {
            pairs.push(Pair {
                one: position(&row, 0)?,
                other: position(&row, 1)?,
                reason: rule.reason.clone(),
            });
        }
    }
    Ok(pairs)
}

/// Returns rows that a unique index makes equal to a stored row, by their positions and with the reason. None of
/// them may be stored under its own key.
pub(super) async fn equal_to_stored<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = Values<'r>> + Clone,
    database: &Database,
) -> sql::Result<Vec<(usize, String)>> {
    let can_compare = rows.clone().next().is_some() && rows.clone().nth(MOST_COMPARED).is_none();
    if !can_compare || shape.table.kind != TableKind::Table {
        return Ok(Vec::new());
    }
    let mut rules = rules(shape, database).await?;
    // Another step of the run may change the other columns of the stored row.
    rules.retain(|rule| rule.is_of_index && shape.key.iter().all(|column| rule.mentions(column)));
    let (rows, values) = relation(shape, rows, database.dialect());
    let mut equal = Vec::new();
    for rule in rules {
        let numbered = rule.keys.iter().enumerate();
        let [named, same] = [
            numbered.clone().map(|(at, key)| format!("{key} AS k{at}")).collect::<Vec<_>>().join(", "),
            numbered
                .map(|(at, key)| format!("{key} = \"trueup keys\".k{at}"))
                .collect::<Vec<_>>()
                .join(" AND "),
        ];
        let sql = format!(
            "SELECT \"trueup row\" FROM (SELECT \"trueup row\", {named} FROM {rows} WHERE {condition}) AS \"trueup keys\"
             WHERE EXISTS (SELECT 1 FROM {table} WHERE {condition} AND {same}) ORDER BY 1 LIMIT 1",
            condition = rule.condition(),
            table = shape.quoted_table(),
        );
        for row in compared(&sql, &values, database).await? {
            equal.push((position(&row, 0)?, rule.reason.clone()));
        }
    }
    Ok(equal)
}

/// The declared rows as a relation with the types and collations of the table, and its parameters. The column
/// `trueup row` has their positions.
fn relation<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = Values<'r>>,
    dialect: Dialect,
) -> (String, Vec<Value>) {
    let given: Vec<&Column> = shape.columns.iter().map(|(column, _)| *column).collect();
    let numbered = rows.enumerate().map(|(at, row)| {
        let mut values = parameters(dialect, &given, row.iter().copied());
        values.push(Some(at.to_string()));
        values
    });
    let source = Source::new(dialect, given.len() + 1, &numbered.collect::<Vec<_>>());
    let names = shape.table.columns.iter().map(|column| format!("t.{}", identifier(&column.name)));
    let values = shape.table.columns.iter().map(|column| {
        let at = given.iter().position(|given| given.name == column.name);
        at.map_or_else(|| "NULL".to_owned(), |at| write_expression(dialect, column, at))
    });
    // The first part has no rows: it gives the second one the types and collations of the table.
    let relation = format!(
        "(SELECT {}, NULL AS \"trueup row\" FROM {} AS t WHERE false UNION ALL SELECT {}, CAST(q.c{} AS integer) FROM {}) AS t",
        names.collect::<Vec<_>>().join(", "),
        shape.quoted_table(),
        values.collect::<Vec<_>>().join(", "),
        given.len(),
        source.sql,
    );
    (relation, source.values)
}

/// An expression that fails for a declared value fails again, with its place, when the row is written.
async fn compared(sql: &str, values: &[Value], database: &Database) -> sql::Result<Vec<sql::Row>> {
    match database.query(sql, values).await {
        Err(error) if error.code().is_some() => Ok(Vec::new()),
        found => found,
    }
}

fn position(row: &sql::Row, column: usize) -> sql::Result<usize> {
    Ok(usize::try_from(row.integer(column)?).unwrap_or_default())
}

async fn rules(shape: &Shape<'_>, database: &Database) -> sql::Result<Vec<Rule>> {
    let (sql, name) = match database.dialect() {
        Dialect::Sqlite => (RULES_OF_SQLITE, shape.name.name.clone()),
        Dialect::Postgres => (RULES_OF_POSTGRES, shape.quoted_table()),
    };
    let mut rules = Vec::new();
    for row in database.query(sql, &[Value::Text(name)]).await? {
        let Some(name) = row.get(0) else {
            let columns: Vec<String> =
                shape.key.iter().map(|column| format!("{} ({})", column.name, column.data_type)).collect();
            rules.push(Rule {
                keys: shape.key.iter().map(|column| identifier(&column.name)).collect(),
                predicate: None,
                is_of_index: false,
                reason: format!("the collation or type of {} makes them equal", columns.join(", ")),
            });
            continue;
        };
        let Some(keys) = keys_of_index(shape, name, &row)? else { continue };
        let in_snapshot = shape.table.indexes.get(name).and_then(|index| index.predicate.clone());
        rules.push(Rule {
            reason: format!("the unique index {name} on {} makes them equal", keys.join(", ")),
            predicate: row.get(1).map(str::to_owned).or(in_snapshot),
            is_of_index: true,
            keys,
        });
    }
    Ok(rules)
}

/// The keys of an index; `None` if they depend on a column whose value the database generates.
fn keys_of_index(shape: &Shape<'_>, name: &str, row: &sql::Row) -> sql::Result<Option<Vec<String>>> {
    let written = shape.table.indexes.get(name).map(|index| index.keys.as_slice()).unwrap_or_default();
    let keys = row.json::<Vec<Option<String>>>(2)?.into_iter().enumerate().map(|(at, key)| {
        let expression = || written.get(at).map(|key| key.trim_end_matches(" DESC").to_owned());
        key.or_else(expression)
    });
    let Some(keys) = keys.collect::<Option<Vec<String>>>() else { return Ok(None) };
    let is_made = |column: &&Column| {
        let is_given = shape.columns.iter().any(|(given, _)| given.name == column.name);
        !is_given && (column.default.is_some() || column.generated.is_some() || column.identity)
    };
    let makes_key = shape
        .table
        .columns
        .iter()
        .filter(is_made)
        .any(|column| keys.iter().any(|key| key.to_lowercase().contains(&column.name.to_lowercase())));
    Ok((!makes_key).then_some(keys))
}

/// Returns the clashes among the rows of a set.
pub(super) async fn clashes(shape: &Shape<'_>, set: &RowSet, database: &Database) -> sql::Result<Vec<Clash>> {
    let rows = || shape.rows_of(set).filter(|row| shape.misfit(row).is_none());
    let print = |at: usize| rows().nth(at).map(|row| shape.key_fingerprint(shape.key_of(&row)));
    let pairs = pairs(shape, rows(), database).await?;
    let clash = |Pair { one, other, reason }| Some(Clash { one: print(one)?, other: print(other)?, reason });
    Ok(pairs.into_iter().filter_map(clash).collect())
}

/// Returns the message about two rows that clash, or `None` if the set lacks one of them.
pub(super) fn clash_message(shape: &Shape<'_>, set: &RowSet, clash: &Clash) -> Option<String> {
    let with_key = |key: Fingerprint| {
        shape.rows_of(set).enumerate().find(|(_, row)| shape.key_fingerprint(shape.key_of(row)) == key)
    };
    let ((at, one), (again, other)) = (with_key(clash.one)?, with_key(clash.other)?);
    let [one, other] = [one, other].map(|row| key_text(shape, &row));
    let one = set.placed(at, &one);
    let Clash { reason, .. } = clash;
    Some(set.placed(again, &format!("{other} is the same row as {one} in the database: {reason}")))
}

/// The key of a row, as messages show it.
pub(super) fn key_text(shape: &Shape<'_>, row: &[Option<&str>]) -> String {
    let key = shape.key.iter().zip(shape.key_of(row));
    let key = key.map(|(column, value)| {
        format!("{} {:?}", column.name, shown_value(&column.name, value).unwrap_or_default())
    });
    key.collect::<Vec<_>>().join(", ")
}
