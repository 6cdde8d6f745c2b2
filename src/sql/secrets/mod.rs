//! Finds passwords and the like that stand in SQL as literals, so that nothing shows them. Prefers
//! hiding too much to too little; changes nothing that is run, and knows no dialect.

mod columns;
mod literals;
mod names;
mod rows;

use std::ops::Range;

use columns::Tables;
use literals::{TokenKind, token};
pub use names::says_secret;

/// Texts in texts are looked into as deep as this.
const MOST_DEPTH: usize = 8;
/// The least length of a secret that is looked for in what a database says, beside its quotes.
const TELLING: usize = 4;

/// The bytes of the secrets, without quotes, in their order; no two overlap.
pub fn secrets(sql: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    scan(sql, 0, &mut Tables::default(), &mut found, 0);
    found.retain(|range| !range.is_empty());
    found.sort_by_key(|range| (range.start, range.end));
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(found.len());
    for range in found {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    apart
}

/// The text with `…` for each secret.
pub fn masked(sql: &str) -> String {
    replaced(sql, |_| "…".to_owned())
}

/// The text with a `*` for each byte of a secret, so that every place in it still fits.
pub fn masked_same_length(sql: &str) -> String {
    let blot = |byte| if byte == b'\n' { '\n' } else { '*' };
    replaced(sql, |secret| secret.bytes().map(blot).collect())
}

fn replaced(sql: &str, shown: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut at = 0;
    for secret in secrets(sql) {
        out.push_str(sql.get(at..secret.start).unwrap_or(""));
        at = secret.end;
        out.push_str(&shown(sql.get(secret).unwrap_or("")));
    }
    out.push_str(sql.get(at..).unwrap_or(""));
    out
}

/// What a database says of a text, without the text's secrets.
pub fn without_secrets(message: &str, sql: &str) -> String {
    let mut message = message.to_owned();
    for secret in secrets(sql) {
        let Some(secret) = sql.get(secret) else { continue };
        for said in [secret.to_owned(), secret.replace("''", "'")] {
            if said.len() >= TELLING {
                message = message.replace(&said, "…");
            }
            for quote in ['\'', '"'] {
                message = message.replace(&format!("{quote}{said}{quote}"), &format!("{quote}…{quote}"));
            }
        }
    }
    message
}

/// Where in a statement a text would be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// Behind a word that names a secret.
    AfterKey,
    /// In the declaration of a column or variable of such a name, within so many parentheses.
    Declared(usize),
    /// In the value that it is given, within so many parentheses.
    InValue(usize),
    /// Behind the beginning of a statement that is put together from texts.
    Assembled,
}

fn scan(text: &str, base: usize, tables: &mut Tables, found: &mut Vec<Range<usize>>, depth: usize) {
    if depth > MOST_DEPTH {
        return;
    }
    rows::secrets(text, base, tables, found);
    let mut place = Place::Elsewhere;
    let mut parentheses = 0_usize;
    let mut at = 0;
    while let Some((kind, inner, end)) = token(text, at) {
        at = end;
        let content = text.get(inner.clone()).unwrap_or("");
        let here = base + inner.start..base + inner.end;
        match kind {
            TokenKind::Text | TokenKind::Body => {
                if !matches!(place, Place::Elsewhere | Place::Declared(_)) {
                    found.push(here);
                } else if kind == TokenKind::Text || is_connection(content) {
                    let assembles = within(content, here.start, found);
                    place = if assembles { Place::Assembled } else { place };
                }
                if kind == TokenKind::Body {
                    scan(content, base + inner.start, tables, found, depth + 1);
                }
                urls(content, base + inner.start, found);
                credentials(content, base + inner.start, found);
            }
            TokenKind::Comment => {
                scan(content, base + inner.start, tables, found, depth + 1);
                urls(content, base + inner.start, found);
                credentials(content, base + inner.start, found);
            }
            TokenKind::Word | TokenKind::Other(_) => {
                parentheses = match kind {
                    TokenKind::Other('(') => parentheses + 1,
                    TokenKind::Other(')') => parentheses.saturating_sub(1),
                    _ => parentheses,
                };
                place = next_place(place, kind, content, parentheses);
            }
        }
    }
}

