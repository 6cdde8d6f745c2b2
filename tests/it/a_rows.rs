//! A18: rows are written as the tables require: in the order of their references, by keys of
//! several columns, with values as stored by the column.

use crate::a_seeds::{ROWS, TABLES, items, spec, without_seeds};
use crate::servers::Postgres;
use crate::stacks::{Database, on_each_database, steps};
use crate::world::World;

#[test]
fn a18_seeds_whose_tables_refer_to_each_other_are_written_and_taken_back_in_order() {
    on_each_database(|world, database| {
        let orders = "    a_orders: { table: orders, key: [id], rows: orders.yaml, mode: mirror }\n";
        world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
        world.file("orders.yaml", "- { id: o1, item: a }\n- { id: o2, item: b }\n");
        world.spec(&format!("{}{orders}", spec("mirror")));

        world.apply().exits(0);
        assert_eq!(database.sql("SELECT id, item FROM orders ORDER BY 1"), "o1|a\no2|b");
        world.plan().exits(0);
        let plan = world.spec(&without_seeds()).plan_json();
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["delete system.seed.a_orders", "delete system.seed.demo"]);
        assert_eq!(database.sql("SELECT (SELECT count(*) FROM items), (SELECT count(*) FROM orders)"), "0|0");
        world.plan().exits(0);
    });
}

#[test]
fn a18_a_value_that_a_trigger_changes_is_refused_and_not_written_for_ever() {
    on_each_database(|world, database| {
        let trigger = match database {
            Database::Postgres(_) => {
                "CREATE FUNCTION rounded() RETURNS trigger LANGUAGE plpgsql AS $$\n\
                 BEGIN NEW.price := round(NEW.price, 1); RETURN NEW; END $$;\n\
                 CREATE TRIGGER rounds BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION rounded();\n"
            }
            Database::Sqlite(_) => {
                "CREATE TRIGGER rounds AFTER INSERT ON items BEGIN\n\
                 UPDATE items SET price = round(price, 1) WHERE id = new.id; END;\n"
            }
        };
        world.file("migrations/0001_items.sql", format!("{TABLES}{trigger}")).spec(&spec("upsert"));
        world.file("items.csv", "id,name,price\na,Apple,1.25\nb,Bread,2.5\n");

        let applied = world.apply();

        applied.exits(6).says("system.seed.demo").says("price");
        assert_eq!(items(database), "", "all rows or none");
        world.file("items.csv", "id,name,price\na,Apple,1.3\nb,Bread,2.5\n").apply().exits(0);
        world.plan().exits(0);
    });
}

#[test]
fn a18_values_are_compared_as_the_column_keeps_them() {
    let database = Database::Postgres(Postgres::start());
    let world = World::new();
    world.env("DATABASE_URL", database.url()).spec(&spec("upsert"));
    let columns = "id text NOT NULL PRIMARY KEY, price numeric(10, 1), at timestamptz, doc jsonb, tags text[], code char(4), uid uuid";
    world.file("migrations/0001_items.sql", format!("CREATE TABLE items ({columns});\n"));
    world.file(
        "items.csv",
        "id,price,at,doc,tags,code,uid\n\
         a,1.25,2025-03-30T12:00:00+02:00,\"{\"\"b\"\": 1, \"\"a\"\": [true]}\",\"{x,\"\"y z\"\"}\",AB,6F9619FF-8B86-D011-B42D-00C04FC964FF\n",
    );

    world.apply().exits(0);

    world.plan().exits(0);
    assert_eq!(
        database.sql("SELECT price, at AT TIME ZONE 'UTC', doc, tags, trim(code), uid FROM items"),
        "1.3|2025-03-30 10:00:00|{\"a\": [true], \"b\": 1}|{x,\"y z\"}|AB|6f9619ff-8b86-d011-b42d-00c04fc964ff"
    );
}

