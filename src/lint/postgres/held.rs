//! Determines which locks a statement holds until its transaction ends that block readers or
//! writers of a table. What blocks others only while the statement runs is reported by the
//! statement's own rules.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterColumnOption, AlterTableAction, AstNode as _, Stmt};

use super::{name, names, relation};
use crate::catalog::TableName;
use crate::lint::effect::Effect;

pub(super) fn locks_held(statement: &Stmt) -> Option<Effect> {
    let syntax = statement.syntax();
    let on = |node: Option<SyntaxNode>| node.and_then(|node| relation(&node)).into_iter().collect::<Vec<_>>();
    let to = match statement {
        Stmt::AlterTable(alter) => {
            let locked = alter.actions().flat_map(|action| locked_by(alter.table_relation_name(), &action));
            if alter.all_in_tablespace().is_some() {
                return Some(Effect::Locks { to: Vec::new() });
            }
            locked.collect()
        }
        Stmt::AlterForeignTable(alter) => on(alter.table_relation_name().map(|table| table.syntax().clone())),
        Stmt::CreateTable(_) | Stmt::CreateForeignTable(_) => {
            let partitioned = syntax.children().filter_map(ast::PartitionOf::cast);
            let partitioned = partitioned.filter_map(|of| Some(name(of.table_name_ref()?.syntax())));
            partitioned.chain(referred(syntax)).collect()
        }
        Stmt::CreateIndex(create) if create.concurrently_token().is_none() => {
            on(create.table_relation_name().map(|table| table.syntax().clone()))
        }
        // DROP INDEX does not name the table.
        Stmt::DropIndex(drop) if drop.concurrently_token().is_none() => names(drop.index_refs()),
        Stmt::CreateTrigger(create) => on(create.on_relation().map(|on| on.syntax().clone())),
        Stmt::DropTrigger(drop) => on(drop.on_relation().map(|on| on.syntax().clone())),
        Stmt::AlterTrigger(alter) => on(alter.on_relation().map(|on| on.syntax().clone())),
        Stmt::CreateRule(create) => {
            on(create.rule_on().and_then(|on| Some(on.relation_name_ref()?.syntax().clone())))
        }
        Stmt::DropRule(drop) => on(drop.on_relation().map(|on| on.syntax().clone())),
        Stmt::AlterRule(alter) => on(alter.on_relation().map(|on| on.syntax().clone())),
        Stmt::CreatePolicy(create) => on(create.on_table().map(|on| on.syntax().clone())),
        Stmt::DropPolicy(drop) => on(drop.on_table().map(|on| on.syntax().clone())),
        Stmt::AlterPolicy(alter) => on(alter.on_table().map(|on| on.syntax().clone())),
        Stmt::CreateView(create) if create.or_replace().is_some() => {
            create.view().map(|view| name(view.syntax())).into_iter().collect()
        }
        Stmt::DropView(drop) => names(drop.view_refs()),
        Stmt::AlterView(alter) => names(alter.view_ref().into_iter()),
        Stmt::DropMaterializedView(drop) => names(drop.view_refs()),
        Stmt::AlterMaterializedView(_) => on(Some(syntax.clone())),
        Stmt::Refresh(refresh) if refresh.concurrently_token().is_none() => {
            names(refresh.view_ref().into_iter())
        }
        Stmt::DropTable(drop) => names(drop.table_name_refs()),
        Stmt::DropForeignTable(drop) => names(drop.table_name_refs()),
        Stmt::AlterSequence(alter) => names(alter.sequence_ref().into_iter()),
        Stmt::DropSequence(drop) => names(drop.sequence_refs()),
        Stmt::Lock(lock) if !super::blocks(lock) => return None,
        Stmt::Truncate(_)
        | Stmt::Lock(_)
        | Stmt::Cluster(_)
        | Stmt::Reindex(_)
        | Stmt::Reassign(_)
        | Stmt::AlterExtension(_) => {
            return Some(Effect::Locks { to: tables_in(syntax) });
        }
        _ => return None,
    };
    (!to.is_empty()).then_some(Effect::Locks { to })
}

/// Returns the tables that an action of `ALTER TABLE` locks. Storage settings, statistics and
/// validation do not block reads and writes.
fn locked_by(table: Option<ast::TableRelationName>, action: &AlterTableAction) -> Vec<TableName> {
    let own = table.and_then(|table| relation(table.syntax()));
    match action {
        AlterTableAction::ValidateConstraint(_)
        | AlterTableAction::SetOptions(_)
        | AlterTableAction::ResetOptions(_)
        | AlterTableAction::ClusterOn(_)
        | AlterTableAction::SetWithoutCluster(_) => Vec::new(),
        AlterTableAction::AlterColumn(alter)
            if matches!(
                alter.option(),
                Some(
                    AlterColumnOption::SetStatistics(_)
                        | AlterColumnOption::SetOptions(_)
                        | AlterColumnOption::ResetOptions(_)
                )
            ) =>
        {
            Vec::new()
        }
        // The partitioned table itself is locked only against other changes of its definition.
        AlterTableAction::AttachPartition(attach) => names(attach.table_name_ref().into_iter()),
        _ => own.into_iter().chain(referred(action.syntax())).collect(),
    }
}

/// Returns the tables that foreign keys refer to.
fn referred(node: &SyntaxNode) -> Vec<TableName> {
    let keys = node.descendants().filter(|node| {
        ast::ReferencesConstraint::can_cast(node.kind()) || ast::ForeignKeyConstraint::can_cast(node.kind())
    });
    keys.filter_map(|key| key.children().find_map(ast::TableNameRef::cast))
        .map(|table| name(table.syntax()))
        .collect()
}

fn tables_in(node: &SyntaxNode) -> Vec<TableName> {
    let is_table = |node: &SyntaxNode| {
        ast::TableNameRef::can_cast(node.kind()) || ast::RelationNameRef::can_cast(node.kind())
    };
    node.descendants().filter(is_table).map(|node| name(&node)).collect()
}
