//! `connection:`, which gives the parts of a URL as separate keys.

use super::address::{Address, address, refuse_url};
use super::values::{check_range, required};
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::interpolate::placeholder;
use crate::stack::raw::{Connection, ServerKind, Tls};
use crate::stack::server_url::Parts;
use crate::stack::typed::field::{Field, Opt, Written};
use crate::stack::yaml::tree::Span;
use crate::stack::{Contact, Endpoint, RedactedUrl, TlsFiles};

/// Returns the address of a store from `url:` or `connection:`.
pub(super) fn endpoint<'r>(
    cx: &Context<'_>,
    url: Option<(&'r str, Span)>,
    connection: &Opt<Connection>,
    what: &str,
    parent: Span,
    accepted: &str,
) -> Option<(Endpoint<Address>, &'r str, Span)> {
    match (url, connection.field()) {
        (Some(_), Some(field)) => {
            let help = "keep one of them";
            cx.fail(
                Code::BadValue,
                field.at,
                "`url` and `connection` stand beside each other",
                "this one",
                help,
            );
            None
        }
        (Some((written, at)), None) => Some((address(cx, at, written, accepted)?, written, at)),
        (None, Some(field)) => {
            let endpoint = of_parts(cx, field.value.as_ref()?, field.at, accepted)?;
            Some((endpoint, "", field.at))
        }
        (None, None) => {
            let help = format!("add `url:`, {what}, or its parts as `connection:`");
            cx.fail(Code::MissingKey, parent, "the key `url` is missing", "needed here", help);
            None
        }
    }
}

/// Returns `url:` as written; `None` if it is invalid, which has been reported.
#[expect(clippy::option_option, reason = "a key that is wrong is no key that is missing")]
pub(super) fn written(url: &Opt<Written>) -> Option<Option<(&str, Span)>> {
    match url.field() {
        None => Some(None),
        Some(Field { at, value }) => Some(Some((value.as_ref()?.0.as_str(), *at))),
    }
}

fn of_parts(cx: &Context<'_>, raw: &Connection, at: Span, accepted: &str) -> Option<Endpoint<Address>> {
    let Connection { kind, host, port, user, password, database, tls } = raw;
    let kind = required(cx, kind, "kind", at, "`postgres`, `redis` or `chroma`");
    check_range(cx, port, &(1..=u16::MAX));
    if port.value() == Some(&0) {
        return None;
    }
    let host = required(cx, host, "host", at, "where the server is");
    let secret = match password.field() {
        None => None,
        Some(Field { at, value }) => {
            Some(cx.password_of_address(*at, value.as_ref()?, cx.contact == Contact::Offline)?)
        }
    };
    let ((kind, _), (host, _)) = (kind?, host?);
    if let (ServerKind::Chroma, Some(at)) = (kind, database.at()) {
        let help = "write it beside `connection`, as `vector.database`";
        cx.fail(Code::NotForThisKind, at, "`database` is no part of Chroma's address", "not here", help);
        return None;
    }
    let files = files(cx, tls)?;
    let scheme = match (kind, tls.at().is_some()) {
        (ServerKind::Postgres, _) => "postgres",
        (ServerKind::Redis, false) => "redis",
        (ServerKind::Redis, true) => "rediss",
        (ServerKind::Chroma, false) => "http",
        (ServerKind::Chroma, true) => "https",
    };
    // The PostgreSQL driver takes the TLS files as parameters of the URL.
    let (parameters, tls) = match (kind, tls.at()) {
        (ServerKind::Postgres, Some(_)) => (parameters(files), TlsFiles::default()),
        (ServerKind::Postgres, None) => (Vec::new(), TlsFiles::default()),
        (ServerKind::Redis | ServerKind::Chroma, _) => (Vec::new(), files),
    };
    let written = format!(
        "{scheme}://{}:{}@{host}:{}/{}",
        user.value().map_or("", String::as_str),
        password.value().map_or_else(String::new, |password| placeholder(&password.0)),
        port.value().map_or_else(String::new, ToString::to_string),
        database.value().map_or("", String::as_str),
    );
    let value = match secret.as_ref().map(crate::stack::Secret::expose) {
        None => None,
        Some(Ok(password)) => Some(password.to_owned()),
        Some(Err(unset)) => return Some(Endpoint { to: Err(unset.clone()), written, at: cx.at(at) }),
    };
    let parts = Parts {
        scheme,
        host: host.clone(),
        port: port.value().copied(),
        user: user.value().cloned(),
        password: value,
        path: database.value().cloned(),
        parameters,
        tls,
    };
    match RedactedUrl::from_parts(parts) {
        Ok(url) => {
            cx.redact(|redactor| url.add_secrets(redactor));
            Some(Endpoint { to: Ok(Address::Server(url)), written, at: cx.at(at) })
        }
        Err(error) => {
            refuse_url(cx, at, "", &error, accepted);
            None
        }
    }
}

fn files(cx: &Context<'_>, tls: &Opt<Tls>) -> Option<TlsFiles> {
    let Some(field) = tls.field() else { return Some(TlsFiles::default()) };
    let Tls { ca, cert, key } = field.value.as_ref()?;
    if cert.at().is_some() != key.at().is_some() {
        let help = "a client shows a certificate and proves it with its key: add the other one";
        cx.fail(Code::MissingKey, field.at, "`cert` and `key` belong together", "one is missing", help);
        return None;
    }
    let path = |file: &Opt<String>| file.located().map(|(written, at)| cx.path(at, written));
    Some(TlsFiles { ca: path(ca), cert: path(cert), key: path(key) })
}

fn parameters(files: TlsFiles) -> Vec<(&'static str, String)> {
    let TlsFiles { ca, cert, key } = files;
    let files = [("sslrootcert", ca), ("sslcert", cert), ("sslkey", key)];
    let files = files.into_iter().filter_map(|(name, path)| Some((name, path?.display().to_string())));
    std::iter::once(("sslmode", "verify-full".to_owned())).chain(files).collect()
}
