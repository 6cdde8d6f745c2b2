//! What a plan does for each difference between what is wanted and what is there.

use std::collections::BTreeMap;

use super::worlds::{
    claimant, desired, diff, empty, ids, mine, nothing, of_files, of_schema, ontology, own, owner, schema,
    stack_with, term, three_tables, trained,
};
use crate::address::Address;
use crate::change::{Action, Guard, Risk, Status};
use crate::digest::Fingerprint;
use crate::stack::{Collection, Embedder};
use crate::vector::{Observed, OwnedDocuments, Schema, Task};

#[test]
fn first_training_makes_the_collection_and_then_every_document() {
    let desired = desired(&stack_with([("ddl", of_schema())]), &three_tables());

    let diff = diff(&desired, &empty());

    let addresses: Vec<_> = diff.changes.iter().map(|planned| planned.address.as_str()).collect();
    assert_eq!(addresses, ["vector.collection.ddl", "vector.documents.ddl"]);
    let planned = &diff.changes[1];
    let needs: Vec<_> = planned.needs.iter().map(Address::as_str).collect();
    assert_eq!(needs, ["vector.collection.ddl", "target.business.schema"]);
    assert_eq!((planned.action, planned.risks.worst(), planned.guard), (Action::Create, Risk::Safe, None));
    assert_eq!(planned.summary, "3 documents to write");
    assert_eq!(ids(&planned.change).0, ["business/accounts", "business/orders", "business/products"]);
    assert_eq!(diff.checks[0].status, Status::Pass);
}

#[test]
fn c02_nothing_changed_is_nothing_to_do() {
    let desired = desired(&stack_with([("ddl", of_schema()), ("notes", nothing())]), &three_tables());

    let diff = diff(&desired, &trained(&desired));

    assert!(
        diff.changes.is_empty() && diff.faults.is_empty() && diff.blocked.is_empty() && diff.notes.is_empty()
    );
    assert_eq!(diff.unchanged, 4);
}

#[test]
fn c03_a_new_column_writes_exactly_one_document_and_a_dropped_table_deletes_one() {
    let stack = stack_with([("ddl", of_schema())]);
    let seen = trained(&desired(&stack, &three_tables()));

    let changed = schema(&[("accounts", &["id", "name"]), ("orders", &["id", "total", "currency"])]);
    let diff = diff(&desired(&stack, &changed), &seen);

    let [planned] = diff.changes.as_slice() else { panic!("{:?}", diff.changes) };
    assert_eq!(ids(&planned.change), (vec!["business/orders"], vec!["business/products"]));
    assert_eq!(planned.action, Action::Update);
    assert_eq!(planned.summary, "1 document to write, 1 to delete");
    assert_eq!(planned.reason, "1 changed, 1 no longer wanted");
    assert_eq!(planned.guard, None);
}

#[test]
fn c05_exactly_the_missing_documents_are_restored() {
    let desired = desired(&stack_with([("ddl", of_schema())]), &three_tables());
    let mut seen = trained(&desired);
    let documents = &mut seen.collections.get_mut("ddl").unwrap().owned.get_mut(&own()).unwrap().documents;
    documents.remove("business/orders");

    let half = diff(&desired, &seen);
    seen.collections.get_mut("ddl").unwrap().owned.clear();
    let all = diff(&desired, &seen);

    assert_eq!(ids(&half.changes[0].change), (vec!["business/orders"], vec![]));
    assert_eq!(half.changes[0].reason, "1 missing");
    assert_eq!(all.changes[0].summary, "3 documents to write");
    assert_eq!(all.changes[0].reason, "the collection holds none of them");
    assert_eq!(half.changes[0].after, all.changes[0].after, "the wanted content is the same");
    assert_ne!(half.changes[0].seen, all.changes[0].seen);
}

#[test]
fn c06_foreign_documents_change_nothing_and_are_never_written_over() {
    let desired = desired(&stack_with([("ddl", of_schema())]), &three_tables());
    let mut seen = trained(&desired);
    let mut foreign = |id: &str| {
        let collection = seen.collections.get_mut("ddl").unwrap();
        collection.foreign.insert(Fingerprint::of_text(id));
        diff(&desired, &seen)
    };

    assert!(foreign("handmade").changes.is_empty());
    let taken = foreign("business/orders");
    assert!(taken.changes.is_empty());
    assert!(taken.faults[0].message.contains("`business/orders`"), "{}", taken.faults[0].message);
}

