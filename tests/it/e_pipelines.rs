//! The guarantees for pipelines: the size limit of Markdown, policies, exit codes, health.

use crate::servers::{Postgres, Redis, free_port};
use crate::stores::{BUSINESS, Database, Shop, Vectors, addresses, entry, make_business, trained};
use crate::world::World;

/// Applies a stack, then adds a migration that drops a table, and `streams` streams.
fn with_a_drop(database: &Database, streams: usize) -> World {
    let world = World::new();
    let shop = Shop::default();
    world.file("migrations/0002_old.sql", "CREATE TABLE old (id bigint PRIMARY KEY);\n");
    shop.write(&world, database);
    world.apply().exits(0);
    world.file("migrations/0003_drop_old.sql", "DROP TABLE old;\n");
    let streams: Vec<String> =
        (0..streams).map(|n| format!("stream_{n:04}: {{ groups: [workers] }}")).collect();
    let more = format!(
        "cache: {{ url: 'sqlite://cache.db', streams: {{ {} }} }}\npolicies: {{ no_data_loss: {{ deny: destructive }} }}\n",
        streams.join(", ")
    );
    Shop { more, ..Shop::default() }.write_spec(&world);
    world
}

#[test]
fn e04_markdown_stays_under_its_limit_and_what_destroys_is_never_cut() {
    let world = with_a_drop(&Database::Sqlite, 400);

    let whole = world.trueup(&["plan", "--format", "markdown", "--max-bytes", "1000000"]).stdout;
    assert_eq!(whole.matches("stream_").count() / whole.matches("stream_0000").count(), 400);
    assert!(!whole.contains("more changes"));

    for most in [20_000, 5_000, 2_000, 1_000] {
        let cut = world.trueup(&["plan", "--format", "markdown", "--max-bytes", &most.to_string()]).stdout;
        assert!(cut.len() <= most, "{} bytes are more than {most}:\n{cut}", cut.len());
        assert!(cut.contains("0003_drop_old") && cut.contains("**destructive**"), "{cut}");
        let rows = cut.lines().filter(|line| line.starts_with("| `")).count();
        assert!(cut.contains(&format!("… and {} more changes", 401 - rows)), "{rows} rows: {cut}");
    }
    let smallest = world.trueup(&["plan", "--format", "markdown", "--max-bytes", "1"]).stdout;
    assert!(smallest.contains("0003_drop_old") && smallest.contains("… and 400 more changes"), "{smallest}");
    let default = world.trueup(&["plan", "--format", "markdown"]).stdout;
    assert!(default.len() <= 60_000);
}

#[test]
fn e04_markdown_has_the_sql_of_migrations_folded_away_where_there_is_room() {
    let world = World::new();
    world.spec(
        "version: 1\nstack: shop\nenvironment: dev\n\
         system: { url: 'sqlite://system.db', create_database: true, migrations: migrations }\n",
    );
    world.file("migrations/0001_a.sql", "-- ``` in a comment\nCREATE TABLE a (id integer);\n");
    world.file("migrations/0002_b.sql", "CREATE TABLE b (id integer);\n");
    let markdown = |most: usize| {
        world.trueup(&["plan", "--format", "markdown", "--max-bytes", &most.to_string()]).stdout
    };

    let whole = markdown(60_000);
    let cut = markdown(whole.len() - 1);

    let folded = "<details><summary><code>system.migration.0001_a</code></summary>\n\n````diff\n\
                  +-- ``` in a comment\n+CREATE TABLE a (id integer);\n````\n\n</details>\n";
    assert!(whole.contains(folded), "{whole}");
    assert!(whole.contains("+CREATE TABLE b (id integer);"), "{whole}");
    assert!(cut.len() < whole.len() && !cut.contains("TABLE b"), "{cut}");
    assert!(cut.contains("… `trueup show` has the text of 1 more change.\n"), "{cut}");
}

#[test]
fn e04_the_markdown_of_a_saved_plan_has_the_same_limit() {
    let world = with_a_drop(&Database::Sqlite, 400);
    world.trueup(&["plan", "--out", "plan.json"]);

    let live = world.trueup(&["plan", "--format", "markdown", "--max-bytes", "3000"]);
    let shown = world.trueup(&["show", "plan.json", "--format", "markdown", "--max-bytes", "3000"]);

    assert_eq!(shown.exits(0).stdout, live.stdout);
}

