//! Secrets among the values of rows and the arguments of functions: those whose column says that they
//! are secret, and those that stand beside the name of a secret setting.

use std::ops::Range;

use super::Search;
use super::columns::{Columns, slots};
use super::names::{is_name_of_secret, says_secret, takes_pairs, takes_secrets};
use super::tokens;
use crate::sql::lexer::{Token, TokenKind};

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

/// Words before INTO in statements that write rows.
const WRITES: [&str; 7] = ["insert", "merge", "replace", "ignore", "rollback", "abort", "fail"];

/// Adds the secrets of all statements of a text, and the columns of the tables that it creates.
pub(super) fn secrets(tokens: &[Token<'_>], search: &mut Search<'_>) {
    let tokens: Vec<Token<'_>> =
        tokens.iter().filter(|token| token.kind != TokenKind::Comment).cloned().collect();
    let statements = || tokens.split(|token| token.is_sign(';'));
    for statement in statements() {
        search.tables.add(statement);
    }
    let mut columns = Columns::NONE;
    let mut prepared: Vec<&str> = Vec::new();
    for statement in statements() {
        match statement {
            [prepare, name, rest @ ..] if prepare.is("prepare") && name.is_name() => {
                let takes_secrets = rest.iter().any(|token| token.is_name() && says_secret(token.text));
                prepared.extend(takes_secrets.then_some(name.text));
            }
            [execute, name, values @ ..] if execute.is("execute") && prepared.contains(&name.text) => {
                texts(values, &mut search.found);
            }
            [merge, ..] if merge.is("merge") => of_merge(statement, &mut search.found),
            _ => {}
        }
        if let Some(rows) = statement.first().filter(|first| first.kind == TokenKind::Data) {
            of_data(rows, &columns, &mut search.found);
        }
        let copied = statement.iter().position(|token| token.is("copy"));
        columns = copied.map_or(Columns::NONE, |copy| written(statement, copy + 1, search));
        of_statement(statement, search);
    }
}

/// The columns of the rows that a statement writes; the name of the table is at a token.
fn written(tokens: &[Token<'_>], at: usize, search: &Search<'_>) -> Columns {
    let target = tokens.get(at..).unwrap_or_default();
    Columns::listed(target).unwrap_or_else(|| search.columns(target))
}

/// Whether a text begins with an INSERT or MERGE that writes a secret.
pub(super) fn writes_secrets(text: &str, search: &Search<'_>) -> bool {
    let tokens = tokens(text, 0);
    let begins = tokens.first().is_some_and(|first| first.is_any(&["insert", "merge", "replace", "with"]));
    let into = tokens.iter().position(|token| token.is("into")).filter(|_| begins);
    into.is_some_and(|into| written(&tokens, into + 1, search).has_secrets())
}

/// The lines of rows behind a COPY.
fn of_data(rows: &Token<'_>, columns: &Columns, found: &mut Vec<Range<usize>>) {
    let separators = ['\t', ',', '|', ';'];
    let offset = |part: &str| part.as_ptr() as usize - rows.text.as_ptr() as usize;
    for line in rows.text.lines() {
        let fields = || line.split(separators);
        if columns.has_secrets() || fields().any(is_name_of_secret) {
            // Which field belongs to which column depends on the format.
            found.extend(fields().map(|field| {
                let start = rows.range.start + offset(field);
                start..start + field.len()
            }));
        }
    }
}

fn of_statement(tokens: &[Token<'_>], search: &mut Search<'_>) {
    let behind = |at: usize| tokens.get(at + 1..).unwrap_or_default();
    let is_written = |at: usize| {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        before.is_some_and(|before| before.is_any(&WRITES))
    };
    let columns_at = |at: usize, search: &Search<'_>| {
        if is_written(at) { written(tokens, at + 1, search) } else { Columns::NONE }
    };
    // A query in front of an INSERT usually provides its rows.
    let target = tokens.iter().position(|token| token.is("into"));
    let mut columns = target.map_or(Columns::NONE, |at| columns_at(at, search));
    let mut has_columns = target.is_some();
    let mut is_in_values = false;
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        if token.is("into") {
            columns = columns_at(at, search);
            (has_columns, is_in_values) = (true, false);
            continue;
        }
        let found = &mut search.found;
        if token.is("insert") {
            // `WHEN NOT MATCHED THEN INSERT (…) VALUES (…)`: the table is named by MERGE INTO.
            if let Some(listed) = Columns::listed(behind(at)) {
                columns = listed;
            }
        } else if token.is("values") {
            is_in_values = true;
        } else if token.is("select") {
            let continues =
                before.is_some_and(|before| before.is_any(&["union", "all", "except", "intersect"]));
            if has_columns || continues {
                of_slots(&slots(behind(at)), &columns, found);
            }
            has_columns = false;
        } else if token.is("as") {
            let is_secret = |name: &Token<'_>| name.is_name() && says_secret(name.text);
            if tokens.get(at + 1).is_some_and(is_secret) {
                texts(value_before(tokens.get(..at).unwrap_or_default()), found);
            }
        } else if token.is("update") {
            of_update(behind(at), found);
        } else if token.is_sign('(') {
            let arguments = behind(at);
            let opens_row = before.is_some_and(|before| before.is("values") || before.is_sign(','));
            if is_in_values && opens_row {
                of_slots(&slots(arguments), &columns, found);
            }
            if let Some(named) = Columns::of_query(tokens, at) {
                columns.add(&named);
                has_columns = true;
            }
            of_assignment(arguments, found);
            let name = before.filter(|before| before.is_name());
            let is_call =
                !at.checked_sub(2).and_then(|at| tokens.get(at)).is_some_and(|two| two.is_any(&NO_CALL));
            if let Some(name) = name.filter(|_| is_call) {
                of_call(name.text, &slots(arguments), found);
            }
        }
    }
}

/// The rows that a MERGE reads, where it writes a secret: which of their columns it becomes depends on names.
fn of_merge(tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    let Some(when) = tokens.iter().position(|token| token.is("when")) else { return };
    let (source, actions) = tokens.split_at(when);
    let rows = source.iter().position(|token| token.is("using")).and_then(|using| source.get(using..));
    if actions.iter().any(|token| token.is_name() && says_secret(token.text)) {
        texts(rows.unwrap_or_default(), found);
    }
}

/// The literal that ends before a column alias, with its cast: `'…'::text`.
fn value_before<'s, 't>(tokens: &'s [Token<'t>]) -> &'s [Token<'t>] {
    let start = match tokens {
        [.., text] if text.is_text() => tokens.len() - 1,
        [.., text, first, second, _] if text.is_text() && first.is_sign(':') && second.is_sign(':') => {
            tokens.len() - 4
        }
        _ => tokens.len(),
    };
    tokens.get(start..).unwrap_or_default()
}

