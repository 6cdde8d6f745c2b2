//! Mistakes that are easily made, and the message that says how to correct each.

use super::*;

const VECTOR: &str = "\
flags: { enable_target_db: true, auto_train_vector: true }
targets: { biz: { url: sqlite:///tmp/biz.db } }
vector:
  url: sqlite:///tmp/vector.db
  embedder: { kind: hashing }
  collections: { sql: { from: { examples: [questions.yaml] } } }
";

/// The only error of a spec, as it is shown.
#[track_caller]
fn only_error(folder: &Folder) -> String {
    let errors = folder.load("stack.yaml").unwrap_err();
    assert_eq!(errors.errors().len(), 1, "{}", rendered(&errors));
    rendered(&errors)
}

#[test]
fn files_of_data_are_taken_as_they_are() {
    let sql = "SELECT sum(total) FROM invoices WHERE day >= '${start_date}' AND n = $1 AND m = '${TRUE}'";
    let folder = Folder::new()
        .with(
            "stack.yaml",
            spec(VECTOR).replace(
                "  url: sqlite:///tmp/app.db\n",
                "  url: sqlite:///tmp/app.db\n  ontologies: { a: a.yaml }\n",
            ),
        )
        .with("questions.yaml", format!("- {{ question: '$NAME', target: biz, sql: \"{sql}\" }}\n"))
        .with(
            "a.yaml",
            "terms: { '${x}': { definition: '${TRUE}', synonyms: ['{{ y }}'], tables: ['${t}'] } }\n",
        );

    let stack = folder.load("stack.yaml").unwrap();

    let examples = &stack.vector.as_ref().unwrap().collections["sql"].examples;
    assert_eq!((examples[0].question.as_str(), examples[0].sql.as_str()), ("$NAME", sql));
    let term = &stack.system.ontologies["a"].terms[0];
    assert_eq!((term.term.as_str(), term.definition.as_str()), ("${x}", "${TRUE}"));
    assert_eq!((term.synonyms[0].as_str(), term.tables[0].as_str()), ("{{ y }}", "${t}"));
    assert!(stack.warnings.is_empty(), "{:?}", stack.warnings);
}

#[test]
fn lists_and_maps_in_rows_are_taken_as_they_are() {
    let folder = Folder::new()
        .with("stack.yaml", spec("  seeds: { s: { table: t, key: [id], rows: r.yaml } }\n"))
        .with("r.yaml", "- { id: 1, j: { a: ['${x}', '${TRUE}'] } }\n");

    let stack = folder.load("stack.yaml").unwrap();

    assert!(format!("{:?}", stack.system.seeds["s"].rows).contains("${TRUE}"));
}

#[test]
fn keys_that_are_not_indented_are_one_error_that_says_so() {
    for (text, says) in [
        (
            "version: 1\nstack: demo\nenvironment: dev\nsystem:\nurl: sqlite://a.db\ncreate_database: true\n",
            "`url` is not indented, and so is not below `system:`",
        ),
        (
            &spec("vector:\n  url: sqlite://v.db\n  embedder:\n  kind: hashing\n  dimensions: 64\n"),
            "`kind` is not indented, and so is not below `embedder:`",
        ),
        (
            &spec("targets:\nbusiness:\n  url: sqlite://b.db\n"),
            "`business` is not indented, and so is not below `targets:`",
        ),
    ] {
        let shown = only_error(&Folder::new().with("stack.yaml", text));
        assert!(shown.contains(says) && shown.contains("two spaces"), "{shown}");
    }
}

#[test]
fn a_null_byte_is_shown_with_its_line() {
    let seeds = |rows: &str| spec(&format!("  seeds: {{ s: {{ table: t, key: [id], rows: {rows} }} }}\n"));

    let csv =
        only_error(&Folder::new().with("stack.yaml", seeds("r.csv")).with("r.csv", "id,n\n1,a\n2,b\0c\n"));
    assert!(csv.contains("line 3 has a NUL byte"), "{csv}");
    for (name, text) in
        [("r.json", "[\n{\"id\": 1, \"n\": \"a\\u0000b\"}]"), ("r.yaml", "\n- { id: 1, n: \"a\\0b\" }\n")]
    {
        let shown = only_error(&Folder::new().with("stack.yaml", seeds(name)).with(name, text));
        assert!(shown.contains("NUL") && shown.contains(&format!("{name}:2")), "{shown}");
    }
    let in_spec = only_error(&Folder::new().with("stack.yaml", spec("  migrations: \"a\\0b\"\n")));
    assert!(in_spec.contains("NUL"), "{in_spec}");
}

#[test]
fn paths_of_windows_are_shown_how_to_write() {
    let with_url = |url: &str| spec("").replace("sqlite:///tmp/app.db", url);
    for (url, says) in [
        ("\"sqlite://C:\\data\\x.db\"", "in double quotes `\\` begins an escape"),
        ("\"sqlite://C:\\new\\table.db\"", "a control character in the path"),
        ("'sqlite://C:\\data\\x.db'", "the path is one of Windows"),
        ("sqlite:///C:/data/x.db", "the path is one of Windows"),
        ("\"sqlite://new\\table.db\"", "a control character in the path"),
    ] {
        let shown = only_error(&Folder::new().with("stack.yaml", with_url(url)));
        assert!(shown.contains(says), "{url}: {shown}");
    }
    let seed = spec("  seeds: { s: { table: t, key: [id], rows: \"data\\new.csv\" } }\n");
    let shown = only_error(&Folder::new().with("stack.yaml", seed));
    assert!(shown.contains("is a line feed"), "{shown}");
}

#[test]
fn a_placeholder_of_another_tool_within_a_secret_is_refused() {
    for written in ["x-$DB_PASSWORD", "${TRUE}$DB_PASSWORD", "{{ db.password }}-suffix", "x%DB_PASSWORD%"] {
        for spec in [
            spec(&format!("  users: {{ admin: {{ email: a@example.com, password: '{written}' }} }}\n")),
            spec("").replace("sqlite:///tmp/app.db", &format!("'postgres://app:{written}@db/x'")),
        ] {
            let errors = Folder::new().with("stack.yaml", &spec).load("stack.yaml").unwrap_err();
            assert_eq!(codes(&errors), [Code::BadPlaceholder], "{spec}: {}", rendered(&errors));
        }
    }
    let user = spec("").replace("sqlite:///tmp/app.db", "'postgres://$DB_USER:${TRUE}@db/x'");
    let stack = load_text(&user).unwrap();
    assert_eq!(stack.warnings.len(), 1, "{:?}", stack.warnings);
}

#[test]
fn sizes_and_durations_have_bounds() {
    let cache = "cache:\n  url: redis://localhost/0\n";
    for (wrong, right) in [
        ("  lock_timeout: 0s\n", "  lock_timeout: 1ms\n"),
        ("  lock_timeout: 25d\n", "  lock_timeout: 24d\n"),
        ("  statement_timeout: 25d\n", "  statement_timeout: 0s\n"),
        (
            &format!("{cache}  namespaces: {{ a: {{ prefix: \"a:\", ttl: 36501d }} }}\n"),
            &format!("{cache}  namespaces: {{ a: {{ prefix: \"a:\", ttl: 36500d }} }}\n"),
        ),
        (
            &format!("{cache}  streams: {{ a: {{ maxlen: 9223372036854775808 }} }}\n"),
            &format!("{cache}  streams: {{ a: {{ maxlen: 9223372036854775807 }} }}\n"),
        ),
        (
            &VECTOR.replace("hashing", "hashing, dimensions: 7"),
            &VECTOR.replace("hashing", "hashing, dimensions: 8"),
        ),
        (&format!("{VECTOR}  keep_generations: 101\n"), &format!("{VECTOR}  keep_generations: 100\n")),
        (
            "cache: { connection: { kind: redis, host: h, port: 0 } }\n",
            "cache: { connection: { kind: redis, host: h, port: 1 } }\n",
        ),
    ] {
        let folder = |more: &str| Folder::new().with("stack.yaml", spec(more)).with("questions.yaml", "[]");
        folder(right).load("stack.yaml").unwrap_or_else(|errors| panic!("{right}: {}", rendered(&errors)));
        let errors = folder(wrong).load("stack.yaml").unwrap_err();
        assert_eq!(codes(&errors), [Code::BadValue], "{wrong}: {}", rendered(&errors));
        assert!(errors.errors().iter().all(|error| error.advice().is_some()));
    }
}