#[test]
fn a18_rows_are_identified_by_several_columns_where_the_database_gives_the_id() {
    on_each_database(|world, database| {
        let id = match database {
            Database::Postgres(_) => "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            Database::Sqlite(_) => "id INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        let table = format!(
            "CREATE TABLE items ({id}, \"Shop\" text NOT NULL, day date NOT NULL, open boolean, UNIQUE (\"Shop\", day));\n"
        );
        world.file("migrations/0001_items.sql", table);
        world.file(
            "items.csv",
            "Shop,day,open\nBerlin,2025-01-01,false\nBerlin,2025-01-02,true\nMünchen,2025-01-01,\n",
        );
        world.spec(&spec("mirror").replace("key: [id]", "key: [Shop, day]"));

        world.apply().exits(0);
        world.plan().exits(0);
        world
            .file("items.csv", "Shop,day,open\nBerlin,2025-01-01,true\nMünchen,2025-01-01,\n")
            .apply()
            .exits(0);

        assert_eq!(
            database.sql("SELECT id, \"Shop\", day, CASE WHEN open THEN 'open' WHEN NOT open THEN 'closed' ELSE 'NULL' END FROM items ORDER BY id"),
            "1|Berlin|2025-01-01|open\n3|München|2025-01-01|NULL"
        );
        world.plan().exits(0);
    });
}

/// Items `a` to `c`, ordered twice; then parent `b` goes and `d` comes, one child goes with `b`, one
/// comes with `d`, and one moves.
fn given_rows_that_move(world: &World) {
    let orders = "    orders: { table: orders, key: [id], rows: orders.yaml, mode: mirror }\n";
    world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
    world.file("orders.yaml", "- { id: o1, item: a }\n- { id: o2, item: b }\n");
    world.spec(&format!("{}{orders}", spec("mirror"))).apply().exits(0);
    world.file("items.csv", "id,name,price\na,Apple,1.50\nc,Cheese,\nd,Dates,3\n");
    world.file("orders.yaml", "- { id: o1, item: d }\n- { id: o3, item: d }\n");
}

#[test]
fn a18_rows_that_move_from_one_parent_to_another_take_one_apply() {
    on_each_database(|world, database| {
        given_rows_that_move(world);

        let applied = world.apply();

        applied.exits(0);
        assert_eq!(database.sql("SELECT id, item FROM orders ORDER BY 1"), "o1|d\no3|d");
        assert_eq!(items(database), "a|Apple|150 c|Cheese|NULL d|Dates|300");
        world.plan().exits(0);
    });
}

#[test]
fn a18_of_rows_that_move_a_saved_plan_does_what_it_lists() {
    on_each_database(|world, database| {
        given_rows_that_move(world);
        let planned = world.trueup(&["plan", "--out", "plan.json", "--format", "json"]);
        assert_eq!(planned.json()["complete"], false);

        let applied = world.trueup(&["apply", "plan.json"]);

        applied.exits(0);
        assert_eq!(items(database), "a|Apple|150 b|Bread|200 c|Cheese|NULL d|Dates|300");
        // Deferred changes need a new plan.
        assert_eq!(steps(&world.plan_json()), ["delete system.seed.demo"]);
    });
}

#[test]
fn rows_are_those_of_the_named_table_however_the_database_is_set() {
    let (database, world) = (Postgres::start(), World::new());
    world.env("DATABASE_URL", database.url()).spec(
        "version: 1\nstack: demo\nenvironment: dev\nsystem:\n  url: ${DATABASE_URL}\n  migrations: migrations\n  \
         accounts: false\n  seeds: { s: { table: t, key: [id], rows: rows.csv, mode: mirror } }\n",
    );
    world.file("rows.csv", "id,b,f,i\n1,00ff,0.123456789012345,1 day 02:00:00\n");
    let columns = "(id int PRIMARY KEY, b bytea, f float8, i interval)";
    world.file(
        "migrations/0001_t.sql",
        format!("CREATE SCHEMA app; CREATE TABLE app.t {columns}; CREATE TABLE public.t {columns};"),
    );
    for setting in [
        "search_path = app, public",
        "bytea_output = escape",
        "extra_float_digits = -3",
        "intervalstyle = sql_standard",
        "datestyle = 'German, DMY'",
        "quote_all_identifiers = on",
        "standard_conforming_strings = off",
    ] {
        database.psql(&format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {}', current_database()); END $$",
            setting.replace('\'', "''")
        ));
    }

    world.apply().exits(0);

    assert_eq!(database.psql("SELECT (SELECT count(*) FROM public.t), (SELECT count(*) FROM app.t)"), "1|0");
    world.plan().exits(0).says("No changes");
}

#[test]
fn an_account_that_may_not_keep_books_is_told_once_what_it_lacks() {
    let (database, world) = (Postgres::start(), World::new());
    world.spec(
        "version: 1\nstack: demo\nenvironment: dev\nsystem: { url: \"${DATABASE_URL}\", accounts: false }\n",
    );
    world.env("DATABASE_URL", database.url()).apply().exits(0);
    database.psql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name()));
    world.file(
        "stack.yaml",
        world.read("stack.yaml").replace("version: 1", "version: 1\nflags: { more: true }"),
    );

    let refused = world.apply();

    refused.exits(1).warns("cannot execute").warns("`default_transaction_read_only` is on");
    refused
        .never_says("at line")
        .never_says("error returned from database")
        .never_says("could not be verified");
}

#[test]
fn only_a_name_that_something_has_gives_a_plan() {
    let world = World::new();
    world.env("DATABASE_URL", format!("sqlite://{}", world.path("a.db").display()));
    world.spec(&spec("mirror"));
    world.file("migrations/0001_items.sql", TABLES).file("items.csv", ROWS);
    world.apply().exits(0);

    for name in ["system.nothing", "system.seed.nobody", "system.migration.0009_x", "target.none", "system."]
    {
        world.trueup(&["plan", "--only", name]).exits(64).warns("names nothing");
    }
    for name in ["system", "system.seed", "system.migration.0001_items", "flags", "vector.check.x"] {
        world.trueup(&["plan", "--only", name]).exits(0);
    }
}
