//! The spec room: text to layers to a validated [`Stack`]. Reads files and variables, finds every
//! error at once, and never touches a server.

mod context;
mod emptied;
mod error;
mod field;
mod files;
mod fingerprint;
mod interpolate;
mod json;
mod layers;
mod mask;
mod model;
mod raw;
mod read;
mod read_key;
mod rules;
mod schema;
mod secret;
mod secrets;
mod server_url;
mod shield;
mod tree;

use std::path::Path;

pub use error::{Code, SpecError, SpecErrors};
pub use model::*;
pub use rules::parse_duration;
pub use schema::json_schema;
pub use secret::{Endpoint, PasswordError, Secret, Unset};
pub use server_url::{RedactedUrl, TlsFiles, UrlError};

/// Whether anything will be contacted with what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Servers will be: an address or token that lacks a variable is an error.
    Live,
    /// Nothing will be (`--world`): such an address is known by its placeholder.
    Offline,
}

/// Reads a spec and every file that it names. All errors of the run are returned together.
///
/// `variables` gives the value of an environment variable, `None` when it is not set.
pub fn load(
    file: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
    contact: Contact,
) -> Result<Stack, SpecErrors> {
    let cx = context::Context::new(variables, contact);
    let stack = layers::load(&cx, file).and_then(|root| {
        let spec = read::read(&cx, &root)?;
        let stack = rules::check(&cx, file, &root, &spec)?;
        if stack.is_production() {
            cx.warn_of_defaults();
        }
        Some(Stack {
            digest: fingerprint::of(&root, &cx.take_contents()),
            warnings: cx.take_warnings(),
            ..stack
        })
    });
    match stack {
        Some(stack) if !cx.has_errors() => Ok(stack),
        _ => Err(SpecErrors::new(file.display().to_string(), cx.take_errors())),
    }
}

#[cfg(test)]
pub(crate) mod tests;
