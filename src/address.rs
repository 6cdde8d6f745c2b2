//! Addresses: the names of everything that a plan can change or check. One table defines for each kind how
//! its address is written, its order in a plan, and whether it can be renamed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name of one item that a plan can change or check, such as `system.user.admin`.
///
/// The format is part of the contract; see `docs/reference/addresses.md`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Address {
    // The text comes first, because addresses are sorted by it.
    text: String,
    kind: Kind,
}

/// A text that is not an address in this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address that this version of trueup knows")]
pub struct Unknown(pub String);

/// What an address names, in the order in which a plan executes changes that do not depend on each
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    System,
    Database,
    Bookkeeping,
    Extension,
    Defaults,
    Role,
    Migration,
    Repeatable,
    User,
    Ontology,
    Seed,
    Schema,
    Table,
    Index,
    Rehearsal,
    Target,
    TargetAccess,
    TargetContract,
    TargetSchema,
    Vector,
    RetrievalCheck,
    Collection,
    Documents,
    Cache,
    Acl,
    Config,
    Databases,
    Namespace,
    Stream,
    Flags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    System,
    Target,
    Vector,
    Cache,
    Flags,
}

/// The part of an address behind the prefix of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Nothing: there is one item of the kind.
    None,
    /// A name.
    Last,
    /// A name, or nothing for all items.
    Optional,
    /// A name and a fixed word.
    Before(&'static str),
}

/// Whether an item can be renamed in the spec (`moved`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moving {
    /// Only the bookkeeping has its name.
    Movable,
    /// A store has its name; the text says why it cannot be renamed there.
    Fixed(&'static str),
    /// The kind has no names in a spec.
    NotNamed,
}

impl Kind {
    pub const ALL: [Self; 30] = [
        Self::System,
        Self::Database,
        Self::Bookkeeping,
        Self::Extension,
        Self::Defaults,
        Self::Role,
        Self::Migration,
        Self::Repeatable,
        Self::User,
        Self::Ontology,
        Self::Seed,
        Self::Schema,
        Self::Table,
        Self::Index,
        Self::Rehearsal,
        Self::Target,
        Self::TargetAccess,
        Self::TargetContract,
        Self::TargetSchema,
        Self::Vector,
        Self::RetrievalCheck,
        Self::Collection,
        Self::Documents,
        Self::Cache,
        Self::Acl,
        Self::Config,
        Self::Databases,
        Self::Namespace,
        Self::Stream,
        Self::Flags,
    ];

    /// The prefix, and the format of the rest.
    const fn written(self) -> (&'static str, Name) {
        match self {
            Self::System => ("system", Name::None),
            Self::Database => ("system.database", Name::None),
            Self::Bookkeeping => ("system.bookkeeping", Name::None),
            Self::Extension => ("system.extension", Name::Last),
            Self::Defaults => ("system.defaults", Name::Last),
            Self::Role => ("system.role", Name::Last),
            Self::Migration => ("system.migration", Name::Last),
            Self::Repeatable => ("system.repeatable", Name::Last),
            Self::User => ("system.user", Name::Last),
            Self::Ontology => ("system.ontology", Name::Last),
            Self::Seed => ("system.seed", Name::Last),
            Self::Schema => ("system.schema", Name::None),
            Self::Table => ("system.table", Name::Last),
            Self::Index => ("system.index", Name::Last),
            Self::Rehearsal => ("system.rehearsal", Name::Optional),
            Self::Target => ("target", Name::Last),
            Self::TargetAccess => ("target", Name::Before("access")),
            Self::TargetContract => ("target", Name::Before("contract")),
            Self::TargetSchema => ("target", Name::Before("schema")),
            Self::Vector => ("vector", Name::None),
            Self::RetrievalCheck => ("vector.check", Name::Last),
            Self::Collection => ("vector.collection", Name::Last),
            Self::Documents => ("vector.documents", Name::Last),
            Self::Cache => ("cache", Name::None),
            Self::Acl => ("cache.acl", Name::Last),
            Self::Config => ("cache.config", Name::Optional),
            Self::Databases => ("cache.databases", Name::None),
            Self::Namespace => ("cache.namespace", Name::Last),
            Self::Stream => ("cache.stream", Name::Last),
            Self::Flags => ("flags", Name::None),
        }
    }

