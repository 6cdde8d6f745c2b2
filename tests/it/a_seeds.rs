//! A18 and A19: rows of seeds in their three modes, and what happens to them when a seed is
//! switched off. Requirements of tables and columns are tested in `a_rows.rs`.

use crate::stacks::{Database, on_each_database, step, steps};
use crate::world::World;

pub(crate) const TABLES: &str = "\
CREATE TABLE items (
    id    text NOT NULL PRIMARY KEY,
    name  text NOT NULL,
    price numeric(10, 2),
    note  text DEFAULT 'none'
);
CREATE TABLE orders (id text NOT NULL PRIMARY KEY, item text NOT NULL REFERENCES items (id));
";

pub(crate) const ROWS: &str = "id,name,price\na,Apple,1.50\nb,Bread,2\nc,Cheese,\n";

pub(crate) fn spec(mode: &str) -> String {
    format!(
        "version: 1\nstack: shop\nenvironment: dev\n\
         system:\n  url: ${{DATABASE_URL}}\n  create_database: true\n  migrations: migrations\n  seeds:\n    \
         demo: {{ when: seed_demo_data, table: items, key: [id], rows: items.csv, mode: {mode} }}\n"
    )
}

/// The spec without any seed.
pub(crate) fn without_seeds() -> String {
    spec("insert").split("  seeds:").next().unwrap().to_owned()
}

/// The spec with the seed switched off.
pub(crate) fn switched_off() -> String {
    format!("flags: {{ seed_demo_data: false }}\n{}", spec("insert"))
}

fn applied(world: &World, mode: &str) {
    let world = world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
    world.spec(&spec(mode)).apply().exits(0);
}

/// Applies the rows of a seed; then the application changes one, deletes one and adds one.
fn used(world: &World, database: &Database, mode: &str) {
    applied(world, mode);
    database.sql("UPDATE items SET price = 9.99 WHERE id = 'a'");
    database.sql("DELETE FROM items WHERE id = 'b'");
    database.sql("INSERT INTO items (id, name) VALUES ('x', 'theirs')");
}

pub(crate) fn items(database: &Database) -> String {
    let price = "CASE WHEN price IS NULL THEN 'NULL' ELSE CAST(CAST(price * 100 AS integer) AS text) END";
    database.sql(&format!("SELECT id, name, {price} FROM items ORDER BY id")).replace('\n', " ")
}

#[test]
fn a18_insert_adds_what_is_missing_and_leaves_what_the_application_changed() {
    on_each_database(|world, database| {
        used(world, database, "insert");

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update system.seed.demo"]);
        assert_eq!(items(database), "a|Apple|999 b|Bread|200 c|Cheese|NULL x|theirs|NULL");
        world.plan().exits(0);
        // A row that was removed from the file stays, because the mode insert only adds.
        world.file("items.csv", "id,name,price\na,Apple,1.50\n").plan().exits(0);
    });
}

#[test]
fn a18_upsert_also_changes_what_differs_and_deletes_nothing() {
    on_each_database(|world, database| {
        used(world, database, "upsert");
        database.sql("UPDATE items SET note = 'theirs' WHERE id = 'a'");
        world.file("items.csv", "id,name,price\na,Apple,1.50\nb,Brot,2\n");

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update system.seed.demo"]);
        assert!(!plan.to_string().contains("9.99"), "values of rows that are there are not shown");
        assert_eq!(items(database), "a|Apple|150 b|Brot|200 c|Cheese|NULL x|theirs|NULL");
        assert_eq!(database.sql("SELECT note FROM items WHERE id = 'a'"), "theirs", "no column of the seed");
        world.plan().exits(0);
    });
}

