//! Introspects SQLite with `sqlite_schema` joined with the table-valued pragmas, one statement
//! each.

use std::collections::{BTreeMap, BTreeSet};

use super::sqlite_ddl::{self, TableText};
use super::{Column, ForeignKey, Index, Snapshot, Table, TableKind, TableName, ValueKind};
use crate::sql::{Database, Result, Row, Value, folded, unfolded};

/// Returns name, kind, WITHOUT ROWID, statement, STRICT. Shadow tables of virtual tables are
/// omitted.
const TABLES: &str = "
    SELECT t.name, t.type, t.wr, s.sql, t.strict
    FROM pragma_table_list t
    JOIN sqlite_schema s ON s.name = t.name AND s.type IN ('table', 'view')
    WHERE t.schema = 'main'
      AND t.type IN ('table', 'view', 'virtual')
      AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
      AND t.name NOT LIKE 'trueup\\_%' ESCAPE '\\'
      AND t.name <> '_sqlx_migrations'
    ORDER BY t.name";

/// Returns the available modules of virtual tables, as JSON.
const MODULES: &str = "SELECT json_group_array(name) FROM pragma_module_list";

/// Returns table, column, type, NOT NULL, default, position in the primary key from 1, hidden (1) or
/// generated (2, 3). In order, for the tables in a JSON list.
const COLUMNS: &str = "
    SELECT t.value, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk, c.hidden
    FROM json_each($1) t
    JOIN pragma_table_xinfo(t.value, 'main') c
    WHERE c.hidden <> 1
    ORDER BY t.key, c.cid";

