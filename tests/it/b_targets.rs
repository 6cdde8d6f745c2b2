//! Faulty targets: the plan reports the fault, and everything else is applied.

use crate::stores::{Database, Shop, Vectors, addresses, entry, make_business, trained};
use crate::world::World;

/// Creates a stack with the target `business.db`, which a test creates or corrupts, and training
/// from it.
fn with_target(database: &Database) -> World {
    let world = World::new();
    write_with_target(&world, database);
    world
}

fn write_with_target(world: &World, database: &Database) {
    let more = trained(&Vectors::Sqlite);
    Shop { targets: true, training: true, more, ..Shop::default() }.write(world, database);
}

/// Asserts that the plan reports `what` about the target, and that `apply` does the rest.
#[track_caller]
fn is_blocked_alone(world: &World, database: &Database, what: &str) {
    let plan = world.trueup(&["plan", "--detailed-exitcode", "--format", "json"]).exits(3).json();
    let check = entry(&plan, "checks", "target.business.access");
    assert_eq!(check["status"], "fail");
    let message = check["message"].as_str().unwrap();
    assert!(message.contains(what) && message.contains("business.db"), "{message} does not say {what:?}");
    for address in ["target.business.schema", "vector.documents.ddl"] {
        let reason = entry(&plan, "blocked", address)["reason"].as_str().unwrap();
        assert!(reason.contains("target.business.access"), "{reason}");
    }
    assert!(addresses(&plan).contains(&"system.seed.items".to_owned()));

    world.apply().exits(6).warns("target.business.access").warns(what);

    assert_eq!(database.query(world, "SELECT count(*) FROM items"), "3");
    let left = world.trueup(&["plan", "--format", "json"]).exits(3).json();
    assert!(!addresses(&left).iter().any(|address| address.starts_with("system.")), "{left:#}");
}

#[test]
fn b03_a_target_that_is_down_blocks_what_needs_it_and_nothing_else() {
    for database in Database::both() {
        let world = with_target(&database);

        is_blocked_alone(&world, &database, "there is no file");

        make_business(&world, "business.db");
        world.apply().exits(0);
        world.plan().exits(0);
        assert_eq!(Vectors::Sqlite.ids(&world, "ddl").len(), 4);
    }
}

#[test]
fn b03_a_trained_store_keeps_its_documents_while_the_target_is_down() {
    let world = with_target(&Database::Sqlite);
    make_business(&world, "business.db");
    world.apply().exits(0);
    let trained = Vectors::Sqlite.read(&world, "ddl");
    Vectors::Sqlite.watch(&world);

    std::fs::rename(world.path("business.db"), world.path("away.db")).unwrap();
    let plan = world.trueup(&["plan", "--format", "json"]);
    let apply = world.apply();

    assert_eq!(addresses(&plan.exits(3).json()), [""; 0]);
    apply.exits(6);
    assert_eq!(Vectors::Sqlite.read(&world, "ddl"), trained);
    assert_eq!(Vectors::Sqlite.watched(&world), (vec![], vec![]));
}

/// Replaces the target.
type Make<'a> = &'a dyn Fn(&World);

#[test]
fn b04_each_way_to_be_no_database_is_said_as_that() {
    let empty = |world: &World| _ = world.file("business.db", "");
    let text = |world: &World| _ = world.file("business.db", "customer,amount\n1,2\n".repeat(100));
    let folder = |world: &World| std::fs::create_dir(world.path("business.db")).unwrap();
    let corrupt = |world: &World| {
        make_business(world, "business.db");
        let mut bytes = std::fs::read(world.path("business.db")).unwrap();
        // The first page keeps its header, so the file still looks like a database.
        bytes[100..].fill(0xa5);
        world.file("business.db", bytes);
    };
    let truncated = |world: &World| {
        make_business(world, "business.db");
        let bytes = std::fs::read(world.path("business.db")).unwrap();
        world.file("business.db", &bytes[..5000]);
    };
    let cases: [(Make<'_>, &str); 5] = [
        (&empty, "is empty"),
        (&text, "is not an SQLite database"),
        (&folder, "is not a file"),
        (&corrupt, "is corrupt"),
        (&truncated, "is corrupt"),
    ];

    for (make, what) in cases {
        let world = with_target(&Database::Sqlite);
        make(&world);

        is_blocked_alone(&world, &Database::Sqlite, what);

        assert!(!world.path("vector.db").exists() || Vectors::Sqlite.ids(&world, "ddl").is_empty());
    }
}

#[test]
fn b04_a_file_that_may_not_be_read_is_said_as_that() {
    let world = World::of_plain_user();
    write_with_target(&world, &Database::Sqlite);
    make_business(&world, "business.db");
    world.set_mode("business.db", 0o000);

    is_blocked_alone(&world, &Database::Sqlite, "cannot be read");
}

#[test]
fn b_a_target_is_never_written_and_nothing_is_left_beside_it() {
    let world = with_target(&Database::Sqlite);
    make_business(&world, "business.db");
    world.sqlite("business.db", "PRAGMA journal_mode = wal; INSERT INTO products VALUES (1, 'pen', 2)");
    let look = || {
        let path = world.path("business.db");
        (std::fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap())
    };
    let before = look();

    world.apply().exits(0);
    world.plan().exits(0);

    assert_eq!(look(), before);
    assert!(!world.path("business.db-wal").exists() && !world.path("business.db-shm").exists());
}
