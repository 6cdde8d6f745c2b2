//! Where rows were put: what the inventory keeps of them to find them again. Packed, because a look holds
//! the places of all rows until their tables were asked. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::catalog::TableName;
use crate::digest::Fingerprint;
use crate::packed::Rows;

/// Where a row was put, as the inventory keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub table: TableName,
    /// The columns that identify the row, and their values.
    pub key: BTreeMap<String, Option<String>>,
}

impl Place {
    /// Reads what [`Self::written`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Compact JSON with sorted keys.
    pub fn written(&self) -> String {
        let Self { table, key } = self;
        serde_json::json!({ "key": key, "table": table }).to_string()
    }
}

/// A table, and the columns that identify rows of it, sorted.
pub type Group = (TableName, Vec<String>);

/// The places of rows by the address that they were put there for.
#[derive(Debug, Clone, Default)]
pub struct Places(pub BTreeMap<Address, BTreeMap<Group, Placed>>);

/// Rows of one table.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// The fingerprint of each key.
    pub prints: Vec<Fingerprint>,
    /// The values of each key.
    pub keys: Rows,
}

impl Places {
    /// Adds a place. What is no place of a row is left out.
    pub fn push(&mut self, address: &Address, place: &str, print: Fingerprint) {
        let Some(Place { table, key }) = Place::parse(place) else { return };
        let (columns, values): (Vec<String>, Vec<Option<String>>) = key.into_iter().unzip();
        let width = columns.len();
        let groups = self.0.entry(address.clone()).or_default();
        let placed = groups
            .entry((table, columns))
            .or_insert_with(|| Placed { prints: Vec::new(), keys: Rows::new(width) });
        placed.prints.push(print);
        placed.keys.push(values.iter().map(Option::as_deref));
    }
}
