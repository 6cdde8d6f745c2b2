//! The cache on values, and on real SQLite files. Its tests on a real Redis are in `tests/it/cache.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::address::Kind;
use crate::change::{Action, Diff, Status};
use crate::digest::Fingerprint;
use crate::fingerprints::FingerprintMap;
use crate::journal::Inventory;
use crate::location::{Location, Source};
use crate::stack::{Cache, Endpoint, Namespace, RedactedUrl, Stream};

fn here() -> Location {
    Location::new(&Source::new("stack.yaml", "cache:"), 0, 5)
}

fn cache(to: CacheUrl) -> Cache {
    Cache {
        endpoint: Endpoint { to: Ok(to), written: "${CACHE_URL}".to_owned(), at: here() },
        databases: BTreeMap::new(),
        config: BTreeMap::new(),
        namespaces: BTreeMap::new(),
        streams: BTreeMap::new(),
        at: here(),
    }
}

fn on_redis() -> Cache {
    cache(CacheUrl::Redis(RedactedUrl::new("redis://localhost:6379/0".parse().unwrap())))
}

fn in_file(path: &Path) -> Cache {
    cache(CacheUrl::Sqlite(path.to_owned()))
}

trait Wants: Sized {
    fn setting(self, key: &str, value: &str) -> Self;
    fn namespace(self, name: &str, prefix: &str, ttl_seconds: u64) -> Self;
    fn stream(self, name: &str, groups: &[&str], maxlen: Option<u64>) -> Self;
}

impl Wants for Cache {
    fn setting(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }

    fn namespace(mut self, name: &str, prefix: &str, ttl_seconds: u64) -> Self {
        let ttl = Duration::from_secs(ttl_seconds);
        self.namespaces.insert(name.to_owned(), Namespace { prefix: prefix.to_owned(), ttl, at: here() });
        self
    }

    fn stream(mut self, name: &str, groups: &[&str], maxlen: Option<u64>) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self.streams.insert(name.to_owned(), Stream { groups, maxlen, at: here() });
        self
    }
}

/// A server with settings, where everything that could be listed was.
fn server(settings: &[(&str, &str)]) -> ObservedRedis {
    let config = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ObservedRedis {
        version: Some("7.0.15".to_owned()),
        config: Some(config),
        streams_complete: true,
        ..ObservedRedis::default()
    }
}

fn seen_stream(groups: &[&str]) -> ObservedStream {
    let groups = groups.iter().map(|group| ((*group).to_owned(), GroupUse::Idle)).collect();
    ObservedStream::Stream { groups, maxlen: None }
}

fn diff_of(cache: &Cache, seen: ObservedRedis) -> Diff<Change> {
    diff(cache, &Observed::Redis(seen), &Inventory::default())
}

/// The changes as a table: address, action, reason.
fn table(diff: &Diff<Change>) -> Vec<String> {
    let line = |planned: &crate::change::Planned<Change>| {
        format!("{} {:?}: {}", planned.address, planned.action, planned.reason)
    };
    diff.changes.iter().map(line).collect()
}

#[test]
fn d01_a_setting_that_differs_is_an_update_with_before_and_after() {
    let cache = on_redis().setting("maxmemory", "256mb").setting("maxmemory-policy", "volatile-lru");

    let diff = diff_of(&cache, server(&[("maxmemory", "268435456"), ("maxmemory-policy", "noeviction")]));

    assert_eq!(table(&diff), ["cache.config.maxmemory-policy Update: value differs"]);
    assert_eq!(diff.changes[0].before, Some("noeviction".into()));
    assert_eq!(diff.changes[0].after, Some("volatile-lru".into()));
    assert_eq!(diff.unchanged, 1);
}

#[test]
fn d01_a_server_that_forbids_config_gives_a_warning_that_says_what_to_set() {
    let cache = on_redis().setting("maxmemory", "256mb");

    let diff = diff_of(&cache, ObservedRedis { config: None, ..server(&[]) });

    assert_eq!(table(&diff), [""; 0]);
    let warning = diff.checks.iter().find(|check| check.address.as_str() == "cache.config").unwrap();
    assert_eq!(warning.status, Status::Warn);
    assert!(warning.message.ends_with("by hand: maxmemory 256mb"), "{}", warning.message);
}

