//! The lint room: the text of a migration, and a dialect, give what each statement may cost. Pure:
//! no server, no file; what was observed of a table comes in as a value. Knows no stack.

mod act;
mod assertion;
mod condition;
mod control;
mod grouped;
mod known;
mod postgres;
pub mod rules;
pub(crate) mod script;
mod sqlite;
mod transactions;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use grouped::{Grouped, grouped};
pub use known::{Known, Missing};
pub use rules::Rule;

use crate::catalog::TableName;
use crate::change::{Risk, Risks};
use crate::sql::{self, Dialect};
use act::Act;
pub use control::of_client;
pub(crate) use control::{Boundary, OF_CLIENT_HELP, boundary, has_transactions, without_keys};
use script::{Script, told};

/// The text of one migration.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub sql: &'a str,
    /// What it is written in.
    pub dialect: Dialect,
    /// Whether it runs in one transaction.
    pub in_transaction: bool,
}

/// One statement, with what it may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub bytes: Range<usize>,
    /// Its line, counted from 1.
    pub line: usize,
    /// All that it may cost.
    pub risks: Risks,
    /// Why: one for each of the risks, the worst first.
    pub findings: Vec<Finding>,
}

/// One thing that a statement may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The rule's risk, or a lesser one where an assertion is made.
    pub risk: Risk,
    /// Why the rule applies, in one line.
    pub reason: String,
}

impl Statement {
    /// The worst of what it may cost.
    pub fn risk(&self) -> Risk {
        self.risks.worst()
    }

    /// The rule of the worst risk; `None` where no rule applies.
    pub fn rule(&self) -> Option<&'static Rule> {
        self.findings.first().map(|finding| finding.rule)
    }

    /// Why, in one line, for each of the risks.
    pub fn reason(&self) -> String {
        let Some((worst, more)) = self.findings.split_first() else {
            return "loses nothing and blocks nobody".to_owned();
        };
        let mut reason = worst.reason.clone();
        for Finding { rule, risk, reason: other } in more {
            reason.push_str("; ");
            if *risk != Risk::Safe {
                // Writing to a String cannot fail.
                let _ = write!(reason, "also {} ({}): ", risk.as_str(), rule.name);
            }
            reason.push_str(other);
        }
        reason
    }
}

/// Whether a table has rows: the verdict on an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emptiness {
    Empty,
    /// It has some.
    NotEmpty,
    /// There is no such table, and nothing to lose.
    Missing,
}

/// `-- trueup:assert-empty TABLE` above a statement: the statement runs only while that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The bytes of the statement.
    pub statement: Range<usize>,
    /// The table that must be empty.
    pub table: TableName,
}

/// The assertions of a text, in its order.
pub fn assertions(sql: &str, dialect: Dialect) -> Vec<Assertion> {
    if !assertion::may_have(sql) {
        return Vec::new();
    }
    let script = Script::read(sql, dialect);
    let above = assertion::above(sql, &script, dialect);
    let each = script.statements.iter().zip(above).flat_map(|(statement, above)| {
        let table = |table| Assertion { statement: statement.clone(), table };
        above.tables.into_iter().map(table)
    });
    each.collect()
}

/// The tables and the schemas that a text makes or drops only where they are missing or there, so that
/// what it costs depends on that.
pub fn sought(sql: &str, dialect: Dialect) -> (Vec<TableName>, Vec<String>) {
    match dialect {
        Dialect::Postgres => {
            let script = Script::read(sql, dialect);
            let is_nested = script.nesting.iter().any(|nesting| *nesting > MOST_NESTING);
            if is_nested { <_>::default() } else { postgres::sought(&script.without_comments(sql)) }
        }
        // All that there is in a file of SQLite is known.
        Dialect::Sqlite => <_>::default(),
    }
}

/// Classifies the statements of a text, one after the other, and notes in `known` what they make.
/// `observed` says of a table whether it has rows, and `None` where nobody has looked.
pub fn classify(
    text: Text<'_>,
    known: &mut Known,
    observed: &dyn Fn(&TableName) -> Option<Emptiness>,
) -> Vec<Statement> {
    let Text { sql, dialect, .. } = text;
    let script = Script::read(sql, dialect);
    // What a reason quotes has no secret in it.
    let bare = script.without_comments(&sql::blotted(sql));
    let transactions = transactions::of(sql, &script, dialect, text.in_transaction);
    let mut acts = match dialect {
        Dialect::Postgres => postgres::acts(&bare, &script, &transactions, text.in_transaction),
        Dialect::Sqlite => sqlite::acts(&bare, &script, text.in_transaction),
    };
    if let Some(last) = acts.last_mut().filter(|_| script.never_ends) {
        let reason = "a comment or a quote in it never ends";
        last.push(Act::does(&rules::NOT_PARSED, Vec::new(), reason));
    }
    let keys_bind = dialect == Dialect::Sqlite && !without_keys(sql);
    known.begin(&script, dialect, keys_bind, control::takes_back(sql, &script, dialect));
    known.foresee(&acts);
    let above = assertion::above(sql, &script, dialect);
    let secrets = sql::secrets(sql);
    let (mut line, mut counted) = (1, 0);
    let mut statements = Vec::with_capacity(script.statements.len());
    let each = script.statements.iter().zip(acts).zip(above).zip(transactions);
    for (((bytes, mut acts), above), transaction) in each {
        for act in &mut acts {
            known.locate(act, dialect);
        }
        if script::drops_if_exists(sql.get(bytes.clone()).unwrap_or(""), dialect) {
            acts.retain_mut(|act| act.is_done_to(&|table| !known.is_missing(table)));
        }
        line += sql.get(counted..bytes.start).map_or(0, |between| between.matches('\n').count());
        counted = bytes.start;
        known.enter(transaction, line);
        let of_client = control::why_of_client(sql.get(bytes.clone()).unwrap_or(""), dialect);
        let Verdict { risks, mut findings } = match of_client {
            Some(why) => Verdict::unvalidated(&rules::CLIENT_COMMAND, why),
            None => verdict(&acts, known, &above, dialect, observed),
        };
        for act in &acts {
            known.note(act);
        }
        let has_secret = secrets.iter().any(|secret| bytes.contains(&secret.start));
        if has_secret {
            findings.push(Finding::of(&rules::LITERAL_SECRET, SECRET));
        }
        statements.push(Statement { bytes: bytes.clone(), line, risks, findings });
    }
    statements
}

