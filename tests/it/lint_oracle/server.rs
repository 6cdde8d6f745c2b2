//! Runs a migration file on PostgreSQL and observes its effect on existing tables: locks
//! (`pg_locks`), rows read and written (`pg_stat_xact_user_tables`), rewritten files
//! (`relfilenode`), checked tables (messages at `debug1`), and lost values (by comparing with a
//! copy).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use trueup::lint::Statement;

use crate::servers::Postgres;

/// From this number of rows on, a statement counts as working on a whole table.
const MANY_ROWS: i64 = 100;

/// The observations of a run.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The failed statement with its SQLSTATE.
    pub failed: Option<String>,
    /// The blocking statements, and their work while they block.
    pub blocks: BTreeSet<String>,
    /// Columns that lost values.
    pub lost: Vec<String>,
}

pub(super) struct Server<'a> {
    database: &'a Postgres,
}

impl<'a> Server<'a> {
    pub(super) fn new(database: &'a Postgres) -> Self {
        database.psql(include_str!("tools.sql"));
        Self { database }
    }

    /// Runs the statements of a file after what was there before.
    pub(super) fn run(
        &self,
        before: &str,
        rows: &str,
        statements: &[Statement],
        file: &str,
        in_transaction: bool,
    ) -> Observed {
        let texts: Vec<&str> = statements.iter().map(|statement| &file[statement.bytes.clone()]).collect();
        let mut script = format!(
            "\\set ON_ERROR_STOP on\nSELECT oracle.reset();\n{before}\n;{rows}\n;ANALYZE;\nSELECT oracle.keep();\n\
             \\set ON_ERROR_STOP off\nSET client_min_messages = debug1;\n"
        );
        let has_own = texts.iter().any(|text| text.to_lowercase().starts_with("begin"));
        if in_transaction {
            script.push_str("BEGIN;\nSELECT oracle.observe(-1);\n");
        }
        for (number, text) in texts.iter().enumerate() {
            let _ = writeln!(script, "\\warn statement|{number}");
            let _ = if in_transaction || has_own {
                write!(script, "{text}\n;\n{}SELECT oracle.observe({number});\n", unless_failed(number))
            } else {
                write!(script, "{}", alone(number, text))
            };
        }
        script.push_str("COMMIT;\n\\if :ERROR\n\\echo failed|commit|:SQLSTATE\n\\endif\n");
        script.push_str("SELECT 'lost|' || oracle.lost();\n\\echo end\n");
        let (stdout, stderr) = self.psql(&script);
        assert!(stdout.contains("end\n"), "{script}\n{stdout}\n{stderr}");
        observed(&stdout, &stderr)
    }

    fn psql(&self, script: &str) -> (String, String) {
        let mut psql = Command::new("psql")
            .arg(self.database.url())
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The server reads the rest of the script only while its output is read.
        let mut stdin = psql.stdin.take().unwrap();
        let script = script.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(script.as_bytes()));
        let output = psql.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr))
    }
}

/// Ends the script at a failed statement.
fn unless_failed(number: usize) -> String {
    format!(
        "\\if :ERROR\n\\echo failed|{number}|:SQLSTATE\nROLLBACK;\nSELECT 'lost|' || oracle.lost();\n\\echo end\n\\q\n\
         \\endif\n"
    )
}

/// A statement that commits by itself is observed in a transaction if it can run in one.
fn alone(number: usize, text: &str) -> String {
    let failed = unless_failed(number);
    format!(
        "BEGIN;\nSELECT oracle.observe(-1);\n{text}\n;\n\\if :ERROR\n\\set state :SQLSTATE\nROLLBACK;\n\
         SELECT :'state' = '25001' AS outside \\gset\n\\if :outside\n{text}\n;\n{failed}\\else\n\
         \\echo failed|{number}|:state\nSELECT 'lost|' || oracle.lost();\n\\echo end\n\\q\n\\endif\n\
         \\else\nSELECT oracle.observe({number});\nCOMMIT;\n\\endif\n"
    )
}

fn observed(stdout: &str, stderr: &str) -> Observed {
    let mut observed = Observed::default();
    let mut locks: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut work: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    let mut anew = BTreeSet::new();
    let mut counted: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for line in stdout.lines() {
        let parts: Vec<&str> = line.split('|').collect();
        let number = parts.get(1).and_then(|number| number.parse().ok()).unwrap_or(-1);
        match parts.as_slice() {
            ["failed", at, state] => observed.failed = Some(format!("{at} {state}")),
            ["lost", what] => observed.lost.push((*what).to_owned()),
            ["lock", _, relation, mode] => {
                locks.entry(number).or_default().insert(format!("{mode} on {relation}"));
            }
            ["rows", _, id, relation, read, written, held] => {
                let now = (read.parse().unwrap(), written.parse().unwrap(), held.parse().unwrap());
                let was = counted.insert((*id).to_owned(), now).unwrap_or_default();
                if number < 0 {
                    continue;
                }
                if now.0 - was.0 >= MANY_ROWS || now.1 - was.1 >= MANY_ROWS {
                    work.entry(number).or_default().insert(format!("works on rows of {relation}"));
                }
                if now.2 - was.2 >= MANY_ROWS {
                    observed.blocks.insert(format!("statement {number} holds the rows of {relation}"));
                }
            }
            ["anew", _, relation] if anew.insert((*relation).to_owned()) => {
                work.entry(number).or_default().insert(format!("writes {relation} anew"));
            }
            _ => {}
        }
    }
    let mut number = -1;
    for line in stderr.lines() {
        if let Some(at) = line.strip_prefix("statement|") {
            number = at.parse().unwrap();
        } else if line.contains("DEBUG:  verifying table") {
            work.entry(number).or_default().insert(line.to_owned());
        }
    }
    for (number, does) in work {
        for lock in locks.get(&number).into_iter().flatten() {
            observed.blocks.insert(format!("statement {number} {does:?} under {lock}"));
        }
    }
    observed
}