#[test]
fn an_unknown_setting_is_a_fault_that_suggests_the_nearest() {
    let diff = diff_of(&on_redis().setting("maxmemroy", "1gb"), server(&[("maxmemory", "0"), ("save", "")]));

    assert_eq!(diff.faults[0].help.as_deref(), Some("did you mean `maxmemory`?"));
}

#[test]
fn a_password_of_the_server_is_no_setting() {
    let diff = diff_of(&on_redis().setting("requirepass", "very secret indeed"), server(&[]));

    assert_eq!(table(&diff), [""; 0]);
    assert!(!format!("{:?}", diff.faults).contains("very secret"));
    assert_eq!(diff.faults.len(), 1);
}

#[test]
fn a30_of_unwanted_groups_only_those_go_that_this_tool_made_here_and_nobody_works_with() {
    let cache = on_redis().stream("jobs", &["workers"], None);
    let here = Fingerprint::of_text("redis:6379/0");
    let groups = |groups: &[(&str, GroupUse)]| ObservedStream::Stream {
        groups: groups.iter().map(|(name, seen)| ((*name).to_owned(), *seen)).collect(),
        maxlen: None,
    };
    let mut seen = ObservedRedis { place: Some(here), ..server(&[]) };
    let jobs = [
        ("workers", GroupUse::InUse),
        ("old", GroupUse::Idle),
        ("busy", GroupUse::InUse),
        ("foreign", GroupUse::Idle),
        ("elsewhere", GroupUse::Idle),
    ];
    seen.streams.insert("jobs".to_owned(), groups(&jobs));
    seen.streams.insert("gone".to_owned(), groups(&[("workers", GroupUse::Idle)]));
    seen.streams.insert("used".to_owned(), groups(&[("workers", GroupUse::InUse)]));
    let made = |names: &[&str]| -> FingerprintMap<Fingerprint> {
        names.iter().map(|name| (Fingerprint::of_text(name), here)).collect()
    };
    let mut in_jobs = made(&["workers", "old", "busy", "removed by hand"]);
    let elsewhere = (Fingerprint::of_text("elsewhere"), Fingerprint::of_text("other:6379/0"));
    in_jobs.extend_with(FingerprintMap::from([elsewhere]));
    let address = |name: &str| Kind::Stream.named(name);
    let inventory = Inventory(BTreeMap::from([
        (address("jobs"), in_jobs),
        (address("gone"), made(&["workers"])),
        (address("used"), made(&["workers"])),
    ]));

    let diff = diff(&cache, &Observed::Redis(seen.clone()), &inventory);

    assert_eq!(
        table(&diff),
        [
            "cache.stream.jobs Update: groups no longer wanted",
            "cache.stream.gone Delete: no longer in the spec"
        ]
    );
    let Change::Stream { groups, unwanted, .. } = &diff.changes[0].change else { panic!("a stream") };
    assert!(groups.is_empty());
    assert_eq!(unwanted.groups, BTreeSet::from(["old".to_owned()]));
    assert_eq!(unwanted.known_as.len(), 2, "the one removed by hand is forgotten");
    assert_eq!(diff.changes[0].summary, "stream jobs loses group old");
    assert_eq!(diff.changes[1].summary, "stream gone stays and loses group workers");
    let stays = why_groups_stay(&Observed::Redis(seen), &inventory).join("\n");
    assert!(stays.contains("the group workers of stream used stays"), "{stays}");
    assert!(!stays.contains("foreign") && !stays.contains("old"), "{stays}");
}

