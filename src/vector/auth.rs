//! Sends the token to Chroma in exactly one header, so that a proxy cannot forward it in another
//! form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::Error;
use crate::stack::{self, VectorAuth};

/// Chroma Cloud accepts only its own header.
const CLOUD: &str = ".trychroma.com";
const CHROMA_TOKEN: &str = "x-chroma-token";

/// The headers of every request to a host.
pub(super) fn headers(host: Option<&str>, spec: &stack::Vector) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    let Some(token) = &spec.token else { return Ok(headers) };
    let token = token.expose().map_err(|unset| Error::Unset { names: unset.names.join(", ") })?;
    let is_cloud = host.is_some_and(|host| host.ends_with(CLOUD));
    let (name, value) = match (spec.auth, is_cloud) {
        (Some(VectorAuth::Token), _) | (None, true) => {
            (HeaderName::from_static(CHROMA_TOKEN), token.to_owned())
        }
        (Some(VectorAuth::Bearer), _) | (None, false) => (AUTHORIZATION, format!("Bearer {token}")),
        (Some(VectorAuth::Basic), _) => (AUTHORIZATION, format!("Basic {}", STANDARD.encode(token))),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| Error::Token)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(headers)
}
