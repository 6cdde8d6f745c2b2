//! A20: privileges of a role beyond the spec.

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

    // Privileges on the root table are allowed, unless a glob revokes them from the partition
    // itself.
    server
        .sql("GRANT SELECT ON secret_1, apart.secret_1_1 TO READER, APP; GRANT SELECT ON parts_1 TO READER");
    server.converge();
    for table in ["apart.secret_1_1", "parts_1"] {
        server.may_not("READER", &format!("SELECT * FROM {table}"));
    }
    server.may_not("APP", "SELECT * FROM apart.secret_1_1");
}

#[test]
fn a20_what_is_held_on_the_database_and_on_future_schemas_is_revoked() {
    let server = Server::start();
    server.spec(ROLES);
    server.converge();
    let database = server.database.name();
    server.sql(&format!(
        "GRANT CREATE, TEMPORARY ON DATABASE {database} TO READER;
         GRANT CONNECT ON DATABASE {database} TO APP WITH GRANT OPTION;
         ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO READER"
    ));

    assert_eq!(
        server.planned("READER").unwrap(),
        format!(
            "update (privileges differ): revokes CREATE on database {database}; \
             revokes CREATE, USAGE on future schemas in this database"
        )
    );
    assert_eq!(
        server.planned("APP").unwrap(),
        format!("update (privileges differ): no longer passes on CONNECT on database {database}")
    );
    server.converge();

    server.may_not("READER", "CREATE SCHEMA mine");
    server.may("READER", "CREATE TEMPORARY TABLE mine (a int)");
    server.sql("CREATE SCHEMA later");
    server.may_not("READER", "CREATE TABLE later.mine (a int)");
}

#[test]
fn a20_a_role_whose_password_has_expired_may_log_in_again() {
    let server = Server::start();
    server.spec(ROLES);
    server.converge();
    server.sql(
        "ALTER ROLE APP VALID UNTIL '2020-01-02 03:04:05Z'; ALTER ROLE READER VALID UNTIL '2999-01-01Z'",
    );

    assert!(server.be("APP", super::APP, "SELECT 1").is_err());
    assert_eq!(server.planned("APP").unwrap(), "update (attributes differ): valid_until infinity");
    server.world.plan().exits(2).says("-valid_until: 2020-01-02T03:04:05");
    // An object that does not exist yet is not judged.
    assert_eq!(server.planned("READER"), None);
    server.converge();

    assert_eq!(server.be("APP", super::APP, "SELECT 1").unwrap(), "1");
}