    /// The prefix of the kind's addresses, such as `system.seed`.
    pub const fn prefix(self) -> &'static str {
        self.written().0
    }

    pub fn component(self) -> Component {
        let first = self.prefix().split('.').next();
        match first {
            Some("system") => Component::System,
            Some("target") => Component::Target,
            Some("vector") => Component::Vector,
            Some("cache") => Component::Cache,
            _ => Component::Flags,
        }
    }

    pub const fn moving(self) -> Moving {
        match self {
            Self::Seed | Self::Target => Moving::Movable,
            Self::User => Moving::Fixed("a user's name is the username in the table of accounts"),
            Self::Role => Moving::Fixed("a role's name is its name on the server"),
            Self::Ontology => Moving::Fixed("an ontology's name stands in each row of its terms"),
            Self::Collection | Self::Documents => Moving::Fixed(
                "a collection's name is its name in the vector store, where applications look for it",
            ),
            Self::Acl => Moving::Fixed("an ACL user's name is its name in Redis"),
            Self::Namespace => Moving::Fixed("a namespace's name stands in the cache"),
            Self::Stream => Moving::Fixed("a stream's name is its key in the cache"),
            Self::System
            | Self::Database
            | Self::Bookkeeping
            | Self::Extension
            | Self::Defaults
            | Self::Migration
            | Self::Repeatable
            | Self::Schema
            | Self::Table
            | Self::Index
            | Self::Rehearsal
            | Self::TargetAccess
            | Self::TargetContract
            | Self::TargetSchema
            | Self::Vector
            | Self::RetrievalCheck
            | Self::Cache
            | Self::Config
            | Self::Databases
            | Self::Flags => Moving::NotNamed,
        }
    }

    /// The address without a name: of the only item of the kind, or of all of them.
    pub fn alone(self) -> Address {
        Address { text: self.prefix().to_owned(), kind: self }
    }

    pub fn named(self, name: impl fmt::Display) -> Address {
        let (prefix, end) = self.written();
        let text = match end {
            Name::None | Name::Last | Name::Optional => format!("{prefix}.{name}"),
            Name::Before(word) => format!("{prefix}.{name}.{word}"),
        };
        Address { text, kind: self }
    }

    /// Extracts the name from an address of this kind; empty where the kind has no names.
    fn name_in(self, text: &str) -> Option<&str> {
        let (prefix, end) = self.written();
        let rest = text.strip_prefix(prefix)?;
        let name = rest.strip_prefix('.').filter(|name| !name.is_empty());
        match end {
            Name::None => rest.is_empty().then_some(""),
            Name::Optional if rest.is_empty() => Some(""),
            Name::Last | Name::Optional => name,
            Name::Before(word) => name?.strip_suffix(word)?.strip_suffix('.').filter(|name| !name.is_empty()),
        }
    }
}

impl Component {
    pub const ALL: [Self; 5] = [Self::System, Self::Target, Self::Vector, Self::Cache, Self::Flags];

    /// The first part of its addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Target => "target",
            Self::Vector => "vector",
            Self::Cache => "cache",
            Self::Flags => "flags",
        }
    }
}

impl Address {
    pub fn parse(text: impl Into<String>) -> Result<Self, Unknown> {
        let text = text.into();
        // `target.a.schema` is also a target by the name of `a.schema`: whatever says more decides.
        let says_most = |kind: &Kind| match kind.written() {
            (prefix, Name::Before(word)) => prefix.len() + word.len(),
            (prefix, Name::None | Name::Last | Name::Optional) => prefix.len(),
        };
        let fitting = Kind::ALL.into_iter().filter(|kind| kind.name_in(&text).is_some());
        match fitting.max_by_key(says_most) {
            Some(kind) => Ok(Self { text, kind }),
            None => Err(Unknown(text)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Empty where the kind has no names.
    pub fn name(&self) -> &str {
        self.kind.name_in(&self.text).unwrap_or("")
    }

    /// The name, if the address has the given kind.
    pub fn name_of(&self, kind: Kind) -> Option<&str> {
        (self.kind == kind).then(|| self.name())
    }

    pub fn component(&self) -> Component {
        self.kind.component()
    }

    /// Whether `selector` selects this address: it is equal, or a prefix that ends at a dot.
    pub fn is_selected_by(&self, selector: &str) -> bool {
        self.text == selector || self.text.strip_prefix(selector).is_some_and(|rest| rest.starts_with('.'))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Kind> for Address {
    fn from(kind: Kind) -> Self {
        kind.alone()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.text
    }
}

impl TryFrom<String> for Address {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        Self::parse(text)
    }
}

#[cfg(test)]
impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self::parse(text).expect("a test writes an address")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_address_of_each_kind_is_taken_apart_as_it_was_made() {
        for kind in Kind::ALL {
            let alone = (kind.alone(), "");
            let named = (kind.named("a.b-c"), "a.b-c");
            let made = match kind.written().1 {
                Name::None => vec![alone],
                Name::Last | Name::Before(_) => vec![named],
                Name::Optional => vec![alone, named],
            };
            for (address, name) in made {
                assert_eq!(Address::parse(address.as_str()), Ok(address.clone()));
                assert_eq!(address.name(), name, "{address}");
                assert!(address.is_selected_by(address.component().as_str()), "{address}");
            }
        }
        assert_eq!(Kind::ALL.into_iter().collect::<BTreeSet<_>>().len(), Kind::ALL.len());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "system.", "system.seed", "system.seed.", "systems", "target", "flags.a", "queue.a"]
        {
            assert_eq!(Address::parse(text), Err(Unknown(text.to_owned())));
        }
    }

    #[test]
    fn the_page_of_addresses_names_each_kind() {
        let page = include_str!("../docs/reference/addresses.md");
        for kind in Kind::ALL {
            let (prefix, end) = kind.written();
            let begins = match end {
                Name::None | Name::Optional => format!("`{prefix}"),
                Name::Last => format!("`{prefix}."),
                Name::Before(word) => format!("`{prefix}.NAME.{word}`"),
            };
            assert!(page.contains(&begins), "{begins} is missing");
        }
    }
}
