//! Reads an ontology file: business terms with their definitions. Every term and synonym has one
//! meaning.

use std::collections::HashMap;

use serde::Deserialize;

use super::{FileRef, collect_all, yaml};
use crate::stack::context::Context;
use crate::stack::error::{Code, SpecError};
use crate::stack::typed;
use crate::stack::typed::field::{self, Field, Key, Opt};
use crate::stack::yaml::tree::Span;
use crate::stack::{Ontology, Term};

/// The structure of the file.
#[derive(Deserialize)]
struct File {
    ontology: Opt<String>,
    terms: Opt<field::Named<RawTerm>>,
}

#[derive(Deserialize)]
struct RawTerm {
    definition: Opt<String>,
    synonyms: Opt<Vec<Field<String>>>,
    expression: Opt<String>,
    tables: Opt<Vec<Field<String>>>,
}

/// Reads the ontology with the given name and reports errors.
pub(in crate::stack) fn ontology(cx: &Context<'_>, named: FileRef<'_>, name: &Key) -> Option<Ontology> {
    let Some(root) = yaml(cx, named)? else {
        cx.fail(
            Code::Ontology,
            named.at,
            format!("{} is empty", named.path),
            "named here",
            "an ontology has `terms:`",
        );
        return None;
    };
    let File { ontology, terms } = typed::read(cx, &root)?;
    if let Some((said, at)) = ontology.located()
        && *said != name.name
    {
        let error = SpecError::new(
            Code::Ontology,
            format!("the file calls itself `{said}`, the spec `{}`", name.name),
        );
        let error = error.at(cx.at(at), "its own name").and(cx.at(name.at), "the spec's name");
        cx.report(error.help("use one name in both"));
    }
    let Some(terms) = terms.0 else {
        cx.fail(
            Code::MissingKey,
            root.at,
            "an ontology without `terms`",
            "the file begins here",
            "add `terms:`",
        );
        return None;
    };
    let terms = terms.value?.0;
    check_names(cx, &terms);
    let terms = collect_all(terms.into_iter().map(|(key, raw)| term(cx, key, raw)))?;
    Some(Ontology { terms, at: cx.at(named.at) })
}

fn term(cx: &Context<'_>, key: Key, raw: Field<RawTerm>) -> Option<Term> {
    let RawTerm { definition, synonyms, expression, tables } = raw.value?;
    let Some(definition) = definition.0 else {
        let message = format!("the term `{}` has no definition", key.name);
        cx.fail(Code::MissingKey, key.at, message, "this term", "add `definition:`");
        return None;
    };
    let texts = |list: Opt<Vec<Field<String>>>| match list.0 {
        None => Some(Vec::new()),
        Some(list) => list.value?.into_iter().map(|item| item.value).collect::<Option<Vec<String>>>(),
    };
    let text = |field: Opt<String>| match field.0 {
        None => Some(None),
        Some(field) => field.value.map(Some),
    };
    Some(Term {
        definition: definition.value?.trim().to_owned(),
        synonyms: texts(synonyms)?,
        expression: text(expression)?,
        tables: texts(tables)?,
        term: key.name,
    })
}

/// Rejects names that differ only in case or blanks, because users of the ontology could not
/// distinguish them.
fn check_names(cx: &Context<'_>, terms: &[(Key, Field<RawTerm>)]) {
    let meant = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let mut seen: HashMap<String, (Span, &str)> = HashMap::new();
    let clash = |name: &str, at: Span, owner: &str, what: &str, first: Option<(Span, &str)>| {
        let Some((first_at, first_owner)) = first else { return };
        let message = if owner == first_owner {
            format!("{what} `{name}` stands twice in the term `{owner}`")
        } else {
            format!("{what} `{name}` of the term `{owner}` is taken by the term `{first_owner}`")
        };
        let error = SpecError::new(Code::Ontology, message);
        let error = error.at(cx.at(at), "again here").and(cx.at(first_at), "first here");
        cx.report(error.help("every name leads to one term: keep one of them"));
    };
    for (key, _) in terms {
        let first = seen.insert(meant(&key.name), (key.at, &key.name));
        clash(&key.name, key.at, &key.name, "the name", first);
    }
    for (key, raw) in terms {
        let synonyms = raw.value.as_ref().and_then(|raw| raw.synonyms.value());
        for synonym in synonyms.into_iter().flatten() {
            let Some(text) = &synonym.value else { continue };
            let first = seen.insert(meant(text), (synonym.at, &key.name));
            clash(text, synonym.at, &key.name, "the synonym", first);
        }
    }
}
