//! Reads SQLite's statements with sqlparser, one by one, so that one that it does not understand
//! hides no other.

use sqlparser::ast::{
    AlterTableOperation, AssignmentTarget, ColumnOption, Expr, FromTable, GroupByExpr, ObjectName,
    ObjectType, Query, RenameTableNameKind, Select, SetExpr, SqliteOnConflict, Statement, TableFactor,
    TableObject, TableWithJoins, Value,
};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

use super::MOST_NESTING;
use super::act::Act;
use super::rules;
use super::script::{Script, before_parenthesis, first_words, folded, table_name};
use crate::catalog::TableName;
use crate::sql::Dialect;

/// What each statement of a script does.
pub(super) fn acts(sql: &str, script: &Script, in_transaction: bool) -> Vec<Vec<Act>> {
    let text = |bytes: &std::ops::Range<usize>| sql.get(bytes.clone()).unwrap_or("");
    let each = script.statements.iter().zip(&script.nesting);
    each.map(|(bytes, nesting)| statement(text(bytes), *nesting, in_transaction)).collect()
}

fn statement(sql: &str, nesting: usize, in_transaction: bool) -> Vec<Act> {
    let words = first_words(sql, Dialect::Sqlite);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin" | "commit" | "end" | "rollback", ..] if in_transaction => {
            let reason = "the migration runs in a transaction already, together with its record";
            return vec![Act::does(&rules::TRANSACTION_CONTROL, Vec::new(), reason)];
        }
        ["pragma", "writable_schema", ..] => {
            let reason = "what is written into the schema's own table is not looked into";
            return vec![Act::does(&rules::CODE_BLOCK, Vec::new(), reason)];
        }
        ["vacuum" | "reindex", ..] => {
            let reason = "writers wait while the file is written anew";
            return vec![Act::does(&rules::LONG_WRITE, Vec::new(), reason)];
        }
        words if is_harmless(words) => return Vec::new(),
        _ => {}
    }
    if nesting > MOST_NESTING {
        return vec![unread(&words, "it is nested too deep")];
    }
    match Parser::parse_sql(&SQLiteDialect {}, sql) {
        Ok(statements) => statements.iter().flat_map(of).collect(),
        Err(error) => {
            let made = before_parenthesis(sql, Dialect::Sqlite).filter(|_| words.first() == Some(&"create"));
            let made =
                made.and_then(|head| Parser::parse_sql(&SQLiteDialect {}, &format!("{head} (x)")).ok());
            match made {
                // Whatever stands in a table or index that is made: its name says all that matters.
                Some(statements) => statements.iter().flat_map(of).collect(),
                // Without OR REPLACE it only adds rows, wherever they come from.
                None if words.starts_with(&["insert", "into"]) => Vec::new(),
                None => vec![unread(&words, &error.to_string())],
            }
        }
    }
}

/// Whether the first words tell already that nothing is lost and nobody waits.
fn is_harmless(words: &[&str]) -> bool {
    match words {
        // A trigger's body is stored, not run.
        ["create", "temp" | "temporary", what, ..] | ["create" | "drop", what, ..] => {
            matches!(*what, "trigger" | "view")
        }
        [first, ..] => matches!(
            *first,
            "begin"
                | "commit"
                | "end"
                | "rollback"
                | "savepoint"
                | "release"
                | "analyze"
                | "attach"
                | "detach"
                | "pragma"
                | "select"
                | "values"
        ),
        [] => false,
    }
}

/// A statement that is not understood; one that begins as those do that destroy is held for one.
fn unread(words: &[&str], message: &str) -> Act {
    let rule = match words {
        ["drop", "table", ..] => &rules::DROP_TABLE,
        ["delete", ..] => &rules::DELETE_ROWS,
        ["replace", ..] => &rules::REPLACE_ROWS,
        _ => &rules::NOT_PARSED,
    };
    let message = message.lines().next().unwrap_or("").trim_start_matches("sql parser error: ");
    Act::does(rule, Vec::new(), format!("cannot be read: {message}"))
}

