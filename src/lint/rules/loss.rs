//! Rules about statements that drop objects and the data in them.

use super::Rule;
use crate::change::Risk::Destructive;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $risk:ident, $description:literal;)+) => {
        $($(#[$doc])* pub(in crate::lint) static $name: Rule =
            Rule { name: $text, risk: $risk, description: $description };)+
        pub(super) static RULES: &[&Rule] = &[$(&$name),+];
    };
}
pub(super) use rules;

rules! {
    DROP_TABLE = "drop-table", Destructive, "a table is dropped, with its rows";
    DROP_COLUMN = "drop-column", Destructive, "a column is dropped, with its values";
    DROP_SCHEMA = "drop-schema", Destructive, "a schema is dropped, with what is in it";
    DROP_DATABASE = "drop-database", Destructive, "a database is dropped";
    DROP_TYPE = "drop-type", Destructive,
        "a type, domain or attribute is dropped; CASCADE takes columns of it along";
    DROP_SEQUENCE = "drop-sequence", Destructive,
        "a sequence is dropped or restarted, so that its current value is lost";
    DROP_EXTENSION = "drop-extension", Destructive,
        "an extension is dropped, with the tables and types that it brought";
    DROP_OWNED = "drop-owned", Destructive, "everything that a role owns is dropped";
    DROP_CASCADE = "drop-cascade", Destructive,
        "a DROP … CASCADE of a view, routine or the like, which can take columns along";
}
