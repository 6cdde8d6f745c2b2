//! The rules of `vector.embedder`: each kind has its own keys.

use super::values::{check_range, report_unsupported, required};
use crate::stack::Embedder;
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::raw::{Embedder as Raw, EmbedderKind};
use crate::stack::typed::field::{Field, Opt};

/// The default of `hashing`.
const DIMENSIONS: u32 = 384;

/// Returns the embedder; `None` if it is invalid.
pub(super) fn embedder_of(cx: &Context<'_>, embedder: &Opt<Raw>) -> Option<Embedder> {
    let Some(Field { at, value }) = embedder.field() else { return Some(Embedder::Static) };
    let raw = value.as_ref()?;
    let kinds = "`static`, `minilm`, `bert`, `hashing` or `http`";
    let (kind, kind_at) = required(cx, &raw.kind, "kind", *at, kinds)?;
    let unsupported = |name: &str| {
        let help = "write `embedder: { kind: static }`, or remove it";
        report_unsupported(cx, kind_at, &format!("the embedder `{name}`"), help);
        None
    };
    match kind {
        EmbedderKind::Static => {
            if let Some(at) = raw.path.at() {
                let help = "remove it: the built-in table is used";
                report_unsupported(cx, at, "a folder of token vectors", help);
                return None;
            }
            takes_only(cx, raw, "static", &["path"]);
            Some(Embedder::Static)
        }
        EmbedderKind::Minilm => unsupported("minilm"),
        EmbedderKind::Bert => unsupported("bert"),
        EmbedderKind::Http => unsupported("http"),
        EmbedderKind::Hashing => {
            takes_only(cx, raw, "hashing", &["dimensions"]);
            check_range(cx, &raw.dimensions, &(8..=8192));
            let dimensions = usize::try_from(raw.dimensions.or(DIMENSIONS)).ok()?;
            Some(Embedder::Hashing { dimensions })
        }
    }
}

/// Rejects the keys of other kinds.
fn takes_only(cx: &Context<'_>, raw: &Raw, kind: &str, own: &[&str]) {
    let Raw { kind: _, path, url, model, dimensions, token, query_prefix, document_prefix, price, cache } =
        raw;
    let keys = [
        ("path", path.at()),
        ("url", url.at()),
        ("model", model.at()),
        ("dimensions", dimensions.at()),
        ("token", token.at()),
        ("query_prefix", query_prefix.at()),
        ("document_prefix", document_prefix.at()),
        ("price", price.at()),
        ("cache", cache.at()),
    ];
    let foreign = keys.into_iter().filter(|(key, _)| !own.contains(key));
    for (key, at) in foreign.filter_map(|(key, at)| Some((key, at?))) {
        let message = format!("`{key}` is for another kind of embedder");
        let help = format!(
            "`{kind}` takes {} only",
            own.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        );
        cx.fail(Code::NotForThisKind, at, message, format!("not for `{kind}`"), help);
    }
}
