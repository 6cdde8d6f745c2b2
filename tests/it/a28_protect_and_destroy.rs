//! A28 and A30: protected objects stay until they are unprotected; `moved` renames without a step;
//! `destroy` deletes what it may delete and reports what it keeps.

use crate::stacks::{Database, on_each_database, step, steps, texts};
use crate::stores::{self, Shop, Vectors, make_business, trained};
use crate::world::World;

const TABLES: &str = "CREATE TABLE items (id text NOT NULL PRIMARY KEY, name text NOT NULL);\n";

fn spec(seeds: &str) -> String {
    let seeds = if seeds.is_empty() { String::new() } else { format!("  seeds:\n{seeds}") };
    format!(
        "version: 1\nstack: shop\nenvironment: dev\n\
         system:\n  url: ${{DATABASE_URL}}\n  create_database: true\n  migrations: migrations\n{seeds}"
    )
}

fn seed(name: &str, more: &str) -> String {
    format!("    {name}: {{ when: seed_demo_data, table: items, key: [id], rows: items.csv{more} }}\n")
}

fn applied(world: &World, spec: &str) {
    world
        .file("migrations/0001_items.sql", TABLES)
        .file("items.csv", "id,name\na,Apple\nb,Bread\nc,Cheese\n");
    world.spec(spec).apply().exits(0);
}

fn items(database: &Database) -> String {
    database.sql("SELECT id FROM items ORDER BY id").replace('\n', " ")
}

#[test]
fn a28_what_is_protected_goes_only_after_it_was_unprotected() {
    on_each_database(|world, database| {
        applied(world, &spec(&seed("demo", ", protect: true")));
        world.plan().exits(0);

        for (refused, why) in [
            (spec(""), "its block is gone from the spec"),
            (
                format!("{}flags: {{ seed_demo_data: false }}\n", spec(&seed("demo", ", protect: true"))),
                "would delete it",
            ),
            (
                format!("{}flags: {{ seed_demo_data: false }}\n", spec(&seed("demo", ", protect: false"))),
                "would delete it",
            ),
        ] {
            world.spec(&refused).plan().exits(3).says("system.seed.demo: protected").says(why);
            world.apply().exits(3).warns("system.seed.demo: protected").warns(why);
            assert_eq!(items(database), "a b c");
        }
        world.spec(&spec(&seed("demo", "")));
        let unprotect = world.plan_json();
        world.apply().exits(0);
        world.spec(&spec("")).apply().exits(0);

        assert_eq!(steps(&unprotect), ["update system.bookkeeping"]);
        let change = step(&unprotect, "system.bookkeeping");
        assert_eq!(texts(&change["before"]["protected"]), ["system.seed.demo"]);
        assert!(texts(&change["after"]["protected"]).is_empty());
        assert_eq!(items(database), "");
        world.plan().exits(0);
    });
}

