//! Reads SQLite statements with sqlparser, one by one, so that a statement that cannot be parsed
//! does not hide the others.

mod refused;
mod rows;
mod work;

use sqlparser::ast::{
    AlterTableOperation, ColumnOption, CreateIndex, CreateTable, Expr, IndexColumn, ObjectName, ObjectType,
    RenameTableNameKind, Statement, TableConstraint, TableFactor, TableWithJoins, Value,
};
use sqlparser::dialect::SQLiteDialect;
use sqlparser::parser::Parser;

use super::MOST_NESTING;
use super::effect::{Effect, Fact};
use super::known::temporary;
use super::rules;
use super::script::{Script, before_parenthesis, first_words, name_after, words, written_name};
use crate::catalog::TableName;
use crate::sql::Dialect;

/// Returns the effects of each statement of a script.
pub(super) fn effects(sql: &str, script: &Script, in_transaction: bool) -> Vec<Vec<Effect>> {
    let text = |bytes: &std::ops::Range<usize>| sql.get(bytes.clone()).unwrap_or("");
    let each = script.statements.iter().zip(&script.nesting);
    each.map(|(bytes, nesting)| statement(text(bytes), *nesting, in_transaction)).collect()
}

fn statement(sql: &str, nesting: usize, in_transaction: bool) -> Vec<Effect> {
    let words = first_words(sql, Dialect::Sqlite);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin" | "commit" | "end" | "rollback", ..] if in_transaction => {
            let reason = "the migration runs in a transaction already, together with its record";
            return vec![Effect::does(&rules::TRANSACTION_CONTROL, Vec::new(), reason)];
        }
        ["pragma", "writable_schema", ..] | ["pragma", _, ".", "writable_schema", ..] => {
            let reason = "what is written into the schema's own table is not looked into";
            return vec![Effect::does(&rules::CODE_BLOCK, Vec::new(), reason)];
        }
        ["pragma", "ignore_check_constraints", ..] => {
            let reason = "CHECK constraints are not checked from then on";
            return vec![Effect::does(&rules::DISABLED_CHECKS, Vec::new(), reason)];
        }
        ["analyze", ..] => {
            let reason = "writers of the whole file wait while its indexes are read";
            return vec![Effect::does(&rules::LONG_WRITE, Vec::new(), reason)];
        }
        ["vacuum", ..] if in_transaction => {
            let reason = "VACUUM fails in a transaction: let the file begin with `-- no-transaction`";
            let fails = Effect::does(&rules::NOT_IN_TRANSACTION, Vec::new(), reason);
            return vec![
                fails,
                Effect::does(&rules::LONG_WRITE, Vec::new(), "writers wait while the file is written anew"),
            ];
        }
        ["vacuum" | "reindex", ..] => {
            let reason = "writers wait while the file is written anew";
            return vec![Effect::does(&rules::LONG_WRITE, Vec::new(), reason)];
        }
        ["create", "trigger", ..] | ["create", _, "trigger", ..] => return trigger(sql),
        ["drop", "trigger", ..] => {
            let after = if words.contains(&"exists") { "exists" } else { "trigger" };
            let name = name_after(sql, after, Dialect::Sqlite);
            return name.map(|name| Effect::Detaches { name }).into_iter().collect();
        }
        // The schema name may refer to another file from here on.
        ["detach", ..] => return vec![Effect::InvalidatesNames],
        words if is_harmless(words) => return refused::outside(sql).into_iter().collect(),
        _ => {}
    }
    if nesting > MOST_NESTING {
        return unread(&words, "it is nested too deep");
    }
    let mut effects = match Parser::parse_sql(&SQLiteDialect {}, sql) {
        Ok(statements) => statements.iter().flat_map(effects_of).collect(),
        Err(error) => {
            let made = before_parenthesis(sql, Dialect::Sqlite).filter(|_| words.first() == Some(&"create"));
            let made =
                made.and_then(|head| Parser::parse_sql(&SQLiteDialect {}, &format!("{head} (x)")).ok());
            match made {
                // The content of a created table or index does not matter, only its name.
                Some(statements) => statements.iter().flat_map(effects_of).map(without_columns).collect(),
                // Without OR REPLACE the statement only adds rows.
                None if words.starts_with(&["insert", "into"]) => vec![Effect::Writes { to: Vec::new() }],
                None => unread(&words, &error.to_string()),
            }
        }
    };
    effects.extend(refused::outside(sql));
    if let Some(Effect::Creates { name, .. }) = effects.first()
        && words.first() == Some(&"create")
        && resolves_conflicts(sql)
    {
        effects.push(Effect::MaySkipRows { table: name.clone() });
    }
    effects
}