#[test]
fn documents_of_another_stack_are_foreign() {
    let desired = desired(&stack_with([("ddl", of_files(&[("a.md", "text")]))]), &BTreeMap::new());
    let mut seen = trained(&desired);
    let collection = seen.collections.get_mut("ddl").unwrap();
    let mut theirs = collection.owned.remove(&own()).unwrap();
    let document = theirs.documents.remove("a.md").unwrap();
    theirs.documents.insert("b.md".to_owned(), document.clone());
    let other = owner("other", Some("dev"), None);
    collection.owned.insert(other.clone(), theirs);

    let beside = diff(&desired, &seen);
    let theirs = seen.collections.get_mut("ddl").unwrap().owned.get_mut(&other).unwrap();
    theirs.documents.insert("a.md".to_owned(), document);
    let over = diff(&desired, &seen);

    assert_eq!(ids(&beside.changes[0].change), (vec!["a.md"], vec![]));
    assert_eq!(over.faults.len(), 1);
}

#[test]
fn c07_a_source_that_yields_nothing_is_guarded() {
    let collection = Collection {
        ontologies: vec!["accounting".to_owned()],
        files: of_files(&[("a.md", "text"), ("b.md", "more")]).files,
        names_files: true,
        ..of_schema()
    };
    let mut stack = stack_with([("ddl", collection)]);
    stack.system.ontologies.insert("accounting".to_owned(), ontology([term("Revenue", &[])]));
    let seen = trained(&desired(&stack, &three_tables()));
    let guard_of = |stack, schemas: &_| {
        let diff = diff(&desired(stack, schemas), &seen);
        let planned = &diff.changes[0];
        (planned.guard, ids(&planned.change).1.len(), planned.reason.clone())
    };

    let mut emptied = stack.clone();
    emptied.system.ontologies.get_mut("accounting").unwrap().terms.clear();
    let mut blank = stack.clone();
    let files = |stack: &mut crate::stack::Stack| {
        std::mem::take(&mut stack.vector.as_mut().unwrap().collections.get_mut("ddl").unwrap().files)
    };
    files(&mut blank);
    let mut one_gone = stack.clone();
    let kept = files(&mut one_gone).remove(0);
    one_gone.vector.as_mut().unwrap().collections.get_mut("ddl").unwrap().files = vec![kept];
    let mut off = stack.clone();
    off.targets.get_mut("business").unwrap().on = false;

    let (guard, deletes, reason) = guard_of(&stack, &schema(&[]));
    assert_eq!((guard, deletes), (Some(Guard::MassDelete), 3));
    assert_eq!(reason, "3 no longer wanted; target:business yields nothing, and 3 documents came from it");
    assert_eq!(guard_of(&emptied, &three_tables()).0, Some(Guard::MassDelete));
    assert_eq!(guard_of(&blank, &three_tables()).0, Some(Guard::MassDelete));
    assert_eq!(guard_of(&one_gone, &three_tables()).0, None);
    assert_eq!(guard_of(&off, &BTreeMap::new()), (None, 3, "3 no longer wanted".to_owned()));
}

#[test]
fn an_unreadable_target_blocks_its_collection_and_no_other() {
    let stack = stack_with([("ddl", of_schema()), ("docs", of_files(&[("a.md", "text")]))]);
    let unknown = BTreeMap::from([("business".to_owned(), Schema::Unknown("no such file".to_owned()))]);

    let diff = diff(&desired(&stack, &unknown), &trained(&desired(&stack, &three_tables())));

    assert!(diff.changes.is_empty());
    assert_eq!(diff.blocked[0].address.as_str(), "vector.documents.ddl");
    assert_eq!(diff.blocked[0].reason, "target.business.access: no such file");
    assert_eq!(diff.blocked.len(), 1);
}

#[test]
fn c04_another_embedder_or_length_is_never_mixed_in() {
    let mut stack = stack_with([("ddl", of_schema())]);
    let seen = trained(&desired(&stack, &three_tables()));
    stack.vector.as_mut().unwrap().embedder = Embedder::Hashing { dimensions: 128 };
    let other = desired(&stack, &three_tables());

    let ours = diff(&other, &seen);
    let mut unmarked = seen.clone();
    let collection = unmarked.collections.get_mut("ddl").unwrap();
    (collection.made_by, collection.embedder) = (None, None);
    let documents = diff(&other, &unmarked);
    unmarked.collections.get_mut("ddl").unwrap().owned.clear();
    let length = diff(&other, &unmarked);

    for diff in [&ours, &documents, &length] {
        assert!(diff.changes.is_empty());
        assert_eq!(diff.faults.len(), 1);
    }
    assert_eq!(
        ours.faults[0].message,
        "collection `ddl` was trained with the embedder hashing:v1:64, and the spec wants hashing:v1:128"
    );
    assert_eq!(
        length.faults[0].message,
        "collection `ddl` holds vectors of length 64, and hashing:v1:128 makes 128"
    );
}

