//! A16 and A17: application accounts, their roles and their passwords.

use argon2::PasswordVerifier as _;

use crate::stacks::{Database, on_each_database, step, steps, texts};
use crate::world::World;

const FIRST: &str = "correct horse battery staple";
const SECOND: &str = "another-Passwörd-of-mine";

/// Creates a stack with one account.
fn spec(account: &str) -> String {
    format!(
        "version: 1\nstack: shop\nenvironment: dev\n\
         system:\n  url: ${{DATABASE_URL}}\n  create_database: true\n  migrations: migrations\n  users:\n    {account}\n"
    )
}

const ADMIN: &str = "admin: { email: admin@example.com, role: admin, password: \"${ADMIN_PASSWORD}\" }";

fn hash(database: &Database, username: &str) -> String {
    database.sql(&format!("SELECT password_hash FROM users WHERE username = '{username}'"))
}

/// Whether a password matches a hash of any kind.
fn is_password(password: &str, hash: &str) -> bool {
    match argon2::PasswordHash::new(hash) {
        Ok(parsed) if hash.starts_with("$argon2") => {
            argon2::Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok()
        }
        _ => bcrypt::verify(password, hash).unwrap(),
    }
}

#[test]
fn a16_an_absent_admin_becomes_one_row_with_an_argon2id_hash() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(ADMIN));

        let applied = world.apply();

        applied.exits(0).never_says(FIRST).never_says("cannot be compared");
        let condition = "is_active AND email = 'admin@example.com' AND role = 'admin'";
        assert_eq!(database.sql(&format!("SELECT username FROM users WHERE {condition}")), "admin");
        assert_eq!(database.sql("SELECT count(*), min(length(CAST(id AS text))) FROM users"), "1|36");
        let hash = hash(database, "admin");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_password(FIRST, &hash) && !is_password(SECOND, &hash));
        world.plan().exits(0).says("cannot be compared");
    });
}

#[test]
fn a16_bcrypt_has_cost_12() {
    on_each_database(|world, database| {
        let account = ADMIN.replace("role: admin,", "role: admin, hash: bcrypt,");
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(&account));

        world.apply().exits(0);

        let hash = hash(database, "admin");
        assert!(hash.starts_with("$2b$12$") && is_password(FIRST, &hash), "{hash}");
        world.plan().exits(0);
    });
}

#[test]
fn a16_role_and_activity_are_restored_and_the_password_is_untouched() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(ADMIN)).apply().exits(0);
        let before = hash(database, "admin");
        database.sql("UPDATE users SET role = 'viewer', is_active = false");
        world.env("ADMIN_PASSWORD", SECOND);

        let plan = world.plan_json();
        let applied = world.apply();

        assert_eq!(steps(&plan), ["update system.user.admin"]);
        let change = step(&plan, "system.user.admin");
        assert_eq!(change["risk"], "safe");
        assert!(
            change["reason"].as_str().unwrap().contains("role")
                && change["reason"].as_str().unwrap().contains("is_active")
        );
        assert!(!plan.to_string().contains("viewer"), "values of rows that are there are not shown");
        applied.exits(0);
        assert_eq!(database.sql("SELECT role FROM users WHERE is_active"), "admin");
        assert_eq!(hash(database, "admin"), before);
        world.plan().exits(0);
    });
}

#[test]
fn a16_an_admin_that_the_application_made_keeps_its_password() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec("{}")).apply().exits(0);
        database.sql(
            "INSERT INTO users (id, username, email, password_hash, role) VALUES \
             ('00000000-0000-4000-8000-000000000001', 'admin', 'old@example.com', 'a hash of theirs', 'viewer')",
        );

        let plan = world.spec(&spec(ADMIN)).plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update system.user.admin"]);
        assert_eq!(
            database.sql("SELECT username, email, password_hash, role FROM users"),
            "admin|admin@example.com|a hash of theirs|admin"
        );
        world.plan().exits(0);
    });
}

