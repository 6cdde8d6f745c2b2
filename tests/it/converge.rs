//! For every stack: after `apply`, the plan is empty. Stacks are generated and small; each is applied,
//! then another one takes its place in the same database.
//!
//! A dozen pairs take a few seconds. `PROPTEST_CASES=500 cargo test --test it converge` tries others.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::servers::Postgres;
use crate::stacks::Database;
use crate::world::{Run, World};

/// Types of columns that both databases know, and names that need quotes. Two stacks of a pair share
/// the table.
const COLUMNS: [(&str, &str); 6] = [
    ("order", "TEXT"),
    ("Größe in m", "DOUBLE PRECISION"),
    ("price", "NUMERIC(12, 2)"),
    ("count", "BIGINT"),
    ("is \"new\"", "BOOLEAN"),
    ("since", "DATE"),
];

#[derive(Debug, Clone)]
struct Stack {
    seed_is_on: bool,
    mode: &'static str,
    format: &'static str,
    /// By id. Only the first so many columns are written.
    rows: BTreeMap<String, Vec<Value>>,
    columns: usize,
    terms: BTreeMap<String, (String, Vec<String>)>,
    users: BTreeMap<&'static str, (&'static str, bool, u32)>,
    stream: bool,
}

/// Text that somebody will write one day.
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

/// A value that fits a column's type, or none.
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

fn stack() -> impl Strategy<Value = Stack> {
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
        any::<bool>(),
    )
        .prop_map(|((seed_is_on, mode, format), rows, columns, terms, users, stream)| Stack {
            seed_is_on,
            mode,
            format,
            rows,
            columns,
            terms: unambiguous(terms),
            users,
            stream,
        })
}

/// A synonym leads to one term only.
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
    fn write(&self, world: &World) {
        let Self { seed_is_on, mode, format, users, stream, .. } = self;
        let users: BTreeMap<_, _> = users
            .iter()
            .map(|(name, (role, active, version))| {
                let secret = "${PASSWORD}";
                (name, json!({ "role": role, "active": active, "password": secret, "password_version": version }))
            })
            .collect();
        let seed = json!({ "when": "seed_demo_data", "table": "things", "key": ["id"], "rows": format!("rows.{format}"), "mode": mode });
        let streams = if *stream { json!({ "jobs": { "groups": ["workers"] } }) } else { json!({}) };
        let spec = json!({
            "version": 1, "stack": "generated", "environment": "dev", "flags": { "seed_demo_data": seed_is_on },
            "system": {
                "url": "${DATABASE_URL}", "create_database": true, "migrations": "migrations", "users": users,
                "ontologies": { "words": "terms.yaml" }, "seeds": { "things": seed },
            },
            "cache": { "url": "sqlite://cache.db", "streams": streams },
        });
        let terms: BTreeMap<_, _> = self
            .terms
            .iter()
            .map(|(term, (definition, synonyms))| {
                (term, json!({ "definition": definition, "synonyms": synonyms }))
            })
            .collect();
        // JSON is YAML.
        world.spec(&format!("{spec:#}\n")).file("terms.yaml", format!("{:#}\n", json!({ "terms": terms })));
        world.file(&format!("rows.{format}"), self.rows());
    }

    /// Whether each row is there, and with the text of the spec where no older row has precedence.
    fn is_stored(&self, database: &Database) -> Result<(), TestCaseError> {
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

fn world(database: &Database) -> World {
    let columns: String =
        COLUMNS.map(|(name, kind)| format!(", \"{}\" {kind}", name.replace('"', "\"\""))).concat();
    let world = World::new();
    let dialect = match database {
        Database::Sqlite(_) => "sqlite",
        Database::Postgres(_) => "postgres",
    };
    for name in ["0001_users", "0004_business_ontologies"] {
        world.copy(&format!("migrations/{dialect}/{name}.sql"));
    }
    world.file(
        &format!("migrations/{dialect}/0005_things.sql"),
        format!("CREATE TABLE things (id TEXT NOT NULL PRIMARY KEY{columns});\n"),
    );
    world.env("DATABASE_URL", database.url()).env("PASSWORD", "a password that is long enough");
    world
}

fn is(run: &Run, code: i32) -> Result<(), TestCaseError> {
    let Run { command, stdout, stderr, code: found } = run;
    prop_assert_eq!(*found, Some(code), "$ {}\n{}\n{}", command, stdout, stderr);
    Ok(())
}

/// Tries generated pairs of stacks, each on a database of its own.
#[track_caller]
fn converges(cases: u32, database: impl Fn() -> Database) {
    let chosen = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = Config {
        cases: chosen.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::default()
    };
    let mut runner = match chosen {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&(stack(), stack()), |(first, second)| {
        let database = database();
        let world = world(&database);
        for stack in [&first, &second] {
            stack.write(&world);
            // A source that became empty is meant here.
            is(&world.trueup(&["apply", "--auto-approve", "--allow", "mass-delete"]), 0)?;
            is(&world.plan(), 0)?;
        }
        if second.seed_is_on {
            second.is_stored(&database)?;
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn after_apply_the_plan_is_empty_for_every_stack_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    converges(12, || {
        number.set(number.get() + 1);
        Database::Sqlite(folder.path().join(format!("{}.db", number.get())))
    });
}

#[test]
fn after_apply_the_plan_is_empty_for_every_stack_on_postgresql() {
    converges(6, || Database::Postgres(Postgres::start()));
}
