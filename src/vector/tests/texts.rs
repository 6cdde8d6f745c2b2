//! What documents say, and what changes their fingerprints.

use std::collections::BTreeMap;

use super::worlds::{
    desired, example, nothing, of_files, of_schema, ontology, schema, stack_with, term, three_tables,
};
use crate::catalog::{ForeignKey, Snapshot, TableName};
use crate::stack::{Collection, Embedder};
use crate::vector::{Document, Schema};

fn documents(collection: Collection) -> BTreeMap<String, Document> {
    let stack = stack_with([("c", collection)]);
    desired(&stack, &three_tables()).collections.remove("c").unwrap().documents
}

#[test]
fn c01_one_document_per_table_with_target_table_fingerprint_and_embedder() {
    let documents = documents(of_schema());

    assert_eq!(
        documents.keys().collect::<Vec<_>>(),
        ["business/accounts", "business/orders", "business/products"]
    );
    let orders = &documents["business/orders"];
    let fingerprint = orders.fingerprint.to_string();
    let expected = [
        ("embedder", "hashing:v1:64"),
        ("fingerprint", &fingerprint),
        ("source", "target:business"),
        ("table", "orders"),
        ("target", "business"),
        ("trueup", "insight"),
    ];
    let metadata: Vec<_> =
        orders.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap())).collect();
    assert_eq!(metadata, expected);
}

#[test]
fn a_table_is_described_with_its_comments_keys_references_and_terms() {
    let mut stack = stack_with([("c", Collection { terms: vec!["accounting".to_owned()], ..of_schema() })]);
    let terms = [term("Revenue", &["orders.total", "orders.id"]), term("Headcount", &["employees"])];
    stack.system.ontologies.insert("accounting".to_owned(), ontology(terms));
    let mut table = super::worlds::table(&["id", "total"]);
    table.comment = Some("What customers bought".to_owned());
    table.columns[0].nullable = false;
    table.columns[1].comment = Some("gross, in euro".to_owned());
    table.columns[1].default = Some("0".to_owned());
    table.primary_key = vec!["id".to_owned()];
    table.foreign_keys.insert(ForeignKey {
        columns: vec!["customer".to_owned()],
        table: TableName::plain("customers"),
        references: vec!["id".to_owned()],
        actions: Vec::new(),
    });
    let tables = BTreeMap::from([(TableName::plain("orders"), table)]);
    let schemas =
        BTreeMap::from([("business".to_owned(), Schema::Known(Snapshot { tables, ..Snapshot::default() }))]);

    let desired = desired(&stack, &schemas);

    insta::assert_snapshot!(desired.collections["c"].documents["business/orders"].text, @r"
    Table orders (database business)
    What customers bought
    Columns:
    - id TEXT, required
    - total TEXT, default 0: gross, in euro
    Primary key: id
    References: customer to customers (id)
    Terms:
    - Revenue (also: alpha, zeta): What Revenue means.
    Computed as: SUM(amount)
    ");
}

#[test]
fn the_order_of_synonyms_and_of_places_means_nothing() {
    let fingerprint = |turned: bool| {
        let mut revenue = term("Revenue", &["orders.total", "orders.id"]);
        if turned {
            revenue.synonyms.reverse();
            revenue.tables.reverse();
        }
        let described = Collection { ontologies: vec!["accounting".to_owned()], ..nothing() };
        let mut stack = stack_with([("c", described)]);
        stack.system.ontologies.insert("accounting".to_owned(), ontology([revenue]));
        desired(&stack, &BTreeMap::new()).collections["c"].documents["accounting/Revenue"].fingerprint
    };

    assert_eq!(fingerprint(false), fingerprint(true));
}

#[test]
fn a_fingerprint_covers_text_metadata_and_embedder() {
    let print = |collection: Collection, dimensions| {
        let mut stack = stack_with([("c", collection)]);
        stack.vector.as_mut().unwrap().embedder = Embedder::Hashing { dimensions };
        let desired = desired(&stack, &BTreeMap::new());
        desired.collections["c"].documents.values().next().unwrap().fingerprint
    };
    let asked = |sql: &str| {
        let examples = vec![example("How many?", sql, None)];
        Collection { examples, names_examples: true, ..nothing() }
    };

    assert_eq!(print(asked("SELECT 1"), 64), print(asked("SELECT 1"), 64));
    assert_ne!(print(asked("SELECT 1"), 64), print(asked("SELECT 2"), 64));
    assert_ne!(print(asked("SELECT 1"), 64), print(asked("SELECT 1"), 65));
    assert_ne!(print(of_files(&[("a.md", "x")]), 64), print(of_files(&[("a.md", "y")]), 64));
}

#[test]
fn line_ends_of_another_system_are_no_other_text() {
    let unix = documents(of_files(&[("a.md", "one\n\ntwo\n")]));
    let windows = documents(of_files(&[("a.md", "one\r\n\r\ntwo\r\n")]));

    assert_eq!(unix, windows);
}

#[test]
fn a_long_file_is_parted_at_paragraphs_and_nothing_is_lost() {
    let paragraph = "Größe und Umsatz. ".repeat(45);
    let text = [paragraph.trim(); 6].join("\n\n");

    let documents = documents(of_files(&[("docs/a.md", &text)]));

    assert_eq!(documents.keys().collect::<Vec<_>>(), ["docs/a.md", "docs/a.md#2", "docs/a.md#3"]);
    let joined: Vec<&str> = documents.values().map(|document| document.text.as_str()).collect();
    assert_eq!(joined.join("\n\n"), text);
    assert_eq!(documents["docs/a.md#2"].metadata["part"], 2);
}

#[test]
fn a_text_without_a_place_to_cut_is_cut_between_characters() {
    let documents = documents(of_files(&[("a.md", &"ö".repeat(3_000))]));

    let joined: String = documents.values().map(|document| document.text.as_str()).collect();
    assert_eq!((documents.len(), joined.as_str()), (3, "ö".repeat(3_000).as_str()));
}

#[test]
fn equal_questions_on_two_targets_are_two_documents_and_the_statement_is_metadata() {
    let examples = vec![
        example("Total revenue?", "SELECT 1", Some("business")),
        example("Total revenue?", "SELECT 2", Some("archive")),
    ];
    let documents = documents(Collection { examples, names_examples: true, ..nothing() });

    assert_eq!(documents.len(), 2);
    let document = documents.values().find(|document| document.metadata["target"] == "archive").unwrap();
    assert_eq!(document.text, "Total revenue?");
    assert_eq!(document.metadata["sql"], "SELECT 2");
}

#[test]
fn a_term_of_a_table_in_another_schema_is_not_that_of_a_column() {
    let collection = Collection { terms: vec!["o".to_owned()], ..of_schema() };
    let mut stack = stack_with([("c", collection)]);
    let terms = [term("Wages", &["hr.people"]), term("Order value", &["public.orders.total"])];
    stack.system.ontologies.insert("o".to_owned(), ontology(terms));

    let schemas = schema(&[("hr.people", &["id"]), ("people", &["id"]), ("orders", &["total"])]);
    let desired = desired(&stack, &schemas);

    let speaks = |id: &str, term: &str| desired.collections["c"].documents[id].text.contains(term);
    assert!(speaks("business/hr.people", "Wages"));
    assert!(!speaks("business/people", "Wages"));
    assert!(speaks("business/orders", "Order value"));
}
