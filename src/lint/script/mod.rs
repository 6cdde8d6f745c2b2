//! Reads an SQL script far enough to split it into statements and to find the tables that it
//! creates and references. Does not judge the statements.

mod names;

use std::collections::BTreeSet;
use std::ops::Range;

use crate::catalog::TableName;
use crate::sql::Dialect;
use crate::sql::lexer::{Lexer, Syntax, Token, TokenKind};
pub(crate) use names::{NOWHERE, folded, located, name_after, normalized, table_name, written_name};
use names::{name_at, name_of};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// Byte ranges of the statements, without the semicolons.
    pub(crate) statements: Vec<Range<usize>>,
    /// Tables whose names follow `CREATE TABLE`.
    pub(crate) creates: BTreeSet<TableName>,
    /// Pairs of a table and a table that it references with `REFERENCES`.
    pub(crate) references: BTreeSet<(TableName, TableName)>,
    /// Nesting depth of parentheses and brackets, per statement.
    pub(crate) nesting: Vec<usize>,
    /// Byte ranges of the comments.
    pub(crate) comments: Vec<Range<usize>>,
    /// Whether a comment or a quote is unterminated.
    pub(crate) never_ends: bool,
}

impl Script {
    pub(crate) fn read(sql: &str, dialect: Dialect) -> Self {
        let mut script = Self::default();
        let mut statement = Vec::new();
        let (mut blocks, mut parentheses) = (0_usize, 0_usize);
        for token in Lexer::new(sql, Syntax::Of(dialect)) {
            script.never_ends |= !token.is_closed;
            // Follows psql: semicolons may be inside parentheses (in a rule) and between BEGIN and
            // END (in a routine).
            match token.kind {
                TokenKind::Other('(') if dialect == Dialect::Postgres => parentheses += 1,
                TokenKind::Other(')') => parentheses = parentheses.saturating_sub(1),
                TokenKind::Comment => {
                    script.comments.push(token.at);
                    continue;
                }
                TokenKind::Word if parentheses == 0 && begins_routine(&statement, dialect) => {
                    let opens = token.is("begin") || blocks > 0 && token.is("case");
                    let closes = usize::from(token.is("end"));
                    blocks = if opens { blocks + 1 } else { blocks.saturating_sub(closes) };
                }
                _ => {}
            }
            if blocks == 0 && parentheses == 0 && token.kind == TokenKind::Other(';') {
                script.finish(&statement, dialect);
                statement.clear();
            } else {
                statement.push(token);
            }
        }
        script.finish(&statement, dialect);
        // An unterminated comment may have been meant to hide the rest, so it counts as a
        // statement.
        if let Some(comment) = script.comments.last().filter(|_| script.never_ends && statement.is_empty()) {
            script.statements.push(comment.clone());
            script.nesting.push(0);
        }
        script
    }

    /// Returns the text with a blank for every byte of a comment, so that offsets stay the same.
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

    fn finish(&mut self, tokens: &[Token<'_>], dialect: Dialect) {
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

fn nesting(tokens: &[Token<'_>]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for token in tokens {
        match token.kind {
            TokenKind::Other('(' | '[') => depth += 1,
            TokenKind::Other(')' | ']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether the body of a statement may contain semicolons between BEGIN and END. Routines of
/// PostgreSQL are recognised as psql does it; a trigger of PostgreSQL has no body.
fn begins_routine(statement: &[Token<'_>], dialect: Dialect) -> bool {
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

/// Whether a statement drops with `IF EXISTS`.
pub(crate) fn drops_if_exists(statement: &str, dialect: Dialect) -> bool {
    let words = words(statement, dialect);
    words.first().is_some_and(|word| word == "drop") && words.windows(2).any(|pair| pair == ["if", "exists"])
}

/// Returns the leading keywords of a statement in lower case.
pub(crate) fn first_words(statement: &str, dialect: Dialect) -> Vec<String> {
    const MOST: usize = 4;
    let words = Lexer::code(statement, Syntax::Of(dialect)).take_while(|token| token.kind == TokenKind::Word);
    words.take(MOST).map(|word| word.text.to_lowercase()).collect()
}

/// Returns the tokens of a statement: keywords in lower case, names unchanged, punctuation, and the
/// first character of strings and numbers.
pub(crate) fn words(statement: &str, dialect: Dialect) -> Vec<String> {
    let text = |token: Token<'_>| {
        name_of(&token).unwrap_or_else(|| match token.kind {
            TokenKind::Text => "'".to_owned(),
            TokenKind::Body => "$".to_owned(),
            _ => token.text.to_owned(),
        })
    };
    Lexer::code(statement, Syntax::Of(dialect)).map(text).collect()
}

/// Returns the text before the first parenthesis of a statement.
pub(crate) fn before_parenthesis(statement: &str, dialect: Dialect) -> Option<&str> {
    let parenthesis = Lexer::new(statement, Syntax::Of(dialect)).find(|token| token.is_sign('('))?;
    statement.get(..parenthesis.at.start)
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