#[test]
fn d03_a_stream_gets_the_groups_that_it_lacks_and_keeps_foreign_ones() {
    let cache = on_redis()
        .stream("jobs", &["workers", "audit"], None)
        .stream("new", &["workers"], Some(10))
        .stream("done", &["workers"], None);
    let mut seen = server(&[]);
    seen.streams.insert("jobs".to_owned(), seen_stream(&["workers", "foreign"]));
    seen.streams.insert("done".to_owned(), seen_stream(&["workers", "foreign"]));

    let diff = diff_of(&cache, seen);

    assert_eq!(
        table(&diff),
        ["cache.stream.jobs Update: groups missing", "cache.stream.new Create: missing"]
    );
    let groups = BTreeSet::from(["audit".to_owned()]);
    assert_eq!(
        diff.changes[0].change,
        Change::Stream { name: "jobs".to_owned(), groups, unwanted: Unwanted::default(), maxlen: None }
    );
    assert_eq!(diff.unchanged, 1);
    let [maxlen, others] = diff.notes.as_slice() else { panic!("{:?}", diff.notes) };
    assert!(maxlen.contains("producers apply it"), "{maxlen}");
    // The inventory has none of them.
    let groups =
        "not made by this stack: the group workers of stream done, the group workers of stream jobs.";
    assert!(others.contains(groups), "{others}");
}

#[test]
fn a_key_that_is_no_stream_is_a_fault() {
    let mut seen = server(&[]);
    seen.streams.insert("jobs".to_owned(), ObservedStream::NotAStream);

    let diff = diff_of(&on_redis().stream("jobs", &[], None), seen);

    assert_eq!(diff.faults[0].address.as_str(), "cache.stream.jobs");
}

#[test]
fn d04_keys_without_a_ttl_are_a_change_that_spares_streams() {
    let cache = on_redis().namespace("jobs", "jobs", 90).stream("jobs", &[], None);
    let mut seen = server(&[]);
    seen.keys.insert("jobs".to_owned(), KeyExpiry::SomeWithoutTtl);
    seen.streams.insert("jobs".to_owned(), seen_stream(&[]));

    let diff = diff_of(&cache, seen);

    assert_eq!(table(&diff), ["cache.namespace.jobs Update: some keys without a TTL"]);
    assert_eq!(diff.changes[0].summary, "some keys under \"jobs\" have no TTL: they get 90s");
    let Change::Namespace { spare, .. } = &diff.changes[0].change else { panic!("not a namespace") };
    assert_eq!(*spare, BTreeSet::from(["jobs".to_owned()]));
}

#[test]
fn what_a_world_was_not_asked_is_deferred_and_what_took_too_long_is_a_warning() {
    let cache = on_redis().namespace("a", "a:", 60).namespace("b", "b:", 60).stream("s", &[], None);
    let mut seen = ObservedRedis { streams_complete: false, ..server(&[]) };
    seen.keys.insert("a:".to_owned(), KeyExpiry::OverBudget);

    let diff = diff_of(&cache, seen);

    let deferred: Vec<&str> = diff.deferred.iter().map(|held| held.address.as_str()).collect();
    assert_eq!(deferred, ["cache.namespace.b", "cache.stream.s"]);
    assert_eq!(diff.checks[1].address.as_str(), "cache.namespace.a");
    assert_eq!(diff.checks[1].status, Status::Warn);
}

#[test]
fn d05_a_policy_that_may_evict_the_brokers_jobs_is_a_warning() {
    let mut cache = on_redis();
    cache.databases = BTreeMap::from([("cache".to_owned(), 0), ("broker".to_owned(), 1)]);
    let seen = || server(&[("maxmemory-policy", "allkeys-lru")]);

    let diff = diff_of(&cache, seen());
    let mended = diff_of(&cache.setting("maxmemory-policy", "volatile-lru"), seen());

    assert_eq!(diff.checks[1].address.as_str(), "cache.databases");
    assert!(diff.checks[1].message.contains("allkeys-lru may evict sessions and jobs"));
    assert_eq!(mended.checks.len(), 1, "the same plan sets a policy that evicts no jobs");
}

