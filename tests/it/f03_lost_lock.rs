//! F03: a run is suspended while it trains, and another run takes its lock meanwhile. The first run
//! starts no further batch, and the effect of a request that was already sent is detected and
//! repaired.

use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::a22_locking::holding_session;
use crate::servers::{self, Chroma, Postgres, Wire, wait_until};
use crate::stores::{Database, Shop, Vectors, trained};
use crate::world::{Running, World};

/// How another run gets the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// `trueup lock break`.
    Break,
    /// An administrator terminates the session that holds it.
    Terminate,
    /// The lock file is deleted.
    Remove,
}

/// The request of the first run at which it is suspended.
#[derive(Debug, Clone, Copy)]
enum At {
    /// The n-th query for documents by id: the first precedes a write, the next a delete. It is
    /// forwarded.
    Question(usize),
    /// The first write, which is blocked until the test releases it.
    Write,
}

impl At {
    fn is(self, bytes: &[u8], questions: &AtomicUsize) -> bool {
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        match self {
            Self::Question(number) => {
                has("\"ids\":[") && has("\"include\":[\"metadatas\"]") && {
                    questions.fetch_add(1, Ordering::SeqCst) + 1 == number
                }
            }
            Self::Write => has("/upsert ") && questions.fetch_add(1, Ordering::SeqCst) == 0,
        }
    }
}

/// A first run that trains an old version of some documents and is suspended.
struct Case {
    world: World,
    database: Database,
    vectors: Vectors,
    first: Running,
    /// Releases the blocked request.
    release: Sender<()>,
}

/// The documents of the second run, and those of the first one.
const NEW: [(&str, &str); 3] = [
    ("docs/a.md", "Revenue counts paid orders."),
    ("docs/b.md", "Orders have a customer."),
    ("docs/c.md", "New."),
];
const OLD: [(&str, &str); 3] = [
    ("docs/a.md", "Revenue counts all orders."),
    ("docs/b.md", "Orders have a customer."),
    ("docs/d.md", "Old."),
];

fn write_documents(world: &World, documents: [(&str, &str); 3]) {
    let _ = std::fs::remove_dir_all(world.path("docs"));
    for (name, text) in documents {
        world.file(name, text);
    }
}

impl Case {
    /// Applies the new version, starts to apply the old one, and suspends that at a request.
    fn stopped(database: Database, at: At) -> Self {
        let (world, chroma) = (World::new(), Chroma::start());
        let port = url::Url::parse(&chroma.url()).unwrap().port().unwrap();
        let pid = Arc::new(AtomicU32::new(0));
        let (stopped, is_stopped) = channel();
        let (release, released) = channel();
        let wire = Wire::witnessed(port, witness(at, Arc::clone(&pid), stopped, released));
        let through_wire = format!("http://127.0.0.1:{}", wire.port());
        let vectors = Vectors::Chroma { chroma, wire };
        crate::stores::make_business(&world, "business.db");
        let place = vectors.place().replace(&through_wire, "${CHROMA_URL}");
        let more = trained(&Vectors::Sqlite).replace("  url: sqlite://vector.db\n", &place)
            + "    documentation: { from: { files: [\"docs/*.md\"] } }\n";
        Shop { targets: true, training: true, more, ..Shop::default() }.write(&world, &database);
        world.env("CHROMA_URL", direct(&vectors)).env("USER", "alice");
        write_documents(&world, NEW);
        world.apply().exits(0);

        write_documents(&world, OLD);
        world.env("CHROMA_URL", through_wire);
        let first = world.start(&["apply", "--auto-approve"]);
        pid.store(first.id(), Ordering::SeqCst);
        is_stopped.recv_timeout(Duration::from_secs(30)).unwrap();
        write_documents(&world, NEW);
        world.env("CHROMA_URL", direct(&vectors));
        Self { world, database, vectors, first, release }
    }

    /// The first run loses its lock, and a second one updates everything to the new version.
    fn lose(&self, loss: Loss) {
        match (loss, &self.database) {
            (Loss::Break, _) => {
                let status = self.world.trueup(&["lock", "status"]);
                let run = status.exits(4).stdout.split_whitespace().nth(1).unwrap().to_owned();
                let broken = self.world.trueup(&["lock", "break", &run]);
                broken.exits(0).says("its lock is free").warns("one request that it had sent to Chroma");
            }
            (Loss::Terminate, Database::Postgres(postgres)) => {
                let session = holding_session(postgres);
                postgres.psql(&format!("SELECT pg_terminate_backend({session})"));
            }
            (Loss::Remove, _) => {
                std::fs::remove_file(self.world.path("system.db.trueup-lock")).unwrap();
            }
            (Loss::Terminate, Database::Sqlite) => unreachable!("a file has no sessions"),
        }
        self.world.apply().exits(0);
        self.world.plan().exits(0);
    }
}

