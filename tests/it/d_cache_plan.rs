//! The cache through the binary: the plan, and what `redis-cli` shows afterwards.

use crate::servers::Redis;
use crate::stores::{Database, Shop, addresses, entry};
use crate::world::World;

/// A stack with a cache at `${REDIS_URL}`.
fn with_cache(redis: &Redis, cache: &str) -> World {
    let world = World::new();
    let more = format!("cache:\n  url: ${{REDIS_URL}}\n{cache}");
    Shop { more, ..Shop::default() }.write(&world, &Database::Sqlite);
    world.env("REDIS_URL", redis.url());
    world
}

#[test]
fn d01_settings_that_differ_are_shown_before_and_after_and_set() {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let world =
        with_cache(&redis, "  config: { maxmemory: 256mb, maxmemory-policy: volatile-lru, hz: '10' }\n");

    let plan = world.plan_json();
    world.trueup(&["plan"]).exits(0).says("maxmemory: 100mb → 256mb");
    world.apply().exits(0);

    let change = entry(&plan, "changes", "cache.config.maxmemory");
    assert_eq!(
        (change["action"].as_str(), &change["before"], &change["after"]),
        (Some("update"), &"104857600".into(), &"256mb".into())
    );
    assert!(!addresses(&plan).contains(&"cache.config.hz".to_owned()), "10 is what it is");
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]), "maxmemory\n268435456");
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory-policy"]), "maxmemory-policy\nvolatile-lru");
    world.plan().exits(0);
}

#[test]
fn d01_a_server_that_forbids_config_is_a_warning_that_says_what_to_set_by_hand() {
    let redis = Redis::without_config_command();
    let world = with_cache(&redis, "  config: { maxmemory: 256mb }\n");

    let run = world.apply();

    run.exits(0).says("warn").says("set by hand: maxmemory 256mb");
    world.plan().exits(0);
}

#[test]
fn d01_a_setting_that_no_server_has_is_an_error_with_the_nearest_name() {
    let redis = Redis::start();
    let world = with_cache(&redis, "  config: { maxmemry: 256mb }\n");

    world
        .trueup(&["plan"])
        .exits(1)
        .warns("cache.config.maxmemry")
        .warns("did you mean `maxmemory`?")
        .warns("stack.yaml");
}

#[test]
fn d03_streams_and_groups_are_made_once_and_never_reset() {
    let redis = Redis::start();
    redis.cli(&["XADD", "jobs", "1-1", "task", "a"]);
    redis.cli(&["XADD", "jobs", "2-1", "task", "b"]);
    redis.cli(&["XGROUP", "CREATE", "jobs", "workers", "0"]);
    redis.cli(&["XREADGROUP", "GROUP", "workers", "w1", "COUNT", "1", "STREAMS", "jobs", ">"]);
    let before = redis.cli(&["XINFO", "GROUPS", "jobs"]);
    let world = with_cache(
        &redis,
        "  streams: { jobs: { groups: [workers, audit] }, mails: { groups: [senders] } }\n",
    );

    let plan = world.plan_json();
    world.apply().exits(0);
    world.apply().exits(0);

    assert_eq!(entry(&plan, "changes", "cache.stream.jobs")["action"], "update");
    assert_eq!(entry(&plan, "changes", "cache.stream.mails")["action"], "create");
    let groups = redis.cli(&["XINFO", "GROUPS", "jobs"]);
    assert!(groups.contains(&before), "lag and pending are untouched: {groups}");
    assert!(groups.contains("audit"));
    assert_eq!(redis.cli(&["XLEN", "jobs"]), "2");
    assert!(redis.cli(&["XINFO", "GROUPS", "mails"]).contains("senders"));
    world.plan().exits(0);
}

