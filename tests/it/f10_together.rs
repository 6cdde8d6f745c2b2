//! F10: a migration and a row, grant or user that depends on it are applied in one run.

use serde_json::Value;

use crate::servers::Postgres;
use crate::stacks::{Database, on_each_database, step};
use crate::world::World;

const SPEC: &str = "
version: 1
stack: shop
environment: dev
system:
  url: \"${DATABASE_URL}\"
  create_database: true
  migrations: migrations
  seeds:
    plans: { table: plans, key: [id], rows: plans.csv, mode: upsert }
";

fn on_postgres() -> (World, Database) {
    let (world, database) = (World::new(), Database::Postgres(Postgres::start()));
    world.env("DATABASE_URL", database.url());
    (world, database)
}

#[track_caller]
fn unvalidated<'p>(plan: &'p Value, address: &str) -> &'p str {
    let step = step(plan, address);
    assert_eq!(step["risk"], "unvalidated", "{step}");
    step["summary"].as_str().unwrap()
}

#[test]
fn f10_a_row_that_only_fits_after_a_pending_migration_is_unvalidated_and_written_after_it() {
    for (migration, file, misfit) in [
        ("ALTER TYPE plan_kind ADD VALUE 'team';", "id,kind,code,n\n1,free,F,1\n3,team,T,1\n", "\"team\""),
        (
            "ALTER TABLE plans ALTER COLUMN code TYPE varchar(10);",
            "id,kind,code,n\n1,free,FREEDOM,1\n3,pro,P,1\n",
            "\"FREEDOM\"",
        ),
        (
            "ALTER TABLE plans ALTER n TYPE integer;",
            "id,kind,code,n\n1,free,F,70000\n2,free,F,80000\n",
            "\"70000\"",
        ),
        (
            "ALTER TABLE plans ALTER id TYPE bigint;",
            "id,kind,code,n\n1,free,F,1\n9000000000,free,F,1\n",
            "\"9000000000\"",
        ),
        (
            "DO $$ BEGIN EXECUTE 'ALTER TABLE ' || 'pl' || 'ans ALTER code TYPE text'; END $$;",
            "id,kind,code,n\n1,free,FREEDOM,1\n",
            "\"FREEDOM\"",
        ),
    ] {
        let (world, database) = on_postgres();
        world.spec(SPEC).file("plans.csv", "id,kind,code,n\n1,free,F,1\n");
        world.file(
            "migrations/0001_init.sql",
            "CREATE TYPE plan_kind AS ENUM ('free', 'pro');\n\
             CREATE TABLE plans (id integer PRIMARY KEY, kind plan_kind NOT NULL, code varchar(4) NOT NULL, n smallint);\n",
        );
        world.apply().exits(0);

        world.file("plans.csv", file);
        world.trueup(&["plan"]).exits(1).warns(misfit);
        world.file("migrations/0002_other.sql", "CREATE TABLE other (id int);\n");
        world.trueup(&["plan"]).exits(1).warns(misfit);
        world.file("migrations/0002_other.sql", migration);

        let plan = world.plan_json();
        let summary = unvalidated(&plan, "system.seed.plans");
        assert!(summary.contains(misfit) && summary.contains("system.migration.0002_other"), "{summary}");
        world.trueup(&["plan", "--rehearse"]).exits(0).says("2 of 2 pending steps ran");
        world.trueup(&["plan", "--out", "p.json"]).exits(0);
        world.trueup(&["apply", "--auto-approve", "p.json"]).exits(0);
        let rows = file.trim_end().lines().skip(1).collect::<Vec<_>>().join("\n");
        assert_eq!(database.sql("SELECT concat_ws(',', id, kind, code, n) FROM plans ORDER BY id"), rows);
        world.plan().exits(0);
    }
}

#[test]
fn f10_a_row_that_does_not_fit_after_the_migration_either_fails_in_the_rehearsal_and_in_the_run() {
    let (world, database) = on_postgres();
    world.spec(SPEC).file("plans.csv", "id,code\n1,F\n");
    world.file("migrations/0001_init.sql", "CREATE TABLE plans (id integer PRIMARY KEY, code varchar(4));\n");
    world.apply().exits(0);

    world.file("plans.csv", "id,code\n1,FREEDOM\n");
    world.file("migrations/0002_wider.sql", "ALTER TABLE plans ALTER COLUMN code TYPE varchar(5);\n");

    world.trueup(&["plan", "--rehearse"]).exits(3).says("\"FREEDOM\" is no value of column code");
    world.apply().exits(6).says("plans.csv:2: \"FREEDOM\" is no value of column code (character varying(5))");
    assert_eq!(database.sql("SELECT code FROM plans"), "F");
}

