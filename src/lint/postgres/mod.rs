//! Reads PostgreSQL statements with squawk's parser, which returns a tree even for statements that
//! it understands in part. `locks` contains the findings of squawk's own rules.

mod beyond;
mod bypass;
mod calls;
mod constraint;
mod held;
mod locks;
mod outside;
mod rows;
mod table;
mod value;
mod work;

use squawk_syntax::ast::{self, AstNode as _, Stmt};
use squawk_syntax::{Parse, SourceFile, SyntaxNode};

use super::MOST_NESTING;
use super::effect::Effect;
use super::known::temporary;
use super::rule::Rule;
use super::rules;
use super::script::{Script, first_words, name_after, words, written_name};
use crate::catalog::TableName;
use crate::sql::Dialect;

/// Returns the effects of each statement of a script, and the transaction that each runs in. The
/// text must have no comments, because a comment can disable a squawk rule.
pub(super) fn effects(
    whole: &str,
    script: &Script,
    transactions: &[Option<usize>],
    wraps_file: bool,
) -> Vec<Vec<Effect>> {
    let sql = &without_deep(whole, script);
    let mut effects = vec![Vec::new(); script.statements.len()];
    let mut subjects = vec![Vec::new(); script.statements.len()];
    let at = |byte: usize| {
        let ended = script.statements.partition_point(|statement| statement.end <= byte);
        if byte < sql.len() { ended } else { ended.saturating_sub(1) }
    };
    let parse = SourceFile::parse(sql);
    let mut new_values = Vec::new();
    for statement in parse.tree().stmts() {
        let index = at(start(statement.syntax()));
        let transaction = transactions.get(index).copied().flatten();
        if let Some(effects) = effects.get_mut(index) {
            effects.extend(effects_of(&statement, transaction.is_some()));
            let new_values = new_values.iter();
            let shared = new_values.filter(|new: &&outside::NewValue| transaction == Some(new.transaction));
            effects.extend(shared.filter_map(|new| outside::uses_of(new, &statement)));
        }
        new_values.extend(outside::added_value(&statement, transaction));
        if let Some(subject) = subjects.get_mut(index) {
            *subject = subject_of(&statement);
        }
    }
    let without_made = &without_made(sql, &parse);
    for (byte, rule, reason) in locks::squawk_findings(&SourceFile::parse(without_made), without_made) {
        let index = at(byte);
        let statement = script.statements.get(index).and_then(|bytes| sql.get(bytes.clone()));
        if let (Some(effects), Some(subject)) = (effects.get_mut(index), subjects.get(index)) {
            effects.push(match subject.as_slice() {
                [table] if *rule == rules::INDEX_CREATION && is_on_only(statement.unwrap_or("")) => {
                    Effect::IndexesParentOnly { table: table.clone(), rule, reason: reason.to_owned() }
                }
                subject => Effect::does(rule, subject.to_vec(), reason),
            });
        }
    }
    let each = script.statements.iter().zip(transactions).zip(&mut effects);
    for ((bytes, _), effects) in each.filter(|((_, transaction), _)| transaction.is_some()) {
        effects.extend(outside::refused(sql.get(bytes.clone()).unwrap_or(""), wraps_file));
    }
    for error in parse.errors() {
        let index = at(usize::from(error.range().start()));
        let statement = script.statements.get(index).and_then(|bytes| sql.get(bytes.clone()));
        if let (Some(effects), Some(statement)) = (effects.get_mut(index), statement) {
            effects.push(unread(statement, error.message()));
        }
    }
    for (index, _) in script.nesting.iter().enumerate().filter(|(_, nesting)| **nesting > MOST_NESTING) {
        let statement = script.statements.get(index).and_then(|bytes| whole.get(bytes.clone()));
        if let (Some(effects), Some(statement)) = (effects.get_mut(index), statement) {
            effects.push(unread(statement, "it is nested too deep"));
        }
    }
    effects
}

/// Whether an index is created `ON ONLY` a table, without its partitions.
fn is_on_only(statement: &str) -> bool {
    words(statement, Dialect::Postgres).windows(2).any(|pair| pair == ["on", "only"])
}

