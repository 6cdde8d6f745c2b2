//! Derives the stack that `destroy` applies: the same stores with nothing declared in them. Pure.

use super::{MigrationSets, SchemaDrift, Stack};
use crate::digest::Digest;

impl Stack {
    /// Returns a stack with the same stores, policies and protection, but without any declared
    /// object, so that existing objects become obsolete. Flags that enable the removed objects are
    /// off.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let mut stack = self.clone();
        for flag in ["enable_target_db", "auto_train_vector"] {
            stack.flags.0.insert(flag.to_owned(), false);
        }
        let system = &mut stack.system;
        system.create_database = false;
        system.extensions.clear();
        system.migrations = MigrationSets::default();
        system.schema_drift = SchemaDrift::Ignore;
        system.roles.clear();
        system.users.clear();
        system.ontologies.clear();
        system.seeds.clear();
        stack.targets.clear();
        if let Some(vector) = &mut stack.vector {
            vector.collections.clear();
        }
        if let Some(cache) = &mut stack.cache {
            cache.databases.clear();
            cache.config.clear();
            cache.namespaces.clear();
            cache.streams.clear();
        }
        stack.declared.clear();
        stack.moved.clear();
        stack.warnings.clear();
        stack.digest = Digest::of(format!("emptied {}", self.digest));
        stack
    }
}
