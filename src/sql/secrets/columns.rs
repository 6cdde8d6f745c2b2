//! Which positions of a row hold secrets, by the names of its columns.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::names::says_secret;
use crate::sql::lexer::{Token, TokenKind};

/// Words before a list of columns that belong to the name of the table or query in front of it.
const ROWS: [&str; 4] = ["values", "select", "default", "with"];

/// For each position of a row, whether its column holds a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Columns {
    /// The columns in their order. Positions behind them hold no secrets.
    Listed(Vec<bool>),
    /// The columns or their order are not known, so no position can be cleared.
    #[default]
    Unknown,
}

impl Columns {
    /// The columns of a row that is written nowhere.
    pub(super) const NONE: Self = Self::Listed(Vec::new());

    pub(super) fn is_secret(&self, number: usize) -> bool {
        match self {
            Self::Listed(columns) => columns.get(number).is_some_and(|is_secret| *is_secret),
            Self::Unknown => true,
        }
    }

    pub(super) fn has_secrets(&self) -> bool {
        match self {
            Self::Listed(columns) => columns.contains(&true),
            Self::Unknown => true,
        }
    }

    /// A list of names; the tokens begin behind its parenthesis.
    pub(super) fn of_names(tokens: &[Token<'_>]) -> Self {
        let is_secret = |slot: &[Token<'_>]| slot.first().is_some_and(|name| says_secret(name.text));
        Self::Listed(slots(tokens).into_iter().map(is_secret).collect())
    }

    /// The columns in parentheses behind the name of a table, which may be missing. `None` without a list.
    pub(super) fn listed(tokens: &[Token<'_>]) -> Option<Self> {
        let name = tokens.iter().take_while(|token| token.is_name() || token.is_sign('.')).count();
        let is_row = tokens.iter().take(name).any(|token| token.is_any(&ROWS));
        match tokens.get(name..) {
            Some([open, names @ ..]) if open.is_sign('(') && !is_row => Some(Self::of_names(names)),
            _ => None,
        }
    }

    /// Names that are given to the columns of a query around the parenthesis at `at`: `x(password) AS (…)`,
    /// `VIEW x(password) AS …` and `(VALUES …) AS x(password)`.
    pub(super) fn of_query(tokens: &[Token<'_>], at: usize) -> Option<Self> {
        let inner = tokens.get(at + 1..)?;
        let name = at.checked_sub(1).and_then(|at| tokens.get(at));
        let is_named = name.is_some_and(Token::is_name);
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
                [name, open, names @ ..] if name.is_name() && open.is_sign('(') => {
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
        *self = match (&*self, other) {
            (Self::Listed(columns), Self::Listed(others)) => {
                let either = |number| self.is_secret(number) || other.is_secret(number);
                Self::Listed((0..columns.len().max(others.len())).map(either).collect())
            }
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
        };
    }
}

/// The columns of the tables that texts create, by the names of the tables in lower case without schemas.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, Columns>);

impl Tables {
    /// Adds the tables of `CREATE TABLE` and the columns of `ALTER TABLE … ADD`. After any other change of
    /// columns or names, the columns of the table are unknown.
    pub(super) fn add(&mut self, statement: &[Token<'_>]) {
        for (at, _) in statement.iter().enumerate().filter(|(_, token)| token.is("table")) {
            let is_kept = |word: &&Token<'_>| word.is_any(&["if", "not", "exists", "only"]);
            let behind = statement.get(at + 1..).unwrap_or_default();
            let behind = behind.get(behind.iter().take_while(is_kept).count()..).unwrap_or_default();
            let Some((name, length)) = table_name(behind) else { continue };
            let rest = behind.get(length..).unwrap_or_default();
            match rest {
                [open, definitions @ ..] if open.is_sign('(') => self.create(name, definitions),
                [verb, ..] if verb.is_any(&["add", "drop", "rename"]) => self.alter(name, rest),
                _ => {}
            }
        }
    }

    /// The columns of a table; the tokens begin with its name.
    pub(super) fn columns(&self, tokens: &[Token<'_>]) -> Columns {
        table_name(tokens).and_then(|(name, _)| self.0.get(&name).cloned()).unwrap_or_default()
    }

    fn create(&mut self, name: String, definitions: &[Token<'_>]) {
        let slots = slots_until(definitions, &[]);
        let behind = closing(definitions).and_then(|close| definitions.get(close + 1));
        let has_others = slots.iter().any(|slot| slot.first().is_some_and(|word| word.is("like")))
            || behind.is_some_and(|word| word.is("inherits"));
        let columns = if has_others {
            Columns::Unknown
        } else {
            Columns::Listed(slots.into_iter().filter_map(column).collect())
        };
        match self.0.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(columns)),
            Entry::Occupied(entry) if *entry.get() == columns => {}
            // Two tables have this name, in different schemas or one after the other.
            Entry::Occupied(mut entry) => drop(entry.insert(Columns::Unknown)),
        }
    }

    fn alter(&mut self, name: String, actions: &[Token<'_>]) {
        let columns = self.0.entry(name).or_default();
        for action in slots_until(actions, &[]) {
            let of_constraint = action.iter().take(2).any(|word| word.is("constraint"));
            if action.first().is_some_and(|verb| verb.is_any(&["drop", "rename"])) && !of_constraint {
                *columns = Columns::Unknown;
            } else if let Columns::Listed(columns) = columns {
                columns.extend(added_column(action));
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
    let name = tokens.get(length - 1).filter(|name| name.is_name())?;
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
            TokenKind::Word | TokenKind::Name(_) if depth == 0 && token.is_any(ends) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    slots.push(tokens.get(start..end).unwrap_or_default());
    slots
}
