//! A20: roles have exactly the privileges of the spec, tested by logging in as them with SCRAM.
//! Roles belong to the server, so each test uses its own names.

mod beyond;
mod looking;
mod migrating;

use std::process::{Command, Output};

use crate::servers::Postgres;
use crate::world::{Run, World};

const APP: &str = "correct horse of the app";
const READER: &str = "another-Passwörd of a reader";

/// A database, and roles that are dropped with it.
struct Server {
    database: Postgres,
    world: World,
    roles: Vec<String>,
}

impl Server {
    /// Replaces `APP`, `READER` and `GROUP` in a spec or in SQL by the roles of this test.
    fn start() -> Self {
        let database = Postgres::start();
        let roles = ["app", "reader", "group"].map(|role| format!("{}_{role}", database.name())).to_vec();
        let server = Self { database, world: World::new(), roles };
        server.world.env("DATABASE_URL", server.database.url()).env("PASSWORD_1", APP);
        server.world.env("PASSWORD_2", READER);
        server.migration("0001_init", TABLES);
        // As the plan's note advises; the default since PostgreSQL 15.
        server.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        server
    }

    /// Creates an account that owns the database and is no superuser, and uses it for the stack.
    fn owner(&self) -> String {
        let account = format!("{}_owner", self.database.name());
        self.sql(&format!("CREATE ROLE {account} LOGIN CREATEROLE PASSWORD 'for the account'"));
        self.sql(&format!("ALTER DATABASE {} OWNER TO {account}", self.database.name()));
        self.sql(&format!("GRANT CREATE ON SCHEMA public TO {account}"));
        let url = self.database.url();
        let (_, host) = url.rsplit_once('@').unwrap();
        self.world.env("DATABASE_URL", format!("postgres://{account}:for%20the%20account@{host}"));
        account
    }

    fn drop_owner(&self, account: &str) {
        let [app, reader, _] = self.roles.as_slice() else { panic!("three roles") };
        self.sql(&format!("DROP OWNED BY {app}, {reader}"));
        self.sql(&format!("REASSIGN OWNED BY {account} TO postgres; DROP OWNED BY {account}"));
        self.sql(&format!("DROP ROLE {app}, {reader}, {account}"));
    }

    fn named(&self, text: &str) -> String {
        let [app, reader, group] = self.roles.as_slice() else { panic!("three roles") };
        text.replace("APP", app).replace("READER", reader).replace("GROUP", group)
    }

    fn migration(&self, stem: &str, sql: &str) {
        self.world.file(&format!("migrations/{stem}.sql"), self.named(sql));
    }

    /// Writes a stack with these lines under `roles:`.
    fn spec(&self, roles: &str) -> &Self {
        let lines: Vec<String> = roles.lines().map(|line| format!("    {}\n", self.named(line))).collect();
        let lines = lines.concat();
        self.world.spec(&format!(
            "version: 1\nstack: shop\nenvironment: dev\nsystem:\n  url: ${{DATABASE_URL}}\n  \
             migrations: migrations\n  roles:\n{lines}"
        ));
        self
    }

    fn sql(&self, sql: &str) -> String {
        self.database.psql(&self.named(sql))
    }

    fn apply(&self) -> Run {
        let applied = self.world.apply();
        applied.never_says(APP).never_says(READER);
        applied
    }

    /// Applies, and asserts that nothing is left to do.
    fn converge(&self) {
        self.apply().exits(0);
        self.world.plan().exits(0);
    }

    /// Returns the action, reason and summary of a role in the plan; `None` without a change.
    fn planned(&self, role: &str) -> Option<String> {
        let plan = self.world.plan_json();
        let address = format!("system.role.{}", self.named(role));
        let changes = plan["changes"].as_array().unwrap();
        let change = changes.iter().find(|change| change["address"] == address)?;
        let text = |key: &str| change[key].as_str().unwrap().to_owned();
        let said = format!("{} ({}): {}", text("action"), text("reason"), text("summary"));
        Some(
            self.roles
                .iter()
                .zip(["APP", "READER", "GROUP"])
                .fold(said, |said, (is, was)| said.replace(is, was)),
        )
    }

