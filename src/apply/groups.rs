//! Changes of the cache, with the consumer groups that they make taken down in the inventory. The two
//! stand in different stores: what will be made is claimed before, what is gone is forgotten after.

use std::collections::BTreeSet;

use serde_json::json;

use super::step::StepError;
use crate::cache::{self, Applied, Change, Claims};
use crate::change::Effect;
use crate::connection;
use crate::digest::Fingerprint;
use crate::journal::{self, Entry, RunId};

/// Executes one change of the cache.
///
/// A run that is killed in between leaves a claim to a group that does not exist, which the next one
/// makes, or one that is gone, which the next one forgets. A group that somebody else made meanwhile
/// is not claimed.
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
