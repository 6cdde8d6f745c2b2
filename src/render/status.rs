//! The health of a stack as text and as JSON.

use serde_json::json;

use super::page::Style;
use super::{Cell, Tone, table};
use crate::stores::{Health, StackHealth};

/// Renders a line for each component and one for the last run.
pub fn status_text(health: &StackHealth, style: Style) -> String {
    table(&[], &health.parts().map(row).collect::<Vec<_>>(), style)
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

/// Renders the health as one JSON object, ending in a newline.
pub fn status_json(stack: &str, environment: &str, health: &StackHealth) -> String {
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
    let object = json!({
        "stack": stack,
        "environment": environment,
        "status": if health.is_healthy() { "healthy" } else { "unhealthy" },
        "components": health.components.iter().map(component).collect::<Vec<_>>(),
        "last_run": health.last_run.as_ref().map(|last| match &last.status {
            Ok(run) => json!({ "status": "healthy", "run": run }),
            Err(run) => json!({ "status": "unhealthy", "run": run }),
        }),
    });
    format!("{object}\n")
}