    /// Runs SQL as a role that logs in over TCP with its password.
    fn be(&self, role: &str, password: &str, sql: &str) -> Result<String, String> {
        let url = self.database.url();
        let (_, host) = url.rsplit_once('@').unwrap();
        let Output { status, stdout, stderr } = Command::new("psql")
            .arg(format!("postgres://{}@{host}", self.named(role)))
            .args(["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .env("PGPASSWORD", password)
            .output()
            .unwrap();
        if status.success() {
            Ok(String::from_utf8(stdout).unwrap().trim_end().to_owned())
        } else {
            Err(String::from_utf8(stderr).unwrap())
        }
    }

    #[track_caller]
    fn may(&self, role: &str, sql: &str) {
        let password = if role == "APP" { APP } else { READER };
        let done = self.be(role, password, sql);
        assert!(done.is_ok(), "{role} may not {sql}: {done:?}");
    }

    #[track_caller]
    fn may_not(&self, role: &str, sql: &str) {
        let password = if role == "APP" { APP } else { READER };
        let error = self.be(role, password, sql).expect_err(sql);
        assert!(error.contains("permission denied"), "{role}, {sql}: {error}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for role in &self.roles {
            self.sql(&format!(
                "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN \
                 DROP OWNED BY {role}; END IF; END $$; DROP ROLE IF EXISTS {role}"
            ));
        }
    }
}

const TABLES: &str = "CREATE TABLE orders (id serial PRIMARY KEY, amount int);
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, password_hash text);
CREATE VIEW totals AS SELECT sum(amount) AS total FROM orders;
CREATE TABLE parts (year int, amount int) PARTITION BY LIST (year);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE SCHEMA audit;
CREATE TABLE audit.log (id bigserial PRIMARY KEY, line text);
";

const ROLES: &str = r#"APP: { login: true, password: "${PASSWORD_1}", grants: { "*": [select, insert, update, delete] } }
READER: { login: true, password: "${PASSWORD_2}", connection_limit: 7, grants: { "*": [select], users: [], "audit.*": [] } }"#;

#[test]
fn a20_a_fresh_role_can_do_exactly_what_is_granted() {
    let server = Server::start();
    server.spec(ROLES);

    server.converge();

    for sql in [
        "INSERT INTO orders (amount) VALUES (1), (2)",
        "INSERT INTO users (password_hash) VALUES ('x')",
        "INSERT INTO audit.log (line) VALUES ('x')",
        "INSERT INTO parts VALUES (1, 2)",
        "UPDATE orders SET amount = 3 WHERE amount = 2",
        "DELETE FROM audit.log",
        "SELECT total FROM totals",
    ] {
        server.may("APP", sql);
    }
    for sql in [
        "TRUNCATE orders",
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE refers (a int REFERENCES orders)",
        "ALTER TABLE orders ADD b int; SELECT 1",
        "SELECT * FROM trueup.runs",
        "DELETE FROM _sqlx_migrations",
        "SELECT setval('orders_id_seq', 1)",
    ] {
        let error = server.be("APP", APP, sql).expect_err(sql);
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{sql}: {error}");
    }
    server.may("READER", "SELECT * FROM orders, totals, parts, parts_1");
    for sql in [
        "SELECT * FROM users",
        "SELECT * FROM audit.log",
        "INSERT INTO orders (amount) VALUES (1)",
        "UPDATE orders SET amount = 3",
        "SELECT nextval('orders_id_seq')",
    ] {
        server.may_not("READER", sql);
    }
    assert_eq!(server.sql("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'READER'"), "7");
}

#[test]
fn a20_the_server_is_sent_a_scram_verifier_and_asks_for_the_password() {
    let server = Server::start();
    server.spec(ROLES);

    server.converge();

    let stored = server.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'READER'");
    assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "{stored}");
    assert_eq!(server.be("READER", READER, "SELECT 1").unwrap(), "1");
    assert!(server.be("READER", APP, "SELECT 1").unwrap_err().contains("password authentication failed"));
}

