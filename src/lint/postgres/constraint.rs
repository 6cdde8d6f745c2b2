//! Constraints of PostgreSQL tables: which of them are checked against all existing rows when
//! added, and which facts about the rows they establish.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _, Constraint};

use super::{column, name, names};
use crate::catalog::TableName;
use crate::lint::effect::{Effect, Fact};
use crate::lint::rules;

/// Why adding a NOT NULL column without a default fails.
pub(super) const REQUIRED: &str = "fails when the table has rows: the column is NOT NULL and has no default";

/// Effects of `ADD CONSTRAINT`.
pub(super) fn added(table: &TableName, constraint: &Constraint) -> Vec<Effect> {
    let does = |rule, reason: &str| Some(Effect::does(rule, vec![table.clone()], reason));
    let is_checked = !constraint.is_not_valid() && !is_not_enforced(constraint);
    let effect = match constraint {
        Constraint::CheckConstraint(_) if is_checked => does(
            &rules::CONSTRAINT_NOT_VALID,
            "everybody waits while all rows are checked; add it NOT VALID and validate it in another migration",
        ),
        Constraint::ForeignKeyConstraint(_) if is_checked => does(
            &rules::FOREIGN_KEY,
            "writers of both tables wait while all rows are checked; add it NOT VALID and validate it in another \
             migration",
        ),
        Constraint::ForeignKeyConstraint(_) => Some(Effect::AddsUncheckedForeignKey { table: table.clone() }),
        Constraint::ExcludeConstraint(_) => does(
            &rules::CONSTRAINT_NOT_VALID,
            "everybody waits while its index is built and all rows are checked",
        ),
        Constraint::UniqueConstraint(unique) if unique.using_index().is_none() => unique_built(table),
        Constraint::PrimaryKeyConstraint(key) => match key.using_index() {
            None => key_built(table),
            Some(using) => using.index_ref().map(|index| Effect::MakesIndexPrimaryKey {
                table: table.clone(),
                index: name(index.syntax()),
            }),
        },
        Constraint::NotNullConstraint(not_null) if is_checked => {
            let column = not_null.column_name_ref().map(|name| column(name.syntax()));
            column.map(|column| Effect::SetsNotNull { table: table.clone(), column })
        }
        _ => None,
    };
    effect.into_iter().chain(learnt(table, facts_of(constraint, None))).collect()
}

/// Effects of the constraints of a new column.
pub(super) fn of_column(
    table: &TableName,
    new: &ast::AddColumn,
    column_name: &str,
    is_filled: bool,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut facts = Vec::new();
    for constraint in new.constraints() {
        match &constraint {
            Constraint::CheckConstraint(_) if !is_not_enforced(&constraint) => {
                let reason = "everybody waits while all rows are checked; add the column alone, then the CHECK NOT VALID, \
                              and validate it in another migration";
                effects.push(Effect::does(&rules::CONSTRAINT_NOT_VALID, vec![table.clone()], reason));
            }
            // PostgreSQL does not check a foreign key column that is NULL everywhere; any default
            // counts as a value, even NULL.
            Constraint::ReferencesConstraint(_) if is_filled => {
                let reason = "writers of both tables wait while all rows are checked; add the column alone, then the \
                              key NOT VALID, and validate it in another migration";
                effects.push(Effect::does(&rules::FOREIGN_KEY, vec![table.clone()], reason));
            }
            Constraint::UniqueConstraint(_) => effects.extend(unique_built(table)),
            Constraint::PrimaryKeyConstraint(_) => effects.extend(key_built(table)),
            _ => {}
        }
        facts.extend(facts_of(&constraint, Some(column_name)));
    }
    let is_required = facts.contains(&Fact::NotNull(column_name.to_owned()));
    if is_required && !has_value(new) {
        effects.push(Effect::does(&rules::ADDING_REQUIRED_FIELD, vec![table.clone()], REQUIRED));
    }
    if !has_value(new) && new.if_not_exists().is_none() {
        facts.push(Fact::Null(column_name.to_owned()));
    }
    effects.extend(learnt(table, facts));
    effects
}

/// Whether existing rows get a value other than NULL.
fn has_value(new: &ast::AddColumn) -> bool {
    let kind = new.ty().map(|kind| kind.syntax().text().to_string().to_lowercase()).unwrap_or_default();
    kind.contains("serial")
        || new.constraints().any(|constraint| match constraint {
            Constraint::DefaultConstraint(default) => default
                .expr()
                .is_some_and(|value| !value.syntax().text().to_string().eq_ignore_ascii_case("null")),
            Constraint::GeneratedConstraint(_) => true,
            _ => false,
        })
}

fn unique_built(table: &TableName) -> Option<Effect> {
    let reason = "everybody waits while the index is built; build it CONCURRENTLY and add it USING INDEX";
    Some(Effect::does(&rules::UNIQUE_CONSTRAINT, vec![table.clone()], reason))
}

