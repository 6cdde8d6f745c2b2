//! The dependency graph of a plan as text, Graphviz dot or Mermaid.

use std::fmt::Write as _;

use crate::neutral::one_line;
use crate::plan::Document;

/// How the graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// An indented list.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid, which code hosts draw in Markdown.
    Mermaid,
}

/// The graph; an arrow leads from what comes first to what needs it.
pub fn graph(plan: &Document, format: GraphFormat) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    match format {
        GraphFormat::Text => {
            for change in &plan.changes {
                let _ = writeln!(out, "{}", one_line(change.address.as_str()));
                for need in &change.depends_on {
                    let _ = writeln!(out, "  after {}", one_line(need.as_str()));
                }
            }
        }
        GraphFormat::Dot => {
            out.push_str("digraph plan {\n  rankdir=LR;\n  node [shape=box];\n");
            for change in &plan.changes {
                let _ = writeln!(out, "  {};", quoted(change.address.as_str()));
                for need in &change.depends_on {
                    let _ =
                        writeln!(out, "  {} -> {};", quoted(need.as_str()), quoted(change.address.as_str()));
                }
            }
            out.push_str("}\n");
        }
        GraphFormat::Mermaid => {
            out.push_str("flowchart LR\n");
            let number = |address| plan.changes.iter().position(|change| change.address == address);
            for (index, change) in plan.changes.iter().enumerate() {
                let _ = writeln!(out, "  n{index}[\"{}\"]", label(change.address.as_str()));
            }
            for (index, change) in plan.changes.iter().enumerate() {
                for need in change.depends_on.iter().filter_map(|need| number(need.clone())) {
                    let _ = writeln!(out, "  n{need} --> n{index}");
                }
            }
        }
    }
    out
}

/// A text of Graphviz.
fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// A label of Mermaid: what could be Markdown, HTML or a directive is written by its number.
fn label(text: &str) -> String {
    let plain =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ' | '/');
    let text = one_line(text);
    let written = text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) });
    written.collect()
}
