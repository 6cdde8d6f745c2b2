//! A19: rows that are not deleted: locked ones, and ones that other rows refer to.

use crate::a_seeds::{ROWS, TABLES, spec, switched_off};
use crate::servers::{Postgres, wait_until};
use crate::world::World;

/// Counts the sessions of a database in a given state.
fn sessions(database: &Postgres, state: &str) -> String {
    database.psql(&format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {state}"
    ))
}

#[test]
fn a19_a_row_that_is_changed_or_referred_to_while_it_is_taken_back_stays() {
    let (database, world) = (Postgres::start(), World::new());
    let tables = TABLES.replace("REFERENCES items (id)", "REFERENCES items (id) ON DELETE CASCADE");
    world.env("DATABASE_URL", database.url()).file("migrations/0001_items.sql", tables);
    world.file("items.csv", ROWS).spec(&spec("insert")).apply().exits(0);
    world.spec(&switched_off());
    let mut application = database.session();
    application.send("BEGIN; UPDATE items SET note = 'theirs' WHERE id = 'a'");
    application.send("INSERT INTO orders VALUES ('o', 'b')");
    wait_until("the order", || {
        let idle = "state = 'idle in transaction' AND query LIKE 'INSERT INTO orders%'";
        sessions(&database, idle) == "1"
    });

    let applying = world.start(&["apply", "--auto-approve"]);
    wait_until("the wait", || sessions(&database, "wait_event_type = 'Lock'") == "1");
    application.send("COMMIT");
    let applied = applying.ends();

    application.end();
    applied.exits(0).warns("1 row no longer wanted and left alone: changed since this tool wrote them");
    applied.warns("1 row no longer wanted and left alone: referred to by rows that stay");
    assert_eq!(database.psql("SELECT id, note FROM items ORDER BY 1"), "a|theirs\nb|none");
    assert_eq!(database.psql("SELECT id, item FROM orders"), "o|b");
    world.plan().exits(0);
}
