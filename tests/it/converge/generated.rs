//! Generated stacks with unusual content, and their files.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::stacks::Database;
use crate::world::World;

/// Column types that both databases support, and names that need quotes. Two stacks of a pair share
/// the table.
pub(super) const COLUMNS: [(&str, &str); 6] = [
    ("order", "TEXT"),
    ("Größe in m", "DOUBLE PRECISION"),
    ("price", "NUMERIC(12, 2)"),
    ("count", "BIGINT"),
    ("is \"new\"", "BOOLEAN"),
    ("since", "DATE"),
];

#[derive(Debug, Clone)]
pub(super) struct Stack {
    pub(super) seed_is_on: bool,
    mode: &'static str,
    format: &'static str,
    /// Rows by id. Only the first columns are written.
    rows: BTreeMap<String, Vec<Value>>,
    columns: usize,
    terms: BTreeMap<String, (String, Vec<String>)>,
    users: BTreeMap<&'static str, (&'static str, bool, u32)>,
    stream: bool,
    /// The number of [`MIGRATIONS`] in use.
    pub(super) migrations: usize,
    /// The columns of a view in a repeatable file.
    view: Option<&'static str>,
    /// Roles by the suffix of their names; PostgreSQL only.
    roles: BTreeMap<&'static str, Role>,
}

#[derive(Debug, Clone)]
struct Role {
    login: bool,
    grants: BTreeMap<&'static str, BTreeSet<&'static str>>,
    is_member: bool,
}

/// Migrations after those of the tables.
const MIGRATIONS: [(&str, &str); 4] = [
    ("0006_more", "CREATE TABLE more (id integer PRIMARY KEY);\nINSERT INTO more VALUES (1);\n"),
    ("0007_index", "CREATE INDEX things_price ON things (price);\n"),
    ("0008_outside", "-- no-transaction\nCREATE INDEX CONCURRENTLY things_since ON things (since);\n"),
    ("0009_row", "INSERT INTO things (id) VALUES ('migrated');\n"),
];

/// Unusual but realistic texts.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| text.chars().filter(|c| *c != '\0').take(24).collect()),
        "[ -~]{0,12}",
        prop::sample::select(vec![
            "",
            " ",
            "NULL",
            "null",
            "true",
            "no",
            "0123",
            "1e3",
            "2024-01-01",
            "{}",
            "[]",
            "${{x}}",
            "'; --",
            "a\nb\r\n",
            "\"",
            "é",
            "e\u{301}"
        ])
        .prop_map(str::to_owned),
    ]
    .prop_map(|text: String| text.replace("${", "$"))
}

/// Generates a value that fits a column's type, or NULL.
fn value(column: usize) -> BoxedStrategy<Value> {
    let number = |text: String| serde_json::from_str(&text).unwrap();
    let fitting = match COLUMNS[column].1 {
        "TEXT" => text().prop_map(Value::from).boxed(),
        "DOUBLE PRECISION" => prop_oneof![
            (-1e15..1e15).prop_map(|real: f64| json!(real)),
            prop::sample::select(vec![
                "0.1",
                "1e3",
                "-0.0",
                "1.0",
                "5e-324",
                "1.7976931348623157e308",
                "100"
            ])
            .prop_map(move |text| number(text.to_owned())),
        ]
        .boxed(),
        "BIGINT" => any::<i64>().prop_map(Value::from).boxed(),
        "BOOLEAN" => any::<bool>().prop_map(Value::from).boxed(),
        "DATE" => {
            (1_900..2_100, 1..13, 1..29).prop_map(|(y, m, d)| json!(format!("{y:04}-{m:02}-{d:02}"))).boxed()
        }
        _ => (-999_999_999_i64..999_999_999, 0..100)
            .prop_map(move |(whole, cents)| number(format!("{whole}.{cents:02}")))
            .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 5 => fitting].boxed()
}

