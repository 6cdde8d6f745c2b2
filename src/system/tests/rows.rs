//! Seeds in their three modes, and taking them back.

use super::*;

const TABLES: &str = "CREATE TABLE accounts (id integer PRIMARY KEY, name varchar(20) NOT NULL, active boolean, balance numeric(12,2), opened date);
    CREATE TABLE transactions (id integer PRIMARY KEY, account_id integer NOT NULL REFERENCES accounts(id), note text);";

fn bench(mut bench: Bench, mode: SeedMode) -> Bench {
    bench.migrate(&[("0001_init", TABLES)]);
    let columns = ["id", "name", "active", "balance", "opened"];
    let rows: [&[&str]; 2] =
        [&["1", "Cash", "true", "1.50", "2024-01-02"], &["2", "Bank", "no", "NULL", "NULL"]];
    // Named so that the order of names is not that of the references.
    bench.put("z_accounts", seed("accounts", "id", mode, &columns, &rows));
    let rows: [&[&str]; 2] = [&["10", "1", "rent"], &["11", "2", "NULL"]];
    let transactions = seed("transactions", "id", mode, &["id", "account_id", "note"], &rows);
    bench.put("a_transactions", transactions);
    bench
}

fn switch_off(bench: &mut Bench) {
    bench.stack.system.seeds.values_mut().for_each(|seed| seed.on = false);
}

#[test]
fn a01_an_empty_server_is_planned_whole_and_converges() {
    on_each_database(|b| async move {
        let b = bench(b, SeedMode::Insert);

        let steps = b.converge().await;

        assert_eq!(
            steps,
            [
                format!("create system.database: an empty {} database (missing)", b.dialect()),
                "run system.migration.0001_init: 2 statements (pending)".into(),
                "create system.seed.z_accounts: 2 rows to insert (missing)".into(),
                "create system.seed.a_transactions: 2 rows to insert (missing)".into(),
            ]
        );
        assert_eq!(b.query("SELECT count(*) FROM transactions").await, ["2"]);
    });
}

#[test]
fn a02_equal_values_in_other_spellings_are_no_change() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        b.converge().await;

        edit(b.seed("z_accounts"), |rows| {
            rows[0][2] = some("yes");
            rows[0][3] = some("1.5");
        });

        let diff = b.diff().await;
        assert!(diff.changes.is_empty());
        assert_eq!(diff.unchanged, 4);
    });
}

#[test]
fn a18_insert_leaves_rows_that_the_application_changed() {
    on_each_database(|b| async move {
        let b = bench(b, SeedMode::Insert);
        b.converge().await;
        b.execute("UPDATE accounts SET name = 'Till' WHERE id = 1; DELETE FROM transactions WHERE id = 11")
            .await;

        let steps = b.converge().await;

        assert_eq!(steps, ["update system.seed.a_transactions: 1 row to insert (1 missing)"]);
        assert_eq!(b.query("SELECT name FROM accounts ORDER BY id").await, ["Till", "Bank"]);
    });
}

#[test]
fn a18_upsert_changes_what_differs_and_deletes_nothing() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        b.converge().await;
        b.execute("UPDATE accounts SET name = 'Till' WHERE id = 1").await;
        edit(b.seed("a_transactions"), |rows| drop(rows.pop()));

        let steps = b.converge().await;

        assert_eq!(steps, ["update system.seed.z_accounts: 1 row to change (1 different)"]);
        assert_eq!(b.query("SELECT name FROM accounts ORDER BY id").await, ["Cash", "Bank"]);
        assert_eq!(b.query("SELECT count(*) FROM transactions").await, ["2"]);
    });
}

#[test]
fn a_changed_row_shows_its_key_and_the_columns_that_differ() {
    on_each_database(|b| async move {
        let b = bench(b, SeedMode::Upsert);
        b.converge().await;
        b.execute("UPDATE accounts SET name = 'Till', balance = 9 WHERE id = 1").await;
        b.execute("UPDATE accounts SET opened = '2020-01-01' WHERE id = 2").await;

        let diff = b.diff().await;

        let lines = "~id: 1, balance: 1.50, name: Cash\n~id: 2, opened: null\n";
        assert_eq!(diff.changes[0].diff.as_deref(), Some(lines));
    });
}

#[test]
fn the_columns_that_differ_are_known_only_for_the_rows_that_were_compared() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        b.converge().await;
        b.execute("UPDATE accounts SET name = 'Till' WHERE id = 1").await;
        let (observed, inventory) = b.observe().await;
        edit(b.seed("z_accounts"), |rows| rows[0][2] = some("no"));

        let diff = diff(&Desired::new(&b.stack, b.dialect()), &observed, &inventory);

        let line = "~id: 1, active: no, balance: 1.50, name: Cash, opened: 2024-01-02\n";
        assert_eq!(diff.changes[0].diff.as_deref(), Some(line));
    });
}

