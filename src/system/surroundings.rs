//! What is in a database and no migration makes: schemas and tables of an identity service, extensions of
//! whoever runs the server. A migration that refers to it can only be tried in a scratch database that has
//! it too, without its rows.

use std::collections::BTreeSet;

use super::{Desired, Error, Result};
use crate::catalog::TableName;
use crate::connection::{Client, Lacks};
use crate::lint::script::{Script, words};
use crate::migrations::Texts;
use crate::sql::{self, Database, Dialect};

/// An object, and the statement that makes it again.
struct Object {
    kind: Kind,
    name: TableName,
    statement: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    /// A constraint or an index.
    OfTable,
    View,
    /// An extension that brings tables or views.
    Tables,
    Other,
}

/// What was made beside the migrations' own.
#[derive(Debug, Default, Clone)]
pub struct Surroundings {
    /// Tables and views.
    pub tables: BTreeSet<TableName>,
    left: Vec<(Kind, TableName)>,
}

impl Surroundings {
    /// The names of what could not be made and may be what a statement found missing.
    pub fn left(&self, lacks: Lacks) -> Vec<String> {
        let may_be = |kind: Kind| match lacks {
            Lacks::Row => false,
            Lacks::Relation => matches!(kind, Kind::Table | Kind::View | Kind::Tables),
            Lacks::Object => true,
        };
        let left = self.left.iter().filter(|(kind, _)| may_be(*kind));
        left.map(|(_, name)| name.to_string()).collect()
    }
}

/// Makes what is in a database, and none of the migrations makes, in a scratch database too, as far as
/// that can be done.
pub async fn surround(desired: &Desired, live: &Client, scratch: &Client) -> Result<Surroundings> {
    let objects = objects(&live.database().await?).await.map_err(Error::doing("reading the schema"))?;
    let texts = Texts::parse(desired.migrations().iter().map(|file| file.sql.as_str()));
    let views = views(desired);
    let is_foreign = |object: &Object| {
        let name = object.name.name.to_lowercase();
        match object.kind {
            Kind::Table | Kind::OfTable => {
                !desired.migrations.makes(&object.name) && name != "_sqlx_migrations"
            }
            // Every view is recorded with a schema, whoever made it.
            Kind::View => !views.contains(&name),
            Kind::Tables | Kind::Other => !texts.objects.contains(&name),
        }
    };
    let mut open: Vec<Object> = objects.into_iter().filter(is_foreign).collect();
    let database = scratch.database().await?;
    let mut surroundings = Surroundings::default();
    // Each in a transaction of its own, and again what needed one that came later.
    loop {
        let before = open.len();
        let mut left = Vec::new();
        for object in open {
            match database.execute(&object.statement, &[]).await {
                Ok(_) if matches!(object.kind, Kind::Table | Kind::View) => {
                    surroundings.tables.insert(object.name);
                }
                Ok(_) => {}
                Err(error) if is_there(&error) => {}
                Err(_) => left.push(object),
            }
        }
        open = left;
        if open.is_empty() || open.len() == before {
            break;
        }
    }
    scratch.forget_catalog().await;
    let left = open.into_iter().filter(|object| object.kind != Kind::OfTable);
    surroundings.left = left.map(|object| (object.kind, object.name)).collect();
    Ok(surroundings)
}

/// Whether an object was made before, as by the migrations that ran already.
fn is_there(error: &sql::Error) -> bool {
    // Of a table, object, schema, function; a table with two primary keys.
    const CODES: [&str; 5] = ["42P07", "42710", "42P06", "42723", "42P16"];
    error.code().is_some_and(|code| CODES.contains(&&*code))
}

/// The names of the views that migrations make, in lower case and without their schemas.
fn views(desired: &Desired) -> BTreeSet<String> {
    let mut views = BTreeSet::new();
    for file in desired.migrations() {
        let statements = Script::read(&file.sql, desired.dialect).statements;
        for statement in statements.iter().filter_map(|at| file.sql.get(at.clone())) {
            let words = words(statement, desired.dialect);
            let mut words = words.iter().map(String::as_str);
            if words.next() != Some("create") || !words.by_ref().take(4).any(|word| word == "view") {
                continue;
            }
            let mut words = words.skip_while(|word| matches!(*word, "if" | "not" | "exists"));
            match (words.next(), words.next(), words.next()) {
                (Some(_), Some("."), Some(name)) | (Some(name), ..) => {
                    views.insert(name.to_lowercase());
                }
                (None, ..) => {}
            }
        }
    }
    views
}

async fn objects(database: &Database) -> sql::Result<Vec<Object>> {
    let query = match database.dialect() {
        Dialect::Postgres => include_str!("surroundings.sql"),
        Dialect::Sqlite => {
            "SELECT CASE type WHEN 'index' THEN 'index' WHEN 'trigger' THEN 'index' ELSE type END, '', tbl_name, sql \
             FROM sqlite_schema \
             WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'trueup\\_%' ESCAPE '\\'"
        }
    };
    let rows = database.query(query, &[]).await?;
    let objects = rows.iter().map(|row| {
        let schema = Some(row.text(1)?).filter(|schema| !schema.is_empty() && *schema != "public");
        Ok(Object {
            kind: match row.text(0)? {
                "table" => Kind::Table,
                "constraint" | "index" => Kind::OfTable,
                "view" => Kind::View,
                "tables" => Kind::Tables,
                _ => Kind::Other,
            },
            name: TableName { schema: schema.map(str::to_owned), name: row.text(2)?.to_owned() },
            statement: row.text(3)?.to_owned(),
        })
    });
    objects.collect()
}