/// Returns the text with blanks in place of statements nested too deeply for the parser.
fn without_deep(sql: &str, script: &Script) -> String {
    let mut text = sql.to_owned();
    for (bytes, _) in script.statements.iter().zip(&script.nesting).filter(|(_, deep)| **deep > MOST_NESTING)
    {
        text.replace_range(bytes.clone(), &" ".repeat(bytes.len()));
    }
    text
}

/// Returns the text with `SELECT 1` in place of each CREATE TABLE. Squawk treats a name created
/// anywhere in the file as new everywhere in it, in every schema; [`super::Known`] tracks that
/// exactly.
fn without_made(sql: &str, parse: &Parse<SourceFile>) -> String {
    let mut text = sql.to_owned();
    for statement in parse.tree().stmts().filter(|statement| matches!(statement, Stmt::CreateTable(_))) {
        let range = statement.syntax().text_range();
        let bytes = usize::from(range.start())..usize::from(range.end());
        let end = if sql.get(bytes.clone()).is_some_and(|made| made.ends_with(';')) { ";" } else { " " };
        let width = bytes.len().saturating_sub(end.len());
        text.replace_range(bytes, &format!("{:width$}{end}", "SELECT 1"));
    }
    text
}

/// Returns the effect of a statement that cannot be parsed. One that starts with a destructive
/// keyword counts as destructive.
fn unread(statement: &str, message: &str) -> Effect {
    let words = first_words(statement, Dialect::Postgres);
    let rule = match words.first().map(String::as_str) {
        Some("drop") => &rules::DROP_CASCADE,
        Some("truncate") => &rules::TRUNCATE,
        Some("delete") => &rules::DELETE_ROWS,
        _ => &rules::NOT_PARSED,
    };
    let message = message.lines().next().unwrap_or("");
    Effect::does(rule, Vec::new(), format!("cannot be read: {message}"))
}

fn start(node: &SyntaxNode) -> usize {
    usize::from(node.text_range().start())
}

/// Returns the name in a node, as written.
fn name(node: &SyntaxNode) -> TableName {
    written_name(&node.text().to_string(), Dialect::Postgres)
}

/// Returns the case-folded name of a column.
fn column(node: &SyntaxNode) -> String {
    name(node).name
}

fn names<N: ast::AstNode>(nodes: impl Iterator<Item = N>) -> Vec<TableName> {
    nodes.map(|node| name(node.syntax())).collect()
}

