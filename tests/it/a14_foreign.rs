//! A14: migrations that need objects created by others in the database: adopted, and rehearsed.

use crate::servers::Postgres;
use crate::stacks::{MIGRATIONS, on_each_database};
use crate::world::World;

const PROFILE: &str =
    "CREATE TABLE profile (id int PRIMARY KEY, login uuid REFERENCES auth.login (id), name citext,
  mail auth.mail NOT NULL, state auth.state DEFAULT 'new', at timestamptz DEFAULT auth.now_utc());
CREATE VIEW logins AS SELECT p.id, l.mail FROM profile p JOIN auth.active l ON l.id = p.login;
";

/// Creates objects that an identity service and the operator of the server would create.
const THEIRS: &str = "
CREATE EXTENSION citext;
CREATE SCHEMA auth;
CREATE TYPE auth.state AS ENUM ('new', 'old');
CREATE DOMAIN auth.mail AS text CHECK (VALUE LIKE '%@%');
CREATE FUNCTION auth.now_utc() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now()';
CREATE TABLE auth.login (id uuid PRIMARY KEY, mail auth.mail, state auth.state, n serial, upper text GENERATED ALWAYS AS (upper(mail)) STORED);
CREATE UNIQUE INDEX ON auth.login (lower(mail));
CREATE VIEW auth.active AS SELECT id, mail FROM auth.login WHERE state = 'new';
CREATE TABLE auth.token (login uuid REFERENCES auth.login, at timestamptz DEFAULT auth.now_utc());
";

fn with_theirs() -> (World, Postgres) {
    let (world, database) = (World::new(), Postgres::start());
    database.psql(THEIRS);
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS).file("migrations/0001_profile.sql", PROFILE);
    (world, database)
}

#[test]
fn a14_a_rehearsal_has_what_the_real_database_has_and_no_migration_makes() {
    let (world, _database) = with_theirs();

    world.trueup(&["plan", "--rehearse"]).exits(0).says("1 of 1 pending step ran in a scratch database");
    world.apply().exits(0);
    world.file("migrations/0002_bio.sql", "ALTER TABLE profile ADD COLUMN bio citext;\n");
    world.trueup(&["plan", "--rehearse"]).exits(0).says("1 of 1 pending step ran in a scratch database");

    world.file("migrations/0002_bio.sql", "ALTER TABLE profile ADD COLUMN bio auth.nothing;\n");
    world.trueup(&["plan", "--rehearse"]).exits(3).says("type \"auth.nothing\" does not exist");
}

#[test]
fn a14_a_database_with_tables_of_others_is_adopted() {
    let (world, database) = with_theirs();
    database.psql(PROFILE);

    world.trueup(&["baseline", "--to", "1"]).exits(0).says("recorded system.migration.0001_profile");

    world.apply().exits(0);
    world.trueup(&["drift"]).exits(0).says("No drift.");
    database.psql("ALTER TABLE profile ADD COLUMN evil int; ALTER TABLE auth.token ADD COLUMN theirs int");
    world.trueup(&["drift"]).exits(2).says("changed by hand: profile").never_says("token");
}

#[test]
fn a14_what_cannot_be_made_in_a_scratch_database_is_named_and_no_failure() {
    let (world, database) = (World::new(), Postgres::start());
    // Aggregates are not copied, so the dependent view cannot be created either.
    database.psql(
        "CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0'); \
         CREATE VIEW sums AS SELECT total(x) AS x FROM generate_series(1, 3) AS x",
    );
    world.env("DATABASE_URL", database.url()).spec(MIGRATIONS);
    let file = "CREATE VIEW twice AS SELECT 2 * x AS x FROM sums;\n";
    world.file("migrations/0001_twice.sql", file);

    world.trueup(&["plan", "--rehearse"]).exits(0).says("not rehearsed").says("could not be made: sums");
    world.apply().exits(0);
    world.file("migrations/0002_more.sql", "CREATE TABLE more (id int);\n");
    world
        .trueup(&["plan", "--rehearse"])
        .exits(0)
        .says("nothing was rehearsed")
        .says("could not be made: sums");

    database.psql("DROP TABLE _sqlx_migrations; DROP SCHEMA trueup CASCADE");
    let failed = world.trueup(&["baseline", "--to", "1"]);
    failed.exits(1).warns("no migration makes: sums").never_says("correct the file");
    failed.warns("`trueup baseline --to 1 --unchecked`");
    world.trueup(&["baseline", "--to", "1", "--unchecked"]).exits(0).warns("was not compared");
    world.apply().exits(0);
    world.trueup(&["drift"]).exits(0).says("No drift.");
}

#[test]
fn a14_a_view_on_a_table_of_others_is_rehearsed_and_adopted() {
    on_each_database(|world, database| {
        database.sql("CREATE TABLE theirs (id int PRIMARY KEY, n int); CREATE INDEX by_n ON theirs (n)");
        let view = "CREATE VIEW seen AS SELECT id FROM theirs WHERE n > 0;\nDROP VIEW seen;\n\
                    CREATE TABLE mine (id int PRIMARY KEY);\nINSERT INTO mine SELECT id FROM theirs;\n";
        world.spec(MIGRATIONS).file("migrations/0001_mine.sql", view);

        world.trueup(&["plan", "--rehearse"]).exits(0).says("1 of 1 pending step ran");
        database.sql("CREATE TABLE mine (id int PRIMARY KEY)");
        world.trueup(&["baseline", "--to", "1"]).exits(0);
        world.apply().exits(0);
        world.plan().exits(0).says("system.table.theirs");
    });
}
