//! Lint against SQLite itself: each case of `lint_oracle/sqlite.sql` is judged by the lint and run on a
//! file with few rows and on one with many. SQLite has one write lock, so that a migration makes others
//! wait where its work grows with the rows: the virtual machine's steps are counted. What was lost is
//! found by a comparison with a copy of the file.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use trueup::catalog::Snapshot;
use trueup::change::{Risk, Risks};
use trueup::lint::{self, Known, Statement, Text};
use trueup::sql::Dialect;

/// Risks by convention that the migration itself does not show.
const BY_CONVENTION: [&str; 6] = [
    "renaming-table",
    "renaming-column",
    "code-block",
    "client-command",
    "disabled-checks",
    "outside-database",
];

const FEW: usize = 10;
const MANY: usize = 3000;

/// After how many steps the program reports its progress.
const STEPS: usize = 100;

const BASE: &str = "\
PRAGMA foreign_keys = ON;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL, code TEXT UNIQUE, amount INTEGER, note TEXT);
CREATE TABLE u (t_id INTEGER REFERENCES t ON DELETE CASCADE, label TEXT);
CREATE INDEX u_label ON u (label);
CREATE INDEX u_t ON u (t_id);
CREATE TABLE word_list (n INTEGER, word TEXT);
";

/// The values of all columns differ, and those of `u` differ from those of `t` unless they are
/// references.
const ROWS: &str = "\
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $N)
INSERT INTO t SELECT i, 'name ' || i, 'code ' || i, i + 500000, 'note ' || i FROM n;
INSERT INTO u SELECT id, 'label ' || id FROM t;
INSERT INTO word_list SELECT id + 900000, 'word ' || id FROM t;
";

#[derive(Debug)]
struct Observed {
    /// The error of SQLite.
    failed: Option<String>,
    steps: usize,
    /// Columns that lost values.
    lost: String,
}

struct File {
    folder: tempfile::TempDir,
}

impl File {
    fn with_rows(count: usize) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        let copy = format!("VACUUM INTO '{}';", file.copy().display());
        let (_, errors) =
            sqlite(&file.path(), &format!("{BASE}{}{copy}", ROWS.replace("$N", &count.to_string())));
        assert_eq!(errors, "");
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data.db")
    }

    fn copy(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    fn run(&self, statements: &[&str], in_transaction: bool) -> Observed {
        let (begin, commit) = if in_transaction { ("BEGIN IMMEDIATE;\n", "COMMIT;\n") } else { ("", "") };
        let body = statements.join("\n;\n") + "\n;\n";
        let script =
            format!("PRAGMA foreign_keys = ON;\n{begin}.progress {STEPS}\n{body}.progress 0\n{commit}");
        let (output, errors) = sqlite(&self.path(), &script);
        let failed = Some(errors).filter(|errors| !errors.is_empty());
        Observed { failed, steps: output.matches("Progress ").count() * STEPS, lost: self.lost() }
    }

    /// Returns the columns of the copy whose values are no longer complete in any column of the
    /// file.
    fn lost(&self) -> String {
        let attach = format!("ATTACH '{}' AS copy;\n", self.copy().display());
        let ask = |sql: &str| sqlite(&self.path(), &format!("{attach}{sql}")).0;
        let columns = |of: &str| {
            ask(&format!(
                "SELECT m.name || '.' || c.name FROM {of}.sqlite_schema m, pragma_table_info(m.name, '{of}') c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%';"
            ))
        };
        let (before, after) = (columns("copy"), columns("main"));
        let is_kept = |old: &str| {
            let (table, column) = old.split_once('.').unwrap();
            // The comparison is slow, and most columns did not move.
            after.lines().filter(|new| *new == old).chain(after.lines()).any(|new| {
                let (other, now) = new.split_once('.').unwrap();
                let missing = ask(&format!(
                    "WITH now (v, n) AS (SELECT {now}, count(*) FROM main.{other} GROUP BY 1)
                     SELECT count(*) FROM (SELECT {column} AS v, count(*) AS n FROM copy.{table} \
                     WHERE {column} IS NOT NULL GROUP BY 1) was LEFT JOIN now ON now.v = was.v \
                     WHERE now.n IS NULL OR now.n < was.n;"
                ));
                missing.trim() == "0"
            })
        };
        before.lines().filter(|column| !is_kept(column)).collect::<Vec<_>>().join(", ")
    }
}

fn sqlite(path: &Path, script: &str) -> (String, String) {
    let mut program = Command::new("sqlite3")
        .args(["-bail", "-batch"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A failed statement reads no further.
    let _ = program.stdin.take().unwrap().write_all(script.as_bytes());
    let output = program.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

fn judged(file: &str, in_transaction: bool) -> Vec<Statement> {
    // A SQLite schema is known completely.
    let mut known = Known::from_schema(&Snapshot::default(), Dialect::Sqlite);
    let text = |sql, in_transaction| Text { sql, dialect: Dialect::Sqlite, in_transaction };
    lint::classify(text(BASE, false), &mut known, &|_| None);
    known.mark_all_used();
    lint::classify(text(file, in_transaction), &mut known, &|_| None)
}

#[test]
fn lint_oracle_sqlite() {
    let mut wrong = Vec::new();
    let cases: Vec<&str> = include_str!("lint_oracle/sqlite.sql").split("\n=== ").skip(1).collect();
    for case in &cases {
        let (head, file) = case.split_once('\n').unwrap();
        let (expected, title) = head.split_once(": ").unwrap();
        let in_transaction = !file.starts_with("-- no-transaction");
        let statements = judged(file, in_transaction);
        let texts: Vec<&str> = statements.iter().map(|statement| &file[statement.bytes.clone()]).collect();

        let few = File::with_rows(FEW).run(&texts, in_transaction);
        let many = File::with_rows(MANY).run(&texts, in_transaction);

        let grows = many.steps.saturating_sub(few.steps) >= MANY - FEW;
        let fails = many.failed.is_some();
        let seen = [
            (Risk::Destructive, !many.lost.is_empty() || !few.lost.is_empty()),
            (Risk::Unvalidated, fails),
            (Risk::Locking, grows),
        ];
        let seen: Risks = seen.into_iter().filter(|(_, is)| *is).map(|(risk, _)| risk).collect();
        let judged: Risks = statements.iter().flat_map(|statement| statement.risks).collect();
        let found: Vec<_> = statements.iter().flat_map(|statement| &statement.findings).collect();
        let is_explained = |risk: Risk| {
            let is_convention =
                found.iter().any(|of| of.risk == risk && BY_CONVENTION.contains(&of.rule.name));
            seen.contains(risk) || is_convention || fails && risk == Risk::Locking
        };
        let has_names = |risks: Risks| risks.into_iter().map(Risk::as_str).collect::<Vec<_>>().join("+");
        let names = if judged == Risks::SAFE { "safe".to_owned() } else { has_names(judged) };
        if names != expected || !seen.are_within(judged) || !judged.into_iter().all(is_explained) {
            wrong.push(format!(
                "{title}\n  expected {expected}, lint {names}: {found:?}\n  {few:?}\n  {many:?}"
            ));
        }
    }
    println!("{} cases on SQLite, {} wrong", cases.len(), wrong.len());
    assert!(!cases.is_empty() && wrong.is_empty(), "{}", wrong.join("\n"));
}
