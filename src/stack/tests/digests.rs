//! The digest of a stack, its secrets and its layers.

use super::*;

fn digest(text: &str) -> String {
    load_text(text).unwrap().digest.to_string()
}

#[test]
fn order_quotes_and_comments_are_no_change() {
    let one = spec("cache: { url: 'redis://h/0', config: { a: 1, b: x } }\n");
    let two = "# a comment\nenvironment: \"dev\"\ncache:\n  config:\n    b: x\n    a: 1\n  url: redis://h/0\nversion: 1\n\
               stack: demo\nsystem: { url: 'sqlite:///tmp/app.db' }\n";
    assert_eq!(digest(&one), digest(two));
    assert_ne!(digest(&one), digest(&spec("cache: { url: 'redis://h/0', config: { a: 2, b: x } }\n")));
}

#[test]
fn secrets_are_not_in_the_digest_and_placeholders_are() {
    let with = |password: &str| digest(&spec(&format!("  users: {{ admin: {{ password: {password} }} }}\n")));
    assert_eq!(with("first-long-password"), with("second-long-password"));
    assert_ne!(with("${ADMIN_PASSWORD}"), with("${OTHER_PASSWORD}"));
    let url = |password: &str| digest(&spec(&format!("cache: {{ url: 'redis://:{password}@h/0' }}\n")));
    assert_eq!(url("one"), url("two"));
}

#[test]
fn contents_of_named_files_count_and_their_line_endings_do_not() {
    let seed = spec("  seeds: { s: { table: t, key: [id], rows: rows.csv } }\n");
    let of = |rows: &str| {
        Folder::new().with("stack.yaml", &seed).with("rows.csv", rows).load("stack.yaml").unwrap().digest
    };
    assert_eq!(of("id,n\n1,a\n"), of("id,n\r\n1,a\r\n"));
    assert_ne!(of("id,n\n1,a\n"), of("id,n\n1,b\n"));
}

#[test]
fn layers_merge_replace_and_remove_and_paths_count_from_their_own_file() {
    let folder = Folder::new()
        .with("base/rows.csv", "id\n1\n")
        .with(
            "base/base.yaml",
            "version: 1\nstack: demo\nsystem:\n  url: sqlite://app.db\n  extensions: []\n  users:\n\
             \x20   admin: { role: admin, email: a@b, password: '${ADMIN_PASSWORD}' }\n    gone: { password: '${ADMIN_PASSWORD}' }\n\
             \x20 seeds: { s: { table: t, key: [id], rows: rows.csv } }\n\
             policies: { keep: { deny: locking }, drop: { deny: destructive } }\n",
        )
        .with("mid.yaml", "extends: base/base.yaml\nenvironment: mid\nsystem: { extensions: null, lock_timeout: 9s }\n")
        .with(
            "stack.yaml",
            "extends: mid.yaml\nenvironment: dev\nsystem:\n  users:\n    gone: null\n    admin: { email: null, role: viewer }\n\
             policies: { drop: null }\n",
        );
    let stack = folder.load("stack.yaml").unwrap();

    assert_eq!(stack.environment, "dev");
    assert_eq!(stack.system.users.len(), 1);
    let admin = &stack.system.users["admin"];
    assert_eq!((admin.email.as_deref(), admin.role.as_deref()), (None, Some("viewer")));
    assert_eq!(stack.system.lock_timeout.as_secs(), 9);
    assert_eq!(stack.system.seeds["s"].rows.iter().collect::<Vec<_>>(), [[Some("1")]]);
    let SystemUrl::Sqlite(path) = stack.system.endpoint.to.as_ref().unwrap() else { panic!("a file") };
    assert_eq!(path, &folder.path("base/app.db"));
    assert_eq!(stack.policies.len(), 1);
    assert!(stack.warnings.iter().any(|warning| warning.message.contains("`drop`")), "{:?}", stack.warnings);
}

#[test]
fn a_literal_secret_is_a_warning_and_shown_nowhere() {
    let stack = load_text(&spec(
        "  users: { admin: { password: hunter2hunter2 } }\ncache: { url: 'redis://:hunter2@h/0' }\n",
    ))
    .unwrap();
    assert_eq!(stack.warnings.len(), 2);
    let shown = format!("{stack:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let at = stack.warnings[0].at.as_ref().unwrap();
    assert!(!at.source.shown().inner().contains("hunter2"));
}

#[test]
fn an_unset_password_is_tolerated_and_an_unset_address_only_offline() {
    let users = spec("  users: { admin: { password: '${NOPE}' }, b: { password: '${file:nope}' } }\n");
    let stack = load_text(&users).unwrap();
    let names: Vec<&str> = stack.unset_secrets().iter().map(|secret| secret.placeholder()).collect();
    assert_eq!(names, ["${NOPE}", "${file:nope}"]);

    let vector = "vector: { url: '${NOPE}', token: '${NOPE}', embedder: { kind: hashing } }\n";
    let text = spec(vector).replace("sqlite:///tmp/app.db", "${DATABASE_URL}");
    let folder = Folder::new().with("stack.yaml", text);
    assert_eq!(codes(&folder.load("stack.yaml").unwrap_err()), [Code::Unset; 3]);
    let stack = load(&folder.path("stack.yaml"), &variables, Contact::Offline).unwrap();
    assert_eq!(stack.system.endpoint.to.as_ref().unwrap_err().names, ["DATABASE_URL"]);
    assert_eq!(stack.system.endpoint.written, "${DATABASE_URL}");
}

#[test]
fn what_a_placeholder_gives_is_never_in_a_message() {
    let errors = load_text(&spec(
        "  lock_timeout: ${ADMIN_PASSWORD}\n  order: ${ADMIN_PASSWORD}\n\
                                  \x20 create_database: ${ADMIN_PASSWORD}\n  migrations: ${EMPTY}x\n\
                                  cache: { url: '${ADMIN_PASSWORD}' }\n",
    ))
    .unwrap_err();
    assert_eq!(errors.errors().len(), 5);
    assert!(!rendered(&errors).contains("correct-horse"), "{}", rendered(&errors));
}
