//! Whole specs that are right: what they become, and the defaults of what is absent.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn a_spec_with_all_that_is_built_becomes_a_stack() {
    let folder = Folder::new()
        .with("migrations/postgres/0001_init.sql", "-- no-transaction\nSELECT 1;\n")
        .with("migrations/postgres/0002_more_tables.sql", "\u{feff}SELECT 2;\r\n")
        .with("migrations/sqlite/0001_init.sql", "SELECT 1;\n")
        .with("accounting.yaml", "ontology: accounting\nterms:\n  revenue:\n    definition: Earned.\n    synonyms: [sales]\n    tables: [orders.total]\n")
        .with("rows.csv", "id,name,note\n1,a,\n2,b,\"\"\n")
        .with("docs/a.md", "A")
        .with("docs/deep/b.md", "B")
        .with("questions.yaml", "- { question: How many?, sql: SELECT 1, target: business }\n")
        .with(
            "stack.yaml",
            "version: 1\nstack: insight\nenvironment: prod\n\
             flags: { seed_demo_data: false, enable_target_db: true, auto_train_vector: true }\n\
             system:\n  url: ${SYSTEM_URL}\n  create_database: true\n  extensions: [citext]\n  migrations: migrations\n  order: allow\n\
             \x20 lock_timeout: 500ms\n  accounts: { table: app.users, columns: { role: false } }\n\
             \x20 users:\n    admin: { email: a@b.c, role: admin, password: ${ADMIN_PASSWORD}, hash: bcrypt, password_version: 2 }\n\
             \x20 terms: { columns: { expression: false, tables: source } }\n\
             \x20 ontologies: { accounting: accounting.yaml }\n\
             \x20 seeds: { demo: { when: seed_demo_data, table: t, key: [id], rows: rows.csv, mode: mirror } }\n\
             targets:\n  business: { url: 'sqlite:////data/target.db', exclude: ['tmp_*'], require: { orders: [id] } }\n\
             vector:\n  url: http://chroma:8000\n  token: ${ADMIN_PASSWORD}\n  embedder: { kind: hashing, dimensions: 256 }\n  collections:\n\
             \x20   ddl: { from: { schema: [business] }, terms: [accounting] }\n\
             \x20   documentation: { from: { ontologies: [accounting], files: ['docs/*.md', 'docs/**/*.md'] } }\n\
             \x20   sql: { from: { examples: [questions.yaml] } }\n\
             cache:\n  url: redis://redis:6379/0\n  databases: { cache: 0, broker: 1, results: 2 }\n\
             \x20 namespaces: { sessions: { prefix: 'session:', ttl: 24h } }\n  streams: { jobs: { groups: [workers], maxlen: 100000 } }\n\
             policies:\n  no_data_loss: { deny: destructive }\n  no_demo: { deny_flag: seed_demo_data }\n",
        );

    let stack = folder.load("stack.yaml").map_err(|errors| rendered(&errors)).unwrap();

    assert!(stack.is_production() && stack.warnings.is_empty(), "{:?}", stack.warnings);
    let System { migrations, accounts, users, terms, ontologies, seeds, .. } = &stack.system;
    assert_eq!(stack.system.lock_timeout, Duration::from_millis(500));
    assert_eq!(stack.system.statement_timeout, Duration::ZERO);
    let [first, second] = migrations.postgres.as_slice() else { panic!("two migrations") };
    assert!(first.no_transaction && !second.no_transaction);
    assert_eq!((second.version, &*second.stem, &*second.description), (2, "0002_more_tables", "more tables"));
    assert!(second.sql.starts_with('\u{feff}') && second.checksum.len() == 48);
    assert_eq!(migrations.sqlite.len(), 1);
    let accounts = accounts.as_ref().unwrap();
    assert_eq!(
        (&*accounts.table, &accounts.role, accounts.active.as_deref()),
        ("app.users", &None, Some("is_active"))
    );
    assert_eq!(users["admin"].password.expose(), Ok("correct-horse-battery"));
    assert_eq!(
        (&terms.expression, terms.tables.as_deref(), &*terms.table),
        (&None, Some("source"), "business_ontologies")
    );
    assert_eq!(ontologies["accounting"].terms[0].synonyms, ["sales"]);
    let third: Vec<_> = seeds["demo"].rows.iter().map(|row| row[2]).collect();
    assert_eq!(third[..2], [None, Some("")]);
    assert!(!seeds["demo"].on);
    let target = &stack.targets["business"];
    assert!(target.on && !target.require_read_only && target.include == ["*"]);
    let TargetUrl::Sqlite(path) = target.endpoint.to.as_ref().unwrap();
    assert_eq!(path, Path::new("/data/target.db"));
    let vector = stack.vector.as_ref().unwrap();
    assert_eq!(vector.embedder, Embedder::Hashing { dimensions: 256 });
    let names: Vec<&str> =
        vector.collections["documentation"].files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["docs/a.md", "docs/deep/b.md"]);
    assert_eq!(vector.collections["sql"].examples[0].target.as_deref(), Some("business"));
    assert_eq!(stack.cache.as_ref().unwrap().namespaces["sessions"].ttl, Duration::from_hours(24));
    assert_eq!(stack.policies["no_demo"], Denies::Flag("seed_demo_data".to_owned()));
    assert!(!format!("{stack:?}").contains("s3cr3t"));
}

