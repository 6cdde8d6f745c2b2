//! Collects the tables, types and other objects that the texts of migrations name. Pure.

use std::collections::BTreeSet;

use crate::catalog::TableName;

/// The names in the texts of migrations.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// All words, in lower case.
    pub(crate) words: BTreeSet<String>,
    /// Names of types, functions, schemas and similar objects that they create, change or drop. A statement
    /// about one of these changes tables that it does not name.
    pub(crate) objects: BTreeSet<String>,
    /// Whether SQL is built at run time, so that the text does not show it.
    pub(crate) is_dynamic: bool,
    /// Whether anything is dropped: CASCADE may drop tables that are not named.
    pub(crate) drops: bool,
    /// The texts themselves in lower case, for names that are not one word.
    text: String,
}

impl Texts {
    pub(crate) fn parse<'s>(sources: impl IntoIterator<Item = &'s str>) -> Self {
        const KINDS: [&str; 9] = [
            "type",
            "domain",
            "function",
            "procedure",
            "aggregate",
            "schema",
            "extension",
            "sequence",
            "collation",
        ];
        let mut texts = Self::default();
        for source in sources {
            let lower = source.to_lowercase();
            let all: Vec<&str> = identifiers(&lower).collect();
            for (at, pair) in all.windows(2).enumerate() {
                let [verb, kind] = pair else { continue };
                texts.is_dynamic |= *verb == "execute" && !matches!(*kind, "function" | "procedure" | "on");
                if matches!(*verb, "create" | "alter" | "drop" | "replace") && KINDS.contains(kind) {
                    let behind = all.iter().skip(at + 2);
                    let mut names = behind.skip_while(|word| matches!(**word, "if" | "not" | "exists"));
                    // The second word is the name where the first is a schema.
                    texts.objects.extend(names.by_ref().take(2).map(|word| (*word).to_owned()));
                }
            }
            texts.words.extend(all.into_iter().map(str::to_owned));
            texts.text.push_str(&lower);
            texts.text.push('\n');
        }
        texts.drops = texts.words.contains("drop");
        texts
    }

    /// Whether the texts mention a table or its schema.
    pub(crate) fn mention(&self, table: &TableName) -> bool {
        self.has_name(&table.name) || table.schema.as_ref().is_some_and(|schema| self.has_name(schema))
    }

    /// Whether a statement that mentions a table or its schema may change rows of it.
    pub(crate) fn may_change_rows(&self, table: &TableName) -> bool {
        const VERBS: [&str; 15] = [
            "drop", "rename", "set", "type", "update", "insert", "delete", "truncate", "merge", "copy",
            "select", "call", "replace", "load", "perform",
        ];
        let name = table.name.to_lowercase();
        let schema = table.schema.as_ref().map(|schema| schema.to_lowercase());
        let is_named = |part: &str| {
            let names = |name: &str| identifiers(part).any(|word| word == name) || has_quoted(part, name);
            names(&name) || schema.as_deref().is_some_and(names)
        };
        let changes = |part: &&str| identifiers(part).any(|word| VERBS.contains(&word));
        self.text.split(';').filter(changes).any(is_named)
    }

    /// Whether a name of any object stands in them.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        self.words.contains(&name) || has_quoted(&self.text, &name)
    }

    /// Whether they create, change or drop an object that `text` names, such as the type of a
    /// column.
    pub(crate) fn change_any_of(&self, text: &str) -> bool {
        contains_any(&self.objects, text)
    }
}

/// Whether a text contains any of the words.
pub(crate) fn contains_any(words: &BTreeSet<String>, text: &str) -> bool {
    // Keywords of expressions, which refer to no object.
    const COMMON: [&str; 12] =
        ["check", "in", "and", "or", "not", "null", "is", "any", "array", "text", "true", "false"];
    let lower = text.to_lowercase();
    identifiers(&lower).any(|word| !COMMON.contains(&word) && words.contains(word))
}

/// Whether a name stands in a text as a quoted identifier, such as `"a b"`; both in lower case. Names that are
/// one word are found among the words.
pub(crate) fn has_quoted(text: &str, name: &str) -> bool {
    let is_word = identifiers(name).next() == Some(name);
    let quoted = || {
        [
            format!("\"{}\"", name.replace('"', "\"\"")),
            format!("`{}`", name.replace('`', "``")),
            format!("[{name}]"),
        ]
    };
    !is_word && !name.is_empty() && quoted().iter().any(|quoted| text.contains(quoted))
}

/// Splits a text in lower case into possible names.
fn identifiers(lower: &str) -> impl Iterator<Item = &str> {
    lower.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|word| !word.is_empty())
}