#[test]
fn d03_an_embedded_cache_keeps_streams_and_namespaces_as_tables() {
    let world = World::new();
    let more =
        "cache:\n  url: sqlite://cache.db\n  namespaces: { sessions: { prefix: 'session:', ttl: 24h } }\n  \
                streams: { jobs: { groups: [workers], maxlen: 1000 } }\n"
            .to_owned();
    Shop { more, ..Shop::default() }.write(&world, &Database::Sqlite);

    world.apply().exits(0);

    world.plan().exits(0);
    let dump = world.sqlite("cache.db", ".dump");
    for word in ["session:", "86400", "jobs", "workers", "1000"] {
        assert!(dump.contains(word), "{word} is not in {dump}");
    }
}

#[test]
fn d05_a_policy_that_may_evict_the_brokers_jobs_is_a_warning_and_stops_nothing() {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let world = with_cache(&redis, "  databases: { cache: 0, broker: 1, results: 2 }\n");

    let plan = world.trueup(&["plan", "--format", "json"]).exits(0).json();

    let check = entry(&plan, "checks", "cache.databases");
    assert_eq!(check["status"], "warn");
    assert!(check["message"].as_str().unwrap().contains("may evict sessions and jobs"), "{check}");
    world.apply().exits(0);
}

#[test]
fn d05_cache_broker_and_results_on_one_db_number_are_an_error() {
    let redis = Redis::start();
    for databases in ["cache: 0, broker: 0", "cache: 1, broker: 2, results: 2", "cache: 3, results: 3"] {
        let world = with_cache(&redis, &format!("  databases: {{ {databases} }}\n"));

        world.trueup(&["validate"]).exits(1).warns("stack.yaml:").warns("┬");
        world.apply().exits(1);
        assert!(!world.path("system.db").exists());
    }
}

#[test]
fn d05_a_db_number_that_the_server_does_not_have_is_an_error_of_the_plan() {
    let redis = Redis::start();
    let world = with_cache(&redis, "  databases: { cache: 0, results: 40 }\n");

    for command in ["plan", "apply"] {
        let run = if command == "plan" { world.trueup(&["plan"]) } else { world.apply() };
        run.exits(1).warns("results is to live on db 40").warns("the numbers 0 to 15").warns("stack.yaml");
    }
    assert!(!world.path("system.db").exists());
}

#[test]
fn d06_a_replica_is_recognised_before_anything_is_changed_and_named() {
    let (master, replica) = (Redis::start(), Redis::start());
    replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let world =
        with_cache(&replica, "  config: { maxmemory: 256mb }\n  streams: { jobs: { groups: [workers] } }\n");

    let named = format!("it is a replica of 127.0.0.1:{}", master.port());
    world.trueup(&["plan"]).exits(3).says(&named);
    world.apply().exits(6).says(&named);

    assert_eq!(replica.cli(&["CONFIG", "GET", "maxmemory"]), "maxmemory\n0");
    assert_eq!(world.sqlite("system.db", "SELECT count(*) FROM items"), "3", "the rest is done");
}

#[test]
fn d06_looking_leaves_nothing_behind() {
    let redis = Redis::start();
    let world = with_cache(
        &redis,
        "  namespaces: { sessions: { prefix: 'session:', ttl: 1h } }\n  streams: { jobs: { groups: [workers] } }\n",
    );
    redis.cli(&["CONFIG", "RESETSTAT"]);

    world.trueup(&["plan"]).exits(0);
    world.trueup(&["status"]).says("cache");
    world.trueup(&["observe", "--out", "world.json"]).exits(0);

    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    let commands = redis.cli(&["INFO", "commandstats"]);
    for write in [
        "cmdstat_set:",
        "cmdstat_del:",
        "cmdstat_xadd",
        "cmdstat_xgroup",
        "cmdstat_config|set",
        "cmdstat_expire",
    ] {
        assert!(!commands.contains(write), "{commands}");
    }
}