#[test]
fn f10_a_row_or_user_without_a_value_that_a_pending_migration_makes_needless_is_written_after_it() {
    on_each_database(|world, database| {
        let is_postgres = matches!(database, Database::Postgres(_));
        let users =
            "  users:\n    ada: { email: a@example.com, role: admin, password: long-enough-for-all }\n";
        world.spec(SPEC).file("plans.csv", "id\n");
        world.file(
            "migrations/0001_init.sql",
            "CREATE TABLE plans (id integer PRIMARY KEY, code text NOT NULL);\n\
             CREATE TABLE users (id text PRIMARY KEY, username text UNIQUE, email text, password_hash text, role text, \
             is_active boolean, phone text NOT NULL);\n",
        );
        world.apply().exits(0);

        world.spec(&format!("{SPEC}{users}")).file("plans.csv", "id\n1\n");
        world.trueup(&["plan"]).exits(1).warns("needs a value for code").warns("needs a value for phone");
        let dropped = if is_postgres {
            "ALTER TABLE plans ALTER code DROP NOT NULL;\nALTER TABLE users ALTER phone SET DEFAULT '';\n"
        } else {
            "ALTER TABLE plans DROP COLUMN code;\nALTER TABLE users DROP COLUMN phone;\n"
        };
        world.file("migrations/0002_less.sql", dropped);

        let plan = world.plan_json();
        assert!(unvalidated(&plan, "system.seed.plans").contains("needs a value for code"));
        step(&plan, "system.user.ada");
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
        assert_eq!(database.sql("SELECT (SELECT count(*) FROM plans) + (SELECT count(*) FROM users)"), "2");
        world.plan().exits(0);
    });
}

#[test]
fn f10_a_row_that_a_dropped_check_refused_and_a_user_with_a_new_role_ship_with_their_migration() {
    let (world, database) = on_postgres();
    let users = "  users:\n    ada: { email: a@example.com, role: admin, password: long-enough-for-all }\n";
    world.spec(&format!("{SPEC}{users}")).file("plans.csv", "id,kind\n1,free\n");
    world.file(
        "migrations/0001_init.sql",
        "CREATE TYPE job AS ENUM ('admin');\n\
         CREATE TABLE plans (id integer PRIMARY KEY, kind text CHECK (kind IN ('free', 'pro')));\n\
         CREATE TABLE users (id uuid PRIMARY KEY, username text UNIQUE, email text, password_hash text, role job, \
         is_active boolean);\n",
    );
    world.apply().exits(0);

    let analyst = "    eve: { email: e@example.com, role: analyst, password: long-enough-for-all }\n";
    world.spec(&format!("{SPEC}{users}{analyst}")).file("plans.csv", "id,kind\n1,free\n2,team\n");
    world.file(
        "migrations/0002_more.sql",
        "ALTER TYPE job ADD VALUE 'analyst';\nALTER TABLE plans DROP CONSTRAINT plans_kind_check;\n",
    );
    world.trueup(&["plan", "--rehearse"]).exits(0);
    world.apply().exits(0);

    assert_eq!(database.sql("SELECT role FROM users WHERE username = 'eve'"), "analyst");
    assert_eq!(database.sql("SELECT kind FROM plans WHERE id = 2"), "team");
    world.plan().exits(0);
}

#[test]
fn f10_a_grant_on_a_new_table_and_a_membership_in_a_new_role_ship_with_their_migration() {
    let (world, database) = on_postgres();
    let name = format!("f10_{}", std::process::id());
    let (group, reader) = (format!("{name}_group"), format!("{name}_reader"));
    world.file("migrations/0001_init.sql", "CREATE TABLE plans (id integer PRIMARY KEY);\n");
    world.spec(&SPEC.replace("  seeds:", "  roles: {}\n  seeds:")).file("plans.csv", "id\n1\n");
    world.apply().exits(0);

    let roles = format!(
        "  roles:\n    {reader}: {{ login: true, password: long-enough-for-all, member_of: [{group}], \
         grants: {{ fresh: [select] }} }}\n  seeds:"
    );
    world.spec(&SPEC.replace("  seeds:", &roles));
    world.trueup(&["plan"]).exits(1).warns(&format!("there is no role {group}"));
    world.file(
        "migrations/0002_fresh.sql",
        format!("CREATE TABLE fresh (id int);\nCREATE ROLE {group} NOLOGIN;\n"),
    );

    world.apply().exits(0);

    let is_granted = format!(
        "SELECT has_table_privilege('{reader}', 'fresh', 'select'), pg_has_role('{reader}', '{group}', 'member')"
    );
    let granted = database.sql(&is_granted);
    world.plan().exits(0);
    database.sql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}; DROP ROLE {group}"));
    assert_eq!(granted, "t|t");
}