/// What is said of a statement with a secret in it.
const SECRET: &str = "a secret stands in it as a literal, which the repository and the server's log keep";

/// Parsers go down as deep as a text is nested, and their stack has an end.
const MOST_NESTING: usize = 200;

impl Finding {
    fn of(rule: &'static Rule, reason: impl Into<String>) -> Self {
        Self { rule, risk: rule.risk, reason: reason.into() }
    }
}

/// What a statement may cost, and why.
struct Verdict {
    risks: Risks,
    findings: Vec<Finding>,
}

impl Verdict {
    fn unvalidated(rule: &'static Rule, reason: String) -> Self {
        Self { risks: Risk::Unvalidated.into(), findings: vec![Finding::of(rule, reason)] }
    }

    /// Adds a remark to the worst finding.
    fn but(mut self, remark: &str) -> Self {
        if let Some(worst) = self.findings.first_mut() {
            worst.reason = format!("{}; {remark}", worst.reason);
        }
        self
    }
}

/// What a statement may cost, with regard to the assertions above it.
fn verdict(
    acts: &[Act],
    known: &Known,
    above: &assertion::Above,
    dialect: Dialect,
    observed: &dyn Fn(&TableName) -> Option<Emptiness>,
) -> Verdict {
    let bare = alone(acts, known, &BTreeSet::new());
    if let Some(unknown) = &above.unknown {
        let remark = format!("`{unknown}` is no assertion; there is `trueup:assert-empty TABLE`");
        return if bare.risks.worst() > Risk::Unvalidated {
            bare.but(&remark)
        } else {
            let mut findings = vec![Finding::of(&rules::UNKNOWN_ASSERTION, remark)];
            findings.extend(bare.findings.into_iter().filter(|finding| finding.risk != Risk::Unvalidated));
            Verdict { risks: bare.risks.and(Risk::Unvalidated.into()), findings }
        };
    }
    if above.tables.is_empty() || bare.risks == Risks::SAFE {
        return bare;
    }
    let names = |tables: &[&TableName]| tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let with = |keep: &dyn Fn(Option<Emptiness>) -> bool| {
        let kept: Vec<_> = above.tables.iter().filter(|table| keep(observed(table))).collect();
        let free: BTreeSet<_> = kept.iter().map(|table| told(table, dialect)).collect();
        (alone(acts, known, &free), names(&kept))
    };
    let (all, every) = with(&|_| true);
    if all.risks == bare.risks {
        return bare.but(&format!("that {every} is empty makes no difference to it"));
    }
    let (held, _) = with(&|seen| matches!(seen, Some(Emptiness::Empty | Emptiness::Missing)));
    if held.risks == all.risks {
        let Some(worst) = bare.findings.first().filter(|_| held.risks == Risks::SAFE) else { return held };
        let reason = format!("asserted empty: {every}");
        let findings = vec![Finding { rule: worst.rule, risk: Risk::Safe, reason }];
        return Verdict { risks: Risks::SAFE, findings };
    }
    let (_, full) = with(&|seen| seen == Some(Emptiness::NotEmpty));
    if !full.is_empty() {
        return bare.but(&format!("asserted empty, and has rows: {full}"));
    }
    let risks = all.risks.and(Risk::Unvalidated.into());
    let unseen = bare.but(&format!("asserted empty, and nobody has looked yet: {every}"));
    let worst = unseen.findings.into_iter().next().map(|worst| Finding { risk: risks.worst(), ..worst });
    let rest = all.findings.into_iter().filter(|finding| finding.risk != risks.worst());
    Verdict { risks, findings: worst.into_iter().chain(rest).collect() }
}

/// All that a statement does, when the tables of `free` are of no account: the first finding of each risk.
fn alone(acts: &[Act], known: &Known, free: &BTreeSet<TableName>) -> Verdict {
    let all: Vec<_> = acts.iter().flat_map(|act| rules::judge(act, known, free)).collect();
    let risks: Risks = all.iter().map(|(rule, _)| rule.risk).collect();
    let first_of = |risk: Risk| all.iter().find(|(rule, _)| rule.risk == risk);
    let findings = risks.into_iter().filter_map(first_of).map(|(rule, reason)| Finding::of(rule, reason));
    Verdict { risks, findings: findings.collect() }
}
