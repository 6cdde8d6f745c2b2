//! The last lines of a command are correct: for a plan without permitted changes, for a plan that
//! `apply` would not run as it is, and for drift that is not repaired.

use crate::servers::Redis;
use crate::stacks::{MIGRATIONS, on_each_database};
use crate::stores::{self, Shop, Vectors, make_business, trained};
use crate::world::World;

const AFTER_ASKING: &str = "run `trueup apply` to make these changes";

/// Creates an applied stack with training, and its business database.
fn trained_shop() -> World {
    let world = World::new();
    make_business(&world, "business.db");
    let shop = Shop { targets: true, training: true, more: trained(&Vectors::Sqlite), ..Shop::default() };
    shop.write(&world, &stores::Database::Sqlite);
    world.apply().exits(0);
    world
}

#[test]
fn a_plan_names_apply_only_where_it_would_do_just_this() {
    let world = World::new();
    Shop::default().write(&world, &stores::Database::Sqlite);

    world.trueup(&["plan"]).exits(0).warns(AFTER_ASKING);
    world.trueup(&["plan", "--format", "json"]).exits(0).never_says(AFTER_ASKING);
    world.trueup(&["observe", "--out", "world.json"]).exits(0);
    let against = world.trueup(&["plan", "--world", "world.json"]);
    against.exits(0).never_says(AFTER_ASKING).warns("observed less than a minute ago");

    world.file("world.json", aged(&world.read("world.json")));
    world.trueup(&["plan", "--world", "world.json"]).exits(0).warns("days ago (2020-02-03T04:05:06Z)");

    world.apply().exits(0);
    world.file("migrations/0002_wrong.sql", "INSERT INTO nowhere VALUES (1);\n");
    let rehearsed = world.trueup(&["plan", "--rehearse", "--out", "plan.json"]);
    rehearsed.exits(3).never_says(AFTER_ASKING).never_says("runs it").warns("fix the denied changes");
    world.trueup(&["plan", "--rehearse"]).exits(3).never_says(AFTER_ASKING);
}

/// Creates a world that was observed years ago.
fn aged(world: &str) -> String {
    let (before, rest) = world.split_once("\"observed_at\":\"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    format!("{before}\"observed_at\":\"2020-02-03T04:05:06Z\"{after}")
}

#[test]
fn what_a_policy_denies_is_not_advised_to_be_allowed() {
    on_each_database(|world, _| {
        world.file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n").spec(MIGRATIONS).apply().exits(0);
        world.file("migrations/0002_b.sql", "DROP TABLE a;\n");

        world.plan().exits(2).warns("--allow destructive");
        world.spec(&format!("{MIGRATIONS}policies: {{ no_loss: {{ deny: destructive }} }}\n"));
        world.plan().exits(3).never_says("--allow destructive").never_says(AFTER_ASKING);
    });
}

#[test]
fn a_plan_whose_changes_are_all_blocked_does_not_say_no_changes() {
    on_each_database(|world, database| {
        world.spec(&format!("{MIGRATIONS}  schema_drift: fail\n"));
        world.file("migrations/0001_a.sql", "CREATE TABLE a (id int);\n").apply().exits(0);
        database.sql("ALTER TABLE a ADD COLUMN by_hand text");
        world.file("migrations/0002_b.sql", "CREATE TABLE b (id int);\n");

        let plan = world.plan();
        plan.exits(3).says("Nothing can be changed now: 1 blocked").never_says("No changes");
        let comment = world.trueup(&["plan", "--format", "markdown"]);
        comment.exits(3).says("Nothing can be changed now").never_says("No changes");
    });
}

#[test]
fn drift_of_a_target_is_not_changed_back() {
    let world = trained_shop();
    world.trueup(&["drift"]).exits(0).says("No drift.");

    world.sqlite("business.db", "ALTER TABLE customers ADD COLUMN nick text");

    let drift = world.trueup(&["drift"]);
    drift.exits(2).says("the schemas of targets as they are now").never_says("back");
}

#[test]
fn a_store_that_is_gone_is_drift_while_migrations_are_pending() {
    let world = trained_shop();
    world.file("migrations/0002_more.sql", "CREATE TABLE more (id int);\n");
    world.trueup(&["drift"]).exits(0).never_says("No drift.").says("may come from the spec or be drift");

    std::fs::remove_file(world.path("vector.db")).unwrap();

    let drift = world.trueup(&["drift"]);
    drift.exits(2).says("vector.collection.ddl").never_says("No drift").never_says("0002_more");
}

#[test]
fn names_of_tables_that_no_target_has_are_remarked() {
    let world = World::new();
    make_business(&world, "business.db");
    world.file(
        "questions.yaml",
        "- { question: 'How many?', target: business, sql: 'SELECT count(*) FROM custmers' }\n\
         - { question: 'Who?', target: business, sql: 'WITH c AS (SELECT * FROM customers) SELECT * FROM c' }\n",
    );
    world.file("docs/a.md", "The table\n\n```sql\nSELECT * FROM invoicez JOIN customers c ON 1\n```\n");
    world.file(
        "words.yaml",
        "terms: { client: { definition: 'Who buys', tables: [customers.name, clients.id] } }\n",
    );
    let more = format!(
        "{}    sql: {{ from: {{ examples: [questions.yaml], files: ['docs/*.md'], ontologies: [words] }} }}\n",
        trained(&Vectors::Sqlite)
    );
    let system = "  ontologies: { words: words.yaml }\n".to_owned();
    let shop = Shop { targets: true, training: true, system, more, ..Shop::default() };
    shop.write(&world, &stores::Database::Sqlite);

    let plan = world.trueup(&["plan"]);

    for says in [
        "questions.yaml:1: a question names table custmers, which target business has not",
        "docs/a.md: its SQL names table invoicez, which no target has",
        "term \"client\" of words names clients.id, which no target has",
    ] {
        plan.says(says);
    }
    plan.never_says("names table customers").never_says("names table c,").never_says("names customers.name");
}

#[test]
fn drift_does_not_say_that_there_is_none_while_a_store_is_down() {
    let (world, redis) = (World::new(), Redis::start());
    world.spec(&format!(
        "version: 1\nstack: s\nenvironment: dev\nsystem: {{ url: sqlite://app.db, create_database: true }}\ncache: {{ url: \"{}\" }}\n",
        redis.url()
    ));
    world.apply().exits(0);
    world.trueup(&["drift"]).exits(0).says("No drift.");

    drop(redis);

    let drift = world.trueup(&["drift"]);
    drift.exits(3).never_says("No drift.").says("but 1 check failed").warns("the connection was refused");
    let report = world.trueup(&["drift", "--format", "json"]);
    report.exits(3).says("\"failed_checks\":[{\"").says("\"address\":\"cache\"");
}
