//! Loads a spec: text, layers, validated [`Stack`]. Reads files and variables, reports every error
//! at once, and never connects to a server.

mod context;
mod emptied;
mod error;
mod files;
mod fingerprint;
mod interpolate;
mod layers;
mod mask;
mod model;
mod raw;
mod rules;
mod schema;
mod secret;
mod server_url;
mod text_file;
mod typed;
mod yaml;

use std::path::Path;

pub use error::{Code, SpecError, SpecErrors};
pub use model::*;
pub use rules::parse_duration;
pub use schema::json_schema;
pub use secret::{Endpoint, PasswordError, Secret, Unset};
pub use server_url::{RedactedUrl, TlsFiles, UrlError};

/// Whether the servers of the spec will be contacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// They will be: an address or token with an unset variable is an error.
    Live,
    /// They will not be (`--world`): such an address is represented by its placeholder.
    Offline,
}

/// Loads a spec and every file that it names. All errors are returned together.
///
/// `variables` returns the value of an environment variable, or `None` if it is unset.
pub fn load(
    file: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
    contact: Contact,
) -> Result<Stack, SpecErrors> {
    let cx = context::Context::new(variables, contact);
    let stack = layers::load(&cx, file).and_then(|root| {
        let spec = typed::read(&cx, &root)?;
        let stack = rules::check(&cx, file, &root, &spec)?;
        if stack.is_production() {
            cx.warn_of_defaults();
        }
        Some(Stack {
            digest: fingerprint::spec_digest(&root, &cx.secrets(), &cx.take_contents()),
            secrets: cx.take_redactor(),
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
