use super::*;
use crate::sql::{Database, SqliteMode, open_sqlite};

/// The snapshot of a new file after some statements.
async fn snapshot_of(statements: &str) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let database = open_sqlite(&folder.path().join("it.db"), SqliteMode::Create).await.unwrap();
    let Database::Sqlite(pool) = &database else { unreachable!() };
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(pool).await.unwrap();
    let snapshot = introspect(&database).await.unwrap();
    database.close().await;
    snapshot
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.tables.keys().map(ToString::to_string).collect()
}

#[tokio::test]
async fn b08_names_of_every_kind_are_read_as_they_are() {
    let snapshot = snapshot_of(
        r#"CREATE TABLE "order items" ("Größe" TEXT, "se""lect" INT, "from" TEXT, "id" INTEGER PRIMARY KEY);
           CREATE TABLE [حسابات] (`رقم` INTEGER, "💰" DECIMAL(10,2) DEFAULT 0);
           CREATE TABLE "a.b" (x);
           CREATE TABLE "it's" (x);"#,
    )
    .await;

    assert_eq!(names(&snapshot), ["main.a.b", "it's", "order items", "حسابات"]);
    let items = &snapshot.tables[&TableName::plain("order items")];
    let columns: Vec<&str> = items.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["Größe", "se\"lect", "from", "id"]);
    let money = snapshot.tables[&TableName::plain("حسابات")].column("💰").unwrap();
    assert_eq!((money.data_type.as_str(), money.kind), ("DECIMAL(10,2)", ValueKind::Decimal));
    assert_eq!(money.default.as_deref(), Some("0"));
}

#[tokio::test]
async fn keys_checks_generated_columns_and_indexes_are_read() {
    let snapshot = snapshot_of(
        "CREATE TABLE node (
           id INTEGER PRIMARY KEY, parent INT REFERENCES node ON DELETE CASCADE, -- CHECK (no)
           a INT NOT NULL CHECK (a > 0 AND (a < ')')), /* CHECK (neither) */
           both INT GENERATED ALWAYS AS (a + coalesce(parent, 0)) STORED,
           twice AS (a * 2),
           CONSTRAINT small CHECK (a < 100), UNIQUE (a, parent)
         );
         CREATE TABLE pair (y TEXT, x INT, PRIMARY KEY (x, y),
           FOREIGN KEY (x, y) REFERENCES pair (x, y) ON UPDATE SET NULL) WITHOUT ROWID;
         CREATE TABLE half (id INTEGER, name TEXT PRIMARY KEY);
         CREATE UNIQUE INDEX live ON node (lower(a || ','), parent DESC) WHERE a > 1 AND parent <> 2;",
    )
    .await;

    let node = snapshot.table("node").unwrap();
    assert_eq!(node.primary_key, ["id"]);
    assert!(node.column("id").unwrap().identity && !node.column("id").unwrap().nullable);
    assert_eq!(node.column("both").unwrap().generated.as_deref(), Some("a + coalesce(parent, 0)"));
    assert_eq!(node.column("both").unwrap().data_type, "INT");
    assert_eq!(node.column("twice").unwrap().generated.as_deref(), Some("a * 2"));
    let checks: Vec<&String> = node.checks.iter().collect();
    assert_eq!(checks, ["CHECK (a < 100)", "CHECK (a > 0 AND (a < ')'))"]);
    let parent = node.foreign_keys.first().unwrap();
    assert_eq!(
        (parent.references.len(), parent.actions.as_slice()),
        (0, ["ON DELETE CASCADE".to_owned()].as_slice())
    );
    let live = &node.indexes["live"];
    assert_eq!(live.keys, ["lower(a || ',')", "parent DESC"]);
    assert_eq!(live.predicate.as_deref(), Some("a > 1 AND parent <> 2"));
    assert_eq!(node.indexes["sqlite_autoindex_node_1"].keys, ["a", "parent"]);

    let pair = snapshot.table("pair").unwrap();
    assert_eq!(pair.primary_key, ["x", "y"]);
    let own = pair.foreign_keys.first().unwrap();
    assert_eq!(
        (own.columns.as_slice(), own.references.as_slice()),
        (pair.primary_key.as_slice(), pair.primary_key.as_slice())
    );
    assert!(!pair.column("x").unwrap().identity);
    assert!(!snapshot.table("half").unwrap().columns.iter().any(|column| column.identity));
}

#[tokio::test]
async fn what_is_this_tools_or_the_inside_of_something_is_left_out() {
    let snapshot = snapshot_of(
        "CREATE TABLE trueup_runs (x); CREATE TABLE _sqlx_migrations (x); CREATE TABLE trueupx (x);
         CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT);
         CREATE VIRTUAL TABLE texts USING fts5(title, body);",
    )
    .await;

    assert_eq!(names(&snapshot), ["auto", "texts", "trueupx"]);
    let texts = snapshot.table("texts").unwrap();
    assert_eq!(texts.kind, TableKind::Foreign);
    assert_eq!(texts.columns.len(), 2);
}

#[tokio::test]
async fn a_broken_view_hides_nothing_else() {
    let snapshot = snapshot_of(
        r#"CREATE TABLE t (a INT, "as" TEXT);
           CREATE VIEW good (x, y) AS SELECT a, "as" FROM t;
           CREATE VIEW bad AS SELECT a FROM t;
           CREATE TABLE gone (z); CREATE VIEW broken AS SELECT z FROM gone; DROP TABLE gone;"#,
    )
    .await;

    assert_eq!(names(&snapshot), ["bad", "broken", "good", "t"]);
    assert_eq!(snapshot.table("good").unwrap().columns.len(), 2);
    assert_eq!(snapshot.table("good").unwrap().definition.as_deref(), Some(r#"SELECT a, "as" FROM t"#));
    assert!(snapshot.table("broken").unwrap().columns.is_empty());
    assert_eq!(snapshot.table("t").unwrap().columns.len(), 2);
}

#[test]
fn a_tables_name_is_read_back_as_it_was_written() {
    let names = [
        (None, "orders"),
        (None, "a.b"),
        (None, "\"x"),
        (None, "main.x"),
        (Some("app"), "orders"),
        (Some("app"), "a.b"),
        (Some("main"), "t"),
        (Some("a.b"), "c.d"),
    ];
    for (schema, name) in names {
        let name = TableName { schema: schema.map(str::to_owned), name: name.to_owned() };
        assert_eq!(TableName::parse(&name.to_string()), name, "{name}");
    }
}
