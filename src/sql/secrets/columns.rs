//! Which positions of a row hold secrets, by the names of its columns.

use std::collections::BTreeMap;

use super::literals::{Token, TokenKind};
use super::names::says_secret;

/// Words before a list of columns that belong to the name of the table or query in front of it.
const ROWS: [&str; 4] = ["values", "select", "default", "with"];

/// For each position of a row, whether its column holds a secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns(Vec<bool>);

impl Columns {
    pub(super) fn is_secret(&self, number: usize) -> bool {
        self.0.get(number).is_some_and(|is_secret| *is_secret)
    }

    /// A list of names; the tokens begin behind its parenthesis.
    pub(super) fn of_names(tokens: &[Token<'_>]) -> Self {
        let is_secret = |slot: &[Token<'_>]| slot.first().is_some_and(|name| says_secret(name.text));
        Self(slots(tokens).into_iter().map(is_secret).collect())
    }

    /// The columns in parentheses behind the name of a table, which may be missing. `None` without a list.
    pub(super) fn listed(tokens: &[Token<'_>]) -> Option<Self> {
        let name =
            tokens.iter().take_while(|token| token.kind == TokenKind::Word || token.is_sign('.')).count();
        let is_row = tokens.iter().take(name).any(|token| token.is_any(&ROWS));
        match tokens.get(name..) {
            Some([open, names @ ..]) if open.is_sign('(') && !is_row => Some(Self::of_names(names)),
            _ => None,
        }
    }

    /// The columns that an INSERT or MERGE writes; the tokens begin behind INTO.
    pub(super) fn of_target(tokens: &[Token<'_>], tables: &Tables) -> Self {
        Self::listed(tokens).or_else(|| tables.0.get(&table_name(tokens)?.0).cloned()).unwrap_or_default()
    }

    /// Names that are given to the columns of a query around the parenthesis at `at`: `x(password) AS (…)`,
    /// `VIEW x(password) AS …` and `(VALUES …) AS x(password)`.
    pub(super) fn of_query(tokens: &[Token<'_>], at: usize) -> Option<Self> {
        let inner = tokens.get(at + 1..)?;
        let name = at.checked_sub(1).and_then(|at| tokens.get(at));
        let is_named = name.is_some_and(|name| name.kind == TokenKind::Word);
        if !is_named && !is_query(inner) {
            return None;
        }
        let behind = inner.get(closing(inner)? + 1..)?;
        if is_query(inner) {
            let name = match behind {
                [word, rest @ ..] if word.is("as") => rest,
                _ => behind,
            };
            return match name {
                [name, open, names @ ..] if name.kind == TokenKind::Word && open.is_sign('(') => {
                    Some(Self::of_names(names))
                }
                _ => None,
            };
        }
        match behind {
            [word, query @ ..] if is_named && word.is("as") && is_query(query) => Some(Self::of_names(inner)),
            _ => None,
        }
    }

    /// A position holds a secret when either says so.
    pub(super) fn add(&mut self, other: &Self) {
        let length = self.0.len().max(other.0.len());
        self.0 = (0..length).map(|number| self.is_secret(number) || other.is_secret(number)).collect();
    }
}

/// The columns of the tables that a text creates, by the names of the tables in lower case without schemas.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, Columns>);

impl Tables {
    /// Adds what `CREATE TABLE` or `ALTER TABLE … ADD` says.
    pub(super) fn add(&mut self, statement: &[Token<'_>]) {
        for (at, _) in statement.iter().enumerate().filter(|(_, token)| token.is("table")) {
            let is_kept = |word: &&Token<'_>| word.is_any(&["if", "not", "exists", "only"]);
            let behind = statement.get(at + 1..).unwrap_or_default();
            let behind = behind.get(behind.iter().take_while(is_kept).count()..).unwrap_or_default();
            let Some((name, length)) = table_name(behind) else { continue };
            let rest = behind.get(length..).unwrap_or_default();
            match rest {
                [open, columns @ ..] if open.is_sign('(') => {
                    self.0.insert(
                        name,
                        Columns(slots_until(columns, &[]).into_iter().filter_map(column).collect()),
                    );
                }
                [add, ..] if add.is("add") => {
                    let added = slots_until(rest, &[]).into_iter().filter_map(added_column);
                    self.0.entry(name).or_default().0.extend(added);
                }
                _ => {}
            }
        }
    }
}

/// Whether a query begins, behind at most `NOT MATERIALIZED (`.
fn is_query(tokens: &[Token<'_>]) -> bool {
    let is_before = |token: &&Token<'_>| token.is_any(&["not", "materialized"]) || token.is_sign('(');
    let before = tokens.iter().take(3).take_while(is_before).count();
    tokens.get(before).is_some_and(|first| first.is_any(&ROWS))
}

/// Whether a column holds a secret, of a definition in CREATE TABLE. `None` for a constraint.
fn column(definition: &[Token<'_>]) -> Option<bool> {
    const CONSTRAINTS: [&str; 8] =
        ["constraint", "primary", "unique", "check", "foreign", "exclude", "like", "period"];
    let name = definition.first()?;
    (!name.is_any(&CONSTRAINTS)).then(|| says_secret(name.text))
}

/// The same of `ADD COLUMN IF NOT EXISTS …`.
fn added_column(action: &[Token<'_>]) -> Option<bool> {
    let (add, rest) = action.split_first()?;
    let start = rest.iter().position(|word| !word.is_any(&["column", "if", "not", "exists"]))?;
    if add.is("add") { column(rest.get(start..)?) } else { None }
}

/// The name of a table without its schema, and how many tokens it has with it.
fn table_name(tokens: &[Token<'_>]) -> Option<(String, usize)> {
    let mut length = 1;
    while tokens.get(length).is_some_and(|dot| dot.is_sign('.')) {
        length += 2;
    }
    let name = tokens.get(length - 1).filter(|name| name.kind == TokenKind::Word)?;
    Some((name.text.to_lowercase(), length))
}

/// The parenthesis that closes; the tokens begin behind the one that opens.
fn closing(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| {
        match token.kind {
            TokenKind::Other('(') => depth += 1,
            TokenKind::Other(')') if depth == 0 => return true,
            TokenKind::Other(')') => depth -= 1,
            _ => {}
        }
        false
    })
}

/// What stands between commas, up to the parenthesis that closes or the end of a list of expressions.
pub(super) fn slots<'s, 't>(tokens: &'s [Token<'t>]) -> Vec<&'s [Token<'t>]> {
    slots_until(tokens, &["from", "where", "union", "on", "returning", "group", "limit"])
}

/// The same for a list that ends at one of some words as well.
fn slots_until<'s, 't>(tokens: &'s [Token<'t>], ends: &[&str]) -> Vec<&'s [Token<'t>]> {
    let mut slots = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let mut end = tokens.len();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Other('(' | '[') => depth += 1,
            TokenKind::Other(')' | ']') if depth == 0 => {
                end = at;
                break;
            }
            TokenKind::Other(')' | ']') => depth -= 1,
            TokenKind::Other(',') if depth == 0 => {
                slots.push(tokens.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            TokenKind::Word if depth == 0 && token.is_any(ends) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    slots.push(tokens.get(start..end).unwrap_or_default());
    slots
}