/// Words that follow a name where no type of it does.
const NO_TYPES: [&str; 18] = [
    "is",
    "in",
    "like",
    "ilike",
    "and",
    "or",
    "from",
    "where",
    "as",
    "on",
    "check",
    "then",
    "values",
    "select",
    "between",
    "order",
    "using",
    "references",
];

fn next_place(place: Place, kind: TokenKind, word: &str, parentheses: usize) -> Place {
    let is = |words: &[&str]| {
        kind == TokenKind::Word && words.iter().any(|other| word.eq_ignore_ascii_case(other))
    };
    match place {
        _ if kind == TokenKind::Other(';') => Place::Elsewhere,
        Place::Assembled => Place::Assembled,
        Place::InValue(within) => {
            let ends = parentheses < within
                || kind == TokenKind::Other(',') && parentheses == within
                || is(&["where", "and", "or", "from", "returning", "valid", "then", "is"]);
            if ends { Place::Elsewhere } else { place }
        }
        _ if kind == TokenKind::Word && says_secret(word) => Place::AfterKey,
        Place::AfterKey if is(&["to", "default"]) || matches!(kind, TokenKind::Other('=' | '>')) => {
            Place::InValue(parentheses)
        }
        // `:=`
        Place::AfterKey if kind == TokenKind::Other(':') => Place::AfterKey,
        // A type stands between the name of a column or variable and its value.
        Place::AfterKey if kind == TokenKind::Word && !is(&NO_TYPES) => Place::Declared(parentheses),
        Place::Declared(_) if is(&["default"]) || kind == TokenKind::Other('=') => {
            Place::InValue(parentheses)
        }
        Place::Declared(within) => {
            let ends = parentheses < within || kind == TokenKind::Other(',') && parentheses == within;
            if ends || is(&NO_TYPES) { Place::Elsewhere } else { place }
        }
        Place::AfterKey | Place::Elsewhere => Place::Elsewhere,
    }
}

/// Whether a text is `key=value …`, as connections are described.
fn is_connection(text: &str) -> bool {
    let rest = text.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    rest.len() < text.trim_start().len() && rest.trim_start().starts_with('=') && !text.contains(';')
}

/// Secrets in a text: of a connection's description, of JSON, of a statement that is executed.
/// True when the text begins a statement whose secret comes later.
fn within(text: &str, base: usize, found: &mut Vec<Range<usize>>) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let quotes = ['\'', '"', '\\'];
    let begins = text.trim_start().get(..6).map(str::to_lowercase).unwrap_or_default();
    let is_statement = begins == "create" || begins.starts_with("alter");
    let mut at = 0;
    let mut assembles = false;
    while let Some(start) = text.get(at..).and_then(|rest| rest.find(is_word)).map(|start| at + start) {
        let word = text.get(start..).unwrap_or("");
        let end = start + word.find(|c: char| !is_word(c)).unwrap_or(word.len());
        at = end;
        if !text.get(start..end).is_some_and(says_secret) {
            continue;
        }
        let rest = text.get(end..).unwrap_or("");
        let between = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_whitespace() || quotes.contains(&c) || "=:>".contains(c))
                .len();
        let (separator, value) = rest.split_at_checked(between).unwrap_or((rest, ""));
        let is_placeholder = value.starts_with(['%', '$', '{', '(']);
        if value.is_empty() || is_placeholder {
            assembles |= is_statement && !separator.is_empty() && !value.starts_with('$');
            continue;
        }
        let last_sign = separator.trim_end().chars().next_back();
        let length = match last_sign {
            Some(sign) if quotes.contains(&sign) && !separator.ends_with(char::is_whitespace) => {
                value.find(quotes).unwrap_or(value.len())
            }
            Some('=') => value
                .find(|c: char| c.is_whitespace() || quotes.contains(&c) || ";,&})".contains(c))
                .unwrap_or(value.len()),
            _ => continue,
        };
        if value.get(..length).is_some_and(|value| !value.contains('(')) {
            found.push(base + end + between..base + end + between + length);
        }
        at = end + between + length;
    }
    assembles
}

