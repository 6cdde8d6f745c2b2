//! Values of rows that their columns cannot store, or store as a different value: reported by the
//! plan with file, line and column.

use crate::stacks::{Database, on_each_database};
use crate::world::{Run, World};

fn spec(table: &str, rows: &str) -> String {
    format!(
        "version: 1\nstack: shop\nenvironment: dev\nsystem: {{ url: \"${{DATABASE_URL}}\", create_database: true, \
         migrations: migrations, accounts: false, seeds: {{ s: {{ table: {table}, key: [id], rows: {rows} }} }} }}\n"
    )
}

fn plan(world: &World, table: &str, file: &str, rows: &str) -> Run {
    world.file(file, rows).spec(&spec(table, file)).plan()
}

#[test]
fn a_value_that_its_column_cannot_hold_is_said_with_file_line_and_column() {
    on_each_database(|world, database| {
        let strict = if let Database::Sqlite(_) = database { " STRICT" } else { "" };
        world.file(
            "migrations/0001_t.sql",
            format!("CREATE TABLE t (id integer PRIMARY KEY, n integer, r real){strict};\n"),
        );
        plan(world, "t", "rows.csv", "id,n,r\n").exits(2);
        world.apply().exits(0);

        let csv = plan(world, "t", "rows.csv", "id,n,r\n1,2,3\n\n2,abc,1\n");
        csv.exits(1).warns("rows.csv:4: \"abc\" is no value of column n");
        let yaml = plan(world, "t", "rows.yaml", "- { id: 1, n: 2, r: 1.5 }\n- id: 2\n  n: 1\n  r: much\n");
        yaml.exits(1).warns("rows.yaml:2: \"much\" is no value of column r");
        let key = plan(world, "t", "rows.json", "[\n{\"id\": \"x\", \"n\": null, \"r\": null}]");
        key.exits(1).warns("rows.json:2: \"x\" is no value of column id");

        plan(world, "t", "rows.csv", "id,n,r\n1,-7,1e3\n2,,\n3,0,2.5\n").exits(2);
        world.apply().exits(0);
        world.plan().exits(0);
    });
}

#[test]
fn a_row_that_the_database_rejects_is_named_with_file_and_line() {
    on_each_database(|world, database| {
        let table = "CREATE TABLE t (id integer PRIMARY KEY, n integer CHECK (n > 0), u text UNIQUE);\n\
                     CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree (id));\n";
        world.file("migrations/0001_t.sql", table);
        let many = (10..400).map(|id| format!("{id},{id},u{id}\n")).collect::<Vec<_>>().concat();
        for (rows, line) in [
            (format!("id,n,u\n{many}1,-4,a\n2,5,b\n"), 392),
            (format!("id,n,u\n1,-4,a\n{many}2,5,b\n"), 2),
            (format!("id,n,u\n1,4,a\n2,5,a\n{many}"), 3),
        ] {
            plan(world, "t", "rows.csv", &rows).exits(2);
            world.apply().exits(6).says(&format!("rows.csv:{line}: "));
            assert_eq!(database.sql("SELECT count(*) FROM t"), "0");
        }

        // A row may refer to a later one of the same batch, so that its own failure proves nothing.
        plan(world, "tree", "rows.csv", "id,parent\n1,2\n2,99\n").exits(2);
        world.apply().exits(6).never_says("rows.csv:");
        plan(world, "tree", "rows.csv", "id,parent\n1,2\n2,\n").exits(2);
        world.apply().exits(0);
    });
}

#[test]
fn what_sqlite_would_store_as_another_type_is_remarked_or_refused() {
    let world = World::new();
    world.env("DATABASE_URL", "sqlite://system.db");
    world.file(
        "migrations/0001_t.sql",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, d DECIMAL(9, 2), odd STRING, b BLOB);\n",
    );
    plan(&world, "t", "rows.csv", "id,n,d,odd,b\n1,1.0,2.50,any,0aff\n").exits(2).never_says("no value of");
    world.apply().exits(0);

    let rows = "id,n,d,odd,b\n1,1,2.5,any,0aff\n2,abc,1,any,\n3,1,x,any,\n";
    plan(&world, "t", "rows.csv", rows).exits(2).says(
        "rows.csv:3: \"abc\" is no value of column n (INTEGER): SQLite stores it as a text (and 1 more)",
    );
    // A rowid must be a number, and bytes cannot be compared with text.
    plan(&world, "t", "rows.csv", "id,n\nx,1\n").exits(1).warns("rows.csv:2: \"x\" is no value of column id");
    plan(&world, "t", "rows.csv", "id,b\n2,xyz\n")
        .exits(1)
        .warns("rows.csv:2: \"xyz\" is no value of column b");
}

#[test]
fn a_truth_value_is_a_number_in_a_column_of_numbers() {
    on_each_database(|world, database| {
        world.file(
            "migrations/0001_t.sql",
            "CREATE TABLE t (id integer PRIMARY KEY, n integer, r numeric);\n",
        );
        plan(world, "t", "rows.json", "[{\"id\": 1, \"n\": true, \"r\": false}]").exits(2);
        world.apply().exits(0);

        assert_eq!(database.sql("SELECT id, n + 0, r + 0 FROM t WHERE n = 1 AND r = 0"), "1|1|0");
        world.plan().exits(0);
    });
}

