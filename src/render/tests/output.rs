//! What `drift`, `history` and `status` print, and the lines of a run.

use std::time::Duration;

use serde_json::{from_value, json};

use super::keep;
use crate::address::Kind;
use crate::apply::{Event, Totals};
use crate::journal::{Outcome, Run, RunId, RunStatus, StepRecord};
use crate::plan::{Baseline, DriftReport, SchemaBaseline};
use crate::render::{drift_text, event_text, history_text, status_text, steps_text, summary_text};
use crate::stores::{Health, StackHealth};

fn run(id: &str, status: RunStatus, summary: Option<&str>) -> Run {
    Run {
        id: RunId::from_text(id),
        command: "apply".to_owned(),
        stack: "insight".to_owned(),
        environment: "prod".to_owned(),
        status,
        started_at: "2026-11-30T21:05:28.123Z".to_owned(),
        finished_at: None,
        who: "deploy@runner-7".to_owned(),
        tool_version: "0.1.0".to_owned(),
        git_commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        spec_digest: "sha256:a".to_owned(),
        plan_digest: "sha256:b".to_owned(),
        summary: summary.map(str::to_owned),
    }
}

fn step(outcome: Outcome, address: &str) -> StepRecord {
    StepRecord {
        position: 0,
        address: address.to_owned(),
        action: "run".to_owned(),
        outcome,
        finished_at: "2026-11-30T21:05:29.456Z".to_owned(),
        milliseconds: 1234,
    }
}

const LONG_ERROR: &str = "line 12 of migrations/0004_orders.sql: column \"total\" of relation \"orders\" already exists; \
                          nothing of this file was kept";

/// One of each outcome, with the address of its step.
fn outcomes() -> [(Kind, &'static str, Outcome); 6] {
    let warnings = vec![
        "trigger `audit` exists already and was left as it is, though the file makes another one".to_owned(),
    ];
    [
        (Kind::Migration, "0001_accounts", Outcome::Done),
        (Kind::Migration, "0002_audit", Outcome::Warned(warnings)),
        (Kind::Role, "reporting", Outcome::Unchanged),
        (Kind::Seed, "accounts", Outcome::Skipped("an earlier run of this plan did it".to_owned())),
        (
            Kind::Migration,
            "0004_orders",
            Outcome::Failed(format!("{LONG_ERROR}\nhelp: remove the statement")),
        ),
        (
            Kind::Seed,
            "orders",
            Outcome::Blocked("needs system.migration.0004_orders, which failed".to_owned()),
        ),
    ]
}

#[test]
fn the_lines_of_a_run_fit_the_terminal() {
    let totals = Totals {
        applied: 2,
        unchanged: 1,
        skipped: 1,
        failed: 1,
        blocked: 1,
        warnings: 1,
        ..Totals::default()
    };
    keep("run", |style| {
        let lines = outcomes().into_iter().filter_map(|(kind, name, outcome)| {
            let elapsed = (!matches!(outcome, Outcome::Blocked(_))).then_some(Duration::from_millis(1234));
            event_text(&Event::Ended { address: kind.named(name), elapsed, outcome }, style)
        });
        lines.collect::<String>() + &summary_text(&totals, Duration::from_millis(8_800), style)
    });
}

#[test]
fn a_history_fits_the_terminal() {
    let runs = [
        run("01939f2e-aaaa-7000-8000-000000000003", RunStatus::Died, None),
        run(
            "01939f2e-aaaa-7000-8000-000000000002",
            RunStatus::Failed,
            Some(
                "Applied in part: 2 done, 1 unchanged, 1 skipped, 1 failed, 1 blocked, 1 deferred, 1 warning.",
            ),
        ),
        run("01939f2e-aaaa-7000-8000-000000000001", RunStatus::Succeeded, Some("Applied: 22 done.")),
    ];
    keep("history", |style| history_text(&runs, style));
    let steps: Vec<StepRecord> = outcomes()
        .into_iter()
        .map(|(kind, name, outcome)| step(outcome, kind.named(name).as_str()))
        .collect();
    keep("steps", |style| steps_text(&steps, style));
}

#[test]
fn the_health_of_a_stack_fits_the_terminal() {
    let part = |name: &str, status: Result<&str, &str>| Health {
        name: name.to_owned(),
        status: status.map(str::to_owned).map_err(str::to_owned),
        latency: Duration::from_micros(12_345),
    };
    let health = StackHealth {
        components: vec![
            part("system", Ok("PostgreSQL 15.18")),
            part(
                "target.business",
                Err(
                    "the file could be written, and `require_read_only` is on: make it read-only for this account, or set `require_read_only: false`",
                ),
            ),
            part("vector", Ok("Chroma 1.5.9")),
        ],
        last_run: Some(part(
            "last run",
            Err(
                "apply failed at 2026-11-30T21:05:28Z; `trueup history 01939f2e-aaaa-7000-8000-000000000002` shows its steps",
            ),
        )),
    };
    keep("status", |style| status_text(&health, style));
}

#[test]
fn drift_fits_the_terminal() {
    let report = DriftReport {
        stack: "insight".to_owned(),
        environment: "prod".to_owned(),
        baseline: Baseline::Same,
        changes: from_value(json!([{
            "address": "system.seed.accounts", "action": "update", "risk": "safe", "reason": "1 missing, 1 different",
            "depends_on": [], "summary": "1 row to insert, 1 to change", "before": null, "after": null,
            "diff": "+id: 3, name: Cash\n~id: 1, name: Bank\n", "seen": "sha256:1",
        }]))
        .unwrap(),
        drift: from_value(json!([
            {"address": "system.schema", "summary": "changed by hand: users", "diff": "+  nickname text\n-  alias text\n"},
        ]))
        .unwrap(),
        unlisted: 0,
        schema: SchemaBaseline::Recorded { run_elsewhere: vec!["0005_refunds".to_owned()] },
        failed_checks: Vec::new(),
    };
    keep("drift", |style| drift_text(&report, style));
}
