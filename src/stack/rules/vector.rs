//! The vector store and the sources of its documents.

use std::collections::BTreeSet;

use super::address::{Address, map, wrong_scheme};
use super::connection;
use super::embedder::embedder_of;
use super::values::{check_range, distinct, plain_key, read_each, report_unsupported, required};
use crate::stack::context::Context;
use crate::stack::error::Code;
use crate::stack::files::{self, FileRef};
use crate::stack::raw::{Collection as Raw, From, Layout, Vector as RawVector};
use crate::stack::typed::field::{Field, Key, Opt};
use crate::stack::yaml::tree::Span;
use crate::stack::{Collection, Contact, Endpoint, Vector, VectorUrl};
use crate::suggest::declared;

const ACCEPTED: &str = "`http://host:8000` of Chroma, `https://…`, `sqlite:///absolute/path`, `sqlite://path` relative to this file";
/// Each generation is a full copy of a collection, and every plan lists all of them.
const MOST_GENERATIONS: u32 = 100;

/// Returns the vector store; `None` if it is invalid.
pub(super) fn vector(
    cx: &Context<'_>,
    raw: &RawVector,
    at: Span,
    targets: &[&str],
    ontologies: &[&str],
) -> Option<Vector> {
    let RawVector {
        url: _,
        connection: _,
        tenant,
        database,
        token,
        auth,
        prefix,
        embedder,
        layout,
        collections,
        keep_generations,
        checks,
        protect: _,
    } = raw;
    if let Some(at) = checks.at() {
        report_unsupported(cx, at, "`checks`", "remove it, and try questions by hand");
    }
    if let Some((Layout::Vanna, at)) = layout.located() {
        report_unsupported(cx, at, "the layout `vanna`", "write `layout: native`, or remove it");
    }
    let endpoint = endpoint(cx, raw, at);
    if let Some(Endpoint { to: Ok(VectorUrl::Sqlite(_)), .. }) = &endpoint {
        let places = [
            ("tenant", tenant.at()),
            ("database", database.at()),
            ("token", token.at()),
            ("auth", auth.at()),
        ];
        for (key, at) in places.into_iter().filter_map(|(key, at)| Some((key, at?))) {
            let message = format!("`{key}` is for Chroma, and this vector store is a file");
            cx.fail(Code::NotForThisKind, at, message, "not for this store", "remove it, or use `http://…`");
        }
    }
    let is_chroma = matches!(&endpoint, Some(Endpoint { to: Ok(VectorUrl::Chroma(_)), .. }));
    let token = match token.field() {
        None => Some(None),
        Some(Field { value: None, .. }) => None,
        Some(Field { at, value: Some(token) }) => {
            cx.secret(*at, token, cx.contact == Contact::Offline).map(Some)
        }
    };
    if let (Some(at), None) = (auth.at(), raw.token.at()) {
        cx.fail(
            Code::MissingKey,
            at,
            "`auth` without a `token`",
            "nothing to send",
            "add `token: ${CHROMA_TOKEN}`",
        );
    }
    let embedder = embedder_of(cx, embedder);
    check_range(cx, keep_generations, &(0..=MOST_GENERATIONS));
    if let Some((written, at)) = prefix.located() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !written.chars().all(is_part) {
            let help = "a prefix has letters, digits, `_`, `-` and `.`";
            cx.fail(Code::BadName, at, "not a prefix of names", "this prefix", help);
        }
    }
    let collections = read_each(collections.entries(), |key, field| {
        plain_key(cx, "collection", key);
        if is_chroma {
            stored_name(cx, prefix, key);
        }
        collection(cx, key, field.value.as_ref()?, targets, ontologies)
    });
    Some(Vector {
        endpoint: endpoint?,
        tenant: tenant.or("default_tenant".to_owned()),
        database: database.or("default_database".to_owned()),
        token: token?,
        auth: auth.value().copied(),
        prefix: prefix.or(String::new()),
        embedder: embedder?,
        collections: collections?,
    })
}

/// Rejects a name that Chroma does not accept, with the prefix applied.
fn stored_name(cx: &Context<'_>, prefix: &Opt<String>, key: &Key) {
    let prefix = prefix.or(String::new());
    let stored = format!("{prefix}{}", key.name);
    if let Err(rule) = chroma_takes(&stored) {
        let what = if prefix.is_empty() { stored.clone() } else { format!("{stored}, with its prefix,") };
        let help = format!("in Chroma {rule}");
        cx.fail(Code::BadName, key.at, format!("Chroma takes no collection named {what}"), "this name", help);
    }
}

