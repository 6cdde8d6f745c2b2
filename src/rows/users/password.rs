//! Hashes passwords on blocking threads. A hash is used only to write its row.

use argon2::Argon2;
use argon2::password_hash::PasswordHasher as _;

use crate::address::Address;
use crate::rows::{Error, Result};
use crate::stack::{PasswordError, PasswordHash, Secret};

/// The work factor that the contract prescribes.
const BCRYPT_COST: u32 = 12;
/// bcrypt ignores the bytes of a password after these.
const BCRYPT_BYTES: usize = 72;

/// Returns a PHC string for argon2id, or `$2b$12$…` for bcrypt.
pub(super) async fn hash(whose: &Address, secret: &Secret, kind: PasswordHash) -> Result<String> {
    let unset = |unset: &crate::stack::Unset| PasswordError::Unset {
        whose: whose.to_string(),
        names: unset.names.clone(),
    };
    let password = secret.expose().map_err(unset)?;
    if kind == PasswordHash::Bcrypt && password.len() > BCRYPT_BYTES {
        return Err(Error::LongPassword { whose: whose.to_string(), bytes: password.len() });
    }
    // secrecy wipes its own copy when dropped; this makes the copy for the thread do so too.
    let password = secrecy::SecretString::from(password);
    let hashed = tokio::task::spawn_blocking(move || {
        use secrecy::ExposeSecret as _;
        let password = password.expose_secret();
        match kind {
            PasswordHash::Argon2id => Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| error.to_string()),
            PasswordHash::Bcrypt => bcrypt::hash(password, BCRYPT_COST).map_err(|error| error.to_string()),
        }
    });
    let failed = |message| PasswordError::Hash { whose: whose.to_string(), message };
    Ok(hashed.await.map_err(|error| failed(error.to_string()))?.map_err(failed)?)
}