#[test]
fn d06_a_wrong_password_is_an_authentication_error_and_not_down() {
    let redis = Redis::with_password("the right password");
    for password in [Some("a wrong password"), None] {
        let world = with_cache(&redis, "  streams: { jobs: { groups: [workers] } }\n");
        world.env("REDIS_URL", redis.url_with(password));

        let plan = world.trueup(&["plan", "--format", "json"]);
        let status = world.trueup(&["status"]);
        let apply = world.apply();

        let check = entry(&plan.exits(3).json(), "checks", "cache").clone();
        let message = check["message"].as_str().unwrap();
        assert!(message.contains("password") && message.contains(&redis.port().to_string()), "{message}");
        status.exits(1).says("unhealthy").says("password");
        apply.exits(6).never_says("a wrong password");
        assert_eq!(world.sqlite("system.db", "SELECT count(*) FROM items"), "3");
    }
}

#[test]
fn a30_consumer_groups_that_this_tool_made_are_taken_back_while_nobody_works_with_them() {
    let redis = Redis::start();
    let all = "  streams:\n    jobs: { groups: [workers, audit] }\n    mail: { groups: [senders] }\n";
    let world = with_cache(&redis, all);
    redis.cli(&["XGROUP", "CREATE", "jobs", "foreign", "0", "MKSTREAM"]);
    redis.cli(&["XGROUP", "CREATE", "jobs", "audit", "0"]);
    world.apply().exits(0);
    redis.cli(&["XADD", "mail", "1-1", "to", "ada"]);

    let fewer = "  streams:\n    jobs: { groups: [] }\n";
    let shop = Shop { more: format!("cache:\n  url: ${{REDIS_URL}}\n{fewer}"), ..Shop::default() };
    shop.write_spec(&world);
    let plan = world.plan_json();
    world.apply().exits(0);

    // `audit` was not created by trueup, and `mail` has unread entries.
    assert_eq!(entry(&plan, "changes", "cache.stream.jobs")["summary"], "stream jobs loses group workers");
    assert!(!addresses(&plan).contains(&"cache.stream.mail".to_owned()), "{plan}");
    let groups = redis.cli(&["XINFO", "GROUPS", "jobs"]);
    assert!(
        !groups.contains("workers") && groups.contains("audit") && groups.contains("foreign"),
        "{groups}"
    );
    world.plan().exits(0);

    redis.cli(&["XREADGROUP", "GROUP", "senders", "one", "STREAMS", "mail", ">"]);
    redis.cli(&["XACK", "mail", "senders", "1-1"]);
    world.trueup(&["destroy", "--auto-approve"]).exits(0).says("the group senders of stream mail stays");
    redis.cli(&["XGROUP", "DELCONSUMER", "mail", "senders", "one"]);
    let destroyed = world.trueup(&["destroy", "--auto-approve"]);

    destroyed.exits(0).says("stream mail stays and loses group senders");
    assert_eq!(redis.cli(&["XINFO", "GROUPS", "mail"]), "");
    assert_eq!(redis.cli(&["XLEN", "mail"]), "1");
    world.trueup(&["destroy", "--auto-approve"]).exits(0).warns("nothing left to take back");
}

#[test]
fn a30_groups_of_an_embedded_cache_are_taken_back_too() {
    let world = World::new();
    let with = |streams: &str| {
        let more = format!("cache:\n  url: sqlite://cache.db\n  streams: {streams}\n");
        Shop { more, ..Shop::default() }.write(&world, &Database::Sqlite);
    };
    with("{ jobs: { groups: [workers, audit] } }");
    world.apply().exits(0);
    world.sqlite("cache.db", "INSERT INTO cache_stream_entries (stream, fields) VALUES ('jobs', '{}')");
    world.sqlite("cache.db", "UPDATE cache_groups SET last_id = 1 WHERE name = 'audit'");

    with("{}");
    world.apply().exits(0).says("stream jobs stays and loses group audit");

    assert_eq!(world.sqlite("cache.db", "SELECT name FROM cache_groups"), "workers");
    assert_eq!(world.sqlite("cache.db", "SELECT count(*) FROM cache_stream_entries"), "1");
    world.plan().exits(0);
}