fn joined(names: &[TableName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Returns the table of `ONLY t`, `t *` and the like.
fn relation(node: &SyntaxNode) -> Option<TableName> {
    node.descendants().find_map(ast::PathRef::cast).map(|path| name(path.syntax()))
}

fn cascades(node: &SyntaxNode) -> bool {
    let behaviour = node.children().find_map(ast::DropBehavior::cast);
    behaviour.is_some_and(|behaviour| behaviour.syntax().text().to_string().eq_ignore_ascii_case("cascade"))
}

fn if_exists(node: &SyntaxNode) -> bool {
    node.children().any(|node| ast::IfExists::can_cast(node.kind()))
}

/// Returns the tables and schemas that a text creates `IF NOT EXISTS` or drops `IF EXISTS`.
pub(super) fn conditional_names(sql: &str) -> (Vec<TableName>, Vec<String>) {
    let (mut tables, mut schemas) = (Vec::new(), Vec::new());
    for statement in SourceFile::parse(sql).tree().stmts() {
        let syntax = statement.syntax();
        let is_conditional =
            if_exists(syntax) || syntax.children().any(|node| ast::IfNotExists::can_cast(node.kind()));
        match &statement {
            _ if !is_conditional => {}
            Stmt::CreateSchema(create) => {
                schemas.extend(create.schema_name().map(|schema| name(&schema).name));
            }
            Stmt::DropSchema(drop) => {
                schemas.extend(names(drop.schema_refs()).into_iter().map(|name| name.name));
            }
            Stmt::CreateTable(_) | Stmt::CreateTableAs(_) => {
                tables.extend(
                    syntax.descendants().find_map(ast::TableName::cast).map(|table| name(table.syntax())),
                );
            }
            Stmt::CreateSequence(create) => {
                tables.extend(create.sequence().map(|sequence| name(sequence.syntax())));
            }
            Stmt::CreateMaterializedView(create) => {
                tables.extend(create.view().map(|view| name(view.syntax())));
            }
            Stmt::DropTable(drop) => tables.extend(names(drop.table_name_refs())),
            Stmt::DropSequence(drop) => tables.extend(names(drop.sequence_refs())),
            Stmt::DropIndex(drop) => tables.extend(names(drop.index_refs())),
            _ => {}
        }
    }
    (tables, schemas)
}

/// Returns the tables that a statement locks, as far as they can be determined.
fn subject_of(statement: &Stmt) -> Vec<TableName> {
    let of = |node: Option<ast::TableRelationName>| {
        node.and_then(|node| relation(node.syntax())).into_iter().collect()
    };
    match statement {
        Stmt::AlterTable(alter) => of(alter.table_relation_name()),
        Stmt::AlterForeignTable(alter) => of(alter.table_relation_name()),
        Stmt::CreateIndex(create) => of(create.table_relation_name()),
        Stmt::DropIndex(drop) => names(drop.index_refs()),
        Stmt::Reindex(reindex) => {
            reindex.reindex_target().and_then(|target| relation(target.syntax())).into_iter().collect()
        }
        Stmt::Cluster(_) | Stmt::Vacuum(_) => relation(statement.syntax()).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn effects_of(statement: &Stmt, in_transaction: bool) -> Vec<Effect> {
    let syntax = statement.syntax();
    let mut effects = match statement {
        Stmt::CreateTable(_) | Stmt::CreateForeignTable(_) | Stmt::CreateTableAs(_) | Stmt::SelectInto(_) => {
            table::made(syntax, in_transaction)
        }
        Stmt::AlterTable(alter) if alter.all_in_tablespace().is_some() => rewritten(statement),
        Stmt::AlterTable(alter) => table::altered(alter.table_relation_name(), alter.actions()),
        Stmt::AlterForeignTable(alter) => table::altered(alter.table_relation_name(), alter.actions()),
        Stmt::DropTable(drop) => dropped(&rules::DROP_TABLE, names(drop.table_name_refs()), "the rows of"),
        Stmt::DropForeignTable(drop) => {
            dropped(&rules::DROP_TABLE, names(drop.table_name_refs()), "the foreign table")
        }
        _ => objects(statement, in_transaction),
    };
    if !matches!(
        statement,
        Stmt::CreateFunction(_)
            | Stmt::CreateProcedure(_)
            | Stmt::CreateRule(_)
            | Stmt::CreateTrigger(_)
            | Stmt::Prepare(_)
            | Stmt::Declare(_)
    ) && !is_explained_only(statement)
    {
        effects.extend(rows::row_effects(syntax));
        effects.extend(bypass::bypassed_checks(statement));
    }
    effects.extend(calls::unknown_calls(statement));
    effects.extend(beyond::effects(statement));
    effects.extend(work::row_access(statement));
    // An object is locked before it is dropped.
    let at =
        effects.iter().position(|effect| matches!(effect, Effect::Drops { .. })).unwrap_or(effects.len());
    effects.splice(at..at, held::locks_held(statement));
    effects
}

/// Whether a statement is an `EXPLAIN` that does not run what it explains.
fn is_explained_only(statement: &Stmt) -> bool {
    let Stmt::Explain(explain) = statement else { return false };
    let mode = explain.explain_mode().map(|mode| text(mode.syntax())).unwrap_or_default();
    !outside::has_option(&mode, "analyze") && !outside::has_option(&mode, "analyse")
}

/// Whether a lock mode blocks readers or writers of a table.
fn blocks(lock: &ast::Lock) -> bool {
    use ast::LockMode::{AccessExclusive, Exclusive, Share, ShareRowExclusive};
    let mode = lock.lock_mode_clause().map(|clause| clause.lock_mode());
    matches!(
        mode,
        None | Some(None | Some(AccessExclusive(_) | Exclusive(_) | Share(_) | ShareRowExclusive(_)))
    )
}

/// Effects on objects other than tables, and of statements that run code.
fn objects(statement: &Stmt, in_transaction: bool) -> Vec<Effect> {
    let syntax = statement.syntax();
    let lost = |rule, what: &str| vec![Effect::does(rule, Vec::new(), format!("loses {what}"))];
    match statement {
        Stmt::CreateIndex(create) => {
            let mut effects = makes(create.index(), create.if_not_exists().is_some());
            effects.extend(constraint::facts_of_index(create));
            effects
        }
        Stmt::CreateSequence(create) => makes(create.sequence(), create.if_not_exists().is_some()),
        Stmt::CreateType(create) => makes(create.type_name(), false),
        Stmt::CreateDomain(create) => {
            let mut effects = makes(create.domain(), false);
            // A default matters only if its value differs by row.
            let is_constrained = create.domain_qualifiers().any(|qualifier| match qualifier {
                ast::DomainQualifier::Constraint(ast::Constraint::DefaultConstraint(default)) => {
                    default.expr().is_some_and(|value| value::differs_by_row(value.syntax()))
                }
                ast::DomainQualifier::Constraint(ast::Constraint::NullConstraint(_))
                | ast::DomainQualifier::Collate(_) => false,
                ast::DomainQualifier::Constraint(_) => true,
            });
            let base = create.ty().map(|kind| text(kind.syntax())).unwrap_or_default();
            let domain = create.domain().map(|domain| name(domain.syntax()));
            effects.extend(domain.map(|name| Effect::CreatesDomain { name, base, is_constrained }));
            effects
        }
        Stmt::CreateSchema(create) => {
            let words = words(&text(syntax), Dialect::Postgres);
            let if_missing = words.windows(3).any(|words| words == ["if", "not", "exists"]);
            let schema = create.schema_name().map(|schema| name(&schema).name);
            schema.map(|name| Effect::CreatesSchema { name, if_missing }).into_iter().collect()
        }
        Stmt::CreateMaterializedView(create) => makes(create.view(), create.if_not_exists().is_some()),
        Stmt::CreateView(create) => view_made(create),
        Stmt::DropIndex(drop) => removes(&names(drop.index_refs())),
        Stmt::DropSequence(drop) => {
            dropped(&rules::DROP_SEQUENCE, names(drop.sequence_refs()), "the position of")
        }
        Stmt::DropType(drop) => type_lost(names(drop.type_name_refs()), cascades(syntax)),
        Stmt::DropDomain(drop) => type_lost(names(drop.domain_refs()), cascades(syntax)),
        Stmt::DropSchema(drop) => {
            let names: Vec<_> = names(drop.schema_refs()).into_iter().map(|name| name.name).collect();
            let removed =
                names.iter().map(|name| Effect::RemovesSchema { name: name.clone() }).collect::<Vec<_>>();
            // Without CASCADE the statement fails unless the schema is empty.
            let drops = Effect::DropsSchemas { names, if_exists: if_exists(syntax) };
            Some(drops).filter(|_| cascades(syntax)).into_iter().chain(removed).collect()
        }
        Stmt::DropDatabase(_) => lost(&rules::DROP_DATABASE, "a whole database"),
        Stmt::DropOwned(_) => lost(&rules::DROP_OWNED, "everything that the role owns"),
        Stmt::DropExtension(drop) => {
            let names = names(drop.extension_refs()).into_iter().map(|name| name.name).collect();
            vec![Effect::DropsExtensions { names, if_exists: if_exists(syntax) }]
        }
        Stmt::AlterIndex(_) | Stmt::AlterMaterializedView(_) if has_words(syntax, "set", "tablespace") => {
            rewritten(statement)
        }
        Stmt::AlterMaterializedView(_) if has_words(syntax, "set", "access") => rewritten(statement),
        Stmt::AlterDomain(alter) => {
            let is_checked = matches!(
                alter.action(),
                Some(ast::AlterDomainAction::SetNotNull(_) | ast::AlterDomainAction::ValidateConstraint(_))
            );
            let adds = matches!(alter.action(), Some(ast::AlterDomainAction::AddConstraint(add))
                if !add.constraint().is_some_and(|new| new.is_not_valid()));
            let domain = alter.domain_ref().filter(|_| is_checked || adds);
            let checked = domain.map(|domain| Effect::RevalidatesDomain { name: name(domain.syntax()) });
            checked.into_iter().chain(renamed(syntax)).collect()
        }
        Stmt::AlterType(alter)
            if alter.syntax().descendants().any(|node| ast::AlterAttribute::can_cast(node.kind())) =>
        {
            // Tables of the type are not considered, although CASCADE changes them.
            vec![Effect::DropsTypes { names: names(alter.type_name_ref().into_iter()) }]
        }
        Stmt::AlterType(alter)
            if alter.syntax().descendants().any(|node| ast::DropAttribute::cast(node).is_some()) =>
        {
            lost(&rules::DROP_TYPE, "an attribute of a type, in all rows that have it")
        }
        Stmt::Lock(lock) if !blocks(lock) => Vec::new(),
        Stmt::Lock(lock) => {
            let tables = lock.relation_list().into_iter().flat_map(|list| list.relation_names());
            let tables: Vec<_> = tables.filter_map(|table| relation(table.syntax())).collect();
            let reason = format!("locks {} until the migration ends", joined(&tables));
            vec![Effect::does(&rules::LOCK_TABLE, tables, reason)]
        }
        Stmt::AlterSequence(alter) if table::restarts(syntax) => {
            let sequences = names(alter.sequence_ref().into_iter());
            let reason = format!("loses the position of {}", joined(&sequences));
            vec![Effect::does(&rules::DROP_SEQUENCE, sequences, reason)]
        }
        Stmt::AlterView(_) | Stmt::AlterMaterializedView(_) => view_renamed(syntax),
        Stmt::AlterIndex(_) | Stmt::AlterSequence(_) | Stmt::AlterType(_) => {
            renamed(syntax).into_iter().collect()
        }
        Stmt::AlterSchema(alter) if has_words(syntax, "rename", "to") => {
            let schema = alter.schema_ref().map(|schema| name(schema.syntax()).name);
            schema
                .map(|name| Effect::RenamesSchema { name })
                .into_iter()
                .chain([Effect::InvalidatesNames])
                .collect()
        }
        Stmt::Discard(_) => vec![Effect::InvalidatesNames],
        Stmt::Set(set) => {
            let is_schema = matches!(set.set_target(), Some(ast::SetTarget::SetSchemaValue(_)));
            let sets_path = is_schema || text(syntax).contains("search_path");
            sets_path.then_some(Effect::ChangesSearchPath).into_iter().collect()
        }
        Stmt::Refresh(refresh) => refreshed(refresh),
        Stmt::Cluster(_) => rewritten(statement),
        Stmt::Vacuum(_) if outside::has_option(&text(syntax), "full") => rewritten(statement),
        Stmt::Do(_) => opaque("the block's code is not looked into"),
        Stmt::Call(_) => opaque("what the procedure does is not looked into"),
        Stmt::Execute(_) => opaque("what the prepared statement does is not looked into"),
        Stmt::Begin(_) | Stmt::Commit(_) | Stmt::Rollback(_) | Stmt::PrepareTransaction(_)
            if in_transaction =>
        {
            let reason = "the migration runs in a transaction already, together with its record";
            vec![Effect::does(&rules::TRANSACTION_CONTROL, Vec::new(), reason)]
        }
        Stmt::DropView(drop) => view_dropped(names(drop.view_refs()), cascades(syntax)),
        Stmt::DropMaterializedView(drop) => view_dropped(names(drop.view_refs()), cascades(syntax)),
        Stmt::DropTrigger(_) | Stmt::DropPolicy(_) | Stmt::DropRule(_) | Stmt::DropStatistics(_) => {
            Vec::new()
        }
        _ if first_words(&syntax.text().to_string(), Dialect::Postgres)
            .first()
            .is_some_and(|w| w == "drop")
            && cascades(syntax) =>
        {
            lost(&rules::DROP_CASCADE, "what depends on it, generated columns too")
        }
        _ => Vec::new(),
    }
}

/// Handles CLUSTER and VACUUM FULL.
fn rewritten(statement: &Stmt) -> Vec<Effect> {
    let reason = "everybody waits while the table is written anew";
    vec![Effect::does(&rules::REWRITE_TABLE, subject_of(statement), reason)]
}

/// Returns the effect of renaming an index, a type or the like.
fn renamed(node: &SyntaxNode) -> Option<Effect> {
    let from = relation(node)?;
    let after = |word| name_after(&node.text().to_string(), word, Dialect::Postgres);
    let to = if has_words(node, "rename", "to") {
        after("to")?
    } else if has_words(node, "set", "schema") {
        TableName { schema: Some(after("schema")?.name), name: from.name.clone() }
    } else {
        return None;
    };
    Some(Effect::Renames { from, to })
}

/// Whether two keywords directly follow each other.
fn has_words(node: &SyntaxNode, one: &str, other: &str) -> bool {
    let words = words(&node.text().to_string(), Dialect::Postgres);
    words.windows(2).any(|pair| pair == [one, other])
}

fn text(node: &SyntaxNode) -> String {
    node.text().to_string().to_lowercase()
}

fn opaque(reason: &str) -> Vec<Effect> {
    vec![Effect::does(&rules::CODE_BLOCK, Vec::new(), reason)]
}

fn makes<N: ast::AstNode>(node: Option<N>, if_missing: bool) -> Vec<Effect> {
    let name = node.map(|node| name(node.syntax()));
    name.map(|name| Effect::Creates {
        name,
        if_missing,
        columns: Vec::new(),
        keys: Vec::new(),
        facts: Vec::new(),
    })
    .into_iter()
    .collect()
}

fn view_made(create: &ast::CreateView) -> Vec<Effect> {
    let Some(view) = create.view() else { return Vec::new() };
    let mut view = name(view.syntax());
    if create.syntax().descendants().any(|node| ast::Temp::can_cast(node.kind())) {
        view = temporary(&view, Dialect::Postgres);
    }
    let if_missing = create.or_replace().is_some();
    vec![Effect::Creates { name: view, if_missing, columns: Vec::new(), keys: Vec::new(), facts: Vec::new() }]
}

fn removes(names: &[TableName]) -> Vec<Effect> {
    names.iter().map(|name| Effect::Drops { name: name.clone() }).collect()
}

fn dropped(rule: &'static Rule, names: Vec<TableName>, what: &str) -> Vec<Effect> {
    let mut effects = removes(&names);
    let reason = format!("loses {what} {}", joined(&names));
    effects.push(Effect::does(rule, names, reason));
    effects
}

/// With CASCADE, dropping a type also drops the columns of that type, in tables that the statement
/// does not name. Without it the statement fails while such a column exists.
fn type_lost(names: Vec<TableName>, cascades: bool) -> Vec<Effect> {
    if !cascades {
        let removed = removes(&names);
        return [Effect::DropsTypes { names }].into_iter().chain(removed).collect();
    }
    let reason = format!("loses the type {} and every column of it", joined(&names));
    vec![Effect::does(&rules::DROP_TYPE, Vec::new(), reason)]
}

/// CASCADE also drops table columns whose type is the row type of the view.
fn view_dropped(names: Vec<TableName>, cascades: bool) -> Vec<Effect> {
    let mut effects = removes(&names);
    if cascades {
        let reason = format!("loses what depends on {}, also columns of its row type", joined(&names));
        effects.push(Effect::does(&rules::DROP_CASCADE, names, reason));
    }
    effects
}

/// Renaming a view or its columns breaks statements that use the old names, as for a table.
fn view_renamed(node: &SyntaxNode) -> Vec<Effect> {
    let Some(view) = relation(node) else { return Vec::new() };
    let (rule, reason) = match renamed(node) {
        Some(_) => {
            (&rules::RENAME_TABLE, format!("statements that look for {view} where it was fail from then on"))
        }
        None if words(&text(node), Dialect::Postgres).iter().any(|word| word == "rename") => {
            (&rules::RENAME_COLUMN, "statements by the old name fail from then on".to_owned())
        }
        None => return Vec::new(),
    };
    [Effect::does(rule, vec![view], reason)].into_iter().chain(renamed(node)).collect()
}

fn refreshed(refresh: &ast::Refresh) -> Vec<Effect> {
    if refresh.concurrently_token().is_some() {
        return Vec::new();
    }
    let view: Vec<_> = refresh.view_ref().map(|view| name(view.syntax())).into_iter().collect();
    let reason = format!("readers of {} wait; use CONCURRENTLY", joined(&view));
    vec![Effect::does(&rules::REFRESH_VIEW, view, reason)]
}
