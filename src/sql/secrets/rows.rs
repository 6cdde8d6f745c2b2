//! Secrets among the values of rows and the arguments of functions: those whose column says that they
//! are secret, and those that stand beside the name of a secret setting.

use std::ops::Range;

use super::literals::{Kind, token};
use super::names::{is_name_of_secret, says_secret, takes_pairs, takes_secrets};

/// Words before a name in front of a parenthesis that is no function.
const NO_CALL: [&str; 13] = [
    "into",
    "table",
    "exists",
    "on",
    "references",
    "update",
    "from",
    "join",
    "index",
    "view",
    "type",
    "as",
    "key",
];

struct Token<'t> {
    kind: Kind,
    text: &'t str,
    range: Range<usize>,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(word))
    }

    fn is_sign(&self, sign: char) -> bool {
        self.kind == Kind::Other(sign)
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text | Kind::Body)
    }
}

/// Adds the secrets of all statements of a text, whose first byte is at `base`.
pub(super) fn secrets(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some((kind, inner, end)) = token(text, at) {
        at = end;
        if kind != Kind::Comment {
            let content = text.get(inner.clone()).unwrap_or("");
            tokens.push(Token { kind, text: content, range: base + inner.start..base + inner.end });
        }
    }
    for statement in tokens.split(|token| token.is_sign(';')) {
        of_statement(statement, found);
    }
}

fn of_statement(tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    let mut columns: Vec<&str> = Vec::new();
    let mut is_in_values = false;
    let mut has_columns = false;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        if token.is("into") {
            columns = columns_of(tokens.get(at + 1..).unwrap_or_default());
            (has_columns, is_in_values) = (true, false);
        } else if token.is("values") {
            is_in_values = true;
        } else if token.is("select") && has_columns {
            of_slots(&slots(tokens.get(at + 1..).unwrap_or_default()), &columns, found);
            has_columns = false;
        } else if token.is("update") {
            of_update(tokens.get(at + 1..).unwrap_or_default(), found);
        } else if token.is_sign('(') {
            let arguments = tokens.get(at + 1..).unwrap_or_default();
            let opens_row = before.is_some_and(|before| before.is("values") || before.is_sign(','));
            if is_in_values && opens_row {
                of_slots(&slots(arguments), &columns, found);
            }
            let name = before.filter(|before| before.kind == Kind::Word);
            let is_call =
                !at.checked_sub(2).and_then(|at| tokens.get(at)).is_some_and(|two| two.is_any(&NO_CALL));
            if let Some(name) = name.filter(|_| is_call) {
                of_call(name.text, &slots(arguments), found);
            }
        }
    }
}

/// The columns in parentheses behind the name of a table.
fn columns_of<'t>(tokens: &[Token<'t>]) -> Vec<&'t str> {
    let name = tokens.iter().take_while(|token| token.kind == Kind::Word || token.is_sign('.')).count();
    let is_row = tokens.iter().take(name).any(|token| token.is_any(&["values", "select", "default"]));
    match tokens.get(name..) {
        Some([open, rest @ ..]) if open.is_sign('(') && !is_row => {
            let names = slots(rest);
            names.iter().map(|slot| slot.first().map_or("", |token| token.text)).collect()
        }
        _ => Vec::new(),
    }
}

/// What stands between commas, up to the parenthesis that closes or the end of a list of expressions.
fn slots<'s, 't>(tokens: &'s [Token<'t>]) -> Vec<&'s [Token<'t>]> {
    const ENDS: [&str; 7] = ["from", "where", "union", "on", "returning", "group", "limit"];
    let mut slots = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    let mut end = tokens.len();
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Other('(' | '[') => depth += 1,
            Kind::Other(')' | ']') if depth == 0 => {
                end = at;
                break;
            }
            Kind::Other(')' | ']') => depth -= 1,
            Kind::Other(',') if depth == 0 => {
                slots.push(tokens.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            Kind::Word if depth == 0 && token.is_any(&ENDS) => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    slots.push(tokens.get(start..end).unwrap_or_default());
    slots
}

fn texts(tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    found.extend(tokens.iter().filter(|token| token.is_text()).map(|token| token.range.clone()));
}

/// Whether an expression is the name of a secret setting.
fn names_secret(slot: &[Token<'_>]) -> bool {
    let mut texts = slot.iter().filter(|token| token.is_text());
    texts.next().is_some_and(|text| is_name_of_secret(text.text)) && texts.next().is_none()
}

/// One row: the value of a secret column, and what stands beside the name of a secret.
fn of_slots(slots: &[&[Token<'_>]], columns: &[&str], found: &mut Vec<Range<usize>>) {
    let is_secret = |number: usize| columns.get(number).is_some_and(|column| says_secret(column));
    let name = slots.iter().enumerate().position(|(number, slot)| !is_secret(number) && names_secret(slot));
    for (number, slot) in slots.iter().enumerate() {
        let is_beside = slots.len() > 1 && name.is_some_and(|name| name != number);
        if is_secret(number) || is_beside {
            texts(slot, found);
        }
    }
}

fn of_call(function: &str, slots: &[&[Token<'_>]], found: &mut Vec<Range<usize>>) {
    if takes_secrets(function) {
        for slot in slots {
            texts(slot, found);
        }
    } else if takes_pairs(function) {
        for (name, value) in slots.iter().zip(slots.iter().skip(1)) {
            if names_secret(name) {
                texts(value, found);
            }
        }
    }
}

/// `UPDATE settings SET value = … WHERE key = 'smtp_password'`.
fn of_update(tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    let place = |word: &str| tokens.iter().position(|token| token.is(word));
    let (Some(set), Some(condition)) = (place("set"), place("where")) else { return };
    let names = tokens.get(condition..).unwrap_or_default();
    if names.iter().any(|token| token.is_text() && is_name_of_secret(token.text)) {
        texts(tokens.get(set..condition).unwrap_or_default(), found);
    }
}
