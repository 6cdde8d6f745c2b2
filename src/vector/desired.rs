//! The desired content of a store: a pure function of the stack and the schemas of its targets. Without the
//! schema of a target its collections are unknown. A disabled target has no documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::documents::{Author, Document, Source};
use super::owner::Claimant;
use crate::catalog::Snapshot;
use crate::embed::Embedder;
use crate::location::Location;
use crate::stack::{self, Ontology, Stack, Term};

/// The schema of an enabled target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// Observed, and filtered by the target's `include` and `exclude`.
    Known(Snapshot),
    /// Not observed, with the reason.
    Unknown(String),
}

#[derive(Debug, Clone)]
pub struct Desired {
    /// The mark for documents and collections.
    pub claimant: Claimant,
    /// Precedes the name of every collection in the store.
    pub prefix: String,
    pub embedder: Embedder,
    /// By name.
    pub collections: BTreeMap<String, Collection>,
}

#[derive(Debug, Clone)]
pub struct Collection {
    /// By id.
    pub documents: BTreeMap<String, Document>,
    /// Enabled sources that yield no document, as they are named in metadata.
    pub empty: BTreeSet<String>,
    /// Whether the spec has `from.files` and nothing matches.
    pub files_are_empty: bool,
    /// Required targets with a known schema.
    pub targets: BTreeSet<String>,
    /// Required targets with an unknown schema, with the reason.
    pub unknown: BTreeMap<String, String>,
    /// Ids that more than one source generates.
    pub collisions: BTreeSet<String>,
    pub at: Location,
}

impl Desired {
    /// Generates the documents, given the schemas of the enabled targets; `None` without `vector:`.
    pub fn new(stack: &Stack, schemas: &BTreeMap<String, Schema>, claimant: Claimant) -> Option<Self> {
        let vector = stack.vector.as_ref()?;
        let embedder = Embedder::from(&vector.embedder);
        let identity = embedder.identity();
        let author = Author { stack: &stack.name, embedder: &identity };
        let ontologies = &stack.system.ontologies;
        let collections = vector
            .collections
            .iter()
            .map(|(name, spec)| (name.clone(), collection(spec, stack, ontologies, schemas, &author)))
            .collect();
        Some(Self { claimant, prefix: vector.prefix.clone(), embedder, collections })
    }

    /// The name in the store of a collection of the spec.
    pub(super) fn stored(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn collection(
    spec: &stack::Collection,
    stack: &Stack,
    ontologies: &BTreeMap<String, Ontology>,
    schemas: &BTreeMap<String, Schema>,
    author: &Author<'_>,
) -> Collection {
    let stack::Collection {
        schema,
        terms,
        ontologies: described,
        files,
        names_files,
        examples,
        names_examples,
        at,
    } = spec;
    let mut wanted = Collection {
        documents: BTreeMap::new(),
        empty: BTreeSet::new(),
        files_are_empty: *names_files && files.is_empty(),
        targets: BTreeSet::new(),
        unknown: BTreeMap::new(),
        collisions: BTreeSet::new(),
        at: at.clone(),
    };

    let speaking =
        Speaking::new(terms.iter().filter_map(|name| Some((name.as_str(), ontologies.get(name)?))));
    let on = schema.iter().filter(|name| stack.targets.get(*name).is_some_and(|target| target.on));
    for name in on {
        match schemas.get(name) {
            Some(Schema::Known(snapshot)) => {
                wanted.targets.insert(name.clone());
                let tables = snapshot.tables.iter();
                let documents = tables.flat_map(|(table, shape)| {
                    author.table(name, table, shape, &speaking.of(&table.to_string()))
                });
                wanted.add(&Source::Target(name.clone()), documents);
            }
            Some(Schema::Unknown(why)) => {
                wanted.unknown.insert(name.clone(), why.clone());
            }
            None => {
                wanted.unknown.insert(name.clone(), "not observed".to_owned());
            }
        }
    }
    for name in described {
        if let Some(Ontology { terms, at: _ }) = ontologies.get(name) {
            let documents = terms.iter().flat_map(|term| author.term(name, term));
            wanted.add(&Source::Ontology(name.clone()), documents);
        }
    }
    for file in files {
        wanted.add(&Source::File(file.name.clone()), author.file(file));
    }
    if *names_examples {
        wanted.add(&Source::Examples, examples.iter().flat_map(|example| author.example(example)));
    }
    wanted
}

impl Collection {
    fn add(&mut self, source: &Source, documents: impl IntoIterator<Item = Document>) {
        let mut yields = false;
        for document in documents {
            yields = true;
            if let Some(other) = self.documents.insert(document.id.clone(), document) {
                self.collisions.insert(other.id);
            }
        }
        if !yields {
            self.empty.insert(source.to_string());
        }
    }

    /// Whether a source, as named in metadata, is in the spec but yields no document.
    pub(super) fn is_empty_source(&self, source: &str) -> bool {
        self.empty.contains(source) || (self.files_are_empty && source.starts_with("file:"))
    }
}

/// The terms of ontologies by the tables that they mention, in lower case.
struct Speaking<'a>(HashMap<String, BTreeMap<(&'a str, &'a str), &'a Term>>);

impl<'a> Speaking<'a> {
    fn new(ontologies: impl Iterator<Item = (&'a str, &'a Ontology)>) -> Self {
        let mut by_table: HashMap<String, BTreeMap<_, _>> = HashMap::new();
        for (ontology, Ontology { terms, at: _ }) in ontologies {
            for term in terms {
                for place in &term.tables {
                    let place = place.to_lowercase();
                    let place = ["public.", "main."]
                        .iter()
                        .find_map(|schema| place.strip_prefix(schema))
                        .unwrap_or(&place);
                    // `a.b` is table b of schema a, or column b of table a.
                    let table = place.rsplit_once('.').map(|(table, _)| table);
                    for table in [Some(place), table].into_iter().flatten() {
                        let key = (ontology, term.term.as_str());
                        by_table.entry(table.to_owned()).or_default().insert(key, term);
                    }
                }
            }
        }
        Self(by_table)
    }

    /// The terms that mention a table, sorted by ontology and name.
    fn of(&self, table: &str) -> Vec<&'a Term> {
        self.0.get(&table.to_lowercase()).map(|terms| terms.values().copied().collect()).unwrap_or_default()
    }
}