#[test]
fn a16_a_raised_password_version_sets_the_password_once() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(ADMIN)).apply().exits(0);
        let first = hash(database, "admin");
        let raised = ADMIN.replace("role: admin,", "role: admin, password_version: 2,");
        world.env("ADMIN_PASSWORD", SECOND).spec(&spec(&raised));

        let plan = world.plan_json();
        world.apply().exits(0).never_says(SECOND);

        assert_eq!(steps(&plan), ["update system.user.admin"]);
        let second = hash(database, "admin");
        assert!(first != second && is_password(SECOND, &second) && !is_password(FIRST, &second));
        world.plan().exits(0);
        // Only once: changing the variable alone has no effect.
        world.env("ADMIN_PASSWORD", FIRST).plan().exits(0);
        world.apply().exits(0);
        assert_eq!(hash(database, "admin"), second);
    });
}

#[test]
fn a16_the_first_password_version_of_an_account_sets_the_password() {
    on_each_database(|world, database| {
        let theirs = "INSERT INTO users (id, username, email, password_hash, role) VALUES \
                      ('00000000-0000-4000-8000-000000000001', 'old', 'old@example.com', 'theirs', 'viewer')";
        let both = |version: &str| {
            let user = |name: &str| {
                format!(
                    "{name}: {{ email: {name}@example.com, role: viewer, password: \"${{ADMIN_PASSWORD}}\"{version} }}"
                )
            };
            spec(&format!("{{ {}, {} }}", user("new"), user("old")))
        };
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec("{}")).apply().exits(0);
        database.sql(theirs);
        world.spec(&both("")).apply().exits(0);

        world.env("ADMIN_PASSWORD", SECOND);
        let unchanged = world.plan();
        let plan = world.spec(&both(", password_version: 1")).plan_json();
        world.apply().exits(0);

        unchanged.exits(0).says("cannot be compared").says("system.user.new, system.user.old");
        assert_eq!(steps(&plan), ["update system.user.new", "update system.user.old"]);
        assert!(is_password(SECOND, &hash(database, "new")) && is_password(SECOND, &hash(database, "old")));
        world.plan().exits(0);
    });
}

#[test]
fn a16_a_password_of_the_wrong_length_is_an_error_before_anything_is_done() {
    let world = World::new();
    let path = world.path("system.db");
    world.env("DATABASE_URL", format!("sqlite://{}", path.display())).copy("migrations");
    let bcrypt = "admin: { email: admin@example.com, password: \"${ADMIN_PASSWORD}\", hash: bcrypt }";
    // The minimum is 12 characters, and bcrypt reads 72 bytes: the last password has 73 bytes in 37
    // characters.
    let cases = [
        (ADMIN, "elevenchars".to_owned()),
        (bcrypt, "elevenchars".to_owned()),
        (bcrypt, format!("{}!", "ü".repeat(36))),
    ];
    for (account, password) in &cases {
        world.env("ADMIN_PASSWORD", password).spec(&spec(account));

        for arguments in [["validate"].as_slice(), &["plan"], &["apply", "--auto-approve"]] {
            world.trueup(arguments).exits(1).warns("stack.yaml").never_says(password);
        }
    }
    assert!(!path.exists());
    // argon2id has no such limit, and exactly 72 bytes are accepted.
    world.env("ADMIN_PASSWORD", "ü".repeat(200)).spec(&spec(ADMIN)).apply().exits(0);
    let other = bcrypt.replace("admin:", "other:").replace("admin@", "other@");
    world.env("ADMIN_PASSWORD", "ü".repeat(36)).spec(&spec(&other)).apply().exits(0);
    assert!(is_password(&"ü".repeat(36), &hash(&Database::Sqlite(path), "other")));
}

#[test]
fn a16_a_plan_needs_no_password_and_an_apply_does() {
    on_each_database(|world, database| {
        world.copy("migrations").spec(&spec(ADMIN));

        let planned = world.plan();
        let applied = world.apply();

        planned.exits(2).warns("ADMIN_PASSWORD");
        applied.exits(1).warns("ADMIN_PASSWORD");
        world.env("ADMIN_PASSWORD", FIRST).apply().exits(0);
        world.without_env("ADMIN_PASSWORD").plan().exits(0);
        assert_eq!(database.sql("SELECT count(*) FROM users"), "1");
    });
}

