//! Reads a script of SQL just far enough to tell its statements apart and to see which tables it
//! creates and refers to. Decides nothing about what the statements do.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::catalog::TableName;
use crate::sql::Dialect;

/// What a script consists of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// Bytes of each statement, without the semicolon.
    pub(crate) statements: Vec<Range<usize>>,
    /// Tables whose names follow `CREATE TABLE`.
    pub(crate) creates: BTreeSet<TableName>,
    /// A table and one that it refers to with `REFERENCES`.
    pub(crate) references: BTreeSet<(TableName, TableName)>,
    /// How deep parentheses and brackets are nested, in each statement.
    pub(crate) nesting: Vec<usize>,
    /// Bytes of each comment.
    pub(crate) comments: Vec<Range<usize>>,
    /// Whether a comment or a quote is open at the end.
    pub(crate) never_ends: bool,
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
}

impl Script {
    /// Reads a script as a dialect writes it.
    pub(crate) fn read(sql: &str, dialect: Dialect) -> Self {
        let mut script = Self::default();
        let mut statement = Vec::new();
        let (mut blocks, mut parentheses) = (0_usize, 0_usize);
        let mut lexer = Lexer::new(sql, dialect);
        for token in lexer.by_ref() {
            // As psql does: a rule has semicolons in parentheses, a routine between BEGIN and END.
            match token.kind {
                Kind::Other('(') if dialect == Dialect::Postgres => parentheses += 1,
                Kind::Other(')') => parentheses = parentheses.saturating_sub(1),
                Kind::Word(_) if parentheses == 0 && begins_routine(&statement, dialect) => {
                    let opens = token.is("begin") || blocks > 0 && token.is("case");
                    let closes = usize::from(token.is("end"));
                    blocks = if opens { blocks + 1 } else { blocks.saturating_sub(closes) };
                }
                Kind::Other(_) | Kind::Word(_) | Kind::Name(_) => {}
            }
            if blocks == 0 && parentheses == 0 && token.kind == Kind::Other(';') {
                script.finish(&statement, dialect);
                statement.clear();
            } else {
                statement.push(token);
            }
        }
        script.finish(&statement, dialect);
        script.comments = lexer.comments;
        script.never_ends = lexer.never_ends;
        // Nobody can tell whether an open comment was to hide the rest.
        if let Some(comment) = script.comments.last().filter(|_| script.never_ends && statement.is_empty()) {
            script.statements.push(comment.clone());
            script.nesting.push(0);
        }
        script
    }

    /// The text with a blank for every byte of a comment, so that all places stay where they are.
    pub(crate) fn without_comments(&self, sql: &str) -> String {
        let mut out = String::with_capacity(sql.len());
        let mut at = 0;
        for comment in &self.comments {
            out.push_str(sql.get(at..comment.start).unwrap_or(""));
            let bytes = sql.as_bytes().get(comment.clone()).unwrap_or_default();
            out.extend(bytes.iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }));
            at = comment.end;
        }
        out.push_str(sql.get(at..).unwrap_or(""));
        out
    }

    pub(crate) fn statement_at(&self, byte: usize) -> Option<&Range<usize>> {
        self.statements.iter().find(|statement| byte < statement.end)
    }

    fn finish(&mut self, tokens: &[Token], dialect: Dialect) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
        self.statements.push(first.at.start..last.at.end);
        self.nesting.push(nesting(tokens));
        let table_at = tokens.iter().take(6).position(|token| token.is("table"));
        let Some((_, rest)) = table_at.and_then(|at| tokens.split_at_checked(at + 1)) else { return };
        let skipped =
            rest.iter().take_while(|token| ["if", "not", "exists", "only"].iter().any(|w| token.is(w)));
        let skipped = skipped.count();
        let named = |at| name_at(rest, at).map(|(name, _)| located(name, dialect));
        let Some(table) = named(skipped) else { return };
        if first.is("create") {
            self.creates.insert(table.clone());
        }
        for (at, _) in rest.iter().enumerate().filter(|(_, token)| token.is("references")) {
            if let Some(other) = named(at + 1) {
                self.references.insert((table.clone(), other));
            }
        }
    }
}

