//! The integration tests: the binary and the rooms against real servers. One binary, so that it is
//! linked once.
//!
//! To add a scenario:
//!
//! 1. Find the file of its letter (`a_core.rs`, `d_cache.rs`, …), or make it and name it below.
//! 2. Name the test by number and rule: `a19_turning_a_seed_off_takes_back_only_unchanged_rows`.
//! 3. Ask for servers: [`servers::Postgres::start`], [`servers::Redis::start`],
//!    [`servers::Chroma::start`]. What they give is the test's own (a database, a server, a tenant)
//!    and is gone when the value is dropped; keep it in a variable until the end.
//! 4. Make a [`world::World`], write its files, and say what the commands give:
//!
//! ```ignore
//! #[test]
//! fn a02_the_second_plan_is_empty() {
//!     let database = Postgres::start();
//!     let world = World::new();
//!     world.env("DATABASE_URL", database.url()).spec("version: 1\n…");
//!
//!     world.apply().exits(0);
//!
//!     world.plan().exits(0).says("No changes");
//! }
//! ```
//!
//! `scripts/test` runs them with servers that are started once; without it a test starts its own,
//! which takes half a second more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what is not as expected ends a test"
)]
#![allow(clippy::print_stdout, reason = "a test that fails shows what it printed")]

mod a02_nothing_written;
mod a04_refused_specs;
mod a08_migrations;
mod a08_odd_sql;
mod a08_refusals;
mod a08_together;
mod a08_transactions;
mod a13_drift;
mod a14_elsewhere;
mod a14_foreign;
mod a20_roles;
mod a21_unreachable;
mod a22_lock;
mod a22_locking;
mod a23_saved_plan;
mod a23_secrets;
mod a24_no_terminal;
mod a25_crash;
mod a26_interrupt;
mod a27_pooler;
mod a28_protect_and_destroy;
mod a_core;
mod a_endings;
mod a_misfits;
mod a_ontology;
mod a_rows;
mod a_rows_takeback;
mod a_seeds;
mod a_users;
mod a_values;
mod b_targets;
mod bad_input;
mod c_training;
mod converge;
mod d_cache;
mod d_cache_plan;
mod e_history;
mod e_pipelines;
mod e_worlds;
mod examples;
mod f01_stores_that_come_back;
mod f02_faults;
mod f03_lost_lock;
mod f04_waits;
mod f05_unreadable_sources;
mod f06_hostile_names;
mod f07_secrets;
mod f08_memory;
mod f09_late_approval;
mod f10_together;
mod insight;
mod lint_migrations;
mod lint_oracle;
mod lint_sqlite_oracle;
mod reference;
mod rehearse;
mod rooms;
mod servers;
mod shared_redis;
mod shared_vectors;
mod stacks;
mod stores;
mod world;