#[test]
fn a17_another_username_is_another_account_and_the_old_one_is_unmanaged() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(ADMIN)).apply().exits(0);
        let renamed = ADMIN.replace("admin: {", "boss: {").replace("admin@", "boss@");

        let plan = world.spec(&spec(&renamed)).plan_json();
        let planned = world.plan();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["create system.user.boss"]);
        assert_eq!(texts(&plan["unmanaged"]), ["system.user.admin"]);
        planned.exits(2).says("system.user.admin");
        assert_eq!(database.sql("SELECT username FROM users WHERE is_active ORDER BY 1"), "admin\nboss");
        world.plan().exits(0).says("system.user.admin");
        // After deleting it manually, it is no longer reported.
        database.sql("DELETE FROM users WHERE username = 'admin'");
        world.plan().exits(0).never_says("system.user.admin");
    });
}

#[test]
fn a16_accounts_may_lie_in_another_table_under_other_names() {
    on_each_database(|world, database| {
        let id = match database {
            Database::Postgres(_) => "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            Database::Sqlite(_) => "id INTEGER PRIMARY KEY",
        };
        let table = format!(
            "CREATE TABLE people ({id}, login text NOT NULL UNIQUE, mail text, secret text NOT NULL, enabled boolean, team text);\n"
        );
        world.file("migrations/0001_people.sql", table).env("ADMIN_PASSWORD", FIRST);
        let accounts = "  accounts:\n    table: people\n    columns: { username: login, email: mail, password: secret, role: false, active: enabled }\n";
        let account =
            "admin: { email: admin@example.com, password: \"${ADMIN_PASSWORD}\", columns: { team: ops } }";
        world.spec(&spec(account).replace("  users:", &format!("{accounts}  users:")));

        world.apply().exits(0);

        assert_eq!(
            database.sql("SELECT id, login, mail, team FROM people WHERE enabled"),
            "1|admin|admin@example.com|ops"
        );
        assert!(is_password(FIRST, &database.sql("SELECT secret FROM people")));
        world.plan().exits(0);
        database.sql("UPDATE people SET team = NULL");
        assert_eq!(steps(&world.plan_json()), ["update system.user.admin"]);
        world.apply().exits(0);
        assert_eq!(database.sql("SELECT team FROM people"), "ops");
    });
}

#[test]
fn a17_accounts_that_leave_with_their_block_stay_and_are_unmanaged() {
    on_each_database(|world, database| {
        world.copy("migrations").env("ADMIN_PASSWORD", FIRST).spec(&spec(ADMIN)).apply().exits(0);
        let without = spec("{}").replace("  users:\n    {}\n", "");

        let plan = world.spec(&without).plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), [""; 0]);
        assert_eq!(texts(&plan["unmanaged"]), ["system.user.admin"]);
        assert_eq!(database.sql("SELECT count(*) FROM users"), "1");
    });
}

#[test]
fn an_active_account_is_a_number_where_its_column_is_one() {
    on_each_database(|world, database| {
        let types: &[&str] = match database {
            Database::Postgres(_) => &["integer", "smallint", "numeric(1)", "boolean"],
            Database::Sqlite(_) => {
                &["INTEGER", "INT", "TINYINT(1)", "SMALLINT", "NUMERIC", "BOOLEAN", "INTEGER) STRICT --"]
            }
        };
        for (at, data_type) in types.iter().enumerate() {
            let table = format!(
                "CREATE TABLE people_{at} (username text PRIMARY KEY, email text, password_hash text NOT NULL, \
                 is_active {data_type}\n);\n"
            );
            let table = if data_type.ends_with("--") { table.replace("\n)", "\n") } else { table };
            world.file(&format!("migrations/000{}_people.sql", at + 1), table).env("ADMIN_PASSWORD", FIRST);
            let accounts = format!("  accounts: {{ table: people_{at}, columns: {{ role: false }} }}\n");
            let users = "{ on: { email: a@b.c, password: \"${ADMIN_PASSWORD}\" }, \
                         off: { email: d@b.c, active: false, password: \"${ADMIN_PASSWORD}\" } }";
            world.spec(&spec(users).replace("  users:", &format!("{accounts}  users:")));

            world.apply().exits(0);

            let stored = format!("SELECT username, CAST(is_active AS integer) FROM people_{at} ORDER BY 1");
            assert_eq!(database.sql(&stored), "off|0\non|1", "{data_type}");
            if let Database::Sqlite(_) = database {
                let types = format!("SELECT DISTINCT typeof(is_active) FROM people_{at}");
                assert_eq!(database.sql(&types), "integer", "{data_type}");
                // What an earlier release wrote is mended.
                if !data_type.ends_with("--") {
                    database.sql(&format!("UPDATE people_{at} SET is_active = 'true' WHERE is_active"));
                    world.plan().exits(if *data_type == "BOOLEAN" { 0 } else { 2 });
                    world.apply().exits(0);
                }
            }
            world.plan().exits(0);
        }
    });
}

