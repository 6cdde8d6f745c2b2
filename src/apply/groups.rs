//! Executes changes of the cache and records their consumer groups in the inventory. These are
//! different stores: a group is claimed before it is created, and its claim is removed after it is
//! deleted.

use std::collections::BTreeSet;

use serde_json::json;

use super::step_error::StepError;
use crate::cache::{self, Applied, Change, Claims};
use crate::change::Effect;
use crate::connection;
use crate::digest::Fingerprint;
use crate::journal::{self, Entry, RunId};

/// Executes one change of the cache.
///
/// A run that is killed in between leaves a claim to a group that does not exist; the next run
/// creates the group, or removes the claim. A group that was created by others meanwhile is not
/// claimed.
pub(super) async fn apply(
    change: &Change,
    client: &cache::Client,
    system: &connection::Client,
    run: &RunId,
) -> Result<Effect, StepError> {
    let Some(Claims { address, stream, made, gone }) = cache::claims(change) else {
        cache::apply(change, client).await?;
        return Ok(Effect::DONE);
    };
    let claims: Vec<Entry> = made
        .iter()
        .map(|group| Entry {
            address: address.clone(),
            place: json!({ "group": group, "stream": stream }).to_string(),
            key: Fingerprint::of_text(group),
            digest: client.place(),
        })
        .collect();
    if !claims.is_empty() {
        system.fence().check().await?;
        let mut transaction = system.database().await?.begin().await.map_err(journal::Error::from)?;
        journal::inventory::record(&mut transaction, run, &claims).await.map_err(journal::Error::from)?;
        transaction.commit().await.map_err(journal::Error::from)?;
    }
    let Applied { found, kept } = cache::apply(change, client).await?;
    let stays = |group: &String| format!("the group {group} of {stream} stays: somebody works with it now");
    let warnings = kept.iter().map(stays).collect();
    let key_of = |group: &String| Fingerprint::of_text(group);
    let kept: BTreeSet<Fingerprint> = kept.iter().map(key_of).collect();
    let forgotten: Vec<Fingerprint> =
        gone.into_iter().filter(|key| !kept.contains(key)).chain(found.iter().map(key_of)).collect();
    if !forgotten.is_empty() {
        system.fence().check().await?;
        let mut transaction = system.database().await?.begin().await.map_err(journal::Error::from)?;
        journal::inventory::forget(&mut transaction, &address, &forgotten)
            .await
            .map_err(journal::Error::from)?;
        transaction.commit().await.map_err(journal::Error::from)?;
    }
    Ok(Effect::Done { warnings })
}
