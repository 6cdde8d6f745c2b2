//! Renders plans and events as text, JSON and Markdown. Returns strings and never prints.

mod changes;
mod drift;
mod escape;
mod events;
mod graph;
mod history;
mod lint;
mod markdown;
mod page;
mod paint;
mod status;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod values;

pub use drift::{drift_json, drift_text};
pub use events::{event_json, event_text, note_text, summary_json, summary_text};
pub use graph::{graph_dot, graph_mermaid, graph_text};
pub use history::{history_text, steps_text};
pub use lint::{LintedFile, lint_json, lint_text};
pub use markdown::markdown;
pub use page::{Detail, Style, wrapped};
pub use paint::{Paint, Tone};
pub use status::{status_json, status_text};
pub use table::{Cell, table};
pub use text::{live_plan_text, plan_json, plan_text};