fn nesting(tokens: &[Token]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token.kind {
            Kind::Other('(' | '[') => depth += 1,
            Kind::Other(')' | ']') => depth = depth.saturating_sub(1),
            Kind::Other(_) | Kind::Word(_) | Kind::Name(_) => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether the statement's body may hold semicolons between BEGIN and END. A routine of PostgreSQL is
/// recognised where psql does it; a trigger of PostgreSQL has no body.
fn begins_routine(statement: &[Token], dialect: Dialect) -> bool {
    let is_at = |at: usize, words: &[&str]| {
        statement.get(at).is_some_and(|token| words.iter().any(|word| token.is(word)))
    };
    match dialect {
        Dialect::Postgres => {
            let replaces = is_at(1, &["or"]) && is_at(2, &["replace"]);
            is_at(0, &["create"]) && is_at(if replaces { 3 } else { 1 }, &["function", "procedure"])
        }
        Dialect::Sqlite => is_at(0, &["create"]) && (is_at(1, &["trigger"]) || is_at(2, &["trigger"])),
    }
}

/// `name`, `schema.name` or `database.schema.name` from a token on, as it is written, and how many
/// tokens it takes.
fn name_at(tokens: &[Token], at: usize) -> Option<(TableName, usize)> {
    let part = |at: usize| match tokens.get(at).map(|token| &token.kind) {
        Some(Kind::Word(name) | Kind::Name(name)) => Some(name.clone()),
        Some(Kind::Other(_)) | None => None,
    };
    let is_dotted = |at: usize| tokens.get(at).is_some_and(|token| token.kind == Kind::Other('.'));
    let further = |dot: usize| part(dot + 1).filter(|_| is_dotted(dot));
    let first = part(at)?;
    Some(match (further(at + 1), further(at + 3)) {
        (Some(schema), Some(name)) => (TableName { schema: Some(schema), name }, 5),
        (Some(name), None) => (TableName { schema: Some(first), name }, 3),
        (None, _) => (TableName::plain(first), 1),
    })
}

/// A name without the schema that is meant where none is said.
pub(crate) fn located(mut table: TableName, dialect: Dialect) -> TableName {
    let is_default = |schema: &String| match dialect {
        Dialect::Postgres => schema == "public",
        Dialect::Sqlite => schema.eq_ignore_ascii_case("main"),
    };
    table.schema = table.schema.filter(|schema| !is_default(schema));
    table
}

/// A table's name as unquoted SQL means it: databases differ in how they fold case, so that names
/// read from SQL are compared without it.
pub(crate) fn folded(table: &TableName) -> TableName {
    let TableName { schema, name } = table;
    TableName { schema: schema.as_ref().map(|schema| schema.to_lowercase()), name: name.to_lowercase() }
}

/// A table's name as a dialect tells it from others: SQLite knows no case. PostgreSQL does, and
/// unquoted names come in lower case already.
pub(crate) fn told(table: &TableName, dialect: Dialect) -> TableName {
    match dialect {
        Dialect::Postgres => table.clone(),
        Dialect::Sqlite => folded(table),
    }
}

/// The schema of a name of which nobody can tell where it leads. No table has such a one.
pub(crate) const NOWHERE: &str = "?";

/// The name of a table as SQL writes it, when the text is nothing else: unquoted in lower case.
pub(crate) fn table_name(text: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<Token> = Lexer::new(text, dialect).collect();
    let name = name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len());
    name.map(|(name, _)| located(name, dialect))
}

/// The name of a thing with the schema that is written, folded; one that cannot be read leads nowhere.
pub(crate) fn written_name(text: &str, dialect: Dialect) -> TableName {
    let tokens: Vec<Token> = Lexer::new(text, dialect).collect();
    match name_at(&tokens, 0).filter(|(_, taken)| *taken == tokens.len()) {
        Some((name, _)) => told(&name, dialect),
        None => TableName { schema: Some(NOWHERE.to_owned()), name: text.trim().to_owned() },
    }
}

/// The name behind the first of these words.
pub(crate) fn name_after(statement: &str, word: &str, dialect: Dialect) -> Option<TableName> {
    let tokens: Vec<Token> = Lexer::new(statement, dialect).collect();
    let at = tokens.iter().position(|token| token.is(word))?;
    name_at(&tokens, at + 1).map(|(name, _)| told(&name, dialect))
}

/// Whether a statement drops what it names only where that is there.
pub(crate) fn drops_if_exists(statement: &str, dialect: Dialect) -> bool {
    let words = words(statement, dialect);
    words.first().is_some_and(|word| word == "drop") && words.windows(2).any(|pair| pair == ["if", "exists"])
}

/// The first words of a statement, in lower case, as far as there is nothing but words.
pub(crate) fn first_words(statement: &str, dialect: Dialect) -> Vec<String> {
    const MOST: usize = 4;
    let words = Lexer::new(statement, dialect).map_while(|token| match token.kind {
        Kind::Word(word) => Some(word),
        Kind::Name(_) | Kind::Other(_) => None,
    });
    words.take(MOST).collect()
}

/// All of a statement: bare words in lower case, names as they are, punctuation, and of texts and
/// numbers their first character.
pub(crate) fn words(statement: &str, dialect: Dialect) -> Vec<String> {
    let text = |token: Token| match token.kind {
        Kind::Word(text) | Kind::Name(text) => text,
        Kind::Other(character) => character.to_string(),
    };
    Lexer::new(statement, dialect).map(text).collect()
}

/// What stands before the first parenthesis of a statement.
pub(crate) fn before_parenthesis(statement: &str, dialect: Dialect) -> Option<&str> {
    let parenthesis = Lexer::new(statement, dialect).find(|token| token.kind == Kind::Other('('))?;
    statement.get(..parenthesis.at.start)
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    comments: Vec<Range<usize>>,
    never_ends: bool,
}

impl<'a> Lexer<'a> {
    fn new(sql: &'a str, dialect: Dialect) -> Self {
        Self { sql, at: 0, dialect, comments: Vec::new(), never_ends: false }
    }

    fn rest(&self) -> &str {
        self.sql.get(self.at..).unwrap_or("")
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        loop {
            let rest = self.rest();
            let blank =
                rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}').len();
            let (skipped, ends) = match rest.get(blank..).unwrap_or("") {
                comment if comment.starts_with("--") => {
                    // To SQLite a carriage return ends no line.
                    let ends = |c| c == '\n' || c == '\r' && self.dialect == Dialect::Postgres;
                    (comment.find(ends).unwrap_or(comment.len()), true)
                }
                comment if comment.starts_with("/*") => {
                    self.comment(comment).map_or((comment.len(), false), |length| (length, true))
                }
                _ => (0, true),
            };
            self.never_ends |= !ends;
            self.at += blank + skipped;
            if skipped > 0 {
                self.comments.push(self.at - skipped..self.at);
            } else {
                return;
            }
        }
    }

    /// Length of a comment that ends; PostgreSQL nests them.
    fn comment(&self, text: &str) -> Option<usize> {
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
                    return Some(at);
                }
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        None
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
                (escaped(rest), Kind::Other('\''))
            }
            '\'' => (quoted(rest, '\'', false), Kind::Other('\'')),
            '"' | '`' => {
                let length = quoted(rest, first, false);
                let inner = rest.get(1..length.unwrap_or(0).saturating_sub(1)).unwrap_or("");
                (length, Kind::Name(inner.replace(&format!("{first}{first}"), &first.to_string())))
            }
            '[' if self.dialect == Dialect::Sqlite => {
                let end = rest.find(']');
                let inner = rest.get(1..end.unwrap_or(1)).unwrap_or("");
                (end.map(|end| end + 1), Kind::Name(inner.to_owned()))
            }
            '$' if self.dialect == Dialect::Postgres => (dollar_quoted(rest), Kind::Other('$')),
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(length), Kind::Word(rest.get(..length).unwrap_or("").to_lowercase()))
            }
            other => (Some(other.len_utf8()), Kind::Other(other)),
        };
        let all = rest.len();
        self.never_ends |= length.is_none();
        let length = length.unwrap_or(all);
        let at = self.at..self.at + length;
        self.at = at.end;
        Some(Token { kind, at })
    }
}