/// A trigger's statements may prevent rows from reaching its table.
fn trigger(sql: &str) -> Vec<Effect> {
    let Some(table) = name_after(sql, "on", Dialect::Sqlite) else { return Vec::new() };
    let after = if words(sql, Dialect::Sqlite).contains(&"exists".to_owned()) { "exists" } else { "trigger" };
    let attached = name_after(sql, after, Dialect::Sqlite);
    let attached = attached.map(|name| Effect::Attaches { name, table: table.clone() });
    attached.into_iter().chain([Effect::MaySkipRows { table }]).collect()
}

fn without_columns(effect: Effect) -> Effect {
    match effect {
        Effect::Creates { name, if_missing, .. } => {
            Effect::Creates { name, if_missing, columns: Vec::new(), keys: Vec::new(), facts: Vec::new() }
        }
        effect => effect,
    }
}

/// Whether a table is created with a conflict clause that drops or replaces rows without an error.
fn resolves_conflicts(sql: &str) -> bool {
    let words = words(sql, Dialect::Sqlite);
    let is_quiet = |at: &[String]| matches!(at, [on, conflict, how] if on == "on" && conflict == "conflict" && (how == "ignore" || how == "replace"));
    words.windows(3).any(is_quiet)
}

/// Whether the first words already show that the statement loses nothing and blocks nobody.
fn is_harmless(words: &[&str]) -> bool {
    match words {
        ["create", "temp" | "temporary", "view", ..] | ["create" | "drop", "view", ..] => true,
        [first, ..] => matches!(
            *first,
            "begin"
                | "commit"
                | "end"
                | "rollback"
                | "savepoint"
                | "release"
                | "attach"
                | "pragma"
                | "select"
                | "values"
        ),
        [] => false,
    }
}

/// Returns the effects of a statement that cannot be parsed. One that starts with a destructive
/// keyword counts as destructive.
fn unread(words: &[&str], message: &str) -> Vec<Effect> {
    let rule = match words {
        ["drop", "table", ..] => &rules::DROP_TABLE,
        ["delete", ..] => &rules::DELETE_ROWS,
        ["replace", ..] => &rules::REPLACE_ROWS,
        _ => &rules::NOT_PARSED,
    };
    let message = message.lines().next().unwrap_or("").trim_start_matches("sql parser error: ");
    let reason = format!("cannot be read: {message}");
    vec![Effect::does(rule, Vec::new(), reason), Effect::Writes { to: Vec::new() }]
}

fn effects_of(statement: &Statement) -> Vec<Effect> {
    match statement {
        Statement::CreateTable(create) => {
            let columns = create.columns.iter().map(|column| {
                (column.name.value.to_lowercase(), column.data_type.to_string().to_lowercase())
            });
            let columns = columns.collect();
            let name = name(&create.name);
            let name = if create.temporary { temporary(&name, Dialect::Sqlite) } else { name };
            let mut effects = Vec::new();
            if let Some(query) = &create.query {
                effects.extend(rows::of_query(query));
                effects.push(Effect::AccessesRows(work::row_access_of_created(&name, query)));
            }
            let if_missing = create.if_not_exists;
            effects.push(Effect::Creates {
                name,
                if_missing,
                columns,
                keys: keys(create),
                facts: Vec::new(),
            });
            effects
        }
        Statement::CreateVirtualTable { name: table, if_not_exists, .. } => {
            vec![Effect::Creates {
                name: name(table),
                if_missing: *if_not_exists,
                columns: Vec::new(),
                keys: Vec::new(),
                facts: Vec::new(),
            }]
        }
        Statement::CreateIndex(create) => indexed(create),
        Statement::AlterTable(alter) => {
            let table = name(&alter.name);
            alter.operations.iter().flat_map(|operation| altered(&table, operation)).collect()
        }
        drop @ Statement::Drop { object_type: ObjectType::Table, names, .. } => {
            let tables: Vec<_> = names.iter().map(name).collect();
            let reason = format!("loses the rows of {}", joined(&tables));
            let removed = tables.iter().map(|name| Effect::Drops { name: name.clone() });
            let mut effects: Vec<_> = removed.collect();
            effects.push(Effect::does(&rules::DROP_TABLE, tables, reason));
            // The rows are read before the table is dropped.
            effects.splice(0..0, work::row_access(drop).map(Effect::AccessesRows));
            effects
        }
        Statement::Drop { object_type: ObjectType::Index, names, .. } => {
            let gone = names.iter().map(name);
            gone.flat_map(|name| [Effect::Detaches { name: name.clone() }, Effect::Drops { name }]).collect()
        }
        Statement::Query(query) => rows::of_query(query),
        Statement::Explain { .. } | Statement::ExplainTable { .. } => Vec::new(),
        other => rows::row_effects(other),
    }
}

