//! Training: one document per table, only changed ones are written, documents of others are kept,
//! and the store is observed each time.

use crate::servers::free_port;
use crate::stores::{Database, Shop, Vectors, addresses, entry, make_business, trained};
use crate::world::World;

/// Applies a stack that trains from `business.db`.
fn trained_world(vectors: &Vectors) -> World {
    let world = untrained_world(vectors);
    world.apply().exits(0);
    world.plan().exits(0);
    vectors.watch(&world);
    world
}

fn untrained_world(vectors: &Vectors) -> World {
    let world = World::new();
    make_business(&world, "business.db");
    Shop { targets: true, training: true, more: trained(vectors), ..Shop::default() }
        .write(&world, &Database::Sqlite);
    world
}

const TABLES: [&str; 4] = ["business/customers", "business/orders", "business/payments", "business/products"];

/// Plans and applies; returns the plan's summary of the documents, and the ids written and deleted.
#[track_caller]
fn train(world: &World, vectors: &Vectors) -> (String, Vec<String>, Vec<String>) {
    let plan = world.plan_json();
    let summary = entry(&plan, "changes", "vector.documents.ddl")["summary"].as_str().unwrap().to_owned();
    vectors.watch(world);
    world.apply().exits(0);
    let (written, deleted) = vectors.watched(world);
    world.plan().exits(0);
    (summary, written, deleted)
}

#[test]
fn c01_the_first_training_makes_one_document_a_table() {
    for vectors in Vectors::both() {
        let world = untrained_world(&vectors);

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(entry(&plan, "changes", "vector.documents.ddl")["summary"], "4 documents to write");
        let documents = vectors.read(&world, "ddl").unwrap();
        assert_eq!(documents.keys().collect::<Vec<_>>(), TABLES);
        for (id, document) in &documents {
            let table = id.strip_prefix("business/").unwrap();
            assert_eq!(document.metadata["target"], "business");
            assert_eq!(document.metadata["table"], table);
            assert_eq!(document.metadata["trueup"], "shop");
            assert_eq!(document.metadata["embedder"], "hashing:v1:384");
            assert!(document.metadata["fingerprint"].as_str().unwrap().len() >= 32);
            assert!(document.text.contains(table));
        }
        assert!(documents["business/orders"].text.contains("customer_id"));
        let all = format!("{documents:?}");
        assert!(!all.contains("Ottoline") && !all.contains("long enough password"), "{all}");
        world.plan().exits(0).says("No changes");
    }
}

#[test]
fn c01_chromas_own_client_finds_the_documents_by_a_question() {
    let vectors = Vectors::chroma();
    let _world = trained_world(&vectors);
    let Vectors::Chroma { chroma, .. } = &vectors else { unreachable!() };

    let answer = chroma.python(
        "c = client.get_collection('ddl', embedding_function=None)\n\
         v = c.get('business/orders', include=['embeddings'])['embeddings'][0]\n\
         near = c.query(query_embeddings=[v], n_results=2)\n\
         print(c.count(), len(v), near['ids'][0][0], near['distances'][0][0] < 1e-3)",
    );

    assert_eq!(answer, "4 384 business/orders True");
}

#[test]
fn c02_when_nothing_changed_nothing_is_written() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        let before = std::fs::read(world.path("vector.db")).ok();

        world.apply().exits(0);
        world.plan().exits(0);

        assert_eq!(vectors.watched(&world), (vec![], vec![]));
        assert_eq!(std::fs::read(world.path("vector.db")).ok(), before);
        if let Vectors::Chroma { wire, .. } = &vectors {
            let is_read = |(method, path, _): &(String, String, _)| {
                method == "GET" || path.ends_with("/get") || path.ends_with("/count")
            };
            let requests = wire.requests();
            assert!(!requests.is_empty() && requests.iter().all(is_read), "{requests:?}");
        }
    }
}

#[test]
fn c03_only_the_table_that_changed_is_written_and_one_that_went_is_deleted() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        let before = vectors.read(&world, "ddl").unwrap();

        world.sqlite("business.db", "ALTER TABLE products ADD COLUMN weight NUMERIC");
        let added = train(&world, &vectors);
        world.sqlite("business.db", "DROP TABLE payments");
        let dropped = train(&world, &vectors);
        world.sqlite("business.db", "CREATE TABLE refunds (id INTEGER PRIMARY KEY)");
        let created = train(&world, &vectors);

        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(added, ("1 document to write".to_owned(), list(&["business/products"]), vec![]));
        assert_eq!(dropped, ("1 document to delete".to_owned(), vec![], list(&["business/payments"])));
        assert_eq!(created, ("1 document to write".to_owned(), list(&["business/refunds"]), vec![]));
        let after = vectors.read(&world, "ddl").unwrap();
        assert!(after["business/products"].text.contains("weight"));
        assert_eq!(after["business/orders"], before["business/orders"]);
    }
}