#[test]
fn a20_a_password_is_compared_and_an_unset_one_is_no_change() {
    let server = Server::start();
    server.spec(ROLES);
    server.converge();

    server.world.env("PASSWORD_1", "a wholly new password");
    assert_eq!(server.planned("APP").unwrap(), "update (password differs): sets the password");
    server.world.apply().exits(0).never_says("a wholly new password");
    server.world.plan().exits(0);
    assert_eq!(server.be("APP", "a wholly new password", "SELECT 1").unwrap(), "1");
    assert!(server.be("APP", APP, "SELECT 1").is_err());

    server.world.without_env("PASSWORD_1");
    server.world.plan().exits(0).warns("${PASSWORD_1} is unset; `apply` will need it");
    server.world.apply().exits(1).warns("${PASSWORD_1} must be set");

    server.world.trueup(&["observe", "--out", "world.json"]).exits(0);
    let file = server.world.read("world.json");
    assert!(!file.contains("SCRAM-SHA-256$") && !file.contains(READER), "{file}");
    server.world.without_env("DATABASE_URL");
    server.world.trueup(&["plan", "--detailed-exitcode", "--world", "world.json"]).exits(0);
}

#[test]
fn a20_a_group_gives_its_members_what_it_holds() {
    let server = Server::start();
    server.spec(
        r#"APP: { login: true, password: "${PASSWORD_1}", member_of: [GROUP] }
GROUP: { grants: { orders: [select, insert] } }"#,
    );

    server.converge();

    server.may("APP", "INSERT INTO orders (amount) VALUES (1); SELECT * FROM orders");
    server.may_not("APP", "SELECT * FROM users");

    server.spec("GROUP: { grants: { orders: [select] } }");
    let plan = server.world.plan_json();
    let gone = format!("system.role.{}", server.named("APP"));
    assert_eq!(plan["unmanaged"], serde_json::json!([gone]));
    server.converge();
    server.may("APP", "SELECT * FROM orders");
    server.may_not("APP", "INSERT INTO orders (amount) VALUES (1)");
}

