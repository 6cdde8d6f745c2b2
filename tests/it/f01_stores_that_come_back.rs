//! F01: a store that does not answer at one observation of a run, and answers at a later one. Its
//! changes are done in that run or counted as blocked; the exit code follows from that.

use crate::a22_locking::started;
use crate::servers::{Chroma, Fault, Postgres, Wire, free_port};
use crate::stores::{Database, Shop, Vectors, make_business, trained};
use crate::world::World;

const SLOW: &str = "system.migration.0002_slow";

/// Creates a stack whose second migration takes a while and which trains from a target into Chroma,
/// on a port without a listener yet. The first apply must do all of it.
fn with_chroma_that_is_down(postgres: &Postgres, chroma: &Chroma) -> (World, u16) {
    let (world, port) = (World::new(), free_port());
    make_business(&world, "business.db");
    let place = format!(
        "  url: http://127.0.0.1:{port}\n  tenant: {}\n  database: {}\n",
        chroma.tenant(),
        chroma.database()
    );
    let more = trained(&Vectors::Sqlite).replace("  url: sqlite://vector.db\n", &place);
    world.env("USER", "alice");
    Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &Database::Sqlite);
    world.env("DATABASE_URL", postgres.url());
    world.file("migrations/0002_slow.sql", "SELECT pg_sleep(3);");
    (world, port)
}

fn port_of(chroma: &Chroma) -> u16 {
    url::Url::parse(&chroma.url()).unwrap().port().unwrap()
}

fn documents(world: &World, chroma: Chroma, wire: Wire) -> usize {
    let vectors = Vectors::Chroma { chroma, wire };
    vectors.ids(world, "ddl").len()
}

