//! The cache on a real Redis: executes changes that the unit tests of `src/cache/` only plan.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use trueup::cache::{self, Change, Client, Failure, Observed, Unwanted};
use trueup::change::{Diff, Status};
use trueup::journal::Inventory;
use trueup::location::{Location, Source};
use trueup::stack::{Cache, CacheUrl, Endpoint, Namespace, RedactedUrl, Stream};

use crate::servers::{Redis, Wire};
use crate::world::World;

fn here() -> Location {
    Location::new(&Source::new("stack.yaml", "cache:"), 0, 5)
}

fn cache_at(url: &str) -> Cache {
    let url = RedactedUrl::new(url.parse().unwrap());
    Cache {
        endpoint: Endpoint { to: Ok(CacheUrl::Redis(url)), written: "${CACHE_URL}".to_owned(), at: here() },
        databases: BTreeMap::new(),
        config: BTreeMap::new(),
        namespaces: BTreeMap::new(),
        streams: BTreeMap::new(),
        at: here(),
    }
}

fn cache_with_stream(redis: &Redis, groups: &[&str]) -> Cache {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let mut cache = cache_at(&redis.url());
    cache.streams.insert("jobs".to_owned(), Stream { groups, maxlen: None, at: here() });
    cache
}

fn cache_with_namespace(redis: &Redis) -> Cache {
    let mut cache = cache_at(&redis.url());
    let namespace = Namespace { prefix: "s[1]:".to_owned(), ttl: Duration::from_hours(1), at: here() };
    cache.namespaces.insert("sessions".to_owned(), namespace);
    cache
}

async fn observe(cache: &Cache) -> Observed {
    cache::observe(cache, &Client::new(cache).unwrap()).await
}

async fn plan(cache: &Cache) -> Diff<Change> {
    cache::diff(cache, &observe(cache).await, &Inventory::default())
}

/// Applies every change, and returns their addresses.
async fn apply(cache: &Cache) -> Vec<String> {
    let client = Client::new(cache).unwrap();
    let changes = plan(cache).await.changes;
    for planned in &changes {
        cache::apply(&planned.change, &client).await.unwrap();
    }
    changes.iter().map(|planned| planned.address.to_string()).collect()
}

#[tokio::test]
async fn d01_settings_that_differ_are_set_and_then_differ_no_more() {
    let redis = Redis::with_password("a long pass:word@home");
    let mut cache = cache_at(&redis.url());
    let config =
        [("maxmemory", "256mb"), ("maxmemory-policy", "volatile-lru"), ("notify-keyspace-events", "KEA")];
    cache.config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();

    let first = apply(&cache).await;

    assert_eq!(
        first,
        ["cache.config.maxmemory", "cache.config.maxmemory-policy", "cache.config.notify-keyspace-events"]
    );
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory"]), "maxmemory\n268435456");
    let second = plan(&cache).await;
    assert_eq!((second.changes.len(), second.unchanged), (0, 3));
}

#[tokio::test]
async fn d01_a_server_that_forbids_config_is_a_warning() {
    let redis = Redis::without_config_command();
    let mut cache = cache_at(&redis.url());
    cache.config.insert("maxmemory".to_owned(), "256mb".to_owned());

    let diff = plan(&cache).await;

    assert!(diff.changes.is_empty());
    let statuses: Vec<_> = diff.checks.iter().map(|check| (check.address.as_str(), check.status)).collect();
    assert_eq!(statuses, [("cache", Status::Pass), ("cache.config", Status::Warn)]);
}

#[tokio::test]
async fn d01_a_user_without_dangerous_commands_can_be_observed_too() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">a-long-password", "~*", "+@all", "-@dangerous"]);
    let mut cache = cache_with_stream(&redis, &["workers"]);
    let url = format!("redis://app:a-long-password@127.0.0.1:{}/0", redis.port());
    cache.endpoint.to = Ok(CacheUrl::Redis(RedactedUrl::new(url.parse().unwrap())));

    assert_eq!(apply(&cache).await, ["cache.stream.jobs"]);

    let Observed::Redis(seen) = observe(&cache).await else { panic!("it answers") };
    assert_eq!(seen.config, None);
    assert!(seen.version.is_some());
    assert_eq!(plan(&cache).await.unchanged, 1);
}

