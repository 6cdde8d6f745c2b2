//! Collects the secrets of a stack for redaction. This is the list of where secrets can occur.

use super::{CacheUrl, RedactedUrl, Secret, Stack, SystemUrl, TargetUrl, VectorUrl};
use crate::redact::Redactor;

impl Stack {
    /// Returns a redactor with all secrets whose value is known.
    pub fn secrets(&self) -> Redactor {
        let mut redactor = Redactor::default();
        if let Ok(SystemUrl::Postgres(url)) = &self.system.endpoint.to {
            add_url(&mut redactor, url);
        }
        let roles = self.system.roles.values().filter_map(|role| role.password.as_ref());
        let users = self.system.users.values().map(|user| &user.password);
        if let Some(vector) = &self.vector {
            if let Ok(VectorUrl::Chroma(url)) = &vector.endpoint.to {
                add_url(&mut redactor, url);
            }
            if let Some(Ok(token)) = vector.token.as_ref().map(Secret::expose) {
                redactor.add(token);
            }
        }
        if let Some(Ok(CacheUrl::Redis(url))) = self.cache.as_ref().map(|cache| &cache.endpoint.to) {
            add_url(&mut redactor, url);
        }
        for target in self.targets.values() {
            match &target.endpoint.to {
                // A file has no password.
                Ok(TargetUrl::Sqlite(_)) | Err(_) => {}
            }
        }
        for secret in roles.chain(users).filter_map(|secret| secret.expose().ok()) {
            redactor.add(secret);
        }
        redactor
    }
}

fn add_url(redactor: &mut Redactor, url: &RedactedUrl) {
    let user = url.user().unwrap_or_default();
    let written = url.expose().password().unwrap_or_default();
    let password = url.password().unwrap_or_default();
    if !password.is_empty() {
        // As sent in an HTTP basic authorization header.
        redactor.add_base64(&format!("{user}:{password}"), 0);
    }
    let database = url.expose().path().trim_start_matches('/');
    // A password equal to the user, database or host is not redacted, because those are shown.
    if ![user.as_str(), database, &url.host()].contains(&password.as_str()) {
        redactor.add(&password);
        redactor.add(written);
    }
}
