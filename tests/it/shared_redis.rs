//! Environments of one stack on one Redis, where ownership cannot be marked: the inventory records
//! which objects belong to which environment, and the plan reports objects of others that look
//! alike.

use crate::servers::Redis;
use crate::world::{Run, World};

const PROD: &str = "  config: { maxmemory: 256mb }\n\
                    \x20 namespaces: { sessions: { prefix: 'session:', ttl: 24h } }\n\
                    \x20 streams: { jobs: { groups: [workers, mailers] }, mail: { groups: [senders] } }\n";

/// Writes a spec `ENVIRONMENT.yaml` of the stack `shop`, with a separate system database.
fn environment(world: &World, name: &str, url: &str, cache: &str) {
    world.file(
        &format!("{name}.yaml"),
        format!(
            "version: 1\nstack: shop\nenvironment: {name}\nflags: {{ seed_demo_data: false }}\n\
             system: {{ url: 'sqlite://{name}.db', create_database: true }}\n\
             cache:\n  url: {url}\n{cache}"
        ),
    );
}

fn trueup(world: &World, name: &str, arguments: &[&str]) -> Run {
    let file = format!("{name}.yaml");
    world.trueup(&[&["--file", file.as_str()], arguments].concat())
}

/// Returns what the first environment and its application wrote.
fn state(redis: &Redis) -> Vec<String> {
    let ask = |words: &str| redis.cli(&words.split(' ').collect::<Vec<_>>());
    let mut state: Vec<String> =
        ["CONFIG GET maxmemory*", "XINFO GROUPS jobs", "XINFO GROUPS mail", "XLEN jobs", "DBSIZE"]
            .map(ask)
            .into();
    // A TTL decreases by itself.
    let ttl: u64 = ask("TTL session:1").parse().unwrap();
    state.push(format!("about {} minutes", ttl.div_ceil(600) * 10));
    state
}

fn given() -> (Redis, World) {
    let (redis, world) = (Redis::start(), World::new());
    environment(&world, "prod", &redis.url(), PROD);
    trueup(&world, "prod", &["apply", "--auto-approve"]).exits(0);
    redis.cli(&["SET", "session:1", "ada", "EX", "86000"]);
    (redis, world)
}

#[test]
fn a_second_environment_on_one_redis_leaves_what_the_first_made_and_says_so() {
    let (redis, world) = given();
    let before = state(&redis);
    assert_eq!(before[5], "about 1440 minutes");

    // The second environment declares one of the groups, another TTL of the same keys, and none of
    // the settings.
    let review = "  namespaces: { sessions: { prefix: 'session:', ttl: 1h } }\n\
                  \x20 streams: { jobs: { groups: [workers] } }\n";
    environment(&world, "review", &redis.url(), review);
    let plan = trueup(&world, "review", &["plan"]);
    trueup(&world, "review", &["apply", "--auto-approve"]).exits(0);
    assert_eq!(state(&redis), before);
    let said = plan.exits(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("not made by this stack: the group workers of stream jobs."), "{said}");
    assert!(said.contains("give this one another db number in `cache.url`"), "{said}");

    // It no longer declares any of them.
    environment(&world, "review", &redis.url(), "  streams: { jobs: { groups: [] } }\n");
    trueup(&world, "review", &["apply", "--auto-approve"]).exits(0);
    assert_eq!(state(&redis), before);
    trueup(&world, "review", &["destroy", "--auto-approve"]).exits(0);
    assert_eq!(state(&redis), before);
    let prod = trueup(&world, "prod", &["plan", "--detailed-exitcode"]);
    prod.exits(0).never_says("not made by this stack");
}

#[test]
fn other_settings_and_keys_without_a_ttl_are_said_to_be_everybodys() {
    let (redis, world) = given();
    redis.cli(&["SET", "session:2", "bob"]);
    let before = state(&redis);
    let review = "  config: { maxmemory: 64mb }\n\
                  \x20 namespaces: { sessions: { prefix: 'session:', ttl: 1h } }\n";
    environment(&world, "review", &redis.url(), review);

    let plan = trueup(&world, "review", &["plan"]);

    let said = plan.exits(0).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in [
        "settings hold for the whole server, whoever uses it: where another environment sets other values, leave \
         them out of this spec, or give it another Redis",
        "keys without a TTL get one, whoever put them there: \"session:\". Where another environment did, give \
         this one another prefix",
    ] {
        assert!(said.contains(note), "{said}");
    }
    assert_eq!(state(&redis), before);
}

#[test]
fn environments_on_db_numbers_of_their_own_share_a_redis() {
    let (redis, world) = given();
    let before = state(&redis);
    let url = format!("{}1", redis.url().strip_suffix('0').unwrap());
    let streams = "  streams: { jobs: { groups: [workers, mailers] } }\n";
    environment(&world, "review", &url, streams);
    let groups = || redis.cli(&["-n", "1", "XINFO", "GROUPS", "jobs"]);

    let plan = trueup(&world, "review", &["plan"]);
    trueup(&world, "review", &["apply", "--auto-approve"]).exits(0);
    let made = groups();
    trueup(&world, "review", &["destroy", "--auto-approve"]).exits(0);

    plan.exits(0).never_says("not made by this stack");
    assert!(made.contains("workers") && made.contains("mailers"), "{made}");
    assert_eq!(groups(), "");
    assert_eq!(state(&redis), before);
    trueup(&world, "prod", &["plan", "--detailed-exitcode"]).exits(0);
}