#[test]
fn a28_a_protected_collection_keeps_its_documents_and_a_protected_block_stays() {
    let (world, vectors) = (World::new(), Vectors::Sqlite);
    make_business(&world, "business.db");
    let database = stores::Database::Sqlite;
    let protected = trained(&vectors).replace("{ from:", "{ protect: true, from:")
        + "cache: { url: 'sqlite://cache.db', protect: true }\n";
    let shop = |more: &str| Shop { targets: true, training: true, more: more.to_owned(), ..Shop::default() };
    shop(&protected).write(&world, &database);
    world.apply().exits(0);

    let one_line = protected.lines().filter(|line| !line.contains("    ddl:") && !line.starts_with("cache:"));
    let gone = one_line.collect::<Vec<_>>().join("\n") + "\n";
    shop(&gone.replace("collections:", "collections: {}")).write_spec(&world);
    let plan = world.trueup(&["plan", "--format", "json"]);
    world.apply().exits(3);

    let blocked: Vec<String> = plan.exits(3).json()["blocked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| held["address"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(blocked, ["cache", "vector.collection.ddl", "vector.documents.ddl"]);
    assert_eq!(vectors.ids(&world, "ddl").len(), 4);
}

#[test]
fn a30_without_the_bookkeeping_destroy_says_that_nothing_is_known() {
    on_each_database(|world, database| {
        applied(world, &spec(&seed("demo", "")));
        for table in ["meta", "flags", "protection", "runs", "steps", "inventory", "snapshots"] {
            database.sql(&format!("DROP TABLE {}", database.bookkeeping(table)));
        }

        let destroyed = world.trueup(&["destroy", "--auto-approve"]);

        destroyed.exits(0).warns("the bookkeeping lists nothing to take back");
        let head = destroyed.stdout.lines().nth(1).unwrap();
        assert!(head.starts_with("note: there is no bookkeeping in the system database"), "{head}");
        assert!(head.contains("rows and accounts stay"), "{head}");
        assert_eq!(items(database), "a b c");
    });
}

#[test]
fn a28_an_older_bookkeeping_is_brought_up_to_date_first() {
    on_each_database(|world, database| {
        applied(world, &spec(&seed("demo", "")));
        database.sql(&format!("DROP TABLE {}", database.bookkeeping("protection")));
        database
            .sql(&format!("UPDATE {} SET value = '1' WHERE key = 'format'", database.bookkeeping("meta")));

        let plan = world.plan_json();
        world.trueup(&["drift"]).exits(0);
        world.apply().exits(0);

        assert_eq!(steps(&plan), ["update system.bookkeeping"]);
        world.plan().exits(0);
        assert_eq!(
            database.sql(&format!("SELECT count(*) FROM {}", database.bookkeeping("protection"))),
            "0"
        );
    });
}

#[test]
fn a30_moved_renames_without_a_step_and_keeps_what_is_owned_and_protected() {
    on_each_database(|world, database| {
        applied(world, &spec(&seed("old", ", protect: true")));
        let runs = format!("SELECT count(*) FROM {}", database.bookkeeping("runs"));
        let renamed = |more: &str| spec(&seed("new", more)) + "moved: { system.seed.old: system.seed.new }\n";

        world.spec(&renamed(", protect: true"));
        world.plan().exits(0).says("system.seed.old is now system.seed.new");
        world.trueup(&["apply"]).exits(0);
        let after_renaming = database.sql(&runs);
        world.trueup(&["apply"]).exits(0);

        let owners = format!(
            "SELECT DISTINCT address FROM {} WHERE address LIKE 'system.seed.%'",
            database.bookkeeping("inventory")
        );
        assert_eq!(database.sql(&owners), "system.seed.new");
        assert_eq!((after_renaming.as_str(), database.sql(&runs).as_str()), ("2", "2"));
        world.plan().exits(0).never_says("is now");
        world.spec(&spec("")).plan().exits(3).says("system.seed.new: protected");
        world.spec(&renamed("")).apply().exits(0);
        world.spec(&spec("")).apply().exits(0);
        assert_eq!(items(database), "", "the new name owns the rows");
    });
}

#[test]
fn a30_a_target_is_renamed_with_the_versions_of_its_schema() {
    let world = World::new();
    make_business(&world, "business.db");
    let shop = |more: &str| Shop { targets: true, more: more.to_owned(), ..Shop::default() };
    shop("targets:\n  business: { url: 'sqlite://business.db' }\n").write(&world, &stores::Database::Sqlite);
    world.apply().exits(0);

    shop("targets:\n  sales: { url: 'sqlite://business.db' }\nmoved: { target.business: target.sales }\n")
        .write_spec(&world);

    world.plan().exits(0);
    world.apply().exits(0);
    let owners = "SELECT group_concat(owner) FROM trueup_snapshots WHERE owner <> 'system'";
    assert_eq!(world.sqlite("system.db", owners), "target.sales");
}

#[test]
fn a30_destroy_takes_back_what_is_its_own_and_says_what_stays() {
    for database in stores::Database::both() {
        for vectors in Vectors::both() {
            let world = World::new();
            make_business(&world, "business.db");
            let full = Shop { targets: true, training: true, more: trained(&vectors), ..Shop::default() };
            full.write(&world, &database);
            world.apply().exits(0);
            database.query(&world, "UPDATE items SET name = 'mine' WHERE id = 2");
            vectors.add_foreign(&world, "ddl", "theirs");

            world.trueup(&["destroy"]).exits(64);
            let run = world.trueup(&["destroy", "--auto-approve"]);
            let again = world.trueup(&["destroy", "--auto-approve"]);

            run.exits(0)
                .says("1 row no longer wanted and left alone: changed since")
                .says("accounts stay, because people use them: admin")
                .says("the collection ddl stays: it holds a document of others");
            again.exits(0).warns("nothing left to take back");
            assert_eq!(database.query(&world, "SELECT id, name FROM items"), "2|mine");
            assert_eq!(database.query(&world, "SELECT username FROM users"), "admin");
            assert_eq!(vectors.ids(&world, "ddl"), ["theirs"]);
            let order =
                run.stdout.find("done vector.documents.ddl") < run.stdout.find("done system.seed.items");
            assert!(order, "what was made of the data goes first: {}", run.stdout);
            let history = world.trueup(&["history"]);
            assert!(history.stdout.lines().nth(1).unwrap().contains("destroy"));

            world.spec("version: 1\nstack: shop\nenvironment: dev\nsystem: { url: '${DATABASE_URL}' }\n");
            world.plan().exits(0);
            full.write_spec(&world);
            world.apply().exits(0);
            world.plan().exits(0);
            assert_eq!(vectors.ids(&world, "ddl").len(), 5);
        }
    }
}

#[test]
fn a30_destroy_asks_protection_and_the_environment() {
    on_each_database(|world, database| {
        applied(world, &spec(&seed("demo", ", protect: true")));

        world.trueup(&["destroy", "--auto-approve"]).exits(3).warns("system.seed.demo: protected");
        world.spec(&spec(&seed("demo", ""))).apply().exits(0);
        let production = spec(&seed("demo", "")).replace("environment: dev", "environment: prod")
            + "flags: { seed_demo_data: false }\n";
        world.spec(&production).apply().exits(0);
        world.spec(&spec(&seed("demo", "")));
        world.trueup(&["destroy", "--auto-approve"]).exits(3).warns("--allow environment");

        world
            .trueup(&["destroy", "--auto-approve", "--allow", "environment", "--format", "json"])
            .exits(0)
            .events();
        assert_eq!(items(database), "");
    });
}

#[test]
fn a30_destroy_where_nothing_is_does_nothing() {
    on_each_database(|world, _| {
        world.file("migrations/0001_items.sql", TABLES).file("items.csv", "id,name\na,Apple\n");
        world.spec(&spec(&seed("demo", "")));

        let run = world.trueup(&["destroy", "--auto-approve"]);

        run.exits(0);
        let summary = world.trueup(&["destroy", "--auto-approve", "--format", "json"]).events();
        assert_eq!(summary.last().unwrap()["applied"], 0);
        assert!(!world.path("system.db").exists(), "nothing was made");
    });
}
