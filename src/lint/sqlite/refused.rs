//! What SQLite refuses in `ALTER TABLE … ADD COLUMN`, and what acts outside of the database file.

use sqlparser::ast::{ColumnDef, ColumnOption, Expr, GeneratedExpressionMode, UnaryOperator};

use crate::catalog::TableName;
use crate::lint::effect::Effect;
use crate::lint::rules;
use crate::lint::script::words;
use crate::sql::Dialect;

/// Functions of the program sqlite3 and of extensions that read or write other files or run programs.
const OUTSIDE: [&str; 6] = ["writefile", "readfile", "load_extension", "edit", "fsdir", "fts3_tokenizer"];

/// The effects of an added column that SQLite refuses: always, or where the table has rows.
pub(super) fn added(table: &TableName, column: &ColumnDef) -> Vec<Effect> {
    let fails_with_rows = |reason: &str| {
        Effect::does(
            &rules::ADDING_REQUIRED_FIELD,
            vec![table.clone()],
            format!("fails when the table has rows: {reason}"),
        )
    };
    let options = || column.options.iter().map(|option| &option.option);
    let refers = options().any(|option| matches!(option, ColumnOption::ForeignKey(_)));
    let effect = |option: &ColumnOption| match option {
        ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) => {
            let reason = "SQLite adds no column that is UNIQUE or a PRIMARY KEY: add it plain and create a unique index";
            Some(Effect::does(&rules::REFUSED, Vec::new(), reason))
        }
        ColumnOption::Default(value) if !is_constant(value) => {
            Some(fails_with_rows("the default is not a constant; add the column without it, and fill it"))
        }
        ColumnOption::Default(value) if refers && !super::is_null(value) => {
            Some(fails_with_rows("a column that refers to another table must have NULL as its default"))
        }
        ColumnOption::Generated { generation_expr_mode: Some(GeneratedExpressionMode::Stored), .. } => {
            Some(fails_with_rows("a STORED column cannot be added; VIRTUAL can"))
        }
        _ => None,
    };
    options().filter_map(effect).collect()
}

/// Whether a default is the same in each row. `CURRENT_TIMESTAMP`, and whatever calls a function or stands in
/// parentheses with more than a literal, is not.
fn is_constant(value: &Expr) -> bool {
    match value {
        Expr::Value(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } | Expr::Nested(expr) => {
            is_constant(expr)
        }
        // SQLite takes a bare word in double quotes, and TRUE and FALSE, as literals.
        Expr::Identifier(name) => name.quote_style.is_some(),
        _ => false,
    }
}

/// The effect of functions that act outside of the database file.
pub(super) fn outside(sql: &str) -> Option<Effect> {
    let words = words(sql, Dialect::Sqlite);
    let call = words.windows(2).find_map(|pair| match pair {
        [function, open] if open == "(" && OUTSIDE.contains(&function.as_str()) => Some(function),
        _ => None,
    })?;
    let reason = format!("the function {call} acts outside of the database");
    Some(Effect::does(&rules::OUTSIDE_DATABASE, Vec::new(), reason))
}
