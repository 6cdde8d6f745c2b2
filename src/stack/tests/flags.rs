//! The flags: what they mean for each other, for targets and for production.

use super::*;

const VECTOR: &str = "vector:\n  url: sqlite:///tmp/vectors.db\n  embedder: { kind: hashing }\n";
const TARGET: &str = "targets:\n  business: { url: 'sqlite:///tmp/business.db' }\n";

#[test]
fn a04_demo_data_in_production_is_refused_with_rule_file_and_line() {
    for environment in ["prod", "production"] {
        let text = spec("flags:\n  seed_demo_data: true\n").replace("dev", environment);
        let errors = load_text(&text).unwrap_err();
        assert_eq!(codes(&errors), [Code::DemoDataInProduction]);
        let error = &errors.errors()[0];
        assert!(error.to_string().contains("`seed_demo_data` is true"), "{error}");
        assert!(error.location().unwrap().to_string().ends_with("stack.yaml:7"));
    }

    let said = spec("flags: { seed_demo_data: false }\n").replace("dev", "prod");
    assert!(!load_text(&said).unwrap().flags.is_on("seed_demo_data"));
    let unsaid = spec("").replace("dev", "prod");
    assert_eq!(codes(&load_text(&unsaid).unwrap_err()), [Code::DemoDataInProduction]);
}

#[test]
fn a05_all_eight_combinations_with_and_without_a_target_have_their_verdict() {
    for seed in [true, false] {
        for enabled in [true, false] {
            for train in [true, false] {
                for has_target in [true, false] {
                    let flags = format!(
                        "flags: {{ seed_demo_data: {seed}, enable_target_db: {enabled}, auto_train_vector: {train} }}\n"
                    );
                    let target = if has_target { TARGET } else { "" };
                    let result = load_text(&spec(&format!("{flags}{target}{VECTOR}")));

                    let mut expected = Vec::new();
                    if enabled && !has_target {
                        expected.push(Code::Flags);
                    }
                    if train && !enabled {
                        expected.push(Code::Flags);
                    }
                    let case = format!("{seed} {enabled} {train} {has_target}");
                    match result {
                        Err(errors) => assert_eq!(codes(&errors), expected, "{case}"),
                        Ok(stack) => {
                            assert!(expected.is_empty(), "{case}");
                            assert_eq!(stack.warnings.len(), usize::from(has_target && !enabled), "{case}");
                            assert_eq!(stack.flags.is_on("seed_demo_data"), seed);
                            assert_eq!(stack.flags.auto_train_vector(), train);
                            assert!(stack.targets.values().all(|target| target.on == enabled));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a05_training_without_a_vector_store_is_refused() {
    let flags = "flags: { enable_target_db: true, auto_train_vector: true }\n";
    let errors = load_text(&spec(&format!("{flags}{TARGET}"))).unwrap_err();
    assert_eq!(codes(&errors), [Code::Flags]);
}

#[test]
fn a06_booleans_are_true_or_false_and_nothing_else() {
    for wrong in ["yes", "no", "1", "0", "on", "off", "True", "FALSE", "y", "'true'", "\"false\"", "~x", "[]"]
    {
        let errors = load_text(&spec(&format!("flags:\n  mine: {wrong}\n"))).unwrap_err();
        assert_eq!(codes(&errors), [Code::WrongType], "{wrong}");
    }
    let stack =
        load_text(&spec("flags: { mine: true, from_variable: ${TRUE}, with_default: ${NOPE:-false} }\n"))
            .unwrap();
    assert!(
        stack.flags.is_on("mine") && stack.flags.is_on("from_variable") && !stack.flags.is_on("with_default")
    );
}

#[test]
fn a06_traps_of_yaml_never_change_a_meaning() {
    let stack = load_text(&spec(
        "  users:\n    no:\n      role: off\n      email: 0123\n      password: ${ADMIN_PASSWORD}\n\
         \x20     columns: { a: 1e3, b: 2024-01-01, c: 012, d: yes, e: null, f: [1, 'x', true, 0x1, 01], g: { z: ~, a: 1.50 } }\n\
         cache:\n  url: redis://h/0\n  config: { maxmemory: 256mb, hz: 010, on: yes }\n",
    ))
    .unwrap();
    let user = &stack.system.users["no"];
    assert_eq!((user.role.as_deref(), user.email.as_deref()), (Some("off"), Some("0123")));
    let text = |text: &str| Cell::Text(text.to_owned());
    let cells: Vec<&Cell> = user.columns.values().collect();
    assert_eq!(
        cells,
        [
            &text("1e3"),
            &text("2024-01-01"),
            &text("012"),
            &text("yes"),
            &Cell::Null,
            &Cell::Json(r#"[1,"x",true,"0x1","01"]"#.to_owned()),
            &Cell::Json(r#"{"a":1.50,"z":null}"#.to_owned()),
        ]
    );
    let config = &stack.cache.unwrap().config;
    assert_eq!(
        (config["maxmemory"].as_str(), config["hz"].as_str(), config["on"].as_str()),
        ("256mb", "010", "yes")
    );
}

#[test]
fn a_condition_narrows_what_a_flag_switches() {
    let folder = Folder::new().with("rows.csv", "id\n1\n").with(
        "stack.yaml",
        spec(
            "  seeds:\n    on: { when: not fast, table: t, key: [id], rows: rows.csv }\n\
             \x20   off: { when: fast, table: t, key: [id], rows: rows.csv }\n\
             flags: { enable_target_db: true, fast: false }\n\
             targets:\n  one: { url: 'sqlite:///tmp/x.db', when: fast }\n",
        ),
    );
    let stack = folder.load("stack.yaml").unwrap();
    assert!(stack.system.seeds["on"].on && !stack.system.seeds["off"].on && !stack.targets["one"].on);
}

#[test]
fn a07_all_errors_of_a_run_are_found_with_their_places() {
    let errors =
        load(Path::new("tests/invalid/all_errors_together.yaml"), &variables, Contact::Live).unwrap_err();
    let places: Vec<(usize, usize)> = errors
        .errors()
        .iter()
        .map(|error| error.location().map(|at| (at.line(), at.column())).unwrap())
        .collect();
    assert_eq!(
        places,
        [(1, 10), (2, 8), (4, 1), (7, 19), (9, 8), (10, 10), (11, 17), (13, 37), (15, 40), (17, 17)]
    );
}

#[test]
fn a07_a_cycle_prints_its_whole_path() {
    let errors = load(Path::new("tests/invalid/cycle.yaml"), &variables, Contact::Live).unwrap_err();
    let message = errors.errors()[0].to_string();
    assert!(
        message
            .contains("cycle.yaml → tests/invalid/files/cycle_b.yaml → tests/invalid/files/cycle_c.yaml → ")
    );
}

#[test]
fn a15_a_duplicate_term_and_a_clash_of_synonyms_name_both_lines() {
    let errors = load(Path::new("tests/invalid/ontology.yaml"), &variables, Contact::Live).unwrap_err();
    let shown = rendered(&errors);
    assert!(shown.contains("the key `revenue` stands twice"), "{shown}");
    assert!(
        shown.contains("the synonym `Turnover` of the term `cost` is taken by the term `revenue`"),
        "{shown}"
    );
    assert!(shown.matches("first here").count() >= 3 && shown.matches("again here").count() >= 3, "{shown}");
}