fn key_built(table: &TableName) -> Option<Effect> {
    let reason =
        "everybody waits while the key's index is built; build it CONCURRENTLY and add it USING INDEX";
    Some(Effect::does(&rules::PRIMARY_KEY, vec![table.clone()], reason))
}

fn is_not_enforced(constraint: &Constraint) -> bool {
    let text = constraint.syntax().text().to_string().to_lowercase();
    text.split_whitespace().collect::<Vec<_>>().join(" ").ends_with("not enforced")
}

fn learnt(table: &TableName, facts: Vec<Fact>) -> Option<Effect> {
    (!facts.is_empty()).then(|| Effect::AddsFacts { table: table.clone(), facts })
}

/// Facts established by the constraints of a `CREATE TABLE`.
pub(super) fn facts_of_table(statement: &SyntaxNode) -> Vec<Fact> {
    let mut facts = Vec::new();
    for node in statement.descendants() {
        let Some(constraint) = Constraint::cast(node.clone()) else { continue };
        let of = node.parent().and_then(ast::Column::cast).and_then(|of| of.name());
        facts.extend(facts_of(&constraint, of.map(|of| column(of.syntax())).as_deref()));
    }
    let columns = statement.descendants().filter_map(ast::Column::cast);
    let counted = columns.filter(|column| {
        column.ty().is_some_and(|kind| kind.syntax().text().to_string().to_lowercase().contains("serial"))
    });
    facts.extend(counted.filter_map(|of| Some(Fact::NotNull(column(of.name()?.syntax())))));
    facts
}

/// Facts that a column or table constraint establishes for all rows.
fn facts_of(constraint: &Constraint, of: Option<&str>) -> Vec<Fact> {
    let called = constraint.constraint_name().map(|named| column(named.syntax()));
    match constraint {
        Constraint::NotNullConstraint(not_null) => {
            let own = not_null.column_name_ref().map(|name| column(name.syntax()));
            own.or(of.map(str::to_owned)).map(Fact::NotNull).into_iter().collect()
        }
        Constraint::GeneratedConstraint(generated) => {
            let is_identity =
                matches!(generated.generated_as(), Some(ast::GeneratedAs::GeneratedIdentity(_)));
            of.filter(|_| is_identity).map(|of| Fact::NotNull(of.to_owned())).into_iter().collect()
        }
        Constraint::PrimaryKeyConstraint(key) => {
            let columns = key.syntax().descendants().filter_map(ast::ColumnNameRef::cast);
            let columns = names(columns).into_iter().map(|name| name.name);
            let columns: Vec<_> = columns.chain(of.map(str::to_owned)).collect();
            let key = Fact::Key(columns.clone());
            columns.into_iter().map(Fact::NotNull).chain([key]).collect()
        }
        Constraint::UniqueConstraint(unique) if unique.using_index().is_none() => {
            let columns = unique.syntax().descendants().filter_map(ast::ColumnNameRef::cast);
            let columns = names(columns).into_iter().map(|name| name.name);
            vec![Fact::Key(columns.chain(of.map(str::to_owned)).collect())]
        }
        Constraint::CheckConstraint(check) => {
            let condition = check.expr().map(|expr| expr.syntax().text().to_string()).unwrap_or_default();
            let is_valid = !constraint.is_not_valid();
            vec![Fact::Check { name: called, condition, is_valid }]
        }
        _ => Vec::new(),
    }
}

/// Facts about an index: the columns it has and depends on.
pub(super) fn facts_of_index(create: &ast::CreateIndex) -> Option<Effect> {
    let table = create.table_relation_name().and_then(|table| super::relation(table.syntax()))?;
    let items: Vec<_> =
        create.partition_item_list().into_iter().flat_map(|list| list.partition_items()).collect();
    let columns: Option<Vec<String>> = items
        .iter()
        .map(|item| match item.expr()? {
            ast::Expr::NameRef(of) => Some(column(of.syntax())),
            _ => None,
        })
        .collect();
    let mut facts = Vec::new();
    let index = create.index().map(|index| name(index.syntax()).name);
    if let (Some(index), Some(columns)) = (index, columns.clone()) {
        facts.push(Fact::Indexes { index, columns });
    }
    let is_unique = create.unique_token().is_some() && create.where_clause().is_none();
    facts.extend(columns.clone().filter(|_| is_unique).map(Fact::Key));
    let expressions = items.iter().filter(|_| columns.is_none()).map(|item| item.syntax().clone());
    let condition = create.where_clause().map(|condition| condition.syntax().clone());
    let computed: Vec<String> = expressions.chain(condition).map(|node| node.text().to_string()).collect();
    if !computed.is_empty() {
        facts.push(Fact::Computes { text: computed.join(" ") });
    }
    learnt(&table, facts)
}