/// Returns the write requests of the first run, which is the only one behind the wire.
fn writes(vectors: &Vectors) -> Vec<String> {
    let Vectors::Chroma { wire, .. } = vectors else { return Vec::new() };
    let verbs = ["upsert", "add", "update", "delete"];
    let requests = wire.requests().into_iter().map(|(_, path, _)| path);
    let verb_of = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    requests.map(verb_of).filter(|verb| verbs.contains(&verb.as_str())).collect()
}

/// Returns Chroma's address without the wire.
fn direct(vectors: &Vectors) -> String {
    let Vectors::Chroma { chroma, .. } = vectors else { return String::new() };
    chroma.url()
}

/// Suspends the process at the request, signals that, and blocks a write until it is released.
fn witness(
    at: At,
    pid: Arc<AtomicU32>,
    stopped: Sender<()>,
    released: Receiver<()>,
) -> impl Fn(&[u8]) + Send + Sync {
    let questions = AtomicUsize::new(0);
    let channels = Mutex::new((stopped, released));
    move |bytes| {
        if !at.is(bytes, &questions) {
            return;
        }
        // The request is sent completely before the process is suspended.
        std::thread::sleep(Duration::from_millis(100));
        wait_until("the process id", || pid.load(Ordering::SeqCst) != 0);
        servers::run(Command::new("kill").args(["-STOP", &pid.load(Ordering::SeqCst).to_string()]));
        let (stopped, released) = &*channels.lock().unwrap();
        stopped.send(()).unwrap();
        if matches!(at, At::Write) {
            released.recv_timeout(Duration::from_mins(1)).unwrap();
        }
    }
}

fn begins_no_further_batch(database: Database, at: At, loss: Loss) {
    let case = Case::stopped(database, at);
    let before = writes(&case.vectors);
    case.lose(loss);

    let Case { world, vectors, first, .. } = case;
    first.signal("CONT");
    let ended = first.ends();

    ended.exits(6).warns("the lock was lost");
    assert_eq!(writes(&vectors), before, "{loss:?} {at:?}: {}", ended.stderr);
    world.plan().exits(0);
    assert_eq!(vectors.ids(&world, "documentation"), NEW.map(|(name, _)| name), "{loss:?} {at:?}");
}

#[test]
fn f03_a_run_that_was_stopped_before_it_wrote_begins_no_batch_after_its_lock_was_broken() {
    begins_no_further_batch(Database::Postgres(Postgres::start()), At::Question(1), Loss::Break);
}

#[test]
fn f03_a_run_that_was_stopped_between_two_batches_does_not_begin_the_second() {
    begins_no_further_batch(Database::Postgres(Postgres::start()), At::Question(2), Loss::Break);
}

#[test]
fn f03_a_run_whose_lock_s_session_was_ended_while_it_was_stopped_begins_no_batch() {
    begins_no_further_batch(Database::Postgres(Postgres::start()), At::Question(1), Loss::Terminate);
}

#[test]
fn f03_a_run_whose_lock_file_was_deleted_begins_no_batch() {
    begins_no_further_batch(Database::Sqlite, At::Question(1), Loss::Remove);
}

#[test]
fn f03_what_a_request_on_its_way_wrote_is_recognised_and_repaired() {
    let case = Case::stopped(Database::Postgres(Postgres::start()), At::Write);
    let run = case.world.trueup(&["lock", "status"]).stdout.split_whitespace().nth(1).unwrap().to_owned();
    case.lose(Loss::Break);

    case.release.send(()).unwrap();
    let text =
        |case: &Case| case.vectors.read(&case.world, "documentation").unwrap()["docs/a.md"].text.clone();
    wait_until("the write of the first run", || text(&case) == OLD[0].1);
    let Case { world, vectors, first, .. } = case;
    first.signal("CONT");
    let ended = first.ends();
    let plan = world.plan();
    let applied = world.apply();

    ended.exits(6).warns("the lock was lost");
    assert_eq!(writes(&vectors), ["upsert"], "{}", ended.stderr);
    plan.exits(2).says(&format!("2 documents written by run {run}, which did not finish"));
    applied.exits(0);
    world.plan().exits(0);
    let documents = vectors.read(&world, "documentation").unwrap();
    let texts: Vec<(&str, &str)> =
        documents.iter().map(|(id, stored)| (id.as_str(), stored.text.as_str())).collect();
    assert_eq!(texts, NEW);
}

#[test]
fn f03_a_run_that_was_stopped_and_still_holds_its_lock_goes_on() {
    let case = Case::stopped(Database::Postgres(Postgres::start()), At::Question(1));
    std::thread::sleep(Duration::from_secs(2));

    let Case { world, first, .. } = case;
    write_documents(&world, OLD);
    first.signal("CONT");

    first.ends().exits(0);
    world.plan().exits(0);
}