/// Passwords of URLs: between `://user:` and the last `@`.
fn urls(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let mut next = 0;
    while let Some(start) = text.get(next..).and_then(|rest| rest.find("://")).map(|at| at + next + 3) {
        let rest = text.get(start..).unwrap_or("");
        let length = rest.find(|c: char| c.is_whitespace() || "\"'`;,<>".contains(c)).unwrap_or(rest.len());
        next = start + length;
        let user_info = rest.get(..length).and_then(|url| url.rsplit_once('@')).map_or("", |(info, _)| info);
        if let Some((user, password)) = user_info.split_once(':') {
            let at = base + start + user.len() + 1;
            found.push(at..at + password.len());
        }
    }
}

/// Secrets of commands and headers in a text: `curl -u user:…` and `Authorization: Bearer …`.
fn credentials(text: &str, base: usize, found: &mut Vec<Range<usize>>) {
    let is_end = |c: char| c.is_whitespace() || "\"'`;,\\".contains(c);
    let mut words = text.split(is_end).map(|word| (word.as_ptr() as usize - text.as_ptr() as usize, word));
    let mut before: [&str; 2] = ["", ""];
    for (at, word) in words.by_ref().filter(|(_, word)| !word.is_empty()) {
        let [scheme, option] = before;
        let secret = match word.split_once(':') {
            Some((user, password)) if matches!(option, "-u" | "--user") && !user.is_empty() => password,
            _ if scheme.ends_with(':') && is_scheme(option) => word,
            // The value of a header.
            _ if scheme.is_empty() && option == "Bearer" && text.trim_end().ends_with(word) => word,
            _ => "",
        };
        let start = base + at + word.len() - secret.len();
        found.push(start..start + secret.len());
        before = [option, word];
    }
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_sql_takes_them() {
        for (sql, shown) in [
            (
                "CREATE ROLE x LOGIN PASSWORD 'hunter22' VALID UNTIL '2030-01-01'",
                "CREATE ROLE x LOGIN PASSWORD '…' VALID UNTIL '2030-01-01'",
            ),
            (
                "alter user x with encrypted password E'hunt\\'er22'",
                "alter user x with encrypted password E'…'",
            ),
            ("ALTER USER x PASSWORD U&'hunter22'; SELECT 'a'", "ALTER USER x PASSWORD U&'…'; SELECT 'a'"),
            ("ALTER USER x PASSWORD $p$hunter22$p$", "ALTER USER x PASSWORD $p$…$p$"),
            ("ALTER USER x PASSWORD 'hunt''er22'", "ALTER USER x PASSWORD '…'"),
            ("ALTER USER x PASSWORD /* note */ 'hunter22'", "ALTER USER x PASSWORD /* note */ '…'"),
            ("ALTER USER x PASSWORD 'hunter22", "ALTER USER x PASSWORD '…"),
            (
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password 'hunter22', x 'y')",
                "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password '…', x 'y')",
            ),
            (
                "ALTER USER MAPPING FOR u SERVER s OPTIONS (SET \"password\" 'hunter22')",
                "ALTER USER MAPPING FOR u SERVER s OPTIONS (SET \"password\" '…')",
            ),
            (
                "SELECT dblink_connect('host=h password=hunter22 dbname=d')",
                "SELECT dblink_connect('host=h password=… dbname=d')",
            ),
            (
                "SELECT dblink_connect('host=h password = ''hunter 22'' dbname=d')",
                "SELECT dblink_connect('host=h password = ''…'' dbname=d')",
            ),
            (
                "SELECT dblink($$host=h password=hunter22$$, 'SELECT 1')",
                "SELECT dblink($$host=h password=…$$, 'SELECT 1')",
            ),
            (
                "CREATE SUBSCRIPTION s CONNECTION 'postgres://u:hunt@er22@h/d' PUBLICATION p",
                "CREATE SUBSCRIPTION s CONNECTION 'postgres://u:…@h/d' PUBLICATION p",
            ),
            (
                "SELECT 'postgres://h/d?user=u&password=hunter22&a=b'",
                "SELECT 'postgres://h/d?user=u&password=…&a=b'",
            ),
            (
                "UPDATE users SET password = crypt('hunter22', gen_salt('bf')), name = 'a' WHERE id = 'b'",
                "UPDATE users SET password = crypt('…', gen_salt('…')), name = 'a' WHERE id = 'b'",
            ),
            (
                "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''hunter22'''; END $$",
                "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''…'''; END $$",
            ),
            (
                "DO $$ BEGIN CREATE ROLE x PASSWORD 'hunter22'; END $$",
                "DO $$ BEGIN CREATE ROLE x PASSWORD '…'; END $$",
            ),
            (
                "EXECUTE format('CREATE ROLE %I PASSWORD %L', 'x', 'hunter22'); SELECT 'a'",
                "EXECUTE format('CREATE ROLE %I PASSWORD %L', '…', '…'); SELECT 'a'",
            ),
            (
                "EXECUTE 'ALTER ROLE x PASSWORD ' || quote_literal('hunter22')",
                "EXECUTE 'ALTER ROLE x PASSWORD ' || quote_literal('…')",
            ),
            (
                "SELECT '{\"api_token\": \"hunter22\", \"a\": \"b\"}'",
                "SELECT '{\"api_token\": \"…\", \"a\": \"b\"}'",
            ),
            (
                "-- ALTER ROLE x PASSWORD 'hunter22'\nSELECT 1 /* postgres://u:hunter22@h */",
                "-- ALTER ROLE x PASSWORD '…'\nSELECT 1 /* postgres://u:…@h */",
            ),
            (
                "DECLARE v_password text := 'hunter22'; v_secret := 'hunter22';",
                "DECLARE v_password text := '…'; v_secret := '…';",
            ),
            (
                "INSERT INTO users (username, password) VALUES ('a', 'hunter22'), ('b', E'hunter23')",
                "INSERT INTO users (username, password) VALUES ('a', '…'), ('b', E'…')",
            ),
            (
                "insert into auth.\"users\" as u (name, \"passwordHash\") select 'a', crypt('hunter22', 'x') from t where n = 'b'",
                "insert into auth.\"users\" as u (name, \"passwordHash\") select 'a', crypt('…', '…') from t where n = 'b'",
            ),
            (
                "INSERT INTO api_tokens(token) VALUES ('hunter22')",
                "INSERT INTO api_tokens(token) VALUES ('…')",
            ),
            (
                "SELECT set_config('app.secret_key', 'hunter22', false)",
                "SELECT set_config('app.secret_key', '…', false)",
            ),
            (
                "INSERT INTO configurations (key, value) VALUES ('smtp_host', 'h'), ('smtp_password', '\"hunter22\"')",
                "INSERT INTO configurations (key, value) VALUES ('smtp_host', 'h'), ('smtp_password', '…')",
            ),
            (
                "INSERT INTO settings VALUES (1, 'smtp.apiKey', 'hunter22') ON CONFLICT DO NOTHING",
                "INSERT INTO settings VALUES (1, 'smtp.apiKey', '…') ON CONFLICT DO NOTHING",
            ),
            (
                "UPDATE settings SET value = 'hunter22' WHERE key = 'smtp_password'",
                "UPDATE settings SET value = '…' WHERE key = 'smtp_password'",
            ),
            (
                "UPDATE users SET password_hash = crypt('hunter22', gen_salt('bf'))",
                "UPDATE users SET password_hash = crypt('…', gen_salt('…'))",
            ),
            ("SELECT vault.create_secret('hunter22', 'n')", "SELECT vault.create_secret('…', '…')"),
            ("SELECT pgp_sym_encrypt('data', 'hunter22')", "SELECT pgp_sym_encrypt('…', '…')"),
            (
                "SELECT jsonb_build_object('user', 'u', 'password', 'hunter22')",
                "SELECT jsonb_build_object('user', 'u', 'password', '…')",
            ),
            (
                "ALTER DATABASE d SET \"app.jwt_secret\" TO 'hunter22'",
                "ALTER DATABASE d SET \"app.jwt_secret\" TO '…'",
            ),
            (
                "ALTER TABLE t ADD COLUMN api_key varchar(30) NOT NULL DEFAULT 'hunter22', ADD name text DEFAULT 'x'",
                "ALTER TABLE t ADD COLUMN api_key varchar(30) NOT NULL DEFAULT '…', ADD name text DEFAULT 'x'",
            ),
            (
                "CREATE TABLE app.users (id int REFERENCES o ON DELETE CASCADE, name text, password text, UNIQUE (name));\nINSERT INTO users VALUES (1, 'a', 'hunter22'), (2, 'b', 'hunter23')",
                "CREATE TABLE app.users (id int REFERENCES o ON DELETE CASCADE, name text, password text, UNIQUE (name));\nINSERT INTO users VALUES (1, 'a', '…'), (2, 'b', '…')",
            ),
            (
                "CREATE TABLE IF NOT EXISTS users (id int, name text); ALTER TABLE ONLY users ADD COLUMN IF NOT EXISTS a int, ADD api_key text; DO $$ BEGIN INSERT INTO \"users\" SELECT 1, 'a', 2, 'hunter22' UNION ALL SELECT 2, 'b', 3, 'hunter23'; END $$",
                "CREATE TABLE IF NOT EXISTS users (id int, name text); ALTER TABLE ONLY users ADD COLUMN IF NOT EXISTS a int, ADD api_key text; DO $$ BEGIN INSERT INTO \"users\" SELECT 1, 'a', 2, '…' UNION ALL SELECT 2, 'b', 3, '…'; END $$",
            ),
            (
                "UPDATE users SET (username, password) = ('a', 'hunter22') WHERE id = 'b'",
                "UPDATE users SET (username, password) = ('a', '…') WHERE id = 'b'",
            ),
            (
                "UPDATE users SET x = 'c', (username, password) = ROW('a', 'hunter22')",
                "UPDATE users SET x = 'c', (username, password) = ROW('a', '…')",
            ),
            (
                "UPDATE users SET (username, password) = (SELECT 'a', 'hunter22' FROM t WHERE n = 'c')",
                "UPDATE users SET (username, password) = (SELECT 'a', '…' FROM t WHERE n = 'c')",
            ),
            (
                "MERGE INTO users u USING n ON u.id = n.id WHEN NOT MATCHED THEN INSERT (id, password) VALUES ('5', 'hunter22') WHEN MATCHED THEN UPDATE SET password = 'hunter22'",
                "MERGE INTO users u USING n ON u.id = n.id WHEN NOT MATCHED THEN INSERT (id, password) VALUES ('5', '…') WHEN MATCHED THEN UPDATE SET password = '…'",
            ),
            (
                "CREATE TABLE users (id int, password text); MERGE INTO users u USING n ON u.id = n.id WHEN NOT MATCHED THEN INSERT VALUES ('5', 'hunter22')",
                "CREATE TABLE users (id int, password text); MERGE INTO users u USING n ON u.id = n.id WHEN NOT MATCHED THEN INSERT VALUES ('5', '…')",
            ),
            (
                "WITH x(a, password) AS MATERIALIZED (VALUES ('b', 'hunter22')) INSERT INTO t (a, b) SELECT 'c', 'd' FROM x",
                "WITH x(a, password) AS MATERIALIZED (VALUES ('b', '…')) INSERT INTO t (a, b) SELECT 'c', 'd' FROM x",
            ),
            (
                "WITH x AS (VALUES ('b', 'hunter22')) INSERT INTO users (a, password) SELECT * FROM x",
                "WITH x AS (VALUES ('b', '…')) INSERT INTO users (a, password) SELECT * FROM x",
            ),
            (
                "INSERT INTO t SELECT * FROM (VALUES ('b', 'hunter22')) AS x(a, password)",
                "INSERT INTO t SELECT * FROM (VALUES ('b', '…')) AS x(a, password)",
            ),
            (
                "CREATE VIEW v (a, password) AS SELECT 'b', 'hunter22'",
                "CREATE VIEW v (a, password) AS SELECT 'b', '…'",
            ),
            (
                "INSERT INTO t SELECT 'a' AS name, 'hunter22'::text AS password",
                "INSERT INTO t SELECT 'a' AS name, '…'::text AS password",
            ),
            (
                "DO $$ DECLARE pw text := 'hunter22'; BEGIN END $$",
                "DO $$ DECLARE pw text := '…'; BEGIN END $$",
            ),
            (
                "COPY t FROM PROGRAM 'curl -s -u bob:hunter22 https://h/x'",
                "COPY t FROM PROGRAM 'curl -s -u bob:… https://h/x'",
            ),
            (
                "SELECT http('Authorization: Bearer hunter22'), http_header('Authorization', 'Bearer hunter22')",
                "SELECT http('Authorization: Bearer …'), http_header('Authorization', 'Bearer …')",
            ),
            (
                "DO $$ BEGIN INSERT INTO users (name, pwd) VALUES ('a', 'hunter22'); END $$",
                "DO $$ BEGIN INSERT INTO users (name, pwd) VALUES ('a', '…'); END $$",
            ),
        ] {
            assert_eq!(masked(sql), shown);
            assert_eq!(masked_same_length(sql).len(), sql.len());
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for sql in [
            "CREATE TABLE users (password text NOT NULL, name text DEFAULT 'x', hashed_at text DEFAULT 'y')",
            "COMMENT ON COLUMN users.password IS 'at least 12 characters'",
            "ALTER TABLE users ADD CHECK (kind IN ('password', 'token'))",
            "CREATE FUNCTION f() RETURNS text AS $$ SELECT name FROM u WHERE password = crypt($1, password) $$",
            "INSERT INTO labels VALUES ('Reset password', 'Forgot your password?')",
            "SET password_encryption = 'scram-sha-256'; CREATE ROLE x PASSWORD NULL; SELECT 'https://h:80/x'",
            "-- the password comes from the spec\nSELECT 'a' -- '",
            "EXECUTE 'SELECT 1 WHERE password = $1' USING 'x'",
            "INSERT INTO settings (key, value) VALUES ('smtp_host', 'h'), ('theme', 'dark')",
            "CREATE TABLE users (id int, name text, password text); INSERT INTO users VALUES (1, 'a', NULL)",
            "CREATE TABLE users (id int, password text); INSERT INTO labels VALUES (1, 'Reset'), (2, 'Bearer of news')",
            "UPDATE users SET (a, b) = ('c', 'd'); SELECT 'a' AS name -- see: basic\n, 'b'",
            "INSERT INTO t (a, password_changed_at) VALUES ('x', '2030-01-01')",
            "SELECT * FROM a WHERE key = 'x' AND primary_key = 'y'; CREATE INDEX i ON t USING hash (a)",
        ] {
            assert_eq!(masked(sql), sql);
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        for sql in [
            "'",
            "$",
            "$$",
            "$a$",
            "E'\\",
            "PASSWORD '",
            "--",
            "/*",
            "'://:",
            "password=",
            "\"",
            "U&'",
            "é'ü",
        ] {
            assert_eq!(masked_same_length(sql).len(), sql.len(), "{sql}");
        }
        let deep = "$a$".repeat(5000) + &"'".repeat(5000) + &"(".repeat(50_000);
        assert!(masked(&deep).len() <= deep.len());
    }

    #[test]
    fn what_a_database_says_loses_the_secrets_of_the_statement() {
        let sql = "CREATE ROLE x PASSWORD 'hunter22'; ALTER ROLE y PASSWORD 'ab'";
        assert_eq!(
            without_secrets("at or near \"hunter22\", 'ab' in table", sql),
            "at or near \"…\", '…' in table"
        );
    }
}
