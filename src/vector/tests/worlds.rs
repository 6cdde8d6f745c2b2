//! Builders of stacks, schemas and observations that read like sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::catalog::{Column, Snapshot, Table, TableKind, TableName, ValueKind};
use crate::journal::{self, Identity};
use crate::location::{Location, Source};
use crate::stack::tests::stack_of;
use crate::stack::{
    Collection, Endpoint, Example, Flags, Ontology, RedactedUrl, SourceFile, Stack, Term, Vector, VectorUrl,
};
use crate::vector::{
    Backend, BackendKind, Change, Claimant, Desired, Observed, ObservedCollection, ObservedDocument,
    OwnedDocuments, Owner, Schema, Seen, Task,
};

pub(super) fn here() -> Location {
    Location::new(&Source::new("stack.yaml", "stack: insight\n"), 0, 5)
}

fn endpoint<T>(to: T) -> Endpoint<T> {
    Endpoint { to: Ok(to), written: "written".to_owned(), at: here() }
}

const SPEC: &str = "version: 1
stack: insight
environment: dev
flags: { enable_target_db: true }
system: { url: 'sqlite:///data/system.db' }
targets: { business: { url: 'sqlite:///data/target.db' } }
vector: { url: 'sqlite:///data/vector.db', embedder: { kind: hashing, dimensions: 64 } }
";

pub(super) fn sqlite_vector(path: &Path) -> Vector {
    let vector = stack_of(SPEC).vector.unwrap();
    Vector { endpoint: endpoint(VectorUrl::Sqlite(path.to_owned())), ..vector }
}

pub(super) fn chroma_vector(url: &str) -> Vector {
    let url = RedactedUrl::new(url::Url::parse(url).unwrap());
    Vector { endpoint: endpoint(VectorUrl::Chroma(url)), ..sqlite_vector(Path::new("unused")) }
}

/// A stack with one target, `business`, that is on.
pub(super) fn stack(vector: Vector) -> Stack {
    Stack { vector: Some(vector), flags: Flags(BTreeMap::new()), ..stack_of(SPEC) }
}

/// A stack whose collections are these.
pub(super) fn stack_with<const N: usize>(collections: [(&str, Collection); N]) -> Stack {
    with_collections(sqlite_vector(Path::new("/data/vector.db")), collections)
}

pub(super) fn with_collections<const N: usize>(
    mut vector: Vector,
    collections: [(&str, Collection); N],
) -> Stack {
    vector.collections = collections.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
    stack(vector)
}

pub(super) fn nothing() -> Collection {
    Collection {
        schema: Vec::new(),
        terms: Vec::new(),
        ontologies: Vec::new(),
        files: Vec::new(),
        names_files: false,
        examples: Vec::new(),
        names_examples: false,
        at: here(),
    }
}

pub(super) fn of_schema() -> Collection {
    Collection { schema: vec!["business".to_owned()], ..nothing() }
}

pub(super) fn of_files(files: &[(&str, &str)]) -> Collection {
    let file =
        |(name, text): &(&str, &str)| SourceFile { name: (*name).to_owned(), text: (*text).to_owned() };
    Collection { files: files.iter().map(file).collect(), names_files: true, ..nothing() }
}

pub(super) fn example(question: &str, sql: &str, target: Option<&str>) -> Example {
    Example {
        question: question.to_owned(),
        sql: sql.to_owned(),
        target: target.map(str::to_owned),
        at: here(),
    }
}

pub(super) fn ontology<const N: usize>(terms: [Term; N]) -> Ontology {
    Ontology { terms: terms.into(), at: here() }
}

pub(super) fn term(name: &str, tables: &[&str]) -> Term {
    Term {
        term: name.to_owned(),
        definition: format!("What {name} means."),
        synonyms: vec!["zeta".to_owned(), "alpha".to_owned()],
        expression: Some("SUM(amount)".to_owned()),
        tables: tables.iter().map(|&table| table.to_owned()).collect(),
    }
}

