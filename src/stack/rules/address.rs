//! Parses the addresses of stores. Files are relative to the file that names them, and stores that
//! would overwrite each other are rejected.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;

use crate::location::Location;
use crate::stack::context::{Context, ESCAPED};
use crate::stack::error::{Code, SpecError};
use crate::stack::interpolate::{Resolved, foreign_placeholder, unset};
use crate::stack::mask;
use crate::stack::server_url::is_scheme;
use crate::stack::yaml::tree::Span;
use crate::stack::{
    Cache, CacheUrl, Contact, Endpoint, RedactedUrl, System, SystemUrl, Target, TargetUrl, Unset, UrlError,
    Vector, VectorUrl,
};

pub(super) enum Address {
    Sqlite(PathBuf),
    Server(RedactedUrl),
}

/// Parses an address of the spec in one of the `accepted` forms.
pub(super) fn address(
    cx: &Context<'_>,
    at: Span,
    written: &str,
    accepted: &str,
) -> Option<Endpoint<Address>> {
    if mask::has_literal_password(written) {
        let help = "write `${NAME}` for the whole address or its password";
        cx.warn(at, "a password stands in the file itself", help);
    }
    let password =
        written.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map(|(info, _)| info);
    let password = password.and_then(|info| info.split_once(':')).map_or("", |(_, password)| password);
    let is_whole = foreign_placeholder(written).is_some();
    if cx.refuse_foreign_placeholder(at, if is_whole { written } else { password }) {
        return None;
    }
    cx.warn_of_foreign_placeholder_within(at, written);
    let to = match cx.resolve_url(at, written) {
        Resolved::Text(text) => Ok(parse(cx, at, written, &text, accepted)?),
        Resolved::Failed => return None,
        Resolved::Missing(missing) if cx.contact == Contact::Offline => Err(unset(&missing)),
        Resolved::Missing(missing) => {
            cx.report_missing(missing);
            return None;
        }
    };
    Some(Endpoint { to, written: mask::written_url(written), at: cx.at(at) })
}

fn parse(cx: &Context<'_>, at: Span, written: &str, text: &str, accepted: &str) -> Option<Address> {
    let help = format!("accepted: {accepted}");
    let refuse = |message: &str, help: &str| cx.fail(Code::BadUrl, at, message, "this address", help);
    if text.is_empty() {
        refuse("the address is empty", &help);
        return None;
    }
    if let Some(rest) = text.strip_prefix("sqlite:") {
        return sqlite(cx, at, rest, &refuse);
    }
    match RedactedUrl::parse(text) {
        Ok(url) => {
            cx.redact(|redactor| url.add_secrets(redactor));
            Some(Address::Server(url))
        }
        Err(error) => {
            refuse_url(cx, at, written, &error, accepted);
            None
        }
    }
}

/// Reports an invalid URL without repeating any part of it, because it may contain a secret.
pub(super) fn refuse_url(cx: &Context<'_>, at: Span, written: &str, error: &UrlError, accepted: &str) {
    let whose =
        if written.contains("${") { "what the placeholder gives is no address" } else { "not an address" };
    let help = error.help().map_or_else(String::new, |help| format!("{help}\n"));
    let help = format!("{help}accepted: {accepted}");
    cx.fail(Code::BadUrl, at, format!("{whose}: {error}"), "this address", help);
}

fn sqlite(cx: &Context<'_>, at: Span, rest: &str, refuse: &dyn Fn(&str, &str)) -> Option<Address> {
    const FORMS: &str = "write `sqlite:///absolute/path`, or `sqlite://path` relative to this file";
    let Some(path) = rest.strip_prefix("//") else {
        refuse("a file's address begins with `sqlite://`", FORMS);
        return None;
    };
    if path.contains('?') {
        refuse(
            "an address of a file takes no options",
            "remove what follows the `?`: modes are chosen by what is done",
        );
        return None;
    }
    let drive = path.trim_start_matches('/').split_once(':').map(|(drive, rest)| (drive.len(), rest));
    if drive.is_some_and(|(length, rest)| length == 1 && rest.starts_with(['/', '\\'])) {
        refuse(
            "the path is one of Windows",
            "write it with `/` and without a drive: `sqlite:///data/app.db`",
        );
        return None;
    }
    if path.contains(char::is_control) {
        refuse("a control character in the path", ESCAPED);
        return None;
    }
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        refuse("the path is not UTF-8", FORMS);
        return None;
    };
    if path.trim_matches('/').is_empty() || path.contains(":memory:") || path.ends_with('/') {
        refuse("the address names no file", FORMS);
        return None;
    }
    Some(Address::Sqlite(if path.starts_with('/') {
        PathBuf::from(format!("/{}", path.trim_start_matches('/')))
    } else {
        cx.path(at, &path)
    }))
}

/// Converts the address of an endpoint to another type.
pub(super) fn map<T>(
    endpoint: Endpoint<Address>,
    kind: impl FnOnce(Address) -> Option<T>,
) -> Option<Endpoint<T>> {
    let Endpoint { to, written, at } = endpoint;
    let to: Result<T, Unset> = match to {
        Ok(address) => Ok(kind(address)?),
        Err(unset) => Err(unset),
    };
    Some(Endpoint { to, written, at })
}

/// Reports an unsupported scheme. The scheme is repeated only where it is literal.
pub(super) fn wrong_scheme(cx: &Context<'_>, at: Span, written: &str, accepted: &str) {
    let shown = match written.split_once("://") {
        None if written.is_empty() => "a server of this kind is not taken here".to_owned(),
        Some((scheme, _)) if is_scheme(scheme) => {
            format!("addresses of the kind `{scheme}://` are not taken here")
        }
        _ => "the placeholder gives an address of a kind that is not taken here".to_owned(),
    };
    cx.fail(Code::BadUrl, at, shown, "this address", format!("accepted: {accepted}"));
}

/// Rejects a store that is also a target, because targets are never written, and a file used by
/// stores of different kinds.
pub(super) fn check_distinct(
    cx: &Context<'_>,
    system: Option<&System>,
    targets: Option<&BTreeMap<String, Target>>,
    vector: Option<&Option<Vector>>,
    cache: Option<&Option<Cache>>,
) {
    let mut written: Vec<(&str, PathBuf, &Location)> = Vec::new();
    if let Some(System { endpoint: Endpoint { to: Ok(SystemUrl::Sqlite(path)), at, .. }, .. }) = system {
        written.push(("the system database", real(path), at));
    }
    if let Some(Some(Vector { endpoint: Endpoint { to: Ok(VectorUrl::Sqlite(path)), at, .. }, .. })) = vector
    {
        written.push(("the vector store", real(path), at));
    }
    if let Some(Some(Cache { endpoint: Endpoint { to: Ok(CacheUrl::Sqlite(path)), at, .. }, .. })) = cache {
        written.push(("the cache", real(path), at));
    }
    for (name, target) in targets.into_iter().flatten() {
        let Ok(TargetUrl::Sqlite(path)) = &target.endpoint.to else { continue };
        let path = real(path);
        if let Some((what, _, at)) = written.iter().find(|(_, other, _)| *other == path) {
            let message = format!("the target `{name}` and {what} are the same file");
            let error = SpecError::new(Code::Same, message).at(target.endpoint.at.clone(), "the same file");
            let help = "a target is read and never written: give it a file of its own";
            cx.report(error.and((*at).clone(), format!("{what} is here")).help(help));
        }
    }
}

/// Canonicalizes a path as far as it exists.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
        }
    }
    clean
}