#[test]
fn a18_mirror_deletes_only_what_this_tool_inserted() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Mirror);
        b.converge().await;
        b.execute("INSERT INTO transactions (id, account_id, note) VALUES (12, 1, 'by hand')").await;
        edit(b.seed("a_transactions"), |rows| drop(rows.pop()));

        let steps = b.converge().await;

        assert_eq!(
            steps,
            ["update system.seed.a_transactions: 1 row to delete (1 no longer in the spec)"]
                .map(|s| s.replace("update", "delete"))
        );
        assert_eq!(b.query("SELECT id FROM transactions ORDER BY id").await, ["10", "12"]);
    });
}

#[test]
fn a18_an_upsert_does_not_make_a_row_ours() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        let seeds = std::mem::take(&mut b.stack.system.seeds);
        b.converge().await;
        b.execute("INSERT INTO accounts (id, name) VALUES (1, 'theirs')").await;
        b.stack.system.seeds = seeds;
        b.converge().await;
        switch_off(&mut b);

        b.converge().await;

        assert_eq!(b.query("SELECT name FROM accounts").await, ["Cash"]);
    });
}

#[test]
fn a18_a_missing_table_or_column_is_a_fault_that_names_the_nearest() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Insert);
        b.converge().await;
        b.seed("z_accounts").table = "acounts".into();
        b.seed("a_transactions").columns[2] = "notes".into();

        let faults = b.diff().await.faults;

        let said: Vec<_> =
            faults.iter().map(|fault| (fault.message.as_str(), fault.help.as_deref())).collect();
        assert_eq!(
            said,
            [
                (
                    "column notes does not exist in table transactions, and no migration is pending",
                    Some("did you mean `note`?")
                ),
                (
                    "table acounts does not exist, and no migration is pending that could make it",
                    Some("did you mean `accounts`?")
                ),
            ]
        );
    });
}

#[test]
fn a19_turning_seeds_off_takes_back_unchanged_rows_children_first() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Insert);
        b.converge().await;
        switch_off(&mut b);

        let steps = b.converge().await;

        assert_eq!(
            steps,
            [
                "delete system.seed.a_transactions: 2 rows to delete (switched off)",
                "delete system.seed.z_accounts: 2 rows to delete (switched off)",
            ]
        );
        assert_eq!(b.query("SELECT count(*) FROM accounts").await, ["0"]);
        assert!(b.row_entries().await.is_empty());
    });
}

#[test]
fn a_delete_names_its_first_rows_by_key() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Mirror);
        let written: Vec<_> = (1..=12).map(|id| vec![Some(id.to_string()), some("1"), None]).collect();
        edit(b.seed("a_transactions"), |rows| *rows = written);
        b.converge().await;
        edit(b.seed("a_transactions"), |rows| rows.truncate(2));

        let diff = b.diff().await;

        let lines = "-id: 3\n-id: 4\n-id: 5\n-id: 6\n-id: 7\n … 5 more rows to delete\n";
        assert_eq!(diff.changes[0].diff.as_deref(), Some(lines));
    });
}

#[test]
fn a19_rows_that_were_changed_or_are_referred_to_stay() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Insert);
        b.converge().await;
        b.execute("UPDATE transactions SET note = 'mine' WHERE id = 10").await;
        b.stack.system.seeds.clear();

        b.converge().await;

        assert_eq!(b.query("SELECT id FROM transactions").await, ["10"]);
        assert_eq!(b.query("SELECT id FROM accounts").await, ["1"]);
        assert_eq!(
            b.diff().await.notes,
            [
                "system.seed.a_transactions: 1 row no longer wanted and left alone: changed since this tool wrote them",
                "system.seed.z_accounts: 1 row no longer wanted and left alone: referred to by rows that stay",
            ]
        );
    });
}

#[test]
fn a19_without_the_table_nothing_is_planned() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Insert);
        b.converge().await;
        b.execute("DROP TABLE transactions; DROP TABLE accounts").await;
        switch_off(&mut b);

        let diff = b.diff().await;

        assert!(diff.changes.is_empty() && diff.faults.is_empty() && diff.notes.is_empty());
    });
}

#[test]
fn mirrors_that_insert_and_delete_on_both_sides_of_a_reference_settle_in_rounds() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Mirror);
        b.converge().await;
        edit(b.seed("z_accounts"), |rows| rows[1] = vec![some("3"), some("New"), None, None, None]);
        edit(b.seed("a_transactions"), |rows| rows[1] = vec![some("13"), some("3"), None]);

        let diff = b.diff().await;
        let waiting: Vec<_> = diff.deferred.iter().map(|held| held.reason.clone()).collect();
        b.apply(diff).await.unwrap();
        b.converge().await;

        assert_eq!(waiting, ["1 to delete, known after system.seed.a_transactions"]);
        assert_eq!(b.query("SELECT id FROM accounts ORDER BY id").await, ["1", "3"]);
        assert_eq!(b.query("SELECT id FROM transactions ORDER BY id").await, ["10", "13"]);
    });
}

