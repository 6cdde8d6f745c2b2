//! Classifies the statements of a migration by what each may cost. Pure: it does no I/O, observed
//! facts about tables are arguments, and it does not depend on the stack.

mod assertion;
mod condition;
mod control;
mod effect;
mod grouped;
mod known;
mod postgres;
mod rule;
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
pub use rule::Rule;

use crate::catalog::TableName;
use crate::change::{Risk, Risks};
use crate::sql::{self, Dialect};
pub use control::client_command;
pub(crate) use control::{
    Boundary, OF_CLIENT_HELP, boundary, disables_foreign_keys, has_transactions, only_changes_schema_and_rows,
};
use effect::Effect;
use script::{Script, normalized};

#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub sql: &'a str,
    pub dialect: Dialect,
    /// Whether it runs in one transaction.
    pub in_transaction: bool,
}

/// One statement and its risks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub bytes: Range<usize>,
    /// Counted from 1.
    pub line: usize,
    pub risks: Risks,
    /// One finding for each risk, the worst first.
    pub findings: Vec<Finding>,
}

/// One risk of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static Rule,
    /// The rule's risk, or a lower one if an assertion applies.
    pub risk: Risk,
    /// Why the rule applies, in one line.
    pub reason: String,
}

impl Statement {
    /// Returns the worst risk.
    pub fn risk(&self) -> Risk {
        self.risks.worst()
    }

    /// Returns the rule of the worst risk; `None` if no rule applies.
    pub fn rule(&self) -> Option<&'static Rule> {
        self.findings.first().map(|finding| finding.rule)
    }

    /// Returns the reasons of all findings in one line.
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

/// Whether a table has rows, as observed for an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emptiness {
    Empty,
    NotEmpty,
    /// The table does not exist, so it has nothing to lose.
    Missing,
}

/// `-- trueup:assert-empty TABLE` above a statement: the statement runs only while the table is
/// empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The bytes of the statement.
    pub statement: Range<usize>,
    pub table: TableName,
}

/// Returns the assertions of a text in order.
pub fn assertions(sql: &str, dialect: Dialect) -> Vec<Assertion> {
    if !assertion::may_have(sql) {
        return Vec::new();
    }
    let script = Script::read(sql, dialect);
    let annotations = assertion::annotations(sql, &script, dialect);
    let each = script.statements.iter().zip(annotations).flat_map(|(statement, annotations)| {
        let table = |table| Assertion { statement: statement.clone(), table };
        annotations.tables.into_iter().map(table)
    });
    each.collect()
}

/// Returns the tables and schemas that a text creates `IF NOT EXISTS` or drops `IF EXISTS`, so that
/// the effect depends on whether they exist.
pub fn conditional_names(sql: &str, dialect: Dialect) -> (Vec<TableName>, Vec<String>) {
    match dialect {
        Dialect::Postgres => {
            let script = Script::read(sql, dialect);
            let is_nested = script.nesting.iter().any(|nesting| *nesting > MOST_NESTING);
            if is_nested {
                <_>::default()
            } else {
                postgres::conditional_names(&script.without_comments(sql))
            }
        }
        // A SQLite schema is known completely.
        Dialect::Sqlite => <_>::default(),
    }
}

/// Classifies the statements of a text in order and records in `known` what they create. `observed`
/// returns whether a table has rows, or `None` if that was not checked.
pub fn classify(
    text: Text<'_>,
    known: &mut Known,
    observed: &dyn Fn(&TableName) -> Option<Emptiness>,
) -> Vec<Statement> {
    let Text { sql, dialect, .. } = text;
    let script = Script::read(sql, dialect);
    // Reasons quote the text, so secrets are masked first.
    let bare = script.without_comments(&sql::masked_same_length(sql));
    let transactions = transactions::numbers(sql, &script, dialect, text.in_transaction);
    let mut effects = match dialect {
        Dialect::Postgres => postgres::effects(&bare, &script, &transactions, text.in_transaction),
        Dialect::Sqlite => sqlite::effects(&bare, &script, text.in_transaction),
    };
    if let Some(last) = effects.last_mut().filter(|_| script.never_ends) {
        let reason = "a comment or a quote in it never ends";
        last.push(Effect::does(&rules::NOT_PARSED, Vec::new(), reason));
    }
    let foreign_keys_on = dialect == Dialect::Sqlite && !disables_foreign_keys(sql);
    known.begin(&script, dialect, foreign_keys_on, control::takes_back(sql, &script, dialect));
    known.prepare(&effects);
    let annotations = assertion::annotations(sql, &script, dialect);
    let secrets = sql::secrets(sql);
    let (mut line, mut counted) = (1, 0);
    let mut statements = Vec::with_capacity(script.statements.len());
    let each = script.statements.iter().zip(effects).zip(annotations).zip(transactions);
    for (((bytes, mut effects), annotations), transaction) in each {
        for effect in &mut effects {
            known.resolve_names(effect, dialect);
        }
        if script::drops_if_exists(sql.get(bytes.clone()).unwrap_or(""), dialect) {
            effects.retain_mut(|effect| effect.is_done_to(&|table| !known.is_missing(table)));
        }
        line += sql.get(counted..bytes.start).map_or(0, |between| between.matches('\n').count());
        counted = bytes.start;
        known.start_statement(transaction, line);
        let of_client = control::why_of_client(sql.get(bytes.clone()).unwrap_or(""), dialect);
        let Assessment { risks, mut findings } = match of_client {
            Some(why) => Assessment::unvalidated(&rules::CLIENT_COMMAND, why),
            None => assess(&effects, known, &annotations, dialect, observed),
        };
        for effect in &effects {
            known.note(effect);
        }
        let has_secret = secrets.iter().any(|secret| bytes.contains(&secret.start));
        if has_secret {
            findings.push(Finding::of(&rules::LITERAL_SECRET, SECRET));
        }
        statements.push(Statement { bytes: bytes.clone(), line, risks, findings });
    }
    statements
}

