//! Changes to a database between two runs, by other programs and by hand.

use proptest::prelude::*;

use crate::stacks::Database;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meddling {
    DeleteRow,
    ChangeRows,
    AddRow,
    DeleteAccounts,
    DemoteAccounts,
    DeleteTerms,
    RewordTerms,
    AddTable,
    AddColumn,
    LoseBookkeeping,
}

/// A row that only the application writes.
pub(super) const APPLICATION: &str = "application";

/// A random list of changes.
pub(super) fn meddlings() -> impl Strategy<Value = Vec<Meddling>> {
    use Meddling as M;
    let all = vec![
        M::DeleteRow,
        M::ChangeRows,
        M::AddRow,
        M::DeleteAccounts,
        M::DemoteAccounts,
        M::DeleteTerms,
        M::RewordTerms,
        M::AddTable,
        M::AddColumn,
        M::LoseBookkeeping,
    ];
    prop::sample::subsequence(all, 0..4).prop_shuffle()
}

impl Meddling {
    pub(super) fn meddle(self, database: &Database) {
        let sql = match self {
            Self::DeleteRow => "DELETE FROM things WHERE id = (SELECT min(id) FROM things)".to_owned(),
            Self::ChangeRows => "UPDATE things SET price = 7, \"order\" = 'by hand'".to_owned(),
            Self::AddRow => format!("INSERT INTO things (id) VALUES ('{APPLICATION}')"),
            Self::DeleteAccounts => "DELETE FROM users".to_owned(),
            Self::DemoteAccounts => "UPDATE users SET role = 'viewer', is_active = false".to_owned(),
            Self::DeleteTerms => "DELETE FROM business_ontologies".to_owned(),
            Self::RewordTerms => "UPDATE business_ontologies SET definition = 'by hand'".to_owned(),
            Self::AddTable => "CREATE TABLE by_hand (id integer)".to_owned(),
            Self::AddColumn => "ALTER TABLE things ADD COLUMN by_hand text".to_owned(),
            Self::LoseBookkeeping => lose_bookkeeping(database),
        };
        database.sql(&sql);
    }
}

fn lose_bookkeeping(database: &Database) -> String {
    match database {
        Database::Postgres(_) => "DROP SCHEMA trueup CASCADE".to_owned(),
        Database::Sqlite(_) => {
            let drops = "SELECT 'DROP TABLE \"' || name || '\";' FROM sqlite_master \
                         WHERE type = 'table' AND name LIKE 'trueup\\_%' ESCAPE '\\'";
            format!("PRAGMA foreign_keys = OFF; {}", database.sql(drops))
        }
    }
}
