use super::*;

#[test]
fn secrets_are_masked_wherever_sql_takes_them() {
    for (sql, shown) in [
        (
            "CREATE ROLE x LOGIN PASSWORD 'hunter22' VALID UNTIL '2030-01-01'",
            "CREATE ROLE x LOGIN PASSWORD '…' VALID UNTIL '2030-01-01'",
        ),
        ("alter user x with encrypted password E'hunt\\'er22'", "alter user x with encrypted password E'…'"),
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
        ("INSERT INTO api_tokens(token) VALUES ('hunter22')", "INSERT INTO api_tokens(token) VALUES ('…')"),
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
        ("DO $$ DECLARE pw text := 'hunter22'; BEGIN END $$", "DO $$ DECLARE pw text := '…'; BEGIN END $$"),
        (
            "COPY t FROM PROGRAM 'curl -s -u bob:hunter22 https://h/x'",
            "COPY t FROM PROGRAM 'curl -s -u bob:… https://h/x'",
        ),
        (
            "SELECT http('Authorization: Bearer hunter22'), http_header('Authorization', 'Bearer hunter22')",
            "SELECT http('Authorization: Bearer …'), http_header('Authorization', 'Bearer …')",
        ),
        (
            "MERGE INTO users u USING (VALUES ('b', 'hunter22')) s (n, p) ON u.name = s.n WHEN NOT MATCHED THEN INSERT (name, password) VALUES (s.n, s.p)",
            "MERGE INTO users u USING (VALUES ('…', '…')) s (n, p) ON u.name = s.n WHEN NOT MATCHED THEN INSERT (name, password) VALUES (s.n, s.p)",
        ),
        (
            "PREPARE p AS INSERT INTO users (name, password) VALUES ($1, $2); EXECUTE p('bob', 'hunter22'); EXECUTE q('a')",
            "PREPARE p AS INSERT INTO users (name, password) VALUES ($1, $2); EXECUTE p('…', '…'); EXECUTE q('a')",
        ),
        (
            "PREPARE p(text) AS UPDATE users SET pin = $1; EXECUTE p ('hunter22')",
            "PREPARE p(text) AS UPDATE users SET pin = $1; EXECUTE p ('…')",
        ),
        (
            "INSERT INTO keys (access_key_id, api_key, otp_seed, salt, account_id) VALUES ('a1', 'b2', 'c3', 'd4', 'e')",
            "INSERT INTO keys (access_key_id, api_key, otp_seed, salt, account_id) VALUES ('…', '…', '…', '…', 'e')",
        ),
        (
            "ALTER SYSTEM SET ssl_passphrase_command = 'echo hunter22'",
            "ALTER SYSTEM SET ssl_passphrase_command = '…'",
        ),
        ("-- password: hunter22\nSELECT 1 /* token=hunter22 */", "-- password: …\nSELECT 1 /* token=… */"),
        ("COMMENT ON ROLE x IS 'its password is hunter22.'", "COMMENT ON ROLE x IS 'its password is ….'"),
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
    for sql in
        ["'", "$", "$$", "$a$", "E'\\", "PASSWORD '", "--", "/*", "'://:", "password=", "\"", "U&'", "é'ü"]
    {
        assert_eq!(masked_same_length(sql).len(), sql.len(), "{sql}");
    }
    let deep = "$a$".repeat(5000) + &"'".repeat(5000) + &"(".repeat(50_000);
    assert!(masked(&deep).len() <= deep.len());
}

#[test]
fn what_a_database_says_loses_the_secrets_of_the_statement() {
    let sql = "CREATE ROLE x PASSWORD 'hunter22'; ALTER ROLE y PASSWORD 'ab'";
    assert_eq!(
        FileTables::default().without_secrets("at or near \"hunter22\", 'ab' in table", sql),
        "at or near \"…\", '…' in table"
    );
}

#[test]
fn statements_in_texts_are_looked_into() {
    for (sql, shown) in [
        (
            "DO $$ BEGIN EXECUTE 'INSERT INTO users (name, password) VALUES (''a'', ''hunter22'')'; END $$",
            "DO $$ BEGIN EXECUTE 'INSERT INTO users (name, password) VALUES (''a'', ''…'')'; END $$",
        ),
        (
            "DO 'BEGIN EXECUTE ''ALTER ROLE x PASSWORD ''''hunter22''''''; END'",
            "DO 'BEGIN EXECUTE ''ALTER ROLE x PASSWORD ''''…''''''; END'",
        ),
        (
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS E'UPDATE users SET password = \\'hunter22\\''",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS E'UPDATE users SET password = \\'…\\''",
        ),
        (
            "DO $a$ BEGIN EXECUTE $b$ALTER ROLE x PASSWORD $c$hunter22$c$$b$; END $a$",
            "DO $a$ BEGIN EXECUTE $b$ALTER ROLE x PASSWORD $c$…$c$$b$; END $a$",
        ),
        (
            "EXECUTE $q$ALTER ROLE x PASSWORD $q$ || quote_literal('hunter22'); SELECT 'a'",
            "EXECUTE $q$ALTER ROLE x PASSWORD $q$ || quote_literal('…'); SELECT 'a'",
        ),
        (
            "v := format('INSERT INTO users (name, password) VALUES (%L, %L)', 'a', 'hunter22'); SELECT 'a'",
            "v := format('INSERT INTO users (name, password) VALUES (%L, %L)', '…', '…'); SELECT 'a'",
        ),
        (
            "EXECUTE 'UPDATE users SET password = $1 WHERE id = $2' USING 'hunter22', 1; SELECT 'a'",
            "EXECUTE 'UPDATE users SET password = $1 WHERE id = $2' USING '…', 1; SELECT 'a'",
        ),
        ("EXECUTE 'SELECT set_password($1)' USING 'hunter22'", "EXECUTE 'SELECT set_password($1)' USING '…'"),
        (
            "EXECUTE 'INSERT INTO users (password) VALUES (''hunt' || 'er22'')'; SELECT 'a'",
            "EXECUTE 'INSERT INTO users (password) VALUES (''…' || '…'; SELECT 'a'",
        ),
    ] {
        assert_eq!(masked(sql), shown);
    }
}

#[test]
fn rows_behind_copy_are_masked_by_their_columns() {
    let rows = "COPY users (login, password) FROM stdin;\nO'Brien\thunter22\nb\thunter23\n\\.\n\
                COPY settings (key, value) FROM STDIN WITH (FORMAT csv);\nsmtp_password,hunter22\ntheme,dark\n\\.\n\
                COPY labels (id, name) FROM stdin;\n1\tReset\n\\.\nCREATE ROLE x PASSWORD 'hunter22';\n";
    assert_eq!(
        masked(rows),
        "COPY users (login, password) FROM stdin;\n…\t…\n…\t…\n\\.\n\
         COPY settings (key, value) FROM STDIN WITH (FORMAT csv);\n…,…\ntheme,dark\n\\.\n\
         COPY labels (id, name) FROM stdin;\n1\tReset\n\\.\nCREATE ROLE x PASSWORD '…';\n"
    );
    let open = "COPY labels (id) FROM stdin;\n1\nCREATE ROLE x PASSWORD 'hunter22';";
    assert!(!masked(open).contains("hunter"), "{}", masked(open));
    let same = FileTables::default().masked("COPY users FROM stdin;\na\thunter22\n\\.\nSELECT 'a'");
    assert_eq!(same, "COPY users FROM stdin;\n…\t…\n\\.\nSELECT 'a'");
}

#[test]
fn columns_of_earlier_files_tell_the_secrets_of_rows() {
    let files = FileTables::default();
    for text in [
        "CREATE TABLE users (id int, name text, password text);",
        "CREATE TABLE labels (id int, name text); ALTER TABLE labels ADD COLUMN more text, DROP CONSTRAINT a;",
        "CREATE TABLE moved (a int, b text, password text); ALTER TABLE moved DROP COLUMN a;",
        "CREATE TABLE copy (LIKE users); CREATE TABLE child (a text) INHERITS (users); CREATE TABLE other AS TABLE users;",
        "CREATE TABLE one.twice (a text, password text); CREATE TABLE two.twice (password text);",
    ] {
        files.add(text.into());
    }
    for (sql, shown) in [
        ("INSERT INTO users VALUES (1, 'a', 'hunter22')", "INSERT INTO users VALUES (1, 'a', '…')"),
        ("COPY app.users FROM stdin;\n1\ta\thunter22\n", "COPY app.users FROM stdin;\n…\t…\t…\n"),
        ("INSERT INTO labels VALUES (1, 'Reset', 'x')", "INSERT INTO labels VALUES (1, 'Reset', 'x')"),
        ("INSERT INTO moved VALUES ('a', 'hunter22')", "INSERT INTO moved VALUES ('…', '…')"),
        ("INSERT INTO copy VALUES (1, 'a')", "INSERT INTO copy VALUES (1, '…')"),
        ("INSERT INTO child SELECT 1, 'a'", "INSERT INTO child SELECT 1, '…'"),
        ("INSERT INTO twice VALUES ('a')", "INSERT INTO twice VALUES ('…')"),
        ("INSERT OR REPLACE INTO unknown VALUES ('a')", "INSERT OR REPLACE INTO unknown VALUES ('…')"),
        (
            "EXECUTE 'INSERT INTO users VALUES ($1)' USING 'a'",
            "EXECUTE 'INSERT INTO users VALUES ($1)' USING '…'",
        ),
        ("INSERT INTO unknown (name) VALUES ('a')", "INSERT INTO unknown (name) VALUES ('a')"),
        ("SELECT 'a' INTO x FROM t", "SELECT 'a' INTO x FROM t"),
    ] {
        assert_eq!(files.masked(sql), shown);
        assert_eq!(files.masked_same_length(sql).len(), sql.len());
    }
}

#[test]
fn a_default_is_masked_where_its_column_holds_a_secret() {
    for (column, sql, shown) in [
        ("password", "'hunter22'::text", "'…'::text"),
        ("api key", "'hunter22'", "'…'"),
        ("name", "'x'::text", "'x'::text"),
        ("token", "gen_random_uuid()", "gen_random_uuid()"),
        ("link", "'https://u:hunter22@h/'", "'https://u:…@h/'"),
        ("a\"b", "'x'", "'x'"),
    ] {
        assert_eq!(masked_value(column, sql), shown);
    }
}