/// Returns the naming rule of Chroma that a name violates.
fn chroma_takes(name: &str) -> Result<(), &'static str> {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if !(3..=512).contains(&name.len()) {
        Err("the name of a collection has 3 to 512 characters")
    } else if !(is_end(name.chars().next()) && is_end(name.chars().next_back())) {
        Err("the name of a collection begins and ends with a letter or a digit")
    } else if name.contains("..") {
        Err("the name of a collection has no two dots in a row")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        Err("the name of a collection has letters, digits, `.`, `_` and `-`")
    } else if name.parse::<std::net::Ipv4Addr>().is_ok() {
        Err("the name of a collection is no IPv4 address")
    } else {
        Ok(())
    }
}

fn endpoint(cx: &Context<'_>, raw: &RawVector, at: Span) -> Option<Endpoint<VectorUrl>> {
    let url = connection::written(&raw.url)?;
    let (address, written, at) =
        connection::endpoint(cx, url, &raw.connection, "the address of the vector store", at, ACCEPTED)?;
    map(address, |to| match to {
        Address::Sqlite(path) => Some(VectorUrl::Sqlite(path)),
        Address::Server(url) => match url.expose().scheme() {
            "http" | "https" => Some(VectorUrl::Chroma(url)),
            "postgres" | "postgresql" => {
                report_unsupported(cx, at, "a vector store in PostgreSQL", &format!("accepted: {ACCEPTED}"));
                None
            }
            _ => {
                wrong_scheme(cx, at, written, ACCEPTED);
                None
            }
        },
    })
}

fn collection(
    cx: &Context<'_>,
    key: &Key,
    raw: &Raw,
    targets: &[&str],
    ontologies: &[&str],
) -> Option<Collection> {
    let Raw { from, terms, protect: _ } = raw;
    let (from, from_at) = required(cx, from, "from", key.at, "where its documents come from")?;
    let From { schema, ontologies: from_ontologies, files: from_files, examples: from_examples } = from;
    let empty =
        [schema, from_ontologies, from_files, from_examples].iter().all(|source| source.at().is_none());
    if empty {
        let help = "add `schema`, `ontologies`, `files` or `examples`";
        cx.fail(Code::MissingKey, from_at, "a collection from nothing", "no source", help);
    }
    let schema_names = references(cx, schema, "target", targets);
    let terms_names = references(cx, terms, "ontology", ontologies);
    let ontology_names = references(cx, from_ontologies, "ontology", ontologies);
    if let Some(at) = terms.at()
        && schema.at().is_none()
    {
        let help = "terms join the documents of tables: add `from.schema`, or name them in `from.ontologies`";
        cx.fail(Code::BadValue, at, "`terms` without tables to join", "nothing to join", help);
    }
    let label = |kind: &str| format!("collection/{}/{kind}", key.name);
    let mut files_read = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, at) in from_files.texts() {
        let named = files::prose(cx, FileRef { path, at, label: &label("files") });
        files_read.extend(named.into_iter().flatten().filter(|file| seen.insert(file.name.clone())));
    }
    let mut examples = Vec::new();
    for (path, at) in from_examples.texts() {
        let label = format!("{}/{path}", label("examples"));
        examples
            .extend(files::examples(cx, FileRef { path, at, label: &label }, targets).into_iter().flatten());
    }
    Some(Collection {
        schema: schema_names,
        terms: terms_names,
        ontologies: ontology_names,
        files: files_read,
        names_files: from_files.0.is_some(),
        examples,
        names_examples: from_examples.0.is_some(),
        at: cx.at(key.at),
    })
}

fn references(cx: &Context<'_>, field: &Opt<Vec<Field<String>>>, what: &str, known: &[&str]) -> Vec<String> {
    for (name, at) in field.texts() {
        if !known.contains(&name) {
            let help = declared(name, known.iter().copied());
            cx.fail(Code::UnknownReference, at, format!("no {what} is named `{name}`"), "not declared", help);
        }
    }
    distinct(cx, field, &format!("the {what}"))
}
