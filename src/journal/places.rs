//! The locations of owned rows, as the inventory has them. They are packed, because observing keeps those
//! of all rows in memory until their tables were queried. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::catalog::TableName;
use crate::digest::Fingerprint;
use crate::packed::Rows;

/// The table and key of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub table: TableName,
    /// The values of the columns that identify the row.
    pub key: BTreeMap<String, Option<String>>,
}

impl Place {
    /// Parses the output of [`Self::written`].
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Compact JSON with sorted keys.
    pub fn written(&self) -> String {
        let Self { table, key } = self;
        serde_json::json!({ "key": key, "table": table }).to_string()
    }
}

/// A table, and the sorted columns that identify its rows.
pub type Group = (TableName, Vec<String>);

/// The locations of rows by owner.
#[derive(Debug, Clone, Default)]
pub struct RowLocations(pub BTreeMap<Address, BTreeMap<Group, LocatedRows>>);

/// The keys of owned rows in one table.
#[derive(Debug, Clone, Default)]
pub struct LocatedRows {
    pub prints: Vec<Fingerprint>,
    pub keys: Rows,
}

impl RowLocations {
    /// Adds a location. Text that is not the location of a row is ignored.
    pub fn push(&mut self, address: &Address, place: &str, print: Fingerprint) {
        let Some(Place { table, key }) = Place::parse(place) else { return };
        let (columns, values): (Vec<String>, Vec<Option<String>>) = key.into_iter().unzip();
        let width = columns.len();
        let groups = self.0.entry(address.clone()).or_default();
        let placed = groups
            .entry((table, columns))
            .or_insert_with(|| LocatedRows { prints: Vec::new(), keys: Rows::new(width) });
        placed.prints.push(print);
        placed.keys.push(values.iter().map(Option::as_deref));
    }
}
