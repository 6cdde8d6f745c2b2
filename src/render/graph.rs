//! The dependency graph of a plan as text, Graphviz dot or Mermaid.

use std::fmt::Write as _;

use crate::address::Address;
use crate::neutral::one_line;
use crate::plan::Document;

/// Renders the graph as an indented list.
pub fn graph_text(plan: &Document) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for change in &plan.changes {
        let _ = writeln!(out, "{}", one_line(change.address.as_str()));
        for need in &change.depends_on {
            let _ = writeln!(out, "  after {}", one_line(need.as_str()));
        }
    }
    out
}

/// Renders the graph for Graphviz; an arrow points from a dependency to its dependent.
pub fn graph_dot(plan: &Document) -> String {
    let mut out = "digraph plan {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for change in &plan.changes {
        let address = quoted(change.address.as_str());
        let _ = writeln!(out, "  {address};");
        for need in &change.depends_on {
            let _ = writeln!(out, "  {} -> {address};", quoted(need.as_str()));
        }
    }
    out + "}\n"
}

/// Renders the graph for Mermaid, which code hosts display in Markdown.
pub fn graph_mermaid(plan: &Document) -> String {
    let mut out = "flowchart LR\n".to_owned();
    let number = |address: &Address| plan.changes.iter().position(|change| change.address == *address);
    for (index, change) in plan.changes.iter().enumerate() {
        let _ = writeln!(out, "  n{index}[\"{}\"]", label(change.address.as_str()));
    }
    for (index, change) in plan.changes.iter().enumerate() {
        for need in change.depends_on.iter().filter_map(number) {
            let _ = writeln!(out, "  n{need} --> n{index}");
        }
    }
    out
}

/// Quotes a text for Graphviz.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// Escapes a label for Mermaid: characters that may be Markdown, HTML or a directive become numeric
/// entities.
fn label(text: &str) -> String {
    let plain =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | '/');
    let text = one_line(text);
    let written = text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) });
    written.collect()
}
