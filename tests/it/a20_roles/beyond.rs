//! A20: what a role holds beyond the spec.

use super::ROLES;
use super::Server;

#[test]
fn a20_what_is_granted_beyond_the_spec_is_revoked() {
    let server = Server::start();
    server.spec(ROLES);
    server.converge();
    server.sql(
        "GRANT DELETE, TRUNCATE ON orders TO READER; GRANT SELECT ON totals TO READER WITH GRANT OPTION;
         GRANT SELECT (password_hash) ON users TO READER; GRANT CREATE ON SCHEMA public TO READER;
         GRANT USAGE ON SEQUENCE orders_id_seq TO READER; CREATE ROLE GROUP; GRANT GROUP TO READER;
         ALTER DEFAULT PRIVILEGES IN SCHEMA audit GRANT ALL ON TABLES TO READER;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO READER;
         ALTER ROLE READER NOINHERIT CONNECTION LIMIT 8; REVOKE SELECT ON parts FROM READER;
         GRANT SELECT (line) ON audit.log TO APP",
    );

    let run = server.world.plan();

    run.exits(2).says("-orders: DELETE, SELECT, TRUNCATE").says("+orders: SELECT");
    run.says("-inherit: false").says("-connection_limit: 8").says("+parts: SELECT");
    assert!(server.planned("READER").unwrap().starts_with(
        "update (attributes differ; membership differs; privileges differ): inherit true; connection_limit 7; leaves GROUP"
    ));
    server.converge();
    for sql in ["DELETE FROM orders", "SELECT password_hash FROM users", "CREATE TABLE public.mine (a int)"] {
        server.may_not("READER", sql);
    }
    server.may("APP", "SELECT line FROM audit.log");
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'GROUP'"),
        "1",
        "no role is dropped"
    );
}

#[test]
fn a20_what_is_taken_from_a_table_cannot_be_had_through_its_partitions() {
    let server = Server::start();
    server.migration(
        "0002_secret",
        "CREATE SCHEMA apart; CREATE TABLE secret (a int, b serial) PARTITION BY LIST (a);
         CREATE TABLE secret_1 PARTITION OF secret FOR VALUES IN (1) PARTITION BY LIST (b);
         CREATE TABLE apart.secret_1_1 PARTITION OF secret_1 DEFAULT;
         CREATE TABLE apart.other (a int)",
    );
    server.spec(
        r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [select, insert], secret_1: [] } }
READER: { login: true, password: "${PASSWORD_2}", grants: { "*": [select, insert], secret: [], parts_1: [] } }"#,
    );

    server.converge();

    for table in ["secret", "secret_1", "apart.secret_1_1", "parts_1"] {
        server.may_not("READER", &format!("SELECT * FROM {table}"));
    }
    server.may_not("READER", "SELECT nextval('secret_b_seq')");
    server.may("READER", "SELECT * FROM parts, apart.other");
    server.may_not("APP", "SELECT * FROM apart.secret_1_1");
    server.may("APP", "SELECT * FROM secret");

    // What the root holds may be held, but for what a glob takes from the partition itself.
    server
        .sql("GRANT SELECT ON secret_1, apart.secret_1_1 TO READER, APP; GRANT SELECT ON parts_1 TO READER");
    server.converge();
    for table in ["apart.secret_1_1", "parts_1"] {
        server.may_not("READER", &format!("SELECT * FROM {table}"));
    }
    server.may_not("APP", "SELECT * FROM apart.secret_1_1");
}
