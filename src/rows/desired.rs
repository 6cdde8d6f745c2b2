//! The desired rows of seeds, ontologies and accounts. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Asked, RowSet, Scope};
use crate::address::Kind;
use crate::catalog::TableName;
use crate::packed::Rows;
use crate::stack::{self, Ontology, Seed, SeedMode, Terms, User};

#[derive(Debug, Clone)]
pub struct Desired {
    /// Seeds, including disabled ones, and ontologies.
    pub(crate) sets: Vec<RowSet>,
    pub(super) accounts: Option<stack::Accounts>,
    pub(super) users: BTreeMap<String, User>,
}

impl Desired {
    pub fn new(system: &stack::System) -> Self {
        let stack::System { accounts, users, terms, ontologies, seeds, .. } = system;
        let ontologies = ontologies.iter().map(|(name, ontology)| terms_of(name, ontology, terms));
        let seeds = seeds.iter().map(|(name, seed)| rows_of(name, seed));
        Self { sets: ontologies.chain(seeds).collect(), accounts: accounts.clone(), users: users.clone() }
    }

    /// Whether any row is written to the table.
    pub(crate) fn writes_to(&self, table: &TableName) -> bool {
        let accounts = self.accounts.as_ref().filter(|_| !self.users.is_empty());
        self.sets.iter().any(|set| set.table == *table)
            || accounts.is_some_and(|accounts| TableName::parse(&accounts.table) == *table)
    }
}

fn rows_of(name: &str, seed: &Seed) -> RowSet {
    let Seed { on, when, table, key, columns, rows, mode, lines, at } = seed;
    let asked: Vec<_> = columns.iter().map(|name| Asked { name: name.clone(), list: false }).collect();
    let address = Kind::Seed.named(name);
    let (rows, when) = (Arc::clone(rows), when.clone());
    let mut set = RowSet::new(address, table, key, &asked, rows, *mode, (*on, when), None, at.clone());
    set.lines = lines.clone();
    set
}

fn terms_of(name: &str, ontology: &Ontology, terms: &Terms) -> RowSet {
    let plain = |name: &String| Asked { name: name.clone(), list: false };
    let list = |name: &String| Asked { name: name.clone(), list: true };
    let mut columns = vec![plain(&terms.ontology), plain(&terms.term)];
    columns.extend(terms.definition.as_ref().map(plain));
    columns.extend(terms.synonyms.as_ref().map(list));
    columns.extend(terms.expression.as_ref().map(plain));
    columns.extend(terms.tables.as_ref().map(list));
    let mut rows = Rows::new(columns.len());
    for term in &ontology.terms {
        let [synonyms, tables] =
            [&term.synonyms, &term.tables].map(|items| serde_json::Value::from(items.as_slice()).to_string());
        let mut row = vec![Some(name), Some(&*term.term)];
        row.extend(terms.definition.as_ref().map(|_| Some(&*term.definition)));
        row.extend(terms.synonyms.as_ref().map(|_| Some(&*synonyms)));
        row.extend(terms.expression.as_ref().map(|_| term.expression.as_deref()));
        row.extend(terms.tables.as_ref().map(|_| Some(&*tables)));
        rows.push(row);
    }
    let key = [terms.ontology.clone(), terms.term.clone()];
    let scope = Scope { column: terms.ontology.clone(), value: name.to_owned() };
    RowSet::new(
        Kind::Ontology.named(name),
        &terms.table,
        &key,
        &columns,
        Arc::new(rows),
        SeedMode::Mirror,
        (true, None),
        Some(scope),
        ontology.at.clone(),
    )
}