fn of(statement: &Statement) -> Vec<Act> {
    match statement {
        Statement::CreateTable(create) => {
            let columns = create.columns.iter().map(|column| {
                (column.name.value.to_lowercase(), column.data_type.to_string().to_lowercase())
            });
            let columns = columns.collect();
            name(&create.name)
                .map(|name| Act::Makes { name, if_missing: create.if_not_exists, columns })
                .into_iter()
                .chain(create.query.iter().flat_map(|query| in_query(query)))
                .collect()
        }
        Statement::CreateVirtualTable { name: table, if_not_exists, .. } => name(table)
            .map(|name| Act::Makes { name, if_missing: *if_not_exists, columns: Vec::new() })
            .into_iter()
            .collect(),
        Statement::CreateIndex(create) => {
            index(create.name.as_ref(), &create.table_name, create.if_not_exists)
        }
        Statement::AlterTable(alter) => {
            let Some(table) = name(&alter.name) else { return Vec::new() };
            alter.operations.iter().flat_map(|operation| altered(&table, operation)).collect()
        }
        Statement::Drop { object_type: ObjectType::Table, names, .. } => {
            let tables: Vec<_> = names.iter().filter_map(name).collect();
            let reason = format!("loses the rows of {}", joined(&tables));
            let removed = tables.iter().map(|name| Act::Removes { name: name.clone() });
            let mut acts: Vec<_> = removed.collect();
            acts.push(Act::does(&rules::DROP_TABLE, tables, reason));
            acts
        }
        Statement::Drop { object_type: ObjectType::Index, names, .. } => {
            names.iter().filter_map(name).map(|name| Act::Removes { name }).collect()
        }
        Statement::Query(query) => in_query(query),
        Statement::Explain { .. } | Statement::ExplainTable { .. } => Vec::new(),
        rows => row_acts(rows),
    }
}

fn index(index: Option<&ObjectName>, table: &ObjectName, if_missing: bool) -> Vec<Act> {
    let table: Vec<_> = name(table).into_iter().collect();
    let reason = format!("writers of the whole file wait while the index on {} is built", joined(&table));
    let made = index.and_then(name).map(|name| Act::Makes { name, if_missing, columns: Vec::new() });
    made.into_iter().chain([Act::does(&rules::LONG_WRITE, table, reason)]).collect()
}

fn altered(table: &TableName, operation: &AlterTableOperation) -> Vec<Act> {
    let to = || vec![table.clone()];
    match operation {
        AlterTableOperation::AddColumn { column_def, if_not_exists, .. } => {
            let has =
                |is: fn(&ColumnOption) -> bool| column_def.options.iter().any(|option| is(&option.option));
            let required = has(|option| matches!(option, ColumnOption::NotNull));
            let filled = has(|option| {
                matches!(option, ColumnOption::Default(value) if !is_null(value))
                    || matches!(option, ColumnOption::Generated { .. })
            });
            let column = column_def.name.value.to_lowercase();
            let kind = column_def.data_type.to_string().to_lowercase();
            let mut acts = Vec::new();
            if required && !filled {
                let reason = "fails when the table has rows: the column is NOT NULL and has no default";
                acts.push(Act::does(&rules::ADDING_REQUIRED_FIELD, to(), reason));
            }
            acts.push(Act::AddsColumn { table: table.clone(), column, kind, if_missing: *if_not_exists });
            acts
        }
        AlterTableOperation::DropColumn { column_names, .. } => column_names
            .iter()
            .map(|column| Act::DropsColumn { table: table.clone(), column: column.value.to_lowercase() })
            .collect(),
        AlterTableOperation::RenameColumn { old_column_name, .. } => {
            let reason = format!("statements by the old name {} fail from then on", old_column_name.value);
            vec![Act::does(&rules::RENAME_COLUMN, to(), reason)]
        }
        AlterTableOperation::RenameTable { table_name } => {
            let (RenameTableNameKind::As(new) | RenameTableNameKind::To(new)) = table_name;
            let reason = format!("statements by the old name {table} fail from then on");
            let renamed = name(new).map(|to| Act::Renames { from: table.clone(), to });
            [Act::does(&rules::RENAME_TABLE, to(), reason)].into_iter().chain(renamed).collect()
        }
        _ => vec![Act::does(&rules::NOT_PARSED, to(), "SQLite has no such ALTER TABLE")],
    }
}