#[test]
fn apply_shows_the_changes_of_texts_before_it_writes_them() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        world.sqlite("business.db", "ALTER TABLE products ADD COLUMN weight NUMERIC");

        let applied = world.apply();

        applied.exits(0).says("      text of business/products:\n").says("\n      +  weight NUMERIC");
    }
}

#[test]
fn c03_rows_of_the_target_change_no_document() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);

        world.sqlite("business.db", "INSERT INTO customers VALUES (2, 'Someone Else')");

        world.plan().exits(0);
    }
}

#[test]
fn c05_what_was_deleted_behind_the_tools_back_is_restored_and_no_more() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        let documents = || {
            let mut documents = vectors.read(&world, "ddl").unwrap();
            for document in documents.values_mut() {
                let run = document.metadata.as_object_mut().unwrap().remove("trueup_run");
                assert!(run.is_some(), "{document:?}");
            }
            documents
        };
        let before = documents();

        vectors.delete(&world, "ddl", &TABLES[..2]);
        let half = train(&world, &vectors);
        vectors.delete(&world, "ddl", &TABLES);
        let all = train(&world, &vectors);

        let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(half, ("2 documents to write".to_owned(), list(&TABLES[..2]), vec![]));
        assert_eq!(all, ("4 documents to write".to_owned(), list(&TABLES), vec![]));
        assert_eq!(documents(), before);
    }
}

#[test]
fn c05_a_store_that_is_gone_is_made_again() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);

        match &vectors {
            Vectors::Sqlite => std::fs::remove_file(world.path("vector.db")).unwrap(),
            Vectors::Chroma { chroma, .. } => {
                chroma.request("DELETE", &format!("{}/collections/ddl", chroma.database_path()), None);
            }
        }

        assert_eq!(addresses(&world.plan_json()), ["vector.collection.ddl", "vector.documents.ddl"]);
        world.apply().exits(0);
        assert_eq!(vectors.ids(&world, "ddl"), TABLES);
    }
}

#[test]
fn c06_documents_of_others_survive_everything() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        vectors.add_foreign(&world, "ddl", "by-hand");
        let foreign = vectors.read(&world, "ddl").unwrap()["by-hand"].clone();
        let survives = |step: &str| {
            let there = vectors.read(&world, "ddl").unwrap_or_default();
            assert_eq!(there.get("by-hand"), Some(&foreign), "{step}");
        };
        world.plan().exits(0);

        world.sqlite("business.db", "DROP TABLE payments; ALTER TABLE products ADD COLUMN weight NUMERIC");
        train(&world, &vectors);
        survives("a change");
        vectors.delete(&world, "ddl", &TABLES);
        train(&world, &vectors);
        survives("a restoration");

        let other = "other: { from: { files: [notes.md] } }";
        world
            .file("notes.md", "Notes.\n")
            .spec(&world.read("stack.yaml").replace("ddl: { from: { schema: [business] } }", other));
        let plan = world.plan_json();
        assert_eq!(entry(&plan, "changes", "vector.documents.ddl")["action"], "delete");
        assert_eq!(entry(&plan, "changes", "vector.documents.ddl")["risk"], "safe");
        assert!(
            !addresses(&plan).contains(&"vector.collection.ddl".to_owned()),
            "it holds a foreign document"
        );
        world.apply().exits(0);
        survives("the collection's leaving the spec");
        assert_eq!(vectors.ids(&world, "ddl"), ["by-hand"]);
    }
}

#[test]
fn c06_a_foreign_document_with_an_id_of_ours_is_not_written_over() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        vectors.delete(&world, "ddl", &["business/orders"]);
        vectors.add_foreign(&world, "ddl", "business/orders");

        let run = world.trueup(&["plan"]);

        run.exits(1).warns("business/orders").warns("stack.yaml");
        world.apply().exits(1);
        assert_eq!(vectors.read(&world, "ddl").unwrap()["business/orders"].text, "written by hand");
    }
}

