//! SCRAM-SHA-256 as PostgreSQL stores it (RFC 5802, RFC 7677). The server gets a verifier, which proves a
//! password without containing it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Result;
use crate::address::Address;
use crate::stack::{PasswordError, Secret};

/// PostgreSQL's default.
pub(super) const ITERATIONS: u32 = 4096;
/// Stored verifiers with more iterations are not compared, because that would take too long.
const MOST_ITERATIONS: u32 = 2_000_000;
/// The size of a salt, as in PostgreSQL.
const SALT_BYTES: usize = 16;

/// The result of comparing a password with the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordState {
    Same,
    /// It differs, or the server has no password for the role, or one that is not SCRAM.
    Differs,
    /// Not comparable: a variable is not set, or the catalog may not be read.
    Unknown,
}

#[derive(PartialEq, Eq)]
struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Verifier {
    /// Computes the verifier of a password.
    fn of(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        // PostgreSQL uses a password that cannot be normalised unchanged.
        let normal = stringprep::saslprep(password);
        let password = normal.as_deref().unwrap_or(password);
        let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations);
        let stored_key = Sha256::digest(keyed(&salted, b"Client Key")).to_vec();
        let server_key = keyed(&salted, b"Server Key");
        Self { iterations, salt, stored_key, server_key }
    }

    /// Parses a value of `pg_authid`; `None` for an MD5 hash or any other format.
    fn parse(stored: &str) -> Option<Self> {
        let (cost, keys) = stored.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let ((iterations, salt), (stored_key, server_key)) = (cost.split_once(':')?, keys.split_once(':')?);
        let decoded = |text: &str| BASE64.decode(text).ok();
        Some(Self {
            iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
            salt: decoded(salt)?,
            stored_key: decoded(stored_key)?,
            server_key: decoded(server_key)?,
        })
    }

    /// The format of `pg_authid`.
    fn text(&self) -> String {
        let Self { iterations, salt, stored_key, server_key } = self;
        let [salt, stored_key, server_key] = [salt, stored_key, server_key].map(|bytes| BASE64.encode(bytes));
        format!("SCRAM-SHA-256${iterations}:{salt}${stored_key}:{server_key}")
    }
}

fn keyed(key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    // HMAC accepts keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Creates a verifier with a new salt.
pub(super) async fn verifier(whose: &Address, secret: &Secret, iterations: u32) -> Result<String> {
    let unset = |unset: &crate::stack::Unset| PasswordError::Unset {
        whose: whose.to_string(),
        names: unset.names.clone(),
    };
    let password = SecretString::from(secret.expose().map_err(unset)?);
    let failed = |message: String| PasswordError::Hash { whose: whose.to_string(), message };
    let mut salt = vec![0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| failed(error.to_string()))?;
    let computed =
        tokio::task::spawn_blocking(move || Verifier::of(password.expose_secret(), salt, iterations).text());
    Ok(computed.await.map_err(|error| failed(error.to_string()))?)
}

/// Compares a secret with the verifier stored on the server.
pub(super) async fn compare(secret: &Secret, stored: &str) -> PasswordState {
    let Ok(password) = secret.expose().map(SecretString::from) else { return PasswordState::Unknown };
    let Some(stored) = Verifier::parse(stored) else { return PasswordState::Differs };
    if stored.iterations > MOST_ITERATIONS {
        return PasswordState::Unknown;
    }
    let computed = tokio::task::spawn_blocking(move || {
        Verifier::of(password.expose_secret(), stored.salt.clone(), stored.iterations) == stored
    });
    match computed.await {
        Ok(true) => PasswordState::Same,
        Ok(false) => PasswordState::Differs,
        Err(_) => PasswordState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Kind;
    use crate::location::{Location, Source};
    use crate::stack::Unset;

    /// The example of RFC 7677, section 3: user `user`, password `pencil`.
    #[test]
    fn the_keys_are_those_that_rfc_7677_proves_with() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

        let verifier = Verifier::of("pencil", salt, 4096);

        let server_key: [u8; 32] = verifier.server_key.clone().try_into().unwrap();
        let signature = keyed(&server_key, message.as_bytes());
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let stored_key: [u8; 32] = verifier.stored_key.clone().try_into().unwrap();
        let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_key: Vec<u8> =
            keyed(&stored_key, message.as_bytes()).iter().zip(proof).map(|(a, b)| a ^ b).collect();
        assert_eq!(Sha256::digest(client_key).to_vec(), verifier.stored_key);
    }

    #[tokio::test]
    async fn a_verifier_tells_its_password_from_others() {
        let at = || Location::new(&Source::new("stack.yaml", "x"), 0, 1);
        let secret = |text: &str| Secret::new("${P}", Ok(SecretString::from(text)), at());
        let whose = Kind::Role.named("app");

        let stored = verifier(&whose, &secret("pass\u{a0}word of i\u{ad}x"), 4096).await.unwrap();

        assert!(stored.starts_with("SCRAM-SHA-256$4096:"), "{stored}");
        assert!(!stored.contains("word"));
        assert_eq!(compare(&secret("pass word of ix"), &stored).await, PasswordState::Same);
        assert_eq!(compare(&secret("pass word of iy"), &stored).await, PasswordState::Differs);
        for no_scram in ["", "md5c4ca4238a0b923820dcc509a6f75849b", "SCRAM-SHA-256$0:AA==$AA==:AA=="] {
            assert_eq!(compare(&secret("pass word of ix"), no_scram).await, PasswordState::Differs);
        }
        let unset = Secret::new("${P}", Err(Unset { names: vec!["P".into()] }), at());
        assert_eq!(compare(&unset, &stored).await, PasswordState::Unknown);
        assert!(matches!(
            verifier(&whose, &unset, 1).await,
            Err(crate::roles::Error::Password(PasswordError::Unset { .. }))
        ));
    }
}
