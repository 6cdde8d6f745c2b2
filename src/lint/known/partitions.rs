//! Partitioned tables: how each is partitioned, and whether the constraints of a table prove that its
//! rows fit a partition, so that PostgreSQL skips the scan when it is attached. Pure.

use std::cmp::Ordering;

use sqlparser::ast::{BinaryOperator, Expr, Ident, InTarget, UnaryOperator, Value};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::{Known, is_nowhere};
use crate::catalog::TableName;
use crate::lint::effect::{Bound, Partitioning};

/// Longest condition that is parsed.
const MOST_BYTES: usize = 100_000;

/// A partitioned table with a complete list of partitions.
#[derive(Debug, Clone, Default)]
pub(super) struct Partitioned {
    /// The partition key, if it is a single column.
    key: Option<String>,
    has_default: bool,
}

impl Known {
    pub(super) fn partition(&mut self, table: &TableName, division: &Partitioning) {
        let is_sure = !self.takes_back && !is_nowhere(table);
        match division {
            Partitioning::By(key) if is_sure => {
                self.partitioned.insert(table.clone(), Partitioned { key: key.clone(), has_default: false });
            }
            Partitioning::By(_) => {
                self.partitioned.remove(table);
            }
            Partitioning::Part { is_default } => {
                if let Some(known) = self.partitioned.get_mut(table) {
                    known.has_default |= *is_default;
                }
            }
        }
    }

    /// Whether a table is known to be partitioned and thus has no rows of its own.
    pub(in crate::lint) fn is_partitioned(&self, table: &TableName) -> bool {
        self.partitioned.contains_key(table)
    }

    /// Whether a partitioned table is known to have no default partition.
    pub(in crate::lint) fn lacks_default_partition(&self, table: &TableName) -> bool {
        self.partitioned.get(table).is_some_and(|known| !known.has_default)
    }

    /// Whether attaching a table as a partition needs no work on its rows: its constraints prove
    /// that all of them are within the bound, and it has an index matching each index of the
    /// parent.
    pub(in crate::lint) fn is_proven_partition(
        &self,
        parent: &TableName,
        child: &TableName,
        bound: &Bound,
    ) -> bool {
        let key = self.partitioned.get(parent).and_then(|known| known.key.as_deref());
        let Some(key) = key else { return false };
        // Foreign keys that refer to the parent are checked against the rows of the new partition.
        let refers = self.referring.values().any(|children| children.contains(parent));
        let Some(kind) = self.kind(child, key) else { return false };
        !refers
            && self.is_never_null(child, key)
            && self.has_indexes_of(parent, child)
            && Proof::of(&self.columns_of(child).facts.valid_checks(), key, kind).is_of(bound)
    }

    fn has_indexes_of(&self, parent: &TableName, child: &TableName) -> bool {
        let (parent, child) = (self.columns_of(parent), self.columns_of(child));
        let has_key = |key: &Vec<String>| child.keys.contains(key);
        let has_index = |columns: &Vec<String>| has_key(columns) || child.facts.has_index(columns);
        parent.keys.iter().filter(|key| !key.is_empty()).all(has_key)
            && parent.facts.plain_indexes().is_some_and(|mut indexes| indexes.all(has_index))
    }
}

/// What the CHECK constraints of a table prove about one of its columns.
#[derive(Debug, Default)]
struct Proof {
    /// The lower bound, and whether it is inclusive.
    from: Option<(Constant, bool)>,
    /// The upper bound, and whether it is inclusive.
    to: Option<(Constant, bool)>,
    /// All values that the column can have.
    values: Option<Vec<Constant>>,
}

impl Proof {
    fn of(checks: &[&str], column: &str, kind: &str) -> Self {
        let mut proof = Self::default();
        for check in checks.iter().filter(|check| check.len() <= MOST_BYTES) {
            let read = |text| Parser::new(&PostgreSqlDialect {}).try_with_sql(text)?.parse_expr();
            if let Ok(condition) = read(check) {
                proof.add(&condition, column, kind);
            }
        }
        proof
    }

