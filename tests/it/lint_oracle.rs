//! Lint against PostgreSQL itself: each case of `lint_oracle/*.sql` is a file of migrations that is both
//! judged by the lint and run by the server, and what is observed of the run decides who is right.
//!
//! A case is
//!
//! ```text
//! === RISK[+RISK] [since VERSION]: what it is about
//! earlier migrations
//! --- rows
//! rows that the tables have; once more for other rows
//! --- file
//! the file that is judged, which may begin with `-- no-transaction`
//! ```
//!
//! One without `--- file` is that file alone, after `base.sql`. The answers of `held_out.sql` were taken from
//! PostgreSQL before the lint was tried on them.

mod server;

use trueup::change::{Risk, Risks};
use trueup::lint::{self, Finding, Known, Statement, Text};
use trueup::sql::Dialect;

use crate::servers::Postgres;
use server::{Observed, Server};

/// Risks by convention, which no observation of the migration itself shows: others fail afterwards, or wait
/// for a lock that is held for a moment only.
const BY_CONVENTION: [&str; 12] = [
    "outside-database",
    "query-rule",
    // VACUUM FULL runs in no transaction whose locks could be seen.
    "rewrite-table",
    "renaming-table",
    "renaming-column",
    "lock-table",
    "require-concurrent-index-deletion",
    "require-concurrent-partition-detach",
    "code-block",
    "disabled-checks",
    "not-parsed",
    "transaction-control",
];

struct Case<'a> {
    title: &'a str,
    risks: Risks,
    /// The first version of PostgreSQL that supports all of it.
    since: u32,
    before: &'a str,
    rows: Vec<&'a str>,
    file: &'a str,
}

impl<'a> Case<'a> {
    fn read(text: &'a str) -> Self {
        let (head, body) = text.split_once('\n').unwrap();
        let (risk, title) = head.split_once(": ").unwrap_or_else(|| panic!("{head}"));
        let (risk, since) =
            risk.split_once(" since ").map_or((risk, 0), |(risk, since)| (risk, since.parse().unwrap()));
        let (before, file) =
            body.split_once("--- file\n").unwrap_or((include_str!("lint_oracle/base.sql"), body));
        let risks = risk.split('+').map(|risk| match risk {
            "safe" => Risk::Safe,
            "locking" => Risk::Locking,
            "unvalidated" => Risk::Unvalidated,
            "destructive" => Risk::Destructive,
            other => panic!("{title}: {other} is no risk"),
        });
        let risks = risks.collect();
        let mut parts = before.split("--- rows\n");
        let before = parts.next().unwrap_or("");
        let mut rows: Vec<_> = parts.collect();
        if rows.is_empty() {
            rows.push("");
        }
        Self { title, risks, since, before, rows, file }
    }

    fn in_transaction(&self) -> bool {
        !self.file.starts_with("-- no-transaction")
    }

    fn judged(&self) -> Vec<Statement> {
        let mut known = Known::default();
        let text = |sql, in_transaction| Text { sql, dialect: Dialect::Postgres, in_transaction };
        lint::classify(text(self.before, true), &mut known, &|_| None);
        known.mark_all_used();
        lint::classify(text(self.file, self.in_transaction()), &mut known, &|_| None)
    }
}

/// Combines the observations of all runs of a file.
fn risks_of(observed: &[Observed]) -> Risks {
    let any = |is: fn(&Observed) -> bool| observed.iter().any(is);
    let risks = [
        (Risk::Destructive, any(|run| !run.lost.is_empty())),
        (Risk::Unvalidated, any(|run| run.failed.is_some())),
        (Risk::Locking, any(|run| !run.blocks.is_empty())),
    ];
    risks.into_iter().filter(|(_, is)| *is).map(|(risk, _)| risk).collect()
}

/// Judges and runs all cases, and says where judgement, observation and expectation differ. Of every hundred
/// cases `most_wrong` may differ, but no risk may be missed.
fn check(name: &str, most_wrong: usize) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/lint_oracle");
    let cases = &std::fs::read_to_string(format!("{folder}/{name}.sql")).unwrap();
    let database = Postgres::start();
    let version = database.major();
    let server = Server::new(&database);
    let (mut wrong, mut missed) = (Vec::new(), Vec::new());
    let (mut count, mut worst_wrong) = (0, 0);
    for text in cases.split("\n=== ").skip(1) {
        let case = Case::read(text);
        count += 1;
        let statements = case.judged();
        let judged: Risks = statements.iter().flat_map(|statement| statement.risks).collect();
        let found: Vec<&Finding> = statements.iter().flat_map(|statement| &statement.findings).collect();
        let observed: Vec<Observed> = if version < case.since {
            Vec::new()
        } else {
            let run =
                |rows: &&str| server.run(case.before, rows, &statements, case.file, case.in_transaction());
            case.rows.iter().map(run).collect()
        };
        let seen = risks_of(&observed);
        // If the statement has failed, lock waits cannot be observed.
        let all_failed = observed.iter().all(|run| run.failed.is_some());
        let is_explained = |risk: Risk| {
            let by_convention =
                |found: &&Finding| found.risk == risk && BY_CONVENTION.contains(&found.rule.name);
            seen.contains(risk) || found.iter().any(by_convention) || risk == Risk::Locking && all_failed
        };
        // The lint cannot analyze code.
        let is_opaque = found.iter().any(|found| found.rule.name == "code-block");
        let is_seen = is_opaque || seen.are_within(judged);
        let agrees = observed.is_empty() || is_seen && judged.into_iter().all(is_explained);
        if case.risks == judged && agrees {
            continue;
        }
        worst_wrong += usize::from(case.risks.worst() != judged.worst());
        let text = format!(
            "{}\n  expected {}\n  observed {}: {observed:?}\n  lint {}: {found:?}",
            case.title,
            case.risks.names(),
            seen.names(),
            judged.names()
        );
        if judged.worst() < case.risks.worst() {
            missed.push(text);
        } else {
            wrong.push(text);
        }
    }
    println!(
        "{count} cases on PostgreSQL {version}, {} wrong, {} missed, {worst_wrong} with a wrong worst risk",
        wrong.len(),
        missed.len()
    );
    assert!(
        count > 0 && missed.is_empty() && wrong.len() * 100 <= count * most_wrong,
        "of {count} on PostgreSQL {version} risks are missed:\n{}\nand these are wrong:\n{}",
        missed.join("\n"),
        wrong.join("\n")
    );
}

#[test]
fn lint_oracle_what_fails_in_a_transaction() {
    check("transactions", 0);
}

#[test]
fn lint_oracle_what_is_done_under_a_lock() {
    check("locks", 0);
}

#[test]
fn lint_oracle_statements() {
    check("statements", 0);
}

#[test]
fn lint_oracle_held_out_statements() {
    check("held_out", 5);
}

#[test]
fn lint_oracle_hard_statements() {
    check("hard", 5);
}
