//! Decides whether a condition of UPDATE or DELETE can exclude a row. The condition is not
//! evaluated: it must compare a column of the table with something else on every path through it.

use std::collections::BTreeSet;

use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, InTarget, UnaryOperator,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

/// Longest condition that is parsed: dropping the parsed tree uses stack in proportion to the
/// number of operators.
const MOST_BYTES: usize = 100_000;

/// As [`leaves_out`], for the text of a PostgreSQL condition. `names` are the names by which it can
/// refer to the table.
pub(super) fn leaves_out_of(condition: &str, names: &[String]) -> bool {
    let read = |text| Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?.parse_expr();
    condition.len() <= MOST_BYTES && read(condition).is_ok_and(|condition| leaves_out(&condition, names))
}

/// Whether a condition may exclude rows of the table that has these names.
pub(super) fn leaves_out(condition: &Expr, names: &[String]) -> bool {
    may(condition, false, names)
}

/// How many rows the other tables of a statement contribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Nothing,
    /// So few that one value of a column per such row still makes few values.
    Few,
    Many,
}

/// Returns the columns that a PostgreSQL condition restricts to one value or to a list of values.
/// Where other tables may have columns of the same name, only columns qualified with the table's
/// name count.
pub(super) fn bound_columns(condition: &str, names: &[String], others: Others) -> BTreeSet<String> {
    let read = |text| Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?.parse_expr();
    if condition.len() > MOST_BYTES {
        return BTreeSet::new();
    }
    read(condition).map(|condition| bound(&condition, names, others)).unwrap_or_default()
}

/// As [`bound_columns`], for a parsed condition.
pub(super) fn bound(condition: &Expr, names: &[String], others: Others) -> BTreeSet<String> {
    let column = |value: &Expr| match value {
        Expr::Identifier(name) if others == Others::Nothing => Some(folded(name)),
        Expr::CompoundIdentifier(path) => {
            let [.., of, name] = path.as_slice() else { return None };
            names.contains(&of.value.to_lowercase()).then(|| folded(name))
        }
        _ => None,
    };
    let is_few = |value: &Expr| {
        let is_other = matches!(value, Expr::CompoundIdentifier(path)
            if path.first().is_some_and(|of| !names.contains(&of.value.to_lowercase())));
        is_one_value(value) || others == Others::Few && is_other
    };
    match condition {
        Expr::Nested(inner) => bound(inner, names, others),
        Expr::BinaryOp { op: op @ BinaryOperator::And, .. } => {
            operands(condition, op).into_iter().flat_map(|part| bound(part, names, others)).collect()
        }
        Expr::BinaryOp { op: op @ BinaryOperator::Or, .. } => {
            let parts = operands(condition, op).into_iter().map(|part| bound(part, names, others));
            parts.reduce(|one, other| &one & &other).unwrap_or_default()
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let one = column(left).filter(|_| is_few(right));
            one.or_else(|| column(right).filter(|_| is_few(left))).into_iter().collect()
        }
        Expr::In { expr, negated: false, target: InTarget::List(list), .. }
            if list.iter().all(is_one_value) =>
        {
            column(expr).into_iter().collect()
        }
        _ => BTreeSet::new(),
    }
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

/// Whether an expression has the same value in all rows.
fn is_one_value(value: &Expr) -> bool {
    match value {
        Expr::Value(_) | Expr::TypedString { .. } => true,
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } | Expr::UnaryOp { expr: inner, .. } => {
            is_one_value(inner)
        }
        _ => false,
    }
}