#[test]
fn a_db_number_that_the_server_does_not_have_is_a_fault() {
    let mut cache = on_redis();
    let numbers = [("cache", 0), ("broker", 15), ("results", 40)];
    cache.databases = numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();

    let counted = diff_of(&cache, server(&[("databases", "16")]));
    let asked = diff_of(
        &cache,
        ObservedRedis { config: None, absent_databases: BTreeSet::from([40]), ..server(&[]) },
    );
    let unknown = diff_of(&cache, ObservedRedis { config: None, ..server(&[]) });

    let messages = |diff: &Diff<Change>| -> Vec<String> {
        diff.faults.iter().map(|fault| format!("{}: {}", fault.address, fault.message)).collect()
    };
    assert_eq!(
        messages(&counted),
        ["cache.databases: results is to live on db 40, and the server has the numbers 0 to 15"]
    );
    assert_eq!(
        messages(&asked),
        ["cache.databases: results is to live on db 40, and the server does not have this number"]
    );
    assert_eq!(messages(&unknown), [""; 0]);
}

#[test]
fn d06_a_cache_that_cannot_be_asked_blocks_everything_that_is_wanted_of_it() {
    let cache = on_redis().setting("maxmemory", "1gb").namespace("n", "n:", 60).stream("s", &[], None);
    let observed = Observed::Unreachable { failure: Failure::Authentication, message: "no".to_owned() };

    let diff = diff(&cache, &observed, &Inventory::default());

    assert_eq!(diff.checks, [crate::change::Check::new("cache", Status::Fail, "no")]);
    let blocked: Vec<&str> = diff.blocked.iter().map(|held| held.address.as_str()).collect();
    assert_eq!(blocked, ["cache.config.maxmemory", "cache.namespace.n", "cache.stream.s"]);
    assert!(diff.blocked[0].reason.contains("password"));
}

#[test]
fn a_world_of_the_other_kind_of_cache_answers_nothing() {
    let cache = in_file(Path::new("cache.db")).stream("s", &[], None);

    let diff = diff_of(&cache, server(&[]));

    assert_eq!(diff.deferred.len(), 1);
}

#[test]
fn an_observation_reads_what_it_writes() {
    let mut seen = server(&[("maxmemory", "0")]);
    seen.streams.insert("jobs".to_owned(), seen_stream(&["workers"]));
    seen.keys.insert("a:".to_owned(), KeyExpiry::Expiring);
    let observed = Observed::Redis(seen);

    let text = serde_json::to_string(&observed).unwrap();

    assert_eq!(serde_json::from_str::<Observed>(&text).unwrap(), observed);
}

async fn plan(cache: &Cache, client: &Client) -> Diff<Change> {
    diff(cache, &observe(cache, client).await, &Inventory::default())
}

async fn apply_all(diff: &Diff<Change>, client: &Client) {
    for planned in &diff.changes {
        apply(&planned.change, client).await.unwrap();
    }
}

#[tokio::test]
async fn an_embedded_cache_converges_and_observing_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/cache.db");
    let cache =
        in_file(&path).namespace("sessions", "session:", 86_400).stream("jobs", &["workers"], Some(10));
    let client = Client::new(&cache).unwrap();

    let first = plan(&cache, &client).await;
    assert!(!path.exists());
    apply_all(&first, &client).await;
    apply_all(&first, &client).await;
    let second = plan(&cache, &client).await;

    assert_eq!(
        table(&first),
        ["cache.namespace.sessions Create: missing", "cache.stream.jobs Create: missing"]
    );
    assert_eq!(table(&second), [""; 0]);
    assert_eq!(second.unchanged, 2);
}

#[tokio::test]
async fn an_embedded_namespace_and_stream_follow_the_spec_and_groups_keep_their_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let before = in_file(&path).namespace("n", "n:", 60).stream("s", &["g"], None);
    let client = Client::new(&before).unwrap();
    apply_all(&plan(&before, &client).await, &client).await;
    let database = crate::sql::open_sqlite(&path, crate::sql::SqliteMode::ReadWrite).await.unwrap();
    database.execute("UPDATE cache_groups SET last_id = 7", &[]).await.unwrap();
    let insert = "INSERT INTO cache_entries (key, value) VALUES ('m:1', x'00'), ('n:1', x'00')";
    database.execute(insert, &[]).await.unwrap();

    let after = in_file(&path).namespace("n", "m:", 90).stream("s", &["g", "h"], Some(5));
    let change = plan(&after, &client).await;
    apply_all(&change, &client).await;

    assert_eq!(
        table(&change),
        [
            "cache.namespace.n Update: prefix and ttl differ",
            "cache.stream.s Update: groups missing, maxlen differs"
        ]
    );
    assert_eq!(change.changes[0].action, Action::Update);
    assert_eq!(table(&plan(&after, &client).await), [""; 0]);
    let rows = database.query("SELECT name, last_id FROM cache_groups ORDER BY name", &[]).await.unwrap();
    assert_eq!(rows[0].values(), [Some("g".to_owned()), Some("7".to_owned())]);
    let lasting = "SELECT key FROM cache_entries WHERE expires_at IS NULL";
    assert_eq!(database.query(lasting, &[]).await.unwrap()[0].get(0), Some("n:1"));
}