/// The finding of a statement with a literal secret.
const SECRET: &str = "a secret stands in it as a literal, which the repository and the server's log keep";

/// The parsers recurse as deep as a text is nested, so the depth is limited to protect the stack.
const MOST_NESTING: usize = 200;

impl Finding {
    fn of(rule: &'static Rule, reason: impl Into<String>) -> Self {
        Self { rule, risk: rule.risk, reason: reason.into() }
    }
}

/// The risks of a statement, with their findings.
struct Assessment {
    risks: Risks,
    findings: Vec<Finding>,
}

impl Assessment {
    fn unvalidated(rule: &'static Rule, reason: String) -> Self {
        Self { risks: Risk::Unvalidated.into(), findings: vec![Finding::of(rule, reason)] }
    }

    /// Adds a remark to the worst finding.
    fn with_remark(mut self, remark: &str) -> Self {
        if let Some(worst) = self.findings.first_mut() {
            worst.reason = format!("{}; {remark}", worst.reason);
        }
        self
    }
}

/// Assesses a statement under the assertions above it.
fn assess(
    effects: &[Effect],
    known: &Known,
    annotations: &assertion::Annotations,
    dialect: Dialect,
    observed: &dyn Fn(&TableName) -> Option<Emptiness>,
) -> Assessment {
    let bare = assess_effects(effects, known, &BTreeSet::new());
    if let Some(unknown) = &annotations.unknown {
        let remark = format!("`{unknown}` is no assertion; there is `trueup:assert-empty TABLE`");
        return if bare.risks.worst() > Risk::Unvalidated {
            bare.with_remark(&remark)
        } else {
            let mut findings = vec![Finding::of(&rules::UNKNOWN_ASSERTION, remark)];
            findings.extend(bare.findings.into_iter().filter(|finding| finding.risk != Risk::Unvalidated));
            Assessment { risks: bare.risks.and(Risk::Unvalidated.into()), findings }
        };
    }
    if annotations.tables.is_empty() || bare.risks == Risks::SAFE {
        return bare;
    }
    let names = |tables: &[&TableName]| tables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let with = |keep: &dyn Fn(Option<Emptiness>) -> bool| {
        let kept: Vec<_> = annotations.tables.iter().filter(|table| keep(observed(table))).collect();
        let free: BTreeSet<_> = kept.iter().map(|table| normalized(table, dialect)).collect();
        (assess_effects(effects, known, &free), names(&kept))
    };
    let (all, every) = with(&|_| true);
    if all.risks == bare.risks {
        return bare.with_remark(&format!("that {every} is empty makes no difference to it"));
    }
    let (held, _) = with(&|seen| matches!(seen, Some(Emptiness::Empty | Emptiness::Missing)));
    if held.risks == all.risks {
        let Some(worst) = bare.findings.first().filter(|_| held.risks == Risks::SAFE) else { return held };
        let reason = format!("asserted empty: {every}");
        let findings = vec![Finding { rule: worst.rule, risk: Risk::Safe, reason }];
        return Assessment { risks: Risks::SAFE, findings };
    }
    let (_, full) = with(&|seen| seen == Some(Emptiness::NotEmpty));
    if !full.is_empty() {
        return bare.with_remark(&format!("asserted empty, and has rows: {full}"));
    }
    let risks = all.risks.and(Risk::Unvalidated.into());
    let unseen = bare.with_remark(&format!("asserted empty, and nobody has looked yet: {every}"));
    let worst = unseen.findings.into_iter().next().map(|worst| Finding { risk: risks.worst(), ..worst });
    let rest = all.findings.into_iter().filter(|finding| finding.risk != risks.worst());
    Assessment { risks, findings: worst.into_iter().chain(rest).collect() }
}

/// Assesses a statement while the tables in `free` are exempt. Keeps the first finding of each
/// risk.
fn assess_effects(effects: &[Effect], known: &Known, free: &BTreeSet<TableName>) -> Assessment {
    let all: Vec<_> = effects.iter().flat_map(|effect| rules::judge(effect, known, free)).collect();
    let risks: Risks = all.iter().map(|(rule, _)| rule.risk).collect();
    let first_of = |risk: Risk| all.iter().find(|(rule, _)| rule.risk == risk);
    let findings = risks.into_iter().filter_map(first_of).map(|(rule, reason)| Finding::of(rule, reason));
    Assessment { risks, findings: findings.collect() }
}
