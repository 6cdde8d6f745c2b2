//! The spec room: text to layers to a validated [`Stack`]. Reads files and variables, finds every
//! error at once, and never touches a server.

mod location;
mod secret;
mod stack;

pub use location::{Located, Location, Source};
pub use secret::{Endpoint, RedactedUrl, Secret, Unset};
pub use stack::*;