#[test]
fn rows_of_one_table_that_refer_to_each_other_are_taken_back_together() {
    on_each_database(|mut b| async move {
        let tree = "CREATE TABLE nodes (id text PRIMARY KEY, parent text REFERENCES nodes(id))";
        b.migrate(&[("0001_tree", tree)]);
        let rows: [&[&str]; 3] = [&["a", "NULL"], &["b", "a"], &["c", "b"]];
        b.put("tree", seed("nodes", "id", SeedMode::Insert, &["id", "parent"], &rows));
        b.converge().await;
        b.stack.system.seeds.clear();

        let steps = b.converge().await;

        assert_eq!(steps, ["delete system.seed.tree: 3 rows to delete (gone from the spec)"]);
    });
}

#[test]
fn an_empty_mirror_is_guarded_against_mass_deletion() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Mirror);
        b.converge().await;
        edit(b.seed("a_transactions"), Vec::clear);

        let diff = b.diff().await;

        assert_eq!(diff.changes[0].guard, Some(crate::change::Guard::MassDelete));
    });
}

#[test]
fn a_text_that_is_too_long_is_an_error_and_never_cut() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        edit(b.seed("z_accounts"), |rows| rows[0][1] = some(&"x".repeat(21)));

        let failed = b.apply(b.diff().await).await;

        match b.dialect() {
            Dialect::Postgres => assert!(
                failed
                    .unwrap_err()
                    .to_string()
                    .contains("is no value of column name (character varying(20))")
            ),
            Dialect::Sqlite => drop(failed.unwrap()),
        }
    });
}

#[test]
fn a_value_that_the_column_does_not_keep_is_an_error_and_writes_nothing() {
    on_each_database(|mut b| async move {
        let keeps = b.dialect() == Dialect::Sqlite;
        let table = "CREATE TABLE waits (id integer PRIMARY KEY, wait time)";
        b.migrate(&[("0001_waits", table)]);
        // Only the moment of the write tells what is stored.
        let rows: [&[&str]; 1] = [&["1", "now"]];
        b.put("waits", seed("waits", "id", SeedMode::Upsert, &["id", "wait"], &rows));

        let done = b.apply(b.diff().await).await;

        if !keeps {
            let said = done.as_ref().unwrap_err().to_string();
            assert!(said.contains("keeps other values than the spec writes, in wait"), "{said}");
            assert!(said.contains("in the spec and stored as \""), "{said}");
        }
        assert_eq!(b.query("SELECT count(*) FROM waits").await, [if keeps { "1" } else { "0" }]);
    });
}

#[test]
fn a_value_that_its_column_rounds_converges() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        edit(b.seed("z_accounts"), |rows| rows[0][3] = some("1.005"));

        b.converge().await;
    });
}

#[test]
fn a_sequence_goes_on_after_the_rows_that_were_inserted() {
    on_each_database(|mut b| async move {
        let table = match b.dialect() {
            Dialect::Postgres => "CREATE TABLE items (id bigserial PRIMARY KEY, name text)",
            Dialect::Sqlite => "CREATE TABLE items (id integer PRIMARY KEY AUTOINCREMENT, name text)",
        };
        b.migrate(&[("0001_items", table)]);
        let rows: [&[&str]; 2] = [&["1", "one"], &["7", "seven"]];
        b.put("items", seed("items", "id", SeedMode::Insert, &["id", "name"], &rows));
        b.converge().await;

        b.execute("INSERT INTO items (name) VALUES ('theirs')").await;

        assert_eq!(b.query("SELECT id FROM items WHERE name = 'theirs'").await, ["8"]);
    });
}

#[test]
fn a_world_that_was_not_asked_defers() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Insert);
        b.converge().await;
        let (observed, inventory) = b.observe().await;
        edit(b.seed("z_accounts"), |rows| rows[0][0] = some("5"));
        b.seed("a_transactions").key = vec!["note".into()];

        let diff = diff(&Desired::new(&b.stack, b.dialect()), &observed, &inventory);

        let held: Vec<_> =
            diff.deferred.iter().map(|held| format!("{}: {}", held.address, held.reason)).collect();
        assert!(held.contains(&"system.seed.z_accounts: not observed".into()));
    });
}

#[test]
fn a_row_without_a_key_and_two_rows_with_one_are_faults() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        b.converge().await;
        edit(b.seed("z_accounts"), |rows| rows[1][0] = some("01"));
        edit(b.seed("a_transactions"), |rows| rows[0][0] = None);

        let faults = b.diff().await.faults;

        let said: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(said, ["the key column id is empty", "two rows have the same key: 01"]);
    });
}

#[test]
fn a23_a_create_is_seen_the_same_before_and_after_its_migration_ran() {
    on_each_database(|b| async move {
        let mut b = bench(b, SeedMode::Upsert);
        let planned = b.diff().await.changes;
        b.converge_without_seeds().await;

        let again = b.diff().await.changes;

        let of_seeds = |changes: Vec<Planned<Change>>| {
            let seeds = changes.into_iter().filter(|planned| planned.address.as_str().contains("seed"));
            seeds
                .map(|planned| (planned.address, planned.action, planned.after, planned.seen))
                .collect::<Vec<_>>()
        };
        assert_eq!(of_seeds(planned), of_seeds(again));
    });
}
