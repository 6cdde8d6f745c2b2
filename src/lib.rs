//! `trueup` brings the data stack of an application in line with a file under version control.
//!
//! A plan is a pure function of two values: what the spec says ([`desired::Desired`]) and what was
//! observed ([`world::World`]). Everything that talks to a server comes before it (observe) or
//! after it ([`apply`]).
//!
//! Reading order for a newcomer: this file, `stack/model/`, `desired.rs`, `world.rs`, `plan/mod.rs`,
//! `cache/` (the smallest component, with all four doors), `apply/execute.rs`.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod address;
pub mod apply;
pub mod cache;
pub mod catalog;
pub mod change;
pub mod cli;
pub mod connection;
pub mod desired;
pub mod digest;
pub mod embed;
pub mod fingerprints;
pub mod journal;
pub mod lint;
pub mod location;
pub mod migrations;
pub mod neutral;
pub mod packed;
pub mod plan;
pub mod progress;
pub mod redact;
pub mod render;
pub mod roles;
pub mod rows;
pub mod sql;
pub mod stack;
pub mod stores;
mod suggest;
pub mod system;
pub mod target;
pub mod vector;
pub mod world;