/// A server that answers SCAN with an error of this text, once for each command that it is sent.
fn server_that_fails_to_scan(error: &'static str) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut bytes) {
                    let sent = String::from_utf8_lossy(&bytes[..length]).into_owned();
                    // `*2`, `$4`, the name: the parts of a command are lines.
                    let lines: Vec<&str> = sent.lines().collect();
                    let names = lines.windows(3).filter(|part| part[0].starts_with('*')).map(|part| part[2]);
                    for name in names {
                        let answer = match name {
                            "HELLO" => {
                                "*6\r\n+version\r\n+7.0.0\r\n+mode\r\n+standalone\r\n+role\r\n+master\r\n"
                            }
                            "CONFIG" => "*0\r\n",
                            "SCAN" => error,
                            "TYPE" => "+none\r\n",
                            "XINFO" => "-ERR no such key\r\n",
                            _ => "+OK\r\n",
                        };
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn d01_an_error_of_the_server_is_no_missing_right_and_is_shown() {
    let url = server_that_fails_to_scan("-ERR the shard \u{1b}[2J is migrating\r\n");
    let world = World::new();
    world.spec(&format!(
        "version: 1\nstack: shop\nenvironment: dev\nsystem: {{ url: 'sqlite://s.db' }}\n\
         cache:\n  url: {url}\n  namespaces: {{ results: {{ prefix: 'results:', ttl: 1h }} }}\n"
    ));
    world.sqlite("s.db", "CREATE TABLE t (id int)");
    let plan = world.plan();
    plan.exits(3).says("ERR the shard").never_says("does not let this user look");
    assert!(!plan.stdout.contains('\u{1b}'), "{}", plan.stdout);
    world.apply().exits(6);

    for refusal in ["-NOPERM no permissions to run 'scan'\r\n", "-ERR unknown command 'SCAN'\r\n"] {
        let url = server_that_fails_to_scan(refusal);
        let Observed::Redis(seen) = observe(&cache_at(&url)).await else { panic!("it answers") };
        assert!(!seen.streams_complete);
    }
}

#[tokio::test]
async fn d03_streams_and_groups_are_made_once_and_never_reset() {
    let redis = Redis::start();
    redis.cli(&["XADD", "jobs", "1-1", "task", "a"]);
    redis.cli(&["XADD", "jobs", "2-1", "task", "b"]);
    redis.cli(&["XGROUP", "CREATE", "jobs", "workers", "0"]);
    redis.cli(&["XREADGROUP", "GROUP", "workers", "w1", "COUNT", "1", "STREAMS", "jobs", ">"]);
    let before = redis.cli(&["XINFO", "GROUPS", "jobs"]);
    let cache = cache_with_stream(&redis, &["workers"]);
    let more = cache_with_stream(&redis, &["workers", "audit"]);

    let unchanged = apply(&cache).await;
    let after = redis.cli(&["XINFO", "GROUPS", "jobs"]);
    let changed = apply(&more).await;

    assert!(unchanged.is_empty());
    assert_eq!(after, before);
    assert_eq!(changed, ["cache.stream.jobs"]);
    assert!(redis.cli(&["XINFO", "GROUPS", "jobs"]).contains(&before));
    // A new group starts at the beginning, so it will read both entries.
    assert!(redis.cli(&["XREADGROUP", "GROUP", "audit", "a1", "STREAMS", "jobs", ">"]).contains("1-1"));
    assert_eq!(redis.cli(&["XLEN", "jobs"]), "2");
}

#[tokio::test]
async fn d03_a_stream_without_groups_is_made_empty_and_applying_twice_ends_the_same() {
    let redis = Redis::start();
    let cache = cache_with_stream(&redis, &[]);
    let client = Client::new(&cache).unwrap();
    let change = plan(&cache).await.changes.remove(0).change;

    cache::apply(&change, &client).await.unwrap();
    cache::apply(&change, &client).await.unwrap();

    assert_eq!(redis.cli(&["TYPE", "jobs"]), "stream");
    assert_eq!(redis.cli(&["XINFO", "GROUPS", "jobs"]), "");
    assert_eq!(plan(&cache).await.unchanged, 1);
}

#[tokio::test]
async fn d03_a_key_that_is_no_stream_is_refused() {
    let redis = Redis::start();
    redis.cli(&["SET", "jobs", "a value"]);
    let cache = cache_with_stream(&redis, &["workers"]);

    let diff = plan(&cache).await;

    assert_eq!(diff.faults.len(), 1);
    let groups = ["workers".to_owned()].into();
    let change =
        Change::Stream { name: "jobs".to_owned(), groups, unwanted: Unwanted::default(), maxlen: None };
    let error = cache::apply(&change, &Client::new(&cache).unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("WRONGTYPE"), "{error}");
}

#[tokio::test]
async fn d04_keys_without_a_ttl_get_one_and_other_keys_and_streams_are_left_alone() {
    let redis = Redis::start();
    redis.cli(&["MSET", "s[1]:a", "1", "s[1]:b", "1", "s1:c", "1", "other", "1"]);
    redis.cli(&["SET", "s[1]:d", "1", "EX", "60"]);
    redis.cli(&["XADD", "s[1]:stream", "*", "a", "1"]);
    let mut cache = cache_with_namespace(&redis);
    cache.streams.insert("s[1]:stream".to_owned(), Stream { groups: Vec::new(), maxlen: None, at: here() });

    let changes = apply(&cache).await;

    assert_eq!(changes, ["cache.namespace.sessions"]);
    assert_eq!(plan(&cache).await.changes.len(), 0);
    let ttl = |key| redis.cli(&["TTL", key]).parse::<i64>().unwrap();
    assert!((3_590..=3_600).contains(&ttl("s[1]:a")) && (3_590..=3_600).contains(&ttl("s[1]:b")));
    assert!((50..=60).contains(&ttl("s[1]:d")));
    assert_eq!([ttl("s1:c"), ttl("other"), ttl("s[1]:stream")], [-1, -1, -1]);
}

#[tokio::test]
async fn d04_a_ttl_that_the_application_sets_while_the_keys_are_walked_stays() {
    for redis in [Redis::start(), Redis::without_hello_command()] {
        redis.cli(&["MSET", "s[1]:token", "1", "s[1]:lasting", "1"]);
        let port = redis.port();
        let redis = std::sync::Arc::new(redis);
        let application = std::sync::Arc::clone(&redis);
        let wire = Wire::witnessed(port, move |sent| {
            let is_about_to_expire = [&b"EXPIRE"[..], b"EVAL"].iter().any(|command| contains(sent, command));
            if is_about_to_expire {
                application.cli(&["SET", "s[1]:token", "1", "EX", "10"]);
            }
        });
        let mut cache = cache_with_namespace(&redis);
        let url = format!("redis://127.0.0.1:{}/0", wire.port());
        cache.endpoint.to = Ok(CacheUrl::Redis(RedactedUrl::new(url.parse().unwrap())));

        assert_eq!(apply(&cache).await, ["cache.namespace.sessions"]);

        let ttl = |key| redis.cli(&["TTL", key]).parse::<i64>().unwrap();
        assert!((1..=10).contains(&ttl("s[1]:token")), "{}", ttl("s[1]:token"));
        assert!((3_590..=3_600).contains(&ttl("s[1]:lasting")));
        assert_eq!(plan(&cache).await.unchanged, 1);
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn d04_two_hundred_thousand_keys_are_scanned_without_blocking_the_server() {
    let redis = Redis::start();
    redis.cli(&["EVAL", "for i = 1, 200000 do redis.call('SET', 's[1]:' .. i, '1') end", "0"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let cache = cache_with_namespace(&redis);

    apply(&cache).await;

    // The deletion runs in many small commands, so that others are not blocked.
    let commands = redis.cli(&["INFO", "commandstats"]);
    assert!(!commands.contains("cmdstat_keys"), "{commands}");
    let scans = commands.lines().find_map(|line| line.strip_prefix("cmdstat_scan:calls=")).unwrap();
    let scans: u32 = scans.split(',').next().unwrap().parse().unwrap();
    assert!(scans >= 100, "{scans} scans of 200,000 keys");
    assert!(redis.cli(&["INFO", "keyspace"]).contains("keys=200000,expires=200000"));
    assert_eq!(plan(&cache).await.unchanged, 1);
}

#[tokio::test]
async fn d05_a_policy_that_may_evict_the_brokers_jobs_is_a_warning() {
    let redis = Redis::start();
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let mut cache = cache_at(&redis.url());
    cache.databases = BTreeMap::from([("cache".to_owned(), 0), ("broker".to_owned(), 1)]);

    let diff = plan(&cache).await;

    assert_eq!(diff.checks[1].status, Status::Warn);
    assert!(diff.checks[1].message.contains("the broker's jobs on db 1"));
}

#[tokio::test]
async fn d06_observing_leaves_nothing_behind() {
    let redis = Redis::start();
    let mut cache = cache_with_namespace(&redis);
    cache.streams.insert("jobs".to_owned(), Stream { groups: Vec::new(), maxlen: None, at: here() });

    observe(&cache).await;

    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    let writes = redis.cli(&["INFO", "commandstats"]);
    let commands: Vec<&str> =
        writes.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next()).collect();
    let reads = [
        "client|setinfo",
        "config|get",
        "dbsize",
        "hello",
        "info",
        "ping",
        "scan",
        "select",
        "ttl",
        "type",
        "xinfo|groups",
        "xinfo|stream",
    ];
    assert!(commands.iter().all(|command| reads.contains(command)), "{commands:?}");
}

#[tokio::test]
async fn d06_a_wrong_password_is_an_authentication_error_and_not_down() {
    let redis = Redis::with_password("the right password");
    let cases = [
        (redis.url_with(Some("a wrong password")), Failure::Authentication),
        (redis.url_with(None), Failure::Authentication),
        (Redis::start().url_with(Some("a wrong password")), Failure::Down),
        (redis.url().replace("/0", "/99"), Failure::Unusable),
    ];

    for (url, expected) in cases {
        let Observed::Unreachable { failure, message } = observe(&cache_at(&url)).await else {
            panic!("{url} lets in")
        };
        assert_eq!(failure, expected, "{message}");
        assert!(message.contains("127.0.0.1:") && !message.contains("wrong password"), "{message}");
    }
}

#[tokio::test]
async fn d06_a_password_that_the_server_does_not_ask_for_is_an_authentication_error() {
    let redis = Redis::start();

    let observed = observe(&cache_at(&redis.url_with(Some("needless password")))).await;

    assert!(
        matches!(observed, Observed::Unreachable { failure: Failure::Authentication, .. }),
        "{observed:?}"
    );
}

/// Returns why a server cannot be used.
async fn refusal(cache: &Cache) -> String {
    match observe(cache).await {
        Observed::Unreachable { failure: Failure::Unusable, message } => message,
        other => panic!("it is taken for a cache: {other:?}"),
    }
}

#[tokio::test]
async fn d06_a_replica_is_named_with_its_master() {
    let master = Redis::start();
    for replica in [Redis::start(), Redis::without_hello_command()] {
        replica.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);

        let message = refusal(&cache_at(&replica.url())).await;

        let named = format!(
            "127.0.0.1:{} cannot be used as a cache: it is a replica of 127.0.0.1:{}",
            replica.port(),
            master.port()
        );
        assert!(message.starts_with(&named), "{message}");
    }
}

#[tokio::test]
async fn d06_a_server_that_became_a_replica_since_the_plan_takes_no_change() {
    let (redis, master) = (Redis::start(), Redis::start());
    let cache = cache_at(&redis.url());
    let client = Client::new(&cache).unwrap();
    let setting =
        |value: &str| Change::Config { key: "maxmemory-samples".to_owned(), value: value.to_owned() };
    cache::apply(&setting("7"), &client).await.unwrap();
    redis.cli(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);

    let error = cache::apply(&setting("8"), &client).await.unwrap_err();

    assert!(error.to_string().contains(&format!("a replica of 127.0.0.1:{}", master.port())), "{error}");
    assert_eq!(redis.cli(&["CONFIG", "GET", "maxmemory-samples"]), "maxmemory-samples\n7");
}

#[tokio::test]
async fn d06_a_connection_that_was_cut_since_the_last_change_is_made_anew() {
    let redis = Redis::start();
    let cache = cache_with_stream(&redis, &["workers"]);
    let client = Client::new(&cache).unwrap();
    let change = plan(&cache).await.changes.remove(0).change;
    cache::apply(&change, &client).await.unwrap();
    redis.cli(&["CLIENT", "KILL", "TYPE", "normal"]);

    cache::apply(&change, &client).await.unwrap();
}

#[tokio::test]
async fn d06_a_user_who_may_not_ping_is_let_in() {
    let redis = Redis::start();
    redis.cli(&["ACL", "SETUSER", "app", "on", ">a-long-password", "~*", "+@all", "-ping"]);
    let url = format!("redis://app:a-long-password@127.0.0.1:{}/0", redis.port());

    assert!(matches!(observe(&cache_at(&url)).await, Observed::Redis(_)));
}

#[tokio::test]
async fn d05_a_db_number_that_the_server_does_not_have_is_a_fault() {
    for redis in [Redis::start(), Redis::without_config_command()] {
        let mut cache = cache_at(&redis.url().replace("/0", "/3"));
        let numbers = [("cache", 3), ("broker", 15), ("results", 16), ("other", 40)];
        cache.databases = numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
        redis.cli(&["-n", "3", "XADD", "jobs", "*", "a", "1"]);

        let diff = plan(&cache).await;

        let messages: Vec<&str> = diff.faults.iter().map(|fault| fault.message.as_str()).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].starts_with("other is to live on db 40"), "{messages:?}");
        assert!(messages[1].starts_with("results is to live on db 16"), "{messages:?}");
        // Querying another database does not change the database of the connection.
        let Observed::Redis(seen) = observe(&cache).await else { panic!("it answers") };
        assert!(seen.streams.contains_key("jobs"), "{seen:?}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_down_after_a_deadline() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let start = Instant::now();

    let observed = observe(&cache_at(&url)).await;

    assert!(matches!(observed, Observed::Unreachable { failure: Failure::Down, .. }), "{observed:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn no_secret_of_the_server_is_in_an_observation() {
    let redis = Redis::with_password("the right password");

    let observed = observe(&cache_at(&redis.url())).await;

    assert!(!serde_json::to_string(&observed).unwrap().contains("the right password"));
    assert!(!format!("{:?}", Client::new(&cache_at(&redis.url()))).contains("right"));
}