/// Returns table, index, unique, whether it belongs to the primary key, statement, keys as JSON (null for
/// an expression), and as JSON which of them descend. For the tables in a JSON list.
const INDEXES: &str = "
    SELECT t.value, i.name, i.\"unique\", i.origin = 'pk', s.sql,
           (SELECT json_group_array(k.name ORDER BY k.seqno)
            FROM pragma_index_xinfo(i.name, 'main') k WHERE k.\"key\" = 1),
           (SELECT json_group_array(k.\"desc\" ORDER BY k.seqno)
            FROM pragma_index_xinfo(i.name, 'main') k WHERE k.\"key\" = 1)
    FROM json_each($1) t
    JOIN pragma_index_list(t.value, 'main') i
    LEFT JOIN sqlite_schema s ON s.type = 'index' AND s.name = i.name
    ORDER BY t.key, i.seq";

/// Returns table, number of the key, column, referenced table and column, ON UPDATE, ON DELETE. In order,
/// for the tables in a JSON list.
const FOREIGN_KEYS: &str = "
    SELECT t.value, f.id, f.\"from\", f.\"table\", f.\"to\", f.on_update, f.on_delete
    FROM json_each($1) t
    JOIN pragma_foreign_key_list(t.value, 'main') f
    ORDER BY t.key, f.id, f.seq";

/// Runs a query with the given number of columns.
async fn all(database: &Database, query: &str, columns: usize, values: &[Value]) -> Result<Vec<Row>> {
    unfolded(&database.query(&folded(query, columns), values).await?)
}

pub(super) async fn introspect(database: &Database) -> Result<Snapshot> {
    let modules = database.query(MODULES, &[]).await?;
    let modules: Vec<String> = modules.first().map_or(Ok(Vec::new()), |row| row.json(0))?;
    let modules: BTreeSet<String> = modules.into_iter().map(|name| name.to_lowercase()).collect();
    let mut snapshot = Snapshot::default();
    let (mut written, mut stored, mut computed) = (BTreeMap::new(), Vec::new(), Vec::new());
    for row in all(database, TABLES, 5, &[]).await? {
        let (name, sql) = (row.text(0)?.to_owned(), row.get(3).unwrap_or(""));
        let kind = match row.text(1)? {
            "view" => TableKind::View,
            "virtual" => TableKind::Foreign,
            _ => TableKind::Table,
        };
        let mut table = Table { strict: row.bool(4)?, ..Table::empty(kind) };
        match kind {
            TableKind::View => {
                table.definition = Some(sqlite_ddl::view_body(sql));
                computed.push(Some(name.clone()));
            }
            TableKind::Foreign => {
                table.definition = Some(sql.trim().to_owned());
                // The columns of a virtual table can be queried only where its module is loaded.
                if sqlite_ddl::module(sql).is_some_and(|module| modules.contains(&module)) {
                    computed.push(Some(name.clone()));
                }
            }
            TableKind::Table | TableKind::MaterializedView => {
                let text = sqlite_ddl::table(sql);
                table.checks = text.checks.iter().map(|check| format!("CHECK ({check})")).collect();
                written.insert(name.clone(), (text, row.bool(2)?));
                stored.push(Some(name.clone()));
            }
        }
        snapshot.tables.insert(TableName::plain(name), table);
    }

    let mut columns = all(database, COLUMNS, 7, &[Value::Texts(stored.clone())]).await?;
    columns.extend(computed_columns(database, computed).await?);
    let tables = [Value::Texts(stored)];
    let indexes = all(database, INDEXES, 7, &tables).await?;
    // A primary key with an index of its own is not an alias of the rowid.
    let mut own_index = BTreeSet::new();
    for row in indexes {
        if row.bool(3)? {
            own_index.insert(row.text(0)?.to_owned());
        } else if let Some(table) = table_of(&mut snapshot, &row)? {
            table.indexes.insert(row.text(1)?.to_owned(), index(&row)?);
        }
    }
    let mut keys: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for row in columns {
        let name = row.text(0)?.to_owned();
        let place = row.integer(5)?;
        if place > 0 {
            keys.entry(name.clone()).or_default().push((place, row.text(1)?.to_owned()));
        }
        let text = written.get(&name).map(|(text, _)| text);
        if let Some(table) = table_of(&mut snapshot, &row)? {
            table.columns.push(column(&row, text)?);
        }
    }
    for (name, mut key) in keys {
        let without_rowid = written.get(&name).is_none_or(|(_, without_rowid)| *without_rowid);
        let Some(table) = snapshot.tables.get_mut(&TableName::plain(&name)) else { continue };
        key.sort();
        table.primary_key = key.into_iter().map(|(_, column)| column).collect();
        let alias = !without_rowid && !own_index.contains(&name);
        if let ([only], true) = (table.primary_key.as_slice(), alias) {
            let rowid = |column: &&mut Column| {
                column.name == *only && column.data_type.eq_ignore_ascii_case("INTEGER")
            };
            if let Some(column) = table.columns.iter_mut().find(rowid) {
                column.identity = true;
                column.nullable = false;
            }
        }
    }
    add_foreign_keys(&mut snapshot, &all(database, FOREIGN_KEYS, 7, &tables).await?)?;
    Ok(snapshot)
}

/// The columns of views and virtual tables, in one statement. A broken view, for example of a dropped
/// table, fails the statement; then each is queried separately, and the broken one has no columns.
async fn computed_columns(database: &Database, names: Vec<Option<String>>) -> Result<Vec<Row>> {
    const SQLITE_ERROR: &str = "1";
    match all(database, COLUMNS, 7, &[Value::Texts(names.clone())]).await {
        Err(error) if error.code().as_deref() == Some(SQLITE_ERROR) => {}
        columns_or_error => return columns_or_error,
    }
    let mut rows = Vec::new();
    for name in names {
        match all(database, COLUMNS, 7, &[Value::Texts(vec![name])]).await {
            Ok(columns) => rows.extend(columns),
            Err(error) if error.code().as_deref() == Some(SQLITE_ERROR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

fn table_of<'s>(snapshot: &'s mut Snapshot, row: &Row) -> Result<Option<&'s mut Table>> {
    Ok(snapshot.tables.get_mut(&TableName::plain(row.text(0)?)))
}

fn column(row: &Row, text: Option<&TableText>) -> Result<Column> {
    let name = row.text(1)?.to_owned();
    let declared = row.get(2).unwrap_or("");
    // The pragma reports "INTEGER GENERATED ALWAYS" for `INTEGER GENERATED ALWAYS AS (…)`.
    let generated = matches!(row.integer(6)?, 2 | 3);
    let upper = declared.to_ascii_uppercase();
    let data_type = match upper.find("GENERATED ALWAYS") {
        Some(at) if generated => declared.get(..at).unwrap_or(declared).trim_end(),
        _ => declared,
    };
    Ok(Column {
        kind: ValueKind::of_sqlite(data_type),
        data_type: data_type.to_owned(),
        nullable: !row.bool(3)?,
        default: row.get(4).map(str::to_owned),
        generated: generated.then(|| {
            text.and_then(|text| text.generated.get(&name.to_lowercase())).cloned().unwrap_or_default()
        }),
        identity: false,
        comment: None,
        name,
    })
}

fn index(row: &Row) -> Result<Index> {
    let (written, predicate) = sqlite_ddl::index(row.get(4).unwrap_or(""));
    let names: Vec<Option<String>> = row.json(5)?;
    let descending: Vec<i64> = row.json(6)?;
    let key = |(place, name): (usize, Option<String>)| match name {
        Some(name) if descending.get(place) == Some(&1) => format!("{name} DESC"),
        Some(name) => name,
        None => written.get(place).cloned().unwrap_or_else(|| "(expression)".to_owned()),
    };
    let keys = names.into_iter().enumerate().map(key).collect();
    Ok(Index { unique: row.bool(2)?, keys, more: Vec::new(), predicate, valid: true })
}

fn add_foreign_keys(snapshot: &mut Snapshot, rows: &[Row]) -> Result<()> {
    let mut keys: BTreeMap<(&str, i64), ForeignKey> = BTreeMap::new();
    for row in rows {
        let action = |event: &str, column| {
            row.get(column)
                .filter(|action| *action != "NO ACTION")
                .map(|action| format!("ON {event} {action}"))
        };
        let key = keys.entry((row.text(0)?, row.integer(1)?)).or_insert_with(|| ForeignKey {
            columns: Vec::new(),
            table: TableName::plain(row.get(3).unwrap_or("")),
            references: Vec::new(),
            actions: action("DELETE", 6).into_iter().chain(action("UPDATE", 5)).collect(),
        });
        key.columns.push(row.text(2)?.to_owned());
        key.references.extend(row.get(4).map(str::to_owned));
    }
    for ((table, _), key) in keys {
        if let Some(table) = snapshot.tables.get_mut(&TableName::plain(table)) {
            table.foreign_keys.insert(key);
        }
    }
    Ok(())
}
