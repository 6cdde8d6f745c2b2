//! The desired state of one target. Pure.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::catalog::{Snapshot, TableName};
use crate::location::Location;
use crate::stack::{Endpoint, Target, TargetUrl};

/// An entry of `targets:`.
#[derive(Debug, Clone)]
pub struct Desired {
    pub name: String,
    pub endpoint: Endpoint<TargetUrl>,
    /// The columns that must exist, by table.
    pub require: BTreeMap<String, Vec<String>>,
    /// Whether write access is a failed check.
    pub require_read_only: bool,
    pub at: Location,
    include: GlobSet,
    exclude: GlobSet,
}

impl Desired {
    pub fn new(name: &str, target: &Target) -> Self {
        let Target { on: _, when: _, endpoint, include, exclude, require, require_read_only, at } = target;
        Self {
            name: name.to_owned(),
            endpoint: endpoint.clone(),
            require: require.clone(),
            require_read_only: *require_read_only,
            at: at.clone(),
            include: globs(include),
            exclude: globs(exclude),
        }
    }

    /// The path of the file, for display.
    pub fn place(&self) -> String {
        match &self.endpoint.to {
            Ok(TargetUrl::Sqlite(path)) => path.display().to_string(),
            Err(_) => self.endpoint.written.clone(),
        }
    }

    /// Whether a table is visible: `include` matches it and `exclude` does not. Globs match with or
    /// without the schema.
    pub fn shows(&self, table: &TableName) -> bool {
        let (full, name) = (table.to_string(), table.name.as_str());
        let named = |globs: &GlobSet| globs.is_match(&full) || globs.is_match(name);
        named(&self.include) && !named(&self.exclude)
    }
}

/// Removes the tables from a snapshot that are not visible.
pub fn filtered(desired: &Desired, snapshot: &Snapshot) -> Snapshot {
    let Snapshot { version, postgres, tables } = snapshot;
    let shown = tables.iter().filter(|(name, _)| desired.shows(name));
    Snapshot {
        version: *version,
        postgres: *postgres,
        tables: shown.map(|(name, table)| (name.clone(), table.clone())).collect(),
    }
}

/// The spec has rejected invalid globs, so they are ignored here.
fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if let Ok(glob) = Glob::new(pattern).or_else(|_| Glob::new(&globset::escape(pattern))) {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}