/// Length of `E'…'` that ends, with what goes on in the same way on another line.
fn escaped(text: &str) -> Option<usize> {
    let mut length = 1;
    loop {
        length += quoted(text.get(length..).unwrap_or(""), '\'', true)?;
        let rest = text.get(length..).unwrap_or("");
        let blank = rest.len() - rest.trim_start().len();
        let goes_on = rest.get(blank..).is_some_and(|rest| rest.starts_with('\''));
        if !goes_on || !rest.get(..blank).unwrap_or("").contains(['\n', '\r']) {
            return Some(length);
        }
        length += blank;
    }
}

/// Length of a quoted text that ends, with its quotes; a doubled quote stands for one.
fn quoted(text: &str, quote: char, backslash: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if backslash && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Some(at + quote.len_utf8());
            }
        }
    }
    None
}

/// Length of `$tag$ … $tag$` that ends, or of a lone `$`.
fn dollar_quoted(text: &str) -> Option<usize> {
    let Some(inner) = text.get(1..) else { return Some(1) };
    let Some(end) = inner.find('$') else { return Some(1) };
    let tag = inner.get(..end).unwrap_or("");
    let is_tag =
        tag.chars().all(|c| c.is_alphanumeric() || c == '_') && !tag.starts_with(|c: char| c.is_numeric());
    if !is_tag {
        return Some(1);
    }
    let opening = end + 2;
    let delimiter = text.get(..opening).unwrap_or("$");
    let body = text.get(opening..).unwrap_or("");
    body.find(delimiter).map(|at| opening + at + delimiter.len())
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
    fn postgres_statements_end_where_they_end_for_psql() {
        for (sql, expected) in [
            (
                "CREATE RULE r AS ON INSERT TO t DO ALSO (INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)); SELECT 1",
                2,
            ),
            (
                "CREATE RULE r AS ON DELETE TO t DO INSTEAD (SELECT ')'; -- )\n SELECT 2 /* ) */;); SELECT 1",
                2,
            ),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
                2,
            ),
            ("CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; SELECT 2; END", 1),
            ("CREATE OR REPLACE FUNCTION f(\"begin\" int DEFAULT (1)) RETURNS int RETURN 1; SELECT 3", 2),
            ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $b$ SELECT 1; $x$; $b$; SELECT 3", 2),
            ("CREATE TRIGGER begin AFTER INSERT ON t EXECUTE FUNCTION f(); SELECT 1", 2),
            ("CREATE TABLE case_of (x int); BEGIN; SELECT 1; END; SELECT 2", 5),
            ("SELECT E'a'\n  '\\'; ' ; SELECT 1", 2),
            ("SELECT E'a' AS b, '\\'; SELECT 1", 2),
            ("SELECT 1 -- ;\r; SELECT 2", 2),
            ("SELECT a$b; SELECT $1; SELECT c$b", 3),
            ("SELECT 1); SELECT 2", 2),
            ("SELECT U&'\\0041;' UESCAPE '\\', B'1', X'f', N';'; SELECT 2", 2),
        ] {
            assert_eq!(statements(sql, Dialect::Postgres).len(), expected, "{sql}");
        }
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
