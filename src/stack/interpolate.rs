//! Resolves `${NAME}`, `${NAME:-default}` and `${file:/path}` in scalars. Messages name the
//! placeholder and never its value.

use secrecy::SecretString;

use super::context::{Context, KEEP_OUT};
use super::error::Code;
use super::server_url::{encode_unencoded, encode_user_info};
use super::text_file::read_text;
use super::typed::field::SecretText;
use super::yaml::tree::Span;
use super::{Secret, Unset};

/// Limit for the file of a secret.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// A part of a scalar.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'t> {
    Literal(&'t str),
    Variable { name: &'t str, default: Option<&'t str>, written: &'t str },
    File { path: &'t str, written: &'t str },
    Wrong { written: &'t str },
}

/// Splits a scalar into literals and placeholders. `$${` is a literal `${`.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (before, placeholder) = rest.split_at(dollar);
        if let Some(before) = before.strip_suffix('$') {
            pieces.push(Piece::Literal(before));
            pieces.push(Piece::Literal("${"));
            rest = placeholder.get(2..).unwrap_or("");
            continue;
        }
        if !before.is_empty() {
            pieces.push(Piece::Literal(before));
        }
        let Some(end) = placeholder.find('}') else {
            pieces.push(Piece::Wrong { written: placeholder });
            return pieces;
        };
        let (written, after) = placeholder.split_at(end + 1);
        pieces.push(placeholder_of(written));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    pieces
}

fn placeholder_of(written: &str) -> Piece<'_> {
    let inner = written.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
    if let Some(path) = inner.strip_prefix("file:") {
        return if path.is_empty() { Piece::Wrong { written } } else { Piece::File { path, written } };
    }
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if begins && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Piece::Variable { name, default, written }
    } else {
        Piece::Wrong { written }
    }
}

/// The label for `$NAME` and similar placeholders.
const FOREIGN: &str = "another tool's placeholder, which is not replaced here";

/// Returns the name if the whole text is `$NAME`, `{{ name }}`, `%NAME%`, `<NAME>` or `@@NAME@@`, or the command of
/// `$(command)`.
pub(super) fn foreign_placeholder(text: &str) -> Option<&str> {
    let text = text.trim();
    let between = |open: &str, close: &str| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(command) = between("$(", ")") {
        return Some(command);
    }
    if let Some(name) = between("<", ">").or_else(|| between("@@", "@@")) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ');
        return (name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(is_part))
            .then_some(name);
    }
    let name = between("{{", "}}").or_else(|| between("%", "%")).or_else(|| text.strip_prefix('$'))?.trim();
    let name = name.trim_start_matches(['.', '$']);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (begins && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))).then_some(name)
}

/// Returns the name of another tool's placeholder anywhere in a text. A lower-case name counts only
/// between blanks or URL separators, because passwords may contain a `$`.
fn foreign_placeholder_within(text: &str) -> Option<&str> {
    let separates = |c: char| c.is_whitespace() || matches!(c, ':' | '@' | '/' | '?' | '&' | '=' | ',');
    let braces = || {
        let (_, rest) = text.split_once("{{")?;
        Some(rest.split_once("}}")?.0.trim())
    };
    let dollar = || text.split('$').skip(1).find_map(|rest| upper_name(rest, |_| true));
    let percent = || {
        text.match_indices('%').find_map(|(at, _)| {
            let rest = text.get(at + 1..)?;
            // `%DB…` may be a percent-encoded byte.
            let is_encoded = rest.chars().take(2).all(|c| c.is_ascii_hexdigit());
            upper_name(rest, |next| next == Some('%')).filter(|name| !is_encoded || name.len() > 4)
        })
    };
    foreign_placeholder(text)
        .or_else(|| text.split(separates).find_map(foreign_placeholder))
        .or_else(braces)
        .or_else(dollar)
        .or_else(percent)
}

