//! Effects on PostgreSQL tables: creation, columns, inheritance and partitions.

use std::collections::BTreeSet;

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AlterTableAction, AstNode as _};

use super::{column, constraint, name, relation, value};
use crate::catalog::TableName;
use crate::lint::effect::{Bound, Effect, Fact, Partitioning, Using};
use crate::lint::known::{bound_value, temporary};
use crate::lint::rules;
use crate::sql::Dialect;

fn text(node: &SyntaxNode) -> String {
    node.text().to_string().trim().to_owned()
}

/// Effects of a `CREATE TABLE` or `SELECT INTO`.
pub(super) fn made(statement: &SyntaxNode, in_transaction: bool) -> Vec<Effect> {
    let Some(table) = statement.descendants().find_map(ast::TableName::cast) else { return Vec::new() };
    let mut table = name(table.syntax());
    if statement.descendants().any(|node| ast::Temp::can_cast(node.kind())) {
        let on_commit = statement.children().find_map(ast::OnCommit::cast);
        let is_dropped = on_commit.is_some_and(|on| text(on.syntax()).to_lowercase().ends_with("drop"));
        if is_dropped && !in_transaction {
            return Vec::new();
        }
        table = temporary(&table, Dialect::Postgres);
    }
    let if_missing = statement.children().any(|node| ast::IfNotExists::cast(node).is_some());
    let columns = statement
        .descendants()
        .filter_map(ast::Column::cast)
        .filter_map(|node| Some((column(node.name()?.syntax()), text(node.ty()?.syntax()).to_lowercase())));
    // Columns from INHERITS or LIKE are not listed in the statement.
    let columns: Vec<_> = columns.collect();
    let mut effects = vec![Effect::Creates {
        name: table.clone(),
        if_missing,
        columns,
        keys: keys(statement),
        facts: constraint::facts_of_table(statement),
    }];
    if let Some(partition) = statement.children().find_map(ast::PartitionOf::cast) {
        let parent = partition.table_name_ref().map(|parent| name(parent.syntax()));
        let has_default = statement.children().any(|node| ast::PartitionDefault::can_cast(node.kind()));
        if let Some(parent) = parent {
            let reason = format!("everybody who uses {parent} waits while its default partition is checked");
            let division = Partitioning::Part { is_default: has_default };
            effects.push(Effect::AttachesPartition {
                table: parent.clone(),
                child: None,
                bound: Bound::Other,
                reason,
            });
            effects.push(Effect::Partitions { table: parent.clone(), division });
            effects.push(Effect::AddsChild { parent, child: table.clone() });
        }
    }
    if let Some(by) = statement.children().find_map(ast::PartitionBy::cast).filter(|_| !if_missing) {
        effects.push(Effect::Partitions {
            table: table.clone(),
            division: Partitioning::By(partition_key(&by)),
        });
    }
    let inherits = statement.children().find_map(ast::Inherits::cast);
    for parent in inherits.into_iter().flat_map(|inherits| inherits.table_name_refs()) {
        effects.push(Effect::AddsChild { parent: name(parent.syntax()), child: table.clone() });
    }
    effects
}

/// Returns the columns of each primary key and unique constraint.
fn keys(statement: &SyntaxNode) -> Vec<Vec<String>> {
    let is_key = |node: &SyntaxNode| {
        ast::PrimaryKeyConstraint::can_cast(node.kind()) || ast::UniqueConstraint::can_cast(node.kind())
    };
    let columns = |key: SyntaxNode| -> Vec<String> {
        if let Some(own) = key.parent().and_then(ast::Column::cast) {
            return own.name().map(|name| column(name.syntax())).into_iter().collect();
        }
        let names = key.descendants().filter_map(ast::ColumnNameRef::cast);
        names.map(|name| column(name.syntax())).collect()
    };
    statement.descendants().filter(is_key).map(columns).filter(|key| !key.is_empty()).collect()
}

/// Returns the partition key if it is a single plain column.
fn partition_key(by: &ast::PartitionBy) -> Option<String> {
    let mut items = by.partition_item_list()?.partition_items();
    match (items.next()?.expr()?, items.next()) {
        (ast::Expr::NameRef(key), None) => Some(column(key.syntax())),
        _ => None,
    }
}

