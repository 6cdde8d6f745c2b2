//! What is done to rows of SQLite: deleted, overwritten, copied.

use sqlparser::ast::{
    AssignmentTarget, Expr, FromTable, GroupByExpr, Insert, ObjectName, Query, Select, SelectItem, SetExpr,
    SqliteOnConflict, Statement, TableFactor, TableObject, TableWithJoins,
};

use super::{joined, name, table, work};
use crate::catalog::TableName;
use crate::lint::act::Act;
use crate::lint::condition::leaves_out;
use crate::lint::rules;

/// What is done to rows by a statement.
pub(super) fn of(statement: &Statement) -> Vec<Act> {
    let mut acts = written(statement);
    acts.extend(work::of(statement).map(Act::Works));
    acts
}

fn written(statement: &Statement) -> Vec<Act> {
    match statement {
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            let tables: Vec<_> = from.iter().filter_map(table).collect();
            let which = if is_all(delete.selection.as_ref(), &from.iter().flat_map(names).collect::<Vec<_>>())
            {
                "all"
            } else {
                "some"
            };
            let reason = format!("deletes {which} rows of {}", joined(&tables));
            let writes = Act::Writes { to: tables.clone() };
            vec![writes, Act::does(&rules::DELETE_ROWS, tables, reason)]
        }
        Statement::Update(update) => {
            let Some(table) = table(&update.table) else {
                return vec![Act::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such UPDATE")];
            };
            let mut acts = vec![Act::Writes { to: vec![table.clone()] }];
            if matches!(update.or, Some(SqliteOnConflict::Replace)) {
                acts.push(replaces(&table));
            } else if is_all(update.selection.as_ref(), &names(&update.table)) {
                let columns = update.assignments.iter().flat_map(|assignment| match &assignment.target {
                    AssignmentTarget::ColumnName(column) => vec![column],
                    AssignmentTarget::Tuple(columns) => columns.iter().collect(),
                });
                let columns = columns.map(column).collect();
                acts.push(Act::UpdatesAll { table, columns });
            }
            acts
        }
        Statement::Insert(insert) => {
            let table = match &insert.table {
                TableObject::TableName(table) => name(table),
                _ => return vec![Act::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such INSERT")],
            };
            let mut acts = vec![Act::Writes { to: vec![table.clone()] }];
            if insert.replace_into || matches!(insert.or, Some(SqliteOnConflict::Replace)) {
                acts.push(replaces(&table));
            } else {
                acts.extend(copy(insert, table));
            }
            acts
        }
        Statement::Query(query) => of_query(query),
        _ => vec![Act::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such statement")],
    }
}

/// A query's own rows are read; a `WITH` before DELETE, UPDATE or INSERT makes a query of it.
pub(super) fn of_query(query: &Query) -> Vec<Act> {
    match &*query.body {
        SetExpr::Insert(rows) | SetExpr::Update(rows) | SetExpr::Delete(rows) | SetExpr::Merge(rows) => {
            // What is copied may be what the WITH gives, under the name of a table.
            of(rows).into_iter().filter(|act| !matches!(act, Act::Copies { .. })).collect()
        }
        SetExpr::Query(inner) => of_query(inner),
        SetExpr::Select(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) | SetExpr::Table(_) => {
            Vec::new()
        }
    }
}

/// What an INSERT copies: all rows of one table, as they are, and none is left out on the way.
fn copy(insert: &Insert, to: TableName) -> Option<Act> {
    if insert.on.is_some() || matches!(insert.or, Some(SqliteOnConflict::Ignore)) {
        return None;
    }
    let Query { with: None, body, limit_clause: None, fetch: None, .. } = insert.source.as_deref()? else {
        return None;
    };
    let SetExpr::Select(select) = &**body else { return None };
    let Select { distinct: None, top: None, selection: None, having: None, group_by, from, .. } = &**select
    else {
        return None;
    };
    let is_grouped = !matches!(group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [one] = from.as_slice() else { return None };
    if is_grouped || !one.joins.is_empty() {
        return None;
    }
    let into: Vec<String> = insert.columns.iter().map(column).collect();
    let columns = match select.projection.as_slice() {
        [SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)] => None,
        items => Some(items.iter().map(plain_column).collect::<Option<Vec<String>>>()?),
    };
    let into = Some(into).filter(|into| !into.is_empty());
    Some(Act::Copies { from: table(one)?, to, columns, into })
}

/// The column that an item of a SELECT is, when it is nothing else.
fn plain_column(item: &SelectItem) -> Option<String> {
    let (SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. }) = item else {
        return None;
    };
    let column = match value {
        Expr::Identifier(column) => column,
        Expr::CompoundIdentifier(path) => path.last()?,
        _ => return None,
    };
    Some(column.value.to_lowercase())
}

fn column(named: &ObjectName) -> String {
    name(named).name
}

fn replaces(table: &TableName) -> Act {
    let reason = format!("deletes the rows of {table} that are in the way; use ON CONFLICT DO UPDATE");
    Act::does(&rules::REPLACE_ROWS, vec![table.clone()], reason)
}

/// What a condition can call a table.
pub(super) fn names(table: &TableWithJoins) -> Vec<String> {
    let TableFactor::Table { name: table, alias, .. } = &table.relation else { return Vec::new() };
    let alias = alias.as_ref().map(|alias| alias.name.value.to_lowercase());
    [Some(name(table).name), alias].into_iter().flatten().collect()
}

/// Whether a condition leaves no row out.
fn is_all(condition: Option<&Expr>, names: &[String]) -> bool {
    !condition.is_some_and(|condition| leaves_out(condition, names))
}