#[tokio::test]
async fn an_embedded_key_without_expiry_is_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = in_file(&path).namespace("n", "n:", 60);
    let client = Client::new(&cache).unwrap();
    apply_all(&plan(&cache, &client).await, &client).await;
    let database = crate::sql::open_sqlite(&path, crate::sql::SqliteMode::ReadWrite).await.unwrap();
    let insert = "INSERT INTO cache_entries (key, value) VALUES ('n:1', x'00')";
    database.execute(insert, &[]).await.unwrap();

    let change = plan(&cache, &client).await;
    apply_all(&change, &client).await;

    assert_eq!(table(&change), ["cache.namespace.n Update: some keys without a TTL"]);
    assert_eq!(table(&plan(&cache, &client).await), [""; 0]);
}

#[tokio::test]
async fn observing_a_file_in_wal_mode_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let cache = in_file(&path).stream("s", &[], None);
    let writer = Client::new(&cache).unwrap();
    apply_all(&plan(&cache, &writer).await, &writer).await;
    if let Connector::Embedded(embedded) = &writer.0 {
        embedded.close().await;
    }
    let database = crate::sql::open_sqlite(&path, crate::sql::SqliteMode::ReadWrite).await.unwrap();
    database.query("PRAGMA journal_mode = wal", &[]).await.unwrap();
    database.close().await;

    let second = plan(&cache, &Client::new(&cache).unwrap()).await;

    assert_eq!(second.unchanged, 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_of_something_else_is_a_failed_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "this is no database, but it is long enough to be looked at as one. ".repeat(20))
        .unwrap();
    let cache = in_file(&path).stream("s", &[], None);

    let in_text = plan(&cache, &Client::new(&cache).unwrap()).await;
    let cache = in_file(folder.path()).stream("s", &[], None);
    let in_folder = plan(&cache, &Client::new(&cache).unwrap()).await;

    for diff in [in_text, in_folder] {
        assert_eq!(diff.checks[0].status, Status::Fail);
        assert_eq!(diff.blocked.len(), 1);
    }
}

#[tokio::test]
async fn thousands_of_embedded_streams_are_found_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.db");
    let mut cache = in_file(&path);
    for number in 0..3_333 {
        cache = cache.stream(&format!("stream-{number:04}"), &["workers"], Some(100));
    }
    let client = Client::new(&in_file(&path)).unwrap();
    apply(
        &Change::Stream {
            name: "x".to_owned(),
            groups: BTreeSet::new(),
            unwanted: Unwanted::default(),
            maxlen: None,
        },
        &client,
    )
    .await
    .unwrap();
    let database = crate::sql::open_sqlite(&path, crate::sql::SqliteMode::ReadWrite).await.unwrap();
    for table in [
        "cache_streams (name, maxlen) SELECT printf('stream-%04d', value), 100",
        "cache_groups (stream, name) SELECT printf('stream-%04d', value), 'workers'",
    ] {
        let sql = format!(
            "INSERT INTO {table} FROM (WITH RECURSIVE n(value) AS \
             (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value < 3332) SELECT value FROM n)"
        );
        database.execute(&sql, &[]).await.unwrap();
    }

    let diff = plan(&cache, &client).await;

    assert_eq!((diff.changes.len(), diff.unchanged), (0, 3_333));
}