#[test]
fn checksums_are_those_of_sqlx() {
    let folder = Folder::new()
        .with("m/20240101120000_with_bom.sql", "\u{feff}CREATE TABLE a (b int);\r\n")
        .with("m/1_first_one.sql", "-- no-transaction\nSELECT 1")
        .with("stack.yaml", spec("  migrations: m\n"));
    let ours = folder.load("stack.yaml").unwrap().system.migrations.common;
    let theirs = sqlx::migrate::resolve_blocking(&folder.path("m")).unwrap();
    assert_eq!(ours.len(), theirs.len());
    for (ours, (theirs, _)) in ours.iter().zip(&theirs) {
        assert_eq!((ours.version, &*ours.description), (theirs.version, &*theirs.description));
        assert_eq!((&*ours.checksum, ours.no_transaction), (&*theirs.checksum, theirs.no_tx));
    }
}

#[test]
fn aliases_repeat_values_and_placeholders_stand_in_flow_maps() {
    let stack = load_text(&spec(
        "  users:\n    a: &user { role: ${NOPE:-a, b: c}, password: ${ADMIN_PASSWORD} }\n    b: *user\n    c: { role: $${LITERAL}, password: \"${ADMIN_PASSWORD}\" }\n",
    ))
    .map_err(|errors| rendered(&errors))
    .unwrap();
    assert_eq!(stack.system.users["b"].role.as_deref(), Some("a, b: c"));
    assert_eq!(stack.system.users["c"].role.as_deref(), Some("${LITERAL}"));
}

#[test]
fn rows_of_json_and_yaml_keep_their_texts() {
    let folder = Folder::new()
        .with(
            "rows.json",
            "[\n\t{\"id\": 1.50, \"n\": \"0\\u00e9\", \"j\": {\"b\": 1, \"a\": [null]}, \"x\": null}\n]",
        )
        .with("stack.yaml", spec("  seeds: { s: { table: t, key: [id], rows: rows.json } }\n"));
    let stack = folder.load("stack.yaml").map_err(|errors| rendered(&errors)).unwrap();
    let rows: Vec<_> = stack.system.seeds["s"].rows.iter().collect();
    assert_eq!(rows, [[Some("1.50"), Some("0é"), Some(r#"{"a":[null],"b":1}"#), None]]);
}

#[test]
fn ten_thousand_objects_load_in_linear_time() {
    use std::fmt::Write as _;
    let load_of = |count: usize| {
        let (mut users, mut streams, mut rows) = (String::new(), String::new(), "id,name\n".to_owned());
        for n in 0..count {
            writeln!(users, "    user{n}: {{ email: u{n}@x, role: viewer, password: ${{ADMIN_PASSWORD}} }}")
                .unwrap();
            writeln!(streams, "    stream{n}: {{ groups: [a, b], maxlen: 10 }}").unwrap();
            writeln!(rows, "{n},name {n}").unwrap();
        }
        let text = spec(&format!(
            "  seeds: {{ s: {{ table: t, key: [id], rows: rows.csv }} }}\n  users:\n{users}cache:\n  url: redis://h/0\n  streams:\n{streams}"
        ));
        let folder = Folder::new().with("rows.csv", rows).with("stack.yaml", text);
        let begun = Instant::now();
        let stack = folder.load("stack.yaml").unwrap();
        assert_eq!(stack.system.users.len() + stack.system.seeds["s"].rows.len(), 2 * count);
        begun.elapsed()
    };
    // The best of a few runs: the machine does other things too.
    let best = |count: usize| (0..3).map(|_| load_of(count)).min().unwrap();
    let (small, large) = (best(400), best(3200));
    assert!(large < small * 8 * 4, "400 take {small:?}, 3,200 take {large:?}");
}
