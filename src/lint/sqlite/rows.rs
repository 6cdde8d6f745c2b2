//! Effects on rows in SQLite: which statements delete, overwrite or copy them.

use sqlparser::ast::{
    AssignmentTarget, Expr, FromTable, GroupByExpr, Insert, ObjectName, Query, Select, SelectItem, SetExpr,
    SqliteOnConflict, Statement, TableObject,
};

use super::{joined, name, names, table, work};
use crate::catalog::TableName;
use crate::lint::condition::leaves_out;
use crate::lint::effect::Effect;
use crate::lint::rules;

pub(super) fn row_effects(statement: &Statement) -> Vec<Effect> {
    let mut effects = written(statement);
    effects.extend(work::row_access(statement).map(Effect::AccessesRows));
    effects
}

fn written(statement: &Statement) -> Vec<Effect> {
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
            let writes = Effect::Writes { to: tables.clone() };
            vec![writes, Effect::does(&rules::DELETE_ROWS, tables, reason)]
        }
        Statement::Update(update) => {
            let Some(table) = table(&update.table) else {
                return vec![Effect::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such UPDATE")];
            };
            let mut effects = vec![Effect::Writes { to: vec![table.clone()] }];
            if matches!(update.or, Some(SqliteOnConflict::Replace)) {
                effects.push(replaces(&table));
            } else if is_all(update.selection.as_ref(), &names(&update.table)) {
                let columns = update.assignments.iter().flat_map(|assignment| match &assignment.target {
                    AssignmentTarget::ColumnName(column) => vec![column],
                    AssignmentTarget::Tuple(columns) => columns.iter().collect(),
                });
                let columns = columns.map(column).collect();
                effects.push(Effect::UpdatesAll { table, columns });
            }
            effects
        }
        Statement::Insert(insert) => {
            let table = match &insert.table {
                TableObject::TableName(table) => name(table),
                _ => return vec![Effect::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such INSERT")],
            };
            let mut effects = vec![Effect::Writes { to: vec![table.clone()] }];
            if insert.replace_into || matches!(insert.or, Some(SqliteOnConflict::Replace)) {
                effects.push(replaces(&table));
            } else {
                effects.extend(copy(insert, table));
            }
            effects
        }
        Statement::Query(query) => of_query(query),
        _ => vec![Effect::does(&rules::NOT_PARSED, Vec::new(), "SQLite has no such statement")],
    }
}

/// A plain query only reads, but sqlparser also wraps a DELETE, UPDATE or INSERT after a `WITH` in
/// a query.
pub(super) fn of_query(query: &Query) -> Vec<Effect> {
    match &*query.body {
        SetExpr::Insert(rows) | SetExpr::Update(rows) | SetExpr::Delete(rows) | SetExpr::Merge(rows) => {
            // The copied rows may come from a CTE that has the name of a table.
            row_effects(rows).into_iter().filter(|effect| !matches!(effect, Effect::Copies { .. })).collect()
        }
        SetExpr::Query(inner) => of_query(inner),
        SetExpr::Select(_) | SetExpr::SetOperation { .. } | SetExpr::Values(_) | SetExpr::Table(_) => {
            Vec::new()
        }
    }
}

/// Recognises an INSERT that copies all rows of one table, unchanged and unfiltered.
fn copy(insert: &Insert, to: TableName) -> Option<Effect> {
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
    Some(Effect::Copies { from: table(one)?, to, columns, into })
}

/// Returns the column of a SELECT item that is a plain column.
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

fn replaces(table: &TableName) -> Effect {
    let reason = format!("deletes the rows of {table} that are in the way; use ON CONFLICT DO UPDATE");
    Effect::does(&rules::REPLACE_ROWS, vec![table.clone()], reason)
}

/// Whether a condition excludes no row.
fn is_all(condition: Option<&Expr>, names: &[String]) -> bool {
    !condition.is_some_and(|condition| leaves_out(condition, names))
}