/// What is done to rows by a statement or in a `WITH` of it.
fn row_acts(statement: &Statement) -> Vec<Act> {
    match statement {
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let tables: Vec<_> = from.iter().filter_map(table).collect();
            let which = if is_all(delete.selection.as_ref()) { "all" } else { "some" };
            let reason = format!("deletes {which} rows of {}", joined(&tables));
            vec![Act::does(&rules::DELETE_ROWS, tables, reason)]
        }
        Statement::Update(update) => {
            let Some(table) = table(&update.table) else { return Vec::new() };
            if matches!(update.or, Some(SqliteOnConflict::Replace)) {
                return vec![replaces(Some(table))];
            }
            if !is_all(update.selection.as_ref()) {
                return Vec::new();
            }
            let columns = update.assignments.iter().flat_map(|assignment| match &assignment.target {
                AssignmentTarget::ColumnName(column) => vec![column],
                AssignmentTarget::Tuple(columns) => columns.iter().collect(),
            });
            let columns = columns.filter_map(name).map(|column| column.name).collect();
            vec![Act::UpdatesAll { table, columns }]
        }
        Statement::Insert(insert) => {
            let replaces_rows = insert.replace_into || matches!(insert.or, Some(SqliteOnConflict::Replace));
            let table = match &insert.table {
                TableObject::TableName(table) => name(table),
                _ => None,
            };
            if replaces_rows {
                return vec![replaces(table)];
            }
            let columns: Vec<String> =
                insert.columns.iter().filter_map(name).map(|column| column.name).collect();
            let columns = Some(columns).filter(|columns| !columns.is_empty());
            let from = insert.source.as_deref().and_then(whole_table);
            let copies = from.zip(table).map(|(from, to)| Act::Copies { from, to, columns });
            copies.into_iter().collect()
        }
        Statement::Query(query) => in_query(query),
        _ => vec![Act::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such statement")],
    }
}

/// The table whose rows a query gives, all of them.
fn whole_table(query: &Query) -> Option<TableName> {
    let Query { with: None, body, limit_clause: None, fetch: None, .. } = query else { return None };
    let SetExpr::Select(select) = &**body else { return None };
    let Select { distinct: None, top: None, selection: None, having: None, group_by, from, .. } = &**select
    else {
        return None;
    };
    let is_grouped = !matches!(group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [one] = from.as_slice() else { return None };
    // An aggregate without GROUP BY is told by its parentheses; what computes a column is not copying.
    let computes = select.projection.iter().any(|item| item.to_string().contains('('));
    (!is_grouped && !computes && one.joins.is_empty()).then(|| table(one))?
}

fn replaces(table: Option<TableName>) -> Act {
    let table: Vec<_> = table.into_iter().collect();
    let reason =
        format!("deletes the rows of {} that are in the way; use ON CONFLICT DO UPDATE", joined(&table));
    Act::does(&rules::REPLACE_ROWS, table, reason)
}

/// A query's own rows are read; a `WITH` before DELETE or UPDATE makes a query of it.
fn in_query(query: &Query) -> Vec<Act> {
    match &*query.body {
        SetExpr::Insert(rows) | SetExpr::Update(rows) | SetExpr::Delete(rows) | SetExpr::Merge(rows) => {
            row_acts(rows)
        }
        SetExpr::Query(inner) => in_query(inner),
        SetExpr::Select(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) | SetExpr::Table(_) => {
            Vec::new()
        }
    }
}

fn is_null(value: &Expr) -> bool {
    matches!(value, Expr::Value(value) if matches!(value.value, Value::Null))
}

/// Whether a condition is none.
fn is_all(condition: Option<&Expr>) -> bool {
    condition.is_none_or(|condition| {
        let text: String = condition.to_string().split_whitespace().collect::<String>().to_lowercase();
        matches!(text.trim_matches(['(', ')']), "true" | "1" | "1=1" | "notfalse" | "not0")
    })
}

fn name(name: &ObjectName) -> Option<TableName> {
    table_name(&name.to_string(), Dialect::Sqlite).map(|name| folded(&name))
}

fn table(table: &TableWithJoins) -> Option<TableName> {
    match &table.relation {
        TableFactor::Table { name: table, .. } => name(table),
        _ => None,
    }
}

fn joined(names: &[TableName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