pub(super) fn stack() -> impl Strategy<Value = Stack> {
    let values: Vec<_> = (0..COLUMNS.len()).map(value).collect();
    let id = prop_oneof!["[a-f]", "[a-z0-9 '-]{1,6}", Just("Ünï 🙂".to_owned())];
    let term = ("[a-zé ]{0,12}", prop::collection::btree_set("[g-z]{3,8}", 0..3));
    let terms = prop::collection::btree_map("[a-f]{1,3}", term, 0..4);
    let account = (prop::sample::select(vec!["admin", "analyst", "viewer"]), any::<bool>(), 1..3_u32);
    let users = prop::collection::btree_map(prop::sample::select(vec!["ada", "grace"]), account, 0..2);
    (
        (
            any::<bool>(),
            prop::sample::select(vec!["insert", "upsert", "mirror"]),
            prop::sample::select(vec!["csv", "yaml", "json"]),
        ),
        prop::collection::btree_map(id, values, 0..6),
        0..=COLUMNS.len(),
        terms,
        users,
        (
            any::<bool>(),
            0..=MIGRATIONS.len(),
            prop::sample::select(vec![None, Some("id"), Some("id, price")]),
        ),
        prop::collection::btree_map(prop::sample::select(vec!["app", "reader"]), role(), 0..3),
    )
        .prop_map(|((seed_is_on, mode, format), rows, columns, terms, users, rest, roles)| Stack {
            seed_is_on,
            mode,
            format,
            rows,
            columns,
            terms: unambiguous(terms),
            users,
            stream: rest.0,
            migrations: rest.1,
            view: rest.2,
            roles,
        })
}

fn role() -> impl Strategy<Value = Role> {
    let privileges = prop::sample::subsequence(vec!["select", "insert", "update", "delete"], 1..4);
    let glob = prop::sample::select(vec!["*", "things", "users", "business_*"]);
    let grants = prop::collection::btree_map(glob, privileges, 0..3);
    (any::<bool>(), grants, any::<bool>()).prop_map(|(login, grants, is_member)| Role {
        login,
        grants: grants.into_iter().map(|(glob, list)| (glob, list.into_iter().collect())).collect(),
        is_member,
    })
}

/// A synonym belongs to one term only.
fn unambiguous(
    terms: BTreeMap<String, (String, std::collections::BTreeSet<String>)>,
) -> BTreeMap<String, (String, Vec<String>)> {
    let mut taken = std::collections::BTreeSet::new();
    let own = |(term, (definition, synonyms)): (String, (String, std::collections::BTreeSet<String>))| {
        let synonyms = synonyms.into_iter().filter(|synonym| taken.insert(synonym.clone())).collect();
        (term, (format!("{definition}."), synonyms))
    };
    terms.into_iter().map(own).collect()
}

impl Stack {
    pub(super) fn write(&self, world: &World, database: &Database) {
        let Self { seed_is_on, mode, format, users, stream, .. } = self;
        self.write_migrations(world, database);
        let users: BTreeMap<_, _> = users
            .iter()
            .map(|(name, (role, active, version))| {
                let secret = "${PASSWORD}";
                (name, json!({ "role": role, "active": active, "password": secret, "password_version": version }))
            })
            .collect();
        let seed = json!({ "when": "seed_demo_data", "table": "things", "key": ["id"], "rows": format!("rows.{format}"), "mode": mode });
        let streams = if *stream { json!({ "jobs": { "groups": ["workers"] } }) } else { json!({}) };
        let mut spec = json!({
            "version": 1, "stack": "generated", "environment": "dev", "flags": { "seed_demo_data": seed_is_on },
            "system": {
                "url": "${DATABASE_URL}", "create_database": true, "migrations": "migrations", "users": users,
                "ontologies": { "words": "terms.yaml" }, "seeds": { "things": seed },
            },
            "cache": { "url": "sqlite://cache.db", "streams": streams },
        });
        if let Database::Postgres(postgres) = database {
            spec["system"]["roles"] = self.roles_of(postgres.name());
        }
        let terms: BTreeMap<_, _> = self
            .terms
            .iter()
            .map(|(term, (definition, synonyms))| {
                (term, json!({ "definition": definition, "synonyms": synonyms }))
            })
            .collect();
        // JSON is valid YAML.
        world.spec(&format!("{spec:#}\n")).file("terms.yaml", format!("{:#}\n", json!({ "terms": terms })));
        world.file(&format!("rows.{format}"), self.rows());
    }

