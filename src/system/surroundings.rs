//! Objects of a database that no migration creates, such as the schema of an identity service or extensions
//! that the operator installed. A migration that refers to them can be tried in a scratch database only
//! after they were copied there. Rows are not copied.

use std::collections::BTreeSet;

use super::{Desired, Error, Result};
use crate::catalog::TableName;
use crate::connection::{Client, Lacks};
use crate::lint::script::{Script, words};
use crate::migrations::Texts;
use crate::sql::{self, Database, Dialect};

/// An object, and the statement that creates it.
struct Object {
    kind: ObjectKind,
    name: TableName,
    statement: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ObjectKind {
    Table,
    /// A constraint or an index.
    OfTable,
    View,
    /// An extension that has tables or views.
    Tables,
    Other,
}

/// The objects that were created in the scratch database.
#[derive(Debug, Default, Clone)]
pub struct Surroundings {
    pub tables: BTreeSet<TableName>,
    left: Vec<(ObjectKind, TableName)>,
}

impl Surroundings {
    /// The names of objects that could not be created and may be the ones that a statement found
    /// missing.
    pub fn left(&self, lacks: Lacks) -> Vec<String> {
        let may_be = |kind: ObjectKind| match lacks {
            Lacks::Row => false,
            Lacks::Relation => matches!(kind, ObjectKind::Table | ObjectKind::View | ObjectKind::Tables),
            Lacks::Object => true,
        };
        let left = self.left.iter().filter(|(kind, _)| may_be(*kind));
        left.map(|(_, name)| name.to_string()).collect()
    }
}

/// Creates the objects of the real database that no migration creates in a scratch database. Failures are
/// not errors: the objects are listed in the result.
pub async fn surround(desired: &Desired, live: &Client, scratch: &Client) -> Result<Surroundings> {
    let objects = objects(&live.database().await?).await.map_err(Error::doing("reading the schema"))?;
    let texts = Texts::parse(desired.migrations().iter().map(|file| file.sql.as_str()));
    let views = views(desired);
    let is_foreign = |object: &Object| {
        let name = object.name.name.to_lowercase();
        match object.kind {
            ObjectKind::Table | ObjectKind::OfTable => {
                !desired.migrations.makes(&object.name) && name != "_sqlx_migrations"
            }
            // A recorded schema contains every view, whoever created it.
            ObjectKind::View => !views.contains(&name),
            ObjectKind::Tables | ObjectKind::Other => !texts.objects.contains(&name),
        }
    };
    let mut open: Vec<Object> = objects.into_iter().filter(is_foreign).collect();
    let database = scratch.database().await?;
    let mut surroundings = Surroundings::default();
    // Each object has a transaction of its own. Failed ones are retried, because they may need a
    // later one.
    loop {
        let before = open.len();
        let mut left = Vec::new();
        for object in open {
            match database.execute(&object.statement, &[]).await {
                Ok(_) if matches!(object.kind, ObjectKind::Table | ObjectKind::View) => {
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
    let left = open.into_iter().filter(|object| object.kind != ObjectKind::OfTable);
    surroundings.left = left.map(|object| (object.kind, object.name)).collect();
    Ok(surroundings)
}

/// Whether the object exists already, for example because a migration created it.
fn is_there(error: &sql::Error) -> bool {
    // Duplicate table, object, schema and function; a second primary key.
    const CODES: [&str; 5] = ["42P07", "42710", "42P06", "42723", "42P16"];
    error.code().is_some_and(|code| CODES.contains(&&*code))
}

/// The names of the views that migrations create, in lower case and without schemas.
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
                "table" => ObjectKind::Table,
                "constraint" | "index" => ObjectKind::OfTable,
                "view" => ObjectKind::View,
                "tables" => ObjectKind::Tables,
                _ => ObjectKind::Other,
            },
            name: TableName { schema: schema.map(str::to_owned), name: row.text(2)?.to_owned() },
            statement: row.text(3)?.to_owned(),
        })
    });
    objects.collect()
}