#[test]
fn e06_what_a_policy_denies_is_shown_as_blocked_and_the_rest_is_planned() {
    for database in Database::both() {
        let world = with_a_drop(&database, 2);

        let plan = world.trueup(&["plan", "--detailed-exitcode", "--format", "json"]).exits(3).json();
        let apply = world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]);

        let drop = entry(&plan, "changes", "system.migration.0003_drop_old");
        assert_eq!(drop["risk"], "destructive");
        let blocked = entry(&plan, "blocked", "system.migration.0003_drop_old");
        assert_eq!(blocked["reason"], "policy no_data_loss denies: destructive");
        let all = addresses(&plan);
        assert!(all.contains(&"cache.stream.stream_0000".to_owned()), "{all:?}");
        apply.exits(3).warns("policy no_data_loss denies");
        assert_eq!(database.query(&world, "SELECT count(*) FROM old"), "0");
        assert!(!world.path("cache.db").exists(), "nothing was applied");
    }
}

#[test]
fn e06_a_denied_flag_blocks_what_it_switches_on() {
    let world = World::new();
    make_business(&world, "business.db");
    let targets = "targets:\n  business: { url: 'sqlite://business.db', when: seed_demo_data }\n  other: { url: 'sqlite://business.db' }\n";
    let more = format!("{targets}policies: {{ no_demo_data: {{ deny_flag: seed_demo_data }} }}\n");
    Shop { targets: true, more, ..Shop::default() }.write(&world, &Database::Sqlite);

    let plan = world.trueup(&["plan", "--format", "json"]).exits(3).json();

    for address in ["flags", "system.seed.items", "target.business.schema"] {
        assert_eq!(
            entry(&plan, "blocked", address)["reason"],
            "policy no_demo_data denies the flag seed_demo_data"
        );
    }
    for address in ["system.user.admin", "target.other.schema"] {
        assert!(addresses(&plan).contains(&address.to_owned()), "{address}");
    }
    world.apply().exits(3);
    assert!(!world.path("system.db").exists());
    world.spec(&world.read("stack.yaml").replace("seed_demo_data: true", "seed_demo_data: false"));
    world.apply().exits(0);
}

#[test]
fn e06_a_destructive_change_needs_leave_by_name() {
    for database in Database::both() {
        let world = with_a_drop(&database, 0);
        world.spec(
            &world.read("stack.yaml").replace("policies: { no_data_loss: { deny: destructive } }\n", ""),
        );

        world.plan().exits(2).says("[destructive]").warns("--allow destructive");
        world.apply().exits(3).warns("--allow destructive");
        assert_eq!(database.query(&world, "SELECT count(*) FROM old"), "0");

        world.trueup(&["apply", "--auto-approve", "--allow", "destructive"]).exits(0);
        world.plan().exits(0);
    }
}

#[test]
fn e10_each_exit_code_is_met() {
    let world = World::new();
    make_business(&world, "business.db");
    Shop { targets: true, more: BUSINESS.to_owned(), ..Shop::default() }.write(&world, &Database::Sqlite);
    let detailed: &[&str] = &["plan", "--detailed-exitcode"];
    let exits = |command: &[&str], code| drop(world.trueup(command).exits(code).clone());

    exits(&["plan"], 0);
    exits(detailed, 2);
    exits(&["apply"], 64);
    exits(&["plan", "--out", "plan.json"], 0);
    exits(&["apply", "plan.json"], 0);
    exits(&["apply", "plan.json"], 5);
    exits(detailed, 0);
    exits(&["apply", "--auto-approve"], 0);
    for usage in [
        &["plant"][..],
        &["plan", "--out"],
        &[],
        &["apply", "--parallelism", "0"],
        &["plan", "--only", "sytem"],
    ] {
        exits(usage, 64);
    }
    exits(&["--help"], 0);
    exits(&["--version"], 0);
    exits(&["--file", "nowhere.yaml", "plan"], 1);
    std::fs::rename(world.path("business.db"), world.path("away.db")).unwrap();
    exits(detailed, 3);
    world.file("items.csv", "id,name\n1,pen\n2,ink\n3,paper\n4,stamp\n");
    exits(detailed, 3);
    exits(&["apply", "--auto-approve"], 6);
    assert_eq!(world.sqlite("system.db", "SELECT count(*) FROM items"), "4");
    std::fs::rename(world.path("system.db"), world.path("gone.db")).unwrap();
    world.file("system.db", "not a database at all, but some text that is long enough");
    exits(&["plan"], 1);
    exits(&["apply", "--auto-approve"], 1);
}

