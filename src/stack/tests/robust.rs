//! Hostile and broken input gives a diagnostic, never a panic.

use proptest::prelude::*;

use super::*;

fn first(errors: &SpecErrors) -> String {
    errors.errors()[0].to_string()
}

#[test]
fn what_is_no_readable_file_is_refused() {
    let folder = Folder::new().with("folder/x", "").with("large.yaml", "");
    fs::File::options().write(true).open(folder.path("large.yaml")).unwrap().set_len(100 << 20).unwrap();

    assert!(first(&folder.load("missing.yaml").unwrap_err()).contains("no such file"));
    assert!(first(&folder.load("folder").unwrap_err()).contains("it is a folder"));
    assert!(first(&folder.load("large.yaml").unwrap_err()).contains("it has 100 MiB"));
    assert!(
        first(&load(Path::new("/dev/zero"), &variables, Contact::Live).unwrap_err())
            .contains("not a regular")
    );
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert!(load_text(&format!("\u{feff}{}", spec(""))).is_ok());
}

#[test]
fn no_more_errors_are_shown_than_anybody_reads() {
    let flags = (0..200).map(|n| format!("  f{n}: yes")).collect::<Vec<_>>().join("\n");
    let errors = load_text(&spec(&format!("flags:\n{flags}"))).unwrap_err();
    assert_eq!(errors.errors().len(), 50);
    assert!(errors.to_string().starts_with("200 errors in "));
}

#[test]
fn a_line_of_a_megabyte_is_told_of_and_not_quoted() {
    let items = "x, ".repeat(400_000);
    let errors = load_text(&spec(&format!("  order: [{items}]\n"))).unwrap_err();
    let shown = rendered(&errors);
    assert!(shown.contains("stack.yaml:6:10") && shown.len() < 2000, "{} bytes", shown.len());
}

#[test]
fn files_that_are_wrong_everywhere_cost_no_minute() {
    let begun = std::time::Instant::now();
    let unknown: String = (0..200_000).fold(String::new(), |text, n| text + "u" + &n.to_string() + ": ://\n");
    for text in [
        unknown,
        "://".repeat(400_000),
        "${".repeat(400_000),
        "a: &a [*a".repeat(1000),
        "{".repeat(1_000_000),
    ] {
        assert!(!load_text(&text).unwrap_err().errors().is_empty());
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn a_secret_of_a_broken_file_is_not_shown() {
    for broken in [
        "users: { admin: { password: hunter2hunter2, role: [ } }\n",
        "url: postgres://app:hunter2hunter2@h/d\n\tx: 1\n",
        "password: |\n  hunter2hunter2\n- x\n",
        "api_token: 'hunter2hunter2\n",
    ] {
        let errors = load_text(broken).unwrap_err();
        assert!(!rendered(&errors).contains("hunter2"), "{}", rendered(&errors));
    }
}

/// Text that looks like a spec often enough to get past the parser.
fn spec_like() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        prop::sample::select(vec![
            "version: 1\n",
            "stack: demo\n",
            "environment: prod\n",
            "system:\n",
            "  url: ",
            "sqlite://",
            "x.db\n",
            "flags:\n",
            "  seed_demo_data: ",
            "true\n",
            "users: ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ": ",
            "\n",
            "  ",
            "    ",
            "- ",
            "&a ",
            "*a ",
            "<<",
            "${",
            "}",
            "${A:-b}",
            "$${",
            "${file:x}",
            "\"",
            "'",
            "|\n",
            ">\n",
            "!t ",
            "null",
            "~",
            "?",
            "#",
            "extends: stack.yaml\n",
            "vector:\n",
            "cache:\n",
            "targets:\n",
            "password: ",
            "\u{e000}",
            "\u{feff}",
            "é",
            "\t",
            "---\n",
            "%YAML 1.2\n",
            "\r\n",
            "postgres://a:b@c/d\n",
            "when: not x\n",
            "0123",
            "1e3",
            "policies:\n",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn loading_never_panics_on_text(text in spec_like(), valid_head in any::<bool>()) {
        let text = if valid_head { spec(&text) } else { text };
        if let Err(errors) = load_text(&text) {
            prop_assert!(!errors.errors().is_empty());
            rendered(&errors);
        }
    }

    #[test]
    fn loading_never_panics_on_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let folder = Folder::new().with("stack.yaml", bytes);
        let errors = folder.load("stack.yaml").unwrap_err();
        prop_assert!(!errors.errors().is_empty());
        rendered(&errors);
    }

    #[test]
    fn rows_of_any_text_never_panic(text in "[a-c,\"\\n\\r ]{0,40}") {
        let folder = Folder::new()
            .with("rows.csv", format!("id,b\n{text}"))
            .with("stack.yaml", spec("  seeds: { s: { table: t, key: [id], rows: rows.csv } }\n"));
        if let Err(errors) = folder.load("stack.yaml") {
            rendered(&errors);
        }
    }
}
