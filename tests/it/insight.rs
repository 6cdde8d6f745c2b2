//! The example `insight` on real servers: each environment applies and converges, and other clients
//! see what the plan announced.

use serde_json::Value;

use crate::servers::{Chroma, Postgres, Redis};
use crate::stacks::{insight, step, steps};
use crate::world::World;

struct Servers {
    database: Postgres,
    redis: Redis,
    chroma: Chroma,
}

/// The empty servers, and the example's files in a separate folder.
fn given() -> (World, Servers) {
    let world = insight();
    let servers = Servers {
        database: Postgres::absent(),
        redis: Redis::with_password("change-me-redis"),
        chroma: Chroma::start(),
    };
    connect(&world, &servers);
    world.env("TARGET_DB", "../quickstart/business.db");
    tenant(&world, "examples/insight/base.yaml", &servers);
    (world, servers)
}

/// The variables of `.env`.
fn connect(world: &World, servers: &Servers) {
    world.env("DATABASE_URL", servers.database.url()).env("REDIS_URL", servers.redis.url());
    world.env("CHROMA_URL", servers.chroma.url()).env("ADMIN_PASSWORD", "change-me-administrator");
}

/// Tests share a server, and use one tenant each.
fn tenant(world: &World, base: &str, servers: &Servers) {
    let text = world.read(base);
    let own = text
        .replace("tenant: default_tenant", &format!("tenant: {}", servers.chroma.tenant()))
        .replace("database: default_database", &format!("database: {}", servers.chroma.database()));
    assert_ne!(own, text);
    world.file(base, own);
}

fn environment(world: &World, name: &str) {
    world.env("TRUEUP_FILE", format!("examples/insight/{name}.yaml"));
}

/// Returns the collections of the store with their number of documents, sorted.
fn collections(chroma: &Chroma) -> Vec<(String, u64)> {
    let path = format!("{}/collections", chroma.database_path());
    let found = chroma.request("GET", &path, None);
    let count = |collection: &Value| {
        let id = collection["id"].as_str().unwrap();
        let count = chroma.request("GET", &format!("{path}/{id}/count"), None).as_u64().unwrap();
        (collection["name"].as_str().unwrap().to_owned(), count)
    };
    let mut counts: Vec<_> = found.as_array().unwrap().iter().map(count).collect();
    counts.sort();
    counts
}

/// Counts the documents of prod in the files, without trueup.
fn expected_collections(world: &World) -> Vec<(String, u64)> {
    let count = |name: &str, text: &str| world.read(name).matches(text).count() as u64;
    let tables =
        "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'";
    let tables = world.sqlite("examples/quickstart/business.db", tables).parse().unwrap();
    let terms = count("ontologies/accounting.yaml", "\n    definition: ");
    let files = std::fs::read_dir(world.path("examples/quickstart/docs")).unwrap().count() as u64;
    let questions = count("examples/insight/questions.yaml", "- question: ");
    [("ddl", tables), ("documentation", terms + files), ("sql", questions)]
        .map(|(name, count)| (name.to_owned(), count))
        .to_vec()
}

#[test]
fn insight_hybrid_applies_and_converges_and_leaves_the_vector_store_alone() {
    let (world, servers) = given();
    environment(&world, "hybrid");

    let plan = world.plan_json();
    let applied = world.apply();

    applied.exits(0);
    assert!(steps(&plan).contains(&"create target.business.schema".to_owned()), "{:?}", steps(&plan));
    assert!(plan["notes"].to_string().contains("training is off"), "{plan}");
    world.plan().exits(0).says("No changes").says("training is off");
    assert_eq!(collections(&servers.chroma), []);
    assert_eq!(servers.database.psql("SELECT count(*) > 100 FROM accounting_transactions"), "t");
    assert_eq!(
        servers.database.psql("SELECT owner FROM trueup.snapshots ORDER BY 1"),
        "system\ntarget.business"
    );
    assert_eq!(
        servers.database.psql("SELECT name, value FROM trueup.flags ORDER BY 1"),
        "auto_train_vector|f\nenable_target_db|t\nseed_demo_data|t"
    );
}

