//! Observes which declared rows exist and with what content, with one query for 5,000 keys of a table,
//! however many seeds there are. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clash::{Clash, clashes};
use super::{
    Desired, Error, Lacking, Question, Result, RowSet, Shape, Source, Spelling, Values, equals, in_batches,
    read_texts,
};
use crate::catalog::{Snapshot, TableKind};
use crate::digest::{Digest, Fingerprint};
use crate::fingerprints::FingerprintMap;
use crate::sql::{Database, Dialect, Row, Value};

/// The answer of a table to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether all rows of the scope were read. Then a key that is missing here does not exist.
    pub whole: bool,
    /// The fingerprint of the content by that of the key; `None` for a key without a row.
    pub rows: FingerprintMap<Option<Fingerprint>>,
    /// Keys that several rows with different contents share.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub doubled: BTreeSet<Fingerprint>,
    /// Declared rows that are one row to the database.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clashes: Vec<Clash>,
    /// Declared keys whose row is stored under a key that the table compares as equal, such as `a` and `A`;
    /// with the fingerprint of the stored key.
    #[serde(default, skip_serializing_if = "FingerprintMap::is_empty")]
    pub respelled: FingerprintMap<Fingerprint>,
    /// The differing columns of the first declared rows that exist with other content.
    #[serde(default, skip_serializing_if = "FingerprintMap::is_empty")]
    pub differences: FingerprintMap<Difference>,
    /// How the server stores the declared rows.
    #[serde(default, skip_serializing_if = "Spelling::is_empty")]
    pub spelling: Spelling,
    /// Whether the table is a view that rejects inserts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_read_only: bool,
}

/// How a stored row differs from the declared one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The declared content. The spec that a world is planned with may declare another one.
    pub declared: Fingerprint,
    pub columns: Vec<String>,
}

/// The number of rows of a question whose differing columns are kept: more than a plan shows.
const MAX_DIFFERENCES: usize = 20;

#[derive(Default)]
struct Read {
    rows: Vec<(Fingerprint, Fingerprint)>,
    doubled: BTreeSet<Fingerprint>,
    differences: Vec<(Fingerprint, Difference)>,
}

impl Read {
    /// Adds rows, and compares the declared ones with them. All rows of one key must come in the same call.
    fn add<'r>(&mut self, shape: &Shape<'_>, rows: &[Row], declared: impl Iterator<Item = Values<'r>>) {
        let mut contents: BTreeMap<Fingerprint, Fingerprint> = BTreeMap::new();
        for (key, content) in rows.iter().map(|row| fingerprints(shape, row)) {
            let before = contents.insert(key, content);
            if before.is_some_and(|before| before != content) {
                self.doubled.insert(key);
            }
        }
        self.compare(shape, rows, &contents, declared);
        self.rows.extend(contents);
    }

    fn compare<'r>(
        &mut self,
        shape: &Shape<'_>,
        rows: &[Row],
        contents: &BTreeMap<Fingerprint, Fingerprint>,
        declared: impl Iterator<Item = Values<'r>>,
    ) {
        let room = MAX_DIFFERENCES.saturating_sub(self.differences.len());
        let different = declared.filter_map(|row| {
            let key = shape.key_fingerprint(shape.key_of(&row));
            let content = shape.content_fingerprint(row.iter().copied());
            (*contents.get(&key)? != content).then_some((key, content, row))
        });
        let different: Vec<_> = different.take(room).collect();
        for (key, declared, row) in different {
            let is_stored = |stored: &&Row| fingerprints(shape, stored).0 == key;
            let Some(stored) = rows.iter().find(is_stored) else { continue };
            let stored: Values<'_> = stored.values().iter().map(Option::as_deref).collect();
            let columns = shape.differing(&stored, &row);
            self.differences.push((key, Difference { declared, columns }));
        }
    }
}

