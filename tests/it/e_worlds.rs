//! Planning without access to servers, and planning with read-only credentials.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use crate::servers::{Postgres, Redis};
use crate::stores::{Database, Shop, Vectors, make_business, trained};
use crate::world::World;

/// Writes a stack of all four components, each with its address in a variable.
fn whole(database: &Database, vectors: &Vectors, redis: &Redis) -> World {
    let world = World::new();
    make_business(&world, "business.db");
    let place = vectors.place();
    let url = place.lines().next().unwrap().trim().strip_prefix("url: ").unwrap();
    let more = format!(
        "{}cache:\n  url: ${{REDIS_URL}}\n  config: {{ maxmemory: 64mb }}\n  \
         namespaces: {{ sessions: {{ prefix: 'session:', ttl: 1h }} }}\n  streams: {{ jobs: {{ groups: [workers] }} }}\n",
        trained(vectors).replace(url, "${VECTOR_URL}").replace("'sqlite://business.db'", "'${BUSINESS_URL}'"),
    );
    Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, database);
    world.env("VECTOR_URL", url).env("BUSINESS_URL", "sqlite://business.db").env("REDIS_URL", redis.url());
    world
}

fn without_variables(world: &World) {
    for name in ["DATABASE_URL", "ADMIN_PASSWORD", "VECTOR_URL", "BUSINESS_URL", "REDIS_URL"] {
        world.without_env(name);
    }
}

#[test]
fn e01_a_plan_of_a_saved_world_has_the_bytes_of_the_live_one_with_no_variable_set() {
    // Roles belong to the server: while other tests create some, two observations differ.
    let databases = [Database::Sqlite, Database::Postgres(Postgres::alone())];
    for (database, vectors) in databases.into_iter().zip(Vectors::both()) {
        let redis = Redis::with_password("a long pass:word@home");
        let world = whole(&database, &vectors, &redis);
        let formats = ["json", "text", "markdown"];
        let live =
            || formats.map(|format| world.trueup(&["plan", "--format", format]).exits(0).stdout.clone());

        world.trueup(&["observe", "--out", "before.json"]).exits(0);
        let before = live();
        world.apply().exits(0);
        world.trueup(&["observe", "--out", "after.json"]).exits(0);
        let after = live();
        world.sqlite("business.db", "ALTER TABLE products ADD COLUMN weight NUMERIC");
        world.file("items.csv", "id,name\n1,pen\n2,ink\n");
        world.trueup(&["observe", "--out", "changed.json"]).exits(0);
        let changed = live();

        without_variables(&world);
        for (file, live, items) in [
            ("changed.json", changed, None),
            ("before.json", before, Some("id,name\n1,pen\n2,ink\n3,paper\n")),
            ("after.json", after, None),
        ] {
            if let Some(items) = items {
                world.file("items.csv", items);
            }
            let offline = formats.map(|format| {
                world.trueup(&["plan", "--world", file, "--format", format]).exits(0).stdout.clone()
            });
            let [_, live_text, _] = &live;
            let has_text_changes = live_text.contains("text of business/products:\n");
            assert_eq!(has_text_changes, file == "changed.json", "{live_text}");
            let live = live.map(|plan| without_text_changes(&plan));
            for (offline, live) in offline.iter().zip(&live) {
                let differing = offline.lines().zip(live.lines()).filter(|(offline, live)| offline != live);
                assert_eq!(differing.collect::<Vec<_>>(), [], "{file}, offline and live");
                assert_eq!(offline, live);
            }
        }
    }
}

