//! The health of the stores of a stack and of its last run, read without changing anything.

use std::time::{Duration, Instant};

use super::{Clients, ObserveError, mark_crashed};
use crate::change::Status;
use crate::journal::{self, Run, RunStatus};
use crate::stack::Stack;
use crate::{cache, target, vector};

/// The health of one component.
#[derive(Debug)]
pub struct Health {
    pub name: String,
    /// A version, or why the component is not healthy.
    pub status: Result<String, String>,
    pub latency: Duration,
}

/// The health of a stack: the worst of its parts.
#[derive(Debug)]
pub struct StackHealth {
    pub components: Vec<Health>,
    /// How the last run ended, if there was one. What it did not finish is not drift.
    pub last_run: Option<Health>,
}

impl StackHealth {
    pub fn is_healthy(&self) -> bool {
        self.parts().all(|health| health.status.is_ok())
    }

    /// Returns the components, and then the last run.
    pub fn parts(&self) -> impl Iterator<Item = &Health> {
        self.components.iter().chain(&self.last_run)
    }
}

/// Reads the health of a stack. What does not answer within `patience` is unhealthy.
///
/// # Errors
/// A client cannot be created.
pub async fn health(stack: &Stack, patience: Duration) -> Result<StackHealth, ObserveError> {
    // The vector store is checked even if training is off.
    let clients = Clients::reading(stack, true)?;
    let system = system(&clients, patience).await;
    // Without the system database nothing is known of the last run.
    let last_run = match system.status {
        Ok(_) => Box::pin(last_run(stack, &clients, patience)).await,
        Err(_) => None,
    };
    let mut components = vec![system];
    components.extend(targets(stack, patience).await);
    components.extend(vector(&clients, patience).await);
    components.extend(cache(stack, &clients, patience).await);
    Ok(StackHealth { components, last_run })
}

async fn timed(
    name: impl Into<String>,
    patience: Duration,
    asking: impl Future<Output = Result<String, String>>,
) -> Health {
    let started = Instant::now();
    let answer = tokio::time::timeout(patience, asking).await;
    let status = answer.unwrap_or_else(|_| Err(format!("no answer in {patience:?}")));
    Health { name: name.into(), status, latency: started.elapsed() }
}

async fn system(clients: &Clients, patience: Duration) -> Health {
    let asking = async {
        match clients.existing_system().await.map_err(|error| error.to_string())? {
            None => Err("the database does not exist; `trueup apply` makes it".to_owned()),
            Some(_) => clients.system.version().await.map_err(|error| error.to_string()),
        }
    };
    timed("system", patience, asking).await
}

async fn targets(stack: &Stack, patience: Duration) -> Vec<Health> {
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
                (None, target::Observed::Readable(readable)) => Ok(readable.version),
                (Some(check), _) => Err(check.message),
                (None, target::Observed::Failed { .. }) => Err("it cannot be read".to_owned()),
            }
        };
        healths.push(timed(format!("target.{name}"), patience, asking).await);
    }
    healths
}

async fn vector(clients: &Clients, patience: Duration) -> Option<Health> {
    let client = clients.vector.as_ref()?;
    let asking = async {
        match vector::observe(client).await {
            vector::Observed::Reachable(store) => Ok(store.backend.name()),
            vector::Observed::Unreachable { message } => Err(message),
        }
    };
    Some(timed("vector", patience, asking).await)
}

async fn cache(stack: &Stack, clients: &Clients, patience: Duration) -> Option<Health> {
    let (client, spec) = clients.cache.as_ref().zip(stack.cache.as_ref())?;
    let asking = async {
        let observed = cache::observe(spec, client).await;
        match (observed.version(), observed) {
            (_, cache::Observed::Unreachable { message, .. }) => Err(message),
            (version, _) => Ok(version.unwrap_or_default()),
        }
    };
    Some(timed("cache", patience, asking).await)
}

/// Returns how the last run ended, if there was one. A run in progress is healthy.
async fn last_run(stack: &Stack, clients: &Clients, patience: Duration) -> Option<Health> {
    let mut is_known = true;
    let asking = async {
        let run = newest_run(stack, clients).await.map_err(|error| error.to_string())?;
        is_known = run.is_some();
        run.map_or_else(|| Ok(String::new()), |run| ending(&run))
    };
    let health = timed("last run", patience, Box::pin(asking)).await;
    is_known.then_some(health)
}

async fn newest_run(stack: &Stack, clients: &Clients) -> Result<Option<Run>, ObserveError> {
    let database = clients.system.database().await?;
    if !journal::exists(&database).await? {
        return Ok(None);
    }
    let runs = mark_crashed(journal::history(&database, 1).await?, stack).await?;
    Ok(runs.into_iter().next())
}

fn ending(run: &Run) -> Result<String, String> {
    let text = format!("{} {} at {}", run.command, run.status.as_str(), run.started_at);
    match run.status {
        RunStatus::Succeeded | RunStatus::Running => Ok(text),
        RunStatus::Failed | RunStatus::Interrupted | RunStatus::Died => {
            Err(format!("{text}; `trueup history {}` shows its steps", run.id))
        }
    }
}