/// The answers by the digest of the question. Missing tables and columns are skipped: the diff decides
/// whether a pending migration creates them.
pub(crate) async fn observe(
    desired: &Desired,
    schema: &Snapshot,
    database: &Database,
) -> Result<BTreeMap<Digest, Answer>> {
    let mut sets: BTreeMap<Question, Vec<&RowSet>> = BTreeMap::new();
    for set in &desired.sets {
        sets.entry(set.question()).or_default().push(set);
    }
    let mut answers = BTreeMap::new();
    for (question, sets) in &sets {
        let shape = match Shape::resolve(
            &question.table,
            &question.key,
            &question.columns,
            schema,
            database.dialect(),
        ) {
            Ok(shape) => shape,
            Err(Lacking::Table | Lacking::Column(_)) => continue,
        };
        let doing = || Error::doing(format!("reading rows of {}", question.table));
        let (sets, spelling) = as_stored(&shape, sets, database).await.map_err(doing())?;
        let answer = match &question.scope {
            // Keys that their type rejects cannot be asked for.
            _ if shape.key.iter().any(|column| spelling.rejected.contains_key(&column.name)) => {
                Ok(Answer::default())
            }
            Some(scope) => ask_scope(&shape, &sets, (&scope.column, &scope.value), database).await,
            None => ask_keys(&shape, &sets, database).await,
        };
        let mut answer = answer.map_err(doing())?;
        answer.spelling = spelling;
        answer.is_read_only = is_read_only(&shape, database).await.map_err(doing())?;
        for set in sets.iter().filter(|set| set.on) {
            answer.clashes.extend(clashes(&shape, set, database).await.map_err(doing())?);
        }
        answers.insert(question.digest(), answer);
    }
    Ok(answers)
}

/// The sets with their values as the server stores them, and the fingerprints that this changes.
async fn as_stored(
    shape: &Shape<'_>,
    sets: &[&RowSet],
    database: &Database,
) -> crate::sql::Result<(Vec<RowSet>, Spelling)> {
    let (mut all, mut spelling, mut prints) = (Vec::new(), Spelling::default(), Vec::new());
    for set in sets {
        let (stored, _) = shape.as_stored(set, &mut spelling, database).await?;
        if !Arc::ptr_eq(&stored.rows, &set.rows) {
            for (declared, stored) in shape.rows_of(set).zip(shape.rows_of(&stored)) {
                let [declared, stored] = [declared, stored]
                    .map(|row| [shape.key_fingerprint(shape.key_of(&row)), shape.content_fingerprint(row)]);
                prints.extend(declared.into_iter().zip(stored).filter(|(one, other)| one != other));
            }
        }
        all.push(stored);
    }
    spelling.stored = FingerprintMap::new(prints);
    Ok((all, spelling))
}

/// Whether it is a view that rejects inserts: it is not updatable and has no trigger.
async fn is_read_only(shape: &Shape<'_>, database: &Database) -> crate::sql::Result<bool> {
    match shape.table.kind {
        TableKind::Table | TableKind::Foreign => return Ok(false),
        TableKind::MaterializedView => return Ok(true),
        TableKind::View => {}
    }
    let (sql, name) = match database.dialect() {
        Dialect::Postgres => {
            ("SELECT pg_relation_is_updatable($1::regclass, true) & 8 = 0", shape.quoted_table())
        }
        Dialect::Sqlite => (
            "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = $1 COLLATE nocase \
             AND sql LIKE '%instead%of%insert%')",
            shape.name.name.clone(),
        ),
    };
    let rows = database.query(sql, &[Value::Text(name)]).await?;
    rows.first().map_or(Ok(false), |row| row.bool(0))
}

