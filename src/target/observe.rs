//! Observes a target. Reads only.

use super::{Desired, Failure, Observed, sqlite};
use crate::stack::TargetUrl;

/// Never fails: a target that cannot be read is an observation too.
pub async fn observe(desired: &Desired) -> Observed {
    let seen = match &desired.endpoint.to {
        Err(unset) => Err(Failure::Unresolved { names: unset.names.clone() }),
        Ok(TargetUrl::Sqlite(path)) => sqlite::read(path).await,
    };
    seen.map_or_else(|failure| Observed::Failed { place: desired.place(), failure }, Observed::Readable)
}
