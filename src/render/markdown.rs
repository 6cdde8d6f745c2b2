//! A plan for a pull request comment. Stays within a size limit: omitted changes are counted, and
//! destructive changes are never omitted.

use std::fmt::Write as _;

use super::changes::sign;
use super::escape::{code, code_cell, html, prose};
use crate::change::{Risk, Status};
use crate::neutral::{block, one_line};
use crate::plan::{ChangeEntry, Document, Summary};

/// Renders the plan as Markdown, at most `most_bytes` long unless the destructive changes need
/// more.
pub fn markdown(plan: &Document, most_bytes: usize) -> String {
    let head = head(plan);
    let tail = tail(plan);
    // Rows that must be kept come first, then the others in order while there is space.
    let rows: Vec<(bool, String)> =
        plan.changes.iter().map(|change| (must_stay(change), row(change))).collect();
    let fixed: usize = rows.iter().filter(|(stays, _)| *stays).map(|(_, row)| row.len()).sum();
    let closing = "\n… and 000000 more changes, none of them destructive.\n".len();
    let tail_room = most_bytes.saturating_sub(head.len() + fixed + closing);
    let tail = cut(&tail, tail_room);
    let mut room = most_bytes.saturating_sub(head.len() + fixed + tail.len() + closing);
    let (mut out, mut left_out) = (head, 0_usize);
    for (stays, row) in rows {
        if stays {
            out.push_str(&row);
        } else if left_out == 0 && row.len() <= room {
            room -= row.len();
            out.push_str(&row);
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        // Writing to a String cannot fail.
        let _ = write!(out, "\n… and {left_out} more {}, none of them destructive.\n", changes(left_out));
    } else {
        out.push_str(&texts(plan, room));
    }
    out.push_str(&tail);
    out
}

/// Renders the texts of the changes in collapsed sections while there is space, and counts the
/// omitted ones.
fn texts(plan: &Document, mut room: usize) -> String {
    let closing = "\n… `trueup show` has the text of 000000 more changes.\n".len();
    let texts: Vec<String> = plan.changes.iter().filter_map(text).collect();
    let mut out = String::new();
    for (number, text) in texts.iter().enumerate() {
        let is_last = number + 1 == texts.len();
        if text.len() + if is_last { 0 } else { closing } > room {
            let left_out = texts.len() - number;
            if closing <= room {
                let _ =
                    write!(out, "\n… `trueup show` has the text of {left_out} more {}.\n", changes(left_out));
            }
            break;
        }
        room -= text.len();
        out.push_str(text);
    }
    out
}

/// Renders the text of one change in a collapsed section.
fn text(change: &ChangeEntry) -> Option<String> {
    let diff = change.diff.as_ref()?;
    // The fence must be longer than any fence in the text.
    let longest = diff.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let address = html(&one_line(change.address.as_str()));
    let diff = block(diff);
    Some(format!(
        "\n<details><summary><code>{address}</code></summary>\n\n{fence}diff\n{}\n{fence}\n\n</details>\n",
        diff.trim_end_matches('\n')
    ))
}

fn changes(count: usize) -> &'static str {
    if count == 1 { "change" } else { "changes" }
}

fn must_stay(change: &ChangeEntry) -> bool {
    change.risk == Risk::Destructive
}

fn head(plan: &Document) -> String {
    let mut out = String::new();
    let changes = [
        ("stack", &plan.stack_before, &plan.stack),
        ("environment", &plan.environment_before, &plan.environment),
    ];
    for (what, before, now) in changes {
        if let Some(before) = before {
            let _ = writeln!(out, "> **The {what} changes from {} to {}.**\n", code(before), code(now));
        }
    }
    let Summary { create, update, delete, replace, run, unchanged } = plan.summary;
    let _ = writeln!(out, "### trueup: {} in {}\n", code(&plan.stack), code(&plan.environment));
    if plan.has_changes() {
        let _ = writeln!(
            out,
            "**{create}** to create, **{update}** to update, **{delete}** to delete, **{replace}** to replace, \
             **{run}** to run, {unchanged} unchanged.\n"
        );
        let _ = writeln!(out, "| | address | risk | what | why |\n|---|---|---|---|---|");
    } else if !plan.blocked.is_empty() || plan.checks.iter().any(|check| check.status == Status::Fail) {
        let _ = writeln!(
            out,
            "**Nothing can be changed now:** {} blocked, {} deferred, {unchanged} unchanged.",
            plan.blocked.len(),
            plan.deferred.len()
        );
    } else {
        let _ = writeln!(out, "**No changes.** {unchanged} unchanged.");
    }
    out
}

fn row(change: &ChangeEntry) -> String {
    let (sign, _) = sign(change.action);
    let risk = change.risks().names().replace("destructive", "**destructive**");
    format!(
        "| `{sign}` {} | {} | {risk} | {} | {} |\n",
        change.action.as_str(),
        code_cell(change.address.as_str()),
        change.summary.lines().map(prose).collect::<Vec<_>>().join("<br>"),
        prose(&change.reason)
    )
}

fn tail(plan: &Document) -> String {
    let mut out = String::new();
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n**{title}**\n\n{}", lines.join("\n"));
        }
    };
    let held = |entries: &[crate::change::Held]| {
        entries
            .iter()
            .map(|held| format!("- {}: {}", code(held.address.as_str()), prose(&held.reason)))
            .collect()
    };
    section("Blocked", held(&plan.blocked));
    section("Deferred", held(&plan.deferred));
    let drift = plan
        .drift
        .iter()
        .map(|drift| format!("- {}: {}", code(drift.address.as_str()), prose(&drift.summary)));
    section("Drift", drift.collect());
    let bad = plan.checks.iter().filter(|check| check.status != Status::Pass);
    let checks = bad.map(|check| {
        let word = if check.status == Status::Fail { "**fail**" } else { "warn" };
        format!("- {word} {}: {}", code(check.address.as_str()), prose(&check.message))
    });
    section("Checks", checks.collect());
    section("Notes", plan.notes.iter().map(|note| format!("- {}", prose(note))).collect());
    out
}

/// Truncates at the end of a line and adds a note.
fn cut(text: &str, most_bytes: usize) -> String {
    const MORE: &str = "\n… more is in `trueup show`.\n";
    if text.len() <= most_bytes {
        return text.to_owned();
    }
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if kept.len() + line.len() + MORE.len() > most_bytes {
            break;
        }
        kept.push_str(line);
    }
    kept + MORE
}
