//! The target room.