/// Returns the upper-case name at the start of a text, if it has at least three letters and `ends`
/// accepts the character after it.
fn upper_name(text: &str, ends: impl Fn(Option<char>) -> bool) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let length = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(length)?;
    let next = rest.chars().next();
    let is_name = name.len() > 2 && !name.starts_with(|c: char| c.is_ascii_digit());
    (is_name && !next.is_some_and(|c| c.is_ascii_lowercase()) && ends(next)).then_some(name)
}

/// Returns trueup's placeholder for a name of another tool's placeholder.
fn own_placeholder(name: &str) -> String {
    let name = name.trim_matches(['.', '$']);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    format!("`${{{}}}`", if is_name { name } else { "NAME" })
}

/// Position of a placeholder in a URL as written; its value cannot change that position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UrlPlace {
    /// Before or after the user info, or as the whole URL.
    Elsewhere,
    User,
    Password,
    /// In the user and password.
    UserInfo,
}

fn place_in_url(pieces: &[Piece<'_>], number: usize) -> UrlPlace {
    const ENDS: [char; 3] = ['/', '?', '#'];
    let written = |pieces: Option<&[Piece<'_>]>| -> String {
        let texts = pieces.unwrap_or_default().iter().map(|piece| match piece {
            Piece::Literal(text) => text,
            Piece::Variable { .. } | Piece::File { .. } | Piece::Wrong { .. } => "\0",
        });
        texts.collect()
    };
    let (before, after) = (written(pieces.get(..number)), written(pieces.get(number + 1..)));
    let info = before.split_once("://").map(|(_, info)| info).filter(|info| !info.contains(ENDS));
    let rest = after.split(ENDS).next().and_then(|rest| rest.rsplit_once('@')).map(|(rest, _)| rest);
    match (info, rest) {
        (Some(info), Some(_)) if info.contains(':') => UrlPlace::Password,
        (Some(_), Some(rest)) if rest.contains(':') => UrlPlace::User,
        (Some(_), Some(_)) => UrlPlace::UserInfo,
        (None, _) | (_, None) => UrlPlace::Elsewhere,
    }
}

/// The result of resolving a scalar.
pub(super) enum Resolved {
    /// All placeholders were replaced.
    Text(String),
    /// Some variables are unset or files missing.
    Missing(Vec<Missing>),
    /// Invalid, and already reported.
    Failed,
}

/// A placeholder without a value.
pub(super) struct Missing {
    name: String,
    at: Span,
    message: String,
    help: String,
}

impl Context<'_> {
    /// Replaces the placeholders of a scalar.
    pub(super) fn resolve(&self, at: Span, text: &str) -> Resolved {
        self.resolve_pieces(at, &pieces(text), |_, value| value.to_owned())
    }

    /// As [`Self::resolve`], for a URL: values in the user info are percent-encoded as far as they
    /// could change the structure of the URL.
    pub(super) fn resolve_url(&self, at: Span, text: &str) -> Resolved {
        let pieces = pieces(text);
        self.resolve_pieces(at, &pieces, |number, value| match place_in_url(&pieces, number) {
            UrlPlace::Elsewhere => value.to_owned(),
            UrlPlace::User | UrlPlace::Password => encode_unencoded(value),
            UrlPlace::UserInfo => encode_user_info(value),
        })
    }

    /// `placed` returns the replacement for a placeholder's value, given the index of its piece.
    fn resolve_pieces(
        &self,
        at: Span,
        pieces: &[Piece<'_>],
        placed: impl Fn(usize, &str) -> String,
    ) -> Resolved {
        let (mut resolved, mut missing, mut failed) = (String::new(), Vec::new(), false);
        for (number, piece) in pieces.iter().enumerate() {
            match *piece {
                Piece::Literal(text) => resolved.push_str(text),
                Piece::Variable { name, default, written } => match (self.variables)(name) {
                    // As in a shell, `:-` also replaces an empty variable.
                    Some(value) if !(value.is_empty() && default.is_some()) => {
                        resolved.push_str(&placed(number, &value));
                    }
                    _ => match default {
                        Some(default) => resolved.push_str(&placed(number, default)),
                        None => missing.push(Missing {
                            name: name.to_owned(),
                            at: self.within(at, written),
                            message: format!("the variable `{name}` is not set"),
                            help: format!("set it, or write a default: `${{{name}:-…}}`"),
                        }),
                    },
                },
                Piece::File { path, written } => {
                    let at = self.within(at, written);
                    let file = self.path(at, path);
                    match read_text(&file, MAX_SECRET_BYTES) {
                        Ok(text) => resolved.push_str(&placed(number, text.trim_end_matches(['\r', '\n']))),
                        Err(reason) if reason.missing => missing.push(Missing {
                            name: format!("file:{path}"),
                            at,
                            message: format!("the file {} is not there", file.display()),
                            help: "make the file, or mount the secret".to_owned(),
                        }),
                        Err(reason) => {
                            self.report(self.unreadable(&file, Some(at), reason));
                            failed = true;
                        }
                    }
                }
                Piece::Wrong { written } => {
                    self.bad_placeholder(at, written);
                    failed = true;
                }
            }
        }
        match (failed, missing.is_empty()) {
            (true, _) => Resolved::Failed,
            (false, false) => Resolved::Missing(missing),
            (false, true) => Resolved::Text(resolved),
        }
    }

    fn bad_placeholder(&self, at: Span, written: &str) {
        let shown = if written.ends_with('}') {
            "a placeholder that cannot be read"
        } else {
            "a placeholder without `}`"
        };
        let help =
            "accepted are `${NAME}`, `${NAME:-default}` and `${file:/path}`; write `$${` for a literal `${`";
        self.fail(Code::BadPlaceholder, self.within(at, written), shown, "this one", help);
    }

    /// Reports a secret that is the placeholder of another tool, because as a literal it would be
    /// used as the secret.
    pub(super) fn refuse_foreign_placeholder(&self, at: Span, text: &str) -> bool {
        let in_piece = |piece: &Piece<'_>| match *piece {
            Piece::Literal(text) => foreign_placeholder_within(text).map(own_placeholder),
            Piece::Variable { .. } | Piece::File { .. } | Piece::Wrong { .. } => None,
        };
        let Some(own) = pieces(text).iter().find_map(in_piece) else { return false };
        let help = format!("write {own}; what has such a text in it belongs into a variable or a file");
        self.fail(Code::BadPlaceholder, at, FOREIGN, "taken as it stands", help);
        true
    }

    /// Warns if a text is the placeholder of another tool.
    pub(super) fn warn_of_foreign_placeholder(&self, at: Span, text: &str) {
        if let Some(name) = foreign_placeholder(text) {
            self.warn_of_foreign(at, name);
        }
    }

    /// As [`Self::warn_of_foreign_placeholder`], for a placeholder within other text.
    pub(super) fn warn_of_foreign_placeholder_within(&self, at: Span, text: &str) {
        if let Some(name) = foreign_placeholder_within(text) {
            self.warn_of_foreign(at, name);
        }
    }

    fn warn_of_foreign(&self, at: Span, name: &str) {
        let own = own_placeholder(name);
        self.warn(at, FOREIGN, format!("it is taken as it stands; write {own} for the variable"));
    }

    /// Returns the resolved text of a scalar that is not a secret; an unset variable is an error.
    pub(super) fn text(&self, at: Span, text: &str) -> Option<String> {
        if !text.contains("${") {
            return Some(text.to_owned());
        }
        match self.resolve(at, text) {
            Resolved::Text(text) => Some(text),
            Resolved::Failed => None,
            Resolved::Missing(missing) => {
                self.report_missing(missing);
                None
            }
        }
    }

    pub(super) fn report_missing(&self, missing: Vec<Missing>) {
        for Missing { at, message, help, .. } in missing {
            self.fail(Code::Unset, at, message, "needed here", help);
        }
    }

    /// Returns a secret, which messages will not show. With `may_be_unset` its variable may be unset; a literal
    /// secret is a warning.
    pub(super) fn secret(&self, at: Span, text: &SecretText, may_be_unset: bool) -> Option<Secret> {
        let secret = self.password_of_address(at, text, may_be_unset)?;
        if let Ok(value) = secret.expose() {
            self.redact(|redactor| redactor.add(value));
        }
        Some(secret)
    }

    /// As [`Self::secret`], for the password of an address, which decides what of it may be shown.
    pub(super) fn password_of_address(
        &self,
        at: Span,
        SecretText(text): &SecretText,
        may_be_unset: bool,
    ) -> Option<Secret> {
        if self.refuse_foreign_placeholder(at, text) {
            return None;
        }
        let value = match self.resolve(at, text) {
            Resolved::Text(text) => Ok(SecretString::from(text)),
            Resolved::Failed => return None,
            Resolved::Missing(missing) if may_be_unset => Err(unset(&missing)),
            Resolved::Missing(missing) => {
                self.report_missing(missing);
                return None;
            }
        };
        let placeholder = placeholder(text);
        if placeholder == LITERAL {
            self.warn(at, "a secret stands in the file itself", KEEP_OUT);
        } else if placeholder.contains("***") {
            self.default_of_secret(at);
        }
        Some(Secret::new(placeholder, value, self.at(at)))
    }
}

