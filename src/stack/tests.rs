//! Tests of the whole reader: files in, stacks or diagnostics out.

use std::fs;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

mod digests;
mod flags;
mod messages;
mod robust;
mod stacks;

/// A folder with files, loaded from.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn load(&self, name: &str) -> Result<Stack, SpecErrors> {
        load(&self.path(name), &variables, Contact::Live)
    }
}

/// The smallest spec, with more keys after it.
fn spec(more: &str) -> String {
    format!("version: 1\nstack: demo\nenvironment: dev\nsystem:\n  url: sqlite:///tmp/app.db\n{more}")
}

fn load_text(text: &str) -> Result<Stack, SpecErrors> {
    Folder::new().with("stack.yaml", text).load("stack.yaml")
}

/// The stack of a spec, for the tests of other rooms.
pub(crate) fn stack_of(text: &str) -> Stack {
    load_text(text).unwrap()
}

/// The variables that tests know.
fn variables(name: &str) -> Option<String> {
    match name {
        "ADMIN_PASSWORD" => Some("correct-horse-battery".to_owned()),
        "SYSTEM_URL" => Some("postgres://app:s3cr3tpassword@db:5432/insight".to_owned()),
        "EMPTY" => Some(String::new()),
        "TRUE" => Some("true".to_owned()),
        _ => None,
    }
}

fn rendered(errors: &SpecErrors) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100);
    handler.render_report(&mut text, errors).unwrap();
    text
}

fn codes(errors: &SpecErrors) -> Vec<Code> {
    errors.errors().iter().map(SpecError::kind).collect()
}

#[test]
fn a07_every_mistake_gives_its_diagnostic() {
    let mut specs: Vec<PathBuf> = fs::read_dir("tests/invalid")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    specs.sort();
    assert!(specs.len() >= 35, "{} mistakes", specs.len());
    let update = std::env::var_os("UPDATE").is_some();
    let mut differing = Vec::new();
    for path in specs {
        let errors = load(&path, &variables, Contact::Live).expect_err(&path.display().to_string());
        let shown = rendered(&errors);
        assert!(!shown.contains("hunter2"), "a secret is shown: {shown}");
        let expected = path.with_extension("stderr");
        if update {
            fs::write(&expected, &shown).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != shown {
            differing.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(differing.is_empty(), "run with UPDATE=1 and review:\n{}", differing.join("\n"));
}

#[test]
fn the_json_schema_in_the_repository_is_the_one_of_the_code() {
    let path = Path::new("schemas/stack.schema.json");
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all("schemas").unwrap();
        fs::write(path, &schema).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), schema, "run with UPDATE=1");
}
