//! A20: a read-only account plans the same changes as the account of `system.url`.

use super::Server;

/// Grants read access to everything, including the bookkeeping.
fn account_that_reads(server: &Server) -> (String, String) {
    let account = format!("{}_looks", server.database.name());
    server.sql(&format!("CREATE ROLE {account} LOGIN PASSWORD 'for the reader'"));
    for schema in ["public", "trueup"] {
        server.sql(&format!(
            "GRANT USAGE ON SCHEMA {schema} TO {account}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {account}"
        ));
    }
    let url = server.database.url();
    let (_, host) = url.rsplit_once('@').unwrap();
    let url = format!("postgres://{account}:for%20the%20reader@{host}");
    (account, url)
}

#[test]
fn a20_an_account_that_may_only_read_sees_no_false_change_of_roles() {
    let server = Server::start();
    let owner = server.owner();
    let own_url = server.world.variables()["DATABASE_URL"].clone();
    server.spec(
        r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [select, insert] } }
READER: { login: true, grants: { "*": [select] } }"#,
    );
    server.converge();
    let (reads, its_url) = account_that_reads(&server);

    server.world.env("DATABASE_URL", &its_url);
    assert_eq!((server.planned("APP"), server.planned("READER")), (None, None));
    server.world.plan().exits(0);
    server.world.trueup(&["drift"]).exits(0).says("No drift.");

    // Its plan is the one that the owner applies.
    server.migration("0002_more", "CREATE TABLE more (id int)");
    server.world.trueup(&["plan", "--out", "plan.json"]).exits(0);
    server.world.env("DATABASE_URL", &own_url);
    server.world.trueup(&["apply", "plan.json"]).exits(0);
    server.world.plan().exits(0);

    // Both accounts see a default privilege that is missing.
    server.sql(&format!(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public REVOKE SELECT ON TABLES FROM READER"
    ));
    let by_owner = server.planned("READER");
    server.sql(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA trueup, public TO {reads}"));
    server.world.env("DATABASE_URL", &its_url);
    assert!(by_owner.is_some());
    assert_eq!(server.planned("READER"), by_owner);

    server.sql(&format!("DROP OWNED BY {reads}; DROP ROLE {reads}"));
    server.drop_owner(&owner);
}