/// Converts missing placeholders for an endpoint or a secret.
pub(super) fn unset(missing: &[Missing]) -> Unset {
    Unset { names: missing.iter().map(|missing| missing.name.clone()).collect() }
}

/// Represents a literal secret.
const LITERAL: &str = "literal";

/// Returns the text of a secret as it may be shown and digested.
pub(super) fn placeholder(text: &str) -> String {
    let pieces = pieces(text);
    let is_literal = |piece: &Piece<'_>| matches!(piece, Piece::Literal(_) | Piece::Wrong { .. });
    if pieces.iter().all(is_literal) {
        return LITERAL.to_owned();
    }
    let shown = pieces.iter().map(|piece| match piece {
        Piece::Literal(_) | Piece::Wrong { .. } => "***".to_owned(),
        Piece::Variable { name, default: Some(_), .. } => format!("${{{name}:-***}}"),
        Piece::Variable { written, .. } | Piece::File { written, .. } => (*written).to_owned(),
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scalar_splits_into_literals_and_placeholders() {
        let split = pieces("a${B}c${D:-e f}$${G}${file:/h}");
        assert_eq!(
            split,
            [
                Piece::Literal("a"),
                Piece::Variable { name: "B", default: None, written: "${B}" },
                Piece::Literal("c"),
                Piece::Variable { name: "D", default: Some("e f"), written: "${D:-e f}" },
                Piece::Literal(""),
                Piece::Literal("${"),
                Piece::Literal("G}"),
                Piece::File { path: "/h", written: "${file:/h}" },
            ]
        );
    }

    #[test]
    fn placeholders_of_other_tools_are_found_among_other_text() {
        for text in [
            "x$DB_PASSWORD",
            "$db_password:6379",
            "Bearer $token",
            "a{{ .Values.password }}b",
            "x%DB_PASSWORD%",
            "%PASSWORD%x",
            "$PW$OTHER",
        ] {
            assert!(foreign_placeholder_within(text).is_some(), "{text}");
        }
        for text in
            ["pa$$w0rd", "abc$def-ghi", "a%20b%2Fc", "%C3%A9%C3", "%AB1%CD", "US$ 100", "{a}}", "5$AB"]
        {
            assert_eq!(foreign_placeholder_within(text), None, "{text}");
        }
        assert_eq!(own_placeholder(".Values.password"), "`${NAME}`");
        assert_eq!(own_placeholder("$db"), "`${db}`");
    }

    #[test]
    fn a_secret_is_shown_by_its_placeholder_only() {
        assert_eq!(placeholder("hunter2"), "literal");
        assert_eq!(placeholder("${A}"), "${A}");
        assert_eq!(placeholder("x${A:-y}"), "***${A:-***}");
    }
}
