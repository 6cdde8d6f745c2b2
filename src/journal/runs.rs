//! Runs and their steps: who changed what, when, from which spec, and with what outcome.

use serde::{Deserialize, Serialize};

use super::{Result, RunId, table};
use crate::digest::Digest;
use crate::sql::{Database, Dialect, Row, Value};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    pub id: RunId,
    /// `apply`, or another command that changes something.
    pub command: String,
    pub stack: String,
    pub environment: String,
    pub status: RunStatus,
    /// In RFC 3339.
    pub started_at: String,
    pub finished_at: Option<String>,
    /// User and host.
    pub who: String,
    pub tool_version: String,
    /// The commit of the spec's git checkout, if it is in one.
    pub git_commit: Option<String>,
    pub spec_digest: String,
    pub plan_digest: String,
    /// One line that says what was done.
    pub summary: Option<String>,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// The run has no recorded end.
    Running,
    /// Every planned step succeeded, and the plan after it was empty.
    Succeeded,
    /// A step failed or was blocked, or the plan after it was not empty.
    Failed,
    Interrupted,
    /// The run has no end and no longer holds the lock, so it was probably killed. Computed when it is
    /// shown, never stored.
    Died,
}

impl Run {
    /// Sets the status of a run without an end to `Died`, unless it holds the lock.
    #[must_use]
    pub fn with_crash_detected(mut self, holder: Option<&str>) -> Self {
        if self.status == RunStatus::Running && holder != Some(self.id.as_str()) {
            self.status = RunStatus::Died;
        }
        self
    }
}

impl RunStatus {
    /// The form that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Died => "died",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "interrupted" => Self::Interrupted,
            _ => Self::Running,
        }
    }
}

/// The outcome of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Done,
    /// Done, with warnings of one line each.
    Warned(Vec<String>),
    /// Its effect existed already when it ran.
    Unchanged,
    /// Not executed, with the reason: an earlier run of the same plan completed it.
    Skipped(String),
    /// Failed, with the error message.
    Failed(String),
    /// Not started, with the reason.
    Blocked(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Counts from 0, in the order in which steps ended.
    pub position: i64,
    pub address: String,
    pub action: String,
    pub outcome: Outcome,
    /// In RFC 3339.
    pub finished_at: String,
    pub milliseconds: i64,
}

/// The current time in RFC 3339, to the millisecond.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

pub async fn begin(database: &Database, run: &Run) -> Result<()> {
    let sql = format!(
        "INSERT INTO {} (id, command, stack, environment, status, started_at, who, tool_version, git_commit, \
         spec_digest, plan_digest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (id) DO NOTHING",
        table(database.dialect(), "runs")
    );
    let values = [
        Value::from(run.id.as_str()),
        Value::from(run.command.as_str()),
        Value::from(run.stack.as_str()),
        Value::from(run.environment.as_str()),
        Value::from(run.status.as_str()),
        Value::from(run.started_at.as_str()),
        Value::from(run.who.as_str()),
        Value::from(run.tool_version.as_str()),
        Value::from(run.git_commit.clone()),
        Value::from(run.spec_digest.as_str()),
        Value::from(run.plan_digest.as_str()),
    ];
    database.execute(&sql, &values).await?;
    Ok(())
}

/// Records finished steps, up to a hundred per statement.
pub async fn record_steps(database: &Database, run: &RunId, steps: &[StepRecord]) -> Result<()> {
    const COLUMNS: usize = 8;
    let table = table(database.dialect(), "steps");
    for batch in steps.chunks(100) {
        let row = |number: usize| {
            let first = number * COLUMNS;
            let places: Vec<String> = (1..=COLUMNS).map(|column| format!("${}", first + column)).collect();
            format!("({})", places.join(", "))
        };
        let rows: Vec<String> = (0..batch.len()).map(row).collect();
        let sql = format!(
            "INSERT INTO {table} (run, position, address, action, outcome, finished_at, milliseconds, detail) \
             VALUES {} ON CONFLICT (run, position) DO NOTHING",
            rows.join(", ")
        );
        let values: Vec<Value> = batch.iter().flat_map(|step| step_values(run, step)).collect();
        database.execute(&sql, &values).await?;
    }
    Ok(())
}

fn step_values(run: &RunId, step: &StepRecord) -> [Value; 8] {
    let StepRecord { position, address, action, outcome, finished_at, milliseconds } = step;
    let (outcome, detail) = match outcome {
        Outcome::Done => ("done", Value::Null),
        Outcome::Warned(warnings) => ("done", Value::from(warnings.join("\n"))),
        Outcome::Unchanged => ("unchanged", Value::Null),
        Outcome::Skipped(reason) => ("skipped", Value::from(reason.as_str())),
        Outcome::Failed(error) => ("failed", Value::from(error.as_str())),
        Outcome::Blocked(reason) => ("blocked", Value::from(reason.as_str())),
    };
    [
        Value::from(run.as_str()),
        Value::from(*position),
        Value::from(address.as_str()),
        Value::from(action.as_str()),
        Value::from(outcome),
        Value::from(finished_at.as_str()),
        Value::from(*milliseconds),
        detail,
    ]
}

