//! Lint findings of migrations as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Paint, Tone};
use crate::change::{Risk, Risks};
use crate::lint::{self, Finding, Statement};
use crate::neutral::one_line;
use crate::sql::Dialect;

/// A file with its statements.
#[derive(Debug)]
pub struct LintedFile {
    pub name: String,
    pub dialect: Dialect,
    /// In the order of the file.
    pub statements: Vec<Statement>,
}

const RISKS: [Risk; 4] = [Risk::Safe, Risk::Locking, Risk::Unvalidated, Risk::Destructive];

fn count(files: &[LintedFile], risk: Risk) -> usize {
    let statements = files.iter().flat_map(|file| &file.statements);
    statements.filter(|statement| statement.risk() == risk).count()
}

/// Renders a line for each finding of each file, and a line with counts.
pub fn lint_text(files: &[LintedFile], paint: Paint) -> String {
    let mut out = String::new();
    for LintedFile { name, statements, .. } in files {
        for group in lint::grouped(statements) {
            let Finding { rule, risk, reason } = group.finding;
            let tone = match risk {
                Risk::Safe => Tone::Good,
                Risk::Locking | Risk::Unvalidated => Tone::Warning,
                Risk::Destructive => Tone::Bad,
            };
            let risk = paint.tone(tone, risk.as_str());
            let first = group.lines.first().copied().unwrap_or_default();
            let place = paint.tone(Tone::Name, &format!("{name}:{first}"));
            let times = match group.count {
                1 => String::new(),
                count => format!(", {count} times in lines {}", group.line_list(usize::MAX)),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{place}: {risk} ({}){times}: {}", rule.name, one_line(reason));
        }
    }
    let counts: Vec<String> = RISKS
        .iter()
        .map(|risk| (count(files, *risk), risk))
        .filter(|(count, risk)| *count > 0 || **risk == Risk::Safe)
        .map(|(count, risk)| format!("{count} {}", risk.as_str()))
        .collect();
    let plural = if files.len() == 1 { "" } else { "s" };
    out + &format!("{} file{plural}, statements: {}\n", files.len(), counts.join(", "))
}

/// Renders all statements as one JSON object, ending in a newline.
pub fn lint_json(files: &[LintedFile]) -> String {
    let statement = |statement: &Statement| {
        let Statement { bytes: _, line, risks, findings: _ } = statement;
        let (rule, reason) = (statement.rule().map(|rule| rule.name), statement.reason());
        json!({"line": line, "risk": risks.worst(), "risks": risks, "rule": rule, "reason": reason})
    };
    let file = |file: &LintedFile| {
        let LintedFile { name, dialect, statements } = file;
        let risks: Risks = statements.iter().flat_map(|statement| statement.risks).collect();
        let statements: Vec<Value> = statements.iter().map(statement).collect();
        json!({"file": name, "dialect": dialect, "risk": risks.worst(), "risks": risks, "statements": statements})
    };
    let summary: serde_json::Map<String, Value> =
        RISKS.iter().map(|risk| (risk.as_str().to_owned(), count(files, *risk).into())).collect();
    let files: Vec<Value> = files.iter().map(file).collect();
    format!("{:#}\n", json!({"files": files, "summary": summary}))
}
