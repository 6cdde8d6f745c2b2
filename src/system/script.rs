//! Reads a script of SQL just far enough to tell its statements apart and to see which tables it
//! creates and refers to. Decides nothing about what the statements do.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::catalog::TableName;
use crate::sql::Dialect;

/// What a script consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// Bytes of each statement, without the semicolon.
    pub(super) statements: Vec<Range<usize>>,
    /// The words of each statement: bare ones in lower case, names as they are, punctuation.
    pub(super) words: Vec<Vec<String>>,
    /// Tables whose names follow `CREATE TABLE`.
    pub(super) creates: BTreeSet<TableName>,
    /// A table and one that it refers to with `REFERENCES`.
    pub(super) references: BTreeSet<(TableName, TableName)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A bare word, in lower case: a keyword or a name.
    Word(String),
    /// A quoted name.
    Name(String),
    /// Punctuation, one character; texts and numbers too, as their first character.
    Other(char),
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(is) if is == word)
    }

    fn text(&self) -> String {
        match &self.kind {
            Kind::Word(text) | Kind::Name(text) => text.clone(),
            Kind::Other(character) => character.to_string(),
        }
    }
}

impl Script {
    /// Reads a script as a dialect writes it.
    pub(super) fn read(sql: &str, dialect: Dialect) -> Self {
        let mut script = Self::default();
        let mut statement = Vec::new();
        let mut depth = 0_usize;
        for token in (Lexer { sql, at: 0, dialect }) {
            let in_routine = begins_routine(&statement);
            let opens = in_routine && (token.is("begin") || depth > 0 && token.is("case"));
            depth = if opens { depth + 1 } else { depth.saturating_sub(usize::from(token.is("end"))) };
            if depth == 0 && token.kind == Kind::Other(';') {
                script.finish(&statement);
                statement.clear();
            } else {
                statement.push(token);
            }
        }
        script.finish(&statement);
        script
    }

    /// The statement at a byte.
    pub(super) fn statement_at(&self, byte: usize) -> Option<&Range<usize>> {
        self.statements.iter().find(|statement| byte < statement.end)
    }

    fn finish(&mut self, tokens: &[Token]) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
        self.statements.push(first.at.start..last.at.end);
        self.words.push(tokens.iter().map(Token::text).collect());
        let table_at = tokens.iter().take(6).position(|token| token.is("table"));
        let Some((_, rest)) = table_at.and_then(|at| tokens.split_at_checked(at + 1)) else { return };
        let skipped =
            rest.iter().take_while(|token| ["if", "not", "exists", "only"].iter().any(|w| token.is(w)));
        let skipped = skipped.count();
        let Some((table, _)) = name_at(rest, skipped) else { return };
        if first.is("create") {
            self.creates.insert(table.clone());
        }
        for (at, _) in rest.iter().enumerate().filter(|(_, token)| token.is("references")) {
            if let Some((other, _)) = name_at(rest, at + 1) {
                self.references.insert((table.clone(), other));
            }
        }
    }
}

/// Whether the statement's body may hold semicolons between BEGIN and END.
fn begins_routine(statement: &[Token]) -> bool {
    let routine = |token: &Token| ["trigger", "function", "procedure"].iter().any(|word| token.is(word));
    statement.first().is_some_and(|token| token.is("create")) && statement.iter().take(6).any(routine)
}

