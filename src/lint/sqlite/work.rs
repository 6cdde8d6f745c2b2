//! Determines which rows a SQLite statement reads while it holds the write lock. Whether they may
//! be many is decided elsewhere.

use sqlparser::ast::{
    Expr, FromTable, Insert, ObjectType, Query, Select, SetExpr, Statement, TableFactor, TableObject,
    TableWithJoins, Update, UpdateTableFromKind,
};

use super::{name, names, table};
use crate::catalog::TableName;
use crate::lint::condition::{Others, bound};
use crate::lint::effect::{Read, RowAccess};

/// Returns the reads of a statement that writes rows; `None` for a statement that writes none.
pub(super) fn row_access(statement: &Statement) -> Option<RowAccess> {
    let mut work = RowAccess::default();
    match statement {
        Statement::Delete(delete) => {
            let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
            match &delete.selection {
                None => {
                    work.empties = from.iter().filter_map(table).collect();
                    work.holds = work.empties.iter().cloned().map(Read::all).collect();
                }
                condition => {
                    work.reads = from.iter().flat_map(|from| found(from, condition.as_ref(), true)).collect();
                }
            }
        }
        Statement::Drop { object_type: ObjectType::Table, names, .. } => {
            work.empties = names.iter().map(name).collect();
        }
        Statement::Update(update) => work.reads = updated(update),
        Statement::Insert(insert) => {
            work.reads = insert.source.iter().flat_map(|query| read(query)).collect();
            work.fills = inserted(insert).into_iter().collect();
        }
        _ => return None,
    }
    let does_nothing = work.reads.is_empty() && work.empties.is_empty();
    (!does_nothing).then_some(work)
}

/// Returns the reads of `CREATE TABLE … AS`.
pub(super) fn row_access_of_created(made: &TableName, query: &Query) -> RowAccess {
    RowAccess { reads: read(query), fills: vec![made.clone()], ..RowAccess::default() }
}

fn inserted(insert: &Insert) -> Option<TableName> {
    match &insert.table {
        TableObject::TableName(table) => Some(name(table)),
        _ => None,
    }
}

fn updated(update: &Update) -> Vec<Read> {
    let others = update.from.iter().flat_map(|from| match from {
        UpdateTableFromKind::BeforeSet(tables) | UpdateTableFromKind::AfterSet(tables) => tables,
    });
    let others: Vec<Read> = others.flat_map(|other| found(other, None, false)).collect();
    let own = found(&update.table, update.selection.as_ref(), others.is_empty());
    own.into_iter().chain(others).collect()
}

fn read(query: &Query) -> Vec<Read> {
    let with = query.with.iter().flat_map(|with| &with.cte_tables);
    let made: Vec<TableName> =
        with.clone().map(|cte| TableName::plain(cte.alias.name.value.to_lowercase())).collect();
    let mut reads: Vec<Read> = with.flat_map(|cte| read(&cte.query)).collect();
    reads.extend(of_body(&query.body));
    reads.retain(|read| !made.contains(&read.table));
    reads
}

fn of_body(body: &SetExpr) -> Vec<Read> {
    match body {
        SetExpr::Select(select) => selected(select),
        SetExpr::Query(query) => read(query),
        SetExpr::SetOperation { left, right, .. } => {
            of_body(left).into_iter().chain(of_body(right)).collect()
        }
        _ => Vec::new(),
    }
}

fn selected(select: &Select) -> Vec<Read> {
    let is_alone = matches!(select.from.as_slice(), [one] if one.joins.is_empty());
    select.from.iter().flat_map(|from| found(from, select.selection.as_ref(), is_alone)).collect()
}

/// Returns a table and the tables joined to it, with the columns that the condition restricts.
fn found(from: &TableWithJoins, condition: Option<&Expr>, is_alone: bool) -> Vec<Read> {
    let others = if is_alone { Others::Nothing } else { Others::Many };
    let bound = condition.map(|condition| bound(condition, &names(from), others)).unwrap_or_default();
    let own = table(from).map(|table| Read { table, bound });
    let factors = [&from.relation].into_iter().chain(from.joins.iter().map(|join| &join.relation));
    let inner = factors.filter_map(|factor| match factor {
        TableFactor::Derived { subquery, .. } => Some(read(subquery)),
        _ => None,
    });
    let joined = from.joins.iter().filter_map(|join| match &join.relation {
        TableFactor::Table { name: table, .. } => Some(Read::all(name(table))),
        _ => None,
    });
    own.into_iter().chain(joined).chain(inner.flatten()).collect()
}
