//! Environments of one stack on one vector store: documents belong to the bookkeeping that wrote
//! them, not to a name.

use std::collections::BTreeMap;

use crate::servers::Redis;
use crate::stores::{Stored, Vectors, make_business};
use crate::world::World;

/// Writes a spec `ENVIRONMENT.yaml` of the stack `shop`, with a separate system database.
fn environment(world: &World, vectors: &Vectors, name: &str, prefix: &str) {
    let prefix = if prefix.is_empty() { String::new() } else { format!("  prefix: {prefix}\n") };
    world.file(
        &format!("{name}.yaml"),
        format!(
            "version: 1\nstack: shop\nenvironment: {name}\n\
             flags: {{ enable_target_db: true, auto_train_vector: true, seed_demo_data: false }}\n\
             system: {{ url: 'sqlite://{name}.db', create_database: true }}\n\
             targets: {{ business: {{ url: 'sqlite://business.db' }} }}\n\
             vector:\n{}{prefix}  embedder: {{ kind: hashing }}\n\
             \x20 collections: {{ ddl: {{ from: {{ schema: [business] }} }} }}\n",
            vectors.place()
        ),
    );
}

fn all(world: &World, vectors: &Vectors) -> BTreeMap<String, Stored> {
    vectors.read(world, "ddl").unwrap()
}