/// Returns the values that a partition covers.
fn bound_of(kind: &ast::PartitionType) -> Bound {
    let values = |values: &SyntaxNode| -> Vec<String> {
        values.children().filter_map(ast::Expr::cast).map(|value| text(value.syntax())).collect()
    };
    match kind {
        ast::PartitionType::PartitionForValuesIn(list) => {
            let list: Option<_> = values(list.syntax()).iter().map(|value| bound_value(value)).collect();
            list.map_or(Bound::Other, Bound::List)
        }
        ast::PartitionType::PartitionForValuesFrom(range) => {
            let from = range.syntax().children().find_map(ast::PartitionFromValues::cast);
            let to = range.syntax().children().find_map(ast::PartitionToValues::cast);
            let (Some(from), Some(to)) = (from, to) else { return Bound::Other };
            match (values(from.syntax()).as_slice(), values(to.syntax()).as_slice()) {
                ([from], [to]) => {
                    let limit = |value: &String, none: &str| {
                        if value.eq_ignore_ascii_case(none) {
                            Some(None)
                        } else {
                            bound_value(value).map(Some)
                        }
                    };
                    match (limit(from, "minvalue"), limit(to, "maxvalue")) {
                        (Some(from), Some(to)) => Bound::Range { from, to },
                        _ => Bound::Other,
                    }
                }
                _ => Bound::Other,
            }
        }
        ast::PartitionType::PartitionDefault(_) | ast::PartitionType::PartitionForValuesWith(_) => {
            Bound::Other
        }
    }
}

/// Effects of `ALTER TABLE`.
pub(super) fn altered(
    table: Option<ast::TableRelationName>,
    actions: ast::AstChildren<AlterTableAction>,
) -> Vec<Effect> {
    let is_alone = table.as_ref().is_some_and(|table| table.only_token().is_some());
    let Some(table) = table.and_then(|table| relation(table.syntax())) else { return Vec::new() };
    let effects: Vec<_> = actions.flat_map(|action| effects(&table, &action)).collect();
    // PostgreSQL adds columns before it changes others, whatever the order of the actions.
    let nulls: BTreeSet<_> = effects.iter().flat_map(nulls).collect();
    let alone = |effect| match effect {
        Effect::Matches { rule, to, reason }
            if is_alone
                && [&rules::UNIQUE_CONSTRAINT, &rules::PRIMARY_KEY].contains(&rule)
                && to == [table.clone()] =>
        {
            Effect::IndexesParentOnly { table: table.clone(), rule, reason }
        }
        Effect::SetsNotNull { ref column, .. } if nulls.contains(column) => {
            Effect::does(&rules::ADDING_REQUIRED_FIELD, vec![table.clone()], constraint::REQUIRED)
        }
        effect => effect,
    };
    effects.into_iter().map(alone).collect()
}

/// Returns the columns that an effect adds without a value.
fn nulls(effect: &Effect) -> Vec<String> {
    let Effect::AddsFacts { facts, .. } = effect else { return Vec::new() };
    let of = |fact: &Fact| match fact {
        Fact::Null(column) => Some(column.clone()),
        _ => None,
    };
    facts.iter().filter_map(of).collect()
}

