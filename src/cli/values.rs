//! The values of arguments that several commands share.

use std::time::Duration;

use clap::ValueEnum;

use crate::plan::Allow;

/// `--allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum AllowArg {
    /// Changes that lose data.
    Destructive,
    /// Deletes because a source of the spec yields nothing.
    MassDelete,
    /// Another stack than the one last applied, or another environment where that was production.
    Environment,
    /// Taking over what another bookkeeping of the same stack and environment put into the vector store.
    Takeover,
}

impl From<AllowArg> for Allow {
    fn from(argument: AllowArg) -> Self {
        match argument {
            AllowArg::Destructive => Self::Destructive,
            AllowArg::MassDelete => Self::MassDelete,
            AllowArg::Environment => Self::Environment,
            AllowArg::Takeover => Self::Takeover,
        }
    }
}

/// `--format` of progress events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EventFormat {
    /// For a person.
    Text,
    /// For programs.
    Json,
}

/// Parses a duration as in specs: `500ms`, `30s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let help = "a duration is a whole number and a unit: `500ms`, `5s`, `10m`, `24h`";
    crate::stack::parse_duration(text).ok_or_else(|| help.to_owned())
}