#[test]
fn a_plan_does_not_show_what_a_column_of_secrets_is_given() {
    on_each_database(|world, database| {
        world.file(
            "migrations/0001_t.sql",
            "CREATE TABLE t (id integer PRIMARY KEY, host text, smtp_password text, api_token text);\n",
        );
        let rows = "id,host,smtp_password,api_token\n1,mail.example,hunter2hunter2,tok-12345\n";
        plan(world, "t", "rows.csv", rows)
            .exits(2)
            .says("(secret)")
            .says("mail.example")
            .never_says("hunter2");
        for format in ["json", "markdown", "text"] {
            let plan = world.trueup(&["plan", "-v", "--format", format, "--out", "plan.json"]);
            plan.never_says("hunter2").never_says("tok-12345");
        }
        let saved = world.read("plan.json");
        assert!(!saved.contains("hunter2") && !saved.contains("tok-12345"), "{saved}");

        world.file("rows.csv", rows.replace("hunter2hunter2", "hunter3"));
        world.trueup(&["apply", "plan.json"]).never_says("hunter").exits(5);
        world.file("rows.csv", rows);
        world.trueup(&["apply", "plan.json"]).exits(0);

        assert_eq!(database.sql("SELECT smtp_password, api_token FROM t"), "hunter2hunter2|tok-12345");
        world.plan().exits(0);
    });
}

#[test]
fn two_rows_that_are_one_for_the_database_are_an_error_of_the_plan() {
    on_each_database(|world, database| {
        let (columns, index) = match database {
            Database::Sqlite(_) => ("code TEXT COLLATE NOCASE UNIQUE, name text", ""),
            Database::Postgres(_) => ("code text, name text", "CREATE UNIQUE INDEX u ON t (upper(code));\n"),
        };
        world.file(
            "migrations/0001_t.sql",
            format!("CREATE TABLE t (id integer PRIMARY KEY, {columns});\n{index}"),
        );
        plan(world, "t", "rows.csv", "id,code,name\n").exits(2);
        world.apply().exits(0);

        let rows = "id,code,name\n1,A,x\n2,b,x\n3,a,x\n";
        plan(world, "t", "rows.csv", rows)
            .exits(1)
            .warns("rows.csv:4: id \"3\" is the same row as rows.csv:2: id \"1\"");
        plan(world, "t", "rows.csv", "id,code,name\n1,A,x\n2,b,x\n3,,x\n4,,x\n").exits(2);
        world.apply().exits(0);
        world.plan().exits(0);
    });
}

#[test]
fn a_number_that_postgresql_rounds_is_remarked_with_what_it_stores() {
    let database = Database::Postgres(crate::servers::Postgres::start());
    let world = World::new();
    world.env("DATABASE_URL", database.url());
    world.file(
        "migrations/0001_t.sql",
        "CREATE TABLE t (id integer PRIMARY KEY, price numeric(10,2), r real);\n",
    );
    plan(&world, "t", "rows.csv", "id,price,r\n").exits(2);
    world.apply().exits(0);

    let rows = "id,price,r\n1,1.50,0.1\n2,10.005,1e3\n3,3.14159,0.123456789\n";
    let planned = plan(&world, "t", "rows.csv", rows);
    world.apply().exits(0);

    planned
        .exits(2)
        .says("rows.csv:3: \"10.005\" is rounded to 10.01 in column price (numeric(10,2)) (and 1 more)");
    assert_eq!(database.sql("SELECT price, r FROM t ORDER BY id"), "1.50|0.1\n10.01|1000\n3.14|0.12345679");
    plan(&world, "t", "rows.csv", "id,price,r\n3,3.14,0.123456789\n")
        .exits(0)
        .says("\"0.123456789\" is rounded to 0.12345679 in column r (real)");
}

#[test]
fn a_key_that_is_stored_in_another_case_is_an_error_of_the_plan() {
    on_each_database(|world, database| {
        let (before, column) = match database {
            Database::Sqlite(_) => ("", "TEXT COLLATE NOCASE"),
            Database::Postgres(_) => ("CREATE EXTENSION citext;\n", "citext"),
        };
        world.file(
            "migrations/0001_t.sql",
            format!("{before}CREATE TABLE t (id {column} PRIMARY KEY, name text);\n"),
        );
        plan(world, "t", "rows.csv", "id,name\n").exits(2);
        world.apply().exits(0);
        database.sql("INSERT INTO t VALUES ('Theirs', 'x')");

        let respelled = "rows.csv:3: id \"theirs\" is stored under another spelling";
        plan(world, "t", "rows.csv", "id,name\nours,x\ntheirs,y\n").exits(1).warns(respelled);
        plan(world, "t", "rows.csv", "id,name\nours,x\nTheirs,y\n").exits(2);
        world.apply().exits(0);
        world.plan().exits(0);
        assert_eq!(database.sql("SELECT * FROM t ORDER BY id"), "ours|x\nTheirs|x");

        // A mirror may respell its own rows.
        let mirror = spec("t", "rows.csv").replace("rows:", "mode: mirror, rows:");
        world.file("rows.csv", "id,name\nOURS,x\n").spec(&mirror).plan().exits(2);
        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
        assert_eq!(database.sql("SELECT * FROM t ORDER BY id"), "OURS|x\nTheirs|x");
        world.plan().exits(0);
    });
}
