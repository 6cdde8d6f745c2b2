//! Environments of one stack on one vector store: what lies there belongs to the bookkeeping that put it
//! there, not to a name.

use std::collections::BTreeMap;

use crate::stores::{Stored, Vectors, make_business};
use crate::world::World;

/// A spec `ENVIRONMENT.yaml` of the stack `shop`, with a system database of its own.
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
        assert!(said.contains("belongs to the stack shop, environment prod"), "{said}");
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
            world.trueup(&["--file", &format!("{name}.yaml"), "plan", "--detailed-exitcode"]).exits(0);
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