fn effects(table: &TableName, action: &AlterTableAction) -> Vec<Effect> {
    let rewrites = |how: &str| {
        let reason = format!("everybody waits while {table} is written {how}");
        vec![Effect::does(&rules::REWRITE_TABLE, vec![table.clone()], reason)]
    };
    match action {
        AlterTableAction::AddColumn(add) => added(table, add),
        AlterTableAction::AddConstraint(add) => {
            add.constraint().map(|new| constraint::added(table, &new)).unwrap_or_default()
        }
        AlterTableAction::AttachPartition(attach) => {
            let child = attach.table_name_ref().map(|child| name(child.syntax()));
            let kind = attach.partition_type();
            let is_default = matches!(kind, Some(ast::PartitionType::PartitionDefault(_)));
            let bound = kind.map_or(Bound::Other, |kind| bound_of(&kind));
            let reason = "everybody waits while the partition's rows are checked, and those of the default one; \
                          add a CHECK that says the same before";
            let reason = reason.to_owned();
            let gets =
                Effect::AttachesPartition { table: table.clone(), child: child.clone(), bound, reason };
            let has =
                Effect::Partitions { table: table.clone(), division: Partitioning::Part { is_default } };
            let adopts = child.map(|child| Effect::AddsChild { parent: table.clone(), child });
            [gets, has].into_iter().chain(adopts).collect()
        }
        AlterTableAction::SetUnlogged(_)
        | AlterTableAction::SetLogged(_)
        | AlterTableAction::SetAccessMethod(_) => rewrites("in another form"),
        AlterTableAction::DisableTrigger(disable)
            if matches!(disable.trigger_target(), Some(ast::TriggerTarget::All(_))) =>
        {
            let reason =
                format!("rows of {table} that are written from then on are not checked by foreign keys");
            vec![Effect::does(&rules::DISABLED_CHECKS, vec![table.clone()], reason)]
        }
        AlterTableAction::SetTablespace(_) => rewrites("to another place"),
        AlterTableAction::MergePartitions(_) | AlterTableAction::SplitPartition(_) => rewrites("anew"),
        AlterTableAction::SetSchema(_) => {
            let reason = format!("statements that look for {table} where it was fail from then on");
            let leaves = Effect::does(&rules::RENAME_TABLE, vec![table.clone()], reason);
            [leaves].into_iter().chain(changed(table, action)).collect()
        }
        // SET EXPRESSION recomputes the values.
        AlterTableAction::AlterColumn(alter)
            if matches!(alter.option(), Some(ast::AlterColumnOption::SetExpression(_))) =>
        {
            rewrites("anew").into_iter().chain(changed(table, action)).collect()
        }
        _ => changed(table, action).into_iter().collect(),
    }
}

/// Effect of an action on the table, a column or their names.
fn changed(table: &TableName, action: &AlterTableAction) -> Option<Effect> {
    let table = table.clone();
    match action {
        AlterTableAction::DropColumn(drop) => {
            let column = column(drop.column_name_ref()?.syntax());
            Some(Effect::DropsColumn { table, column, if_exists: drop.if_exists().is_some() })
        }
        AlterTableAction::RenameColumn(rename) => {
            let from = column(rename.column_name_ref()?.syntax());
            let to = column(rename.column_name()?.syntax());
            Some(Effect::RenamesColumn { table, from, to })
        }
        AlterTableAction::AlterColumn(alter) => {
            let column = column(alter.column_name_ref()?.syntax());
            let set = match alter.option()? {
                ast::AlterColumnOption::SetType(set) => set,
                ast::AlterColumnOption::SetNotNull(_) => return Some(Effect::SetsNotNull { table, column }),
                ast::AlterColumnOption::DropNotNull(_) => {
                    return Some(Effect::AddsFacts { table, facts: vec![Fact::Nullable(column)] });
                }
                ast::AlterColumnOption::DropIdentity(_) => {
                    let reason = format!("loses the position of the sequence of {table}.{column}");
                    return Some(Effect::does(&rules::DROP_SEQUENCE, vec![table], reason));
                }
                option if restarts(option.syntax()) => {
                    let reason = format!("loses the position of the sequence of {table}.{column}");
                    return Some(Effect::does(&rules::DROP_SEQUENCE, vec![table], reason));
                }
                ast::AlterColumnOption::SetExpression(_) => {
                    return Some(Effect::UpdatesAll { table, columns: vec![column] });
                }
                _ => return None,
            };
            let kind = text(set.ty()?.syntax()).to_lowercase();
            let using = set.using_expr().map(|using| using_of(using.expr(), &column));
            Some(Effect::ChangesType {
                table,
                column,
                to: kind,
                using,
                has_collation: set.collate().is_some(),
            })
        }
        AlterTableAction::ValidateConstraint(validate) => {
            let named = self::column(validate.constraint_name_ref()?.syntax());
            Some(Effect::AddsFacts { table, facts: vec![Fact::Validated(named)] })
        }
        AlterTableAction::DropConstraint(drop) => {
            let named = self::column(drop.constraint_name_ref()?.syntax());
            Some(Effect::AddsFacts { table, facts: vec![Fact::Dropped(named)] })
        }
        AlterTableAction::InheritTable(inherit) => {
            Some(Effect::AddsChild { parent: name(inherit.table_name_ref()?.syntax()), child: table })
        }
        AlterTableAction::TableRenameTo(rename) => {
            Some(Effect::Renames { from: table, to: name(rename.table_name()?.syntax()) })
        }
        AlterTableAction::SetSchema(set) => {
            let schema = Some(column(set.schema_ref()?.syntax()));
            let to = TableName { schema, name: table.name.clone() };
            Some(Effect::Renames { from: table, to })
        }
        _ => None,
    }
}

