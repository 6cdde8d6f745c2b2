//! The vector room.