pub async fn finish(database: &Database, run: &RunId, status: RunStatus, summary: &str) -> Result<()> {
    let sql = format!(
        "UPDATE {} SET status = $2, finished_at = $3, summary = $4 WHERE id = $1",
        table(database.dialect(), "runs")
    );
    let values =
        [Value::from(run.as_str()), Value::from(status.as_str()), Value::from(now()), Value::from(summary)];
    database.execute(&sql, &values).await?;
    Ok(())
}

const RUN_COLUMNS: &str = "id, command, stack, environment, status, started_at, finished_at, who, tool_version, \
                           git_commit, spec_digest, plan_digest, summary";

/// The most recent runs, newest first.
pub async fn history(database: &Database, limit: i64) -> Result<Vec<Run>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {} ORDER BY started_at DESC, id DESC LIMIT $1",
        table(database.dialect(), "runs")
    );
    let rows = database.query(&sql, &[Value::from(limit)]).await?;
    Ok(rows.iter().map(read_run).collect::<crate::sql::Result<_>>()?)
}

/// The runs that applied the plan with this digest, oldest first.
pub async fn runs_of_plan(database: &Database, plan: &Digest) -> Result<Vec<Run>> {
    let sql = format!(
        "SELECT {RUN_COLUMNS} FROM {} WHERE plan_digest = $1 ORDER BY started_at, id",
        table(database.dialect(), "runs")
    );
    let rows = database.query(&sql, &[Value::from(plan.as_str())]).await?;
    Ok(rows.iter().map(read_run).collect::<crate::sql::Result<_>>()?)
}

/// The query for collections and documents of the vector store whose last step was not a delete. Run ids
/// sort by time.
pub(super) fn trained(dialect: Dialect) -> String {
    format!(
        "SELECT address FROM (SELECT address, action, row_number() OVER \
         (PARTITION BY address ORDER BY run DESC, position DESC) AS nth FROM {} \
         WHERE outcome IN ('done', 'unchanged') AND address LIKE 'vector.%') AS last WHERE nth = 1 AND action <> 'delete' \
         ORDER BY address",
        table(dialect, "steps")
    )
}

/// The query for the most recent runs that did not succeed.
pub(super) fn unfinished(dialect: Dialect) -> String {
    format!(
        "SELECT id FROM {} WHERE status <> 'succeeded' ORDER BY id DESC LIMIT 100",
        table(dialect, "runs")
    )
}

fn read_run(row: &Row) -> crate::sql::Result<Run> {
    let optional = |column| row.get(column).map(ToOwned::to_owned);
    Ok(Run {
        id: RunId::from_text(row.text(0)?),
        command: row.text(1)?.to_owned(),
        stack: row.text(2)?.to_owned(),
        environment: row.text(3)?.to_owned(),
        status: RunStatus::parse(row.text(4)?),
        started_at: row.text(5)?.to_owned(),
        finished_at: optional(6),
        who: row.text(7)?.to_owned(),
        tool_version: row.text(8)?.to_owned(),
        git_commit: optional(9),
        spec_digest: row.text(10)?.to_owned(),
        plan_digest: row.text(11)?.to_owned(),
        summary: optional(12),
    })
}

/// The steps of a run, in the order in which they ended.
pub async fn steps(database: &Database, run: &RunId) -> Result<Vec<StepRecord>> {
    let sql = format!(
        "SELECT position, address, action, outcome, finished_at, milliseconds, detail FROM {} \
         WHERE run = $1 ORDER BY position",
        table(database.dialect(), "steps")
    );
    let rows = database.query(&sql, &[Value::from(run.as_str())]).await?;
    let read = |row: &Row| {
        let detail = row.get(6).unwrap_or_default().to_owned();
        let outcome = match row.text(3)? {
            "failed" => Outcome::Failed(detail),
            "blocked" => Outcome::Blocked(detail),
            "skipped" => Outcome::Skipped(detail),
            "unchanged" => Outcome::Unchanged,
            _ if detail.is_empty() => Outcome::Done,
            _ => Outcome::Warned(detail.lines().map(str::to_owned).collect()),
        };
        Ok(StepRecord {
            position: row.integer(0)?,
            address: row.text(1)?.to_owned(),
            action: row.text(2)?.to_owned(),
            outcome,
            finished_at: row.text(4)?.to_owned(),
            milliseconds: row.integer(5)?,
        })
    };
    Ok(rows.iter().map(read).collect::<crate::sql::Result<_>>()?)
}