    fn add(&mut self, condition: &Expr, column: &str, kind: &str) {
        let is_column = |value: &Expr| is_column(value, column);
        let constant = |value: &Expr| Constant::read(value, kind);
        match condition {
            Expr::Nested(inner) => self.add(inner, column, kind),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.add(left, column, kind);
                self.add(right, column, kind);
            }
            Expr::BinaryOp { left, op, right } if is_column(left) => {
                let Some(value) = constant(right) else { return };
                match op {
                    BinaryOperator::GtEq => self.from = Some((value, true)),
                    BinaryOperator::Gt => self.from = Some((value, false)),
                    BinaryOperator::LtEq => self.to = Some((value, true)),
                    BinaryOperator::Lt => self.to = Some((value, false)),
                    BinaryOperator::Eq => self.only(vec![value]),
                    _ => {}
                }
            }
            Expr::Between { expr, negated: false, low, high } if is_column(expr) => {
                if let (Some(low), Some(high)) = (constant(low), constant(high)) {
                    (self.from, self.to) = (Some((low, true)), Some((high, true)));
                }
            }
            Expr::In { expr, negated: false, target: InTarget::List(list), .. } if is_column(expr) => {
                if let Some(values) = list.iter().map(constant).collect() {
                    self.only(values);
                }
            }
            // PostgreSQL prints IN as `= ANY`.
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } if is_column(left) => {
                if let Some(values) = elements(right).and_then(|list| list.iter().map(constant).collect()) {
                    self.only(values);
                }
            }
            _ => {}
        }
    }

    fn only(&mut self, values: Vec<Constant>) {
        if let [value] = values.as_slice() {
            (self.from, self.to) = (Some((value.clone(), true)), Some((value.clone(), true)));
        }
        self.values = Some(values);
    }

    /// Whether all values are within a partition bound.
    fn is_of(&self, bound: &Bound) -> bool {
        match bound {
            Bound::Range { from, to } => {
                let from = from.as_ref().is_none_or(|bound| {
                    let order = self.from.as_ref().and_then(|(value, _)| value.compare(bound));
                    order.is_some_and(Ordering::is_ge)
                });
                // The upper bound of a range partition is exclusive.
                let to = to.as_ref().is_none_or(|bound| {
                    let Some((value, is_value)) = &self.to else { return false };
                    value
                        .compare(bound)
                        .is_some_and(|order| if *is_value { order.is_lt() } else { order.is_le() })
                });
                from && to
            }
            Bound::List(list) => self.values.as_ref().is_some_and(|values| {
                let is_in =
                    |value: &Constant| list.iter().any(|bound| value.compare(bound) == Some(Ordering::Equal));
                values.iter().all(is_in)
            }),
            Bound::Other => false,
        }
    }
}

/// A constant in a condition, of the type of its column.
#[derive(Debug, Clone)]
struct Constant {
    text: String,
    /// Whether the text form sorts like the values.
    is_date: bool,
}

impl Constant {
    fn read(value: &Expr, kind: &str) -> Option<Self> {
        let same = |of: &str| is_same_type(of, kind);
        let text = match value {
            Expr::Nested(inner) => return Self::read(inner, kind),
            Expr::Cast { expr, data_type, .. } if same(&data_type.to_string()) => {
                return Self::read(expr, kind);
            }
            Expr::TypedString(typed) if same(&typed.data_type.to_string()) => match &typed.value.value {
                Value::SingleQuotedString(text) => text.clone(),
                _ => return None,
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => {
                let Self { text, .. } = Self::read(expr, kind)?;
                text.parse::<i128>().ok().filter(|number| *number > 0).map(|number| (-number).to_string())?
            }
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
                Value::Boolean(value) => value.to_string(),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { text, is_date: kind == "date" })
    }

    fn compare(&self, bound: &str) -> Option<Ordering> {
        let day = |text: &str| {
            text.len() == 10
                && text.bytes().enumerate().all(|(at, byte)| match at {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                })
        };
        let number = |text: &str| text.parse::<i128>().ok();
        if self.text == bound {
            Some(Ordering::Equal)
        } else if let (Some(one), Some(other)) = (number(&self.text), number(bound)) {
            Some(one.cmp(&other))
        } else if self.is_date && day(&self.text) && day(bound) {
            Some(self.text.as_str().cmp(bound))
        } else {
            None
        }
    }
}

/// Returns a bound of a partition as text; `None` if it is not a plain constant.
pub(in crate::lint) fn bound_value(text: &str) -> Option<String> {
    fn plain(value: &Expr) -> Option<String> {
        match value {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => plain(inner),
            Expr::TypedString(typed) => match &typed.value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => plain(expr).map(|text| format!("-{text}")),
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) | Value::Number(text, _) => Some(text.clone()),
                Value::Boolean(value) => Some(value.to_string()),
                _ => None,
            },
            _ => None,
        }
    }
    let value = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).ok()?.parse_expr().ok()?;
    plain(&value)
}

fn is_column(value: &Expr, column: &str) -> bool {
    let is = |name: &Ident| {
        if name.quote_style.is_some() { name.value == column } else { name.value.to_lowercase() == column }
    };
    match value {
        Expr::Nested(inner) => is_column(inner, column),
        // PostgreSQL prints a varchar column with a cast to text.
        Expr::Cast { expr, data_type, .. } if data_type.to_string().eq_ignore_ascii_case("text") => {
            is_column(expr, column)
        }
        Expr::Identifier(name) => is(name),
        _ => false,
    }
}

fn elements(list: &Expr) -> Option<&[Expr]> {
    match list {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => elements(inner),
        Expr::Array(array) => Some(&array.elem),
        _ => None,
    }
}

/// Whether a constant of one type is compared with a column of another type by the same operator.
fn is_same_type(of: &str, kind: &str) -> bool {
    fn family(kind: &str) -> String {
        let name = kind.to_lowercase();
        let name = name.split('(').next().unwrap_or_default().trim().to_owned();
        match name.as_str() {
            "int" | "int4" | "integer" | "int2" | "smallint" | "int8" | "bigint" => "integer".to_owned(),
            "text" | "varchar" | "character varying" => "text".to_owned(),
            "timestamp without time zone" => "timestamp".to_owned(),
            "timestamp with time zone" => "timestamptz".to_owned(),
            _ => name,
        }
    }
    family(of) == family(kind)
}