#[test]
fn a18_mirror_deletes_only_what_it_inserted_and_nobody_changed() {
    on_each_database(|world, database| {
        applied(world, "mirror");
        database.sql("UPDATE items SET note = 'theirs' WHERE id = 'b'");
        database.sql("INSERT INTO items (id, name) VALUES ('x', 'theirs')");
        world.file("items.csv", "id,name,price\na,Apple,1.75\nd,Dates,3\n");

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update system.seed.demo"]);
        assert_eq!(step(&plan, "system.seed.demo")["risk"], "safe");
        assert_eq!(items(database), "a|Apple|175 b|Bread|200 d|Dates|300 x|theirs|NULL");
        world.plan().exits(0);
    });
}

#[test]
fn a18_the_plan_shows_the_first_rows_that_it_writes_and_none_that_is_there() {
    on_each_database(|world, database| {
        used(world, database, "upsert");
        let long = "L".repeat(60);
        let more = "n1,Nut,1\nn2,Nut,1\nn3,Nut,1\nn4,Nut,1\n";
        world.file("items.csv", format!("{ROWS}d,\"one, \"\"two\"\"\",\ne,{long},3\n{more}"));

        let plan = world.plan();

        plan.exits(2).says("7 rows to insert, 1 to change");
        plan.says("      ~id: a, price: 1.50\n      +id: b, name: Bread, price: 2\n");
        plan.says(r#"      +id: d, name: "one, \"two\"", price: null"#);
        plan.says(&format!("      +id: e, name: {}…, price: 3\n", "L".repeat(40)));
        plan.says("       … 3 more rows\n").never_says("9.99").never_says("theirs");
    });
}

#[test]
fn a18_a_table_or_column_that_nobody_makes_is_an_error_of_the_plan() {
    on_each_database(|world, database| {
        applied(world, "insert");
        let runs = format!("SELECT count(*) FROM {}", database.bookkeeping("runs"));
        let before = database.sql(&runs);

        let table = world.spec(&spec("insert").replace("table: items", "table: itms")).plan();
        world.apply().exits(1);
        let column = world.spec(&spec("insert")).file("items.csv", "id,nmae\nz,Zucchini\n").plan();
        world.apply().exits(1);
        let key = world.spec(&spec("insert").replace("key: [id]", "key: [nmae]")).plan();

        table.exits(1).warns("itms").warns("items").warns("stack.yaml");
        column.exits(1).warns("nmae").warns("name");
        key.exits(1).warns("nmae");
        assert_eq!(items(database), "a|Apple|150 b|Bread|200 c|Cheese|NULL");
        assert_eq!(database.sql(&runs), before, "nothing was started");
    });
}

#[test]
fn a18_while_its_migration_is_pending_a_seed_is_planned_with_all_its_rows() {
    on_each_database(|world, _| {
        world.file("migrations/0001_items.sql", "CREATE TABLE other (id text NOT NULL PRIMARY KEY);\n");
        world.file("items.csv", ROWS).spec(&without_seeds()).apply().exits(0);
        world.file("migrations/0002_items.sql", TABLES).spec(&spec("upsert"));

        let plan = world.plan_json();

        assert_eq!(steps(&plan), ["run system.migration.0002_items", "create system.seed.demo"]);
        let seed = step(&plan, "system.seed.demo");
        assert_eq!(seed["depends_on"], serde_json::json!(["system.migration.0002_items"]));
        assert_eq!(seed["after"]["rows"], 3);
        world.apply().exits(0);
        world.plan().exits(0);
    });
}

#[test]
fn a19_turning_a_seed_off_takes_back_only_unchanged_rows() {
    on_each_database(|world, database| {
        let rows = "id,name,price\na,Apple,1.50\nb,Bread,2\nc,Cheese,\nd,Dates,0.10\n";
        world
            .file("migrations/0001_items.sql", TABLES)
            .file("items.csv", rows)
            .spec(&spec("insert"))
            .apply()
            .exits(0);
        // Changed in a column that the seed does not have; referenced; deleted; added.
        database.sql("UPDATE items SET note = 'theirs' WHERE id = 'a'");
        database.sql("INSERT INTO orders VALUES ('o', 'b')");
        database.sql("DELETE FROM items WHERE id = 'd'");
        database.sql("INSERT INTO items (id, name) VALUES ('x', 'theirs')");
        world.spec(&switched_off());

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["delete system.seed.demo", "update flags"]);
        let seed = step(&plan, "system.seed.demo");
        assert_eq!(seed["risk"], "safe");
        assert!(seed["summary"].as_str().unwrap().contains("1 row"), "{seed}");
        assert_eq!(items(database), "a|Apple|150 b|Bread|200 x|theirs|NULL");
        world.plan().exits(0);
    });
}