async fn ask_scope(
    shape: &Shape<'_>,
    sets: &[RowSet],
    (column, value): (&str, &str),
    database: &Database,
) -> crate::sql::Result<Answer> {
    let Some(column) = shape.table.column(column) else { return Ok(Answer::default()) };
    if !shape.takes(column, value) {
        return Ok(Answer { whole: true, ..Answer::default() });
    }
    let source = Source::new(database.dialect(), 1, &[vec![Some(value.to_owned())]]);
    let sql = format!(
        "SELECT {} FROM {} AS t JOIN {} ON {}",
        select(shape, database),
        shape.quoted_table(),
        source.sql,
        equals(database.dialect(), column, 0),
    );
    let rows = database.query_many(&sql, shape.columns.len(), &source.values).await?;
    let mut read = Read::default();
    read.add(shape, &rows, sets.iter().flat_map(|set| shape.rows_of(set)));
    let Read { rows, doubled, differences } = read;
    let rows = rows.into_iter().map(|(key, content)| (key, Some(content))).collect();
    let differences = FingerprintMap::new(differences);
    Ok(Answer { whole: true, rows, doubled, differences, ..Answer::default() })
}

async fn ask_keys(shape: &Shape<'_>, sets: &[RowSet], database: &Database) -> crate::sql::Result<Answer> {
    let rows =
        || sets.iter().flat_map(|set| shape.rows_of(set)).filter(|row| shape.key_misfit(row).is_none());
    let mut read = Read::default();
    for rows in in_batches(rows()) {
        let keys = shape.keys(rows.iter().map(|row| shape.key_of(row)));
        let sql = format!("SELECT {} FROM {}", select(shape, database), shape.listed(&keys));
        let found = database.query_many(&sql, shape.columns.len(), &keys.values).await?;
        read.add(shape, &found, rows.into_iter());
    }
    let Read { rows: found, doubled, differences } = read;
    let differences = FingerprintMap::new(differences);
    let found = FingerprintMap::new(found);
    let mut answers: Vec<(Fingerprint, Option<Fingerprint>)> = Vec::with_capacity(found.len());
    answers.extend(
        rows()
            .map(|row| shape.key_fingerprint(shape.key_of(&row)))
            .map(|key| (key, found.get(&key).copied())),
    );
    let answers = FingerprintMap::new(answers);
    let has_others = found.keys().any(|key| !answers.contains_key(key));
    let respelled =
        if has_others { respelled(shape, rows(), database).await? } else { FingerprintMap::default() };
    Ok(Answer { whole: false, rows: answers, doubled, respelled, differences, ..Answer::default() })
}

/// The declared keys whose rows have another key that the table compares as equal.
async fn respelled<'r>(
    shape: &Shape<'_>,
    rows: impl Iterator<Item = Values<'r>>,
    database: &Database,
) -> crate::sql::Result<FingerprintMap<Fingerprint>> {
    let width = shape.key.len();
    let given = (0..width).map(|at| format!("q.c{at}")).collect::<Vec<_>>().join(", ");
    let stored = read_texts(database.dialect(), shape.key.iter().copied());
    let mut respelled = Vec::new();
    for rows in in_batches(rows) {
        let keys = shape.keys(rows.iter().map(|row| shape.key_of(row)));
        let sql = format!("SELECT {given}, {stored} FROM {}", shape.listed(&keys));
        for row in database.query_many(&sql, width * 2, &keys.values).await? {
            let (given, stored) = row.values().split_at_checked(width).unwrap_or_default();
            let [given, stored] =
                [given, stored].map(|key| shape.key_fingerprint(key.iter().map(Option::as_deref)));
            respelled.push((given, stored));
        }
    }
    respelled.retain(|(given, stored)| given != stored);
    Ok(FingerprintMap::new(respelled))
}

fn select(shape: &Shape<'_>, database: &Database) -> String {
    read_texts(database.dialect(), shape.columns.iter().map(|(column, _)| *column))
}

fn fingerprints(shape: &Shape<'_>, row: &Row) -> (Fingerprint, Fingerprint) {
    let values: Values<'_> = row.values().iter().map(Option::as_deref).collect();
    (shape.key_fingerprint(shape.key_of(&values)), shape.content_fingerprint(values))
}
