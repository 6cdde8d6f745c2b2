//! What the spec says of one target. Pure.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::catalog::{Snapshot, TableName};
use crate::location::Location;
use crate::stack::{Endpoint, Target, TargetUrl};

/// One of `targets:`, ready to be observed and compared.
#[derive(Debug, Clone)]
pub struct Desired {
    pub name: String,
    pub endpoint: Endpoint<TargetUrl>,
    /// Columns by table that must be there.
    pub require: BTreeMap<String, Vec<String>>,
    /// Whether a credential that could write is a failure.
    pub require_read_only: bool,
    pub at: Location,
    include: GlobSet,
    exclude: GlobSet,
}

impl Desired {
    /// What a spec says of a target.
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

    /// Where it is, for people: the path of a file.
    pub fn place(&self) -> String {
        match &self.endpoint.to {
            Ok(TargetUrl::Sqlite(path)) => path.display().to_string(),
            Err(_) => self.endpoint.written.clone(),
        }
    }

    /// Whether a table is to be known: `include` names it and `exclude` does not. A glob may name it
    /// with its schema or without.
    pub fn shows(&self, table: &TableName) -> bool {
        let (full, name) = (table.to_string(), table.name.as_str());
        let named = |globs: &GlobSet| globs.is_match(&full) || globs.is_match(name);
        named(&self.include) && !named(&self.exclude)
    }
}

/// The tables of a snapshot that `include` and `exclude` leave.
pub fn filtered(desired: &Desired, snapshot: &Snapshot) -> Snapshot {
    let Snapshot { version, postgres, tables } = snapshot;
    let shown = tables.iter().filter(|(name, _)| desired.shows(name));
    Snapshot {
        version: *version,
        postgres: *postgres,
        tables: shown.map(|(name, table)| (name.clone(), table.clone())).collect(),
    }
}

/// A pattern that is no glob stands for itself; the spec has refused it before.
fn globs(patterns: &[String]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if let Ok(glob) = Glob::new(pattern).or_else(|_| Glob::new(&globset::escape(pattern))) {
            set.add(glob);
        }
    }
    set.build().unwrap_or_else(|_| GlobSet::empty())
}