fn may(condition: &Expr, negated: bool, names: &[String]) -> bool {
    let column = |value: &Expr| names_column(value, names);
    let differ = |one: &Expr, other: &Expr| (column(one) || column(other)) && !are_same(one, other);
    match condition {
        Expr::Nested(inner) => may(inner, negated, names),
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => may(expr, !negated, names),
        Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } => {
            let mut parts = operands(condition, op).into_iter();
            if (*op == BinaryOperator::And) == negated {
                parts.all(|part| may(part, negated, names))
            } else {
                parts.any(|part| may(part, negated, names))
            }
        }
        Expr::IsNull(value) => !negated && column(value),
        Expr::IsNotNull(value) => negated && column(value),
        Expr::BinaryOp { left, right, .. }
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right) => differ(left, right),
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => differ(expr, pattern),
        Expr::In { expr, target: InTarget::List(list), .. } => {
            column(expr) && !list.iter().any(|item| are_same(expr, item))
        }
        Expr::In { expr, .. } => column(expr),
        Expr::Between { expr, low, high, .. } => {
            differ(expr, low) && differ(expr, high) && !(are_same(expr, low) && are_same(expr, high))
        }
        // A subquery that does not reference the table is true for all of its rows or for none.
        Expr::Exists { subquery, .. } => {
            let text = subquery.to_string().to_lowercase().replace('"', "");
            let mut words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.'));
            words.any(|word| word.split_once('.').is_some_and(|(of, _)| names.iter().any(|name| name == of)))
        }
        other => column(other),
    }
}

/// Collects the operands of a chain of ANDs or ORs without recursion, because there may be
/// thousands.
fn operands<'e>(condition: &'e Expr, by: &BinaryOperator) -> Vec<&'e Expr> {
    let mut found = Vec::new();
    let mut rest = condition;
    while let Expr::BinaryOp { left, op, right } = rest
        && op == by
    {
        found.push(&**right);
        rest = left;
    }
    found.push(rest);
    found
}

/// Whether a value depends on a column of the table.
fn names_column(value: &Expr, names: &[String]) -> bool {
    let column = |value: &Expr| names_column(value, names);
    match value {
        Expr::Identifier(name) => name.quote_style.is_some() || !is_of_session(name),
        Expr::CompoundIdentifier(path) => {
            let qualifier = path.len().checked_sub(2).and_then(|at| path.get(at));
            qualifier.is_some_and(|of| names.contains(&of.value.to_lowercase()))
        }
        Expr::Nested(value)
        | Expr::UnaryOp { expr: value, .. }
        | Expr::Cast { expr: value, .. }
        | Expr::Collate { expr: value, .. }
        | Expr::Extract { expr: value, .. }
        | Expr::Ceil { expr: value, .. }
        | Expr::Floor { expr: value, .. }
        | Expr::Substring { expr: value, .. }
        | Expr::Trim { expr: value, .. }
        | Expr::AtTimeZone { timestamp: value, .. }
        | Expr::CompoundFieldAccess { root: value, .. }
        | Expr::JsonAccess { value, .. }
        | Expr::IsTrue(value)
        | Expr::IsFalse(value)
        | Expr::IsNotTrue(value)
        | Expr::IsNotFalse(value) => column(value),
        Expr::BinaryOp { left, right, .. } => column(left) || column(right),
        Expr::Position { expr, r#in } => column(expr) || column(r#in),
        Expr::Tuple(values) => values.iter().any(column),
        Expr::Function(call) => match &call.args {
            FunctionArguments::List(list) => list.args.iter().any(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value))
                | FunctionArg::Named { arg: FunctionArgExpr::Expr(value), .. } => column(value),
                _ => false,
            }),
            FunctionArguments::None | FunctionArguments::Subquery(_) => false,
        },
        _ => false,
    }
}

/// Whether a bare identifier is a value of the session (such as `current_user`) and not a column.
fn is_of_session(name: &Ident) -> bool {
    let name = name.value.to_lowercase();
    name.starts_with("current_")
        || matches!(name.as_str(), "user" | "session_user" | "localtime" | "localtimestamp")
}

/// Whether both sides of a comparison are the same expression.
fn are_same(one: &Expr, other: &Expr) -> bool {
    fn path(value: &Expr) -> Option<(Option<String>, String)> {
        match value {
            Expr::Nested(inner) => path(inner),
            Expr::Identifier(name) => Some((None, name.value.to_lowercase())),
            Expr::CompoundIdentifier(path) => {
                let (name, qualifier) = path.split_last()?;
                Some((qualifier.last().map(|of| of.value.to_lowercase()), name.value.to_lowercase()))
            }
            _ => None,
        }
    }
    match (path(one), path(other)) {
        (Some((of, one)), Some((of_other, other))) => {
            one == other && (of == of_other || of.is_none() || of_other.is_none())
        }
        _ => one.to_string().eq_ignore_ascii_case(&other.to_string()),
    }
}
