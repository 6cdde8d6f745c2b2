//! Effects on rows in PostgreSQL: which statements delete or overwrite them.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::{column, joined, relation};
use crate::catalog::TableName;
use crate::lint::condition::leaves_out_of;
use crate::lint::effect::Effect;
use crate::lint::rules;

/// Effects on rows, of the statement itself or of a data-modifying CTE in it.
pub(super) fn row_effects(statement: &SyntaxNode) -> Vec<Effect> {
    statement.descendants().filter_map(|node| effect(&node)).collect()
}

fn effect(node: &SyntaxNode) -> Option<Effect> {
    if let Some(delete) = ast::Delete::cast(node.clone()) {
        let table = relation(delete.relation_name()?.syntax())?;
        let alias = delete.alias().and_then(|alias| alias.name());
        let all = is_all(delete.where_clause_or_current_of(), &names(&table, alias));
        let reason = format!("deletes {} rows of {table}", if all { "all" } else { "some" });
        return Some(Effect::does(&rules::DELETE_ROWS, vec![table], reason));
    }
    if let Some(update) = ast::Update::cast(node.clone()) {
        let table = relation(update.relation_name()?.syntax())?;
        let alias = update.alias().and_then(|alias| alias.name());
        let all = is_all(update.where_clause_or_current_of(), &names(&table, alias));
        return all.then(|| Effect::UpdatesAll { table, columns: changed(update.set_clause()) });
    }
    if ast::MergeDelete::can_cast(node.kind()) || ast::MergeUpdate::can_cast(node.kind()) {
        return merged(node);
    }
    let truncate = ast::Truncate::cast(node.clone())?;
    let tables: Vec<_> = truncate
        .table_list()
        .into_iter()
        .flat_map(|list| list.table_relation_names())
        .filter_map(|table| relation(table.syntax()))
        .collect();
    let reason = format!("deletes all rows of {}", joined(&tables));
    Some(if super::cascades(node) {
        Effect::does(&rules::TRUNCATE, Vec::new(), format!("{reason} and of the tables that refer to it"))
    } else {
        Effect::does(&rules::TRUNCATE, tables, reason)
    })
}

/// Effects of a MERGE on the rows that it finds.
fn merged(node: &SyntaxNode) -> Option<Effect> {
    let merge = node.ancestors().find_map(ast::Merge::cast)?;
    let table = relation(merge.table_relation_name()?.syntax())?;
    let Some(update) = ast::MergeUpdate::cast(node.clone()) else {
        let reason = format!("deletes rows of {table}");
        return Some(Effect::does(&rules::DELETE_ROWS, vec![table], reason));
    };
    let names = names(&table, merge.alias().and_then(|alias| alias.name()));
    // Unmatched rows are usually most of the table, so only the second condition can restrict them.
    let by_source = node.ancestors().find_map(ast::MergeWhenNotMatchedSource::cast).is_some();
    let on = merge.using_on_clause().and_then(|using| using.on_clause()).and_then(|on| on.expr());
    let and = node.ancestors().find_map(ast::MergeWhenClause::cast);
    let and = and.and_then(|when| when.syntax().children().find_map(ast::MergeCondition::cast));
    let conditions = [on.filter(|_| !by_source), and.and_then(|condition| condition.expr())];
    let is_held = |condition: &ast::Expr| leaves_out_of(&condition.syntax().text().to_string(), &names);
    let all = !conditions.iter().flatten().any(is_held);
    all.then(|| Effect::UpdatesAll { table, columns: changed(update.set_clause()) })
}

pub(super) fn changed(set: Option<ast::SetClause>) -> Vec<String> {
    let targets = set.into_iter().flat_map(|set| {
        let targets: Vec<_> = set.syntax().descendants().filter_map(ast::ColumnTarget::cast).collect();
        targets
    });
    targets.filter_map(|target| Some(column(target.name()?.syntax()))).collect()
}

/// Returns the names by which a condition can refer to a table.
pub(super) fn names(table: &TableName, alias: Option<ast::TableAlias>) -> Vec<String> {
    let alias = alias.map(|alias| column(alias.syntax()));
    [Some(table.name.clone()), alias].into_iter().flatten().map(|name| name.to_lowercase()).collect()
}

/// Whether a condition excludes no row.
fn is_all(condition: Option<ast::WhereClauseOrCurrentOf>, names: &[String]) -> bool {
    match condition {
        Some(ast::WhereClauseOrCurrentOf::WhereCurrentOf(_)) => false,
        Some(ast::WhereClauseOrCurrentOf::WhereClause(condition)) => {
            let condition = condition.expr().map(|condition| condition.syntax().text().to_string());
            !condition.is_some_and(|condition| leaves_out_of(&condition, names))
        }
        None => true,
    }
}
