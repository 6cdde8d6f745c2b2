//! Statements that bypass the server's own checks: writes to the system catalogs, and settings that
//! disable foreign keys, triggers or the protection of the catalogs.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _, Stmt};

use super::{name, opaque, relation, text};
use crate::catalog::TableName;
use crate::lint::effect::Effect;
use crate::lint::rules;

pub(super) fn bypassed_checks(statement: &Stmt) -> Vec<Effect> {
    let syntax = statement.syntax();
    let catalogs = syntax.descendants().filter_map(|node| written_table(&node)).filter(is_system_catalog);
    let writes = catalogs.map(|catalog| {
        let reason = format!("what is written into the system catalog {catalog} is not looked into");
        // A table of a user can have a name like one of the catalogs.
        Effect::does(&rules::CODE_BLOCK, vec![catalog], reason)
    });
    writes.chain(changed_setting(statement)).collect()
}

/// Returns the table whose rows a node inserts, updates or deletes.
fn written_table(node: &SyntaxNode) -> Option<TableName> {
    let of = |node: &SyntaxNode| relation(node);
    if let Some(insert) = ast::Insert::cast(node.clone()) {
        return of(insert.relation_name_ref()?.syntax());
    }
    if let Some(update) = ast::Update::cast(node.clone()) {
        return of(update.relation_name()?.syntax());
    }
    if let Some(delete) = ast::Delete::cast(node.clone()) {
        return of(delete.relation_name()?.syntax());
    }
    if let Some(merge) = ast::Merge::cast(node.clone()) {
        return of(merge.table_relation_name()?.syntax());
    }
    let copy = ast::Copy::cast(node.clone())?;
    matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyFrom(_)))
        .then(|| Some(name(copy.copy_table()?.table_name_ref()?.syntax())))?
}

/// PostgreSQL looks for a name without a schema in `pg_catalog` first.
fn is_system_catalog(table: &TableName) -> bool {
    match table.schema.as_deref() {
        None => table.name.starts_with("pg_"),
        Some(schema) => matches!(schema, "pg_catalog" | "pg_toast" | "information_schema"),
    }
}

/// Returns what a setting disables, in `SET`, `ALTER ROLE … SET` and the like, or `set_config`.
fn changed_setting(statement: &Stmt) -> Vec<Effect> {
    let syntax = statement.syntax();
    let sets = match statement {
        Stmt::Set(_) | Stmt::AlterDatabase(_) | Stmt::AlterRole(_) | Stmt::AlterSystem(_) => true,
        _ => syntax
            .descendants()
            .filter_map(ast::CallExpr::cast)
            .any(|call| call.expr().is_some_and(|function| name(function.syntax()).name == "set_config")),
    };
    let text = text(syntax);
    let value_of = |setting: &str| {
        let (_, rest) = text.split_once(setting).filter(|_| sets)?;
        let mut words = rest.split(|character: char| !character.is_alphanumeric());
        words.find(|word| !matches!(*word, "" | "to"))
    };
    let is_replica = value_of("session_replication_role")
        .is_some_and(|role| !matches!(role, "origin" | "local" | "default"));
    if is_replica {
        let reason = "foreign keys do not check what is written from then on, and most triggers do not run";
        return vec![Effect::does(&rules::DISABLED_CHECKS, Vec::new(), reason)];
    }
    let opens_catalogs = value_of("allow_system_table_mods")
        .is_some_and(|value| !matches!(value, "off" | "false" | "no" | "0" | "default"));
    if opens_catalogs { opaque("what is done to the system catalogs is not looked into") } else { Vec::new() }
}
