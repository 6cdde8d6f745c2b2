//! Keys of seeds that do not identify one row, or that the table compares otherwise than they are
//! spelled.

use super::*;

fn notes(mut bench: Bench, mode: SeedMode) -> Bench {
    let tables = "CREATE TABLE notes (code text, note text);";
    bench.migrate(&[("0001_notes", tables)]);
    let rows: [&[&str]; 2] = [&["a", "ours"], &["b", "ours"]];
    bench.put("notes", seed("notes", "code", mode, &["code", "note"], &rows));
    bench
}

#[test]
fn a19_a_row_is_not_taken_back_when_the_key_does_not_tell_it_from_one_of_the_application() {
    on_each_database(|b| async move {
        let mut b = notes(b, SeedMode::Insert);
        b.converge().await;
        b.execute("INSERT INTO notes VALUES ('a', 'theirs')").await;

        b.seed("notes").on = false;
        let diff = b.diff().await;

        assert!(diff.notes[0].contains("1 row no longer wanted and left alone"), "{:?}", diff.notes);
        b.apply(diff).await.unwrap();
        assert_eq!(b.query("SELECT code, note FROM notes ORDER BY note").await, ["a|ours", "a|theirs"]);
    });
}

#[test]
fn a18_a_key_that_several_rows_have_is_an_error_of_the_plan_where_rows_would_be_changed() {
    on_each_database(|b| async move {
        let mut b = notes(b, SeedMode::Upsert);
        b.converge().await;
        b.execute("INSERT INTO notes VALUES ('a', 'theirs')").await;

        let diff = b.diff().await;

        assert_eq!(
            diff.faults[0].message,
            "several rows of notes have code \"a\", and they are not the same"
        );
        b.seed("notes").mode = SeedMode::Insert;
        assert!(b.converge().await.is_empty());
        assert_eq!(b.query("SELECT note FROM notes WHERE code = 'a' ORDER BY 1").await, ["ours", "theirs"]);
    });
}

#[test]
fn a18_a_row_that_the_table_takes_for_another_one_is_said_and_nothing_is_written() {
    on_each_database(|b| async move {
        let mut b = notes(b, SeedMode::Upsert);
        let tables = match b.dialect() {
            Dialect::Sqlite => "CREATE TABLE notes (code text PRIMARY KEY COLLATE nocase, note text);",
            Dialect::Postgres => {
                "CREATE COLLATION plain (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
                 CREATE TABLE notes (code text COLLATE plain PRIMARY KEY, note text);"
            }
        };
        b.migrate(&[("0001_notes", tables)]);
        edit(b.seed("notes"), |rows| rows[1][0] = some("A"));

        let failed = b.apply(b.diff().await).await.unwrap_err().to_string();

        assert!(failed.contains("code \"A\" is the same row as code \"a\""), "{failed}");
        assert_eq!(b.query("SELECT count(*) FROM notes").await, ["0"]);
    });
}

/// Items of a seed keyed by `id`, of which another one wants the first by its name.
fn items(mut bench: Bench, table: &str) -> Bench {
    bench.migrate(&[("0001_items", table)]);
    let rows: [&[&str]; 2] = [&["1", "Apple"], &["2", "Bread"]];
    let (mode, seeds) = (SeedMode::Insert, &mut bench.stack.system.seeds);
    seeds.insert("a".into(), seed("items", "id", mode, &["id", "name"], &rows));
    seeds.insert("b".into(), seed("items", "name", mode, &["id", "name"], &[&["9", "Apple"]]));
    bench
}

#[test]
fn a19_a_row_that_another_seed_wants_by_another_key_stays() {
    on_each_database(|b| async move {
        let mut b = items(b, "CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL UNIQUE)");
        b.converge().await;
        b.seed("a").on = false;

        let steps = b.converge().await;

        assert_eq!(steps, ["delete system.seed.a: 1 row to delete (switched off)"]);
        assert_eq!(b.query("SELECT id, name FROM items").await, ["1|Apple"]);
    });
}

#[test]
fn a19_rows_stay_and_are_spoken_of_where_nothing_tells_whether_another_seed_wants_them() {
    on_each_database(|b| async move {
        let mut b = items(b, "CREATE TABLE items (id integer, name text)");
        b.converge().await;
        b.seed("a").on = false;

        let diff = b.diff().await;

        assert!(diff.changes.is_empty());
        assert_eq!(
            diff.notes,
            [
                "system.seed.a: 2 rows no longer wanted and left alone: perhaps wanted by system.seed.b, where \
              other columns are the key"
            ]
        );
    });
}