#[test]
fn insight_prod_applies_and_converges_and_other_clients_agree() {
    let (world, servers) = given();
    environment(&world, "prod");

    let applied = world.apply();

    applied.exits(0);
    world.plan().exits(0).says("No changes");
    let Servers { database, redis, chroma } = &servers;
    assert_eq!(database.psql("SELECT count(*) FROM accounting_transactions"), "0", "no demo rows");
    assert_eq!(database.psql("SELECT username, role FROM users"), "admin|admin");
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]), format!("maxmemory\n{}", 1u64 << 30));
    assert!(redis.cli(&["XINFO", "GROUPS", "jobs"]).contains("workers"));
    assert_eq!(collections(chroma), expected_collections(&world));
    let ids = "print(sorted(client.get_collection('ddl').get()['ids'])[:3])";
    assert_eq!(chroma.python(ids), "['business/accounts', 'business/bills', 'business/budgets']");
    assert_eq!(
        database.psql("SELECT name, value FROM trueup.flags ORDER BY 1"),
        "auto_train_vector|t\nenable_target_db|t\nseed_demo_data|f"
    );
    // The business database is only read.
    assert_eq!(
        std::fs::read(world.path("examples/quickstart/business.db")).unwrap(),
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quickstart/business.db")).unwrap()
    );
}

#[test]
fn insight_from_dev_to_prod_plans_exactly_the_differences() {
    let (world, servers) = given();
    environment(&world, "dev");
    world.apply().exits(0);
    let admin = servers.database.psql("SELECT password_hash FROM users");
    environment(&world, "prod");

    let planned = world.plan();
    let plan = world.plan_json();
    let applied = world.apply();

    planned.exits(2);
    assert!(planned.stdout.starts_with("! the environment changes from dev to prod\n"), "{}", planned.stdout);
    let mut found = steps(&plan);
    assert_eq!(found.pop().as_deref(), Some("update flags"));
    found.sort();
    assert_eq!(
        found,
        [
            "create target.business.schema",
            "create vector.collection.ddl",
            "create vector.collection.documentation",
            "create vector.collection.sql",
            "create vector.documents.ddl",
            "create vector.documents.documentation",
            "create vector.documents.sql",
            "delete system.seed.demo_accounting",
            "update cache.config.maxmemory",
        ]
    );
    assert_eq!(step(&plan, "system.seed.demo_accounting")["risk"], "safe");
    applied.exits(0);
    world.plan().exits(0).says("No changes");
    assert_eq!(servers.database.psql("SELECT count(*) FROM accounting_transactions"), "0");
    assert_eq!(servers.database.psql("SELECT password_hash FROM users"), admin, "the password is untouched");
    assert_eq!(collections(&servers.chroma), expected_collections(&world));
}

#[test]
fn a29_insight_does_not_go_back_from_prod_to_dev_by_accident() {
    let (world, servers) = given();
    environment(&world, "prod");
    world.apply().exits(0);
    environment(&world, "dev");

    let planned = world.plan();
    let refused = world.apply();

    planned.exits(2).warns("--allow environment");
    assert!(planned.stdout.starts_with("! the environment changes from prod to dev\n"), "{}", planned.stdout);
    refused.exits(3).warns("--allow environment");
    assert_eq!(servers.database.psql("SELECT count(*) FROM accounting_transactions"), "0");
    assert_eq!(servers.redis.cli(&["CONFIG", "GET", "maxmemory"]), format!("maxmemory\n{}", 1u64 << 30));

    world.trueup(&["apply", "--auto-approve", "--allow", "environment"]).exits(0);

    assert_eq!(servers.database.psql("SELECT count(*) > 100 FROM accounting_transactions"), "t");
    // Training was removed from the spec: its documents stay until `destroy` is run.
    world.plan().exits(0);
}

#[test]
fn init_insight_gives_three_environments_that_apply_with_the_variables_beside_them() {
    let (_, servers) = given();
    let world = World::new();
    world
        .trueup(&["init", "shop", "--preset", "insight"])
        .exits(0)
        .says("shop/dev.yaml")
        .warns("shop/dev.yaml");
    connect(&world, &servers);
    tenant(&world, "shop/base.yaml", &servers);
    for line in world.read("shop/.env.example").lines() {
        if let Some(path) = line.strip_prefix("TARGET_DB=") {
            world.env("TARGET_DB", path);
        }
    }

    for environment in ["dev", "hybrid", "prod"] {
        world.env("TRUEUP_FILE", format!("shop/{environment}.yaml"));
        world.trueup(&["validate"]).exits(0);
        world.apply().exits(0);
        world.plan().exits(0).says("No changes");
    }
    assert_eq!(servers.database.psql("SELECT count(*) FROM accounting_transactions"), "0");
}
