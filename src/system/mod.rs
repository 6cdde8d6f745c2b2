//! The system room.