pub(super) fn column(name: &str, data_type: &str) -> Column {
    Column::plain(name, data_type, ValueKind::Text)
}

pub(super) fn table(columns: &[&str]) -> Table {
    let columns = columns.iter().map(|name| column(name, "TEXT")).collect();
    Table { columns, ..Table::empty(TableKind::Table) }
}

/// The schema of `business`: tables by name, each with columns.
pub(super) fn schema(tables: &[(&str, &[&str])]) -> BTreeMap<String, Schema> {
    let tables = tables.iter().map(|(name, columns)| (TableName::parse(name), table(columns))).collect();
    let snapshot = Snapshot { tables, ..Snapshot::default() };
    BTreeMap::from([("business".to_owned(), Schema::Known(snapshot))])
}

pub(super) fn three_tables() -> BTreeMap<String, Schema> {
    schema(&[("accounts", &["id", "name"]), ("orders", &["id", "total"]), ("products", &["sku"])])
}

pub(super) fn desired(stack: &Stack, schemas: &BTreeMap<String, Schema>) -> Desired {
    Desired::new(stack, schemas, claimant(stack, &mine())).unwrap()
}

/// The bookkeeping of the stack, on which nothing is recorded.
pub(super) fn mine() -> journal::Observed {
    journal::Observed { identity: Some(identity()), ..journal::Observed::missing() }
}

pub(super) fn identity() -> Identity {
    Identity::from_text("3f0e9c5a-0000-4000-8000-000000000001")
}

pub(super) fn claimant(stack: &Stack, journal: &journal::Observed) -> Claimant {
    Claimant::new(stack, journal)
}

/// What the marks of the bookkeeping say.
pub(super) fn own() -> Owner {
    owner("insight", Some("dev"), Some(identity()))
}

pub(super) fn owner(stack: &str, environment: Option<&str>, identity: Option<Identity>) -> Owner {
    Owner { stack: stack.to_owned(), environment: environment.map(str::to_owned), identity }
}

pub(super) fn empty() -> Seen {
    let backend = Backend { kind: BackendKind::Sqlite, version: None };
    Seen { backend, collections: BTreeMap::new() }
}

/// The store as it is when everything wanted is in it.
pub(super) fn trained(desired: &Desired) -> Seen {
    let identity = desired.embedder.identity();
    let collection = |wanted: &crate::vector::Collection| ObservedCollection {
        made_by: Some(own()),
        embedder: Some(identity.clone()),
        dimension: Some(desired.embedder.dimensions()),
        space: Some("cosine".to_owned()),
        embedding_function: None,
        owned: BTreeMap::from([(
            own(),
            OwnedDocuments {
                embedders: BTreeSet::from([identity.clone()]),
                documents: wanted
                    .documents
                    .iter()
                    .map(|(id, document)| {
                        let fingerprint = Some(document.fingerprint);
                        let source = document.source.to_string();
                        (id.clone(), ObservedDocument { fingerprint, source, run: None })
                    })
                    .collect(),
            },
        )]),
        foreign: BTreeSet::new(),
    };
    let collections = desired.collections.iter().map(|(name, wanted)| (name.clone(), collection(wanted)));
    Seen { collections: collections.collect(), ..empty() }
}

pub(super) fn diff(desired: &Desired, seen: &Seen) -> crate::change::Diff<Change> {
    crate::vector::diff(desired, &Observed::Reachable(seen.clone()))
}

/// What a change writes and deletes.
pub(super) fn ids(change: &Change) -> (Vec<&str>, Vec<&str>) {
    match &change.task {
        Task::Documents { write, adopt: _, delete } => (
            write.iter().map(|document| document.id.as_str()).collect(),
            delete.iter().map(String::as_str).collect(),
        ),
        Task::Create | Task::Adopt | Task::Drop => (Vec::new(), Vec::new()),
    }
}