#[test]
fn c07_a_target_without_tables_deletes_nothing_without_leave() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        world.sqlite(
            "business.db",
            "DROP TABLE orders; DROP TABLE customers; DROP TABLE payments; DROP TABLE products",
        );

        let plan = world.plan();
        let refused = world.apply();

        plan.exits(2).says("vector.documents.ddl").warns("--allow mass-delete");
        refused.exits(3).warns("vector.documents.ddl").warns("--allow mass-delete");
        assert_eq!(vectors.ids(&world, "ddl"), TABLES);
        assert_eq!(vectors.watched(&world), (vec![], vec![]));

        world.trueup(&["apply", "--auto-approve", "--allow", "mass-delete"]).exits(0);
        assert_eq!(vectors.ids(&world, "ddl"), [""; 0]);
        world.plan().exits(0);
    }
}

#[test]
fn c07_an_empty_file_in_place_of_the_target_is_a_failed_check() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        world.file("business.db", "");

        world.plan().exits(3).says("is empty");
        world.trueup(&["apply", "--auto-approve", "--allow", "mass-delete"]).exits(6);

        assert_eq!(vectors.ids(&world, "ddl"), TABLES);
    }
}

#[test]
fn c07_a_saved_plan_asks_for_leave_too() {
    let world = trained_world(&Vectors::Sqlite);
    world.sqlite(
        "business.db",
        "DROP TABLE orders; DROP TABLE customers; DROP TABLE payments; DROP TABLE products",
    );
    world.trueup(&["plan", "--out", "plan.json"]).exits(0);

    world.trueup(&["apply", "plan.json"]).exits(3);

    assert_eq!(Vectors::Sqlite.ids(&world, "ddl"), TABLES);
}

#[test]
fn c09_a_store_that_is_down_is_a_visible_failure_and_the_system_stands() {
    let world = untrained_world(&Vectors::Sqlite);
    let url = format!("http://127.0.0.1:{}", free_port());
    world.spec(&world.read("stack.yaml").replace("sqlite://vector.db", &url));

    let plan = world.trueup(&["plan", "--format", "json"]).exits(3).json();
    let apply = world.apply();

    let check = entry(&plan, "checks", "vector");
    assert_eq!(check["status"], "fail");
    assert!(check["message"].as_str().unwrap().contains("127.0.0.1:"), "{check}");
    entry(&plan, "blocked", "vector.documents.ddl");
    apply.exits(6).warns("vector");
    assert_eq!(world.sqlite("system.db", "SELECT count(*) FROM items"), "3");
    assert!(!world.path("vector.db").exists(), "nothing takes its place");
    world.plan().exits(3);
}

#[test]
fn c14_while_training_is_off_the_store_is_not_touched_and_train_asks_for_it_once() {
    for vectors in Vectors::both() {
        let world = untrained_world(&vectors);
        let spec = world.read("stack.yaml");
        world.spec(&spec.replace("auto_train_vector: true", "auto_train_vector: false"));

        let plan = world.trueup(&["plan", "--format", "json"]).exits(0).json();
        world.apply().exits(0);

        let notes: Vec<_> = plan["notes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|note| note.to_string().contains("training is off"))
            .collect();
        assert_eq!(notes.len(), 1, "{plan:#}");
        assert!(!plan.to_string().contains("vector.documents"));
        assert_eq!(vectors.read(&world, "ddl"), None);
        if let Vectors::Chroma { wire, .. } = &vectors {
            assert_eq!(wire.connections(), 0);
        }

        world.plan().exits(0);
        world.trueup(&["apply", "--auto-approve", "--train"]).exits(0);
        assert_eq!(vectors.ids(&world, "ddl"), TABLES);
        vectors.watch(&world);
        world.plan().exits(0);
        world.trueup(&["plan", "--train", "--detailed-exitcode"]).exits(0);
    }
}

#[test]
fn c14_turning_training_off_empties_nothing() {
    for vectors in Vectors::both() {
        let world = trained_world(&vectors);
        let spec = world.read("stack.yaml");
        world.spec(&spec.replace("auto_train_vector: true", "auto_train_vector: false"));

        let plan = world.plan_json();
        world.apply().exits(0);

        assert_eq!(addresses(&plan), ["flags"]);
        assert_eq!(vectors.ids(&world, "ddl"), TABLES);
        assert_eq!(vectors.watched(&world), (vec![], vec![]));
        if let Vectors::Chroma { wire, .. } = &vectors {
            assert_eq!(wire.connections(), 0);
        }
    }
}
