//! Prints a schema for people and models, similar to SQL. Equal schemas give equal texts. Not
//! executable. Pure.

use std::fmt::Write as _;

use similar::TextDiff;

use super::{Column, ForeignKey, Index, SchemaChange, Snapshot, Table, TableKind, TableName, diff};
use crate::neutral::one_line;
use crate::sql;

/// Keywords that need quotes as names; only those that are common names of tables and columns.
const RESERVED: [&str; 36] = [
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "check",
    "column",
    "current_date",
    "default",
    "desc",
    "distinct",
    "end",
    "exists",
    "foreign",
    "from",
    "group",
    "having",
    "in",
    "index",
    "limit",
    "not",
    "null",
    "offset",
    "on",
    "or",
    "order",
    "primary",
    "references",
    "select",
    "table",
    "to",
    "user",
    "when",
    "where",
];

/// Unified diffs, one for each table or view that differs, under its name.
pub fn text_diff(from: &Snapshot, to: &Snapshot) -> String {
    let mut text = String::new();
    for change in diff(from, to) {
        let (old, new) = match &change {
            SchemaChange::AddTable { name, table: _ } => (None, Some(name)),
            SchemaChange::DropTable { name, table: _ } => (Some(name), None),
            SchemaChange::RenameTable { from, to } => (Some(from), Some(to)),
            SchemaChange::ModifyTable { name, changes: _ } => (Some(name), Some(name)),
        };
        let (old, new) = (side(old, from), side(new, to));
        let lines = TextDiff::from_lines(&old.1, &new.1);
        let _ = write!(text, "{}", lines.unified_diff().context_radius(3).header(&old.0, &new.0));
    }
    text
}

/// The header and the text for one side of a diff.
fn side(name: Option<&TableName>, snapshot: &Snapshot) -> (String, String) {
    match name.and_then(|name| snapshot.tables.get_key_value(name)) {
        Some((name, table)) => (one_line(&name.to_string()).into_owned(), written(name, table)),
        None => ("/dev/null".to_owned(), String::new()),
    }
}

fn written(name: &TableName, table: &Table) -> String {
    let Table { kind, columns, primary_key, foreign_keys, indexes, checks, comment, definition, strict: _ } =
        table;
    let mut text = comment.as_deref().map(remark).unwrap_or_default();
    let quoted = qualified(name);
    match (kind, definition) {
        (TableKind::View, Some(body)) => {
            let _ = writeln!(text, "CREATE VIEW {quoted} AS\n{};", body.trim());
        }
        (TableKind::MaterializedView, Some(body)) => {
            let _ = writeln!(text, "CREATE MATERIALIZED VIEW {quoted} AS\n{};", body.trim());
        }
        (_, Some(statement)) => {
            let _ = writeln!(text, "{};", statement.trim());
        }
        (kind, None) => {
            let what = match kind {
                TableKind::Table => "TABLE",
                TableKind::Foreign => "FOREIGN TABLE",
                TableKind::View => "VIEW",
                TableKind::MaterializedView => "MATERIALIZED VIEW",
            };
            let single = |key: &&ForeignKey| key.columns.len() == 1;
            let mut lines: Vec<(String, String)> = Vec::new();
            for column in columns {
                let mut line = column_text(column);
                if *primary_key == [column.name.as_str()] {
                    line.push_str(" PRIMARY KEY");
                }
                let own =
                    foreign_keys.iter().filter(single).filter(|key| key.columns == [column.name.as_str()]);
                for key in own {
                    let _ = write!(line, " {}", references(key));
                }
                lines.push((line, column_remark(column)));
            }
            if primary_key.len() > 1 {
                lines.push((format!("PRIMARY KEY ({})", list(primary_key)), String::new()));
            }
            for key in foreign_keys.iter().filter(|key| !single(key)) {
                let text = format!("FOREIGN KEY ({}) {}", list(&key.columns), references(key));
                lines.push((text, String::new()));
            }
            lines.extend(checks.iter().map(|check| (check.clone(), String::new())));
            let _ = writeln!(text, "CREATE {what} {quoted} (");
            // Ends the last line with a comma too, so that adding a line does not change it.
            for (line, remark) in lines {
                let _ = writeln!(text, "  {line},{remark}");
            }
            text.push_str(");\n");
        }
    }
    if definition.is_some() {
        for column in columns {
            let _ =
                writeln!(text, "-- {}{}", column_text(column), column_remark(column).replace(" -- ", ": "));
        }
    }
    for (index, value) in indexes {
        let _ = writeln!(text, "{}", index_text(index, value, &quoted, table));
    }
    text
}

fn column_text(column: &Column) -> String {
    let Column { name, data_type, kind: _, nullable, default, generated, identity: _, comment: _ } = column;
    let mut text = quoted(name);
    if !data_type.is_empty() {
        let _ = write!(text, " {data_type}");
    }
    if let Some(expression) = generated {
        let _ = write!(text, " GENERATED ALWAYS AS ({expression})");
    }
    if !nullable {
        text.push_str(" NOT NULL");
    }
    if let Some(default) = default {
        let _ = write!(text, " DEFAULT {default}");
    }
    text
}

/// ` -- ` and the remarks about a column on one line.
fn column_remark(column: &Column) -> String {
    let made = column.identity.then(|| "numbered by the database".to_owned());
    let comment = column.comment.as_deref().map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let remarks: Vec<String> = made.into_iter().chain(comment).filter(|text| !text.is_empty()).collect();
    if remarks.is_empty() { String::new() } else { format!(" -- {}", remarks.join("; ")) }
}

fn remark(comment: &str) -> String {
    comment.lines().flat_map(|line| ["-- ", line.trim(), "\n"]).collect()
}

fn references(key: &ForeignKey) -> String {
    let ForeignKey { columns: _, table, references, actions } = key;
    let mut text = format!("REFERENCES {}", qualified(table));
    if !references.is_empty() {
        let _ = write!(text, " ({})", list(references));
    }
    for action in actions {
        let _ = write!(text, " {action}");
    }
    text
}

fn index_text(name: &str, index: &Index, table_name: &str, table: &Table) -> String {
    let Index { unique, keys, more, predicate, valid } = index;
    let (method, keys) = match keys.split_first() {
        Some((first, rest)) if first.starts_with("USING ") => (format!("{first} "), rest),
        _ => (String::new(), keys.as_slice()),
    };
    let key = |key: &String| match key.strip_suffix(" DESC") {
        Some(column) if table.column(column).is_some() => format!("{} DESC", quoted(column)),
        _ if table.column(key).is_some() => quoted(key),
        _ => key.clone(),
    };
    let keys = keys.iter().map(key).collect::<Vec<_>>().join(", ");
    let unique = if *unique { "UNIQUE " } else { "" };
    let predicate = predicate.as_ref().map(|text| format!(" WHERE {text}")).unwrap_or_default();
    let valid = if *valid { "" } else { " -- invalid" };
    let more = more.iter().flat_map(|part| [" ", part.as_str()]).collect::<String>();
    format!("CREATE {unique}INDEX {} ON {table_name} {method}({keys}){more}{predicate};{valid}", quoted(name))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

fn qualified(name: &TableName) -> String {
    match &name.schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(&name.name)),
        None => quoted(&name.name),
    }
}

/// Quotes a name only where necessary, which is shorter and a better example for models.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if begins && name.bytes().all(plain) && !RESERVED.contains(&name) {
        name.to_owned()
    } else {
        // A newline in a name would break the diff.
        sql::identifier(&one_line(name))
    }
}
