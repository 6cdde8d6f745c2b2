//! Findings of squawk's rules, mapped to trueup's rules. Rules about style or about other clients
//! are left out: every listed rule is about blocking or failing statements.

use squawk_linter::{Linter, Rule as Squawk};
use squawk_syntax::{Parse, SourceFile};

use crate::lint::rule::Rule;
use crate::lint::rules;

/// The squawk rules in use, each with the rule and the reason that trueup reports.
const USED: [(Squawk, &Rule, &str); 6] = [
    (
        Squawk::RequireConcurrentIndexCreation,
        &rules::INDEX_CREATION,
        "writers wait while the index is built; use CONCURRENTLY in a migration that begins with `-- no-transaction`",
    ),
    (
        Squawk::RequireConcurrentIndexDeletion,
        &rules::INDEX_DELETION,
        "everybody waits behind the drop; use CONCURRENTLY in a migration that begins with `-- no-transaction`",
    ),
    (
        Squawk::RequireConcurrentReindex,
        &rules::REINDEX,
        "writers wait while the index is built; use CONCURRENTLY",
    ),
    (Squawk::RequireConcurrentPartitionDetach, &rules::DETACH, "everybody waits behind it; use CONCURRENTLY"),
    (Squawk::RenamingTable, &rules::RENAME_TABLE, "statements by the old name fail from then on"),
    (Squawk::RenamingColumn, &rules::RENAME_COLUMN, "statements by the old name fail from then on"),
];

/// Returns where squawk reports a finding, with the rule and the reason. More specific findings
/// come first.
pub(super) fn squawk_findings(
    parse: &Parse<SourceFile>,
    sql: &str,
) -> Vec<(usize, &'static Rule, &'static str)> {
    let mut linter = Linter::from(USED.iter().map(|(squawk, _, _)| *squawk));
    let found = linter.lint(parse, sql);
    let mut known: Vec<_> = found
        .iter()
        .filter_map(|violation| {
            let rank = USED.iter().position(|(squawk, _, _)| *squawk == violation.code)?;
            let (_, rule, reason) = USED.get(rank)?;
            Some((rank, (usize::from(violation.text_range.start()), *rule, *reason)))
        })
        .collect();
    known.sort_by_key(|(rank, _)| *rank);
    known.into_iter().map(|(_, found)| found).collect()
}