#[test]
fn f01_a_store_that_answers_while_a_run_goes_on_is_written_in_a_further_round() {
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let (world, port) = with_chroma_that_is_down(&postgres, &chroma);

    let run = started(&world, SLOW);
    let wire = Wire::on(port, port_of(&chroma));
    let ended = run.ends();

    ended.exits(0).says(r#"{"event":"finished","address":"vector.documents.ddl""#);
    world.plan().exits(0);
    assert_eq!(documents(&world, chroma, wire), 4);
}

#[test]
fn f01_a_store_that_stays_away_is_counted_as_blocked_and_the_exit_code_is_6() {
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let (world, port) = with_chroma_that_is_down(&postgres, &chroma);
    world.file("migrations/0002_slow.sql", "SELECT 1;");

    let down = world.apply();
    let wire = Wire::on(port, port_of(&chroma));
    let up = world.apply();

    down.exits(6).warns("vector: cannot reach Chroma").says("3 blocked").warns("goes on from here");
    up.exits(0);
    assert_eq!(documents(&world, chroma, wire), 4);
}

#[test]
fn f01_a_target_that_appears_while_a_run_goes_on_is_read_in_a_further_round() {
    let world = World::new();
    world.env("USER", "alice");
    Shop { targets: true, training: true, more: trained(&Vectors::Sqlite), ..Shop::default() }
        .write(&world, &Database::Sqlite);
    let slow = "CREATE TABLE slow AS WITH RECURSIVE n(i) AS \
                (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000000) SELECT max(i) AS i FROM n;";
    world.file("migrations/0002_slow.sql", slow);

    let run = started(&world, SLOW);
    make_business(&world, "part.db");
    std::fs::rename(world.path("part.db"), world.path("business.db")).unwrap();
    let ended = run.ends();

    ended.exits(0);
    world.plan().exits(0);
    assert_eq!(Vectors::Sqlite.ids(&world, "ddl").len(), 4);
}

#[test]
fn f01_what_appears_during_a_run_and_loses_data_is_blocked_unless_it_is_allowed() {
    // The spec no longer has a table's document, and only a later observation shows that the target
    // is empty: a mass delete that was never shown to the user.
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let (world, port) = with_chroma_that_is_down(&postgres, &chroma);
    let wire = Wire::on(port, port_of(&chroma));
    world.apply().exits(0);
    world.sqlite(
        "business.db",
        "DROP TABLE payments; DROP TABLE orders; DROP TABLE products; DROP TABLE customers",
    );
    world.file("migrations/0003_slow.sql", "SELECT pg_sleep(3);");
    let heartbeat = "GET /api/v2/heartbeat";
    wire.fail_at(heartbeat, Fault::Cut, usize::MAX);

    let run = started(&world, "system.migration.0003_slow");
    wire.fail_at(heartbeat, Fault::Cut, 0);
    let ended = run.ends();

    ended.exits(6).says("runs only with `--allow mass-delete`");
    assert_eq!(documents(&world, chroma, wire), 4);
}

#[test]
fn f01_destroy_takes_back_what_did_not_answer_at_its_first_look() {
    let vectors = Vectors::chroma();
    let world = World::new();
    make_business(&world, "business.db");
    Shop { targets: true, training: true, more: trained(&vectors), ..Shop::default() }
        .write(&world, &Database::Sqlite);
    world.apply().exits(0);
    let Vectors::Chroma { wire, .. } = &vectors else { unreachable!() };
    // A request is tried three times.
    wire.fail_at("GET /api/v2/heartbeat", Fault::Cut, 3);

    let destroyed = world.trueup(&["destroy", "--auto-approve"]);

    assert_eq!(wire.failures(), 3);
    destroyed.exits(0);
    assert_eq!(vectors.ids(&world, "ddl").len(), 0);
}

#[test]
fn f01_a_saved_plan_is_not_stale_because_a_store_does_not_answer() {
    let (postgres, chroma) = (Postgres::start(), Chroma::start());
    let (world, port) = with_chroma_that_is_down(&postgres, &chroma);
    world.file("migrations/0002_slow.sql", "SELECT 1;");
    {
        let up = free_port();
        let _wire = Wire::on(up, port_of(&chroma));
        let spec = world.read("stack.yaml");
        world.spec(&spec.replace(&format!(":{port}"), &format!(":{up}")));
        world.trueup(&["plan", "--out", "plan.json"]).exits(0);
        world.spec(&spec);
    }
    // The saved plan has another address of the same store; the spec that it is applied with has
    // this one.
    let saved = world.trueup(&["apply", "plan.json"]);

    saved.exits(6).warns("vector.documents.ddl cannot be done now").never_says("stale");
    let wire = Wire::on(port, port_of(&chroma));
    world.trueup(&["apply", "plan.json"]).exits(0);
    world.trueup(&["apply", "plan.json"]).exits(5).warns("used up");
    assert_eq!(documents(&world, chroma, wire), 4);
}

/// Returns the URL of a PostgreSQL behind a [`Wire`].
pub(crate) fn behind(postgres: &Postgres) -> (Wire, String) {
    let mut url = url::Url::parse(&postgres.url()).unwrap();
    let wire = Wire::before(url.port().unwrap());
    url.set_port(Some(wire.port())).unwrap();
    (wire, url.to_string())
}

#[test]
fn f01_a_run_whose_spec_cannot_be_recorded_after_all_was_applied_exits_6() {
    let postgres = Postgres::start();
    let (wire, url) = behind(&postgres);
    let world = World::new();
    Shop::default().write(&world, &Database::Sqlite);
    world.env("DATABASE_URL", url);
    // The length-prefixed key of a row, which no column name contains.
    let key = "\0\0\0\u{b}spec_digest";
    wire.fail_at(key, Fault::Cut, usize::MAX);

    let run = world.apply();

    assert!(wire.failures() > 0);
    run.exits(6).says("done system.seed.items").warns("goes on from here");
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "3");
    wire.fail_at(key, Fault::Cut, 0);
    world.apply().exits(0);
    assert_eq!(postgres.psql("SELECT count(*) FROM trueup.meta WHERE key = 'spec_digest'"), "1");
}

#[test]
fn f01_a_lock_that_cannot_be_taken_after_the_database_was_made_is_an_apply_in_part() {
    let postgres = Postgres::absent();
    let (wire, url) = behind(&postgres);
    let world = World::new();
    Shop::default().write(&world, &Database::Sqlite);
    world.env("DATABASE_URL", url);
    wire.fail_at("'shared' WHEN pg_try_advisory_lock", Fault::Cut, usize::MAX);

    let run = world.apply();

    run.exits(6).says("done system.database").says("blocked system.migration.0001_init");
    run.warns("the connection was lost").never_says("expected to read");
    wire.fail_at("'shared' WHEN pg_try_advisory_lock", Fault::Cut, 0);
    world.apply().exits(0);
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "3");
}