/// Removes the differences from stored texts, which only a live plan can read.
fn without_text_changes(plan: &str) -> String {
    let mut is_text = false;
    let mut kept = String::new();
    for line in plan.lines() {
        is_text = line.starts_with("      text of ") || (is_text && line.starts_with("      "));
        if !is_text {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn e01_an_address_without_its_variable_is_an_error_except_with_world() {
    let (database, redis) = (Database::Sqlite, Redis::start());
    let world = whole(&database, &Vectors::Sqlite, &redis);
    world.trueup(&["observe", "--out", "world.json"]).exits(0);

    without_variables(&world);

    let live = world.trueup(&["plan"]);
    live.exits(1).warns("DATABASE_URL").warns("VECTOR_URL").warns("BUSINESS_URL").warns("REDIS_URL");
    world.trueup(&["plan", "--world", "world.json"]).exits(0).warns("ADMIN_PASSWORD");
}

#[test]
fn e01_a_world_of_another_stack_or_form_is_refused() {
    let (database, redis) = (Database::Sqlite, Redis::start());
    let world = whole(&database, &Vectors::Sqlite, &redis);
    world.trueup(&["observe", "--out", "world.json"]).exits(0);
    let text = world.read("world.json");

    world.file("other.json", text.replacen("\"stack\":\"shop\"", "\"stack\":\"other\"", 1));
    world.file("later.json", text.replacen("\"format_version\":3", "\"format_version\":4", 1));
    world.file("torn.json", &text[..text.len() / 2]);

    world.trueup(&["plan", "--world", "other.json"]).exits(1).warns("\"other\"").warns("\"shop\"");
    world.trueup(&["plan", "--world", "later.json"]).exits(1).warns("format_version 4");
    world.trueup(&["plan", "--world", "torn.json"]).exits(1).warns("torn.json");
    world.trueup(&["plan", "--world", "nowhere.json"]).exits(1).warns("nowhere.json");
}

/// Returns every file of a folder with its bytes and modification time.
fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let changed = path.metadata().unwrap().modified().unwrap();
            found.insert(path.display().to_string(), (std::fs::read(&path).unwrap(), changed));
        }
    }
    found
}

const READERS: [&[&str]; 8] = [
    &["plan"],
    &["plan", "--train", "--format", "json"],
    &["validate"],
    &["status"],
    &["history"],
    &["graph"],
    &["lock", "status"],
    &["schema"],
];

#[test]
fn e02_commands_that_look_leave_every_file_as_it_was() {
    let world = World::new();
    make_business(&world, "business.db");
    let cache = "cache:\n  url: sqlite://cache.db\n  streams: { jobs: { groups: [workers] } }\n";
    let more = format!("{}{cache}", trained(&Vectors::Sqlite));
    Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &Database::Sqlite);
    let folder = world.path("");

    let empty = files(&folder);
    for command in READERS {
        world.trueup(command);
        assert_eq!(files(&folder), empty, "{command:?} before the first apply");
    }

    world.apply().exits(0);
    world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n");
    let applied = files(&folder);
    for command in READERS {
        world.trueup(command).exits(0);
        assert_eq!(files(&folder), applied, "{command:?}");
    }
}

#[test]
fn e02_plan_works_with_credentials_that_cannot_write() {
    let postgres = Postgres::start();
    let database = Database::Postgres(postgres);
    let Database::Postgres(postgres) = &database else { unreachable!() };
    let (vectors, redis) = (Vectors::chroma(), Redis::start());
    let world = whole(&database, &vectors, &redis);
    world.apply().exits(0);
    world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n");

    let reader = format!("reader_{}", postgres.name());
    postgres.psql(&format!(
        "CREATE ROLE {reader} LOGIN PASSWORD 'reads-and-no-more'; \
         GRANT USAGE ON SCHEMA public, trueup TO {reader}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public, trueup TO {reader}; \
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, trueup TO {reader}"
    ));
    let url = postgres.url().replace("postgres:for-tests-only@", &format!("{reader}:reads-and-no-more@"));
    let refused = std::process::Command::new("psql")
        .arg(&url)
        .args(["-c", "INSERT INTO items VALUES (9, 'x')"])
        .output();
    redis.cli(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        ">reads-and-no-more",
        "~*",
        "+@read",
        "+@connection",
        "+info",
        "+config|get",
    ]);
    world.env("DATABASE_URL", &url);
    world.env("REDIS_URL", format!("redis://reader:reads-and-no-more@127.0.0.1:{}/0", redis.port()));
    vectors.watch(&world);

    let plan = world.plan();
    let apply = world.apply();

    plan.exits(2).says("system.seed.items").says("Plan: 0 to create, 1 to update");
    assert!(!refused.unwrap().status.success(), "the role could write");
    assert_ne!(apply.code, Some(0), "{apply:?}");
    apply.never_says("reads-and-no-more");
    assert_eq!(vectors.watched(&world), (vec![], vec![]));
    assert_eq!(postgres.psql("SELECT count(*) FROM items"), "3");
    world.env("DATABASE_URL", postgres.url());
    drop(world);
    postgres.psql(&format!("DROP OWNED BY {reader}; DROP ROLE {reader}"));
}
