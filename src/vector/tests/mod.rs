//! Tests of the vector room: rules on values, and one body of store tests for every backend.

mod answers;
mod diffing;
mod limits;
mod servers;
mod stores;
mod texts;
mod worlds;