#[test]
fn what_a_table_cannot_hold_of_an_account_is_an_error_of_the_plan_with_its_line() {
    on_each_database(|world, database| {
        let (active, column) = match database {
            Database::Postgres(_) => ("date", "is_active (date) takes no truth value"),
            Database::Sqlite(_) => ("", "is_active (without a type) takes no truth value"),
        };
        let strict = if let Database::Sqlite(_) = database { " STRICT" } else { "" };
        let columns =
            "(username text PRIMARY KEY, email text, password_hash text NOT NULL, age integer, is_active";
        world.file(
            "migrations/0001_people.sql",
            format!(
                "CREATE TABLE people {columns} {active});\nCREATE TABLE others {columns} integer){strict};\n"
            ),
        );
        world.env("ADMIN_PASSWORD", FIRST).spec(&spec("{}")).apply().exits(0);
        let in_table = |table: &str, column: &str| {
            let accounts = format!("  accounts: {{ table: {table}, columns: {{ role: false }} }}\n");
            let account = format!("on: {{ email: a@b.c, password: \"${{ADMIN_PASSWORD}}\"{column} }}");
            spec(&account).replace("  users:", &format!("{accounts}  users:"))
        };

        let truth = world.spec(&in_table("people", "")).plan();
        let number = world.spec(&in_table("others", ", columns: { age: old }")).plan();

        truth.exits(1).warns("system.user.on").warns(column).warns("stack.yaml:10");
        number.exits(1).warns("\"old\" is no value of column age").warns("stack.yaml:10");
    });
}

#[test]
fn a_role_that_a_pending_migration_may_allow_is_planned_as_unvalidated() {
    let database = Database::Postgres(crate::servers::Postgres::start());
    let world = crate::world::World::new();
    world.env("DATABASE_URL", database.url()).env("ADMIN_PASSWORD", FIRST);
    world.file(
        "migrations/0001_users.sql",
        "CREATE TYPE roles AS ENUM ('viewer');\nCREATE TABLE users (username text PRIMARY KEY, email text, \
         password_hash text NOT NULL, role roles, is_active boolean);\n",
    );
    world.spec(&spec("{}")).apply().exits(0);

    world.spec(&spec(ADMIN)).plan().exits(1).warns("\"admin\" is no value of column role");
    world.file("migrations/0002_roles.sql", "ALTER TYPE roles ADD VALUE 'admin';\n");
    let plan = world.plan_json();

    assert_eq!(step(&plan, "system.user.admin")["risk"], "unvalidated");
    world.apply().exits(0);
    assert_eq!(database.sql("SELECT username, role FROM users"), "admin|admin");
}

/// Tables whose usernames are compared without regard to case, by the database that has them.
const WITHOUT_CASE: [(&str, &str); 5] = [
    ("sqlite", "CREATE TABLE users (username TEXT NOT NULL UNIQUE COLLATE NOCASE, REST);"),
    (
        "sqlite",
        "CREATE TABLE users (username TEXT NOT NULL, REST);\nCREATE UNIQUE INDEX u ON users (lower(username));",
    ),
    ("postgres", "CREATE EXTENSION citext;\nCREATE TABLE users (username citext UNIQUE, REST);"),
    (
        "postgres",
        "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);\n\
         CREATE TABLE users (username text COLLATE ci UNIQUE, REST);",
    ),
    (
        "postgres",
        "CREATE TABLE users (username text, REST);\nCREATE UNIQUE INDEX u ON users (lower(username));",
    ),
];