/// Returns the columns of each primary key and unique constraint.
fn keys(create: &CreateTable) -> Vec<Vec<String>> {
    let is_key =
        |option: &ColumnOption| matches!(option, ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_));
    let own =
        create.columns.iter().filter(|column| column.options.iter().any(|option| is_key(&option.option)));
    let own = own.map(|column| Some(vec![column.name.value.to_lowercase()]));
    let common = create.constraints.iter().filter_map(|constraint| match constraint {
        TableConstraint::PrimaryKey(key) => Some(columns(&key.columns)),
        TableConstraint::Unique(key) => Some(columns(&key.columns)),
        _ => None,
    });
    own.chain(common).flatten().collect()
}

/// Returns the columns of an index, or `None` if it contains an expression.
fn columns(items: &[IndexColumn]) -> Option<Vec<String>> {
    let column = |item: &IndexColumn| match &item.column.expr {
        Expr::Identifier(column) => Some(column.value.to_lowercase()),
        _ => None,
    };
    items.iter().map(column).collect()
}

fn indexed(create: &CreateIndex) -> Vec<Effect> {
    let mut effects = index(create.name.as_ref(), &create.table_name, create.if_not_exists);
    let key = columns(&create.columns).filter(|_| create.unique && create.predicate.is_none());
    effects.extend(
        key.map(|key| Effect::AddsFacts { table: name(&create.table_name), facts: vec![Fact::Key(key)] }),
    );
    effects
}

fn index(index: Option<&ObjectName>, table: &ObjectName, if_missing: bool) -> Vec<Effect> {
    let table = name(table);
    let reason = "writers of the whole file wait while the index is built";
    let made = index.map(name).into_iter().flat_map(|name| {
        let attached = Effect::Attaches { name: name.clone(), table: table.clone() };
        [
            Effect::Creates { name, if_missing, columns: Vec::new(), keys: Vec::new(), facts: Vec::new() },
            attached,
        ]
    });
    made.collect::<Vec<_>>()
        .into_iter()
        .chain([Effect::does(&rules::LONG_WRITE, vec![table], reason)])
        .collect()
}

fn altered(table: &TableName, operation: &AlterTableOperation) -> Vec<Effect> {
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
            let mut effects = refused::added(table, column_def);
            let is_computed = has(|option| matches!(option, ColumnOption::Generated { .. }));
            if has(|option| matches!(option, ColumnOption::Check(_))) || required && is_computed {
                let reason = "writers of the whole file wait while all rows are checked";
                effects.push(Effect::does(&rules::LONG_WRITE, to(), reason));
            }
            if required && !filled {
                let reason = "fails when the table has rows: the column is NOT NULL and has no default";
                effects.push(Effect::does(&rules::ADDING_REQUIRED_FIELD, to(), reason));
            }
            effects.push(Effect::AddsColumn {
                table: table.clone(),
                column,
                kind,
                if_missing: *if_not_exists,
            });
            effects
        }
        AlterTableOperation::DropColumn { column_names, .. } => column_names
            .iter()
            .map(|column| Effect::DropsColumn {
                table: table.clone(),
                column: column.value.to_lowercase(),
                if_exists: false,
            })
            .collect(),
        AlterTableOperation::RenameColumn { old_column_name: old, new_column_name: new } => {
            let reason = format!("statements by the old name {} fail from then on", old.value);
            let (from, to_name) = (old.value.to_lowercase(), new.value.to_lowercase());
            let renamed = Effect::RenamesColumn { table: table.clone(), from, to: to_name };
            vec![Effect::does(&rules::RENAME_COLUMN, to(), reason), renamed]
        }
        AlterTableOperation::RenameTable { table_name } => {
            let (RenameTableNameKind::As(new) | RenameTableNameKind::To(new)) = table_name;
            let reason = format!("statements by the old name {table} fail from then on");
            let renamed = Effect::Renames { from: table.clone(), to: name(new) };
            vec![Effect::does(&rules::RENAME_TABLE, to(), reason), renamed]
        }
        _ => vec![Effect::does(&rules::NOT_PARSED, to(), "SQLite has no such ALTER TABLE")],
    }
}

fn is_null(value: &Expr) -> bool {
    matches!(value, Expr::Value(value) if matches!(value.value, Value::Null))
}

fn name(name: &ObjectName) -> TableName {
    written_name(&name.to_string(), Dialect::Sqlite)
}

/// Returns the names by which a condition can refer to a table.
fn names(table: &TableWithJoins) -> Vec<String> {
    let TableFactor::Table { name: table, alias, .. } = &table.relation else { return Vec::new() };
    let alias = alias.as_ref().map(|alias| alias.name.value.to_lowercase());
    [Some(name(table).name), alias].into_iter().flatten().collect()
}

fn table(table: &TableWithJoins) -> Option<TableName> {
    match &table.relation {
        TableFactor::Table { name: table, .. } => Some(name(table)),
        _ => None,
    }
}

fn joined(names: &[TableName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