#[test]
fn e10_an_interrupted_apply_finishes_its_step_and_exits_130() {
    let database = Database::Postgres(Postgres::start());
    let world = World::new();
    Shop::default().write(&world, &database);
    world.apply().exits(0);
    world.file("migrations/0002_slow.sql", "SELECT pg_sleep(4); CREATE TABLE slow (id bigint);\n");
    world.file("migrations/0003_next.sql", "CREATE TABLE next (id bigint);\n");

    let mut apply = world.start(&["apply", "--auto-approve"]);
    let is_slow =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while database.query(&world, is_slow) == "0" {
        assert!(apply.is_running(), "it ended before it could be interrupted");
    }
    apply.signal("INT");
    let run = apply.ends();

    run.exits(130);
    assert_eq!(
        database.query(&world, "SELECT to_regclass('slow') IS NOT NULL, to_regclass('next') IS NULL"),
        "t|t"
    );
    world.apply().exits(0);
}

#[test]
fn e11_status_has_four_components_and_is_as_healthy_as_the_worst() {
    for (database, vectors) in Database::both().into_iter().zip(Vectors::both()) {
        let world = World::new();
        let redis = Redis::start();
        make_business(&world, "business.db");
        let more = format!("{}cache: {{ url: 'redis://127.0.0.1:{}/0' }}\n", trained(&vectors), redis.port());
        Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &database);
        world.apply().exits(0);

        let healthy = world.trueup(&["status", "--format", "json"]).exits(0).json();

        assert_eq!((&healthy["stack"], &healthy["environment"]), (&"shop".into(), &"dev".into()));
        assert_eq!(healthy["status"], "healthy");
        let components = healthy["components"].as_array().unwrap();
        let names: Vec<_> =
            components.iter().map(|component| component["component"].as_str().unwrap()).collect();
        assert_eq!(names, ["system", "target.business", "vector", "cache"]);
        for component in components {
            assert_eq!(component["status"], "healthy");
            assert!(
                component["version"].as_str().unwrap().chars().any(|c| c.is_ascii_digit()),
                "{component}"
            );
            assert!(component["milliseconds"].as_f64().unwrap() > 0.0);
        }
        let text = world.trueup(&["status"]);
        assert_eq!(text.exits(0).says("apply succeeded").stdout.lines().count(), 5);
        assert!(!text.stdout.contains("sqlite-vec sqlite-vec"), "{}", text.stdout);

        drop(redis);
        let sick = world.trueup(&["status", "--format", "json"]).exits(1).json();
        assert_eq!(sick["status"], "unhealthy");
        assert_eq!(sick["components"][0]["status"], "healthy");
        assert_eq!(sick["components"][3]["status"], "unhealthy");
        assert!(sick["components"][3]["error"].is_string());
    }
}

#[test]
fn e11_each_component_can_make_the_whole_unhealthy() {
    let port = free_port();
    let cases = [
        (
            "system",
            format!("postgres://app:not-to-be-shown@127.0.0.1:{port}/app"),
            "sqlite://business.db",
            "sqlite://vector.db",
        ),
        ("target.business", "sqlite://system.db".to_owned(), "sqlite://nowhere.db", "sqlite://vector.db"),
        ("vector", "sqlite://system.db".to_owned(), "sqlite://business.db", "sqlite://nowhere/vector.db"),
    ];
    for (name, system, target, vector) in cases {
        let world = World::new();
        make_business(&world, "business.db");
        let more = trained(&Vectors::Sqlite)
            .replace("sqlite://business.db", target)
            .replace("sqlite://vector.db", vector);
        Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &Database::Sqlite);
        world.file("system.db", "").env("DATABASE_URL", system);

        let run = world.trueup(&["status", "--format", "json"]);

        let status = run.exits(1).never_says("not-to-be-shown").json();
        let sick = status["components"].as_array().unwrap().iter();
        let sick: Vec<_> = sick
            .filter(|component| component["status"] == "unhealthy")
            .map(|c| c["component"].clone())
            .collect();
        assert_eq!(sick, [name], "{status:#}");
    }
}