/// A stack with a table of two rows and the same rows in a seed, applied.
fn applied_seed(world: &World, mode: &str) {
    world.spec(&SPEC.replace("upsert", mode)).file("plans.csv", "id,code\n1,F\n2,P\n");
    world.file(
        "migrations/0001_init.sql",
        "CREATE TABLE plans (id integer PRIMARY KEY, code text);\nCREATE TABLE other (id integer);\n",
    );
    world.apply().exits(0);
}

#[test]
fn f10_rows_that_a_pending_migration_may_change_are_compared_again_after_it() {
    for (migration, rows) in [
        ("DROP TABLE plans;\nCREATE TABLE plans (id integer PRIMARY KEY, code text);", "1,F\n2,P"),
        ("DELETE FROM plans WHERE id = 2;\nUPDATE plans SET code = 'X';", "1,F\n2,P"),
        (
            "CREATE TABLE fresh (id integer PRIMARY KEY, code text);\nDROP TABLE plans;\n\
             ALTER TABLE fresh RENAME TO plans;",
            "1,F\n2,P",
        ),
    ] {
        for mode in ["upsert", "mirror"] {
            on_each_database(|world, database| {
                applied_seed(world, mode);
                // One row of the seed differs already, and the other one only after the migration.
                database.sql("UPDATE plans SET code = 'theirs' WHERE id = 1");
                world.file("migrations/0002_other.sql", "ALTER TABLE plans ADD COLUMN n integer;\n");
                assert_eq!(world.plan_json()["deferred"], serde_json::json!([]));
                world.file("migrations/0002_other.sql", migration);

                let deferred = &world.plan_json()["deferred"][0];
                assert_eq!(deferred["address"], "system.seed.plans", "{deferred}");
                assert!(deferred["reason"].as_str().unwrap().contains("0002_other"), "{deferred}");
                world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);

                assert_eq!(database.sql("SELECT id || ',' || code FROM plans ORDER BY id"), rows);
                world.plan().exits(0);
            });
        }
    }
}

#[test]
fn f10_a_seed_of_a_renamed_table_is_planned_after_the_rename_or_named_wrong() {
    for mode in ["insert", "upsert", "mirror"] {
        on_each_database(|world, database| {
            applied_seed(world, mode);
            world.file("migrations/0002_rename.sql", "ALTER TABLE plans RENAME TO tariffs;\n");

            world
                .plan()
                .exits(1)
                .warns("system.migration.0002_rename renames its table plans to tariffs")
                .warns("name the table tariffs");
            // A view of the old name takes its place.
            world.file(
                "migrations/0002_rename.sql",
                "ALTER TABLE plans RENAME TO tariffs;\nCREATE VIEW plans AS SELECT * FROM tariffs;\n",
            );
            world.plan().exits(2);
            world.file("migrations/0002_rename.sql", "ALTER TABLE plans RENAME TO tariffs;\n");
            world.spec(&SPEC.replace("upsert", mode).replace("table: plans", "table: tariffs"));
            world.file("plans.csv", "id,code\n1,F\n2,P\n3,new\n");

            let plan = world.plan_json();
            assert_eq!(crate::stacks::steps(&plan), ["run system.migration.0002_rename"]);
            assert_eq!(plan["deferred"][0]["address"], "system.seed.plans");
            world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);

            assert_eq!(database.sql("SELECT id || ',' || code FROM tariffs ORDER BY id"), "1,F\n2,P\n3,new");
            world.plan().exits(0);
        });
    }
}

#[test]
fn f10_accounts_whose_table_a_pending_migration_renames_or_makes_anew() {
    on_each_database(|world, database| {
        let table = |name: &str| {
            format!(
                "CREATE TABLE {name} (id text PRIMARY KEY, username text UNIQUE, email text, password_hash text, \
                 role text, is_active boolean);\n"
            )
        };
        let users =
            "  users:\n    ada: { email: a@example.com, role: admin, password: long-enough-for-all }\n";
        let spec = format!("{SPEC}{users}")
            .replace("  seeds:\n    plans: { table: plans, key: [id], rows: plans.csv, mode: upsert }\n", "");
        world.spec(&spec).file("migrations/0001_init.sql", table("users"));
        world.apply().exits(0);

        world.file("migrations/0002_more.sql", "ALTER TABLE users RENAME TO people;\n");
        world.plan().exits(1).warns("renames its table users to people");
        world.file("migrations/0002_more.sql", format!("DROP TABLE users;\n{}", table("users")));
        assert_eq!(world.plan_json()["deferred"][0]["address"], "system.user.ada");
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);

        assert_eq!(database.sql("SELECT username FROM users"), "ada");
        world.plan().exits(0);
    });
}