/// `name` or `schema.name` from a token on, and how many tokens it takes.
fn name_at(tokens: &[Token], at: usize) -> Option<(TableName, usize)> {
    let part = |at: usize| match tokens.get(at).map(|token| &token.kind) {
        Some(Kind::Word(name) | Kind::Name(name)) => Some(name.clone()),
        Some(Kind::Other(_)) | None => None,
    };
    let first = part(at)?;
    let dotted = tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Other('.'));
    match part(at + 2).filter(|_| dotted) {
        Some(name) => {
            let schema = Some(first).filter(|schema| schema != "public" && schema != "main");
            Some((TableName { schema, name }, 3))
        }
        None => Some((TableName::plain(first), 1)),
    }
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.sql.get(self.at..).unwrap_or("")
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank =
                rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
            let skipped = match rest.get(blank..).unwrap_or("") {
                comment if comment.starts_with("--") => comment.find('\n').unwrap_or(comment.len()),
                comment if comment.starts_with("/*") => self.comment(comment),
                _ => 0,
            };
            self.at += blank + skipped;
            if skipped == 0 {
                return;
            }
        }
    }

    /// Length of a comment; PostgreSQL nests them.
    fn comment(&self, text: &str) -> usize {
        let mut depth = 0_usize;
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with("/*") && (depth == 0 || self.dialect == Dialect::Postgres) {
                depth += 1;
                at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        text.len()
    }
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let (length, kind) = match first {
            'e' | 'E'
                if self.dialect == Dialect::Postgres
                    && rest.get(1..).is_some_and(|r| r.starts_with('\'')) =>
            {
                (1 + quoted(rest.get(1..).unwrap_or(""), '\'', true), Kind::Other('\''))
            }
            '\'' => (quoted(rest, '\'', false), Kind::Other('\'')),
            '"' | '`' => {
                let length = quoted(rest, first, false);
                let inner = rest.get(1..length.saturating_sub(1)).unwrap_or("");
                (length, Kind::Name(inner.replace(&format!("{first}{first}"), &first.to_string())))
            }
            '[' if self.dialect == Dialect::Sqlite => {
                let length = rest.find(']').map_or(rest.len(), |end| end + 1);
                (length, Kind::Name(rest.get(1..length.saturating_sub(1)).unwrap_or("").to_owned()))
            }
            '$' if self.dialect == Dialect::Postgres => (dollar_quoted(rest), Kind::Other('$')),
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (length, Kind::Word(rest.get(..length).unwrap_or("").to_lowercase()))
            }
            other => (other.len_utf8(), Kind::Other(other)),
        };
        let at = self.at..self.at + length;
        self.at = at.end;
        Some(Token { kind, at })
    }
}

/// Length of a quoted text with its quotes; a doubled quote stands for one.
fn quoted(text: &str, quote: char, backslash: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// Length of `$tag$ … $tag$`, or of a lone `$`.
fn dollar_quoted(text: &str) -> usize {
    let Some(inner) = text.get(1..) else { return 1 };
    let Some(end) = inner.find('$') else { return 1 };
    let tag = inner.get(..end).unwrap_or("");
    let is_tag =
        tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_numeric());
    if !is_tag {
        return 1;
    }
    let opening = end + 2;
    let delimiter = text.get(..opening).unwrap_or("$");
    let body = text.get(opening..).unwrap_or("");
    body.find(delimiter).map_or(text.len(), |at| opening + at + delimiter.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(sql: &str, dialect: Dialect) -> Vec<&str> {
        Script::read(sql, dialect).statements.into_iter().map(|range| &sql[range]).collect()
    }

    #[test]
    fn semicolons_in_texts_comments_and_bodies_end_nothing() {
        let sql =
            "-- a; b\nSELECT ';', E'\\';', \"x;y\" /* ; /* ; */ ; */;\nDO $a$ BEGIN; END $a$; SELECT 1;;";
        assert_eq!(
            statements(sql, Dialect::Postgres),
            ["SELECT ';', E'\\';', \"x;y\"", "DO $a$ BEGIN; END $a$", "SELECT 1"]
        );
    }

    #[test]
    fn a_trigger_is_one_statement() {
        let sql = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET x = CASE WHEN 1 THEN 2 END; SELECT 1; END;\nSELECT 2";
        assert_eq!(statements(sql, Dialect::Sqlite).len(), 2);
    }

    #[test]
    fn created_tables_and_references_are_seen_in_any_spelling() {
        let sql = "create table if not exists \"A b\" (x int references public.c(id));
                   CREATE UNLOGGED TABLE app.d (y int, FOREIGN KEY (y) REFERENCES \"A b\");
                   ALTER TABLE ONLY e ADD z int REFERENCES c; CREATE INDEX i ON table_x (y);";

        let script = Script::read(sql, Dialect::Postgres);

        let created: Vec<_> = script.creates.iter().map(ToString::to_string).collect();
        assert_eq!(created, ["A b", "app.d"]);
        let references: Vec<_> = script.references.iter().map(|(a, b)| format!("{a}>{b}")).collect();
        assert_eq!(references, ["A b>c", "e>c", "app.d>A b"]);
    }

    #[test]
    fn an_unfinished_text_ends_with_the_script() {
        assert_eq!(statements("SELECT 'a; b", Dialect::Sqlite), ["SELECT 'a; b"]);
    }
}