#[test]
fn a_collection_of_someone_elses_is_used_and_remarked_on() {
    let desired = desired(&stack_with([("ddl", of_schema())]), &three_tables());
    let mut seen = trained(&desired);
    let collection = seen.collections.get_mut("ddl").unwrap();
    (collection.made_by, collection.embedder, collection.dimension) = (None, Some("theirs".to_owned()), None);
    collection.owned.clear();
    collection.foreign.insert(Fingerprint::of_text("x"));

    let diff = diff(&desired, &seen);

    assert_eq!(diff.faults.len(), 0);
    assert_eq!(diff.changes.len(), 1);
    assert_eq!(diff.notes.len(), 1);
}

#[test]
fn a_collection_gone_from_the_spec_is_taken_back_as_far_as_it_is_ours() {
    let before = desired(&stack_with([("ddl", of_schema())]), &three_tables());
    let after = desired(&stack_with([]), &three_tables());
    let mut seen = trained(&before);

    let alone = diff(&after, &seen);
    seen.collections.get_mut("ddl").unwrap().foreign.insert(Fingerprint::of_text("x"));
    let shared = diff(&after, &seen);
    seen.collections.get_mut("ddl").unwrap().owned =
        BTreeMap::from([(owner("other", None, None), OwnedDocuments::default())]);
    let theirs = diff(&after, &seen);

    let actions: Vec<_> = alone
        .changes
        .iter()
        .map(|planned| (planned.address.as_str(), planned.action, planned.risks.worst()))
        .collect();
    assert_eq!(
        actions,
        [
            ("vector.documents.ddl", Action::Delete, Risk::Safe),
            ("vector.collection.ddl", Action::Delete, Risk::Safe)
        ]
    );
    assert_eq!(alone.changes[1].needs, [alone.changes[0].address.clone()]);
    assert!(matches!(alone.changes[1].change.task, Task::Drop));
    assert_eq!(shared.changes.len(), 1);
    assert_eq!(ids(&shared.changes[0].change).1.len(), 3);
    assert!(theirs.changes.is_empty());
}

#[test]
fn c09_an_unreachable_store_fails_its_check_and_blocks_what_is_wanted() {
    let desired = desired(&stack_with([("ddl", of_schema())]), &three_tables());
    let message = "cannot reach Chroma at chroma:8000: connection refused".to_owned();

    let diff = crate::vector::diff(&desired, &Observed::Unreachable { message });

    assert_eq!((diff.checks[0].address.as_str(), diff.checks[0].status), ("vector", Status::Fail));
    let blocked: Vec<_> = diff.blocked.iter().map(|held| held.address.as_str()).collect();
    assert_eq!(blocked, ["vector.collection.ddl", "vector.documents.ddl"]);
    assert!(diff.blocked[0].reason.contains("chroma:8000"));
    assert!(diff.changes.is_empty());
}

#[test]
fn two_sources_of_one_id_are_an_error() {
    let mut stack =
        stack_with([("c", Collection { ontologies: vec!["business".to_owned()], ..of_schema() })]);
    stack.system.ontologies.insert("business".to_owned(), ontology([term("orders", &[])]));

    let diff = diff(&desired(&stack, &three_tables()), &empty());

    assert_eq!(diff.faults.len(), 1);
    assert!(diff.changes.is_empty());
}

#[test]
fn without_a_vector_section_nothing_is_desired() {
    let mut stack = stack_with([]);
    stack.vector = None;

    assert!(crate::vector::Desired::new(&stack, &three_tables(), claimant(&stack, &mine())).is_none());
}

#[test]
fn an_observation_reads_what_it_writes_and_holds_no_text() {
    let desired =
        desired(&stack_with([("ddl", of_files(&[("a.md", "confidential prose")]))]), &BTreeMap::new());
    let mut seen = trained(&desired);
    seen.collections.get_mut("ddl").unwrap().foreign.insert(Fingerprint::of_text("x"));
    let observed = Observed::Reachable(seen);

    let json = serde_json::to_string(&observed).unwrap();

    assert_eq!(serde_json::from_str::<Observed>(&json).unwrap(), observed);
    assert!(!json.contains("confidential"));
}

#[test]
fn a_plan_lists_twenty_ids_and_counts_the_rest() {
    let tables: Vec<String> = (0..100).map(|number| format!("t{number:03}")).collect();
    let tables: Vec<(&str, &[&str])> = tables.iter().map(|name| (name.as_str(), ["id"].as_slice())).collect();
    let stack = stack_with([("ddl", of_schema())]);

    let diff = diff(&desired(&stack, &schema(&tables)), &trained(&desired(&stack, &three_tables())));

    let planned = &diff.changes[0];
    let before = planned.before.as_ref().unwrap();
    assert_eq!((&before["missing"]["count"], &before["unwanted"]["count"]), (&100.into(), &3.into()));
    assert_eq!(before["missing"]["ids"].as_array().unwrap().len(), 20);
    assert_eq!(planned.after.as_ref().unwrap()["documents"], 100);
    assert_eq!(planned.summary, "100 documents to write, 3 to delete");
}