    fn write_migrations(&self, world: &World, database: &Database) {
        let (dialect, is_postgres) = match database {
            Database::Sqlite(_) => ("sqlite", false),
            Database::Postgres(_) => ("postgres", true),
        };
        for (name, sql) in MIGRATIONS.iter().take(self.migrations) {
            let sql = if is_postgres { (*sql).to_owned() } else { sql.replace(" CONCURRENTLY", "") };
            world.file(&format!("migrations/{dialect}/{name}.sql"), sql);
        }
        let folder = format!("migrations/{dialect}/repeatable");
        drop(std::fs::remove_dir_all(world.path(&folder)));
        if let Some(columns) = self.view {
            let view = format!(
                "DROP VIEW IF EXISTS some_things;\nCREATE VIEW some_things AS SELECT {columns} FROM things;\n"
            );
            world.file(&format!("{folder}/some_things.sql"), view);
        }
    }

    /// Roles belong to the server, which tests share, so their names begin with the name of the
    /// database.
    fn roles_of(&self, database: &str) -> Value {
        let name = |role: &str| format!("{database}_{role}");
        let role = |(end, role): (&&str, &Role)| {
            let Role { login, grants, is_member } = role;
            let groups: Vec<String> = if *is_member && *end == "app" && self.roles.contains_key("reader") {
                vec![name("reader")]
            } else {
                vec![]
            };
            let password = login.then_some("${PASSWORD}");
            (
                name(end),
                json!({ "login": login, "password": password, "grants": grants, "member_of": groups }),
            )
        };
        self.roles.iter().map(role).collect::<serde_json::Map<_, _>>().into()
    }

    /// Asserts that each row exists with the text of the spec, unless an older row has precedence.
    pub(super) fn is_stored(&self, database: &Database) -> Result<(), TestCaseError> {
        let hex = |column: &str| match database {
            Database::Sqlite(_) => format!("hex({column})"),
            Database::Postgres(_) => format!("upper(encode(convert_to({column}, 'UTF8'), 'hex'))"),
        };
        let shown = format!("{} || '|' || coalesce({}, 'NULL')", hex("id"), hex("\"order\""));
        let shown =
            shown.replace("hex(\"order\")", "CASE WHEN \"order\" IS NOT NULL THEN hex(\"order\") END");
        let stored = database.sql(&format!("SELECT {shown} FROM things"));
        for (id, values) in &self.rows {
            let hex =
                |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat();
            let expected = match &values[0] {
                Value::String(text) if self.columns > 0 => hex(text),
                _ => "NULL".to_owned(),
            };
            let line = format!("{}|{expected}", hex(id));
            let may_be_older = self.mode == "insert" || self.columns == 0;
            let is_found = stored.lines().any(|stored| {
                if may_be_older { stored.starts_with(&line[..=id.len() * 2]) } else { stored == line }
            });
            prop_assert!(is_found, "{} in\n{}", line, stored);
        }
        Ok(())
    }

    fn rows(&self) -> String {
        let names = std::iter::once("id").chain(COLUMNS.iter().map(|(name, _)| *name)).take(self.columns + 1);
        let cells = |id: &str, values: &[Value]| -> Vec<Value> {
            std::iter::once(json!(id)).chain(values.iter().take(self.columns).cloned()).collect()
        };
        if self.format != "csv" {
            let row = |(id, values): (&String, &Vec<Value>)| -> Value {
                names
                    .clone()
                    .map(str::to_owned)
                    .zip(cells(id, values))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            return format!("{:#}\n", Value::from(self.rows.iter().map(row).collect::<Vec<_>>()));
        }
        let line = |cells: Vec<Value>| {
            let cells = cells.into_iter().map(|cell| match cell {
                Value::Null => String::new(),
                Value::String(text) => format!("\"{}\"", text.replace('"', "\"\"")),
                other => other.to_string(),
            });
            cells.collect::<Vec<_>>().join(",") + "\n"
        };
        let head = line(names.clone().map(Value::from).collect());
        self.rows.iter().fold(head, |text, (id, values)| text + &line(cells(id, values)))
    }
}
