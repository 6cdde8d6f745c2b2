//! Describes the PostgreSQL sessions that block another one.

use super::{FileTables, Row};

const MOST_NAMED: usize = 3;
/// Longer statements are truncated.
const SHOWN: usize = 60;

/// The columns that [`named`] reads about a session `a` with the process id `b.pid`: id, application,
/// account, start of its transaction, state, and last statement. For sessions of other accounts only
/// application and account are visible to everybody. Prepared transactions have id 0.
pub(crate) const COLUMNS: &str = "
    b.pid::text, a.application_name, a.usename::text,
    to_char(coalesce(a.xact_start, a.query_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
    a.state, a.query";

/// The description of the sessions in rows whose columns start at `first`; `None` without any.
pub(crate) fn named(rows: &[Row], first: usize) -> Option<String> {
    let there = rows.iter().filter(|row| row.get(first).is_some());
    let mut named: Vec<String> = there.map(|row| session(row, first)).collect();
    named.dedup();
    let more = named.len().saturating_sub(MOST_NAMED);
    named.truncate(MOST_NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    (!named.is_empty()).then(|| named.join("; "))
}

/// For example `pid 4242 (psql, account ann), idle in transaction since …, last: …`.
fn session(row: &Row, first: usize) -> String {
    let text = |column: usize| row.get(first + column).filter(|text| !text.is_empty());
    let pid = text(0).unwrap_or("0");
    if pid == "0" {
        return "a prepared transaction (`SELECT * FROM pg_prepared_xacts`)".to_owned();
    }
    let who: Vec<String> = text(1)
        .map(str::to_owned)
        .into_iter()
        .chain(text(2).map(|account| format!("account {account}")))
        .collect();
    let mut said = vec![format!("pid {pid}")];
    if !who.is_empty() {
        said.push(format!(" ({})", who.join(", ")));
    }
    if let (Some(since), Some(state)) = (text(3), text(4)) {
        said.push(format!(", {state} since {since}"));
    }
    if let (Some(query), Some(_)) = (text(5), text(4)) {
        let query = FileTables::default().masked(query).split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = query.chars().take(SHOWN).collect();
        let rest = if query.chars().count() > SHOWN { "…" } else { "" };
        said.push(format!(": {shown}{rest}"));
    }
    said.concat()
}