#[test]
fn a19_with_the_table_absent_a_seed_that_is_off_has_nothing_to_take_back() {
    on_each_database(|world, database| {
        applied(world, "insert");
        database.sql("DROP TABLE orders; DROP TABLE items");
        world.spec(&switched_off());

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update flags"]);
        world.plan().exits(0);
    });
}

#[test]
fn a19_a_seed_that_was_never_on_is_nothing_to_do() {
    on_each_database(|world, database| {
        world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
        world.spec(&switched_off()).apply().exits(0);
        database.sql("INSERT INTO items (id, name) VALUES ('a', 'Apple')");

        let planned = world.plan();

        planned.exits(0);
        assert_eq!(items(database), "a|Apple|NULL");
    });
}

#[test]
fn a19_a_seed_turned_on_again_brings_its_rows_back() {
    on_each_database(|world, database| {
        applied(world, "insert");
        world.spec(&switched_off()).apply().exits(0);
        assert_eq!(items(database), "");

        let plan = world.spec(&spec("insert")).plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["create system.seed.demo", "update flags"]);
        assert_eq!(items(database), "a|Apple|150 b|Bread|200 c|Cheese|NULL");
        world.spec(&switched_off()).apply().exits(0);
        assert_eq!(items(database), "");
    });
}

#[test]
fn a19_a_row_that_the_seed_of_the_other_case_wants_stays() {
    on_each_database(|world, database| {
        let base = "    base: { when: not seed_demo_data, table: items, key: [id], rows: base.yaml, mode: upsert }\n";
        let demo = |on: bool| format!("flags: {{ seed_demo_data: {on} }}\n{}{base}", spec("insert"));
        world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
        world.file("base.yaml", "- { id: a, name: Apfel, price: 1.50 }\n").spec(&demo(true)).apply().exits(0);
        database.sql("INSERT INTO orders VALUES ('o', 'a')");

        world.spec(&demo(false)).apply().exits(0);

        assert_eq!(items(database), "a|Apfel|150");
        world.plan().exits(0);
    });
}

#[test]
fn a18_a_seed_under_another_name_deletes_and_writes_no_row() {
    on_each_database(|world, database| {
        applied(world, "mirror");
        database.sql("UPDATE items SET note = 'theirs' WHERE id = 'a'");

        world.spec(&spec("mirror").replace("demo: {", "samples: {")).apply().exits(0);

        assert_eq!(items(database), "a|Apple|150 b|Bread|200 c|Cheese|NULL");
        assert_eq!(database.sql("SELECT note FROM items WHERE id = 'a'"), "theirs");
        world.plan().exits(0);
    });
}

#[test]
fn a19_a_seed_that_goes_to_another_table_takes_its_rows_along() {
    on_each_database(|world, database| {
        used(world, database, "insert");
        let goods =
            "CREATE TABLE goods (id text NOT NULL PRIMARY KEY, name text NOT NULL, price numeric(10, 2));\n";
        world.file("migrations/0002_goods.sql", goods);
        world.spec(&spec("insert").replace("table: items", "table: goods"));

        world.apply().exits(0);

        let goods = database.sql("SELECT count(*) FROM goods");
        assert_eq!(goods, ROWS.lines().skip(1).count().to_string());
        assert_eq!(
            items(database),
            "a|Apple|999 x|theirs|NULL",
            "what the application changed or added stays"
        );
        world.plan().exits(0);
    });
}
