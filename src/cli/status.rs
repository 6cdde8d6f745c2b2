//! `trueup status`: reports the health of each component; the worst one determines the exit code.

use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::ui::Ui;
use super::values::EventFormat;
use super::{history, load};
use crate::change::Status;
use crate::journal::{self, RunStatus};
use crate::render::{Cell, Tone, table};
use crate::stack::{Contact, Stack};
use crate::stores::Clients;
use crate::{cache, target, vector};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    pub format: EventFormat,
}

/// The health of one component.
struct Health {
    name: String,
    /// A version, or why the component is not healthy.
    status: Result<String, String>,
    latency: Duration,
}

pub(super) async fn run(args: &StatusArgs, file: Option<&Path>, ui: &Ui) -> Result<Exit, Failure> {
    let stack = load::stack(file, Contact::Live, ui).await?;
    // The vector store is checked even if training is off.
    let clients = Clients::reading(&stack, true)?;
    let mut healths = vec![system(&clients).await];
    healths.extend(targets(&stack).await);
    healths.extend(vector(&clients).await);
    healths.extend(cache(&stack, &clients).await);
    let last_run = Box::pin(last_run(&stack, &clients)).await;

    let is_healthy = healths.iter().chain(&last_run).all(|health| health.status.is_ok());
    ui.answer(&match args.format {
        EventFormat::Json => format!("{}\n", as_json(&stack, &healths, last_run.as_ref(), is_healthy)),
        EventFormat::Text => {
            let rows: Vec<Vec<Cell>> = healths.iter().chain(&last_run).map(row).collect();
            table(&[], &rows, ui.style())
        }
    });
    Ok(if is_healthy { Exit::Done } else { Exit::Failed })
}

async fn timed(name: impl Into<String>, asking: impl Future<Output = Result<String, String>>) -> Health {
    let started = Instant::now();
    let answer = tokio::time::timeout(load::A_MINUTE, asking).await;
    let status = answer.unwrap_or_else(|_| Err(format!("no answer in {:?}", load::A_MINUTE)));
    Health { name: name.into(), status, latency: started.elapsed() }
}

async fn system(clients: &Clients) -> Health {
    let asking = async {
        match clients.existing_system().await.map_err(|error| error.to_string())? {
            None => Err("the database does not exist; `trueup apply` makes it".to_owned()),
            Some(_) => clients.system.version().await.map_err(|error| error.to_string()),
        }
    };
    timed("system", asking).await
}

async fn targets(stack: &Stack) -> Vec<Health> {
    let mut healths = Vec::new();
    for (name, spec) in stack.targets.iter().filter(|(_, target)| target.on) {
        let asking = async {
            let desired = target::Desired::new(name, spec);
            let observed = target::observe(&desired).await;
            // A target that fails the checks of a plan is unhealthy, with the same message.
            let failed = target::diff(&desired, &observed, None)
                .checks
                .into_iter()
                .find(|check| check.status == Status::Fail);
            match (failed, observed) {
                (None, target::Observed::Readable(seen)) => Ok(seen.version),
                (Some(check), _) => Err(check.message),
                (None, target::Observed::Failed { .. }) => Err("it cannot be read".to_owned()),
            }
        };
        healths.push(timed(format!("target.{name}"), asking).await);
    }
    healths
}

async fn vector(clients: &Clients) -> Option<Health> {
    let client = clients.vector.as_ref()?;
    let asking = async {
        match vector::observe(client).await {
            vector::Observed::Reachable(seen) => Ok(seen.backend.name()),
            vector::Observed::Unreachable { message } => Err(message),
        }
    };
    Some(timed("vector", asking).await)
}

async fn cache(stack: &Stack, clients: &Clients) -> Option<Health> {
    let (client, spec) = clients.cache.as_ref().zip(stack.cache.as_ref())?;
    let asking = async {
        let observed = cache::observe(spec, client).await;
        match (observed.version(), observed) {
            (_, cache::Observed::Unreachable { message, .. }) => Err(message),
            (version, _) => Ok(version.unwrap_or_default()),
        }
    };
    Some(timed("cache", asking).await)
}

/// Returns how the last run ended, if there was one. What it did not finish is not drift. A run in
/// progress is neither healthy nor unhealthy.
async fn last_run(stack: &Stack, clients: &Clients) -> Option<Health> {
    let mut found = false;
    let asking = async {
        let database = clients.system.database().await.map_err(|error| error.to_string())?;
        if !journal::exists(&database).await.map_err(|error| error.to_string())? {
            return Ok(String::new());
        }
        let runs = journal::history(&database, 1).await.map_err(|error| error.to_string())?;
        found = !runs.is_empty();
        let judged = history::mark_crashed(runs, stack).await;
        let judged = judged.map_err(|failure| failure.diagnostic().to_string())?;
        let Some(run) = judged.into_iter().next() else { return Ok(String::new()) };
        let said = format!("{} {} at {}", run.command, run.status.as_str(), run.started_at);
        match run.status {
            RunStatus::Succeeded | RunStatus::Running => Ok(said),
            RunStatus::Failed | RunStatus::Interrupted | RunStatus::Died => {
                Err(format!("{said}; `trueup history {}` shows its steps", run.id))
            }
        }
    };
    let health = timed("last run", Box::pin(asking)).await;
    found.then_some(health)
}

fn row(health: &Health) -> Vec<Cell> {
    let Health { name, status, latency } = health;
    let milliseconds = latency.as_secs_f64() * 1000.0;
    let (tone, word, text) = match status {
        Ok(version) => (Tone::Good, "healthy", version),
        Err(why) => (Tone::Bad, "unhealthy", why),
    };
    vec![
        (Some(tone), word.to_owned()),
        (None, name.clone()),
        (None, format!("{milliseconds:.1} ms")),
        (None, text.clone()),
    ]
}

fn as_json(stack: &Stack, healths: &[Health], last_run: Option<&Health>, is_healthy: bool) -> Value {
    let component = |health: &Health| {
        let (status, version, error) = match &health.status {
            Ok(version) => ("healthy", Some(version), None),
            Err(why) => ("unhealthy", None, Some(why)),
        };
        json!({
            "component": health.name, "status": status, "version": version, "error": error,
            "milliseconds": health.latency.as_secs_f64() * 1000.0,
        })
    };
    json!({
        "stack": stack.name,
        "environment": stack.environment,
        "status": if is_healthy { "healthy" } else { "unhealthy" },
        "components": healths.iter().map(component).collect::<Vec<_>>(),
        "last_run": last_run.map(|health| match &health.status {
            Ok(run) => json!({ "status": "healthy", "run": run }),
            Err(run) => json!({ "status": "unhealthy", "run": run }),
        }),
    })
}