#[test]
fn a20_grants_of_two_runs_do_not_race() {
    let (one, two) = (Server::start(), Server::start());
    let many: Vec<String> = (0..8).map(|n| format!("{}_{n}", one.database.name())).collect();
    let lines = |login: bool, privileges: &str| {
        let line = |name: &String| format!("{name}: {{ login: {login}, grants: {{ '*': [{privileges}] }} }}");
        many.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    for (round, privileges) in ["select", "select, insert", "delete"].into_iter().enumerate() {
        for server in [&one, &two] {
            server.spec(&lines(round % 2 == 0, privileges));
        }

        let other = two.world.start(&["apply", "--auto-approve"]);
        one.world.apply().exits(0);
        other.ends().exits(0);
        one.world.plan().exits(0);
        two.world.plan().exits(0);
    }
    for server in [&one, &two] {
        server.sql(&format!("DROP OWNED BY {}", many.join(", ")));
    }
    one.sql(&format!("DROP ROLE {}", many.join(", ")));
}

#[test]
fn a20_an_account_that_is_no_superuser_makes_roles_and_rotates_by_version() {
    let server = Server::start();
    let account = server.owner();
    server.spec(&ROLES.replace("\"${PASSWORD_1}\"", "\"${PASSWORD_1}\", password_version: 1"));
    server.converge();
    server.may("APP", "INSERT INTO orders (amount) VALUES (1)");

    // The stored password cannot be read, so a different one is a change only if the version is
    // increased.
    server.world.env("PASSWORD_1", "a wholly new password");
    server.world.plan().exits(0).says("cannot be compared");
    server.spec(&ROLES.replace("\"${PASSWORD_1}\"", "\"${PASSWORD_1}\", password_version: 2"));
    assert_eq!(server.planned("APP").unwrap(), "update (password_version raised): sets the password");
    server.converge();
    assert_eq!(server.be("APP", "a wholly new password", "SELECT 1").unwrap(), "1");

    // Missing privileges of the account are an error with an explanation.
    server.sql("CREATE TABLE others (a int)");
    server.apply().exits(6).says("permission denied for table others").says("must own the tables");
    server.drop_owner(&account);
}

#[test]
fn a20_a_schema_that_anybody_uses_needs_no_grant_that_the_account_cannot_make() {
    let server = Server::start();
    let account = server.owner();
    // Before PostgreSQL 15 this is the default.
    server.sql("ALTER SCHEMA public OWNER TO postgres");
    server.spec(ROLES);

    server.converge();

    server.may("APP", "INSERT INTO orders (amount) VALUES (1)");
    server.may("READER", "SELECT * FROM orders");

    // Without it the grant is needed, and the plan shows it.
    server.sql("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    server.sql(&format!("GRANT USAGE ON SCHEMA public TO {account}"));
    server.apply().exits(6).says("may not do this: grants USAGE on schema public");
    server.drop_owner(&account);
}

#[test]
fn a20_a_role_that_fails_blocks_its_members_and_nobody_else() {
    let server = Server::start();
    server.sql("CREATE TABLE kept (a int)");
    let other = format!("{}_other", server.database.name());
    // A grant by another role cannot be revoked by the account that applies.
    server.sql(&format!(
        "CREATE ROLE {other}; CREATE ROLE APP; ALTER TABLE kept OWNER TO {other}; GRANT SELECT ON kept TO APP"
    ));
    let account = format!("{}_owner", server.database.name());
    server.sql(&format!("CREATE ROLE {account} LOGIN CREATEROLE PASSWORD 'for the account'"));
    server.sql(&format!("ALTER DATABASE {} OWNER TO {account}", server.database.name()));
    server.sql(&format!("GRANT CREATE ON SCHEMA public TO {account}"));
    let url = server.database.url();
    let (_, host) = url.rsplit_once('@').unwrap();
    server.world.env("DATABASE_URL", format!("postgres://{account}:for%20the%20account@{host}"));
    server.spec("APP: { grants: { users: [select] } }\nREADER: { member_of: [APP] }\nGROUP: { grants: { orders: [select] } }");

    let applied = server.apply();

    let address = |role: &str| format!("system.role.{}", server.named(role));
    applied.exits(6).says(&format!("needs {}", address("APP")));
    let left = server.world.plan_json();
    let left: Vec<&str> = left["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["address"].as_str().unwrap())
        .collect();
    assert!(
        left.contains(&address("APP").as_str()) && left.contains(&address("READER").as_str()),
        "{left:?}"
    );
    assert!(!left.contains(&address("GROUP").as_str()), "{left:?}");

    server.sql(&format!("DROP OWNED BY {other}, GROUP; REASSIGN OWNED BY {account} TO postgres"));
    server.sql(&format!("DROP OWNED BY {account}; DROP ROLE {other}, GROUP, {account}"));
}

#[test]
fn a20_grants_do_not_race_whatever_the_parallelism() {
    let server = Server::start();
    let many: Vec<String> = (0..24).map(|n| format!("{}_{n}", server.database.name())).collect();
    for privileges in ["select", "insert, delete"] {
        let line = |name: &String| format!("{name}: {{ login: true, grants: {{ '*': [{privileges}] }} }}");
        server.spec(&many.iter().map(line).collect::<Vec<_>>().join("\n"));

        server.world.trueup(&["apply", "--auto-approve", "--parallelism", "16"]).exits(0);

        server.world.plan().exits(0);
    }
    server.sql(&format!("DROP OWNED BY {0}; DROP ROLE {0}", many.join(", ")));
}

#[test]
fn a20_what_cannot_be_is_said_before_anything_is_done() {
    let server = Server::start();
    server.spec("APP: { login: true, grants: { '*': [select] } }");
    server.converge();
    server.sql("ALTER TABLE users OWNER TO APP; ALTER ROLE APP CREATEDB");

    server
        .world
        .plan()
        .exits(0)
        .says("owns a table and may do anything")
        .says("has CREATEDB, whatever is granted");

    server.spec("APP: { login: true, grants: { ordes: [select] }, member_of: [pg_read_all_stat] }");
    let run = server.world.plan();
    run.exits(1).warns("there is no table ordes to grant on").warns("did you mean `orders`?");
    run.warns("there is no role pg_read_all_stat to be a member of")
        .warns("did you mean `pg_read_all_stats`?");
}

#[test]
fn a20_a_privilege_that_the_server_does_not_know_is_said_before_anything_is_done() {
    let server = Server::start();
    server.spec(r#"APP: { login: true, password: "${PASSWORD_1}", grants: { orders: [select, maintain] } }"#);

    if server.database.major() >= 17 {
        server.converge();
        server.may("APP", "ANALYZE orders; REINDEX TABLE orders");
        return;
    }
    let run = server.apply();
    run.exits(1).warns("has no privilege MAINTAIN to grant").warns("it came with PostgreSQL 17");
    assert_eq!(server.sql("SELECT to_regclass('orders') IS NULL"), "t");
}