#[test]
fn destroy_of_one_environment_leaves_the_vectors_of_another() {
    for vectors in Vectors::both() {
        let world = World::new();
        make_business(&world, "business.db");
        for name in ["prod", "review"] {
            environment(&world, &vectors, name, "");
        }
        world.trueup(&["--file", "prod.yaml", "apply", "--auto-approve"]).exits(0);
        let before = all(&world, &vectors);
        assert_eq!(before.len(), 4);

        let plan = world.trueup(&["--file", "review.yaml", "plan"]);
        assert_ne!(plan.code, Some(0), "{plan:?}");
        let said = format!("{}{}", plan.stdout, plan.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        let identity = world.sqlite("prod.db", "SELECT value FROM trueup_meta WHERE key = 'identity'");
        let whose = format!("belongs to the stack shop, environment prod (bookkeeping {})", &identity[..8]);
        assert!(said.contains(&whose), "{said}");
        assert!(said.contains("`prefix`"), "{said}");
        world.trueup(&["--file", "review.yaml", "apply", "--auto-approve"]);
        world.trueup(&["--file", "review.yaml", "destroy", "--auto-approve"]);
        assert_eq!(all(&world, &vectors), before);
        world.trueup(&["--file", "prod.yaml", "plan", "--detailed-exitcode"]).exits(0);
    }
}

#[test]
fn three_environments_with_prefixes_share_a_store() {
    for vectors in Vectors::both() {
        let world = World::new();
        make_business(&world, "business.db");
        for (name, prefix) in [("prod", ""), ("one", "review_1_"), ("two", "review_2_")] {
            environment(&world, &vectors, name, prefix);
            world.trueup(&["--file", &format!("{name}.yaml"), "apply", "--auto-approve"]).exits(0);
        }
        let (prod, two) = (all(&world, &vectors), vectors.read(&world, "review_2_ddl").unwrap());

        world.trueup(&["--file", "one.yaml", "destroy", "--auto-approve"]).exits(0);

        assert_eq!(vectors.read(&world, "review_1_ddl"), None);
        assert_eq!(all(&world, &vectors), prod);
        assert_eq!(vectors.read(&world, "review_2_ddl").unwrap(), two);
        for name in ["prod", "two"] {
            let plan = world.trueup(&["--file", &format!("{name}.yaml"), "plan", "--detailed-exitcode"]);
            plan.exits(0).never_says("another bookkeeping made it");
        }
    }
}

#[test]
fn a_lost_bookkeeping_is_taken_over_only_when_that_is_allowed() {
    for vectors in Vectors::both() {
        let world = World::new();
        make_business(&world, "business.db");
        environment(&world, &vectors, "dev", "");
        let apply = ["--file", "dev.yaml", "apply", "--auto-approve"];
        world.trueup(&apply).exits(0);
        let before = all(&world, &vectors);
        std::fs::remove_file(world.path("dev.db")).unwrap();

        world.trueup(&apply).exits(3).warns("--allow takeover");
        assert_eq!(all(&world, &vectors), before);

        world.trueup(&["--file", "dev.yaml", "apply", "--auto-approve", "--allow", "takeover"]).exits(0);
        world.trueup(&["--file", "dev.yaml", "plan", "--detailed-exitcode"]).exits(0);
        world.trueup(&["--file", "dev.yaml", "destroy", "--auto-approve"]).exits(0);
        assert_eq!(vectors.read(&world, "ddl"), None);
    }
}

/// Changes the store and the bookkeeping to the state of an older trueup, whose marks contain only
/// the name of the stack.
fn age(world: &World, vectors: &Vectors, system: &str) {
    match vectors {
        Vectors::Sqlite => {
            let older =
                "metadata = json_remove(metadata, '$.trueup_environment', '$.trueup_owner', '$.trueup_run')";
            world.sqlite(
                "vector.db",
                &format!("UPDATE vector_collections SET {older}; UPDATE vector_documents SET {older}"),
            );
        }
        Vectors::Chroma { chroma, .. } => {
            chroma.python(
                "c = client.get_collection('ddl', embedding_function=None)\n\
                 c.modify(metadata={'trueup': 'shop', 'embedder': 'hashing:v1:384'})\n\
                 ids = c.get(include=[])['ids']\n\
                 none = {'trueup_environment': None, 'trueup_owner': None, 'trueup_run': None}\n\
                 c.update(ids=ids, metadatas=[none for _ in ids])\n",
            );
        }
    }
    world.sqlite(
        system,
        "DELETE FROM trueup_meta WHERE key = 'identity'; UPDATE trueup_meta SET value = '3' WHERE key = 'format'",
    );
    for document in all(world, vectors).values() {
        let marks = document.metadata.as_object().unwrap();
        assert!(marks.contains_key("trueup") && !marks.contains_key("trueup_owner"), "{marks:?}");
    }
}

#[test]
fn marks_of_an_older_trueup_belong_to_the_bookkeeping_that_made_them() {
    for vectors in Vectors::both() {
        let world = World::new();
        make_business(&world, "business.db");
        for name in ["prod", "review"] {
            environment(&world, &vectors, name, "");
        }
        world.trueup(&["--file", "prod.yaml", "apply", "--auto-approve"]).exits(0);
        age(&world, &vectors, "prod.db");
        let before = all(&world, &vectors);

        // Another environment cannot prove that it wrote them.
        world
            .trueup(&["--file", "review.yaml", "apply", "--auto-approve"])
            .exits(3)
            .warns("--allow takeover");
        world.trueup(&["--file", "review.yaml", "destroy", "--auto-approve"]);
        assert_eq!(all(&world, &vectors), before);

        // The environment that wrote them renews the marks, without writing any text again.
        let plan = world.trueup(&["--file", "prod.yaml", "plan"]);
        plan.exits(0).says("4 documents to mark");
        world.trueup(&["--file", "prod.yaml", "apply", "--auto-approve"]).exits(0);
        world.trueup(&["--file", "prod.yaml", "plan", "--detailed-exitcode"]).exits(0);
        assert!(all(&world, &vectors).values().all(|document| document.metadata["trueup_owner"].is_string()));
        world.trueup(&["--file", "prod.yaml", "destroy", "--auto-approve"]).exits(0);
        assert_eq!(vectors.read(&world, "ddl"), None);
    }
}

#[test]
fn a_copy_of_a_system_database_leaves_the_vectors_of_the_environment_that_it_was_copied_from() {
    for vectors in Vectors::both() {
        let world = World::new();
        make_business(&world, "business.db");
        for name in ["dev", "review"] {
            environment(&world, &vectors, name, "");
        }
        world.trueup(&["--file", "dev.yaml", "apply", "--auto-approve"]).exits(0);
        let before = all(&world, &vectors);
        std::fs::copy(world.path("dev.db"), world.path("review.db")).unwrap();

        let apply = ["--file", "review.yaml", "apply", "--auto-approve"];
        world.trueup(&apply).exits(3).warns("--allow takeover").says("may be a copy");
        world.trueup(&["--file", "review.yaml", "destroy", "--auto-approve"]);

        assert_eq!(all(&world, &vectors), before);
        world.trueup(&["--file", "dev.yaml", "plan", "--detailed-exitcode"]).exits(0);

        // An environment that was only renamed takes over its own.
        std::fs::copy(world.path("dev.db"), world.path("review.db")).unwrap();
        world.trueup(&[&apply[..], &["--allow", "takeover"]].concat()).exits(0);
        world.trueup(&["--file", "review.yaml", "plan", "--detailed-exitcode"]).exits(0);
        world.trueup(&["--file", "review.yaml", "destroy", "--auto-approve"]).exits(0);
        assert_eq!(vectors.read(&world, "ddl"), None);
    }
}

#[test]
fn a_copy_of_a_system_database_leaves_the_groups_of_the_environment_that_it_was_copied_from() {
    let redis = Redis::start();
    let world = World::new();
    for name in ["dev", "review"] {
        world.file(
            &format!("{name}.yaml"),
            format!(
                "version: 1\nstack: shop\nenvironment: {name}\n\
                 system: {{ url: 'sqlite://{name}.db', create_database: true }}\n\
                 cache: {{ url: '{}', streams: {{ jobs: {{ groups: [workers] }} }} }}\n",
                redis.url()
            ),
        );
    }
    world.trueup(&["--file", "dev.yaml", "apply", "--auto-approve"]).exits(0);
    let groups = || redis.cli(&["XINFO", "GROUPS", "jobs"]).contains("workers");
    assert!(groups());
    for applies_first in [false, true] {
        std::fs::copy(world.path("dev.db"), world.path("review.db")).unwrap();

        if applies_first {
            world.trueup(&["--file", "review.yaml", "apply", "--auto-approve"]).exits(0);
        }
        world.trueup(&["--file", "review.yaml", "destroy", "--auto-approve"]).exits(0);

        assert!(groups(), "applied first: {applies_first}");
        world.trueup(&["--file", "dev.yaml", "plan", "--detailed-exitcode"]).exits(0);
    }
}