/// `(username, password) = ('a', '…')`, `= ROW('a', '…')` and `= (SELECT 'a', '…')`. The tokens begin behind
/// the first parenthesis.
fn of_assignment(tokens: &[Token<'_>], found: &mut Vec<Range<usize>>) {
    let is_part_of_list =
        |token: &Token<'_>| token.is_name() || matches!(token.kind, TokenKind::Other(',' | '.'));
    let end = tokens.iter().take_while(|token| is_part_of_list(token)).count();
    let values = match tokens.get(end..) {
        Some([close, equals, rest @ ..]) if close.is_sign(')') && equals.is_sign('=') => rest,
        _ => return,
    };
    let values = match values {
        [row, open, rest @ ..] if row.is("row") && open.is_sign('(') => rest,
        [open, select, rest @ ..] if open.is_sign('(') && select.is("select") => rest,
        [open, rest @ ..] if open.is_sign('(') => rest,
        _ => return,
    };
    of_slots(&slots(values), &Columns::of_names(tokens), found);
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
fn of_slots(slots: &[&[Token<'_>]], columns: &Columns, found: &mut Vec<Range<usize>>) {
    let name =
        slots.iter().enumerate().position(|(number, slot)| !columns.is_secret(number) && names_secret(slot));
    for (number, slot) in slots.iter().enumerate() {
        let is_beside = slots.len() > 1 && name.is_some_and(|name| name != number);
        if columns.is_secret(number) || is_beside {
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