/// Runs a scenario for each of the tables; the last argument says whether only an index makes names equal.
fn on_each_without_case(scenario: impl Fn(&World, &Database, bool)) {
    for (kind, table) in WITHOUT_CASE {
        let world = World::new();
        let database = match kind {
            "sqlite" => Database::Sqlite(world.path("one.db")),
            _ => Database::Postgres(crate::servers::Postgres::start()),
        };
        println!("{kind}: {table}");
        world.env("DATABASE_URL", database.url()).env("ADMIN_PASSWORD", FIRST);
        let rest = "email text, password_hash text NOT NULL, role text, is_active boolean";
        world.file("migrations/0001_users.sql", table.replace("REST", rest));
        scenario(&world, &database, table.contains("lower("));
    }
}

fn user(name: &str, email: &str) -> String {
    format!("{name}: {{ email: {email}, role: admin, password: \"${{ADMIN_PASSWORD}}\" }}")
}

#[test]
fn two_accounts_that_are_one_row_are_an_error_that_names_both_places() {
    on_each_without_case(|world, database, _| {
        world.spec(&spec(&format!("{}\n    {}", user("admin", "a@b.c"), user("Admin", "x@b.c"))));

        // The table is made in the same run: the plan cannot tell yet.
        let applied = world.apply();
        let planned = world.plan();

        let message = "the accounts \"Admin\" (stack.yaml:10) and \"admin\" (stack.yaml:9) are one row";
        applied.exits(6).never_says("still differs").warns(message);
        assert_eq!(database.sql("SELECT count(*) FROM users"), "0");
        planned.exits(1).warns(message).warns("username");
    });
}

#[test]
fn an_account_that_is_stored_in_another_case_is_not_created() {
    on_each_without_case(|world, database, is_of_index| {
        world.spec(&spec("{}")).apply().exits(0);
        database.sql(
            "INSERT INTO users (username, email, password_hash, role, is_active) \
             VALUES ('Admin', 'a@b.c', 'a hash of theirs', 'viewer', true)",
        );
        world.spec(&spec(&user("admin", "a@b.c")));

        if is_of_index {
            let message = "users has this account under another spelling of \"admin\": the unique index u";
            world.plan().exits(1).warns(message).warns("stack.yaml:9");
            world.spec(&spec(&user("Admin", "a@b.c")));
        }
        let planned = world.plan_json();
        world.apply().exits(0);

        let name = if is_of_index { "Admin" } else { "admin" };
        assert_eq!(steps(&planned), [format!("update system.user.{name}")]);
        assert_eq!(
            database.sql("SELECT username, password_hash, role FROM users"),
            "Admin|a hash of theirs|admin"
        );
        world.plan().exits(0);
    });
}

#[test]
fn many_new_accounts_are_compared_with_one_query() {
    let database = Database::Postgres(crate::servers::Postgres::start());
    let world = World::new();
    world.env("DATABASE_URL", database.url()).env("ADMIN_PASSWORD", FIRST);
    world.file(
        "migrations/0001_users.sql",
        "CREATE TABLE users (username text PRIMARY KEY, email text, password_hash text NOT NULL, role text, \
         is_active boolean);\nCREATE SEQUENCE folded;\n\
         CREATE FUNCTION fold(name text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM nextval('folded'); RETURN lower(name); END $$;\n\
         CREATE UNIQUE INDEX u ON users (fold(username));\n",
    );
    let users: Vec<String> =
        (0..6).map(|at| user(&format!("u{at}"), "a@b.c").replace("role:", "hash: bcrypt, role:")).collect();
    world.spec(&spec(&users.join("\n    ")));

    world.apply().exits(0);

    // Before the first account is written, and after the last one; each insert computes the key once.
    let calls: u32 = database.sql("SELECT last_value FROM folded").parse().unwrap();
    assert!((6..=6 * 5).contains(&calls), "{calls}");
}
