use std::collections::BTreeSet;

use super::*;

fn column(name: &str, data_type: &str) -> Column {
    Column::plain(name, data_type, ValueKind::of_postgres(data_type))
}

/// A table of text columns that refers to another by its first column.
fn table(columns: &[&str], to: &str) -> Table {
    let mut table = Table::empty(TableKind::Table);
    table.columns = columns.iter().map(|name| column(name, "text")).collect();
    table.foreign_keys.insert(ForeignKey {
        columns: vec![columns[0].to_owned()],
        table: TableName::plain(to),
        references: Vec::new(),
        actions: Vec::new(),
    });
    table
}

fn snapshot<'t>(tables: impl IntoIterator<Item = (&'t str, Table)>) -> Snapshot {
    let tables = tables.into_iter().map(|(name, table)| (TableName::plain(name), table));
    Snapshot { tables: tables.collect(), ..Snapshot::default() }
}

fn changes_of(from: Table, to: Table) -> Vec<TableChange> {
    match diff(&snapshot([("t", from)]), &snapshot([("t", to)])).as_slice() {
        [SchemaChange::ModifyTable { name, changes }] if name.name == "t" => changes.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn equal_schemas_have_no_changes_and_no_text() {
    let same = snapshot([("t", table(&["a", "b"], "x"))]);
    assert_eq!(diff(&same, &same.clone()), []);
    assert_eq!(text_diff(&same, &same.clone()), "");
}

#[test]
fn b06_a_table_with_only_another_name_is_renamed_also_when_it_refers_to_itself() {
    let index =
        || Index { unique: true, keys: vec!["b".to_owned()], more: vec![], predicate: None, valid: true };
    let mut old = table(&["a", "b"], "old");
    old.indexes.insert("sqlite_autoindex_old_1".to_owned(), index());
    let mut new = table(&["a", "b"], "new");
    new.indexes.insert("sqlite_autoindex_new_1".to_owned(), index());

    let changes = diff(&snapshot([("old", old)]), &snapshot([("new", new)]));

    let (from, to) = (TableName::plain("old"), TableName::plain("new"));
    assert_eq!(changes, [SchemaChange::RenameTable { from, to }]);
}

#[test]
fn a_rename_that_is_not_certain_is_a_drop_and_an_add() {
    let two = snapshot([("a", table(&["x"], "z")), ("b", table(&["x"], "z"))]);
    let one = snapshot([("c", table(&["x"], "z"))]);

    let changes = diff(&two, &one);

    let names: Vec<&str> = changes.iter().map(|change| change.table().name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert!(matches!(changes[0], SchemaChange::DropTable { .. }));
    assert!(matches!(changes[2], SchemaChange::AddTable { .. }));
}

#[test]
fn each_aspect_of_a_column_is_named() {
    use ColumnAspect::{Comment, Default, Generated, Identity, Null, Type};

    let from = table(&["a"], "x");
    let mut to = from.clone();
    to.columns[0] = Column {
        name: "a".to_owned(),
        data_type: "integer".to_owned(),
        kind: ValueKind::Integer,
        nullable: false,
        default: Some("1".to_owned()),
        generated: Some("b".to_owned()),
        identity: true,
        comment: Some("c".to_owned()),
    };

    let changes = changes_of(from, to);

    let [TableChange::ModifyColumn { kinds, .. }] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(*kinds, BTreeSet::from([Type, Null, Default, Generated, Identity, Comment]));
}

#[test]
fn every_part_of_a_table_is_compared() {
    let from = table(&["a", "b", "c"], "x");
    let index = |key: &str| Index {
        unique: false,
        keys: vec![key.to_owned()],
        more: vec![],
        predicate: None,
        valid: true,
    };
    let change = |edit: &dyn Fn(&mut Table)| {
        let mut to = from.clone();
        edit(&mut to);
        let text = text_diff(&snapshot([("t", from.clone())]), &snapshot([("t", to.clone())]));
        assert!(text.starts_with("--- t\n+++ t\n@@"), "{text}");
        changes_of(from.clone(), to)
    };

    assert!(matches!(change(&|t| t.kind = TableKind::Foreign)[..], [TableChange::ModifyKind { .. }]));
    assert!(matches!(change(&|t| t.columns.push(column("d", "date")))[..], [TableChange::AddColumn(_)]));
    assert!(matches!(change(&|t| drop(t.columns.pop()))[..], [TableChange::DropColumn(_)]));
    assert!(matches!(change(&|t| t.columns.swap(0, 2))[..], [TableChange::ReorderColumns { .. }]));
    assert!(matches!(
        change(&|t| t.primary_key = vec!["b".to_owned()])[..],
        [TableChange::ModifyPrimaryKey { .. }]
    ));
    assert!(matches!(change(&|t| t.foreign_keys.clear())[..], [TableChange::DropForeignKey(_)]));
    assert!(matches!(
        change(&|t| drop(t.indexes.insert("i".to_owned(), index("a"))))[..],
        [TableChange::AddIndex { .. }]
    ));
    assert!(matches!(
        change(&|t| t.checks.extend(["CHECK (a > b)".to_owned()]))[..],
        [TableChange::AddCheck(_)]
    ));
    assert!(matches!(change(&|t| t.comment = Some("c".to_owned()))[..], [TableChange::ModifyComment { .. }]));
    assert!(matches!(
        change(&|t| t.definition = Some("SELECT 1".to_owned()))[..],
        [TableChange::ModifyDefinition { .. }]
    ));
}

#[test]
fn a_new_last_column_changes_one_line_of_the_text() {
    let from = snapshot([("t", table(&["a", "b"], "x"))]);
    let to = snapshot([("t", table(&["a", "b", "c"], "x")), ("u", table(&["d"], "t"))]);

    insta::assert_snapshot!(text_diff(&from, &to), @r#"
    --- t
    +++ t
    @@ -1,4 +1,5 @@
     CREATE TABLE t (
       a text REFERENCES x,
       b text,
    +  c text,
     );
    --- /dev/null
    +++ u
    @@ -0,0 +1,3 @@
    +CREATE TABLE u (
    +  d text REFERENCES t,
    +);
    "#);
}

#[test]
fn a_description_reads_like_the_statement() {
    let mut orders = table(&["id", "customer_id", "Größe"], "customers");
    orders.comment = Some("One row an order.\nSince 2020.".to_owned());
    orders.primary_key = vec!["id".to_owned()];
    orders.columns[0].identity = true;
    orders.columns[1].comment = Some("who\n  pays".to_owned());
    orders.columns[1].nullable = false;
    orders.columns[2].default = Some("'m'".to_owned());
    orders.checks.insert("CHECK (id > 0)".to_owned());
    orders.foreign_keys.insert(ForeignKey {
        columns: vec!["id".to_owned(), "customer_id".to_owned()],
        table: TableName::parse("app.order"),
        references: vec!["a".to_owned(), "b".to_owned()],
        actions: vec!["ON DELETE CASCADE".to_owned()],
    });
    let keys = vec!["USING gin".to_owned(), "Größe DESC".to_owned(), "lower(id)".to_owned()];
    orders.indexes.insert(
        "by size".to_owned(),
        Index { unique: true, keys, more: vec![], predicate: Some("id > 1".to_owned()), valid: false },
    );
    let mut view = Table::empty(TableKind::View);
    view.columns = vec![column("id", "bigint")];
    view.columns[0].comment = Some("the order".to_owned());
    view.definition = Some("SELECT id FROM \"order\"".to_owned());

    let text = text_diff(&Snapshot::default(), &snapshot([("order", orders), ("v", view)]));

    insta::assert_snapshot!(text, @r#"
    --- /dev/null
    +++ order
    @@ -0,0 +1,10 @@
    +-- One row an order.
    +-- Since 2020.
    +CREATE TABLE "order" (
    +  id text PRIMARY KEY REFERENCES customers, -- numbered by the database
    +  customer_id text NOT NULL, -- who pays
    +  "Größe" text DEFAULT 'm',
    +  FOREIGN KEY (id, customer_id) REFERENCES app."order" (a, b) ON DELETE CASCADE,
    +  CHECK (id > 0),
    +);
    +CREATE UNIQUE INDEX "by size" ON "order" USING gin ("Größe" DESC, lower(id)) WHERE id > 1; -- invalid
    --- /dev/null
    +++ v
    @@ -0,0 +1,3 @@
    +CREATE VIEW v AS
    +SELECT id FROM "order";
    +-- id bigint: the order
    "#);
}
