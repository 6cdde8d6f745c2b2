//! A20: roles while migrations are pending, and when one of them fails.

use super::Server;

#[test]
fn a20_a_later_migration_leaves_the_plan_empty() {
    let server = Server::start();
    server.spec(
        r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [select, insert] } }
READER: { login: true, password: "${PASSWORD_2}", grants: { "*": [select], "report_*": [insert], users: [] } }"#,
    );
    server.converge();

    server.migration(
        "0002_more",
        "CREATE TABLE more (id serial PRIMARY KEY); CREATE TABLE report_a (id serial)",
    );

    // The default privileges of `*` replace a step that the globs of the other role need.
    assert_eq!(server.planned("APP"), None);
    assert_eq!(
        server.planned("READER").unwrap(),
        "update (migrations are pending): privileges on what the migrations leave"
    );
    server.converge();
    server.may(
        "APP",
        "INSERT INTO more DEFAULT VALUES; INSERT INTO report_a DEFAULT VALUES; SELECT * FROM more",
    );
    server.may("READER", "INSERT INTO report_a DEFAULT VALUES; SELECT * FROM more");
    server.may_not("READER", "INSERT INTO more DEFAULT VALUES");

    // A new schema has no default privileges yet, and a grant in the migration is one too many.
    server.migration("0003_schema", "CREATE SCHEMA s; CREATE TABLE s.t (a int); CREATE TABLE s.u (a serial)");
    server.migration(
        "0004_grant",
        "GRANT DELETE ON more TO APP; CREATE TABLE parts_2 PARTITION OF parts DEFAULT",
    );
    server.converge();
    server.may("APP", "INSERT INTO s.t VALUES (1); INSERT INTO s.u DEFAULT VALUES");
    server.may_not("APP", "DELETE FROM more");

    // The opposite case: a spec with only roles, and a role that exists before the first migration.
    let empty = Server::start();
    empty.sql(
        "CREATE ROLE APP LOGIN; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO APP",
    );
    empty.spec(r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [select] } }"#);
    empty.converge();
    empty.may_not("APP", "SELECT * FROM _sqlx_migrations");
}

#[test]
fn a20_what_a_glob_takes_away_is_not_open_until_the_next_apply() {
    let server = Server::start();
    server.spec(
        r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [insert], "app_*": [select] } }
READER: { login: true, password: "${PASSWORD_2}", grants: { "*": [select], "secret_*": [] } }"#,
    );
    server.converge();

    server.migration("0002_keys", "CREATE TABLE secret_keys (key text); CREATE TABLE plain (a int)");
    server.migration("0003_fails", "SELECT 1/0");
    server.apply().exits(6);
    server.sql("CREATE TABLE secret_by_hand (a int)");

    server.may_not("READER", "SELECT * FROM secret_keys");
    server.may_not("READER", "SELECT * FROM secret_by_hand");
    // Where no privilege is revoked, no step waits for the failed migration.
    server.may("APP", "INSERT INTO plain VALUES (1)");

    server.migration("0003_fails", "SELECT 1");
    server.converge();
    server.may_not("READER", "SELECT * FROM secret_keys");
    server.may("READER", "SELECT * FROM plain");
}

#[test]
fn a20_default_privileges_that_are_too_wide_are_gone_before_the_migrations() {
    let server = Server::start();
    let reader = |globs: &str| {
        format!("READER: {{ login: true, password: \"${{PASSWORD_2}}\", grants: {{ {globs} }} }}")
    };
    server.spec(&reader("'*': [select]"));
    server.converge();

    server.spec(&reader("'*': [select], 'secret_*': [], later: [select]"));
    server.migration("0002_keys", "CREATE TABLE secret_keys (key text)");
    server.migration("0003_fails", "SELECT 1/0; CREATE TABLE later (a int)");
    server
        .world
        .plan()
        .exits(2)
        .says(&server.named("system.defaults.READER"))
        .says("future tables in public");
    server.world.trueup(&["plan", "--out", "saved.plan"]).exits(0);
    server.world.trueup(&["apply", "saved.plan"]).exits(6);

    server.may_not("READER", "SELECT * FROM secret_keys");

    server.migration("0003_fails", "CREATE TABLE later (a int)");
    server.converge();
    server.may_not("READER", "SELECT * FROM secret_keys");
    server.may("READER", "SELECT * FROM later");
}

#[test]
fn a20_code_that_is_not_looked_into_may_make_anything() {
    let server = Server::start();
    server.migration(
        "0002_makers",
        "CREATE FUNCTION make() RETURNS void LANGUAGE plpgsql AS \
         $$ BEGIN CREATE SCHEMA made; CREATE TABLE made.t (a int); END $$",
    );
    server.spec(r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*.*": [select] } }"#);
    server.converge();

    server.migration("0003_make", "SELECT make()");
    server
        .migration("0004_block", "DO $$BEGIN CREATE SCHEMA made_too; CREATE TABLE made_too.t (a int); END$$");
    server.converge();

    server.may("APP", "SELECT * FROM made.t, made_too.t");
}

#[test]
fn a20_a_role_that_is_there_before_the_database_is_planned_as_what_it_is() {
    let server = Server::start();
    let role = server.named("APP: { login: true, password: \"${PASSWORD_1}\", grants: { \"*\": [select] } }");
    server.world.spec(&format!(
        "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: ${{DATABASE_URL}}\n  create_database: true\n  \
         migrations: migrations\n  roles:\n    {role}\n"
    ));
    server.sql("CREATE ROLE APP LOGIN");
    let name = server.database.name();
    server.database.on_server(&format!("DROP DATABASE {name}"));

    server.world.trueup(&["plan", "--out", "plan.json"]).exits(0);
    let planned = server.planned("APP").unwrap();
    let applied = server.world.trueup(&["apply", "plan.json"]);

    assert!(planned.starts_with("update"), "{planned}");
    applied.exits(0).never_says("another run was at work");
    server.world.plan().exits(0);
}