/// Whether a sequence restarts, so that it returns numbers again that were already used.
pub(super) fn restarts(node: &SyntaxNode) -> bool {
    let is_restart =
        |node: SyntaxNode| ast::Restart::can_cast(node.kind()) || ast::OptionRestart::can_cast(node.kind());
    node.descendants().any(is_restart)
}

/// Effects of adding a column with its constraints.
fn added(table: &TableName, add: &ast::AddColumn) -> Vec<Effect> {
    let Some(column) = add.column_name().map(|name| column(name.syntax())) else { return Vec::new() };
    let kind = add.ty().map(|kind| text(kind.syntax()).to_lowercase()).unwrap_or_default();
    let mut effects = Vec::new();
    let counts = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
    let is_counted = counts.contains(&kind.as_str());
    let is_generated =
        add.constraints().any(|constraint| matches!(constraint, ast::Constraint::GeneratedConstraint(_)));
    let default = add.constraints().find_map(|constraint| match constraint {
        ast::Constraint::DefaultConstraint(default) => default.expr(),
        _ => None,
    });
    let written = if is_counted {
        Some("each row gets a number of its own")
    } else if is_generated {
        Some("each row gets a value that is computed")
    } else if default.as_ref().is_some_and(|default| value::differs_by_row(default.syntax())) {
        Some("its default differs by row")
    } else {
        None
    };
    if let Some(why) = written {
        let reason = format!("everybody waits while the table is written anew: {why}");
        effects.push(Effect::does(&rules::FIELD_WITH_DEFAULT, vec![table.clone()], reason));
    } else if let Some(kind) = add.ty() {
        effects.push(Effect::AddsDomainColumn { table: table.clone(), kind: name(kind.syntax()) });
    }
    let is_filled = is_counted || is_generated || default.is_some();
    effects.extend(constraint::of_column(table, add, &column, is_filled));
    let if_missing = add.if_not_exists().is_some();
    effects.push(Effect::AddsColumn { table: table.clone(), column, kind, if_missing });
    effects
}

/// Interprets USING where it is more than the name of the column.
fn using_of(value: Option<ast::Expr>, column_name: &str) -> Using {
    let mut casts = Vec::new();
    let mut rest = value.clone();
    if is_at_utc(value.as_ref(), column_name) {
        return Using::AtUtc;
    }
    loop {
        match rest {
            Some(ast::Expr::ParenExpr(inner)) => rest = inner.expr(),
            // A collation changes no value, and the column keeps its own.
            Some(ast::Expr::Collate(inner)) => rest = inner.expr(),
            Some(ast::Expr::CastExpr(cast)) if cast.treat_token().is_none() => {
                casts.extend(cast.ty().map(|kind| text(kind.syntax()).to_lowercase()));
                rest = cast.expr();
            }
            Some(ast::Expr::NameRef(name)) if column(name.syntax()) == column_name => {
                casts.reverse();
                return Using::Casts(casts);
            }
            _ => return Using::Computes(value.map(|value| text(value.syntax())).unwrap_or_default()),
        }
    }
}

/// Whether a value only converts the column between UTC and no time zone, which is lossless in both
/// directions.
fn is_at_utc(value: Option<&ast::Expr>, column_name: &str) -> bool {
    let words = value.map(|value| text(value.syntax()).to_lowercase()).unwrap_or_default();
    let words = words.trim_start_matches('(').trim_end_matches(')').split_once(" at time zone ");
    words.is_some_and(|(of, zone)| {
        let zone = zone.trim().trim_end_matches("::text");
        super::written_name(of.trim(), Dialect::Postgres) == TableName::plain(column_name)
            && matches!(zone, "'utc'" | "'gmt'" | "'etc/utc'" | "'z'")
    })
}
