//! Observes a vector store. One that does not answer is an observation too.

use miette::Diagnostic as _;

use super::{Client, Error, Observed};

/// Formats an error and its help as the message of a check.
fn with_help(error: &Error) -> String {
    error.help().map_or_else(|| error.to_string(), |help| format!("{error}; {help}"))
}

/// Reads all collections and all ids with their marks, page by page.
pub async fn observe(client: &Client) -> Observed {
    match client.observe().await {
        Ok(seen) => Observed::Reachable(seen),
        Err(error) => Observed::Unreachable { message: with_help(&error) },
    }
}
